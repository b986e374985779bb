"""Purse pays purse over two readers, in process: every kind, every way to be interrupted, and who gives up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from hardware.commands import Deactivate
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome, Power
from hardware.purse_transfer import Finished, GivenUp, Transferred, finish, give_up, transfer
from support import tally
from support.cards import LOAD, PIN, CardInHand, World, make_world, merchant_sam, personalised_card, record_of, secured
from wallet_core.certificates import CertificateClass
from wallet_core.errors import CardError, MismatchError, OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.messages import Receipt, Refusal, Request, parse
from wallet_core.purse.state import EntryState, SlotState

SALE, BIG_SALE = 6_800, 30_000
EVERY_PURSE = sum(1 << one for one in CertificateClass if one.is_purse)
FRIENDLY: dict[str, Any] = {"payee_classes": EVERY_PURSE, "payer_classes": EVERY_PURSE}


@dataclass
class Counter:
    """Two purses in two readers."""

    payer: CardInHand
    payee: CardInHand

    def tap(self) -> None:
        """Both cards taken off and put back."""
        self.payer.connection.reset()
        self.payee.connection.reset()

    def transfer(self, amount: int = SALE, order: str = "", pin: str | None = None) -> Transferred:
        order_hash = self.payer.world.digest(order) if order else None
        return transfer(self.payer.wallet, self.payee.wallet, amount, order_hash, ask_pin=lambda: pin)

    def finish(self, pin: str | None = None) -> Finished:
        return finish(self.payer.wallet, self.payee.wallet, ask_pin=lambda: pin)

    def again(self, act: Callable[[], object]) -> object:
        """What a user does: the same, until it is answered."""
        while True:
            self.tap()
            try:
                return act()
            except OutcomeUnknownError:
                continue

    @property
    def balances(self) -> tuple[int, int]:
        return self.payer.tap().balance, self.payee.tap().balance

    @property
    def slots(self) -> list[SlotState]:
        return [slot.state for slot in record_of(self.payer).purse.slots if slot.state is not SlotState.FREE]

    @property
    def entries(self) -> list[EntryState]:
        """Of the payee's table, without its loads."""
        table = record_of(self.payee).purse.table
        mine = [one for one in table if one.state is not EntryState.FREE]
        return [one.state for one in mine if parse(Request, one.request).message.payer == self.payer.tap().purse_id]


Maker = Callable[[World], CardInHand]


def friendly_card(world: World) -> CardInHand:
    """A card that takes value from cards."""
    return personalised_card(world, b"Card  02", **FRIENDLY)


@pytest.fixture
def world() -> World:
    return make_world("purse transfer")


@pytest.fixture
def shop(world: World) -> Counter:
    """A visitor's card and a merchant's SAM."""
    return Counter(personalised_card(world, load=LOAD), merchant_sam(world))


def test_a_card_pays_a_sam_and_the_sam_refunds_it(shop: Counter) -> None:
    done = shop.transfer()
    assert done.acknowledged
    assert done.receipt is not None
    assert parse(Receipt, done.receipt).message.voucher_hash == done.voucher.hash
    assert (done.amount, shop.balances) == (SALE, (LOAD - SALE, SALE))
    assert (shop.slots, shop.entries) == ([SlotState.COLLECTED], [EntryState.COLLECTED])
    back = Counter(shop.payee, shop.payer)
    assert back.transfer(800).acknowledged
    assert back.balances == (SALE - 800, LOAD - SALE + 800)
    assert (back.slots, back.entries) == ([SlotState.COLLECTED], [EntryState.COLLECTED])


def test_a_card_pays_a_card_where_both_policies_let_it(world: World) -> None:
    pair = Counter(
        personalised_card(world, load=LOAD, **FRIENDLY), personalised_card(world, b"Card  02", load=1, **FRIENDLY)
    )
    assert pair.transfer().acknowledged
    assert pair.balances == (LOAD - SALE, SALE + 1)


