"""A real `ecny server run` on the loopback interface, driven over HTTP, ended by its own process id."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx

ECNY = Path(sys.executable).with_name("ecny")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


class ServerProcess:
    """Started in the constructor, ready when it returns; `crash_at` names the step at which it kills itself.

    Its standard error (logs) goes to `log`.
    """

    def __init__(self, data: Path, log: Path, *, crash_at: str = "", arguments: Sequence[str] = ()) -> None:
        environment = {**os.environ, "ECNY_HOME": str(data), "ECNY_CRASH_AT": crash_at}
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [ECNY, "server", "run", "--port", "0", *arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        try:
            line = self._first_line()
            self.url = line.rpartition(" ")[2].strip()
            if not line.startswith("listening on http://127.0.0.1:"):
                raise RuntimeError(f"the server did not come up: {line!r}\n{log.read_text()[-2000:]}")
        except BaseException:
            self.kill()
            raise
        self.http = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _first_line(self) -> str:
        stream = self._process.stdout
        if stream is None:
            raise RuntimeError("no standard output")
        deadline, data = time.monotonic() + START_TIMEOUT_S, b""
        while time.monotonic() < deadline and not data.endswith(b"\n"):
            if select.select([stream], [], [], 0.1)[0]:
                chunk = os.read(stream.fileno(), 4096)
                if not chunk:
                    break
                data += chunk
        return data.decode().rstrip("\n")

    def wait(self) -> int:
        """The exit code, once it has ended by itself: -9 after a crash point."""
        return self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_TIMEOUT_S)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.kill()
