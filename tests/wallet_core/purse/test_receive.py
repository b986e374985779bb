"""REQUEST, COLLECT, REFUSE: one outcome for each Request, headroom reserved, credits only for what was asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.keys import CARD, MERCHANT_PURSE, OPERATOR_PURSE, OTHER_CARD
from support.purses import OPEN_POLICY, UNLIMITED, Purse
from support.samples import digest
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Receipt, Refusal, Request, Signed, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import receive
from wallet_core.purse.state import TABLE_SIZE, Entry, EntryState, Lifecycle
from wallet_core.suites import Suite

OPERATOR, WALLET = CertificateClass.OPERATOR_PURSE, CertificateClass.HARD_WALLET
MERCHANT = CertificateClass.MERCHANT_PURSE


@pytest.fixture
def operator() -> Purse:
    purse = Purse(OPERATOR_PURSE, UNLIMITED)
    purse.endow(1_000_000)
    return purse


@pytest.fixture
def card() -> Purse:
    return Purse(CARD)


def refused(purse: Purse, call: Any, *arguments: Any, **named: Any) -> Refused:
    """The reason of a refusal that left no trace."""
    before = purse.state
    with pytest.raises(PurseRefusal) as caught:
        call(*arguments, **named)
    assert purse.state == before
    return caught.value.reason


def test_a_load(operator: Purse, card: Purse) -> None:
    request = card.ask(operator, 50_000)
    asked = parse(Request, request)
    assert asked.verify(CARD.key.public) == Request(
        suite=asked.message.suite,
        payer=OPERATOR_PURSE.id,
        epoch=1,
        n=1,
        payee=CARD.id,
        k=1,
        amount=50_000,
        order_hash=bytes(32),
    )
    assert card.state.table[0] == Entry(EntryState.OPEN, 1, 50_000, asked.hash, request)
    assert (card.state.next_k, card.state.open_amount, card.state.balance) == (2, 50_000, 0)
    voucher = operator.pay(request)
    receipt = card.collect(voucher, OPERATOR)
    paid = parse(Voucher, voucher)
    credited = parse(Receipt, receipt).verify(CARD.key.public)
    assert (credited.payee, credited.k, credited.voucher_hash) == (CARD.id, 1, paid.hash)
    assert (credited.total_in, credited.total_out, credited.total_reversed) == (50_000, 0, 0)
    assert card.state.table[0] == Entry(EntryState.COLLECTED, 1, 50_000, asked.hash, request, paid.hash, receipt)
    assert (card.state.total_in, card.state.in_acked, card.state.balance) == (50_000, 50_000, 50_000)
    assert card.state.open_amount == 0


@pytest.mark.parametrize("payer_class", [OPERATOR, MERCHANT])
def test_only_the_operators_money_counts_as_acknowledged(
    operator: Purse, card: Purse, payer_class: CertificateClass
) -> None:
    card.collect(operator.pay(card.ask(operator, 700)), payer_class)
    assert card.state.total_in == 700
    assert card.state.in_acked == (700 if payer_class is OPERATOR else 0)


@pytest.mark.parametrize("payer_class", [one for one in CertificateClass if not one.is_purse])
def test_who_has_no_purse_cannot_pay(operator: Purse, card: Purse, payer_class: CertificateClass) -> None:
    voucher = operator.pay(card.ask(operator, 700))
    assert refused(card, card.collect, voucher, payer_class) is Refused.CERTIFICATE


def test_a_card_takes_nothing_from_a_card(operator: Purse, card: Purse) -> None:
    """By its class and not by a policy: the Request stays open for whoever may answer it, or is refused."""
    assert card.policy.payee_classes >> WALLET & 1, "the policy would let it be"
    request = card.ask(operator, 700)
    voucher = operator.pay(request)
    assert refused(card, card.collect, voucher, WALLET) is Refused.PAYEE_CLASS
    card.state = replace(card.state, lifecycle=Lifecycle.BLOCKED)
    assert refused(card, card.collect, voucher, WALLET) is Refused.PAYEE_CLASS
    card.refuse(parse(Request, request).hash)


@pytest.mark.parametrize("payer_class", [one for one in CertificateClass if one.is_purse])
def test_a_merchants_purse_takes_value_from_every_purse(operator: Purse, payer_class: CertificateClass) -> None:
    merchant = Purse(MERCHANT_PURSE)
    merchant.collect(operator.pay(merchant.ask(operator, 700)), payer_class)
    assert merchant.state.balance == 700


def test_the_same_question_is_the_same_request(operator: Purse, card: Purse) -> None:
    request = card.ask(operator, 700)
    asked = card.state
    assert card.ask(operator, 700) == request
    assert card.state == asked
    for other in (
        lambda: card.ask(operator, 701),
        lambda: card.ask(operator, 700, digest("other order")),
        lambda: card.request(OPERATOR_PURSE.id, 1, 2, 700),
        lambda: card.request(OPERATOR_PURSE.id, 2, 1, 700),
        lambda: card.request(OTHER_CARD.id, 1, 1, 700),
    ):
        assert other() != request
    assert [entry.k for entry in card.state.table[:6]] == [1, 2, 3, 4, 5, 6]
    assert card.ask(operator, 700) == request


def test_a_stored_request_comes_before_every_gate(operator: Purse, card: Purse) -> None:
    request = card.ask(operator, 700)
    asked = card.state
    for changed in (
        replace(asked, lifecycle=Lifecycle.BLOCKED),
        replace(asked, pin_tries=0),
        replace(asked, next_k=COUNTER_MAX + 1),
        replace(asked, total_in=10**6),
        replace(asked, table=(asked.table[0],) * TABLE_SIZE),
    ):
        card.state = changed
        for policy in (OPEN_POLICY, replace(OPEN_POLICY, least_suite=2, balance_limit=0)):
            card.policy = policy
            assert card.ask(operator, 700) == request
            assert card.state == changed
    card.state = replace(asked, lifecycle=Lifecycle.TERMINATED)
    assert refused(card, card.ask, operator, 700) is Refused.WRONG_STATE


@pytest.mark.parametrize("amount", [MAX_MINOR_UNITS + 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("others", [0, 1])
def test_an_amount_beyond_counting_is_refused_whatever_else_is_open(
    operator: Purse, card: Purse, amount: int, others: int
) -> None:
    for number in range(others):
        card.ask(operator, number + 1)
    assert refused(card, card.ask, operator, amount) is Refused.AMOUNT


@pytest.mark.parametrize("amount", [0, -1])
def test_nothing_is_no_amount(operator: Purse, card: Purse, amount: int) -> None:
    assert refused(card, card.ask, operator, amount) is Refused.AMOUNT


def test_headroom(operator: Purse, card: Purse) -> None:
    """balance + Σ OPEN + amount ≤ limit (rule 5): reserved by REQUEST, used by COLLECT, given back by REFUSE."""
    limit = card.policy.balance_limit
    card.endow(40_000)
    first = card.ask(operator, 35_000)
    assert refused(card, card.ask, operator, limit - 75_000 + 1) is Refused.BALANCE_LIMIT
    second = card.ask(operator, limit - 75_000)
    assert refused(card, card.ask, operator, 1) is Refused.BALANCE_LIMIT
    card.collect(operator.pay(first), OPERATOR)
    assert card.state.balance == 75_000
    assert refused(card, card.ask, operator, 1) is Refused.BALANCE_LIMIT
    card.refuse(parse(Request, second).hash)
    assert card.state.open_amount == 0
    assert refused(card, card.ask, operator, 25_001) is Refused.BALANCE_LIMIT
    card.ask(operator, 25_000)
    assert card.state.balance + card.state.open_amount == limit


def test_a_lower_limit_blocks_credits_to_come_never_those_promised(operator: Purse, card: Purse) -> None:
    voucher = operator.pay(card.ask(operator, 50_000))
    card.policy = replace(card.policy, balance_limit=100)
    card.collect(voucher, OPERATOR)
    assert card.state.balance == 50_000
    assert refused(card, card.ask, operator, 1) is Refused.BALANCE_LIMIT


@pytest.mark.parametrize(("total", "amount", "fits"), [(1, MAX_MINOR_UNITS - 1, True), (2, MAX_MINOR_UNITS - 1, False)])
def test_what_a_purse_can_count(operator: Purse, card: Purse, total: int, amount: int, fits: bool) -> None:
    card.policy = replace(card.policy, balance_limit=MAX_MINOR_UNITS)
    card.state = replace(card.state, total_in=total, total_out=total)
    if fits:
        assert parse(Request, card.ask(operator, amount)).message.amount == amount
    else:
        assert refused(card, card.ask, operator, amount) is Refused.AMOUNT


def test_a_request_to_oneself(card: Purse) -> None:
    assert refused(card, card.ask, card, 100) is Refused.SELF_PAYMENT


def test_the_last_counter(operator: Purse, card: Purse) -> None:
    card.state = replace(card.state, next_k=COUNTER_MAX)
    assert parse(Request, card.ask(operator, 1)).message.k == COUNTER_MAX
    assert refused(card, card.ask, operator, 2) is Refused.COUNTERS_EXHAUSTED


def test_the_table_fills_up_and_then_nothing_moves(operator: Purse, card: Purse) -> None:
    """Final entries stay until a grant has acknowledged them: eight Requests, whatever became of them."""
    for number in range(TABLE_SIZE):
        request = card.ask(operator, number + 1)
        if number % 3 == 0:
            card.collect(operator.pay(request), OPERATOR)
        elif number % 3 == 1:
            card.refuse(parse(Request, request).hash)
    assert refused(card, card.ask, operator, 100) is Refused.SLOTS_FULL
    states = [entry.state.name for entry in card.state.table]
    assert states == ["COLLECTED", "REFUSED", "OPEN"] * 2 + ["COLLECTED", "REFUSED"]


def test_collect_again_is_the_same_receipt(operator: Purse, card: Purse) -> None:
    voucher = operator.pay(card.ask(operator, 700))
    receipt = card.collect(voucher, OPERATOR)
    credited = card.state
    for lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        card.state = replace(credited, lifecycle=lifecycle)
        for payer_class in (OPERATOR, CertificateClass.TILL):  # a stored answer comes before all reasons
            assert card.collect(voucher, payer_class) == receipt
        assert card.state == replace(credited, lifecycle=lifecycle)
    card.state = replace(credited, lifecycle=Lifecycle.TERMINATED)
    assert refused(card, card.collect, voucher, OPERATOR) is Refused.WRONG_STATE


def test_another_signature_of_the_same_voucher_is_not_credited_again(operator: Purse, card: Purse) -> None:
    voucher = parse(Voucher, operator.pay(card.ask(operator, 700)))
    receipt = card.collect(voucher.to_bytes(), OPERATOR)
    again = replace(voucher, signature=bytes(64)).to_bytes()
    assert card.collect(again, OPERATOR) == receipt
    assert card.state.balance == 700


def test_a_second_voucher_for_one_request_is_not_credited(operator: Purse, card: Purse) -> None:
    """A payer that equivocates: same Request, other payload (here another audit block)."""
    voucher = parse(Voucher, operator.pay(card.ask(operator, 700))).message
    card.collect(Signed.sign(voucher, OPERATOR_PURSE.key).to_bytes(), OPERATOR)
    other = Signed.sign(replace(voucher, audit=bytes(48)), OPERATOR_PURSE.key).to_bytes()
    assert refused(card, card.collect, other, OPERATOR) is Refused.REQUEST_CLOSED


@pytest.mark.parametrize(
    "changes",
    [
        {"payer": OTHER_CARD.id},
        {"epoch": 2},
        {"n": 2},
        {"k": 2},
        {"amount": 701},
        {"amount": 699},
        {"request_hash": bytes(32)},
        {"request_hash": digest("another request")},
    ],
    ids=str,
)
def test_a_voucher_that_does_not_answer_its_request(operator: Purse, card: Purse, changes: dict[str, Any]) -> None:
    """Who pays, at which counter, how much: all is what was asked, or nothing is credited."""
    voucher = parse(Voucher, operator.pay(card.ask(operator, 700))).message
    posing = Signed.sign(replace(voucher, **changes), OTHER_CARD.key).to_bytes()
    assert refused(card, card.collect, posing, MERCHANT) is Refused.REQUEST_CLOSED


def test_a_voucher_for_another_purse(operator: Purse, card: Purse) -> None:
    merchant = Purse(MERCHANT_PURSE)
    voucher = operator.pay(merchant.ask(operator, 700))
    assert refused(card, card.collect, voucher, OPERATOR) is Refused.WRONG_PURSE


def test_refuse(operator: Purse, card: Purse) -> None:
    request = card.ask(operator, 700)
    asked = parse(Request, request)
    refusal = card.refuse(asked.hash)
    content = parse(Refusal, refusal).verify(CARD.key.public)
    assert (content.payee, content.k, content.request_hash) == (CARD.id, 1, asked.hash)
    final = card.state
    assert card.refuse(asked.hash) == refusal
    assert card.state == final
    assert final.table[0].state is EntryState.REFUSED
    voucher = operator.pay(request)
    assert refused(card, card.collect, voucher, OPERATOR) is Refused.REQUEST_CLOSED
    assert final.balance == 0


def test_what_is_collected_is_not_refused(operator: Purse, card: Purse) -> None:
    request = card.ask(operator, 700)
    card.collect(operator.pay(request), OPERATOR)
    assert refused(card, card.refuse, parse(Request, request).hash) is Refused.REQUEST_CLOSED


@pytest.mark.parametrize("request_hash", [bytes(32), b"", digest("never asked")])
def test_what_was_never_asked_is_closed(card: Purse, request_hash: bytes) -> None:
    """An entry that is free holds no hash that could match."""
    assert refused(card, card.refuse, request_hash) is Refused.REQUEST_CLOSED


def test_a_refused_question_can_be_asked_anew(operator: Purse, card: Purse) -> None:
    first = card.ask(operator, 700)
    card.refuse(parse(Request, first).hash)
    second = card.ask(operator, 700)
    assert parse(Request, second).message.k == 2
    assert second != first


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
def test_when_a_purse_finishes(operator: Purse, card: Purse, lifecycle: Lifecycle) -> None:
    """Blocked: nothing new, but what was asked may be collected or refused (rule 10)."""
    load, other = card.ask(operator, 700), card.ask(operator, 800)
    voucher = operator.pay(load)
    card.state = replace(card.state, lifecycle=lifecycle)
    if lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        card.collect(voucher, OPERATOR)
        card.refuse(parse(Request, other).hash)
        assert card.state.balance == 700
    else:
        assert refused(card, card.collect, voucher, OPERATOR) is Refused.WRONG_STATE
        assert refused(card, card.refuse, parse(Request, other).hash) is Refused.WRONG_STATE
    if lifecycle is not Lifecycle.ACTIVE:
        assert refused(card, card.ask, operator, 900) is Refused.WRONG_STATE


def test_a_blocked_pin_finishes_but_asks_nothing_new(operator: Purse, card: Purse) -> None:
    voucher = operator.pay(card.ask(operator, 700))
    card.state = replace(card.state, pin_tries=0)
    assert refused(card, card.ask, operator, 1) is Refused.PIN_BLOCKED
    card.collect(voucher, OPERATOR)
    assert card.state.balance == 700


# REQUEST with the payer's certificate: the gate of what may be paid card to card


@pytest.fixture
def friend() -> Purse:
    purse = Purse(OTHER_CARD, UNLIMITED)
    purse.endow(10_000)
    return purse


def test_a_card_takes_value_from_a_card_that_it_has_asked_by_its_class(card: Purse, friend: Purse) -> None:
    request = card.ask(friend, 700, verified=True)
    assert card.state.table[0].payer_class is WALLET
    voucher = friend.pay(request)
    receipt = card.collect(voucher, WALLET)
    assert (card.state.balance, card.state.in_acked) == (700, 0), "received offline, not acknowledged"
    assert card.collect(voucher, WALLET) == receipt
    friend.acknowledge(receipt, CARD)
    assert friend.state.balance == 10_000 - 700


def test_what_was_asked_without_a_certificate_is_given_back(card: Purse, friend: Purse) -> None:
    """Below its threshold a card does not look at whom it pays: the payee's refusal is then the way back."""
    request = card.ask(friend, 700)
    voucher = friend.pay(request)
    assert refused(card, card.collect, voucher, WALLET) is Refused.PAYEE_CLASS
    friend.acknowledge_refusal(card.refuse(parse(Request, request).hash), CARD)
    assert (card.state.balance, friend.state.balance) == (0, 10_000)


