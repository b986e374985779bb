"""How what a card paid ends, on the card itself: outcomes, reports and grants, and the limits that they bring back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hardware import ending_commands as e
from hardware.commands import Activate, Deactivate, Terminate
from hardware.emulator.faults import FaultPlan, Tear
from hardware.purse_transfer import transfer
from support.cards import (
    LOAD,
    PIN,
    CardInHand,
    World,
    blank_card,
    change_state,
    make_world,
    merchant_sam,
    personalised_card,
    record_of,
    refused,
    secured,
    signed_grant,
)
from support.keys import FOREIGN_CARD, FOREIGN_OPERATOR, Party
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Report, Request, ReversalOrder, Signed, SpendMode, Voucher, parse
from wallet_core.messages.ending import Outcome, pack_outcomes
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, EntryState, Lifecycle, PurseState, SlotState

SALE = 100
SAM_KEY = "sam"


@pytest.fixture
def world() -> World:
    return make_world("endings")


@pytest.fixture
def hand(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


@pytest.fixture
def sam(world: World) -> Party:
    return world.party(SAM_KEY, CertificateClass.MERCHANT_PURSE)


def pay(hand: CardInHand, payee: Party, amount: int = SALE) -> bytes:
    fci = hand.wallet.select()
    return hand.wallet.pay(hand.world.till_request(fci, amount, payee=payee.id).to_payload())


def state_of(hand: CardInHand) -> PurseState:
    return record_of(hand).purse


def report(hand: CardInHand) -> Report:
    return parse(Report, hand.wallet.report()).message


# ACKNOWLEDGE and REVERSE --------------------------------------------------------------------------------------------


def test_a_receipt_is_an_outcome(world: World, hand: CardInHand, sam: Party) -> None:
    voucher = pay(hand, sam)
    hand.wallet.acknowledge(*world.receipt_for(voucher, sam))
    state = state_of(hand)
    assert (state.slots[0].state, state.balance, state.total_reversed) == (SlotState.COLLECTED, LOAD - SALE, 0)
    assert hand.tap().balance == LOAD - SALE
    assert state_of(hand) == state, "it is durable"


@pytest.mark.parametrize("how", ["refusal", "order"])
def test_a_refusal_and_an_order_give_the_value_back(world: World, hand: CardInHand, sam: Party, how: str) -> None:
    pay(hand, sam)
    voucher = pay(hand, sam)
    if how == "refusal":
        hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    else:
        hand.wallet.reverse(world.order_for(voucher, hand.wallet.report()))
    state = state_of(hand)
    assert [slot.state for slot in state.slots[:2]] == [SlotState.PENDING, SlotState.REVERSED]
    assert (state.balance, state.total_reversed, state.next_n) == (LOAD - SALE, SALE, 3)
    assert (state.exposure, state.unverified) == (2 * SALE, 2 * SALE), "value, not the counters that bound exposure"


def test_the_first_outcome_is_the_last_and_again_is_nothing(world: World, hand: CardInHand, sam: Party) -> None:
    voucher = pay(hand, sam)
    receipt, refusal = world.receipt_for(voucher, sam), world.refusal_for(voucher, sam)
    hand.wallet.acknowledge(*receipt)
    before = hand.flash.snapshot()
    hand.wallet.acknowledge(*receipt)
    assert hand.flash.snapshot() == before
    with refused(hand, Refused.OUTCOME_FINAL):
        hand.wallet.acknowledge_refusal(*refusal)
    with refused(hand, Refused.OUTCOME_FINAL):
        hand.wallet.reverse(world.order_for(voucher))
    other = pay(hand, sam)
    hand.wallet.acknowledge_refusal(*world.refusal_for(other, sam))
    before = hand.flash.snapshot()
    hand.wallet.acknowledge_refusal(*world.refusal_for(other, sam))
    hand.wallet.reverse(world.order_for(other))
    assert hand.flash.snapshot() == before
    with refused(hand, Refused.OUTCOME_FINAL):
        hand.wallet.acknowledge(*world.receipt_for(other, sam))


def test_what_is_not_believed(world: World, hand: CardInHand, sam: Party) -> None:
    voucher = pay(hand, sam)
    other = world.party("other sam", CertificateClass.MERCHANT_PURSE)
    receipt, certificate, operator = world.receipt_for(voucher, sam)
    with refused(hand, Refused.WRONG_PURSE):
        hand.wallet.acknowledge(*world.receipt_for(voucher, other))
    with refused(hand, Refused.CERTIFICATE):
        hand.wallet.acknowledge(receipt, other.certificate.to_bytes(), operator)
    with refused(hand, Refused.CERTIFICATE):
        hand.wallet.acknowledge(receipt, FOREIGN_CARD.certificate.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes())
    with refused(hand, Refused.CERTIFICATE):
        hand.wallet.acknowledge(receipt, certificate, FOREIGN_OPERATOR.certificate.to_bytes())
    with refused(hand, Refused.SIGNATURE):
        hand.wallet.acknowledge(receipt[:-1] + bytes((receipt[-1] ^ 1,)), certificate, operator)
    with refused(hand, Refused.NOT_FOUND):
        hand.wallet.acknowledge(*world.receipt_for(voucher, sam, voucher_hash=bytes(32)))
    with refused(hand, Refused.NOT_FOUND):
        hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam, request_hash=bytes(32)))
    with refused(hand, Refused.MALFORMED):
        hand.wallet.acknowledge(bytes(len(receipt)), certificate, operator)
    assert state_of(hand).slots[0].state is SlotState.PENDING


def test_a_till_does_not_decide_for_itself(world: World, hand: CardInHand) -> None:
    """Its operator does: neither its Receipt nor its Refusal moves a slot."""
    voucher = pay(hand, world.till)
    with refused(hand, Refused.CERTIFICATE):
        hand.wallet.acknowledge(*world.receipt_for(voucher, world.till))
    with refused(hand, Refused.CERTIFICATE):
        hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, world.till))
    hand.wallet.reverse(world.order_for(voucher))
    assert hand.wallet.select().balance == LOAD


def test_orders_that_are_not_carried_out(world: World, hand: CardInHand, sam: Party) -> None:
    voucher = pay(hand, sam)
    order = world.order_for(voucher)
    for changes in ({"payer": sam.id}, {"epoch": 2}):
        with refused(hand, Refused.WRONG_PURSE):
            hand.wallet.reverse(world.order_for(voucher, **changes))
    for changes in ({"n": 2}, {"voucher_hash": bytes(32)}):
        with refused(hand, Refused.NOT_FOUND):
            hand.wallet.reverse(world.order_for(voucher, **changes))
    with refused(hand, Refused.SIGNATURE):
        hand.wallet.reverse(order[:-1] + bytes((order[-1] ^ 1,)))
    with refused(hand, Refused.SIGNATURE):  # another operator's word is nothing here
        foreign = Signed.sign(parse(ReversalOrder, order).message, FOREIGN_OPERATOR.key).to_bytes()
        hand.wallet.reverse(foreign)
    hand.wallet.reverse(order)


# REPORT and GRANT ---------------------------------------------------------------------------------------------------


def test_a_report_says_what_the_card_holds_and_commits_nothing(world: World, hand: CardInHand, sam: Party) -> None:
    vouchers = [pay(hand, sam) for _ in range(3)]
    hand.wallet.acknowledge(*world.receipt_for(vouchers[0], sam))
    hand.wallet.reverse(world.order_for(vouchers[1]))
    asked = hand.wallet.request(world.operator_purse.id, 1, 2, 500, bytes(32))
    before = hand.flash.snapshot()
    told = parse(Report, hand.wallet.report()).verify(Certificate.from_bytes(hand.wallet.certificate()).key)
    assert hand.flash.snapshot() == before
    hashes = [parse(Voucher, one).hash for one in vouchers]
    assert [(line.n, line.state, line.voucher_hash) for line in told.slot_lines] == [
        (1, SlotState.COLLECTED, hashes[0]),
        (2, SlotState.REVERSED, hashes[1]),
        (3, SlotState.PENDING, hashes[2]),
    ]
    load, second = told.entry_lines
    assert (load.k, load.state, second.k, second.state) == (1, EntryState.COLLECTED, 2, EntryState.OPEN)
    assert second.hash == parse(Request, asked).hash
    state = state_of(hand)
    assert (told.balance, told.total_in, told.total_out) == (state.balance, state.total_in, state.total_out)
    assert (told.next_n, told.next_k, told.lifecycle, told.policy_version) == (4, 3, Lifecycle.ACTIVE, 1)


def test_a_grant_frees_what_is_final_and_nothing_else(world: World, hand: CardInHand, sam: Party) -> None:
    vouchers = [pay(hand, sam) for _ in range(4)]
    hand.wallet.acknowledge(*world.receipt_for(vouchers[0], sam))
    hand.wallet.reverse(world.order_for(vouchers[1]))
    hand.wallet.request(world.operator_purse.id, 1, 2, 500, bytes(32))
    grant = world.grant_for(hand.wallet.report(), collected=[3])
    hand.wallet.grant(grant)
    state = state_of(hand)
    assert [(slot.n, slot.state) for slot in state.slots if slot.n] == [(4, SlotState.PENDING)]
    assert [(entry.k, entry.state) for entry in state.table if entry.k] == [(2, EntryState.OPEN)]
    assert (state.exposure, state.payments_since_grant, state.balance) == (0, 0, LOAD - 3 * SALE)
    before = hand.flash.snapshot()
    hand.wallet.grant(grant)
    assert hand.flash.snapshot() == before, "a replay changes nothing"
    assert hand.tap().free_slots == SLOT_COUNT - 1


def test_an_older_grant_takes_nothing_back(world: World, hand: CardInHand, sam: Party) -> None:
    pay(hand, sam)
    old = world.grant_for(hand.wallet.report())
    pay(hand, sam)
    new = world.grant_for(hand.wallet.report())
    hand.wallet.grant(new)
    before = state_of(hand)
    hand.wallet.grant(old)
    assert state_of(hand) == before
    for amount in (0, MAX_MINOR_UNITS):
        totals: dict[str, Any] = {"out_acked": amount, "in_acked": amount, "n_acked": COUNTER_MAX if amount else 1}
        hand.wallet.grant(world.grant_for(hand.wallet.report(), **totals))
        assert state_of(hand) == before, "never less than before, never more than the purse's own"


def test_an_outcome_that_differs_frees_nothing(world: World, hand: CardInHand, sam: Party) -> None:
    """A grant clears no PENDING slot without *collected*, and no final one by the other outcome."""
    vouchers = [pay(hand, sam) for _ in range(2)]
    hand.wallet.reverse(world.order_for(vouchers[0]))
    wrong = pack_outcomes((Outcome(1, SlotState.COLLECTED), Outcome(2, SlotState.REVERSED)))
    hand.wallet.grant(world.grant_for(hand.wallet.report(), outcomes=wrong))
    assert [slot.state for slot in state_of(hand).slots[:2]] == [SlotState.REVERSED, SlotState.PENDING]


def test_grants_that_are_not_taken(world: World, hand: CardInHand, sam: Party) -> None:
    pay(hand, sam)
    told = hand.wallet.report()
    for changes in ({"purse": sam.id}, {"epoch": 2}):
        with refused(hand, Refused.WRONG_PURSE):
            hand.wallet.grant(world.grant_for(told, **changes))
    with refused(hand, Refused.SIGNATURE):
        hand.wallet.grant(signed_grant(FOREIGN_OPERATOR.key, told))
    with refused(hand, Refused.POLICY_OLD):
        hand.wallet.grant(world.grant_for(told, policy_version=2))
    hand.wallet.store_policy(world.signed_policy(version=2))
    hand.wallet.grant(world.grant_for(told, policy_version=2))
    assert state_of(hand).exposure == 0


@pytest.mark.parametrize("state", [Lifecycle.BLANK, Lifecycle.PERSONALISED, Lifecycle.TERMINATED])
def test_a_card_that_is_not_in_use_ends_nothing(world: World, sam: Party, state: Lifecycle) -> None:
    used = personalised_card(world, load=LOAD)
    voucher = pay(used, sam)
    told = used.wallet.report()
    hand = used
    if state is Lifecycle.TERMINATED:
        secured(hand, Terminate())
    else:
        hand = blank_card(world, bytes(8))
        hand.wallet.select()
        if state is Lifecycle.PERSONALISED:
            change_state(hand, lifecycle=state)
    for command in (
        e.Acknowledge(*world.receipt_for(voucher, sam)),
        e.AcknowledgeRefusal(*world.refusal_for(voucher, sam)),
        e.Reverse(world.order_for(voucher)),
        e.MakeReport(),
        e.TakeGrant(world.grant_for(told)),
    ):
        with refused(hand, Refused.WRONG_STATE):
            hand.wallet.run(command)


def test_a_blocked_card_ends_all_of_it(world: World, hand: CardInHand, sam: Party) -> None:
    vouchers = [pay(hand, sam) for _ in range(3)]
    secured(hand, Deactivate())
    hand.wallet.select()
    hand.wallet.acknowledge(*world.receipt_for(vouchers[0], sam))
    hand.wallet.acknowledge_refusal(*world.refusal_for(vouchers[1], sam))
    hand.wallet.reverse(world.order_for(vouchers[2]))
    assert report(hand).lifecycle == Lifecycle.BLOCKED
    hand.wallet.grant(world.grant_for(hand.wallet.report()))
    assert {slot.state for slot in state_of(hand).slots} == {SlotState.FREE}
    with pytest.raises(PurseRefusal) as caught:
        secured(hand, Activate())
    assert caught.value.reason is Refused.WRONG_STATE


# Limits that come back ----------------------------------------------------------------------------------------------


def test_full_slots_work_again_after_a_grant(world: World, hand: CardInHand, sam: Party) -> None:
    vouchers = [pay(hand, sam) for _ in range(SLOT_COUNT)]
    with refused(hand, Refused.SLOTS_FULL):
        pay(hand, sam)
    hand.wallet.acknowledge(*world.receipt_for(vouchers[0], sam))
    with refused(hand, Refused.SLOTS_FULL):
        pay(hand, sam)  # a final outcome alone makes no room: the operator has not seen it
    hand.wallet.grant(world.grant_for(hand.wallet.report()))
    pay(hand, sam)
    with refused(hand, Refused.SLOTS_FULL):
        pay(hand, sam)
    hand.wallet.grant(world.grant_for(hand.wallet.report(), collected=range(2, SLOT_COUNT + 2)))
    for _ in range(SLOT_COUNT):
        pay(hand, sam)
    assert hand.wallet.select().next_n == 2 * SLOT_COUNT + 2


def test_a_voucher_keeps_its_bytes_when_its_slot_is_used_again(world: World, hand: CardInHand, sam: Party) -> None:
    """Freed and used by another voucher, torn in between: the new one is read back, never the old one."""
    pay(hand, sam)
    hand.wallet.grant(world.grant_for(hand.wallet.report(), collected=[1]))
    hand.plans.plans.append(FaultPlan(Tear.DURING, command="PAY", at=1))
    with pytest.raises(OutcomeUnknownError):
        pay(hand, sam)
    fci = hand.tap()
    assert (fci.next_n, fci.free_slots, hand.wallet.resend_to(sam.id)) == (2, SLOT_COUNT, ())
    voucher = pay(hand, sam)
    hand.tap()
    assert hand.wallet.resend_to(sam.id) == (voucher,)


def test_a_full_table_works_again_after_a_grant(world: World, hand: CardInHand) -> None:
    payer = world.operator_purse.id
    for n in range(2, TABLE_SIZE + 1):
        asked = hand.wallet.request(payer, 1, n, 1, bytes(32))
        if n > 2:
            hand.wallet.refuse(parse(Request, asked).hash)
    with refused(hand, Refused.SLOTS_FULL):
        hand.wallet.request(payer, 1, 9, 1, bytes(32))
    hand.wallet.grant(world.grant_for(hand.wallet.report()))
    assert hand.wallet.select().free_entries == TABLE_SIZE - 1, "the open one stays"
    hand.wallet.request(payer, 1, 9, 1, bytes(32))


def test_the_offline_limits_come_back(world: World, sam: Party) -> None:
    hand = personalised_card(world, load=LOAD, offline_total=250, offline_count=3)
    pay(hand, sam)
    pay(hand, sam)
    with refused(hand, Refused.OFFLINE_TOTAL):
        pay(hand, sam)
    pay(hand, sam, 1)
    with refused(hand, Refused.OFFLINE_COUNT):
        pay(hand, sam, 1)
    voucher = hand.wallet.resend_to(sam.id)[0]
    hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    with refused(hand, Refused.OFFLINE_COUNT):
        pay(hand, sam, 1)  # a reversal gives value back, not exposure (rule 14)
    hand.wallet.grant(world.grant_for(hand.wallet.report()))
    pay(hand, sam)
    pay(hand, sam)
    with refused(hand, Refused.OFFLINE_TOTAL):
        pay(hand, sam)


def offline_inflow(hand: CardInHand, world: World, amount: int) -> None:
    """Value from a merchant's SAM, not yet seen by any operator."""
    payer = world.party("refunding sam", CertificateClass.MERCHANT_PURSE)
    asked = hand.wallet.request(payer.id, payer.certificate.epoch, 1, amount, bytes(32))
    hand.wallet.collect(*world.voucher_for(asked, payer))