@pytest.mark.parametrize("strict", ["payer", "payee"])
def test_a_card_that_may_not_pay_or_take_from_a_card(world: World, strict: str) -> None:
    """Either policy is enough, and neither purse has moved a fen or keeps a Request open."""
    pair = Counter(
        personalised_card(world, load=LOAD, **({} if strict == "payer" else FRIENDLY)),
        personalised_card(world, b"Card  02", **({} if strict == "payee" else FRIENDLY)),
    )
    with pytest.raises(PurseRefusal) as caught:
        pair.transfer()
    assert caught.value.reason is Refused.PAYEE_CLASS
    assert pair.balances == (LOAD, 0)
    assert (pair.slots, pair.entries) == ([], [EntryState.REFUSED] if strict == "payer" else [])


def test_a_card_asked_without_its_certificate_gets_its_value_back(world: World) -> None:
    """An old terminal asks a card for a card's value, P1 = 00: the voucher is never taken, and its Refusal reverses."""
    pair = Counter(personalised_card(world, load=LOAD, **FRIENDLY), personalised_card(world, b"Card  02", **FRIENDLY))
    fci = pair.payer.wallet.select()
    asked = pair.payee.wallet.request(fci.purse_id, fci.epoch, fci.next_n, SALE, bytes(32))
    pair.payer.wallet.pay(parse(Request, asked).message.to_payload())
    assert pair.balances == (LOAD - SALE, 0)
    [back] = pair.finish().given_up
    assert (back.returned, back.reason) == (SALE, Refused.PAYEE_CLASS)
    assert pair.balances == (LOAD, 0)
    assert (pair.slots, pair.entries) == ([SlotState.REVERSED], [EntryState.REFUSED])


@pytest.mark.parametrize("room", [SALE, 3 * SALE])
def test_a_request_that_somebody_left_on_a_card_spoils_no_transfer(world: World, room: int) -> None:
    """Anybody may ask a card for any card's value without its certificate: such a Request is not paid, but REFUSED."""
    payee = personalised_card(world, b"Card  02", balance_limit=room, **FRIENDLY)
    pair = Counter(personalised_card(world, load=LOAD, **FRIENDLY), payee)
    fci = pair.payer.tap()
    pair.payee.tap()
    pair.payee.wallet.request(fci.purse_id, fci.epoch, fci.next_n, SALE, bytes(32))
    pair.tap()
    assert pair.transfer().acknowledged
    assert pair.balances == (LOAD - SALE, SALE)
    assert (pair.slots, sorted(pair.entries)) == ([SlotState.COLLECTED], [EntryState.COLLECTED, EntryState.REFUSED])


def test_a_resumed_transfer_to_a_card_is_paid_by_the_same_request(world: World) -> None:
    pair = Counter(personalised_card(world, load=LOAD, **FRIENDLY), friendly_card(world))
    pair.payer.plans.plans.append(FaultPlan(Tear.BEFORE, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        pair.transfer()
    pair.tap()
    assert pair.transfer().acknowledged
    assert (pair.balances, pair.entries) == ((LOAD - SALE, SALE), [EntryState.COLLECTED])


def test_above_the_payers_threshold_it_verifies_the_payee(shop: Counter) -> None:
    with pytest.raises(PurseRefusal) as caught:
        shop.transfer(BIG_SALE)
    assert caught.value.reason is Refused.PIN_REQUIRED
    assert shop.entries == [EntryState.OPEN], "the PIN may still come"
    with pytest.raises(CardError) as wrong:
        shop.transfer(BIG_SALE, pin="135790")
    assert wrong.value.sw == 0x63C2
    assert shop.transfer(BIG_SALE, pin=PIN).acknowledged
    assert shop.balances == (LOAD - BIG_SALE, BIG_SALE)
    assert shop.entries == [EntryState.COLLECTED], "the same Request all the time"


@pytest.mark.parametrize("exchange", range(1, 9))
@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.ANSWER])
@pytest.mark.parametrize("side", ["payer", "payee"])
@pytest.mark.parametrize("order", ["", "basket 7"])
def test_either_card_is_torn_at_each_exchange(shop: Counter, side: str, tear: Tear, exchange: int, order: str) -> None:
    shop.tap()
    torn = shop.payer if side == "payer" else shop.payee
    torn.plans.plans.append(FaultPlan(tear, exchange=exchange))
    try:
        done = shop.transfer(order=order)
        # Either the plan has waited for an exchange that never came, or only the acknowledgement was lost.
        assert done.acknowledged is bool(torn.plans.plans)
    except OutcomeUnknownError:
        again = shop.again(lambda: shop.transfer(order=order))
        assert isinstance(again, Transferred)
    torn.plans.plans.clear()
    shop.tap()
    shop.finish()
    assert shop.balances == (LOAD - SALE, SALE)
    assert (shop.slots, shop.entries) == ([SlotState.COLLECTED], [EntryState.COLLECTED])