@pytest.mark.parametrize("asked_of", [one for one in CertificateClass if one is not WALLET])
def test_asking_another_class_lets_no_card_in(card: Purse, friend: Purse, asked_of: CertificateClass) -> None:
    request = card.request(friend.id, 1, 1, 700, payer_class=asked_of)
    assert refused(card, card.collect, friend.pay(request), WALLET) is Refused.PAYEE_CLASS


def test_the_class_is_that_of_the_request_that_is_answered(card: Purse, friend: Purse) -> None:
    """One Request with the certificate does not let in what answers another one without."""
    plain, verified = card.ask(friend, 700), card.ask(friend, 800, verified=True)
    voucher = friend.pay(plain)
    assert refused(card, card.collect, voucher, WALLET) is Refused.PAYEE_CLASS
    assert refused(friend, friend.pay, verified) is Refused.STALE


@pytest.mark.parametrize("payer_class", list(CertificateClass))
@pytest.mark.parametrize("allowed", [True, False])
def test_the_policy_says_which_classes_may_pay(card: Purse, payer_class: CertificateClass, allowed: bool) -> None:
    """Bit c of payer_classes; without a certificate nothing is known and nothing is gated."""
    bit = 1 << payer_class
    card.policy = replace(OPEN_POLICY, payer_classes=bit if allowed else ~bit & 0xFF)
    ask = (OTHER_CARD.id, 1, 1, 700)
    if allowed:
        card.request(*ask, payer_class=payer_class)
    else:
        assert refused(card, card.request, *ask, payer_class=payer_class) is Refused.PAYEE_CLASS
        card.request(*ask)