@pytest.mark.parametrize("mode", list(SpendMode))
def test_spending_again_what_was_received_offline(world: World, sam: Party, mode: SpendMode) -> None:
    """*Staged* waits for a grant that has seen the inflow; *intermittent* does not."""
    hand = personalised_card(world, load=1_000, mode=mode)
    offline_inflow(hand, world, 500)
    assert hand.wallet.select().balance == 1_500
    pay(hand, sam, 1_000)
    if mode is SpendMode.STAGED:
        with refused(hand, Refused.INSUFFICIENT):
            pay(hand, sam, 1)
        unseen = world.grant_for(hand.wallet.report(), in_acked=1_000)
        hand.wallet.grant(unseen)
        with refused(hand, Refused.INSUFFICIENT):
            pay(hand, sam, 1)
        hand.wallet.grant(world.grant_for(hand.wallet.report()))
    pay(hand, sam, 500)
    assert hand.wallet.select().balance == 0
    with refused(hand, Refused.INSUFFICIENT):
        pay(hand, sam, 1)


def test_staged_value_that_came_back_is_spendable_at_once(world: World, sam: Party) -> None:
    hand = personalised_card(world, load=1_000, mode=SpendMode.STAGED)
    voucher = pay(hand, sam, 1_000)
    hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    pay(hand, sam, 1_000)
    assert hand.wallet.select().balance == 0


