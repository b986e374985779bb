"""Emulator and applet pay each other: two implementations, one protocol, in either role and torn on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hardware.purse_transfer import finish, transfer
from support import tally
from support.cards import LOAD, CardInHand, make_world, merchant_sam, personalised_card
from support.java_cards import JavaInHand, java_card, java_sam
from wallet_core.errors import OutcomeUnknownError

SALE, REFUND = 6_800, 800
WORLD = make_world("java transfer")
Hand = CardInHand | JavaInHand


@pytest.fixture(scope="module")
def visitor() -> Iterator[JavaInHand]:
    with java_card(WORLD, load=LOAD) as hand:
        hand.process.snapshot("loaded")
        yield hand


@pytest.fixture(scope="module")
def sam() -> Iterator[JavaInHand]:
    with java_sam(WORLD) as hand:
        hand.process.snapshot("new")
        yield hand


@pytest.fixture
def java_visitor(visitor: JavaInHand) -> JavaInHand:
    visitor.process.restore("loaded")
    visitor.tap()
    return visitor


@pytest.fixture
def java_merchant(sam: JavaInHand) -> JavaInHand:
    sam.process.restore("new")
    sam.tap()
    return sam


def balances(payer: Hand, payee: Hand) -> tuple[int, int]:
    return payer.tap().balance, payee.tap().balance


def there_and_back(visitor: Hand, merchant: Hand) -> None:
    assert transfer(visitor.wallet, merchant.wallet, SALE, None).acknowledged
    assert balances(visitor, merchant) == (LOAD - SALE, SALE)
    assert transfer(merchant.wallet, visitor.wallet, REFUND, None).acknowledged
    assert balances(visitor, merchant) == (LOAD - SALE + REFUND, SALE - REFUND)


def test_an_applet_pays_an_emulated_sam_and_is_refunded(java_visitor: JavaInHand) -> None:
    there_and_back(java_visitor, merchant_sam(WORLD))


def test_an_emulated_card_pays_an_applet_sam_and_is_refunded(java_merchant: JavaInHand) -> None:
    there_and_back(personalised_card(WORLD, b"Emulator", load=LOAD), java_merchant)


def test_an_applet_pays_an_applet(java_visitor: JavaInHand, java_merchant: JavaInHand) -> None:
    there_and_back(java_visitor, java_merchant)


@pytest.mark.parametrize("side", ["payer", "payee"])
def test_the_applet_is_torn_at_each_write_of_a_transfer(
    java_visitor: JavaInHand, java_merchant: JavaInHand, side: str
) -> None:
    """The other side is the emulator. Both are put back, and the transfer is finished or made again: once."""
    torn = java_visitor if side == "payer" else java_merchant
    state = "loaded" if side == "payer" else "new"
    cuts = wrong = 0
    for n in range(1, 60):
        torn.process.restore(state)
        torn.tap()
        payer: Hand = torn if side == "payer" else personalised_card(WORLD, b"Emulator", load=LOAD)
        payee: Hand = merchant_sam(WORLD) if side == "payer" else torn
        torn.process.tear_at_write(n)
        try:
            acknowledged = transfer(payer.wallet, payee.wallet, SALE, WORLD.digest("basket")).acknowledged
        except OutcomeUnknownError:
            acknowledged = False
        if acknowledged:
            torn.process.forget_tears()
            break
        cuts += 1
        payer.tap(), payee.tap()
        transfer(payer.wallet, payee.wallet, SALE, WORLD.digest("basket"))
        payer.tap(), payee.tap()
        finish(payer.wallet, payee.wallet)
        wrong += balances(payer, payee) != (LOAD - SALE, SALE)
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts >= 6