def test_finish_without_knowing_what_was_asked(shop: Counter) -> None:
    """Torn before PAY, after PAY, after COLLECT: `finish` alone brings it home."""
    tears = [(shop.payer, Tear.BEFORE, "PAY"), (shop.payer, Tear.AFTER_COMMIT, "PAY")]
    tears += [(shop.payee, Tear.BEFORE, "COLLECT"), (shop.payee, Tear.AFTER_COMMIT, "COLLECT")]
    for number, (hand, tear, command) in enumerate(tears, 1):
        shop.tap()
        hand.plans.plans.append(FaultPlan(tear, command=command))
        with pytest.raises(OutcomeUnknownError):
            shop.transfer(100)
        shop.tap()
        found = shop.finish()
        assert [one.amount for one in found.transferred] == [100]
        assert shop.finish() == Finished((), ())
        assert shop.balances == (LOAD - 100 * number, 100 * number)


def test_the_same_order_moves_once_and_another_one_moves_again(shop: Counter) -> None:
    first = shop.transfer(order="basket 1")
    assert shop.transfer(order="basket 1").voucher == first.voucher
    assert shop.transfer(order="basket 2").voucher != first.voucher
    assert shop.transfer(100, order="basket 1").amount == 100, "another amount is another transfer"
    assert shop.balances == (LOAD - 2 * SALE - 100, 2 * SALE + 100)
    shop.transfer()
    shop.transfer()
    assert shop.balances == (LOAD - 4 * SALE - 100, 4 * SALE + 100), "without an order a finished one is over"


def test_another_basket_refuses_what_was_asked_and_not_paid(shop: Counter) -> None:
    shop.payer.plans.plans.append(FaultPlan(Tear.BEFORE, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer(500)
    shop.tap()
    shop.transfer(700)
    assert shop.balances == (LOAD - 700, 700)
    assert shop.entries == [EntryState.REFUSED, EntryState.COLLECTED]


def test_another_basket_after_a_debit_finishes_that_first(shop: Counter) -> None:
    shop.payer.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer(500)
    shop.tap()
    shop.transfer(700)
    assert shop.balances == (LOAD - 1_200, 1_200)
    assert shop.entries == [EntryState.COLLECTED] * 2


def test_giving_up_before_and_after_the_debit(shop: Counter) -> None:
    for tear, returned in ((Tear.BEFORE, 0), (Tear.AFTER_COMMIT, SALE)):
        shop.tap()
        shop.payer.plans.plans.append(FaultPlan(tear, command="PAY"))
        with pytest.raises(OutcomeUnknownError):
            shop.transfer()
        shop.tap()
        shop.payee.wallet.select()
        [asked] = [parse(Request, one) for one in shop.payee.wallet.open_requests()]
        given = give_up(shop.payer.wallet, shop.payee.wallet, asked.hash)
        assert (given.returned, parse(Refusal, given.refusal).message.request_hash) == (returned, asked.hash)
        assert shop.balances == (LOAD, 0)
        assert give_up(shop.payer.wallet, shop.payee.wallet, asked.hash) == GivenUp(asked.hash, given.refusal, 0)
    done = shop.transfer()
    with pytest.raises(PurseRefusal) as caught:
        give_up(shop.payer.wallet, shop.payee.wallet, done.voucher.message.request_hash)
    assert caught.value.reason is Refused.REQUEST_CLOSED
    assert shop.balances == (LOAD - SALE, SALE)


@pytest.mark.parametrize(("side", "command"), [("payee", "REFUSE"), ("payer", "ACKNOWLEDGE refusal")])
@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.AFTER_COMMIT])
def test_giving_up_is_interrupted(shop: Counter, side: str, command: str, tear: Tear) -> None:
    shop.payer.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer()
    shop.tap()
    shop.payee.wallet.select()
    [asked] = [parse(Request, one) for one in shop.payee.wallet.open_requests()]
    shop.tap()
    (shop.payer if side == "payer" else shop.payee).plans.plans.append(FaultPlan(tear, command=command))
    with pytest.raises(OutcomeUnknownError):
        give_up(shop.payer.wallet, shop.payee.wallet, asked.hash)
    shop.again(lambda: give_up(shop.payer.wallet, shop.payee.wallet, asked.hash))
    assert shop.balances == (LOAD, 0)
    assert (shop.slots, shop.entries) == ([SlotState.REVERSED], [EntryState.REFUSED])


