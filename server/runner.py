"""A server process: waitress around the application, ready before it says so, ended cleanly by SIGTERM or Ctrl-C.

Tests kill it at a named step: with ECNY_CRASH_AT=deposit.committed (or deposit.committed:2 for the second time) in the
environment the process sends itself SIGKILL there. The variable is read here and nowhere else.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

from waitress.server import create_server  # type: ignore[import-untyped]

from server.app import PARTS, Parts, create_app
from server.settings import Checkpoint, Settings, no_checkpoint
from wallet_core.errors import ConfigurationError
from wallet_core.messages.deposit import MAX_BATCH_SIZE

CRASH_VARIABLE = "ECNY_CRASH_AT"


def crash_point() -> Checkpoint:
    """What ECNY_CRASH_AT asks for; nothing without it."""
    wanted, _, times = os.environ.get(CRASH_VARIABLE, "").partition(":")
    if not wanted:
        return no_checkpoint
    left = int(times or 1)
    lock = threading.Lock()

    def checkpoint(name: str) -> None:
        nonlocal left
        if name != wanted:
            return
        with lock:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


def serve(settings: Settings, host: str, port: int, threads: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `ready` gets the base URL once connections are accepted.

    Requests that are being answered are finished. Raises ConfigurationError when the address cannot be had.
    """
    app = create_app(settings)
    parts: Parts = app.extensions[PARTS]
    try:
        listener = _listener(host, port)
        server = create_server(
            app,
            sockets=[listener],
            threads=threads,
            ident=None,
            max_request_body_size=2 * MAX_BATCH_SIZE,  # above ours, so that the application refuses with a problem
            inbuf_overflow=2 * MAX_BATCH_SIZE,
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        ready(_url(host, listener.getsockname()[1]))
        server.run()
        server.close()
    finally:
        parts.close()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {exc.strerror}", next_step="Choose another port with --port."
        ) from exc
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
