"""The terminals as a component: the real till with its real journal, and desks that have no memory of their own.

A terminal is *idle* (a journal and nothing else) or *busy*: a journal, what it does, and the replies that it has had. A
process may die wherever it waits, and at each step at which its journal is another than before.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from explore.facts import SaleFact, TillFacts
from explore.interning import Store, digest
from explore.scripts import Call, Reply, Response, Script, Suspended, Wire
from explore.servers import rows
from merchant_pos.checkout import Checkout
from merchant_pos.client import HttpServer
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.sam_desk import SamDesk
from merchant_pos.sync import Sync
from support.till import Pins, TestClock
from wallet_core.errors import EcnyError

# Clocks, and what only says how often something was tried and what the fault was called.
_NOT_STATE = ("asked_ms", "decided_ms", "frozen_ms", "answered_ms", "attempts", "last_error", "reason", "applied_at")
_NOT_CONTENT = ("_sqlite_migrations",)


@dataclass(frozen=True, slots=True)
class Busy:
    """`journal`: at the beginning, `before`: the hash of its content; `call`: what the program waits for now."""

    journal: bytes
    before: bytes
    activity: str
    replies: tuple[Reply, ...]
    call: Call


TillValue = bytes | Busy
"""The compressed journal of an idle terminal, or a busy one."""


@dataclass(frozen=True)
class Bench:
    """What an activity works with: the journal as it is, and the script of its replies."""

    identity: Identity
    journal: Journal
    script: Script
    clock: TestClock
    step: Callable[[str], None]

    def checkout(self) -> Checkout:
        return Checkout(journal=self.journal, identity=self.identity, clock=self.clock, notify=_nobody, step=self.step)

    def sync(self) -> Sync:
        server = HttpServer(self.identity.server, transport=Wire(self.script))
        return Sync(
            journal=self.journal,
            identity=self.identity,
            server=server,
            clock=self.clock,
            rng=random.Random(0),
            notify=_nobody,
            step=self.step,
        )

    def sam_desk(self) -> SamDesk:
        return SamDesk(journal=self.journal, identity=self.identity, clock=self.clock, notify=_nobody, step=self.step)

    def pins(self) -> Pins:
        return Pins()


Activity = Callable[[Bench], str]
"""Runs real code to its end; says in a word how it ended."""


class Went(NamedTuple):
    """A terminal after a stretch of its program: waiting (`call`), or idle with the word in which it ended.

    `deaths`: idle terminals as they are if the process dies in this stretch, before its end.
    """

    state: int
    call: Call | None
    ended: str
    deaths: tuple[int, ...]


class Tills:
    """All states of the terminals that share the journal of the till `identity`."""

    def __init__(self, identity: Identity, activities: Mapping[str, Activity]) -> None:
        self.store: Store[TillValue] = Store()
        self.executed = 0
        self._identity = identity
        self._activities = dict(activities)
        self._journal, empty = _real_journal(identity)
        self._open(empty)
        self._began: dict[tuple[int, str], Went] = {}
        self._resumed: dict[tuple[int, Reply], Went] = {}
        self._facts: dict[int, TillFacts] = {}
        self.first = self._idle()

    def begin(self, idle: int, activity: str) -> Went:
        found = self._began.get((idle, activity))
        if found is None:
            journal = self.store.values[idle]
            if isinstance(journal, Busy):
                raise TypeError("this terminal does something already")
            before = self.store.digests[idle]
            found = self._began[idle, activity] = self._go(journal, before, activity, ())
        return found

    def resume(self, busy: int, reply: Reply) -> Went:
        found = self._resumed.get((busy, reply))
        if found is None:
            value = self.busy(busy)
            replies = (*value.replies, reply)
            found = self._resumed[busy, reply] = self._go(value.journal, value.before, value.activity, replies)
        return found

    def busy(self, state: int) -> Busy:
        value = self.store.values[state]
        if not isinstance(value, Busy):
            raise TypeError("this terminal is idle")
        return value

    def call(self, state: int) -> Call | None:
        """What a busy terminal waits for; None for an idle one."""
        value = self.store.values[state]
        return value.call if isinstance(value, Busy) else None

    def die(self, busy: int) -> int:
        """The terminal after its process was killed while it waited."""
        value = self.busy(busy)
        self._run(value.journal, value.activity, value.replies, [])
        return self._idle()

    def facts(self, state: int) -> TillFacts:
        found = self._facts.get(state)
        if found is None:
            value = self.store.values[state]
            if isinstance(value, Busy):
                self._run(value.journal, value.activity, value.replies, [])
            else:
                self._open(zlib.decompress(value))
            found = self._facts[state] = self._read()
        return found

    def _read(self) -> TillFacts:
        journal = self._journal
        sales = tuple(
            SaleFact(sale.k, str(sale.state), sale.amount, sale.request.hash, sale.voucher_hash or b"")
            for sale in journal.sales()
        )
        transfers = tuple(
            SaleFact(one.k, str(one.state), one.amount, b"", one.voucher_hash or b"") for one in journal.transfers()
        )
        unsent = any(sale.state == "PAID" for sale in sales) or bool(journal.unsent_refusals())
        return TillFacts(sales, transfers, unsent or bool(journal.unanswered()))

    def _go(self, journal: bytes, before: bytes, activity: str, replies: tuple[Reply, ...]) -> Went:
        deaths: list[int] = []
        call, ended = self._run(journal, activity, replies, deaths)
        if call is None:
            after = self._idle()
        else:
            now = self._content()
            said = digest(_bytes_of(reply) for reply in replies)
            content = digest((b"busy", before, now, activity.encode(), said))
            after = self.store.add(content, Busy(journal, before, activity, replies, call))
        return Went(after, call, ended, tuple(one for one in dict.fromkeys(deaths) if one != after))

    def _run(
        self, journal: bytes, activity: str, replies: tuple[Reply, ...], deaths: list[int]
    ) -> tuple[Call | None, str]:
        """The real program, from its beginning; each journal that it leaves at a step is noted in `deaths`."""
        self.executed += 1
        self._open(zlib.decompress(journal))
        script = Script(replies)
        seen = self._memory.total_changes

        def step(_name: str) -> None:
            nonlocal seen
            if script.over and self._memory.total_changes != seen:
                seen = self._memory.total_changes
                deaths.append(self._idle())

        bench = Bench(self._identity, self._journal, script, TestClock(), step)
        try:
            return None, self._activities[activity](bench)
        except Suspended as waiting:
            return waiting.call, ""
        except EcnyError as error:
            return None, error.code

    def _open(self, database: bytes) -> None:
        """A connection of its own for each run: a suspended program may still hold cursors of the last one."""
        self._memory = sqlite3.connect(":memory:", isolation_level=None)
        self._memory.execute("PRAGMA foreign_keys = ON")
        self._memory.deserialize(database)
        self._journal._db = self._memory

    def _content(self) -> bytes:
        return digest(rows(self._memory, _NOT_STATE, _NOT_CONTENT))

    def _idle(self) -> int:
        content = digest((b"idle", self._content()))
        known = self.store.find(content)
        return known if known is not None else self.store.add(content, zlib.compress(self._memory.serialize(), 1))


def _bytes_of(reply: Reply) -> bytes:
    match reply:
        case None:
            return b"nothing"
        case Response():
            return b"response " + repr(reply).encode()
        case _:
            return b"answer " + reply


def _real_journal(identity: Identity) -> tuple[Journal, bytes]:
    """A journal as the till makes it, and its content as a database that may live in memory."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "till.db"
        journal = Journal(path, till=identity.id, now_ms=TestClock().now_ms)
        journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        journal._db.execute("PRAGMA journal_mode = DELETE")
        journal.close()
        return journal, path.read_bytes()


def _nobody(_line: str) -> None:
    """Nobody looks at the display."""
