"""The operator's server as a component: the real WSGI application over a database in memory, from any of its states.

A state is the content of every table but clocks; what the server does with a request in a state is computed once, by an
application that has just started: nothing of it outlives the database.
"""

from __future__ import annotations

import sqlite3
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flask.testing import FlaskClient

from explore.facts import ServerFacts
from explore.interning import Store, digest
from server.app import Parts, create_app
from server.ledger.report import read_ledger
from server.storage.sqlite import SqliteStorage
from support.operator_world import SeededEntropy, World

_CLOCKS = ("at", "asked_at", "received_at", "given_at", "closed_at", "enrolled_at", "expires", "applied_at")
_TAKEN_IN = (
    "SELECT hash FROM batch",
    "SELECT hash FROM brought_voucher",
    "SELECT CAST(about || payee || kind AS BLOB) FROM purse_answer",
    "SELECT hash FROM report",
)
_NOT_CONTENT = ("probe", "_sqlite_migrations")


class MemoryStorage(SqliteStorage):
    """The real storage on one connection, to a database in memory that may take the place of another."""

    def __init__(self) -> None:
        self._connect()
        with tempfile.TemporaryDirectory() as directory:
            super().__init__(Path(directory) / "unused.db")

    def _open(self, cache_kib: int) -> sqlite3.Connection:
        return self._memory

    def dump(self) -> bytes:
        return self._memory.serialize()

    def become(self, database: bytes) -> None:
        self._memory.close()
        self._connect()
        self._memory.deserialize(database)
        self._writing = None
        self._local = threading.local()

    def _connect(self) -> None:
        self._memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._memory.execute("PRAGMA foreign_keys = ON")

    def close(self) -> None:
        """The memory stays for the next application."""


class Handled(NamedTuple):
    """The server after a request, its response, and what is wrong with it."""

    state: int
    status: int
    content_type: str
    body: bytes
    wrong: str


class Asked(NamedTuple):
    """A request as it travels."""

    method: str
    path: str
    content_type: str
    body: bytes


class Servers:
    """All states of one operator's server, beginning with `database`."""

    def __init__(self, world: World, database: bytes) -> None:
        self.store: Store[bytes] = Store()
        self.executed = 0
        self._world = world
        self._storage = MemoryStorage()
        self._handled: dict[tuple[int, Asked], Handled] = {}
        self._facts: dict[int, ServerFacts] = {}
        self._storage.become(database)
        self.first = self._here()

    def handle(self, state: int, asked: Asked) -> Handled:
        """What the server does with this request; I6: the same request again changes nothing."""
        found = self._handled.get((state, asked))
        if found is None:
            settings = self._world.settings(entropy=SeededEntropy("server"))
            client = create_app(settings, Parts.of(settings, self._storage)).test_client()
            status, content_type, body = self._answer(client, state, asked)
            after = self._here()
            wrong = ""
            if after != state:
                again = self._answer(client, after, asked)
                if again != (status, content_type, body) or self._here() != after:
                    wrong = "I6: the server answers a repeated request with other bytes, or does it again"
            found = self._handled[state, asked] = Handled(after, status, content_type, body, wrong)
        return found

    def _answer(self, client: FlaskClient, state: int, asked: Asked) -> tuple[int, str, bytes]:
        self.executed += 1
        self._storage.become(zlib.decompress(self.store.values[state]))
        response = client.open(asked.path, method=asked.method, data=asked.body, content_type=asked.content_type)
        return response.status_code, response.content_type or "", response.data

    def facts(self, state: int) -> ServerFacts:
        found = self._facts.get(state)
        if found is None:
            found = self._facts[state] = self._read(state)
        return found

    def _read(self, state: int) -> ServerFacts:
        self._storage.become(zlib.decompress(self.store.values[state]))
        with self._storage.reading() as tx:
            report = read_ledger(tx)
            refused = frozenset(self._column("SELECT request_hash FROM refusal UNION SELECT request_hash FROM closing"))
            ordered = frozenset(self._column("SELECT voucher_hash FROM reversal_order"))
            messages = frozenset(message for query in _TAKEN_IN for message in self._column(query))
        return ServerFacts(
            faults=report.faults,
            issued=report.issued,
            loss=report.loss,
            redeemed=report.redeemed,
            operator_purse=report.operator_purses,
            wallets=report.wallets,
            settled=tuple((voucher.hash, voucher.amount) for voucher in report.settled),
            refused=refused,
            ordered=ordered,
            messages=messages,
            balances=tuple((account.name, account.balance) for account in report.accounts),
        )

    def _column(self, query: str) -> list[bytes]:
        return [row[0] for row in self._storage._memory.execute(query)]

    def orders(self) -> Iterator[tuple[bytes, bytes]]:
        """Of each state that was looked at: a hash of the set of messages in the books, and one of all balances."""
        for facts in self._facts.values():
            yield digest(sorted(facts.messages)), digest((repr(facts.balances).encode(),))

    def _here(self) -> int:
        content = digest(rows(self._storage._memory, _CLOCKS, _NOT_CONTENT))
        known = self.store.find(content)
        return known if known is not None else self.store.add(content, zlib.compress(self._storage.dump(), 1))


def rows(database: sqlite3.Connection, clocks: Sequence[str], without: Sequence[str]) -> list[bytes]:
    """Every row of every table, in an order of its own, without the columns that only say when."""
    found: list[bytes] = []
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    for (table,) in tables:
        if table in without or table.startswith("sqlite_"):
            continue
        cursor = database.execute(f'SELECT * FROM "{table}"')
        kept = [at for at, column in enumerate(cursor.description) if column[0] not in clocks]
        lines = sorted(repr([row[at] for at in kept]).encode() for row in cursor)
        found += [table.encode(), *lines]
    return found
