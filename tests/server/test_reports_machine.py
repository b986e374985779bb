"""Honest purses, tills and an operator, in any order of events: once everything is told, not a fen differs.

Purses take the real decisions of wallet_core. Tills cancel and deposit late; terminals lose messages, repeat them
and bring reports out of order. In between the books are sound; at the end each shadow is what its purse holds.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.reports.service import Answered
from support.enrolled import SAM, enrol, evidence, paid_load, pays, pays_till
from support.keys import NOW, OPERATOR_PURSE
from support.operator_world import Bank, TillDouble, World
from support.purses import Purse
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal
from wallet_core.messages import Request, Voucher, parse
from wallet_core.purse.state import EntryState, SlotState

CARDS, SAMS, TILLS = 2, 2, 1
PURSES = st.integers(0, CARDS + SAMS - 1)
AMOUNTS = st.sampled_from([1, 30, 100])


@dataclass
class Counter:
    """A till with what it has not handed in yet: vouchers, and Requests that it has given up."""

    till: TillDouble
    vouchers: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)


class Endings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # thousands of commits: durability is tested elsewhere
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.bank = Bank(World.make(Path(self._directory.name)))
        merchant = self.bank.parts.tills.add_merchant("Shop", NOW).merchant
        cards = [enrol(self.bank, f"card {i}", loaded=500) for i in range(CARDS)]
        self.purses = cards + [enrol(self.bank, f"sam {i}", SAM, merchant=merchant) for i in range(SAMS)]
        self.tills = [Counter(self.bank.till(f"till {i}")) for i in range(TILLS)]
        self.told: list[bytes] = []  # everything that terminals have seen
        self.reports: list[tuple[Purse, bytes]] = []
        self.answers: list[tuple[Purse, Answered]] = []
        self.loads = 0

    @rule(payer=PURSES, payee=PURSES, amount=AMOUNTS, collect=st.booleans(), refuse=st.booleans())
    def transfer(self, payer: int, payee: int, amount: int, collect: bool, refuse: bool) -> None:
        """Between purses; `refuse`: given up before the voucher reaches the payee."""
        giver, taker = self.purses[payer], self.purses[payee]
        if giver is taker:
            return
        try:
            voucher = pays(giver, taker, amount)
        except PurseRefusal:
            return
        self.told.append(voucher)
        if collect:
            self.told.append(taker.collect(voucher, giver.party.certificate.subject_class))
        elif refuse:
            self.told.append(taker.refuse(parse(Voucher, voucher).message.request_hash))

    @rule(card=st.integers(0, CARDS - 1), till=st.integers(0, TILLS - 1), amount=AMOUNTS, cancelled=st.booleans())
    def sale(self, card: int, till: int, amount: int, cancelled: bool) -> None:
        counter = self.tills[till]
        try:
            voucher, request_hash = pays_till(self.purses[card], counter.till, amount)
        except PurseRefusal:
            return
        if cancelled:  # its answer was lost
            counter.refused.append(request_hash)
        else:
            counter.vouchers.append(voucher)

    @rule(till=st.integers(0, TILLS - 1))
    def sync(self, till: int) -> None:
        counter = self.tills[till]
        refusals = [counter.till.refusal(request_hash) for request_hash in counter.refused]
        self.bank.settle(counter.till.batch(counter.vouchers, refusals))
        counter.vouchers, counter.refused = [], []

    @rule(card=st.integers(0, CARDS - 1), amount=AMOUNTS, refuse=st.booleans())
    def load(self, card: int, amount: int, refuse: bool) -> None:
        self.loads += 1
        purse = self.purses[card]
        try:
            voucher = paid_load(self.bank, purse, amount, f"load {self.loads}")
        except PurseRefusal:
            return
        request_hash = parse(Voucher, voucher).message.request_hash
        self.told.append(
            purse.refuse(request_hash) if refuse else purse.collect(voucher, CertificateClass.OPERATOR_PURSE)
        )

    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        """Some of what was seen, in any order."""
        if self.told:
            evidence(self.bank, *data.draw(st.lists(st.sampled_from(self.told), max_size=4), label="told"))

    @rule(purse=PURSES, handed_in=st.booleans(), taken=st.booleans(), whole=st.booleans())
    def report(self, purse: int, handed_in: bool, taken: bool, whole: bool) -> None:
        shown = self.purses[purse]
        self.reports.append((shown, shown.report()))
        if handed_in:
            answered = self.hand_in(shown, shown.report(), whole=whole)
            if taken:
                self.take(shown, answered)

    @rule(data=st.data())
    def report_again(self, data: st.DataObject) -> None:
        """An old one, by whoever has kept it."""
        if self.reports:
            purse, raw = data.draw(st.sampled_from(self.reports), label="report")
            self.hand_in(purse, raw, whole=False)

    @rule(data=st.data())
    def take_again(self, data: st.DataObject) -> None:
        """A grant and orders that were overtaken reach the purse late."""
        if self.answers:
            self.take(*data.draw(st.sampled_from(self.answers), label="answer"))

    @rule(purse=PURSES, share=st.sampled_from([1, 2]))
    def unload(self, purse: int, share: int) -> None:
        payer = self.purses[purse]
        amount = payer.state.balance // share
        if amount:
            self.loads += 1
            key = self.loads.to_bytes(32, "big")
            asked = self.bank.parts.unloads.begin(key, payer.id, 1, payer.state.next_n, amount, NOW)
            try:
                self.told.append(payer.pay(asked.request, payee=OPERATOR_PURSE))
            except PurseRefusal:
                return

    def hand_in(self, purse: Purse, raw: bytes, *, whole: bool) -> Answered:
        stored = [slot.voucher for slot in purse.state.slots if slot.voucher] if whole else []
        answered = self.bank.parts.reports.report(raw, stored, [], NOW)
        self.answers.append((purse, answered))
        return answered

    def take(self, purse: Purse, answered: Answered) -> None:
        for order in answered.orders:
            try:
                purse.reverse(order)
            except PurseRefusal:
                continue  # it is over already
        purse.grant(answered.grant)

    @invariant()
    def the_books_are_sound(self) -> None:
        assert self.bank.ledger().faults == ()

    @invariant()
    def nobody_honest_is_suspected(self) -> None:
        with self.bank.parts.storage.reading() as tx:
            assert tx.standings() == []
        assert self.bank.ledger().loss == 0

    def teardown(self) -> None:
        try:
            self.come_home()
        finally:
            self.bank.close()
            self._directory.cleanup()

    def come_home(self) -> None:
        """Everybody finishes: OPEN Requests, deposits, reports. Then everything is where it belongs (I1, I3)."""
        slots = {slot.request_hash: slot.voucher for purse in self.purses for slot in purse.state.slots if slot.voucher}
        for payee in self.purses:
            for entry in payee.state.table:
                if entry.state is EntryState.OPEN and entry.request_hash in slots:
                    payer = next(p for p in self.purses if p.id == parse(Request, entry.request).message.payer)
                    payee.collect(slots[entry.request_hash], payer.party.certificate.subject_class)
                elif entry.state is EntryState.OPEN:
                    payee.refuse(entry.request_hash)
        for at in range(TILLS):
            self.sync(at)
        evidence(self.bank, *reversed(self.told))
        for _ in range(2):
            for purse in self.purses:
                self.take(purse, self.hand_in(purse, purse.report(), whole=True))
        for purse in self.purses:
            self.take(purse, self.hand_in(purse, purse.report(), whole=True))
            held = purse.state
            assert not any(slot.state is not SlotState.FREE for slot in held.slots)
            assert not any(entry.state is not EntryState.FREE for entry in held.table)
            assert (held.exposure, held.payments_since_grant, held.in_acked) == (0, 0, held.total_in)
        ledger = self.bank.ledger()
        shadows = ledger.facts()["card_shadows"]
        assert {purse.id.hex(): purse.state.balance for purse in self.purses} == shadows
        assert ledger.in_flight == 0


Endings.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestEndings = Endings.TestCase
