"""Two purses with torn flash, a till and an operator, against dictionaries that know how every transfer ends.

Messages pile up and are delivered in any order, any number of times, also to the wrong purse; the operator makes grants
of old and new reports, and any of them may come again. Each command is torn at a drawn cell, done twice, or given up.
After each step: I1 no fen is lost, I2 one outcome, I3 every debit has its voucher, I4 counters, I5 limits, I6 and I7.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome
from support.cards import CardInHand, make_world, merchant_sam, personalised_card, record_of
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.messages import Grant, Request, Voucher, parse
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, EntryState, PurseState, SlotState

WORLD = make_world("endings machine")
EVERY_PURSE = sum(1 << one for one in CertificateClass if one.is_purse)
LIMITS: dict[str, Any] = {
    "balance_limit": 8_000,
    "transfer_limit": 2_000,
    "offline_total": 4_000,
    "offline_count": 7,
    "pin_threshold": 10**9,
    "unverified_total": 10**9,
    "payee_threshold": 1_500,
}
LOAD = 5_000
TORN = "torn"
FREE, PENDING, COLLECTED, REVERSED = SlotState
OPEN, REFUSED = EntryState.OPEN, EntryState.REFUSED

amounts = st.sampled_from([1, 2, 100, 100, 700, 1_500, 1_501, 2_000, 2_001, 0])
faults = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.sampled_from([Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER]), st.just(0), st.just(Outcome.OLD)),
    st.tuples(st.just(Tear.DURING), st.integers(0, 8), st.sampled_from(list(Outcome))),
)
Fault = tuple[Tear, int, Outcome] | None
pick = st.one_of(st.just(0), st.integers(0, 30))
side = st.integers(0, 1)

seen: Counter[str] = Counter()


@dataclass
class Asked:
    """A Request of purse `payee`; `state` is FREE once a grant has taken it out of the table."""

    payee: int
    payer: int
    k: int
    n: int
    amount: int
    verified: bool
    request: bytes
    state: EntryState = OPEN
    answer: bytes = b""


@dataclass
class Paid:
    """A voucher of purse `payer`; `asked` is None where a till is paid.

    `kept`: whether the payee has kept it, once decided. `state` is that of its slot, FREE once a grant has freed it.
    """

    payer: int
    n: int
    amount: int
    voucher: bytes
    asked: Asked | None
    state: SlotState = PENDING
    kept: bool | None = None


@dataclass
class Sums:
    """What a purse has to show, in fen and counters."""

    total_in: int = LOAD
    total_out: int = 0
    total_reversed: int = 0
    out_acked: int = 0
    in_acked: int = LOAD
    n_acked: int = 1
    next_n: int = 1
    next_k: int = 2

    @property
    def balance(self) -> int:
        return self.total_in + self.total_reversed - self.total_out


class EndingsMachine(RuleBasedStateMachine):
    """`sums`: per purse; `asked`, `paid`: everything ever; `grants`: (purse, message), oldest first."""

    hands: list[CardInHand]

    @initialize(friends=st.booleans())
    def make(self, friends: bool) -> None:
        """A card and a merchant's SAM, or two cards whose policies let them pay each other."""
        card = personalised_card(WORLD, load=LOAD, **LIMITS, payee_classes=EVERY_PURSE, payer_classes=EVERY_PURSE)
        other = (
            personalised_card(WORLD, b"Card  02", **LIMITS, payee_classes=EVERY_PURSE, payer_classes=EVERY_PURSE)
            if friends
            else merchant_sam(WORLD, **LIMITS)
        )
        other.load(LOAD, n=2)
        self.hands, self.friends = [card, other], friends
        self.ids = [hand.wallet.select().purse_id for hand in self.hands]
        self.papers = [(hand.wallet.certificate(), hand.wallet.operator_certificate()) for hand in self.hands]
        self.keys = [Certificate.from_bytes(certificate).key for certificate, _ in self.papers]
        self.sums = [Sums(), Sums()]
        self.loads = [COLLECTED, COLLECTED]  # the loads' entries, k 1
        self.asked: list[Asked] = []
        self.paid: list[Paid] = []
        self.reports: list[tuple[int, bytes]] = []
        self.grants: list[tuple[int, bytes]] = []
        self.orders = 0

    # Sending

    def send(self, at: int, command: str, call: Callable[[], bytes | None], fault: Fault, again: bool) -> Any:
        """The answer, a Refused, or TORN for what was torn before it did anything and is not sent `again`."""
        hand, before = self.hands[at], self.state(at)
        if fault is not None:
            tear, cell, outcome = fault
            hand.plans.plans.append(FaultPlan(tear, command=command, at=cell, outcome=outcome))
        try:
            answer = call()
        except PurseRefusal as refusal:
            seen[f"{command} {refusal.reason.name}"] += 1
            assert self.state(at) == before, "a refusal leaves no trace"
            return refusal.reason
        except OutcomeUnknownError:
            hand.tap()
            torn = self.state(at)
            moved = torn != before
            seen[f"{command} torn {'after' if moved else 'before'}"] += 1
            if not moved and not again:
                return TORN
            answer = self.send(at, command, call, None, False)
            assert not moved or self.state(at) == torn, "done is done (I7)"
            return answer
        finally:
            hand.plans.plans.clear()
        after = self.state(at)
        assert call() == answer
        assert self.state(at) == after, "twice is once (I6)"
        seen[command if after != before else f"{command} again"] += 1
        return answer

    def state(self, at: int) -> PurseState:
        return record_of(self.hands[at]).purse

    def check(self, said: Any, expected: Refused | None) -> bool:
        """Whether the command had its effect, which it must have had unless it was `expected` to be refused."""
        if said is TORN:
            return False
        assert (said if isinstance(said, Refused) else None) is expected, (said, expected)
        return expected is None

    # The two purses

    def used(self, at: int) -> int:
        return sum(one.state is not FREE for one in self.paid if one.payer == at)

    def entries(self, at: int) -> list[Asked]:
        return [one for one in self.asked if one.payee == at and one.state is not EntryState.FREE]

    def reserved(self, at: int) -> int:
        return sum(one.amount for one in self.entries(at) if one.state is OPEN)

    def no_request(self, at: int, amount: int) -> Refused | None:
        if len(self.entries(at)) + (self.loads[at] is not EntryState.FREE) == TABLE_SIZE:
            return Refused.SLOTS_FULL
        if amount == 0:
            return Refused.AMOUNT
        if self.sums[at].balance + self.reserved(at) + amount > LIMITS["balance_limit"]:
            return Refused.BALANCE_LIMIT
        return None

    @rule(payee=side, amount=amounts, verified=st.booleans(), fault=faults, again=st.booleans())
    def ask(self, payee: int, amount: int, verified: bool, fault: Fault, again: bool) -> None:
        payer, sums, wallet = 1 - payee, self.sums[payee], self.hands[payee].wallet
        self.orders += 1
        question = (self.ids[payer], 1, self.sums[payer].next_n, amount, WORLD.digest(f"order {self.orders}"))
        if verified:
            command, call = "REQUEST, payer verified", lambda: wallet.request_verified(*question, *self.papers[payer])
        else:
            command, call = "REQUEST", lambda: wallet.request(*question)
        said = self.send(payee, command, call, fault, again)
        if self.check(said, self.no_request(payee, amount)):
            self.asked.append(Asked(payee, payer, sums.next_k, question[2], amount, verified, said))
            sums.next_k += 1

    def no_payment(self, at: int, n: int, amount: int, *, verified: bool) -> Refused | None:
        sums = self.sums[at]
        staged = at == 0 or self.friends
        spendable = sums.in_acked + sums.total_reversed - sums.total_out if staged else sums.balance
        for reason, applies in (
            (Refused.STALE, n != sums.next_n),
            (Refused.SLOTS_FULL, self.used(at) == SLOT_COUNT),
            (Refused.PAYEE_UNVERIFIED, not verified and amount > LIMITS["payee_threshold"]),
            (Refused.AMOUNT, amount == 0),
            (Refused.TRANSFER_LIMIT, amount > LIMITS["transfer_limit"]),
            (Refused.OFFLINE_TOTAL, sums.total_out - sums.out_acked + amount > LIMITS["offline_total"]),
            (Refused.OFFLINE_COUNT, sums.next_n - sums.n_acked >= LIMITS["offline_count"]),
            (Refused.INSUFFICIENT, amount > min(sums.balance, spendable)),
        ):
            if applies:
                return reason
        return None

    def debit(self, at: int, n: int, amount: int, voucher: bytes, asked: Asked | None) -> None:
        message = parse(Voucher, voucher).verify(self.keys[at])
        assert (message.n, message.amount) == (n, amount)
        given_up = asked is not None and asked.answer  # refused before it was paid
        self.paid.append(Paid(at, n, amount, voucher, asked, kept=False if given_up else None))
        self.sums[at].total_out += amount
        self.sums[at].next_n += 1

    @precondition(lambda self: self.asked)
    @rule(which=pick, verified=st.booleans(), fault=faults, again=st.booleans())
    def pay(self, which: int, verified: bool, fault: Fault, again: bool) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        wallet, at = self.hands[asked.payer].wallet, asked.payer
        if verified:
            papers = self.papers[asked.payee]
            command, call = "PAY, payee verified", lambda: wallet.pay_verified(asked.request, *papers)
        else:
            payload = parse(Request, asked.request).message.to_payload()
            command, call = "PAY", lambda: wallet.pay(payload)
        said = self.send(at, command, call, fault, again)
        known = next((one for one in self.paid if one.asked is asked and one.state is not FREE), None)
        if known is not None:
            assert said in (known.voucher, TORN), "one Request, one voucher (I2)"
        elif self.check(said, self.no_payment(at, asked.n, asked.amount, verified=verified)):
            self.debit(at, asked.n, asked.amount, said, asked)

    @rule(at=side, amount=amounts, fault=faults)
    def pay_till(self, at: int, amount: int, fault: Fault) -> None:
        """An account payee: it gives no Receipt, and its Refusal is for its operator."""
        if at == 1 and not self.friends:
            at = 0  # a SAM does not pay tills
        self.orders += 1
        n = self.sums[at].next_n
        request = WORLD.till_request(self.hands[at].wallet.select(), amount, k=self.orders, order=f"{self.orders}")
        said = self.send(at, "PAY", lambda: self.hands[at].wallet.pay(request.to_payload()), fault, True)
        if self.check(said, self.no_payment(at, n, amount, verified=False)):
            self.debit(at, n, amount, said, None)

    @precondition(lambda self: any(one.asked for one in self.paid))
    @rule(which=pick, fault=faults, again=st.booleans())
    def collect(self, which: int, fault: Fault, again: bool) -> None:
        to_purses = [one for one in self.paid if one.asked]
        paid = to_purses[-1 - which % len(to_purses)]
        asked = paid.asked
        assert asked is not None
        wallet, papers = self.hands[asked.payee].wallet, self.papers[paid.payer]
        said = self.send(asked.payee, "COLLECT", lambda: wallet.collect(paid.voucher, *papers), fault, again)
        closed = Refused.REQUEST_CLOSED if asked.state in (REFUSED, EntryState.FREE) else None
        if self.friends and asked.state is not EntryState.COLLECTED:
            unasked = asked.state is EntryState.FREE or not asked.verified
            closed = Refused.PAYEE_CLASS if unasked else closed
        if self.check(said, closed):
            if asked.state is OPEN:
                self.sums[asked.payee].total_in += paid.amount
                asked.state, asked.answer, paid.kept = EntryState.COLLECTED, said, True
            assert said == asked.answer

    @precondition(lambda self: self.asked)
    @rule(which=pick, fault=faults, again=st.booleans())
    def refuse(self, which: int, fault: Fault, again: bool) -> None:
        asked = self.asked[-1 - which % len(self.asked)]
        request_hash = parse(Request, asked.request).hash
        said = self.send(
            asked.payee, "REFUSE", lambda: self.hands[asked.payee].wallet.refuse(request_hash), fault, again
        )
        expected = None if asked.state in (OPEN, REFUSED) else Refused.REQUEST_CLOSED
        if self.check(said, expected):
            assert said == asked.answer or asked.state is OPEN
            asked.state, asked.answer = REFUSED, said
            for paid in self.paid:
                if paid.asked is asked:
                    paid.kept = False

    @rule(payee=side, amount=st.integers(1, 900), steps=st.integers(2, 4), fault=faults, again=st.booleans())
    def transfer(self, payee: int, amount: int, steps: int, fault: Fault, again: bool) -> None:
        """The first steps of a whole transfer, the last of them torn: drawn one by one they seldom come that far."""
        before = len(self.asked), len(self.paid)
        self.ask(payee, amount, True, None, True)
        if len(self.asked) > before[0]:
            self.pay(0, False, fault if steps == 2 else None, again)
        if len(self.paid) > before[1] and steps > 2:
            self.collect(0, fault if steps == 3 else None, again)
        if self.asked and self.asked[-1].answer and steps > 3:
            self.acknowledge(0, fault, again)

    # Endings

    def end(self, paid: Paid | None, said: Any, target: SlotState) -> None:
        """What an outcome does to the slot that it is for."""
        gone = paid is None or paid.state is FREE
        if self.check(said, Refused.NOT_FOUND if gone else None) and paid is not None and paid.state is PENDING:
            self.sums[paid.payer].total_reversed += paid.amount if target is REVERSED else 0
            paid.state = target

    @precondition(lambda self: any(one.state in (EntryState.COLLECTED, REFUSED) for one in self.asked))
    @rule(which=pick, fault=faults, again=st.booleans())
    def acknowledge(self, which: int, fault: Fault, again: bool) -> None:
        """A Receipt or a Refusal reaches the payer, also of what it has never paid."""
        final = [one for one in self.asked if one.answer]
        asked = final[-1 - which % len(final)]
        wallet, papers = self.hands[asked.payer].wallet, self.papers[asked.payee]
        paid = next((one for one in self.paid if one.asked is asked), None)
        if paid is not None and paid.kept:
            call = lambda: wallet.acknowledge(asked.answer, *papers)  # noqa: E731
            self.end(paid, self.send(asked.payer, "ACKNOWLEDGE", call, fault, again), COLLECTED)
        else:
            call = lambda: wallet.acknowledge_refusal(asked.answer, *papers)  # noqa: E731
            self.end(paid, self.send(asked.payer, "ACKNOWLEDGE refusal", call, fault, again), REVERSED)

    @precondition(lambda self: any(not one.asked for one in self.paid))
    @rule(which=pick, deposit=st.booleans(), fault=faults, again=st.booleans())
    def till_decides(self, which: int, deposit: bool, fault: Fault, again: bool) -> None:
        """Its operator's database decides, once; a refusal becomes an order to the payer."""
        to_till = [one for one in self.paid if not one.asked]
        paid = to_till[-1 - which % len(to_till)]
        if paid.kept is None:
            paid.kept = deposit
        if not paid.kept:
            wallet, order = self.hands[paid.payer].wallet, WORLD.order_for(paid.voucher)
            self.end(paid, self.send(paid.payer, "REVERSE", lambda: wallet.reverse(order), fault, again), REVERSED)

    @rule(at=side)
    def report(self, at: int) -> None:
        self.reports.append((at, self.send(at, "REPORT", self.hands[at].wallet.report, None, True)))

    @precondition(lambda self: self.reports)
    @rule(which=pick, told=st.booleans())
    def operator_grants(self, which: int, told: bool) -> None:
        """Of any report, new or old; `told`: it has seen who kept what, not only what the report says itself."""
        at, report = self.reports[-1 - which % len(self.reports)]
        collected = [one.n for one in self.paid if one.payer == at and one.kept] if told else []
        self.grants.append((at, WORLD.grant_for(report, collected[-SLOT_COUNT:])))

    @precondition(lambda self: self.grants)
    @rule(which=pick, fault=faults, again=st.booleans())
    def grant(self, which: int, fault: Fault, again: bool) -> None:
        """Any grant that was ever made."""
        at, signed = self.grants[-1 - which % len(self.grants)]
        said = self.send(at, "GRANT", lambda: self.hands[at].wallet.grant(signed), fault, again)
        if not self.check(said, None):
            return
        message, sums = parse(Grant, signed).message, self.sums[at]
        sums.out_acked = max(sums.out_acked, min(message.out_acked, sums.total_out))
        sums.in_acked = max(sums.in_acked, min(message.in_acked, sums.total_in))
        sums.n_acked = max(sums.n_acked, min(message.n_acked, sums.next_n))
        for paid in self.paid:
            outcome = message.slot_outcomes.get(paid.n) if paid.payer == at else None
            if outcome == (COLLECTED if paid.state is PENDING else paid.state):
                paid.state = FREE
        for asked in self.entries(at):
            if asked.state is not OPEN and asked.k in message.closed_entries:
                asked.state = EntryState.FREE
        if 1 in message.closed_entries:
            self.loads[at] = EntryState.FREE

    @rule(at=side, fault=faults, again=st.booleans())
    def goes_online(self, at: int, fault: Fault, again: bool) -> None:
        self.report(at)
        self.operator_grants(0, True)
        self.grant(0, fault, again)

    # Elsewhere

    @precondition(lambda self: self.grants or self.paid)
    @rule(which=pick, kind=st.sampled_from(["grant", "order", "voucher", "receipt"]))
    def astray(self, which: int, kind: str) -> None:
        """The wrong purse: refused, and not a cell of it is changed."""
        calls: list[tuple[int, Callable[[], object]]] = []
        if kind == "grant":
            calls = [(1 - at, lambda at=at, one=one: self.hands[1 - at].wallet.grant(one)) for at, one in self.grants]
        elif kind == "order":
            calls = [
                (1 - one.payer, lambda one=one: self.hands[1 - one.payer].wallet.reverse(WORLD.order_for(one.voucher)))
                for one in self.paid
            ]
        elif kind == "voucher":
            calls = [
                (one.payer, lambda one=one: self.hands[one.payer].wallet.collect(one.voucher, *self.papers[one.payer]))
                for one in self.paid
            ]
        else:
            calls = [
                (
                    one.payee,
                    lambda one=one: self.hands[one.payee].wallet.acknowledge_refusal(
                        one.answer, *self.papers[one.payee]
                    ),
                )
                for one in self.asked
                if one.state is REFUSED
            ]
        if calls:
            at, call = calls[-1 - which % len(calls)]
            before = self.hands[at].flash.snapshot()
            with pytest.raises(PurseRefusal) as caught:
                call()
            seen[f"astray {kind} {caught.value.reason.name}"] += 1
            assert self.hands[at].flash.snapshot() == before

    @rule(at=side)
    def tap(self, at: int) -> None:
        before = self.state(at)
        self.hands[at].tap()
        assert self.state(at) == before

    # What must hold

    @invariant()
    def the_purses_say_what_the_dictionaries_say(self) -> None:
        if not hasattr(self, "sums"):
            return
        for at, sums in enumerate(self.sums):
            state = self.state(at)
            assert {name: getattr(state, name) for name in Sums.__dataclass_fields__} == vars(sums)
            slots = {slot.n: slot for slot in state.slots if slot.state is not FREE}
            paid = {one.n: one for one in self.paid if one.payer == at and one.state is not FREE}
            assert {n: slot.state for n, slot in slots.items()} == {n: one.state for n, one in paid.items()}
            assert all(slots[n].voucher == one.voucher for n, one in paid.items())
            entries = {one.k: one.state for one in state.table if one.state is not EntryState.FREE}
            loads = {1: EntryState.COLLECTED} if self.loads[at] is not EntryState.FREE else {}
            assert entries == loads | {one.k: one.state for one in self.entries(at)}

    @invariant()
    def no_fen_is_lost(self) -> None:
        """I1, and I2: what is kept is never given back, what is given up is given back once."""
        if not hasattr(self, "sums"):
            return
        deposited = sum(one.amount for one in self.paid if not one.asked and one.kept)
        flying = sum(
            one.amount for one in self.paid if one.kept is None or (one.kept is False and one.state is PENDING)
        )
        assert sum(sums.balance for sums in self.sums) + deposited + flying == 2 * LOAD
        assert not [one for one in self.paid if one.kept and one.state is REVERSED]
        assert not [one for one in self.paid if not one.kept and one.state is COLLECTED]

    @invariant()
    def counters_and_limits(self) -> None:
        """I4 and I5: out - out_acked stays within the limit whatever grants are replayed."""
        if not hasattr(self, "sums"):
            return
        for at, sums in enumerate(self.sums):
            state = self.state(at)
            assert [one.n for one in self.paid if one.payer == at] == list(range(1, sums.next_n))
            assert [one.k for one in self.asked if one.payee == at] == list(range(2, sums.next_k))
            assert state.balance >= 0
            assert state.balance + state.open_amount <= LIMITS["balance_limit"] + sums.total_reversed
            assert 0 <= state.exposure <= LIMITS["offline_total"]
            assert 0 <= state.payments_since_grant <= LIMITS["offline_count"]

    def teardown(self) -> None:
        """I3: with living devices everything comes home, and then nothing is pending and nothing is missing."""
        if not hasattr(self, "sums"):
            return
        for hand in self.hands:
            hand.tap()
        for paid in self.paid:
            if paid.state is not FREE:
                request = parse(Voucher, paid.voucher).message.request_hash
                assert self.hands[paid.payer].wallet.resend(request) == paid.voucher
        for at, paid in enumerate(reversed(self.paid)):
            if paid.asked is None:
                self.till_decides_for(paid)
            elif paid.asked.state is OPEN:
                to_purses = [one for one in self.paid if one.asked]
                self.collect(len(to_purses) - 1 - to_purses.index(paid), None, True)
            assert at >= 0
        for asked in self.asked:
            if asked.state is OPEN:
                self.refuse(len(self.asked) - 1 - self.asked.index(asked), None, True)
        final = [one for one in self.asked if one.answer]
        for which in range(len(final)):
            self.acknowledge(which, None, True)
        for at in range(2):
            self.report(at)
            self.operator_grants(0, True)
            self.grant(0, None, True)
            assert self.state(at).slots == PurseState().slots
            assert self.state(at).table == PurseState().table
        self.no_fen_is_lost()
        assert not [one for one in self.paid if one.kept is None]

    def till_decides_for(self, paid: Paid) -> None:
        to_till = [one for one in self.paid if not one.asked]
        self.till_decides(len(to_till) - 1 - to_till.index(paid), True, None, True)


