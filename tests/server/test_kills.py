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
from support.enrolled import CARD, SAM, enrol, pays, pays_till
from support.keys import OPERATOR, OPERATOR_PURSE
from support.operator_world import TOKEN, CardDouble, Site
from support.server_process import ServerProcess
from support.tree import ROOT, modules
from wallet_core.messages import DepositAnswer, DepositStatus, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE
from wallet_core.purse.state import SlotState

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
ENDING_STEPS = ["evidence.written", "evidence.committed", "report.written", "report.committed"]
UNLOAD_STEPS = [
    "unload.begin-written",
    "unload.begin-committed",
    "unload.pay-written",
    "unload.pay-committed",
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

    def server(self, crash_at: str, *, passed: int) -> ServerProcess:
        """One that dies at `crash_at`, after earlier calls that are sent again first have `passed` it so often."""
        times = f":{passed + 1}" if crash_at else ""
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
        with shop.server(crash_at, passed=int(bool(waiting))) as server:
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
        with shop.server(crash_at, passed=int(waiting is not None)) as server:
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


def test_at_every_step_of_evidence_and_of_a_report(tmp_path: Path) -> None:
    """A payment to a merchant's purse, and one to a till that has refused it: told together, answered with an order."""
    shop, harm = Shop(tmp_path), Harm()
    with shop.site.bank() as bank:
        card, sam = enrol(bank, "card", loaded=1_000), enrol(bank, "sam", SAM)
    collected, orders, waiting = 0, list[str](), b""

    def tell(server: ServerProcess) -> None:
        messages = {"messages": [waiting.hex(), sam.collect(waiting, CARD).hex()]}
        server.http.post("/v1/evidence", json=messages).raise_for_status()
        stored = [slot.voucher.hex() for slot in card.state.slots if slot.voucher]
        body = {"report": card.report().hex(), "vouchers": stored}
        answer = server.http.post("/v1/reports", json=body).raise_for_status().json()
        orders[:] = answer["orders"]
        card.grant(bytes.fromhex(answer["grant"]))

    for crash_at in [*ENDING_STEPS, ""]:
        with shop.server(crash_at, passed=2 * bool(waiting)) as server:
            if waiting:
                tell(server)
                collected += 10
                assert len(orders) == 1
                card.reverse(bytes.fromhex(orders[0]))
                tell(server)
                assert orders == []
            if crash_at:
                _, request_hash = pays_till(card, shop.till, 7)
                send(server, shop.till.batch([], [shop.till.refusal(request_hash)]))
                waiting = pays(card, sam, 10)
                dies(server, functools.partial(tell, server))
        books = shop.site.ledger()
        found = books.facts()["card_shadows"][sam.id.hex()]
        harm.look(books, acknowledged=collected, possible=collected + 10, found=found)
    assert (books.wallets, books.in_flight, collected) == (0, 0, 10 * len(ENDING_STEPS))
    assert card.state.balance == 1_000 - collected
    assert books.facts()["card_shadows"][card.id.hex()] == 1_000 - collected
    harm.record(len(ENDING_STEPS))


def test_at_every_step_of_an_unload(tmp_path: Path) -> None:
    shop, harm = Shop(tmp_path), Harm()
    with shop.site.bank() as bank:
        card = enrol(bank, "card", loaded=1_000)
    paid, receipt = 0, b""

    def unload(server: ServerProcess, key: str) -> bytes:
        n = next((slot.n for slot in card.state.slots if slot.state is SlotState.PENDING), card.state.next_n)
        asked = {"purse": card.id.hex(), "epoch": 1, "n": n, "amount": 10}
        headers = {**OPERATOR_CALL, "Idempotency-Key": key}
        begun = server.http.post("/v1/unloads", json=asked, headers=headers).raise_for_status().json()
        voucher = card.pay(bytes.fromhex(begun["request"]), payee=OPERATOR_PURSE)
        address = f"/v1/unloads/{begun['unload']}/voucher"
        answer = server.http.post(address, content=voucher, headers=COSE).raise_for_status().json()
        return bytes.fromhex(answer["receipt"])

    passed = {
        "unload.begin-written": 0,
        "unload.begin-committed": 1,
        "unload.pay-written": 2,
        "unload.pay-committed": 2,
    }
    for number, crash_at in enumerate([*UNLOAD_STEPS, ""]):
        with shop.server(crash_at, passed=passed.get(crash_at, 0)) as server:
            if number:
                receipt = unload(server, f"unload-{number - 1}")
                assert unload(server, f"unload-{number - 1}") == receipt
                card.acknowledge(receipt, OPERATOR_PURSE)
                paid += 10
            if crash_at:
                dies(server, functools.partial(unload, server, f"unload-{number}"))
        books = shop.site.ledger()
        harm.look(books, acknowledged=paid, possible=paid + 10, found=books.redeemed)
    assert (books.redeemed, card.state.balance) == (paid, 1_000 - paid)
    assert paid == 10 * len(UNLOAD_STEPS)
    harm.record(len(UNLOAD_STEPS))


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
    listed = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \|", LEDGER_MD, re.MULTILINE)
    assert named == set(listed)
    at_the_desk = [step for step in listed if step.partition(".")[0] in {"refund", "dead", "review"}]
    assert listed == [*DEPOSIT_STEPS, *LOAD_STEPS, *ENDING_STEPS, *UNLOAD_STEPS, *at_the_desk]