def test_a_policy_of_later_does_not_stop_what_was_asked(card: Purse, friend: Purse) -> None:
    """Rule 10: the gate is at the Request, never at the finishing."""
    request = card.ask(friend, 700, verified=True)
    voucher = friend.pay(request)
    card.policy = replace(OPEN_POLICY, payer_classes=0)
    card.state = replace(card.state, lifecycle=Lifecycle.BLOCKED)
    assert card.request(friend.id, 1, 1, 700, payer_class=WALLET) == request
    card.collect(voucher, WALLET)


def test_the_question_asked_both_ways(card: Purse, friend: Purse) -> None:
    """Each way has its Request, and either sent again is the same Request again (I6)."""
    plain = card.ask(friend, 700)
    verified = card.ask(friend, 700, verified=True)
    assert plain != verified
    asked = card.state
    for _ in range(3):
        assert card.ask(friend, 700, verified=True) == verified
        assert card.ask(friend, 700) == plain
    assert card.state is asked
    card.refuse(parse(Request, plain).hash)
    assert card.ask(friend, 700) == verified, "what is verified is more than what was asked for now"


def test_a_certificate_that_does_not_verify_asks_nothing(card: Purse) -> None:
    calls = []

    def verify() -> None:
        calls.append(1)
        raise PurseRefusal(Refused.CERTIFICATE)

    def ask(**changes: Any) -> Any:
        named: dict[str, Any] = {"payer": OTHER_CARD.id, "epoch": 1, "n": 1, "amount": 700, "order_hash": bytes(32)}
        named |= {"suite": Suite.ES256, "payer_class": WALLET, "verify_payer": verify}
        return receive.request(card.state, CARD.id, card.policy, **(named | changes))

    assert refused(card, ask) is Refused.CERTIFICATE
    assert len(calls) == 1
    card.ask(Purse(OTHER_CARD), 700, verified=True)
    assert isinstance(ask(), receive.StoredAnswer), "what is stored needs no certificate"
    assert len(calls) == 1
    card.policy = replace(OPEN_POLICY, payer_classes=0)
    assert refused(card, lambda: ask(n=2)) is Refused.PAYEE_CLASS
    assert len(calls) == 1, "cheap reasons come first"
