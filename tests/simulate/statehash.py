"""The last state of a district as one hash: every row of the books and journals, every cell of every card."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from simulate.cards import Card


def rows(database: Path) -> Iterator[bytes]:
    """Everything in a SQLite database, table by table in the order of their names, row by row in their own order."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        tables = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ).fetchall()
        for table, sql in tables:
            if table.startswith("_"):
                continue  # of the migrations: it says when they were applied, by the machine's own clock
            yield table.encode()
            columns = ", ".join(f'"{name}"' for _, name, *_ in db.execute(f"PRAGMA table_info({table!r})"))
            order = columns if "WITHOUT ROWID" in sql else "rowid"
            for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY {order}"):
                yield repr(row).encode()


def state_hash(databases: Iterable[Path], cards: Iterable[Card]) -> bytes:
    """32 bytes; the order of both is part of it."""
    digest = hashlib.sha256()
    for database in databases:
        for row in rows(database):
            digest.update(len(row).to_bytes(4) + row)
    for card in cards:
        digest.update(hashlib.sha256(card.flash.snapshot()).digest())
    return digest.digest()