@pytest.mark.parametrize("mode", list(SpendMode))
def test_two_purses_pay_each_other_to_and_fro_offline(world: World, mode: SpendMode) -> None:
    """Intermittent value wanders for ever (within its limits); staged value moves once and then waits."""
    card = personalised_card(world, load=1_000, mode=mode)
    sam = merchant_sam(world, mode=mode)
    ways = [(card, sam), (sam, card)] * 2
    transfer(card.wallet, sam.wallet, 1_000)
    for payer, payee in ways[1:]:
        if mode is SpendMode.INTERMITTENT:
            transfer(payer.wallet, payee.wallet, 1_000)
        else:
            with pytest.raises(PurseRefusal) as caught:
                transfer(payer.wallet, payee.wallet, 1_000)
            assert caught.value.reason is Refused.INSUFFICIENT
    assert card.tap().balance + sam.tap().balance == 1_000


def test_the_last_counters(world: World, hand: CardInHand, sam: Party) -> None:
    """The card pays and asks with its last counter, and never again; all that is open still ends, and it reports."""
    change_state(hand, next_n=COUNTER_MAX, next_k=COUNTER_MAX, n_acked=COUNTER_MAX)
    voucher = pay(hand, sam)
    assert parse(Voucher, voucher).message.n == COUNTER_MAX
    asked = hand.wallet.request(world.operator_purse.id, 1, 2, 500, bytes(32))
    assert parse(Request, asked).message.k == COUNTER_MAX
    for _ in range(2):
        with refused(hand, Refused.COUNTERS_EXHAUSTED):
            hand.wallet.request(world.operator_purse.id, 1, 3, 500, bytes(32))
        with refused(hand, Refused.COUNTERS_EXHAUSTED):
            pay(hand, sam)
        hand.tap()
    hand.wallet.collect(*world.voucher_for(asked))
    hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    assert hand.wallet.select().balance == LOAD + 500
    hand.wallet.grant(world.grant_for(hand.wallet.report()))
    assert hand.tap().free_slots == SLOT_COUNT


