"""Faults put into a till or server process on purpose: what must find harm is shown to find it.

synchronous-off     SQLite syncs nothing
synchronous-normal  SQLite syncs its log at checkpoints only, so that a commit may be lost with the power
names-not-synced    files are synced, the directories that name them are not
late-commit         a commit happens a moment after it was reported: then even kill −9 loses it
"""

from __future__ import annotations

import functools
import sqlite3
import threading
from pathlib import Path
from typing import Any, ClassVar

from wallet_core import cli

PLANTS = ("synchronous-off", "synchronous-normal", "names-not-synced", "late-commit")
_LATE_S = 1.0


def plant(name: str) -> None:
    """Put the fault into this process. Raises ValueError for an unknown one."""
    if name not in PLANTS:
        raise ValueError(f"no such plant: {name}")
    if name == "names-not-synced":
        cli._sync_names = _forgotten
    elif name == "late-commit":
        _connect_with(_Late)
    else:
        _connect_with(type("_Careless", (_Careless,), {"level": name.rpartition("-")[2].upper()}))


def _forgotten(directory: Path) -> None:
    """Stands for the sync of a directory."""


def _connect_with(factory: type[sqlite3.Connection]) -> None:
    sqlite3.connect = functools.partial(sqlite3.connect, factory=factory)  # type: ignore[assignment]


class _Careless(sqlite3.Connection):
    level = ""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.upper().startswith("PRAGMA SYNCHRONOUS"):
            sql = f"PRAGMA synchronous = {self.level}"
        return super().execute(sql, parameters)


class _Late(sqlite3.Connection):
    """COMMIT comes `_LATE_S` later, or before whatever this process does next: only a kill can show it."""

    owing: ClassVar[set[_Late]] = set()
    guard = threading.RLock()

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{**more, "check_same_thread": False})

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        _settle()
        if sql != "COMMIT":
            return super().execute(sql, parameters)
        with self.guard:
            self.owing.add(self)
        timer = threading.Timer(_LATE_S, _settle)
        timer.daemon = True
        timer.start()
        return self.cursor()

    def commit_now(self) -> None:
        super().execute("COMMIT")

    def close(self) -> None:
        _settle()
        super().close()


def _settle() -> None:
    with _Late.guard:
        while _Late.owing:
            _Late.owing.pop().commit_now()
