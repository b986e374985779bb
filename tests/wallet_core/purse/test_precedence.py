"""When several reasons apply, the earliest of `Refused` is the answer: every pair and triple, for every command."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest

from support.keys import CARD, MERCHANT_PURSE, OPERATOR_PURSE, TILL
from support.purses import EVERY_CLASS, seal
from support.samples import GRANT, LOAD_REQUEST, LOAD_VOUCHER, ORDER, POLICY, REQUEST, VOUCHER, digest
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Grant, Policy, Receipt, Refusal, Request, ReversalOrder, Signed, Voucher
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import control, receive, settle, spend
from wallet_core.purse.state import Entry, EntryState, Lifecycle, PurseState, Slot, SlotState
from wallet_core.suites import Suite

RANKED = list(Refused)
ACTIVE = PurseState(lifecycle=Lifecycle.ACTIVE, total_in=50_000, in_acked=50_000)
PAYABLE = replace(POLICY, payee_classes=EVERY_CLASS & ~(1 << CertificateClass.MERCHANT_PURSE))
FULL_SLOTS = tuple(Slot(SlotState.PENDING, n, digest(f"slot {n}"), TILL.id, b"voucher") for n in range(90, 106))
FULL_TABLE = tuple(Entry(EntryState.REFUSED, k, 1, digest(f"entry {k}"), b"", b"", b"refusal") for k in range(90, 98))
PAID = Slot(SlotState.PENDING, VOUCHER.n, REQUEST.hash, TILL.id, b"voucher", VOUCHER.amount, VOUCHER.hash)
RECEIPT = Receipt(
    suite=Suite.ES256, payee=TILL.id, k=7, voucher_hash=VOUCHER.hash, total_in=1, total_out=0, total_reversed=0
)
REFUSAL = Refusal(suite=Suite.ES256, payee=TILL.id, k=7, request_hash=REQUEST.hash)


@dataclass
class Case:
    """A command that would be accepted; faults change it one by one."""

    state: PurseState = ACTIVE
    policy: Policy = PAYABLE
    request: Request = REQUEST
    voucher: Voucher = LOAD_VOUCHER
    payer: bytes = OPERATOR_PURSE.id
    payee_class: CertificateClass | None = CertificateClass.TILL
    payer_class: CertificateClass = CertificateClass.OPERATOR_PURSE
    decider: CertificateClass = CertificateClass.MERCHANT_PURSE
    pin_verified: bool = True
    receipt: Receipt = RECEIPT
    refusal: Refusal = REFUSAL
    order: ReversalOrder = ORDER
    grant: Grant = GRANT
    unverifiable: set[Refused] = field(default_factory=set)

    def has(self, **changes: Any) -> Case:
        self.state = replace(self.state, **changes)
        return self

    def allows(self, **changes: Any) -> Case:
        self.policy = replace(self.policy, **changes)
        return self

    def asks(self, **changes: Any) -> Case:
        self.request = replace(self.request, **changes)
        return self

    def comes(self, **changes: Any) -> Case:
        """With another certificate, voucher or PIN."""
        for name, value in changes.items():
            setattr(self, name, value)
        return self

    def verify(self) -> None:
        """What a purse does with the certificates and the signature that came along."""
        for reason in sorted(self.unverifiable, key=RANKED.index):
            raise PurseRefusal(reason)


def pay(case: Case) -> Any:
    return spend.pay(
        case.state,
        CARD.id,
        case.policy,
        case.request,
        payee_class=case.payee_class,
        pin_verified=case.pin_verified,
        seal=seal,
        verify_payee=case.verify,
    )


def ask(case: Case) -> Any:
    return receive.request(
        case.state,
        CARD.id,
        case.policy,
        suite=Suite.ES256,
        payer=case.payer,
        epoch=1,
        n=1,
        amount=case.request.amount,
        order_hash=bytes(32),
    )


def collect(case: Case) -> Any:
    if case.state.table == PurseState().table:  # the load is open, unless a fault has taken it away
        signed = Signed.sign(LOAD_REQUEST, CARD.key).to_bytes()
        entry = Entry(EntryState.OPEN, LOAD_REQUEST.k, LOAD_REQUEST.amount, LOAD_REQUEST.hash, signed)
        case.has(table=(entry, *case.state.table[1:]))
    return receive.collect(
        case.state,
        CARD.id,
        case.voucher,
        own_class=CertificateClass.HARD_WALLET,
        payer_class=case.payer_class,
        verify_payer=case.verify,
    )


def ask_verified(case: Case) -> Any:
    return receive.request(
        case.state,
        CARD.id,
        case.policy,
        suite=Suite.ES256,
        payer=case.payer,
        epoch=1,
        n=1,
        amount=case.request.amount,
        order_hash=bytes(32),
        payer_class=case.payer_class,
        verify_payer=case.verify,
    )


def paid(case: Case) -> PurseState:
    """With the sample voucher in a slot, unless a fault has put something else there."""
    return case.has(slots=(PAID,)).state if case.state.slots == PurseState().slots else case.state


def acknowledge(case: Case) -> Any:
    return settle.acknowledge(paid(case), case.receipt, payee_class=case.decider, verify=case.verify)


def acknowledge_refusal(case: Case) -> Any:
    return settle.acknowledge(paid(case), case.refusal, payee_class=case.decider, verify=case.verify)


def reverse(case: Case) -> Any:
    return settle.reverse(paid(case), CARD.id, case.order, verify=case.verify)


def report(case: Case) -> Any:
    return settle.report(paid(case), CARD.id, suite=Suite.ES256, policy_version=case.policy.version)


def take_grant(case: Case) -> Any:
    return settle.apply_grant(paid(case), CARD.id, case.grant, policy_version=case.policy.version, verify=case.verify)


def refuse(case: Case) -> Any:
    if case.state.table == PurseState().table:
        case.has(table=(Entry(EntryState.OPEN, 1, 1, LOAD_REQUEST.hash, b""), *case.state.table[1:]))
    return receive.refuse(case.state, CARD.id, LOAD_REQUEST.hash, suite=Suite.ES256)


def resend(case: Case) -> Any:
    if case.state.slots == PurseState().slots:
        case.has(slots=FULL_SLOTS)
    return spend.resend(case.state, payee=TILL.id)


def verify_pin(case: Case) -> Any:
    return control.begin_pin_check(case.state)


Fault = Callable[[Case], Any]
R = Refused

# What makes each reason of a command apply. The order of application is that of the table.
PAY: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.BLOCKED),
    R.COUNTERS_EXHAUSTED: lambda case: case.has(next_n=COUNTER_MAX + 1, n_acked=COUNTER_MAX).asks(n=2**32 - 1),
    R.STALE: lambda case: case.asks(n=case.request.n - 1),
    R.WRONG_PURSE: lambda case: case.asks(payer=TILL.id),
    R.SUITE: lambda case: case.allows(least_suite=2),
    R.SLOTS_FULL: lambda case: case.has(slots=FULL_SLOTS),
    R.PAYEE_CLASS: lambda case: case.comes(payee_class=CertificateClass.MERCHANT_PURSE),
    R.CERTIFICATE: lambda case: case.unverifiable.add(R.CERTIFICATE),
    R.SIGNATURE: lambda case: case.unverifiable.add(R.SIGNATURE),
    R.SELF_PAYMENT: lambda case: case.asks(payee=CARD.id),
    R.AMOUNT: lambda case: case.has(total_out=MAX_MINOR_UNITS, total_reversed=MAX_MINOR_UNITS - 1),
    R.TRANSFER_LIMIT: lambda case: case.allows(transfer_limit=case.request.amount - 1),
    R.OFFLINE_TOTAL: lambda case: case.allows(offline_total=case.request.amount - 1),
    R.OFFLINE_COUNT: lambda case: case.allows(offline_count=0),
    R.INSUFFICIENT: lambda case: case.has(in_acked=case.request.amount - 1),
    R.PIN_BLOCKED: lambda case: case.has(pin_tries=0),
    R.PIN_REQUIRED: lambda case: case.allows(pin_threshold=0).comes(pin_verified=False),
}
# Without a certificate there is no class to check and nothing to verify.
UNVERIFIED: dict[Refused, Fault] = {
    reason: fault for reason, fault in PAY.items() if reason not in (R.PAYEE_CLASS, R.CERTIFICATE, R.SIGNATURE)
} | {R.PAYEE_UNVERIFIED: lambda case: case.comes(payee_class=None).allows(payee_threshold=0)}
REQUEST_FAULTS: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.PERSONALISED),
    R.SUITE: lambda case: case.allows(least_suite=2),
    R.SLOTS_FULL: lambda case: case.has(table=FULL_TABLE),
    R.COUNTERS_EXHAUSTED: lambda case: case.has(next_k=COUNTER_MAX + 1),
    R.SELF_PAYMENT: lambda case: case.comes(payer=CARD.id),
    R.AMOUNT: lambda case: case.has(total_in=MAX_MINOR_UNITS),
    R.BALANCE_LIMIT: lambda case: case.allows(balance_limit=0),
    R.PIN_BLOCKED: lambda case: case.has(pin_tries=0),
}
REQUEST_VERIFIED: dict[Refused, Fault] = REQUEST_FAULTS | {
    R.PAYEE_CLASS: lambda case: case.comes(payer_class=CertificateClass.HARD_WALLET),
    R.CERTIFICATE: lambda case: case.unverifiable.add(R.CERTIFICATE),
}
ENDING: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.TERMINATED),
    R.CERTIFICATE: lambda case: case.unverifiable.add(R.CERTIFICATE),
    R.SIGNATURE: lambda case: case.unverifiable.add(R.SIGNATURE),
}
NO_SLOT: dict[Refused, Fault] = {R.NOT_FOUND: lambda case: case.has(slots=FULL_SLOTS)}
ACKNOWLEDGE: dict[Refused, Fault] = ENDING | {
    R.WRONG_PURSE: lambda case: case.comes(receipt=replace(case.receipt, payee=MERCHANT_PURSE.id)),
    R.OUTCOME_FINAL: lambda case: case.has(slots=(replace(PAID, state=SlotState.REVERSED),)),
}
ACKNOWLEDGE_REFUSAL: dict[Refused, Fault] = ENDING | {
    R.WRONG_PURSE: lambda case: case.comes(refusal=replace(case.refusal, payee=MERCHANT_PURSE.id)),
    R.OUTCOME_FINAL: lambda case: case.has(slots=(replace(PAID, state=SlotState.COLLECTED),)),
}
# A card verifies its own operator's signature with a certificate that it has verified before.
BY_OPERATOR: dict[Refused, Fault] = {reason: ENDING[reason] for reason in (R.WRONG_STATE, R.SIGNATURE)}
REVERSE: dict[Refused, Fault] = BY_OPERATOR | {
    R.WRONG_PURSE: lambda case: case.comes(order=replace(case.order, payer=TILL.id)),
    R.OUTCOME_FINAL: ACKNOWLEDGE_REFUSAL[R.OUTCOME_FINAL],
}
GRANT_FAULTS: dict[Refused, Fault] = BY_OPERATOR | {
    R.WRONG_PURSE: lambda case: case.comes(grant=replace(case.grant, epoch=2)),
    R.POLICY_OLD: lambda case: case.comes(grant=replace(case.grant, policy_version=case.policy.version + 1)),
}
COLLECT: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.TERMINATED),
    R.WRONG_PURSE: lambda case: case.comes(voucher=replace(case.voucher, payee=MERCHANT_PURSE.id)),
    R.PAYEE_CLASS: lambda case: case.comes(payer_class=CertificateClass.HARD_WALLET),
    R.CERTIFICATE: lambda case: case.unverifiable.add(R.CERTIFICATE),
    R.SIGNATURE: lambda case: case.unverifiable.add(R.SIGNATURE),
    R.REQUEST_CLOSED: lambda case: case.has(table=FULL_TABLE),
}
REFUSE: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.PERSONALISED),
    R.REQUEST_CLOSED: lambda case: case.has(table=FULL_TABLE),
}
RESEND: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.TERMINATED),
    R.NOT_FOUND: lambda case: case.has(slots=(Slot(),)),
}
VERIFY: dict[Refused, Fault] = {
    R.WRONG_STATE: lambda case: case.has(lifecycle=Lifecycle.PERSONALISED),
    R.PIN_BLOCKED: lambda case: case.has(pin_tries=0),
}
COMMANDS: dict[str, tuple[Callable[[Case], Any], dict[Refused, Fault]]] = {
    "PAY": (pay, PAY),
    "PAY, payee unverified": (pay, UNVERIFIED),
    "REQUEST": (ask, REQUEST_FAULTS),
    "COLLECT": (collect, COLLECT),
    "REFUSE": (refuse, REFUSE),
    "RESEND": (resend, RESEND),
    "VERIFY": (verify_pin, VERIFY),
    "REQUEST, payer verified": (ask_verified, REQUEST_VERIFIED),
    "ACKNOWLEDGE": (acknowledge, ACKNOWLEDGE),
    "ACKNOWLEDGE, no slot": (acknowledge, ENDING | NO_SLOT),
    "ACKNOWLEDGE refusal": (acknowledge_refusal, ACKNOWLEDGE_REFUSAL),
    "ACKNOWLEDGE refusal, no slot": (acknowledge_refusal, ENDING | NO_SLOT),
    "REVERSE": (reverse, REVERSE),
    "REVERSE, no slot": (reverse, BY_OPERATOR | {R.WRONG_PURSE: REVERSE[R.WRONG_PURSE]} | NO_SLOT),
    "REPORT": (report, {R.WRONG_STATE: ENDING[R.WRONG_STATE]}),
    "GRANT": (take_grant, GRANT_FAULTS),
}


def answer(name: str, reasons: Iterable[Refused]) -> Refused | None:
    """The reason that the command answers when the faults of all `reasons` are there; None if it is accepted."""
    command, faults = COMMANDS[name]
    case, wanted = Case(), set(reasons)
    for reason, fault in faults.items():
        if reason in wanted:
            fault(case)
    try:
        command(case)
    except PurseRefusal as refusal:
        return refusal.reason
    return None


@pytest.mark.parametrize("name", COMMANDS)
def test_without_a_fault_it_is_accepted(name: str) -> None:
    assert answer(name, ()) is None


@pytest.mark.parametrize(
    ("name", "reason"), [(name, reason) for name, (_, faults) in COMMANDS.items() for reason in faults]
)
def test_each_reason_alone(name: str, reason: Refused) -> None:
    assert answer(name, [reason]) is reason


@pytest.mark.parametrize("name", COMMANDS)
def test_of_two_or_three_reasons_the_earliest_answers(name: str) -> None:
    faults = COMMANDS[name][1]
    wrong = [
        [reason.name for reason in some]
        for size in (2, 3)
        for some in combinations(faults, size)
        if answer(name, some) is not min(some, key=RANKED.index)
    ]
    assert not wrong


@pytest.mark.parametrize("name", COMMANDS)
def test_with_every_reason_from_one_on_that_one_answers(name: str) -> None:
    ordered = sorted(COMMANDS[name][1], key=RANKED.index)
    assert [answer(name, ordered[at:]) for at in range(len(ordered))] == ordered


def test_every_reason_is_given_by_a_command() -> None:
    """MALFORMED is the codec's: it is answered where bytes become a message."""
    assert {reason for _, faults in COMMANDS.values() for reason in faults} == set(Refused) - {Refused.MALFORMED}


def test_nothing_is_verified_that_is_refused_anyway() -> None:
    """Two public-key operations cost a card half a second: cheap reasons come first, dear ones once."""

    class Counting(Case):
        calls = 0

        def verify(self) -> None:
            self.calls += 1
            super().verify()

    for reason, fault in PAY.items():
        case = Counting()
        fault(case)
        with pytest.raises(PurseRefusal) as refusal:
            pay(case)
        assert refusal.value.reason is reason
        assert case.calls == (RANKED.index(reason) >= RANKED.index(R.CERTIFICATE))
