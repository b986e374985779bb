"""The purse applet in process: every command, every reason, and that a refusal programs no cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hardware import commands as c
from hardware.data_objects import Tag, Totals
from hardware.instructions import Store
from hardware.pin import pin_block
from support.cards import (
    LOAD,
    PIN,
    SERIAL,
    CardInHand,
    World,
    change_state,
    make_world,
    personalised_card,
    record_of,
    refused,
)
from support.keys import FOREIGN_CARD, FOREIGN_OPERATOR, certify
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CardError, PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Receipt, Refusal, Request, SpendMode, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import Lifecycle, SlotState

SALE = 6_800
WRONG_PIN = "246811"


@pytest.fixture
def world() -> World:
    return make_world("applet")


@pytest.fixture
def hand(world: World) -> CardInHand:
    """An active card with RMB 500.00, selected."""
    return personalised_card(world, load=LOAD)


def key_of(hand: CardInHand) -> Certificate:
    return Certificate.from_bytes(hand.wallet.certificate())


def pay(hand: CardInHand, amount: int, *, k: int = 1) -> bytes:
    return hand.wallet.pay(hand.world.till_request(hand.wallet.select(), amount, k=k).to_payload())


# PAY ----------------------------------------------------------------------------------------------------------------


def test_a_new_card_is_personalised_loaded_and_pays(world: World, hand: CardInHand) -> None:
    fci = hand.wallet.select()
    assert (fci.lifecycle, fci.balance, fci.next_n, fci.next_k) == (Lifecycle.ACTIVE, LOAD, 1, 2)
    request = world.till_request(fci, SALE)
    voucher = parse(Voucher, hand.wallet.pay(request.to_payload())).verify(key_of(hand).key)
    asked = (request.payer, request.epoch, request.n, request.payee, request.k, request.amount, request.hash)
    paid = (voucher.payer, voucher.epoch, voucher.n, voucher.payee, voucher.k, voucher.amount, voucher.request_hash)
    assert paid == asked
    assert voucher.policy_version == 1
    assert AuditData.open(world.audit_key(SERIAL), voucher.audit, 1) == AuditData(1, LOAD, SALE, 0, SALE)
    after = hand.tap()
    assert (after.balance, after.next_n, after.free_slots) == (LOAD - SALE, 2, 15)


def test_a_request_sent_again_gets_the_stored_bytes(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE).to_payload()
    voucher = hand.wallet.pay(request)
    snapshot = hand.flash.snapshot()
    assert [hand.wallet.pay(request) for _ in range(3)] == [voucher] * 3
    assert hand.flash.snapshot() == snapshot
    hand.tap()
    assert hand.wallet.pay(request) == voucher
    assert hand.wallet.totals().total_out == SALE


def test_pay_signs_once_and_a_stored_voucher_not_at_all(world: World, hand: CardInHand) -> None:
    fci = hand.tap()
    request = world.till_request(fci, SALE).to_payload()
    assert hand.card.signatures == 0
    hand.wallet.pay(request)
    hand.wallet.pay(request)
    assert hand.card.signatures == 1


def test_the_reasons_of_pay_in_their_order(world: World, hand: CardInHand) -> None:
    """Each Request has one fault more than the one below it; the first that applies is the answer."""
    fci = hand.wallet.select()
    stranger = world.digest("stranger")
    for changes, reason in (
        ({"payer": stranger, "n": 9, "amount": 0}, Refused.WRONG_PURSE),
        ({"epoch": 2, "n": 9, "amount": 0}, Refused.WRONG_PURSE),
        ({"n": 9, "amount": 0}, Refused.STALE),
        ({"n": 0, "amount": 0}, Refused.STALE),
        ({"payee": fci.purse_id, "amount": 50_001}, Refused.PAYEE_UNVERIFIED),
        ({"payee": fci.purse_id, "amount": 0}, Refused.SELF_PAYMENT),
        ({"amount": 0}, Refused.AMOUNT),
        ({"amount": 20_001}, Refused.PAYEE_UNVERIFIED),
    ):
        with refused(hand, reason):
            hand.wallet.pay(world.till_request(fci, SALE, **changes).to_payload())


def test_a_payload_that_is_not_canonical(world: World, hand: CardInHand) -> None:
    good = world.till_request(hand.wallet.select(), SALE).to_payload()
    for at in range(3):  # map head, label 0, type
        with refused(hand, Refused.MALFORMED):
            hand.wallet.pay(good[:at] + bytes((good[at] ^ 1,)) + good[at + 1 :])
    too_much = world.till_request(hand.wallet.select(), SALE).to_payload()
    amount = too_much.index(SALE.to_bytes(8, "big"))
    with refused(hand, Refused.MALFORMED):
        hand.wallet.pay(too_much[:amount] + (MAX_MINOR_UNITS + 1).to_bytes(8, "big") + too_much[amount + 8 :])


def limited(world: World, **policy: Any) -> CardInHand:
    policy.setdefault("payee_threshold", MAX_MINOR_UNITS)
    policy.setdefault("pin_threshold", MAX_MINOR_UNITS)
    policy.setdefault("unverified_total", MAX_MINOR_UNITS)
    return personalised_card(world, load=LOAD, **policy)


def test_limits(world: World) -> None:
    for policy, fits, above, reason in (
        ({"transfer_limit": 10_000}, 10_000, 10_001, Refused.TRANSFER_LIMIT),
        ({"offline_total": 10_000}, 10_000, 1, Refused.OFFLINE_TOTAL),
        ({"offline_count": 1}, 1, 1, Refused.OFFLINE_COUNT),
        ({}, LOAD, 1, Refused.INSUFFICIENT),
        ({"pin_threshold": 5_000}, 5_000, 5_001, Refused.PIN_REQUIRED),
        ({"unverified_total": 7_000}, 7_000, 1, Refused.PIN_REQUIRED),
        ({"payee_threshold": 5_000}, 5_000, 5_001, Refused.PAYEE_UNVERIFIED),
    ):
        hand = limited(world, **policy)
        if reason is Refused.TRANSFER_LIMIT:
            with refused(hand, reason):
                pay(hand, above)
        pay(hand, fits)
        with refused(hand, reason):
            pay(hand, above, k=2)


def test_staged_value_waits_for_its_acknowledgement(world: World) -> None:
    """Another holder's money is credited, and cannot be spent before a grant has seen it; *intermittent* may."""
    friend = world.party("friend", CertificateClass.MERCHANT_PURSE)
    for mode, spent in ((SpendMode.STAGED, False), (SpendMode.INTERMITTENT, True)):
        hand = limited(world, mode=mode)
        request = hand.wallet.request(friend.id, 1, 1, 500, world.digest("order"))
        hand.wallet.collect(*world.voucher_for(request, friend))
        pay(hand, LOAD)
        assert hand.wallet.select().balance == 500
        if spent:
            pay(hand, 500, k=2)
        else:
            with refused(hand, Refused.INSUFFICIENT):
                pay(hand, 1, k=2)


