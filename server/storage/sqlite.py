"""SQLite as a storage: the only module that imports sqlite3, and the one place where its errors become StorageError.

WAL with synchronous=FULL: a commit is on disk before anything is acknowledged. One writer at a time (a lock in this
process, BEGIN IMMEDIATE across processes), on one connection for all threads, so that its page cache stays valid from
one commit to the next; each thread reads on a connection of its own, so that readers never wait.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from sqlite_utils import Database

from server.storage import migration_endings as _endings  # noqa: F401  (m002 adds itself to the schema)
from server.storage import migration_risk as _risk  # noqa: F401  (m003)
from server.storage.migrations import SCHEMA
from server.storage.protocol import Reader, Writer
from server.storage.sqlite_deposits import SqliteDeposits
from server.storage.sqlite_endings import SqliteEndings
from server.storage.sqlite_ledger import SqliteLedger
from server.storage.sqlite_loads import SqliteLoads
from server.storage.sqlite_risk import SqliteRisk
from wallet_core.errors import StorageError

PAGE_SIZE = 4096  # bytes; most changed pages are changed in one row
WRITER_CACHE_KIB, READER_CACHE_KIB = 65_536, 4_096
CHECKPOINT_PAGES = 16_000  # 64 MB of log: a page that many batches change goes to the file once


class SqliteTransaction(SqliteRisk, SqliteLoads, SqliteDeposits, SqliteEndings, SqliteLedger):
    """All that a Reader and a Writer offer, on one connection inside one transaction."""


class SqliteStorage:
    """`path`: the database file, made if missing. `busy_timeout_ms`: how long to wait for another process's writer."""

    def __init__(self, path: Path, *, busy_timeout_ms: int = 5_000) -> None:
        self._path = path
        self._busy_timeout_ms = busy_timeout_ms
        self._local = threading.local()
        self._writer = threading.Lock()
        self._writing: sqlite3.Connection | None = None
        self._opened: list[sqlite3.Connection] = []
        self._opened_lock = threading.Lock()
        self._closed = False
        try:
            path.touch(mode=0o600)  # who was paid is nobody's business; SQLite gives its other files the same mode
        except OSError as exc:
            raise StorageError(f"the database cannot be made: {exc.strerror}") from exc
        with translated("the database cannot be opened"):
            self._migrate()

    def _migrate(self) -> None:
        connection = self._write_connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            SCHEMA.apply(Database(connection, execute_plugins=False, recursive_triggers=False))
            connection.execute("COMMIT")
        except BaseException:
            self._rollback(connection)
            raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's, for reading."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._open(READER_CACHE_KIB)
        return connection

    def _write_connection(self) -> sqlite3.Connection:
        """The only one that writes; to be used with the lock held."""
        if self._writing is None:
            self._writing = self._open(WRITER_CACHE_KIB)
        return self._writing

    def _open(self, cache_kib: int) -> sqlite3.Connection:
        if self._closed:
            raise StorageError("the database is closed")
        # Other threads write on it or close it; none is ever used by two threads at once.
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        with self._opened_lock:
            self._opened.append(connection)
        connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout_ms)}")
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{cache_kib}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        return connection

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """One snapshot; nothing is written."""
        with translated("the database cannot be read"):
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                yield cast(Reader, SqliteTransaction(connection))
            finally:
                self._rollback(connection)

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """Commits on a normal way out, rolls back on an exception."""
        with self._writer, translated("the database cannot be written"):
            connection = self._write_connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield cast(Writer, SqliteTransaction(connection))
                connection.execute("COMMIT")
            except BaseException:
                self._rollback(connection)
                raise

    def _rollback(self, connection: sqlite3.Connection) -> None:
        """End the transaction, if the error has not ended it already; what made us roll back is the error to report.

        A connection that cannot even roll back is given up: closing it ends the transaction.
        """
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            if connection is self._writing:
                self._writing = None
            else:
                self._local.connection = None
            connection.close()

    def probe(self) -> None:
        with self._writer, translated("the database cannot be written"):
            connection = self._write_connection()
            connection.execute("UPDATE probe SET count = count + 1 WHERE number = 1")

    def close(self) -> None:
        """Close every thread's connection; what is committed is on disk already."""
        with self._opened_lock:
            self._closed = True
            while self._opened:
                self._opened.pop().close()
            self._writing = None
        self._local = threading.local()


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Any error of the database as a StorageError that says what happened, without quoting data."""
    try:
        yield
    except sqlite3.Error as exc:
        raise StorageError(f"{what}: {exc}") from exc
