"""A private PC/SC service with two virtual readers, for tests and the demo: never a user's reader, never a public port.

vpcd listens on all addresses and pcscd has one fixed socket, so pcscd runs in network and mount namespaces of its own:

    any process with `environment()`                            namespaces (unshare --net --mount)
      libpcsclite ── PCSCLITE_CSOCK_NAME ── a directory  ═════  /run/pcscd: pcscd ── vpcd, 0.0.0.0:35963 and 35964
      connect_vpcd(slot) ◄──── a connected socket, passed ────  pcscd_inside.py
      Popen([*inside, …]) ──── nsenter --net ────────────────►  a process that reaches vpcd at 127.0.0.1

Only pcscd and whoever plays the card are inside; nothing else changes. Drivers of real readers are hidden from it.
Where namespaces are not allowed (a container without CAP_SYS_ADMIN), root may still start pcscd in the open if none
runs.

libpcsclite reads PCSCLITE_CSOCK_NAME once per process. `claim_socket` sets it, to one directory per process;
tests/conftest.py calls it first of all, so no test can ever reach the service of the machine it runs on.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support.pcscd_inside import DRIVERS, LIBRARIES, PORTS, answers
from wallet_core.errors import ConfigurationError

INSIDE = Path(__file__).with_name("pcscd_inside.py")
SYSTEM = Path("/run/pcscd")
READERS = ("Virtual PCD 00 00", "Virtual PCD 00 01")
START_SECONDS = 20.0
INSTALL = (
    "Install pcscd and vsmartcard-vpcd (Debian and Ubuntu have packages), and run as root or allow user namespaces."
)

_workspace: Path | None = None
_private = False


def claim_socket() -> Path:
    """Makes libpcsclite in this process and its children look for the private service only.

    Returns the socket's path. The folder that it is in exists while a PrivatePcscd runs.
    """
    global _workspace, _private
    if _workspace is None:
        _private = _may_unshare()
        name = f"ecny-pcscd-{os.getpid()}-{secrets.token_hex(4)}"
        temporary = Path(tempfile.gettempdir())
        # The address of a Unix socket has 108 bytes at most.
        _workspace = (temporary if len(str(temporary)) < 50 else Path("/tmp")) / name
    path = (_workspace / "run" if _private else SYSTEM) / "pcscd.comm"
    os.environ["PCSCLITE_CSOCK_NAME"] = str(path)
    os.environ["ECNY_VIRTUAL_ONLY"] = "1"
    return path


def _unshare() -> list[str]:
    """Namespaces as root, or as an ordinary user who is root in a user namespace of its own."""
    return ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount"]


def _may_unshare() -> bool:
    try:
        tried = subprocess.run([*_unshare(), "true"], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


class PrivatePcscd:
    """pcscd with `Virtual PCD 00 00` and `Virtual PCD 00 01`, from entering the block to leaving it. One per process.

    Raises ConfigurationError when it cannot be had; `missing` tells why beforehand.
    """

    def __init__(self) -> None:
        self.socket_path = claim_socket()
        self._lock = threading.Lock()  # a card's thread connects while a test restarts the service
        self._orders: socket.socket | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None

    @staticmethod
    def missing() -> str | None:
        """What this machine lacks, or None when all is there."""
        if shutil.which("pcscd") is None:
            return "pcscd is not installed"
        if not any((DRIVERS / name).exists() for name in LIBRARIES):
            return "vsmartcard-vpcd is not installed"
        claim_socket()
        if not _private and os.geteuid() != 0:
            return "namespaces are not allowed here, and only root may start pcscd without them"
        if not _private and answers():
            return "namespaces are not allowed here, and another pcscd is running"
        return None

    @property
    def is_private(self) -> bool:
        """Whether it runs in namespaces of its own."""
        return _private

    @property
    def inside(self) -> list[str]:
        """Words to put before a command so that it reaches vpcd at 127.0.0.1 (for a process that plays a card)."""
        if not _private or self._supervisor is None:
            return []
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self._supervisor.pid), *user, "--net", "--"]

    def environment(self) -> dict[str, str]:
        """The environment for processes that are to use this service."""
        return {**os.environ, "PCSCLITE_CSOCK_NAME": str(self.socket_path), "ECNY_VIRTUAL_ONLY": "1"}

    def __enter__(self) -> Self:
        reason = self.missing()
        if reason is not None or _workspace is None:
            raise ConfigurationError(f"no PC/SC service to be had: {reason}", next_step=INSTALL)
        if _workspace.exists():
            raise ConfigurationError("this process has a private pcscd already", next_step="Leave its block first.")
        _workspace.mkdir(mode=0o700)
        (_workspace / "run").mkdir()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        number = theirs.fileno()
        command = [sys.executable, "-I", str(INSIDE), str(number), str(_workspace), str(int(_private))]
        with theirs:
            self._supervisor = subprocess.Popen(
                [*(_unshare() if _private else []), *command], pass_fds=[number], stdin=subprocess.DEVNULL
            )
        self._orders = ours
        try:
            self._reply(ours)
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends pcscd and its namespaces."""
        if self._orders is not None:
            self._orders.close()
            self._orders = None
        if self._supervisor is not None:
            self._supervisor.wait(START_SECONDS)
            self._supervisor = None
        if _workspace is not None:
            shutil.rmtree(_workspace, ignore_errors=True)

    def start(self, *, readers: bool = True) -> int:
        """Starts pcscd, waits until it answers and its virtual readers listen, and returns its pid.

        `readers=False` starts it as if the reader was unplugged.
        """
        return int(self._order({"do": "start", "seconds": START_SECONDS, "readers": readers})["pid"])

    def stop(self) -> None:
        """Ends pcscd in good order."""
        self._order({"do": "end", "how": int(signal.SIGTERM)})

    def kill(self) -> None:
        """Ends pcscd with SIGKILL; its socket file stays behind."""
        self._order({"do": "end", "how": int(signal.SIGKILL)})

    def restart(self, *, readers: bool = True) -> int:
        """Ends and starts pcscd: handles and contexts of its clients are void, the cards have to connect again."""
        self.stop()
        return self.start(readers=readers)

    def connect_vpcd(self, slot: int = 0) -> socket.socket:
        """A TCP connection to the reader's slot: whoever holds it is the card. Raises ConnectionError when nothing
        listens.
        """
        with self._lock:
            orders = self._open_orders()
            orders.send(json.dumps({"do": "connect", "port": PORTS[slot]}).encode())
            raw, numbers, _, _ = socket.recv_fds(orders, 4096, 1)
        if not numbers:
            raise ConnectionError(json.loads(raw or b"{}").get("error", "the private pcscd has ended"))
        return socket.socket(fileno=numbers[0])

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            orders = self._open_orders()
            orders.send(json.dumps(order).encode())
            return self._reply(orders)

    def _open_orders(self) -> socket.socket:
        if self._orders is None:
            raise ConnectionError("the private pcscd has ended")
        return self._orders

    @staticmethod
    def _reply(orders: socket.socket) -> dict[str, Any]:
        raw = orders.recv(4096)
        reply: dict[str, Any] = json.loads(raw) if raw else {"error": "it ended before it was ready"}
        if "error" in reply:
            raise ConfigurationError(f"the private pcscd: {reply['error']}", next_step=INSTALL)
        return reply