def test_sixteen_vouchers_fill_the_slots(world: World, hand: CardInHand) -> None:
    vouchers = [pay(hand, 100 + k, k=k) for k in range(1, 17)]
    assert hand.wallet.select().free_slots == 0
    with refused(hand, Refused.SLOTS_FULL):
        pay(hand, 100, k=17)
    assert hand.wallet.resend_to(world.till.id) == tuple(vouchers)
    hand.tap()
    assert hand.wallet.resend_to(world.till.id) == tuple(vouchers)


def test_a_counter_at_its_end(hand: CardInHand) -> None:
    change_state(hand, next_n=COUNTER_MAX, n_acked=COUNTER_MAX)
    pay(hand, 100)
    with refused(hand, Refused.COUNTERS_EXHAUSTED):
        pay(hand, 100, k=2)
    change_state(hand, next_k=COUNTER_MAX + 1)
    with refused(hand, Refused.COUNTERS_EXHAUSTED):
        hand.load(100, n=2, order="second")


# PAY, payee verified ------------------------------------------------------------------------------------------------


def test_a_verified_payee_may_be_paid_more(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), 30_000)
    signed, certificate, operator = world.signed_by_till(request)
    with refused(hand, Refused.PIN_REQUIRED):
        hand.wallet.pay_verified(signed, certificate, operator)
    hand.wallet.verify_pin(PIN)
    voucher = hand.wallet.pay_verified(signed, certificate, operator)
    assert parse(Voucher, voucher).verify(key_of(hand).key).amount == 30_000
    assert hand.wallet.pay_verified(signed, certificate, operator) == voucher
    assert hand.wallet.pay(request.to_payload()) == voucher, "the same Request, unsigned"


