"""Done when: through PC/SC a card pays a SAM, the SAM refunds the card, both torn at every exchange, and tapping again
recovers all of it.

Both purses are in the two slots of the virtual reader. One transfer after the other, each torn once: by either purse,
at each of its exchanges, before the command is looked at and after it is committed. Then the torn card is put back and
the same call is made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product

import pytest

from hardware.driver import HardWallet
from hardware.emulator.faults import FaultPlan, Tear
from hardware.exchange import CardConnection
from hardware.purse_transfer import Transferred, finish, transfer
from hardware.readers import open_transport
from hardware.transports.card_wait import ReaderWatch
from support import tally
from support.cards import LOAD, CardInHand, World, make_world, merchant_sam, personalised_card, record_of
from support.echo_card import CardInReader
from support.pcscd import READERS, PrivatePcscd
from wallet_core.errors import OutcomeUnknownError
from wallet_core.purse.state import EntryState, SlotState

pytestmark = pytest.mark.pcsc
AMOUNT = 100
PATIENCE_MS = 10_000
BEFORE_EACH = 7 + 6  # exchanges of payer and payee: SELECT, certificates, RESEND, PAY in two, … and REQUEST, COLLECT
AFTER_COMMITS = 4  # REQUEST, PAY, COLLECT, ACKNOWLEDGE
MOST_EXCHANGES = 8


@dataclass
class InSlot:
    """A purse in one slot of the virtual reader; `wallet` goes through pcscd to it."""

    hand: CardInHand
    reader: str
    inside: CardInReader
    watch: ReaderWatch
    wallet: HardWallet

    def tap(self) -> None:
        """Torn, and put back as soon as pcscd has seen it go: it looks every 0.4 s."""
        assert self.watch.wait_for_removal(PATIENCE_MS)  # before it is let go: an unpowered card looks like none
        self.wallet.close()
        self.inside.remote.insert()
        self.wallet = HardWallet(CardConnection(open_transport(self.reader, wait_ms=PATIENCE_MS)))

    def power_cycle(self) -> None:
        self.wallet.connection.reset()

    @property
    def balance(self) -> int:
        return record_of(self.hand).purse.balance

    def go_online(self, world: World) -> None:
        """REPORT and GRANT, through the reader too: slots and entries are free again."""
        self.wallet.select()
        self.wallet.grant(world.grant_for(self.wallet.report()))
        purse = record_of(self.hand).purse
        assert {slot.state for slot in purse.slots} == {SlotState.FREE}
        assert {entry.state for entry in purse.table} == {EntryState.FREE}


@contextmanager
def two_slots(*hands: CardInHand) -> Iterator[tuple[InSlot, InSlot]]:
    """Both purses leave their in-process readers and go into the virtual ones."""
    with ExitStack() as leaving:
        stack = leaving.enter_context(PrivatePcscd())
        slots = []
        for number, (hand, reader) in enumerate(zip(hands, READERS, strict=True)):
            hand.connection.close()
            inside = leaving.enter_context(CardInReader(hand.card, stack, number))
            watch = leaving.enter_context(ReaderWatch(reader))
            wallet = HardWallet(CardConnection(open_transport(reader, wait_ms=PATIENCE_MS)))
            slots.append(InSlot(hand, reader, inside, watch, wallet))
            leaving.callback(lambda slot=slots[-1]: slot.wallet.close())
        yield slots[0], slots[1]


def torn_once(payer: InSlot, payee: InSlot, torn: InSlot, tear: Tear, exchange: int) -> bool:
    """One transfer, torn there and done again; False when there was nothing to tear, and it is done at once."""
    for slot in (payer, payee):
        slot.power_cycle()
    torn.hand.plans.plans.append(FaultPlan(tear, exchange=exchange))
    try:
        first: Transferred | None = transfer(payer.wallet, payee.wallet, AMOUNT)
    except OutcomeUnknownError:
        first = None
    if torn.hand.plans.plans:
        torn.hand.plans.plans.clear()
        assert first is not None
        assert first.acknowledged
        return False
    torn.tap()
    if first is None:
        assert transfer(payer.wallet, payee.wallet, AMOUNT).acknowledged
    else:
        assert not first.acknowledged, "a lost acknowledgement leaves the value where it is"
        finish(payer.wallet, payee.wallet)
    return True


def test_a_card_pays_a_sam_and_is_refunded_with_either_torn_at_each_exchange() -> None:
    world = make_world("two slots")
    tears = wrong = 0
    with two_slots(personalised_card(world, load=LOAD), merchant_sam(world, load=LOAD)) as (card, sam):
        for payer, payee in ((card, sam), (sam, card)):
            for torn, exchange in product((payer, payee), range(1, MOST_EXCHANGES)):
                card.go_online(world)
                sam.go_online(world)
                before = payer.balance, payee.balance
                was_torn = torn_once(payer, payee, torn, Tear.BEFORE, exchange)
                payer.go_online(world)
                after_commit = torn_once(payer, payee, torn, Tear.AFTER_COMMIT, exchange)
                wrong += (payer.balance, payee.balance) != (before[0] - 2 * AMOUNT, before[1] + 2 * AMOUNT)
                tears += was_torn + after_commit
        card.go_online(world)
        sam.go_online(world)
        total = card.balance + sam.balance
    tally.record("power cuts", total=tears, wrong=wrong)
    assert (wrong, total) == (0, 2 * LOAD)
    assert tears == 2 * (BEFORE_EACH + AFTER_COMMITS)