def test_a_reversal_lifts_a_balance_above_its_limit(world: World, sam: Party) -> None:
    """Paid, loaded up to the limit, then the payment comes back: no value is lost, and only credits are blocked."""
    hand = personalised_card(world, load=100_000)
    voucher = pay(hand, sam, 10_000)
    hand.load(10_000, n=2, order="second")
    with refused(hand, Refused.BALANCE_LIMIT):
        hand.wallet.request(world.operator_purse.id, 1, 3, 1, bytes(32))
    hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    assert hand.tap().balance == 110_000
    with refused(hand, Refused.BALANCE_LIMIT):
        hand.wallet.request(world.operator_purse.id, 1, 3, 1, bytes(32))
    pay(hand, sam, 10_000)
    hand.wallet.verify_pin(PIN)
    pay_with_pin(hand, sam, 1_000)
    asked = hand.wallet.request(world.operator_purse.id, 1, 3, 1_000, bytes(32))
    hand.wallet.collect(*world.voucher_for(asked))
    assert hand.tap().balance == 100_000


def pay_with_pin(hand: CardInHand, payee: Party, amount: int) -> bytes:
    fci = hand.wallet.select()
    hand.wallet.verify_pin(PIN)
    request = hand.world.till_request(fci, amount)
    return hand.wallet.pay(replace(request, payee=payee.id).to_payload())


