"""I7 on the chip: power cut in a command that verifies somebody, and again in the SELECT that puts the card in order.

Such a command takes the keys of others into one persistent key object; the SELECT after a cut writes the object back,
and may be cut there. Whatever the cuts, the card shows itself before or after the command, and the command sent again
leads to the one after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from support import tally
from support.cards import LOAD, make_world
from support.java_cards import JavaInHand, java_card
from wallet_core.errors import OutcomeUnknownError

WORLD = make_world("java second cuts")
Act = Callable[[JavaInHand], object]


@pytest.fixture(scope="module")
def card() -> Iterator[JavaInHand]:
    with java_card(WORLD, load=LOAD) as hand:
        hand.process.snapshot("loaded")
        yield hand


def pay_verified(hand: JavaInHand) -> Act:
    signed = WORLD.signed_by_till(WORLD.till_request(hand.wallet.select(), 100))
    return lambda again: again.wallet.pay_verified(*signed)


def collect(hand: JavaInHand) -> Act:
    asked = hand.wallet.request(WORLD.operator_purse.id, 1, 2, 1_000, WORLD.digest("second cut"))
    voucher = WORLD.voucher_for(asked)
    return lambda again: again.wallet.collect(*voucher)


def reverse(hand: JavaInHand) -> Act:
    paid = hand.wallet.pay(WORLD.till_request(hand.wallet.select(), 100).to_payload())
    order = WORLD.order_for(paid)
    return lambda again: again.wallet.reverse(order)


def totals(hand: JavaInHand) -> tuple[object, ...]:
    return hand.tap(), hand.wallet.totals(), hand.wallet.slots()


@pytest.mark.parametrize("prepare", [pay_verified, collect, reverse])
def test_a_cut_and_another_in_the_recovery(card: JavaInHand, prepare: Callable[[JavaInHand], Act]) -> None:
    process = card.process
    process.restore("loaded")
    card.tap()
    run = prepare(card)
    before = totals(card)
    process.snapshot("before")
    run(card)
    after = totals(card)
    cuts = recoveries = wrong = 0
    for n in count(1):
        process.restore("before")
        card.tap()
        process.tear_at_write(n)
        try:
            run(card)
        except OutcomeUnknownError:
            cuts += 1
        else:
            process.forget_tears()
            break
        begun = process.report().writes
        card.connection.reset()
        process.tear_at_write(1)
        try:
            card.wallet.select()
        except OutcomeUnknownError:
            recoveries += 1
            assert process.report().writes == begun, "nothing was written"
        process.forget_tears()
        found = totals(card)
        run(card)
        wrong += found not in (before, after) or totals(card) != after
    tally.record("power cuts", total=cuts + recoveries, wrong=wrong)
    assert wrong == 0
    assert cuts >= 3
    assert recoveries >= 2, "a key of somebody was left behind, and the SELECT that took it out was cut"