DRAWN = {
    *("REQUEST", "REQUEST, payer verified", "PAY", "COLLECT", "REFUSE", "REVERSE", "GRANT"),
    *(
        "ACKNOWLEDGE",
        "ACKNOWLEDGE refusal",
        "PAY again",
        "COLLECT again",
        "REFUSE again",
        "GRANT again",
        "REPORT again",
    ),
    *("COLLECT REQUEST_CLOSED", "REFUSE REQUEST_CLOSED", "ACKNOWLEDGE refusal NOT_FOUND"),
    *("GRANT torn before", "PAY torn before", "PAY torn after", "astray grant WRONG_PURSE", "astray order WRONG_PURSE"),
}
PLAYED = {
    *("ACKNOWLEDGE torn after", "ACKNOWLEDGE again", "ACKNOWLEDGE NOT_FOUND", "COLLECT torn after", "PAY torn before"),
    *("ACKNOWLEDGE refusal torn after", "ACKNOWLEDGE refusal again", "ACKNOWLEDGE refusal NOT_FOUND"),
    *("REVERSE torn after", "REVERSE again", "REVERSE NOT_FOUND", "GRANT torn after", "GRANT again"),
    *(
        "PAY OFFLINE_TOTAL",
        "PAY PAYEE_UNVERIFIED",
        "COLLECT PAYEE_CLASS",
        "REQUEST BALANCE_LIMIT",
        "REQUEST SLOTS_FULL",
    ),
    *("astray voucher WRONG_PURSE", "astray receipt NOT_FOUND", "PAY, payee verified", "PAY STALE", "REFUSE again"),
}