def test_an_open_request_is_collected_although_a_reversal_has_filled_the_card(world: World, sam: Party) -> None:
    """Headroom was reserved when it was asked: finishing is never gated (rule 10)."""
    hand = personalised_card(world, load=100_000)
    voucher = pay(hand, sam, 10_000)
    asked = hand.wallet.request(world.operator_purse.id, 1, 2, 10_000, bytes(32))
    hand.wallet.acknowledge_refusal(*world.refusal_for(voucher, sam))
    hand.wallet.collect(*world.voucher_for(asked))
    assert hand.tap().balance == 110_000


def test_an_outcome_that_is_there_needs_no_certificates(world: World, sam: Party) -> None:
    """`9000` once more, whatever comes with it; a new outcome with the same rubbish is refused."""
    hand = personalised_card(world, load=LOAD)
    rubbish = bytes(227)
    for answer, acknowledge in (
        (world.receipt_for, hand.wallet.acknowledge),
        (world.refusal_for, hand.wallet.acknowledge_refusal),
    ):
        said, *papers = answer(pay(hand, sam), sam)
        with refused(hand, Refused.MALFORMED):
            acknowledge(said, rubbish, rubbish)
        acknowledge(said, *papers)
        acknowledge(said, rubbish, rubbish)
    states = [slot.state for slot in record_of(hand).purse.slots if slot.state is not SlotState.FREE]
    assert states == [SlotState.COLLECTED, SlotState.REVERSED]
