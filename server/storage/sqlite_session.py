"""What the SQLite parts share: a connection inside a transaction, and rows as plain values."""

from __future__ import annotations

import sqlite3
from typing import Any

from server.ledger.accounts import AccountKind
from wallet_core.errors import StorageError

Row = tuple[Any, ...]


class SqliteSession:
    """One open transaction. Errors of sqlite3 pass through here and are translated where the transaction is opened."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def _rows(self, sql: str, *parameters: Any) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def _row(self, sql: str, *parameters: Any) -> Row | None:
        row: Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def _number(self, sql: str, *parameters: Any) -> int:
        row = self._row(sql, *parameters)
        return 0 if row is None or row[0] is None else int(row[0])

    def _insert(self, sql: str, *parameters: Any) -> int:
        """The row's number."""
        return self._connection.execute(sql, parameters).lastrowid or 0

    def _change_one(self, sql: str, *parameters: Any) -> None:
        """Exactly one row must change; raises StorageError."""
        changed = self._connection.execute(sql, parameters).rowcount
        if changed != 1:
            raise StorageError(f"a change that belongs to one row would touch {changed}")

    def _new_account(self, kind: AccountKind, owner: str) -> int:
        return self._insert("INSERT INTO account (kind, owner) VALUES (?, ?)", kind.value, owner)
