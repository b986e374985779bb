"""The part of a private pcscd that lives inside its namespaces: mounts, loopback, and pcscd as its child.

Started by support/pcscd.py, as `python -I pcscd_inside.py FD DIRECTORY PRIVATE`, under `unshare --net --mount` when
PRIVATE is 1. It takes orders over the socket FD, one JSON object each way, and ends with everything it started when
that socket closes. Only the standard library is used: this file runs without the project on its path.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RUN = Path("/run/pcscd")
DRIVERS = Path("/usr/lib/pcsc/drivers")
LIBRARIES = ("serial/libifdvpcd.so", "vpcd.bundle/Contents/Linux/libifdvpcd.so")
PORTS = (35963, 35964)
PR_SET_PDEATHSIG = 1
SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, stdin=subprocess.DEVNULL)


def prepare(directory: Path) -> None:
    """Own loopback, own /run/pcscd (visible outside as `directory`/run), and no driver for real readers."""
    loopback_up()
    mount("-t", "tmpfs", "tmpfs", "/run")
    RUN.mkdir()
    mount("--bind", str(directory / "run"), str(RUN))
    empty = Path("/run/no-driver")
    empty.mkdir()
    for bundle in DRIVERS.glob("*.bundle"):
        if "vpcd" not in bundle.name:
            mount("--bind", str(empty), str(bundle))


def reader_configurations(directory: Path) -> dict[bool, Path]:
    """Two folders for pcscd: with vpcd alone and with no reader; the system's /etc/reader.conf.d is not read."""
    library = next((DRIVERS / name for name in LIBRARIES if (DRIVERS / name).exists()), None)
    if library is None:
        raise FileNotFoundError(f"vpcd's driver is not in {DRIVERS}")
    folders = {True: directory / "vpcd.conf.d", False: directory / "none.conf.d"}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    port = f"0x{PORTS[0]:X}"
    lines = (
        'FRIENDLYNAME "Virtual PCD"',
        f"DEVICENAME /dev/null:{port}",
        f"LIBPATH {library}",
        f"CHANNELID {port}",
        "",
    )
    (folders[True] / "vpcd").write_text("\n".join(lines), encoding="ascii")
    return folders


def daemon_options() -> list[str]:
    """Newer builds ask polkit, which no container runs; older ones do not know the option."""
    known = subprocess.run(["pcscd", "--help"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return ["--disable-polkit"] if "--disable-polkit" in known.stdout + known.stderr else []


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def listening() -> set[int]:
    ports = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == "0A":
            ports.add(int(local.rpartition(":")[2], 16))
    return ports


def answers() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(RUN / "pcscd.comm"))
        except OSError:
            return False
    return True


class Daemon:
    """pcscd, started and ended by order."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "pcscd.log"
        self._configurations = reader_configurations(directory)
        self._command = ["pcscd", "--foreground", *daemon_options(), "--config"]
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float, *, readers: bool) -> dict[str, Any]:
        """Starts pcscd and waits until it answers and listens for both cards."""
        self.end(signal.SIGTERM)
        for stale in ("pcscd.comm", "pcscd.pid"):  # a killed pcscd leaves them, and the next one refuses to start
            (RUN / stale).unlink(missing_ok=True)
        command = [*self._command, str(self._configurations[readers])]
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        until = time.monotonic() + seconds
        while not (answers() and (not readers or listening().issuperset(PORTS))):
            if self._child.poll() is not None or time.monotonic() > until:
                text = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise TimeoutError(f"pcscd did not get ready: {text}")
            time.sleep(0.005)
        return {"pid": self._child.pid}

    def end(self, how: signal.Signals) -> dict[str, Any]:
        if self._child is not None:
            self._child.send_signal(how)
            try:
                self._child.wait(5)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child = None
        return {}


def obey(daemon: Daemon, orders: socket.socket) -> None:
    while raw := orders.recv(4096):
        order = json.loads(raw)
        try:
            if order["do"] == "connect":
                with socket.create_connection(("127.0.0.1", order["port"])) as line:
                    socket.send_fds(orders, [b"{}"], [line.fileno()])
                continue
            if order["do"] == "start":
                reply = daemon.start(order["seconds"], readers=order["readers"])
            else:
                reply = daemon.end(signal.Signals(order["how"]))
        except (OSError, subprocess.SubprocessError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        orders.send(json.dumps(reply).encode())


def main(number: int, directory: Path, *, private: bool) -> None:
    orders = socket.socket(fileno=number)
    os.set_inheritable(number, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the orders
    try:
        if private:
            prepare(directory)
        else:
            RUN.mkdir(exist_ok=True)
        daemon = Daemon(directory)
    except (OSError, subprocess.SubprocessError) as error:
        orders.send(json.dumps({"error": f"{type(error).__name__}: {error}"}).encode())
        return
    orders.send(b"{}")
    try:
        obey(daemon, orders)
    finally:
        daemon.end(signal.SIGTERM)


if __name__ == "__main__":
    with contextlib.suppress(ConnectionError):
        main(int(sys.argv[1]), Path(sys.argv[2]), private=sys.argv[3] == "1")