def test_what_does_not_verify_is_not_paid(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE)
    signed, certificate, operator = world.signed_by_till(request)
    other = world.party("other till", CertificateClass.TILL)
    forged = signed[:-1] + bytes((signed[-1] ^ 1,))
    for changed, reason in (
        ((forged, certificate, operator), Refused.SIGNATURE),
        ((signed, other.certificate.to_bytes(), operator), Refused.CERTIFICATE),
        ((signed, certificate[:-1] + bytes((certificate[-1] ^ 1,)), operator), Refused.CERTIFICATE),
        ((signed, certificate, operator[:-1] + bytes((operator[-1] ^ 1,))), Refused.CERTIFICATE),
        ((signed, certificate, FOREIGN_OPERATOR.certificate.to_bytes()), Refused.CERTIFICATE),
        ((signed, certificate, certificate), Refused.CERTIFICATE),
        ((signed, b"\0" * len(certificate), operator), Refused.MALFORMED),
        ((b"\0" + signed[1:], certificate, operator), Refused.MALFORMED),
    ):
        with refused(hand, reason):
            hand.wallet.pay_verified(*changed)
    stale = world.signed_by_till(world.till_request(hand.wallet.select(), SALE, n=5))
    with refused(hand, Refused.STALE):
        hand.wallet.pay_verified(stale[0][:-1] + b"\0", stale[1], stale[2])
    hand.wallet.pay_verified(signed, certificate, operator)


def test_a_class_that_this_card_may_not_pay(world: World, hand: CardInHand) -> None:
    friend = world.party("friend", CertificateClass.HARD_WALLET)
    request = world.till_request(hand.wallet.select(), SALE, payee=friend.id)
    with refused(hand, Refused.PAYEE_CLASS):
        hand.wallet.pay_verified(*world.signed_by(friend, request))


def test_a_stored_voucher_needs_no_payee(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE)
    voucher = hand.wallet.pay(request.to_payload())
    signed, certificate, _ = world.signed_by_till(request)
    assert hand.wallet.pay_verified(signed, certificate, FOREIGN_OPERATOR.certificate.to_bytes()) == voucher
    rubbish = bytes(len(certificate))
    assert hand.wallet.pay_verified(signed, rubbish, rubbish) == voucher, "a stored answer comes before all reasons"


# PIN ----------------------------------------------------------------------------------------------------------------


def test_one_verification_is_good_for_one_payment(world: World, hand: CardInHand) -> None:
    def big(k: int) -> tuple[bytes, bytes, bytes]:
        return world.signed_by_till(world.till_request(hand.wallet.select(), 20_001, k=k))

    hand.wallet.verify_pin(PIN)
    hand.wallet.pay_verified(*big(1))
    with refused(hand, Refused.PIN_REQUIRED):
        hand.wallet.pay_verified(*big(2))
    hand.wallet.verify_pin(PIN)
    hand.tap()
    with refused(hand, Refused.PIN_REQUIRED):
        hand.wallet.pay_verified(*big(2))
    hand.wallet.verify_pin(PIN)
    with pytest.raises(CardError):
        hand.wallet.verify_pin(WRONG_PIN)
    with refused(hand, Refused.PIN_REQUIRED):
        hand.wallet.pay_verified(*big(2))


def test_a_pin_starts_the_unverified_sum_again(world: World, hand: CardInHand) -> None:
    for k in (1, 2):
        pay(hand, 15_000, k=k)
    assert hand.wallet.totals().unverified == 30_000
    with refused(hand, Refused.PIN_REQUIRED):
        pay(hand, 1, k=3)
    hand.wallet.verify_pin(PIN)
    pay(hand, 1, k=3)
    assert hand.wallet.totals().unverified == 0, "paid with the PIN, it does not count"
    pay(hand, 2, k=4)
    assert hand.wallet.totals().unverified == 2


def test_a_wrong_pin_to_blocking(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE).to_payload()
    voucher = hand.wallet.pay(request)
    for left in (2, 1, 0):
        with pytest.raises(CardError) as caught:
            hand.wallet.verify_pin(WRONG_PIN)
        assert caught.value.sw == 0x63C0 | left
        assert WRONG_PIN not in caught.value.message
        assert hand.tap().pin_tries == left, "the try is used up for good"
    with refused(hand, Refused.PIN_BLOCKED):
        hand.wallet.verify_pin(PIN)
    with refused(hand, Refused.PIN_BLOCKED):
        pay(hand, 1, k=2)
    with refused(hand, Refused.PIN_BLOCKED):
        hand.load(100, n=2, order="second")
    assert hand.wallet.pay(request) == voucher, "what was paid can be read"
    assert hand.wallet.resend_to(world.till.id) == (voucher,)


