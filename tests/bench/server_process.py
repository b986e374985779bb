"""The server as its operator runs it, and a client that keeps its connection."""

from __future__ import annotations

import http.client
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

ECNY = Path(sys.executable).with_name("ecny")
READY_S = 30.0
STOP_S = 30.0
ANSWER_S = 120.0


class ServerProcess:
    """`ecny server run` on a free port of 127.0.0.1, from its ready line to SIGTERM; its log goes beside its data."""

    def __init__(self, data: Path, *, workers: int) -> None:
        words = ["server", "run", "--port", "0", "--workers", str(workers), "--data", str(data)]
        with (data / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [ECNY, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        self.address = ""

    def __enter__(self) -> Self:
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("no output to read")
        readable, _, _ = select.select([stream], [], [], READY_S)
        line = os.read(stream.fileno(), 4096).decode() if readable else ""
        if not line.startswith("listening on "):
            self.__exit__()
            raise RuntimeError(f"the server did not come up: {line.strip() or 'it said nothing'}")
        self.address = line.split()[-1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()


class Line:
    """One connection to the server, kept alive. Use as a context manager."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ANSWER_S)

    def deposit(self, batch: bytes) -> bytes:
        """POST a signed batch; the bytes of the answer. Raises RuntimeError for a problem."""
        self._connection.request("POST", "/v1/deposits", batch, {"Content-Type": "application/cose"})
        response = self._connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{response.status}: {body[:200].decode(errors='replace')}")
        return body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
