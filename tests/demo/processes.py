"""The real processes of the story: `ecny` commands, the settlement server, the card emulator."""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

ECNY = Path(sys.executable).with_name("ecny")
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


class DemoError(Exception):
    """The story cannot go on; `exit_code` is the failed command's own."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Ecny:
    """Runs `ecny` commands in one data directory and shows each as a user would type it."""

    def __init__(self, data: Path, say: Callable[[str], None], environment: dict[str, str] | None = None) -> None:
        self.data = data
        self._say = say
        self._environment = {**os.environ, "ECNY_HOME": str(data), **(environment or {})}

    @property
    def environment(self) -> dict[str, str]:
        return dict(self._environment)

    def run(self, *words: str | Path, expect: int = 0) -> str:
        """Run, show the command and what it printed; raises DemoError unless it exits with `expect`."""
        arguments = [str(word) for word in words]
        self._say(f"$ ecny {shlex.join(self._short(word) for word in arguments)}")
        with subprocess.Popen(
            [ECNY, *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                self._say(f"    {self._short(line.rstrip())}")
            code = process.wait()
        if code != expect:
            raise DemoError(
                f"`ecny {' '.join(arguments[:2])}` ended with exit code {code}, expected {expect}", code or 1
            )
        return "".join(lines)

    def ask(self, *words: str | Path) -> Any:
        """Run quietly with --json and return the object it printed; raises DemoError."""
        done = subprocess.run(
            [ECNY, *map(str, words), "--json"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"`ecny {' '.join(map(str, words[:2]))}`: {done.stderr.strip()}", done.returncode)
        return json.loads(done.stdout)

    def _short(self, text: str) -> str:
        """Paths as a user who stands in the repository would write them."""
        return text.replace(f"{Path.cwd()}/", "")


class Background:
    """An `ecny` process that stays: started until it prints its ready line, ended by its own process id."""

    def __init__(self, ecny: Ecny, *words: str | Path, ready: str, before: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*before, ECNY, *map(str, words)],
            env=ecny.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.seen: list[str] = []
        try:
            self.ready_line = self._wait_for(ready)
        except DemoError:
            self.stop()
            raise

    def _wait_for(self, ready: str) -> str:
        """The first line that contains `ready`; a process that ends or says nothing in time raises DemoError."""
        stream = self._process.stdout
        if stream is None:
            raise DemoError("no output to read")
        deadline, pending = time.monotonic() + START_TIMEOUT_S, b""
        while time.monotonic() < deadline:
            readable, _, _ = select.select([stream], [], [], 0.1)
            if not readable:
                continue
            chunk = os.read(stream.fileno(), 4096)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self.seen.append(line.decode(errors="replace"))
                if ready in self.seen[-1]:
                    return self.seen[-1]
        raise DemoError("a process did not come up: " + " | ".join(self.seen[-3:]))

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not listen."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Server(Background):
    """`ecny server run` on the loopback interface; port 0 takes a free one."""

    def __init__(self, ecny: Ecny, port: int = 0) -> None:
        super().__init__(ecny, "server", "run", "--port", str(port), ready="listening on ")
        self.url = self.ready_line.rpartition(" ")[2].strip()
        self.port = int(self.url.rpartition(":")[2])


class Emulator(Background):
    """`ecny card emulate`: the card in the virtual reader; `inside` puts the process where it reaches the reader."""

    def __init__(self, ecny: Ecny, inside: Sequence[str], address: str) -> None:
        super().__init__(ecny, "card", "emulate", "--vpcd", address, ready="inserted", before=inside)


def step(say: Callable[[str], None], lines: Sequence[str]) -> None:
    """A heading of the story."""
    say("")
    for line in lines:
        say(line)