def test_the_right_pin_gives_all_tries_back(hand: CardInHand) -> None:
    for _ in range(2):
        with pytest.raises(CardError):
            hand.wallet.verify_pin(WRONG_PIN)
    hand.wallet.verify_pin(PIN)
    assert hand.tap().pin_tries == 3


@pytest.mark.parametrize("block", [bytes(8), b"\x24" + bytes(7), pin_block(PIN)[:-1] + b"\0"])
def test_what_is_no_pin_costs_no_try(hand: CardInHand, block: bytes) -> None:
    with refused(hand, Refused.MALFORMED):
        hand.wallet.run(c.Verify(block))
    assert hand.wallet.select().pin_tries == 3


# RESEND and GET DATA ------------------------------------------------------------------------------------------------


def test_resend(world: World, hand: CardInHand) -> None:
    sam = world.party("sam", CertificateClass.MERCHANT_PURSE)
    requests = [
        world.till_request(hand.wallet.select(), 100, n=n, k=n, payee=sam.id if n == 2 else world.till.id)
        for n in (1, 2, 3)
    ]
    vouchers = [hand.wallet.pay(request.to_payload()) for request in requests]
    hand.tap()
    assert [hand.wallet.resend(request.hash) for request in requests] == vouchers
    assert hand.wallet.resend_to(world.till.id) == (vouchers[0], vouchers[2])
    assert hand.wallet.resend_to(sam.id) == (vouchers[1],)
    assert hand.wallet.resend_to(world.digest("nobody")) == ()
    with refused(hand, Refused.NOT_FOUND):
        hand.wallet.resend(world.digest("no Request"))
    with refused(hand, Refused.PIN_REQUIRED):
        hand.wallet.vouchers()
    hand.wallet.verify_pin(PIN)
    assert hand.wallet.vouchers() == tuple(vouchers)


def test_open_requests_are_answered_again(world: World, hand: CardInHand) -> None:
    purse = world.operator_purse
    requests = [hand.wallet.request(purse.id, 1, n, 100, world.digest(f"load {n}")) for n in (2, 3)]
    assert hand.wallet.open_requests() == tuple(requests)
    hand.wallet.collect(*world.voucher_for(requests[0]))
    assert hand.wallet.open_requests() == (requests[1],)


def test_get_data(world: World, hand: CardInHand) -> None:
    assert hand.wallet.operator_certificate() == world.operator.certificate.to_bytes()
    assert hand.wallet.authority_certificate() == world.authority.certificate.to_bytes()
    assert hand.wallet.policy().verify(world.operator.key.public).version == 1
    assert hand.wallet.serial() == SERIAL
    pay(hand, SALE)
    assert hand.wallet.totals() == Totals(LOAD, SALE, 0, 0, LOAD, SALE, 1, 2, 2, 1)
    assert [(slot.state, slot.n) for slot in hand.wallet.slots() if slot.n] == [(SlotState.PENDING, 1)]
    with refused(hand, Refused.NOT_FOUND):
        hand.wallet.run(c.GetData(0x9F7F))
    for tag in Tag:
        assert world.till.id not in hand.wallet.data(tag), "whom the card paid is not told"


# REQUEST, COLLECT, REFUSE -------------------------------------------------------------------------------------------


