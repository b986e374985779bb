"""kill -9 of a real server process at every step of a deposit and of a load: nothing lost, nothing doubled.

Each round starts a server that dies at one step. The client sends, gets no answer, and sends the very same bytes to the
next server, which must answer as if nothing had happened. `make test` counts the kills.
"""

from __future__ import annotations

import functools
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.ledger.report import LedgerReport
from support import tally
from support.keys import OPERATOR
from support.operator_world import TOKEN, CardDouble, Site
from support.server_process import ServerProcess
from support.tree import ROOT, modules
from wallet_core.messages import DepositAnswer, DepositStatus, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE

LEDGER_MD = (ROOT / "docs" / "spec" / "ledger.md").read_text(encoding="utf-8")
OPERATOR_CALL = {"Authorization": f"Bearer {TOKEN}"}
COSE = {"Content-Type": "application/cose"}
DEPOSIT_STEPS = [
    "deposit.received",
    "deposit.verified",
    "deposit.begun",
    "deposit.decided",
    "deposit.written",
    "deposit.committed",
]
LOAD_STEPS = [
    "load.begin-written",
    "load.begin-committed",
    "load.pay-written",
    "load.pay-committed",
    "load.pay-signed",
    "load.receipt-written",
    "load.receipt-committed",
]
ISSUED, LOADED = 1_000_000, 90_000


class Load:
    """One load as a terminal does it: every step can be sent again, with the same key and the same bytes."""

    def __init__(self, card: CardDouble, amount: int, name: str) -> None:
        self._card, self._amount, self._name = card, amount, name
        self._begun: dict[str, Any] | None = None
        self._request = self._receipt = b""

    def run(self, server: ServerProcess) -> None:
        """Go on from where it stopped; raises httpx.TransportError when the server dies."""
        if self._begun is None:
            headers = {**OPERATOR_CALL, "Idempotency-Key": self._name.replace(" ", "-")}
            asked = {"card": self._card.id.hex(), "amount": self._amount}
            self._begun = server.http.post("/v1/loads", json=asked, headers=headers).raise_for_status().json()
        begun = self._begun or {}
        if not self._request:
            fields = (bytes.fromhex(begun["payer"]), begun["epoch"], begun["n"], self._amount)
            self._request = self._card.request_to(*fields, bytes.fromhex(begun["order_hash"])).to_bytes()
        if not self._receipt:
            address = f"/v1/loads/{begun['load']}/request"
            paid = server.http.post(address, content=self._request, headers=COSE | OPERATOR_CALL).raise_for_status()
            self._receipt = self._card.receipt(bytes.fromhex(paid.json()["voucher"]))
        server.http.post("/v1/receipts", content=self._receipt, headers=COSE).raise_for_status()


class Shop:
    """An installed operator, a card and a till that it has enrolled, and the servers that come and go."""

    def __init__(self, data: Path) -> None:
        self.site = Site(data)
        with self.site.bank() as bank:
            self.card = bank.card("visitor", LOADED)
            self.till = bank.till("t")

    def server(self, crash_at: str, *, again: bool) -> ServerProcess:
        """One that dies at `crash_at`, or at its second passing when an earlier call is sent `again` first."""
        times = ":2" if crash_at and again else ""
        return ServerProcess(
            self.site.data, self.site.data / "server.log", crash_at=crash_at + times, arguments=("--workers", "0")
        )


def dies(server: ServerProcess, action: Callable[[], object]) -> None:
    with pytest.raises(httpx.TransportError):
        action()
    assert server.wait() == -signal.SIGKILL


def send(server: ServerProcess, batch: bytes) -> bytes:
    return server.http.post("/v1/deposits", content=batch, headers=COSE).raise_for_status().content


def test_at_every_step_of_a_deposit(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    waiting, settled, harm = b"", 0, Harm()
    for crash_at in [*DEPOSIT_STEPS, ""]:
        with shop.server(crash_at, again=bool(waiting)) as server:
            if waiting:
                raw = send(server, waiting)
                answer = parse(DepositAnswer, raw, max_size=MAX_ANSWER_SIZE).verify(OPERATOR.key.public)
                assert (answer.credited, answer.voucher_statuses) == (10, (DepositStatus.SETTLED,) * 2)
                assert send(server, waiting) == raw
                settled += 10
            if crash_at:
                waiting = shop.till.batch([shop.card.voucher(shop.till, 7), shop.card.voucher(shop.till, 3)])
                dies(server, functools.partial(send, server, waiting))
        books = shop.site.ledger()
        harm.look(books, acknowledged=settled, possible=settled + 10, found=books.wallets)
    assert (books.wallets, books.cards) == (settled, LOADED - settled)
    assert len(books.settled) == 2 * len(DEPOSIT_STEPS)
    harm.record(len(DEPOSIT_STEPS))


def test_at_every_step_of_a_load(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    waiting: Load | None = None
    collected, harm = 0, Harm()
    for number, crash_at in enumerate([*LOAD_STEPS, ""]):
        with shop.server(crash_at, again=waiting is not None) as server:
            if waiting is not None:
                waiting.run(server)
                collected += 500
            if crash_at:
                waiting = Load(shop.card, 500, f"load {number}")
                dies(server, functools.partial(waiting.run, server))
        books = shop.site.ledger()
        found = books.cards + books.in_flight - LOADED
        harm.look(books, acknowledged=collected, possible=collected + 500, found=found)
        assert books.operator_purses == ISSUED - LOADED - found
    assert (books.cards, books.in_flight) == (LOADED + collected, 0)
    assert collected == 500 * len(LOAD_STEPS)
    harm.record(len(LOAD_STEPS))


class Harm:
    """What the books show after each kill: everything acknowledged is there, nothing is there twice."""

    def __init__(self) -> None:
        self._lost = self._doubled = 0

    def look(self, books: LedgerReport, *, acknowledged: int, possible: int, found: int) -> None:
        assert books.faults == ()
        self._lost += found < acknowledged
        self._doubled += found > possible

    def record(self, kills: int) -> None:
        tally.record("kills", kills, lost=self._lost, doubled=self._doubled)
        assert (self._lost, self._doubled) == (0, 0)


def test_these_are_all_the_steps() -> None:
    named = {
        step
        for path in modules("server").values()
        for step in re.findall(r'checkpoint\("([a-z.-]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert named == {*DEPOSIT_STEPS, *LOAD_STEPS}
    listed = re.findall(r"^\| `((?:deposit|load)\.[a-z-]+)` \|", LEDGER_MD, re.MULTILINE)
    assert listed == [*DEPOSIT_STEPS, *LOAD_STEPS]
