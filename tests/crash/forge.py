"""Starts `ecny` processes quickly and kills them at any moment: a process that has imported everything forks each one.

They are real processes with a memory of their own, and SIGKILL is a real SIGKILL; only Python's start is saved. Run as
a program this is the one that forks; `Forge` is its handle, `Child` a process that it has started.

Over the pipes go JSON lines. Orders: {"start": {…}}, {"kill": pid}, {"stop": pid}. News: {"started": pid},
{"ended": pid, "code": n}. Only the forge sends signals: it knows that a pid is still its child's, so that no other
process is ever hit.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

IMPORTED = (
    *("hardware.cli", "hardware.loading", "hardware.operator_client", "hardware.personalisation", "hardware.taps"),
    *("merchant_pos.cards", "merchant_pos.cli", "merchant_pos.client", "merchant_pos.enrolment", "merchant_pos.sync"),
    *("server.cli", "waitress.server", "wallet_core.cli"),
)
KILLED = -signal.SIGKILL
FAILED = 99  # exit code of a child that did not get as far as the command
LONGEST_S = 60.0  # no command takes as long: then something hangs, which is a fault too


class Child:
    """One `ecny` process: `code` is None while it runs, then its exit code or minus the signal. `took`: seconds."""

    def __init__(self, forge: Forge, pid: int, words: Sequence[str], files: tuple[Path, Path]) -> None:
        self._forge = forge
        self.pid = pid
        self.words = tuple(words)
        self.code: int | None = None
        self.took = 0.0
        self.started = time.monotonic()
        self._out, self._err = files

    def end(self, code: int) -> None:
        self.code, self.took = code, time.monotonic() - self.started

    def kill(self) -> None:
        """SIGKILL, now; whether it came in time is seen in `code`."""
        self._forge.order({"kill": self.pid})

    def stop(self) -> int:
        """SIGTERM, and what it ends with."""
        self._forge.order({"stop": self.pid})
        return self.wait()

    def wait(self) -> int:
        """Until it has ended. Raises RuntimeError if it never does."""
        self._forge.until(lambda: self.code is not None, LONGEST_S, f"`ecny {' '.join(self.words)}`")
        return self.code if self.code is not None else FAILED

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    @property
    def facts(self) -> Any:
        """What it printed with --json."""
        return json.loads(self.out)


class Forge:
    """The handle of the forking process; a context manager. `preload`: a library for LD_PRELOAD, with its `variables`.

    What the children print goes to files in `directory` (missing or empty), two for each.
    """

    def __init__(self, directory: Path, *, preload: Path | None = None, variables: Mapping[str, str] | None = None):
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._count = 0
        self._children: dict[int, Child] = {}
        self._started: list[int] = []
        self._ended: dict[int, int] = {}  # pid → code, of children that ended before `start` had them
        self._rest = b""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ECNY_")}
        environment |= {"LD_PRELOAD": str(preload)} if preload else {}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | dict(variables or {}),
            bufsize=0,
        )

    def start(self, words: Sequence[str], home: Path, *, plant: str = "") -> Child:
        """`ecny` with these words on the data directory `home`. `plant`: a fault of `crash.plants`, for self-tests."""
        self._count += 1
        files = self._directory / f"{self._count}.out", self._directory / f"{self._count}.err"
        for file in files:
            file.touch(exist_ok=False)  # it is read even when the child is killed before it opens it
        order = {"words": list(words), "home": str(home), "files": [str(file) for file in files], "plant": plant}
        self.order({"start": order})
        self.until(lambda: bool(self._started), LONGEST_S, "the forge")
        child = Child(self, self._started.pop(), words, files)
        if child.pid in self._ended:
            child.end(self._ended.pop(child.pid))
        else:
            self._children[child.pid] = child
        return child

    def run(self, words: Sequence[str], home: Path, *, plant: str = "") -> Child:
        """The same, to its end."""
        child = self.start(words, home, plant=plant)
        child.wait()
        return child

    def order(self, order: dict[str, Any]) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the forge has no pipes")
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def news(self, timeout_s: float) -> None:
        """Take in what has happened, or happens within this time."""
        if self._process.stdout is None:
            raise RuntimeError("the forge has no pipes")
        if not select.select([self._process.stdout], [], [], max(0.0, timeout_s))[0]:
            return
        data = os.read(self._process.stdout.fileno(), 65536)
        if not data:
            raise RuntimeError("the forge has died")
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, news: dict[str, int]) -> None:
        if "started" in news:
            self._started.append(news["started"])
            return
        child = self._children.pop(news["ended"], None)
        if child is None:
            self._ended[news["ended"]] = news["code"]
        else:
            child.end(news["code"])

    def until(self, done: Callable[[], bool], most_s: float, what: str, *, look_s: float = LONGEST_S) -> None:
        """Take in news until `done`, which is asked again after each and every `look_s` seconds."""
        deadline = time.monotonic() + most_s
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise RuntimeError(f"{what} hangs")
            self.news(min(left, look_s))

    def close(self) -> None:
        """Kill what still runs, then end."""
        for child in list(self._children.values()):
            child.kill()
            child.wait()
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# The process that forks ----------------------------------------------------------------------------------------------


def main() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    from wallet_core.cli import main as command

    wakeup_read, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup_write)
    alive: set[int] = set()
    rest = b""
    while True:
        ready = select.select([0, wakeup_read], [], [])[0]
        if wakeup_read in ready:
            os.read(wakeup_read, 4096)
            for pid in sorted(alive):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    alive.discard(pid)
                    tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:  # whoever gave the orders is gone, however it ended: leave nothing behind
                for pid in alive:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                obey(json.loads(line), alive, command)


def obey(order: dict[str, Any], alive: set[int], command: Callable[[], None]) -> None:
    for name, number in (("kill", signal.SIGKILL), ("stop", signal.SIGTERM)):
        if name in order:
            if order[name] in alive:
                os.kill(order[name], number)
            return
    pid = os.fork()
    if pid == 0:
        become(order["start"], command)
    alive.add(pid)
    tell({"started": pid})


def tell(news: dict[str, int]) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


def become(order: dict[str, Any], command: Callable[[], None]) -> None:
    """Become the command; never returns."""
    code = FAILED
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        for number, descriptor in enumerate(
            (os.open(os.devnull, os.O_RDONLY), *(os.open(file, flags, 0o600) for file in order["files"]))
        ):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ |= {"ECNY_HOME": order["home"], "ECNY_VIRTUAL_ONLY": "1"}
        if order["plant"]:
            importlib.import_module("crash.plants").plant(order["plant"])
        sys.argv = ["ecny", *order["words"]]
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as a second forge
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # not this folder: its modules are crash.…
    main()