def play(machine: EndingsMachine) -> None:
    """What must not be left to chance."""
    before, done = (Tear.BEFORE, 0, Outcome.OLD), (Tear.AFTER_COMMIT, 0, Outcome.OLD)
    machine.make(True)
    machine.transfer(1, 900, 4, done, True)  # a Receipt, and its acknowledgement torn
    machine.acknowledge(0, None, True)
    machine.transfer(1, 900, 2, before, True)  # given up after it was paid
    machine.refuse(0, None, True)
    machine.astray(0, "receipt")
    machine.acknowledge(0, done, True)
    machine.acknowledge(0, None, True)
    machine.pay_till(0, 900, None)  # a till that refuses
    machine.till_decides(0, False, done, True)
    machine.till_decides(0, False, None, True)
    machine.transfer(1, 900, 3, done, True)
    machine.astray(0, "voucher")
    machine.ask(1, 500, True, None, True)
    machine.pay(0, False, None, True)  # 3,600 fen are paid: all that came back does not count
    machine.refuse(0, None, True)
    machine.refuse(0, None, True)
    machine.goes_online(0, done, True)
    machine.pay(3, False, None, True)  # its slot is free now
    machine.grant(0, None, True)
    for which in range(4):  # all that has ended is forgotten
        machine.acknowledge(which, None, True)
    machine.till_decides(0, False, None, True)
    machine.ask(1, 100, False, None, True)
    machine.pay(0, True, None, True)
    machine.collect(0, None, True)  # a card's value, and it was not asked as a card
    machine.refuse(0, None, True)
    machine.goes_online(1, None, True)
    machine.ask(0, 1_501, True, None, True)
    machine.pay(0, False, None, True)
    for _ in range(4):
        machine.ask(0, 2_000, False, None, True)  # the headroom is reserved
    for _ in range(TABLE_SIZE):
        machine.ask(0, 1, False, None, True)
    machine.teardown()


def test_every_transfer_ends_once() -> None:
    seen.clear()
    run_state_machine_as_test(EndingsMachine, settings=settings(max_examples=50, stateful_step_count=60))
    assert set(seen) >= DRAWN, sorted(DRAWN - set(seen))


def test_what_is_seldom_drawn() -> None:
    seen.clear()
    machine = EndingsMachine()
    play(machine)
    machine.the_purses_say_what_the_dictionaries_say()
    assert set(seen) >= PLAYED, sorted(PLAYED - set(seen))