def test_a_request_whose_counter_has_passed_is_refused(shop: Counter) -> None:
    world = shop.payer.world
    shop.payer.plans.plans.append(FaultPlan(Tear.BEFORE, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer()
    shop.payer.wallet.pay(world.till_request(shop.payer.tap(), 100).to_payload())
    shop.tap()
    found = shop.finish()
    assert [one.returned for one in found.given_up] == [0]
    assert shop.balances == (LOAD - 100, 0)
    assert shop.entries == [EntryState.REFUSED]


def test_a_debit_that_was_refused_is_given_back_by_finish(shop: Counter) -> None:
    """The payee refused, at another terminal, and the payer never heard."""
    shop.payer.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer()
    shop.payee.tap()
    [asked] = shop.payee.wallet.open_requests()
    shop.payee.wallet.refuse(parse(Request, asked).hash)
    shop.tap()
    [back] = shop.finish().given_up
    assert (back.returned, shop.balances) == (SALE, (LOAD, 0))


@pytest.mark.parametrize("again", ["finish", "transfer"])
def test_what_the_operator_has_given_back_is_not_collected(shop: Counter, again: str) -> None:
    """The payee was declared destroyed, an order reversed the debit, and the payee turns up with its open Request."""
    shop.payer.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer()
    payee = shop.payee.tap().purse_id
    shop.payer.tap()
    [voucher] = shop.payer.wallet.resend_to(payee)
    shop.payer.wallet.reverse(shop.payer.world.order_for(voucher))
    shop.tap()
    if again == "finish":
        [back] = shop.finish().given_up
        assert (back.returned, shop.balances) == (0, (LOAD, 0))
        assert shop.entries == [EntryState.REFUSED]
    else:
        shop.transfer()
        assert shop.balances == (LOAD - SALE, SALE)
        assert shop.entries == [EntryState.REFUSED, EntryState.COLLECTED]


def test_a_payee_that_has_forgotten_leaves_it_to_the_payers_operator(shop: Counter) -> None:
    """COLLECTED, never acknowledged, and the payee's grant freed its entry: a grant will tell the payer."""
    world = shop.payer.world
    shop.payer.plans.plans.append(FaultPlan(Tear.BEFORE, command="ACKNOWLEDGE"))
    assert not shop.transfer().acknowledged
    shop.tap()
    shop.payee.wallet.select()
    shop.payee.wallet.grant(world.grant_for(shop.payee.wallet.report()))
    [left] = shop.finish().left
    assert shop.slots == [SlotState.PENDING]
    shop.payer.wallet.grant(world.grant_for(shop.payer.wallet.report(), collected=[left.message.n]))
    assert shop.slots == []
    assert shop.balances == (LOAD - SALE, SALE)


@pytest.mark.parametrize("order", ["", "basket 1"])
@pytest.mark.parametrize("payee", [merchant_sam, friendly_card])
def test_what_was_paid_and_is_forgotten_is_not_paid_again(world: World, payee: Maker, order: str) -> None:
    """COLLECTED, never acknowledged, and the payee's grant freed its entry: the same transfer again moves nothing."""
    shop = Counter(personalised_card(world, load=LOAD, **FRIENDLY), payee(world))
    shop.payer.plans.plans.append(FaultPlan(Tear.BEFORE, command="ACKNOWLEDGE"))
    assert not shop.transfer(order=order).acknowledged
    shop.tap()
    shop.payee.wallet.select()
    shop.payee.wallet.grant(world.grant_for(shop.payee.wallet.report()))
    for _ in range(2):
        shop.tap()
        with pytest.raises(PurseRefusal) as caught:
            shop.transfer(order=order)
        assert caught.value.reason is Refused.REQUEST_CLOSED
        assert "online" in str(caught.value.next_step)
        assert (shop.balances, shop.slots) == ((LOAD - SALE, SALE), [SlotState.PENDING])
    shop.transfer(order="basket 2")
    assert shop.balances == (LOAD - 2 * SALE, 2 * SALE)


@pytest.mark.parametrize("payee", [merchant_sam, friendly_card])
def test_an_order_that_is_done_and_forgotten_has_no_receipt(world: World, payee: Maker) -> None:
    shop = Counter(personalised_card(world, load=LOAD, **FRIENDLY), payee(world))
    done = shop.transfer(order="basket 1")
    shop.payee.wallet.grant(shop.payer.world.grant_for(shop.payee.wallet.report()))
    again = shop.transfer(order="basket 1")
    assert (again.voucher, again.receipt, again.acknowledged) == (done.voucher, None, True)
    assert shop.balances == (LOAD - SALE, SALE)


@pytest.mark.parametrize(
    ("amount", "reason"),
    [(0, Refused.AMOUNT), (50_001, Refused.INSUFFICIENT), (100_001, Refused.BALANCE_LIMIT)],
)
def test_what_a_purse_refuses_leaves_nothing_open(world: World, amount: int, reason: Refused) -> None:
    payer = personalised_card(world, load=LOAD, transfer_limit=200_000, pin_threshold=200_000, unverified_total=200_000)
    shop = Counter(payer, merchant_sam(world))
    with pytest.raises(PurseRefusal) as caught:
        shop.transfer(amount)
    assert caught.value.reason is reason
    assert shop.balances == (LOAD, 0)
    assert EntryState.OPEN not in shop.entries


def test_a_purse_does_not_pay_itself(shop: Counter) -> None:
    with pytest.raises(PurseRefusal) as caught:
        transfer(shop.payer.wallet, shop.payer.wallet, SALE)
    assert caught.value.reason is Refused.SELF_PAYMENT


def test_a_request_to_another_payer_is_not_ours(shop: Counter, world: World) -> None:
    """A load that the SAM has asked for stays open, whoever pays in between."""
    shop.payee.wallet.request(world.operator_purse.id, 1, 1, 1_000, bytes(32))
    shop.transfer()
    assert len(shop.payee.wallet.open_requests()) == 1


def test_the_pin_goes_to_the_card_that_asked_for_it(shop: Counter, world: World) -> None:
    other = personalised_card(world, b"Card  02")

    def swap() -> str:
        shop.payer.wallet.connection = other.wallet.connection
        return PIN

    with pytest.raises(MismatchError):
        transfer(shop.payer.wallet, shop.payee.wallet, BIG_SALE, ask_pin=swap)
    assert record_of(other).purse.pin_tries == 3


def test_a_blocked_card_finishes_and_pays_no_more(shop: Counter) -> None:
    shop.payer.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        shop.transfer()
    shop.tap()
    secured(shop.payer, Deactivate())
    [done] = shop.finish().transferred
    assert done.acknowledged
    with pytest.raises(PurseRefusal) as caught:
        shop.transfer()
    assert caught.value.reason is Refused.WRONG_STATE
    assert shop.balances == (LOAD - SALE, SALE)


def cuts_of(shop: Counter, side: str) -> Iterator[tuple[int, Outcome]]:
    """Each cell that this purse programs in a transfer, cut in each way; the other purse keeps its power."""
    before = shop.payer.flash.snapshot(), shop.payee.flash.snapshot()
    for cell in count():
        for outcome in Outcome:
            for hand, content in zip((shop.payer, shop.payee), before, strict=True):
                hand.card.power_off()
                hand.flash.restore(content)
            shop.tap()
            hand = shop.payer if side == "payer" else shop.payee
            hand.flash.supply(Power(cell, outcome))
            try:
                if shop.transfer().acknowledged:
                    return
            except OutcomeUnknownError:
                pass
            yield cell, outcome


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_a_cut_at_every_cell_of_either_purse(shop: Counter, side: str) -> None:
    wrong = cuts = 0
    for _ in cuts_of(shop, side):
        shop.tap()
        if not shop.finish().transferred and shop.slots != [SlotState.COLLECTED]:
            shop.transfer()
        wrong += shop.balances != (LOAD - SALE, SALE)
        wrong += (shop.slots, shop.entries) != ([SlotState.COLLECTED], [EntryState.COLLECTED])
        cuts += 1
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts >= 4 * 10
