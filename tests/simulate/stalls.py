"""A stall: a merchant's secure element (SAM) in one reader, the visitor's card in the other, and nobody online.

What a tear interrupts is done again with the same two purses. When the stall goes online it hands in the vouchers and
Receipts that it has, and takes a grant for its SAM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from hardware.driver import HardWallet
from hardware.purse_transfer import Transferred, finish, transfer
from simulate.cards import Card
from simulate.chances import MEETING, NO_FAULT, CardFault, Weather
from simulate.desk import FAILURES, Desk, Failure
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import HASH_SIZE

SAM_PROFILE: Final = "merchant-sam"
_PRICE: Final = (50, 5_000)  # fen
_REFUNDS: Final = 0.1  # of the sales
_AT_ONCE: Final = 40  # messages handed in by one call


@dataclass(frozen=True, slots=True)
class Deal:
    """What two purses are about: the same deal, however often it is tried."""

    amount: int
    order_hash: bytes
    refund: bool = False


class Stall:
    """`paid` is called once for each sale; `look` before anything may be forgotten by the SAM."""

    def __init__(
        self,
        sam: Card,
        desk: Desk,
        weather: Weather,
        rng: Random,
        paid: Callable[[], None],
        look: Callable[[Card], None],
    ) -> None:
        self.sam = sam
        self.partners: dict[bytes, Card] = {}
        """Every card that was ever here, by its id."""
        self._desk = desk
        self._weather = weather
        self._rng = rng
        self._paid = paid
        self._look = look
        self._under_way: dict[bytes, Deal] = {}
        self._messages: dict[bytes, None] = {}  # signed vouchers and Receipts that the operator has not got

    def is_under_way(self, card: Card) -> bool:
        return card.id in self._under_way

    def meet(self, card: Card) -> Failure | None:
        """Sell something to the holder of this card, or go on with what was interrupted; what went wrong."""
        self.partners[card.id] = card
        deal = self._under_way.setdefault(card.id, self._new_deal())
        failure = self._try(card, deal)
        if failure is None:
            del self._under_way[card.id]
            if not deal.refund:
                self._paid()
                if self._rng.random() < _REFUNDS:
                    self._under_way[card.id] = Deal(self._rng.randint(1, deal.amount), self._order(), refund=True)
        elif isinstance(failure, PurseRefusal):
            del self._under_way[card.id]
            if failure.reason is Refused.SLOTS_FULL:
                self.go_online()
        return failure

    def _new_deal(self) -> Deal:
        return Deal(self._rng.randint(*_PRICE), self._order())

    def _order(self) -> bytes:
        return self._rng.randbytes(HASH_SIZE)

    def _try(self, card: Card, deal: Deal) -> Failure | None:
        def work(visitor: HardWallet, sam: HardWallet) -> None:
            payer, payee = (sam, visitor) if deal.refund else (visitor, sam)
            self._keep(transfer(payer, payee, deal.amount, deal.order_hash, ask_pin=lambda: card.pin))

        return self._with_both(
            card, work, self._weather.card(self._rng, MEETING), self._weather.card(self._rng, MEETING)
        )

    def finish(self, card: Card) -> Failure | None:
        """End whatever is open between this card and the SAM, in both directions."""

        def work(visitor: HardWallet, sam: HardWallet) -> None:
            for payer, payee in ((visitor, sam), (sam, visitor)):
                for done in finish(payer, payee, ask_pin=lambda: card.pin).transferred:
                    self._keep(done)

        self._under_way.pop(card.id, None)
        return self._with_both(card, work, NO_FAULT, NO_FAULT)

    def _keep(self, done: Transferred) -> None:
        self._messages[done.voucher.to_bytes()] = None
        if done.receipt is not None:
            self._messages[done.receipt] = None

    def _with_both(
        self, card: Card, work: Callable[[HardWallet, HardWallet], None], fault: CardFault, sam_fault: CardFault
    ) -> Failure | None:
        """Both in their readers, at the same time; what went wrong."""
        try:
            visitor = card.tap(fault)
            try:
                sam = self.sam.tap(sam_fault)
                try:
                    work(visitor, sam)
                finally:
                    sam.close()
            finally:
                visitor.close()
        except FAILURES as failure:
            return failure
        return None

    def go_online(self, *, show: bool = False) -> bool:
        """Hand in what is here, then REPORT and GRANT for the SAM; whether all of that was answered.

        `show`: with the SAM's PIN, so that it also shows what it paid to cards that nobody will ever see again.
        """
        self._look(self.sam)
        try:
            while self._messages:
                part = list(self._messages)[:_AT_ONCE]
                self._desk.client.evidence(part, [])
                for message in part:
                    del self._messages[message]
        except FAILURES:
            return False
        return self._desk.report(self.sam, show=show) is None
