"""PAY and RESEND: limits at their edges, one voucher per Request, and what a debit changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.keys import CARD, MERCHANT_PURSE, TILL
from support.purses import OPEN_POLICY, UNLIMITED, Purse, seal
from support.samples import AUDIT_KEY, POLICY, REQUEST, digest
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Policy, Request, Signed, SpendMode, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import spend
from wallet_core.purse.spend import Debit, Stored
from wallet_core.purse.state import SLOT_COUNT, Lifecycle, PurseState, Slot, SlotState

ACTIVE = PurseState(lifecycle=Lifecycle.ACTIVE, total_in=50_000, in_acked=50_000)


def pay(
    state: PurseState = ACTIVE,
    policy: Policy | None = OPEN_POLICY,
    *,
    payee_class: CertificateClass | None = None,
    pin_verified: bool = False,
    **asked: Any,
) -> Stored | Debit:
    """PAY of the sample Request with some fields changed; n is the next one unless given."""
    request = replace(REQUEST, **{"n": state.next_n, **asked})
    return spend.pay(state, CARD.id, policy, request, payee_class=payee_class, pin_verified=pin_verified, seal=seal)


def reason(*arguments: Any, **changes: Any) -> Refused | None:
    """Why it is refused; None when it is paid."""
    try:
        pay(*arguments, **changes)
    except PurseRefusal as refusal:
        return refusal.reason
    return None


def allowing(**changes: Any) -> Policy:
    return replace(OPEN_POLICY, **changes)


def having(**changes: Any) -> PurseState:
    return replace(ACTIVE, **changes)


def test_what_a_debit_changes() -> None:
    state = having(next_n=5, n_acked=2, total_out=1_000, out_acked=400, unverified=600, total_reversed=100)
    request = replace(REQUEST, n=5)
    decision = pay(state, n=5)
    assert isinstance(decision, Debit)
    signed = Signed.sign(decision.voucher, CARD.key).to_bytes()
    after = decision.commit(signed)
    slot = Slot(SlotState.PENDING, 5, request.hash, TILL.id, signed, 6_800, decision.voucher.hash)
    assert after == replace(
        state,
        next_n=6,
        total_out=1_000 + 6_800,
        unverified=600 + 6_800,
        slots=(slot, *state.slots[1:]),
    )
    assert after.balance == state.balance - 6_800


def test_what_a_voucher_says() -> None:
    state = having(total_out=1_000, out_acked=400, total_reversed=100)
    decision = pay(state)
    assert isinstance(decision, Debit)
    voucher, request = decision.voucher, REQUEST
    assert voucher == Voucher(
        suite=request.suite,
        payer=CARD.id,
        epoch=1,
        n=1,
        payee=TILL.id,
        k=request.k,
        amount=request.amount,
        request_hash=request.hash,
        policy_version=OPEN_POLICY.version,
        audit=voucher.audit,
    )
    sealed = AuditData.open(AUDIT_KEY, voucher.audit, 1)
    assert sealed == AuditData(n=1, total_in=50_000, total_out=7_800, total_reversed=100, exposure=7_400)


def test_a_decision_changes_nothing() -> None:
    before = having(unverified=7)
    copy = replace(before)
    assert pay(before) == pay(before)
    assert before == copy


def test_with_a_verified_pin_nothing_counts_as_unverified() -> None:
    decision = pay(having(unverified=0), pin_verified=True)
    assert isinstance(decision, Debit)
    assert decision.after.unverified == 0


@pytest.mark.parametrize("amount", [1, 6_799, 6_800, 6_801])
@pytest.mark.parametrize(
    ("limit", "refused"),
    [
        ("transfer_limit", Refused.TRANSFER_LIMIT),
        ("offline_total", Refused.OFFLINE_TOTAL),
        ("pin_threshold", Refused.PIN_REQUIRED),
        ("unverified_total", Refused.PIN_REQUIRED),
        ("payee_threshold", Refused.PAYEE_UNVERIFIED),
    ],
)
def test_an_amount_at_a_limit_passes_and_one_fen_more_does_not(limit: str, refused: Refused, amount: int) -> None:
    assert reason(ACTIVE, allowing(**{limit: 6_800}), amount=amount) is (refused if amount > 6_800 else None)


@pytest.mark.parametrize(("spent", "expected"), [(93_199, None), (93_200, None), (93_201, Refused.OFFLINE_TOTAL)])
def test_what_was_paid_since_the_last_grant_counts(spent: int, expected: Refused | None) -> None:
    state = having(total_in=500_000, in_acked=500_000, total_out=spent + 70, out_acked=70, unverified=0)
    assert reason(state, allowing(unverified_total=500_000)) is expected


@pytest.mark.parametrize(("before", "expected"), [(23_199, None), (23_200, None), (23_201, Refused.PIN_REQUIRED)])
def test_what_was_paid_without_pin_counts(before: int, expected: Refused | None) -> None:
    assert reason(having(unverified=before)) is expected
    assert reason(having(unverified=before), pin_verified=True) is None


def test_a_reversal_does_not_lower_the_exposure() -> None:
    """Rule 14: value comes back, the counters that bound exposure do not."""
    state = having(total_out=95_000, total_reversed=95_000)
    assert state.balance == 50_000
    assert reason(state) is Refused.OFFLINE_TOTAL


@pytest.mark.parametrize(
    ("payments", "expected"),
    [(0, None), (14, None), (15, None), (16, Refused.OFFLINE_COUNT), (17, Refused.OFFLINE_COUNT)],
)
def test_as_many_payments_as_the_policy_allows(payments: int, expected: Refused | None) -> None:
    assert reason(having(next_n=3 + payments, n_acked=3)) is expected


@pytest.mark.parametrize(
    ("state", "spendable"),
    [
        (having(), 50_000),
        (having(in_acked=20_000), 20_000),
        (having(in_acked=0), 0),
        (having(in_acked=20_000, total_out=5_000), 15_000),
        (having(in_acked=20_000, total_out=20_000), 0),
        (having(in_acked=20_000, total_out=30_000), 0),
        (having(in_acked=20_000, total_out=25_000, total_reversed=6_000), 1_000),
        (having(in_acked=90_000), 50_000),
        (having(in_acked=90_000, total_out=49_999), 1),
    ],
)
def test_what_may_be_spent(state: PurseState, spendable: int) -> None:
    staged = replace(UNLIMITED, mode=SpendMode.STAGED)
    intermittent = replace(staged, mode=SpendMode.INTERMITTENT)
    assert spend.spendable(state, staged) == spendable <= state.balance
    assert spend.spendable(state, intermittent) == state.balance
    for policy in (staged, intermittent):
        most = spend.spendable(state, policy)
        assert reason(state, policy, amount=most + 1) is Refused.INSUFFICIENT
        assert reason(state, policy, amount=most) is (None if most else Refused.AMOUNT)


def test_a_mode_that_is_not_known_is_the_careful_one() -> None:
    state = having(in_acked=20_000)
    assert spend.spendable(state, replace(OPEN_POLICY, mode=9)) == 20_000


@pytest.mark.parametrize(
    ("amount", "total_out", "expected"),
    [
        (0, 0, Refused.AMOUNT),
        (-1, 0, Refused.AMOUNT),
        (1, 0, None),
        (1, MAX_MINOR_UNITS - 1, None),
        (1, MAX_MINOR_UNITS, Refused.AMOUNT),
        (2, MAX_MINOR_UNITS - 1, Refused.AMOUNT),
        (MAX_MINOR_UNITS, 0, Refused.TRANSFER_LIMIT),
        (MAX_MINOR_UNITS, 1, Refused.AMOUNT),
    ],
)
def test_what_a_purse_can_count(amount: int, total_out: int, expected: Refused | None) -> None:
    state = having(total_in=MAX_MINOR_UNITS, in_acked=MAX_MINOR_UNITS, total_out=total_out, out_acked=total_out)
    state = replace(state, total_reversed=total_out)
    assert reason(state, amount=amount, payee_class=CertificateClass.TILL) is expected


def test_pin() -> None:
    above = OPEN_POLICY.pin_threshold + 1
    assert reason(ACTIVE, amount=above) is Refused.PIN_REQUIRED
    assert reason(ACTIVE, amount=above, pin_verified=True) is None
    for verified in (False, True):
        assert reason(having(pin_tries=0), amount=1, pin_verified=verified) is Refused.PIN_BLOCKED
    assert reason(having(pin_tries=1), amount=1) is None


def test_payee() -> None:
    strict = replace(POLICY, payee_threshold=6_799)
    assert reason(ACTIVE, strict) is Refused.PAYEE_UNVERIFIED
    assert reason(ACTIVE, strict, payee_class=CertificateClass.TILL) is None
    assert reason(ACTIVE, payee=CARD.id) is Refused.SELF_PAYMENT
    for one in CertificateClass:
        expected = None if POLICY.payee_classes >> one & 1 else Refused.PAYEE_CLASS
        assert reason(ACTIVE, POLICY, payee_class=one) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"payer": TILL.id}, Refused.WRONG_PURSE),
        ({"payer": bytes(32)}, Refused.WRONG_PURSE),
        ({"epoch": 0}, Refused.WRONG_PURSE),
        ({"epoch": 2}, Refused.WRONG_PURSE),
        ({"n": 0}, Refused.STALE),
        ({"n": 6}, Refused.STALE),
        ({"n": 8}, Refused.STALE),
        ({"n": 2**32 - 1}, Refused.STALE),
        ({"n": 7}, None),
    ],
)
def test_one_request_is_for_one_purse_and_one_counter(asked: dict[str, Any], expected: Refused | None) -> None:
    assert reason(having(next_n=7), **asked) is expected


def test_the_last_counter() -> None:
    assert reason(having(next_n=COUNTER_MAX, n_acked=COUNTER_MAX)) is None
    assert reason(having(next_n=COUNTER_MAX + 1, n_acked=COUNTER_MAX)) is Refused.COUNTERS_EXHAUSTED
    assert having(next_n=COUNTER_MAX + 1).counters_exhausted
    assert not having(next_n=COUNTER_MAX).counters_exhausted


@pytest.mark.parametrize("lifecycle", [one for one in Lifecycle if one is not Lifecycle.ACTIVE])
def test_only_an_active_purse_pays(lifecycle: Lifecycle) -> None:
    assert reason(having(lifecycle=lifecycle)) is Refused.WRONG_STATE


def test_a_purse_without_policy_does_not_pay() -> None:
    assert reason(ACTIVE, None) is Refused.WRONG_STATE


@pytest.fixture
def purses() -> tuple[Purse, Purse]:
    card, merchant = Purse(CARD), Purse(MERCHANT_PURSE, replace(OPEN_POLICY, balance_limit=10**9))
    card.endow(50_000)
    return card, merchant


def test_again_is_the_same_bytes_whatever_has_changed_since(purses: tuple[Purse, Purse]) -> None:
    """A stored voucher comes before every gate but the end of the purse (rules 2 and 10)."""
    card, merchant = purses
    request = merchant.ask(card, 100)
    voucher = card.pay(request)
    paid = card.state
    for changed in (
        paid,
        replace(paid, lifecycle=Lifecycle.BLOCKED),
        replace(paid, pin_tries=0),
        replace(paid, total_in=100, in_acked=0),
        replace(paid, next_n=COUNTER_MAX + 1),
        replace(paid, slots=(*paid.slots[:1], *(Slot(SlotState.PENDING),) * (SLOT_COUNT - 1))),
        replace(paid, slots=(replace(paid.slots[0], state=SlotState.COLLECTED), *paid.slots[1:])),
        replace(paid, slots=(replace(paid.slots[0], state=SlotState.REVERSED), *paid.slots[1:])),
    ):
        card.state = changed
        for policy in (OPEN_POLICY, allowing(transfer_limit=1, least_suite=2, payee_threshold=0, payee_classes=0)):
            card.policy = policy
            assert card.pay(request) == voucher
            assert card.state == changed
    card.state = replace(paid, lifecycle=Lifecycle.TERMINATED)
    with pytest.raises(PurseRefusal) as caught:
        card.pay(request)
    assert caught.value.reason is Refused.WRONG_STATE


def test_another_request_at_a_used_counter_is_stale(purses: tuple[Purse, Purse]) -> None:
    card, merchant = purses
    paid = card.pay(merchant.ask(card, 100))
    before = card.state
    for other in (merchant.request(CARD.id, 1, 1, 100, digest("other order")), merchant.request(CARD.id, 1, 1, 101)):
        with pytest.raises(PurseRefusal) as caught:
            card.pay(other)
        assert caught.value.reason is Refused.STALE
    assert card.state == before
    assert parse(Voucher, paid).message.n == 1


def test_a_freed_slot_answers_nothing() -> None:
    """Rubbish in a free slot is no voucher, even when it looks like one."""
    rubbish = Slot(SlotState.FREE, 1, REQUEST.hash, TILL.id, b"rubbish")
    decision = pay(having(slots=(rubbish, *ACTIVE.slots[1:])))
    assert isinstance(decision, Debit)
    assert decision.slot == 0


def test_slots_fill_up_and_then_nothing_moves(purses: tuple[Purse, Purse]) -> None:
    card, _ = purses
    till_requests = [replace(REQUEST, n=n, amount=1, k=n) for n in range(1, SLOT_COUNT + 2)]
    card.policy = allowing(offline_count=100)
    vouchers = [card.pay(Signed.sign(request, TILL.key).to_bytes()) for request in till_requests[:SLOT_COUNT]]
    full = card.state
    with pytest.raises(PurseRefusal) as caught:
        card.pay(Signed.sign(till_requests[SLOT_COUNT], TILL.key).to_bytes())
    assert caught.value.reason is Refused.SLOTS_FULL
    assert card.state == full
    assert full.balance == 50_000 - SLOT_COUNT
    assert [slot.n for slot in full.slots] == list(range(1, SLOT_COUNT + 1))
    assert spend.resend(full) == tuple(vouchers)


def test_resend(purses: tuple[Purse, Purse]) -> None:
    card, merchant = purses
    first = card.pay(merchant.ask(card, 100))
    till_request = replace(REQUEST, n=2, amount=50)
    second = card.pay(Signed.sign(till_request, TILL.key).to_bytes())
    third = card.pay(merchant.ask(card, 70))
    state = card.state
    assert spend.resend(state) == (first, second, third)
    assert spend.resend(state, payee=MERCHANT_PURSE.id) == (first, third)
    assert spend.resend(state, request_hash=till_request.hash) == (second,)
    assert spend.resend(state, request_hash=till_request.hash, payee=TILL.id) == (second,)
    for question in ({"payee": CARD.id}, {"request_hash": bytes(32)}):
        with pytest.raises(PurseRefusal) as caught:
            spend.resend(state, **question)
        assert caught.value.reason is Refused.NOT_FOUND


def test_resend_is_by_age_not_by_slot(purses: tuple[Purse, Purse]) -> None:
    card, merchant = purses
    vouchers = tuple(card.pay(merchant.ask(card, amount)) for amount in (1, 2, 3))
    card.state = replace(card.state, slots=card.state.slots[::-1])
    assert spend.resend(card.state) == vouchers
    assert [parse(Voucher, voucher).message.amount for voucher in vouchers] == [1, 2, 3]


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
def test_when_vouchers_are_shown(purses: tuple[Purse, Purse], lifecycle: Lifecycle) -> None:
    card, merchant = purses
    voucher = card.pay(merchant.ask(card, 1))
    state = replace(card.state, lifecycle=lifecycle)
    if lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        assert spend.resend(state) == (voucher,)
        return
    with pytest.raises(PurseRefusal) as caught:
        spend.resend(state)
    assert caught.value.reason is Refused.WRONG_STATE


def test_a_request_is_what_it_is_paid_for() -> None:
    """Every field of the Request is in the hash that the voucher carries."""
    hashes = set()
    for changes in ({}, {"k": 8}, {"amount": 1}, {"payee": MERCHANT_PURSE.id}, {"order_hash": digest("else")}):
        decision = pay(**changes)
        assert isinstance(decision, Debit)
        assert decision.voucher.request_hash == replace(REQUEST, **changes).hash
        hashes.add(decision.voucher.request_hash)
    assert len(hashes) == 5
    assert isinstance(REQUEST, Request)
