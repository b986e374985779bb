"""A purse through driver, transport, card OS, applet and torn flash, against a dictionary that knows the rules.

The rules pay, pay again, lose answers, tear the card at a drawn cell, type PINs, load and give up. After each step the
card must say what the dictionary says: I3 every debit has its voucher, I4 contiguous counters, I5 limits, I6 doing
anything again changes nothing, I7 a torn command is done or not done, and stays so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome
from support.cards import PIN, CardInHand, make_world, personalised_card
from wallet_core.certificates import Certificate
from wallet_core.errors import CardError, OutcomeUnknownError, PurseRefusal
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, SlotState

WORLD = make_world("machine")
PURSE = WORLD.operator_purse
LIMITS: dict[str, Any] = {
    "balance_limit": 60_000,
    "transfer_limit": 25_000,
    "offline_total": 70_000,
    "offline_count": 12,
    "pin_threshold": 10_000,
    "unverified_total": 18_000,
    "payee_threshold": 15_000,
}
WRONG_PIN = "0000"
TORN = "torn"

amounts = st.one_of(
    st.integers(1, 3_000),
    st.integers(1, 3_000),
    st.sampled_from([0, 1, 10_000, 10_001, 15_000, 15_001, 25_000, 25_001]),
)
faults = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.sampled_from([Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER]), st.just(0), st.just(Outcome.OLD)),
    st.tuples(st.just(Tear.DURING), st.integers(0, 8), st.sampled_from(list(Outcome))),
)
Fault = tuple[Tear, int, Outcome] | None
pick = st.integers(0, 99)


class PurseMachine(RuleBasedStateMachine):
    """`model`: sums in fen, counters, tries; `paid`: n → its Request and voucher; `asked`: k → entry of the table."""

    hand: CardInHand
    model: dict[str, int]

    @initialize(load=st.sampled_from([60_000, 30_000, 0]))
    def make(self, load: int) -> None:
        self.hand = personalised_card(WORLD, **LIMITS)
        self.key = Certificate.from_bytes(self.hand.wallet.certificate()).key
        self.model = {"in": 0, "out": 0, "n": 1, "k": 1, "unverified": 0, "tries": 3}
        self.verified = False
        self.paid: dict[int, tuple[Request, bytes | None]] = {}
        self.asked: dict[int, dict[str, Any]] = {}
        self.orders = 0
        if load:
            self.ask(load, None)
            self.finish(0, False, None)

    # Sending

    def send(self, call: Callable[[], bytes | None], command: str, fault: Fault) -> bytes | str | None:
        """The answer, the name of a refusal, a status word, or TORN; after a tear the card has been tapped again."""
        plans = self.hand.plans.plans
        if fault is not None:
            tear, at, outcome = fault
            plans.append(FaultPlan(tear, command=command, at=at, outcome=outcome))
        try:
            said = call()
            event(f"{command} done")
            return said
        except PurseRefusal as refusal:
            event(f"{command} {refusal.reason.name}")
            return refusal.reason.name
        except CardError as error:
            return f"{error.sw:04X}"
        except OutcomeUnknownError:
            event(f"{command} torn")
            self.verified = False
            self.hand.tap()
            return TORN
        finally:
            plans.clear()

    def settle(self, said: object, expected: str | None, fault: Fault, moved: bool) -> bool:
        """Whether the command had its effect; checks that what was said and what the card shows now agree."""
        if said is not TORN:
            assert (said == expected) if expected else isinstance(said, bytes), (said, expected)
            assert moved is (expected is None)
        elif fault is not None and fault[0] is Tear.BEFORE:
            assert not moved
        elif fault is not None and fault[0] in (Tear.AFTER_COMMIT, Tear.ANSWER):
            assert moved is (expected is None)
        else:
            assert not (moved and expected), "refused, and yet it moved"
        return moved

    # Paying

    def why_not(self, amount: int, *, verified: bool) -> str | None:
        model, pin = self.model, self.verified
        balance = model["in"] - model["out"]
        for reason, applies in (
            ("SLOTS_FULL", model["n"] > SLOT_COUNT),
            ("PAYEE_UNVERIFIED", not verified and amount > LIMITS["payee_threshold"]),
            ("AMOUNT", amount == 0),
            ("TRANSFER_LIMIT", amount > LIMITS["transfer_limit"]),
            ("OFFLINE_TOTAL", model["out"] + amount > LIMITS["offline_total"]),
            ("OFFLINE_COUNT", len(self.paid) >= LIMITS["offline_count"]),
            ("INSUFFICIENT", amount > balance),
            ("PIN_BLOCKED", model["tries"] == 0),
            ("PIN_REQUIRED", not pin and amount > LIMITS["pin_threshold"]),
            ("PIN_REQUIRED", not pin and model["unverified"] + amount > LIMITS["unverified_total"]),
        ):
            if applies:
                return reason
        return None

    @rule(amount=amounts, verified=st.booleans(), fault=faults)
    def pay(self, amount: int, verified: bool, fault: Fault) -> None:
        self.orders += 1
        fci = self.hand.wallet.select()
        request = WORLD.till_request(fci, amount, k=self.orders, order=f"order {self.orders}")
        expected, pin = self.why_not(amount, verified=verified), self.verified
        said = self.send(
            lambda: self.ask_to_pay(request, verified=verified), "PAY, payee verified" if verified else "PAY", fault
        )
        moved = self.hand.wallet.select().next_n == self.model["n"] + 1
        if self.settle(said, expected, fault, moved):
            self.paid[self.model["n"]] = request, said if isinstance(said, bytes) else None
            self.model["n"] += 1
            self.model["out"] += amount
            self.model["unverified"] += 0 if pin else amount
            self.verified = False

    def ask_to_pay(self, request: Request, *, verified: bool) -> bytes:
        if verified:
            return self.hand.wallet.pay_verified(*WORLD.signed_by_till(request))
        return self.hand.wallet.pay(request.to_payload())

    @precondition(lambda self: self.paid)
    @rule(which=pick, way=st.sampled_from(["pay", "verified", "resend"]), fault=faults)
    def the_same_request_again(self, which: int, way: str, fault: Fault) -> None:
        n = sorted(self.paid)[which % len(self.paid)]
        request, known = self.paid[n]
        if way == "resend":
            said = self.send(lambda: self.hand.wallet.resend(request.hash), "RESEND", fault)
        else:
            said = self.send(lambda: self.ask_to_pay(request, verified=way == "verified"), "PAY", fault)
        if said is TORN:
            return
        assert isinstance(said, bytes)
        assert known in (None, said), "one Request, one voucher"
        voucher = parse(Voucher, said).verify(self.key)
        assert (voucher.n, voucher.amount, voucher.request_hash) == (n, request.amount, request.hash)
        self.paid[n] = request, said

    @precondition(lambda self: self.paid)
    @rule(which=pick)
    def another_request_for_a_used_counter(self, which: int) -> None:
        n = sorted(self.paid)[which % len(self.paid)]
        request = WORLD.till_request(self.hand.wallet.select(), 1, order="another order", n=n)
        assert self.send(lambda: self.hand.wallet.pay(request.to_payload()), "PAY", None) == "STALE"

    # PIN

    @rule(right=st.booleans(), fault=faults)
    def type_pin(self, right: bool, fault: Fault) -> None:
        before, unverified = self.model["tries"], self.model["unverified"]
        said = self.send(lambda: self.hand.wallet.verify_pin(PIN if right else WRONG_PIN), "VERIFY", fault)
        self.verified = right and said is None
        if said is TORN:
            self.model["tries"] = self.hand.wallet.select().pin_tries
            self.model["unverified"] = self.hand.wallet.totals().unverified
            assert self.model["tries"] in ({before, max(0, before - 1), *([3] if right and before else [])})
            assert self.model["unverified"] in (unverified, *([0] if right and self.model["tries"] == 3 else []))
        elif before == 0:
            assert said == "PIN_BLOCKED"
        elif right:
            assert said is None
            self.model |= {"tries": 3, "unverified": 0}
        else:
            self.model["tries"] = before - 1
            assert said == f"63C{before - 1}"

    # Being paid

    @rule(amount=amounts, fault=faults)
    def ask(self, amount: int, fault: Fault) -> None:
        self.orders += 1
        order = WORLD.digest(f"load {self.orders}")
        reserved = sum(entry["amount"] for entry in self.asked.values() if entry["state"] == "open")
        expected = None
        if self.model["tries"] == 0:
            expected = "PIN_BLOCKED"
        if self.model["in"] - self.model["out"] + reserved + amount > LIMITS["balance_limit"]:
            expected = "BALANCE_LIMIT"
        if amount == 0:
            expected = "AMOUNT"
        if len(self.asked) == TABLE_SIZE:
            expected = "SLOTS_FULL"
        k = self.model["k"]
        said = self.send(lambda: self.hand.wallet.request(PURSE.id, 1, k, amount, order), "REQUEST", fault)
        if self.settle(said, expected, fault, self.hand.wallet.select().next_k == k + 1):
            stored = self.hand.wallet.open_requests()[-1]
            assert said in (TORN, stored)
            assert self.hand.wallet.request(PURSE.id, 1, k, amount, order) == stored
            self.asked[k] = {"amount": amount, "state": "open", "request": stored, "answer": None}
            self.model["k"] += 1

    @precondition(lambda self: self.asked)
    @rule(which=pick, give_up=st.booleans(), fault=faults)
    def finish(self, which: int, give_up: bool, fault: Fault) -> None:
        """COLLECT or REFUSE an entry that is open or was finished before, one way or the other."""
        k = sorted(self.asked)[which % len(self.asked)]
        entry = self.asked[k]
        final = "refused" if give_up else "collected"
        before = self.hand.wallet.totals().total_in

        def call() -> bytes:
            if give_up:
                return self.hand.wallet.refuse(parse(Request, entry["request"]).hash)
            return self.hand.wallet.collect(*WORLD.voucher_for(entry["request"]))

        said = self.send(call, "REFUSE" if give_up else "COLLECT", fault)
        if entry["state"] == "open":
            moved = entry["request"] not in self.hand.wallet.open_requests()
            if self.settle(said, None, fault, moved):
                entry |= {"state": final, "answer": said if isinstance(said, bytes) else None}
                self.model["in"] += 0 if give_up else entry["amount"]
        elif said is not TORN:
            assert said == "REQUEST_CLOSED" if entry["state"] != final else entry["answer"] in (None, said)
        if isinstance(said, bytes):
            entry["answer"] = said
            (parse(Refusal, said) if give_up else parse(Receipt, said)).verify(self.key)
        credited = self.hand.wallet.totals().total_in - before
        assert credited in (0, entry["amount"])
        assert credited == self.model["in"] - before

    # Power

    @rule()
    def tap(self) -> None:
        self.hand.tap()
        self.verified = False

    @invariant()
    def the_card_says_what_the_dictionary_says(self) -> None:
        if not hasattr(self, "model"):
            return
        fci, model = self.hand.wallet.select(), self.model
        assert (fci.next_n, fci.next_k, fci.pin_tries) == (model["n"], model["k"], model["tries"])
        assert fci.balance == model["in"] - model["out"] >= 0
        assert (fci.free_slots, fci.free_entries) == (SLOT_COUNT - len(self.paid), TABLE_SIZE - len(self.asked))
        totals = self.hand.wallet.totals()
        sums = (totals.total_in, totals.total_out, totals.in_acked, totals.unverified)
        assert sums == (model["in"], model["out"], model["in"], model["unverified"])
        used = [slot.n for slot in self.hand.wallet.slots() if slot.state is SlotState.PENDING]
        assert used == list(range(1, model["n"])) == sorted(self.paid)

    def teardown(self) -> None:
        """Every debit has a readable voucher, and together they are what the card paid."""
        if not hasattr(self, "model"):
            return
        self.hand.tap()
        vouchers = [parse(Voucher, one).verify(self.key) for one in self.hand.wallet.resend_to(WORLD.till.id)]
        assert [one.request_hash for one in vouchers] == [self.paid[n][0].hash for n in sorted(self.paid)]
        assert sum(one.amount for one in vouchers) == self.model["out"]


PurseMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
TestPurse = PurseMachine.TestCase
