"""The till's database file: one connection, durable transactions, counters and facts; what its tables share.

SQLite in WAL mode with synchronous=FULL; every change is one transaction that begins IMMEDIATE and is on disk when the
method returns. If the disk refuses, StorageError is raised and nothing has changed: what a method returns is read
before COMMIT, so that no fault after it can deny what is on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from merchant_pos.schema import migrate
from wallet_core.cli import make_directory
from wallet_core.errors import ConfigurationError, StorageError
from wallet_core.ids import COUNTER_MAX

TILL_FACT = "till"


class Database:
    """Opens or makes the journal of the till with id `till` (32 bytes) at `path`; `now_ms` gives ms since 1970.

    Raises StorageError when the file cannot be used, ConfigurationError when it belongs to another till.
    """

    def __init__(self, path: Path, *, till: bytes, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        with translated():
            make_directory(path.parent)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            with translated():
                mode = self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                if mode != "wal":
                    raise StorageError(f"{path} cannot be kept with write-ahead logging")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA foreign_keys=ON")
                migrate(self._db)
                path.chmod(0o600)
            self._claim(till)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def _claim(self, till: bytes) -> None:
        with self._write() as db:
            db.execute("INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", (TILL_FACT, till))
            owner = db.execute("SELECT value FROM facts WHERE name = ?", (TILL_FACT,)).fetchone()[0]
        if owner != till:
            raise ConfigurationError(
                "this journal belongs to another till", next_step="Keep key and journal of one till together."
            )

    def fact(self, name: str) -> bytes | None:
        rows = self._rows("SELECT value FROM facts WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def keep_fact(self, name: str, value: bytes) -> None:
        with self._write() as db:
            db.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: returning commits durably, raising rolls back."""
        with translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated():
            return self._db.execute(sql, values).fetchall()

    @staticmethod
    def _next(db: sqlite3.Connection, name: str) -> int:
        """Allocate a counter's next value; a number that was given out never comes again."""
        (value,) = db.execute("SELECT next FROM counters WHERE name = ?", (name,)).fetchone()
        if value > COUNTER_MAX:
            raise ConfigurationError("this till has used all its counters", next_step="Enrol a new till.")
        db.execute("UPDATE counters SET next = next + 1 WHERE name = ?", (name,))
        return int(value)


@contextmanager
def translated() -> Iterator[None]:
    """The one place where the database's errors become ours."""
    try:
        yield
    except sqlite3.Error as exc:
        raise StorageError(f"the journal cannot be used: {exc}") from exc
    except OSError as exc:
        raise StorageError(f"the journal cannot be used: {exc.strerror}") from exc
