"""Starts `ecny pos` processes quickly: a process with everything imported forks each of them. They are real processes,
with their own memory and a real SIGKILL; only Python's start is saved.

Run as a program it is the one that forks; `Zygote` is its handle.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Self

IMPORTED = (
    *("hardware.taps", "hardware.transports.pcsc", "merchant_pos.cards", "merchant_pos.cli", "merchant_pos.client"),
    *("merchant_pos.enrolment", "merchant_pos.sync", "wallet_core.cli"),
)
FAILED = 99  # exit code of a child that did not even get as far as the command


class Zygote:
    """The process that forks. Ends with `close`, or when this process ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, words: list[str], environment: dict[str, str], files: Path, max_file: int | None = None) -> int:
        """`ecny` with these words and exactly this environment, to its end: the exit code, or minus the signal.

        Standard input, output and error are the files `in`, `out` and `err` in the directory `files`. `max_file`: bytes
        that a file may have (RLIMIT_FSIZE).
        """
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the zygote has no pipes")
        order = {"words": words, "environment": environment, "files": str(files), "max_file": max_file}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the zygote has died")
        return int(answer)

    def close(self) -> None:
        if self._process.stdin is not None and self._process.stdout is not None:
            self._process.stdin.close()
            self._process.wait()
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def main() -> None:
    for module in IMPORTED:
        importlib.import_module(module)
    from wallet_core.cli import main as command

    for line in sys.stdin:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line), command)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _child(order: dict[str, Any], command: Any) -> None:
    """Become the command; never returns."""
    code = FAILED
    try:
        files = Path(order["files"])
        for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
            descriptor = os.open(files / name, flags)
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["max_file"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["max_file"], order["max_file"]))
        sys.argv = ["ecny", *order["words"]]
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it must not go on as a second zygote
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are support.…, not top-level ones
    main()