def test_a_load_sent_again_is_credited_once(world: World, hand: CardInHand) -> None:
    purse = world.operator_purse
    ask = (purse.id, 1, 2, 1_000, world.digest("second load"))
    request = hand.wallet.request(*ask)
    asked = parse(Request, request).verify(key_of(hand).key)
    assert (asked.payer, asked.n, asked.k, asked.amount) == (purse.id, 2, 2, 1_000)
    snapshot = hand.flash.snapshot()
    assert hand.wallet.request(*ask) == request
    assert hand.flash.snapshot() == snapshot
    hand.tap()
    assert hand.wallet.request(*ask) == request
    voucher = world.voucher_for(request)
    receipt = hand.wallet.collect(*voucher)
    said = parse(Receipt, receipt).verify(key_of(hand).key)
    assert (said.k, said.voucher_hash, said.total_in) == (2, parse(Voucher, voucher[0]).hash, LOAD + 1_000)
    hand.tap()
    snapshot = hand.flash.snapshot()
    assert hand.wallet.collect(*voucher) == receipt
    unsigned = voucher[0][:-1] + bytes((voucher[0][-1] ^ 1,))
    assert hand.wallet.collect(unsigned, *voucher[1:]) == receipt, "the same payload is the same voucher"
    rubbish = bytes(len(voucher[1]))
    assert hand.wallet.collect(voucher[0], rubbish, rubbish) == receipt, "a stored answer comes before all reasons"
    assert hand.flash.snapshot() == snapshot
    totals = hand.wallet.totals()
    assert (totals.total_in, totals.in_acked) == (LOAD + 1_000, LOAD + 1_000)


def test_what_does_not_verify_is_not_credited(world: World, hand: CardInHand) -> None:
    request = hand.wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("order"))
    voucher, payer, operator = world.voucher_for(request)
    stranger = world.party("stranger", CertificateClass.OPERATOR_PURSE)
    old = certify(world.operator.key, world.operator_purse.key, CertificateClass.OPERATOR_PURSE, epoch=2)
    till = certify(world.operator.key, world.operator_purse.key, CertificateClass.TILL)
    foreign = certify(FOREIGN_OPERATOR.key, world.operator_purse.key, CertificateClass.OPERATOR_PURSE)
    for changed, reason in (
        ((voucher[:-1] + bytes((voucher[-1] ^ 1,)), payer, operator), Refused.SIGNATURE),
        ((voucher, stranger.certificate.to_bytes(), operator), Refused.CERTIFICATE),
        ((voucher, old.to_bytes(), operator), Refused.CERTIFICATE),
        ((voucher, till.to_bytes(), operator), Refused.CERTIFICATE),
        ((voucher, foreign.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes()), Refused.CERTIFICATE),
        ((voucher, FOREIGN_CARD.certificate.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes()), Refused.PAYEE_CLASS),
        (world.voucher_for(request, amount=2_000), Refused.REQUEST_CLOSED),
        (world.voucher_for(request, n=3), Refused.REQUEST_CLOSED),
        (world.voucher_for(request, k=9), Refused.REQUEST_CLOSED),
        (world.voucher_for(request, request_hash=world.digest("other")), Refused.REQUEST_CLOSED),
        (world.voucher_for(request, payee=world.till.id), Refused.WRONG_PURSE),
        (world.voucher_for(request, stranger, payer=stranger.id), Refused.REQUEST_CLOSED),
        ((voucher[:-80] + bytes(80), payer, operator), Refused.MALFORMED),
    ):
        with refused(hand, reason):
            hand.wallet.collect(*changed)
    hand.wallet.collect(voucher, payer, operator)


def test_a_card_takes_nothing_from_another_card(world: World, hand: CardInHand) -> None:
    """A card pays whomever it does not look at, below its threshold; the other card does not take it."""
    friend = world.party("friend", CertificateClass.HARD_WALLET)
    request = hand.wallet.request(friend.id, 1, 1, 1_000, world.digest("order"))
    with refused(hand, Refused.PAYEE_CLASS):
        hand.wallet.collect(*world.voucher_for(request, friend))
    hand.wallet.refuse(parse(Request, request).hash)
    assert hand.wallet.select().balance == LOAD


def test_a_merchants_purse_takes_the_value_of_a_card(world: World) -> None:
    hand = personalised_card(world, profile="merchant-sam")
    friend = world.party("friend", CertificateClass.HARD_WALLET)
    request = hand.wallet.request(friend.id, 1, 1, 1_000, world.digest("order"))
    hand.wallet.collect(*world.voucher_for(request, friend))
    assert hand.wallet.select().balance == 1_000


def test_a_refused_request_is_never_credited(world: World, hand: CardInHand) -> None:
    request = hand.wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("order"))
    request_hash = parse(Request, request).hash
    refusal = hand.wallet.refuse(request_hash)
    assert parse(Refusal, refusal).verify(key_of(hand).key).request_hash == request_hash
    hand.tap()
    assert hand.wallet.refuse(request_hash) == refusal
    with refused(hand, Refused.REQUEST_CLOSED):
        hand.wallet.collect(*world.voucher_for(request))
    with refused(hand, Refused.REQUEST_CLOSED):
        hand.wallet.refuse(world.digest("unknown"))
    assert hand.wallet.select().balance == LOAD


