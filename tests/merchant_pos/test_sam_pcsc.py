"""The till through PC/SC: card and SAM in the two slots of the virtual reader, each torn and put back in mid-sale and
in mid-refund; it is the till that recovers, from its journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.emulator.faults import Tear
from merchant_pos import refund, sam_sale
from merchant_pos.cards import ReaderSource
from merchant_pos.decisions import Result
from merchant_pos.journal import Journal
from merchant_pos.ports import SystemClock
from merchant_pos.sales import Order
from merchant_pos.sam_desk import SamDesk
from merchant_pos.transfers import TransferState
from support import tally
from support.cards import CardInHand, record_of
from support.echo_card import CardInReader
from support.pcscd import READERS, PrivatePcscd
from support.sam_till import LOADED, card, sam, tear
from support.till import Pins, identity

pytestmark = pytest.mark.pcsc
REINSERT_MS = 50
SALE = Order(1_000, "two bowls of noodles")
# Who is torn, at which command, and where in it.
SALE_TEARS = (
    *(("sam", "REQUEST", Tear.AFTER_COMMIT), ("card", "PAY", Tear.AFTER_COMMIT), ("card", "PAY", Tear.BEFORE)),
    *(("sam", "COLLECT", Tear.AFTER_COMMIT), ("card", "ACKNOWLEDGE", Tear.BEFORE)),
)
REFUND_TEARS = (
    *(("card", "REQUEST, payer verified", Tear.AFTER_COMMIT), ("sam", "PAY, payee verified", Tear.AFTER_COMMIT)),
    *(("card", "COLLECT", Tear.AFTER_COMMIT), ("sam", "ACKNOWLEDGE", Tear.AFTER_COMMIT)),
)


def balance(hand: CardInHand) -> int:
    """Out of the reader, in the hand of the test."""
    hand.card.power_on()
    return record_of(hand).purse.balance


def test_the_till_sells_into_a_sam_and_refunds_with_either_torn_and_put_back(tmp_path: Path) -> None:
    purses = {"card": card(1), "sam": sam()}
    clock = SystemClock()
    journal = Journal(tmp_path / "till.db", till=identity().id, now_ms=clock.now_ms)
    desk = SamDesk(journal=journal, identity=identity(), clock=clock, notify=lambda _: None)
    for hand in purses.values():
        hand.connection.close()
    tears = 0
    with PrivatePcscd() as stack:
        inside = {
            name: CardInReader(hand.card, stack, number, reinsert_ms=REINSERT_MS)
            for number, (name, hand) in enumerate(purses.items())
        }
        with inside["card"], inside["sam"]:
            cards, sams = (ReaderSource(f"pcsc:{reader}", tmp_path, clock) for reader in READERS)
            patience = {"tap_seconds": 20.0, "retap_seconds": 20.0}
            for name, command, where in SALE_TEARS:
                tear(purses[name], command, where)
                sold = sam_sale.charge(desk, SALE, cards, sams, Pins(), **patience)
                assert sold.result is Result.PAID, (name, command, where, sold.why)
                tears += not purses[name].plans.plans
            for k, (name, command, where) in zip(_sold(journal), REFUND_TEARS, strict=False):
                tear(purses[name], command, where)
                original = refund.original(journal, k)
                back = refund.give_back(desk, original, None, cards, sams, Pins(), any_card=False, **patience)
                assert back.result is Result.PAID, (name, command, where, back.why)
                tears += not purses[name].plans.plans
    left = balance(purses["card"]), balance(purses["sam"])
    journal.close()
    wrong = int(left != (LOADED - SALE.amount, SALE.amount))
    tally.record("power cuts", total=tears, wrong=wrong)
    assert (left, tears) == ((LOADED - SALE.amount, SALE.amount), len(SALE_TEARS) + len(REFUND_TEARS))


def _sold(journal: Journal) -> list[int]:
    return [one.k for one in journal.transfers() if one.state is TransferState.PAID]
