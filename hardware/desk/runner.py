"""The process of `ecny card desk`: waitress on 127.0.0.1 and nowhere else, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import contextlib
import secrets
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from waitress.server import create_server  # type: ignore[import-untyped]

from hardware.desk.app import create_app
from hardware.desk.bodies import MAX_TRACE_BODY
from hardware.desk.desk import Desk
from hardware.desk.events import MAX_STREAMS, EventLog
from hardware.desk.guard import Guard
from hardware.desk.slots import Address
from hardware.desk.store import Store
from wallet_core.errors import ConfigurationError

HOST: Final = "127.0.0.1"
DIRECTORY: Final = "desk"
_THREADS: Final = MAX_STREAMS + 8


def serve(data: Path, port: int, address: Address | None, ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve the desk of this data directory; `ready` gets `url` and `token_file` once connections are accepted.

    Raises ConfigurationError when the port cannot be had, and what `Store` raises.
    """
    store = Store(data / DIRECTORY)
    with contextlib.ExitStack() as closing:
        closing.callback(store.close)
        listener = _listener(port)
        closing.callback(listener.close)
        events = EventLog(secrets.token_hex(3), now_ms=_now_ms)
        desk = Desk(events, now_ms=_now_ms, store=store, address=address)
        closing.callback(desk.close)
        port = listener.getsockname()[1]
        guard = Guard(secrets.token_urlsafe(24), frozenset({f"{HOST}:{port}", f"localhost:{port}"}))
        server = create_server(
            create_app(desk, guard, now_ms=_now_ms),
            sockets=[listener],
            threads=_THREADS,
            ident=None,
            max_request_body_size=2 * MAX_TRACE_BODY,  # above ours, so that the application refuses with a problem
        )

        def stop(_number: int, _frame: FrameType | None) -> None:
            events.close()  # a stream that waits for its next event would hold its thread
            raise SystemExit(0)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        token_file = store.write_token(guard.token)
        ready({"url": f"http://{HOST}:{port}/", "token_file": str(token_file), "notice": NOTICE})
        server.run()
        server.close()


NOTICE: Final = "debug, insecure: test money, test keys"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _listener(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(64)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {HOST} port {port}: {exc.strerror}", next_step="Choose another port with --port."
        ) from exc
    return listener