def test_a_collected_request_is_not_refused(world: World, hand: CardInHand) -> None:
    request = hand.wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("order"))
    hand.wallet.collect(*world.voucher_for(request))
    with refused(hand, Refused.REQUEST_CLOSED):
        hand.wallet.refuse(parse(Request, request).hash)


def test_the_reasons_of_request(world: World, hand: CardInHand) -> None:
    own, purse = hand.wallet.select().purse_id, world.operator_purse.id
    order = world.digest("order")
    for ask, reason in (
        ((own, 1, 1, 0, order), Refused.SELF_PAYMENT),
        ((purse, 1, 2, 0, order), Refused.AMOUNT),
        ((purse, 1, 2, MAX_MINOR_UNITS, order), Refused.AMOUNT),
        ((purse, 1, 2, MAX_MINOR_UNITS + 1, order), Refused.MALFORMED),
        ((purse, 1, 2, 50_001, order), Refused.BALANCE_LIMIT),
    ):
        with refused(hand, reason):
            hand.wallet.request(*ask)
    hand.wallet.request(purse, 1, 2, 30_000, order)
    with refused(hand, Refused.BALANCE_LIMIT):  # headroom is reserved
        hand.wallet.request(purse, 1, 3, 20_001, order)
    hand.wallet.request(purse, 1, 3, 20_000, order)


def test_the_table_of_requests_is_full(world: World, hand: CardInHand) -> None:
    purse = world.operator_purse.id
    for n in range(2, 9):
        hand.wallet.request(purse, 1, n, 1, world.digest("order"))
    with refused(hand, Refused.SLOTS_FULL):
        hand.wallet.request(purse, 1, 9, 1, world.digest("order"))


# Life cycle ---------------------------------------------------------------------------------------------------------


def test_a_blocked_purse_finishes_and_decides_nothing_new(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE)
    voucher = hand.wallet.pay(request.to_payload())
    ask = (world.operator_purse.id, 1, 2, 1_000, world.digest("order"))
    open_request, other = hand.wallet.request(*ask), hand.wallet.request(*ask[:2], 3, *ask[3:])
    change_state(hand, lifecycle=Lifecycle.BLOCKED)
    hand.tap()
    assert hand.wallet.pay(request.to_payload()) == voucher
    assert hand.wallet.resend(request.hash) == voucher
    assert hand.wallet.request(*ask) == open_request
    with refused(hand, Refused.WRONG_STATE):
        pay(hand, 1, k=2)
    with refused(hand, Refused.WRONG_STATE):
        hand.wallet.request(*ask[:2], 4, *ask[3:])
    with refused(hand, Refused.WRONG_STATE):
        hand.wallet.pay_verified(*world.signed_by_till(world.till_request(hand.wallet.select(), 1)))
    hand.wallet.collect(*world.voucher_for(open_request))
    hand.wallet.refuse(parse(Request, other).hash)
    hand.wallet.verify_pin(PIN)
    assert hand.wallet.vouchers() == (voucher,)


def test_on_a_blocked_purse_wrong_state_comes_before_malformed(world: World, hand: CardInHand) -> None:
    """statuses.md: whatever is wrong with a command that would begin something, a blocked purse begins nothing."""
    fci = hand.wallet.select()
    rubbish, certificate = bytes(138), bytes(227)
    request = world.till_request(fci, 1)
    signed, till, operator = world.signed_by_till(request)
    question = (world.operator_purse.id, 1, 2, MAX_MINOR_UNITS + 1, world.digest("order"))
    beginnings: list[Callable[[], object]] = [
        lambda: hand.wallet.pay(rubbish),
        lambda: hand.wallet.pay_verified(bytes(213), till, operator),
        lambda: hand.wallet.pay_verified(signed, certificate, operator),
        lambda: hand.wallet.request(*question),
        lambda: hand.wallet.request_verified(*question, till, operator),
        lambda: hand.wallet.request_verified(*question[:3], 1, question[4], certificate, operator),
    ]
    for begin in beginnings:
        with refused(hand, Refused.MALFORMED):
            begin()
    change_state(hand, lifecycle=Lifecycle.BLOCKED)
    hand.tap()
    for begin in beginnings:
        with refused(hand, Refused.WRONG_STATE):
            begin()
    finishing: list[Callable[[], object]] = [
        lambda: hand.wallet.collect(bytes(270), till, operator),
        lambda: hand.wallet.acknowledge(bytes(186), till, operator),
        lambda: hand.wallet.reverse(bytes(197)),
        lambda: hand.wallet.grant(bytes(306)),
    ]
    for finish in finishing:  # these it still hears
        with refused(hand, Refused.MALFORMED):
            finish()


def test_a_terminated_purse_tells_its_state_and_nothing_else(world: World, hand: CardInHand) -> None:
    request = world.till_request(hand.wallet.select(), SALE)
    hand.wallet.pay(request.to_payload())
    change_state(hand, lifecycle=Lifecycle.TERMINATED)
    assert hand.tap().lifecycle is Lifecycle.TERMINATED
    assert hand.wallet.totals().total_out == SALE
    commands: list[Callable[[], object]] = [
        lambda: hand.wallet.pay(request.to_payload()),
        lambda: hand.wallet.resend(request.hash),
        lambda: hand.wallet.verify_pin(PIN),
        lambda: hand.wallet.request(world.till.id, 1, 1, 1, bytes(32)),
        lambda: hand.wallet.refuse(bytes(32)),
    ]
    for command in commands:
        with refused(hand, Refused.WRONG_STATE):
            command()


# Policy in the field ------------------------------------------------------------------------------------------------


def test_a_newer_policy_counts_at_once(world: World, hand: CardInHand) -> None:
    newer = world.signed_policy(version=2, transfer_limit=500)
    hand.wallet.store_policy(newer)
    snapshot = hand.flash.snapshot()
    hand.wallet.store_policy(newer)
    assert hand.flash.snapshot() == snapshot
    with refused(hand, Refused.TRANSFER_LIMIT):
        pay(hand, 501)
    assert hand.tap().policy_version == 2
    with refused(hand, Refused.TRANSFER_LIMIT):
        pay(hand, 501)


def test_a_policy_that_is_not_taken(world: World, hand: CardInHand) -> None:
    good = world.signed_policy(version=2)
    other = world.party("other operator", CertificateClass.OPERATOR)
    for content, reason in (
        (world.signed_policy(version=1, transfer_limit=1), Refused.WRONG_STATE),
        (world.signed_policy(version=0), Refused.WRONG_STATE),
        (good[:-1] + bytes((good[-1] ^ 1,)), Refused.SIGNATURE),
        (world.signed_policy(version=2, operator=other.id), Refused.WRONG_PURSE),
        (world.signed_policy(version=2, purse_class=CertificateClass.MERCHANT_PURSE), Refused.WRONG_PURSE),
        (b"\0" + good[1:], Refused.MALFORMED),
    ):
        with refused(hand, reason):
            hand.wallet.store_policy(content)
    assert hand.tap().policy_version == 1


def test_a_limit_below_the_balance_blocks_credits_and_no_debit(world: World, hand: CardInHand) -> None:
    hand.wallet.store_policy(world.signed_policy(version=2, balance_limit=1_000))
    with refused(hand, Refused.BALANCE_LIMIT):
        hand.load(1, n=2, order="second")
    pay(hand, SALE)


def test_other_objects_want_the_channel(hand: CardInHand) -> None:
    snapshot = hand.flash.snapshot()
    for command in (
        c.StoreData(Store.PIN, pin_block(WRONG_PIN)),
        c.GenerateKeyPair(bytes(32)),
        c.PersonaliseEnd(),
        c.Activate(),
        c.Deactivate(),
        c.Terminate(),
    ):
        with pytest.raises(CardError) as caught:
            hand.wallet.run(command)
        assert caught.value.sw == 0x6882
    assert hand.flash.snapshot() == snapshot
    assert record_of(hand).purse.lifecycle is Lifecycle.ACTIVE


def test_a_refusal_is_told_with_its_next_step(hand: CardInHand) -> None:
    with pytest.raises(PurseRefusal) as caught:
        hand.wallet.resend(bytes(32))
    assert caught.value.message == "the card refuses RESEND by Request: not found"
    with pytest.raises(PurseRefusal) as caught:
        hand.wallet.vouchers()
    assert caught.value.next_step == "Enter the PIN and tap again."
