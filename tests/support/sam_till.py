"""A till with two readers: real emulated cards and a real emulated SAM in process, torn and taken away on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardware.emulator.faults import FaultPlan, Tear
from merchant_pos import refund, sam_sale
from merchant_pos.cards import Wallet
from merchant_pos.journal import Journal
from merchant_pos.ports import PinEntry, Purse
from merchant_pos.sales import Order
from merchant_pos.sam_desk import SamDesk
from merchant_pos.two_purses import TransferOutcome
from support.cards import PIN, CardInHand, World, personalised_card
from support.keys import AUTHORITY, OPERATOR, OPERATOR_PURSE, TILL
from support.samples import POLICY
from support.till import Pins, ProcessDied, TestClock, identity
from wallet_core.certificates import CertificateClass
from wallet_core.errors import NoCardError
from wallet_core.messages import SpendMode

WORLD = World("till", AUTHORITY, OPERATOR, OPERATOR_PURSE, TILL, POLICY)
LOADED = 50_000  # fen on each card; the SAM begins empty
ORDER = Order(6_800, "two bowls of noodles")
ROOMY = 10_000_000
SAM_POLICY: dict[str, Any] = {
    "version": 1,
    "mode": SpendMode.INTERMITTENT,
    "balance_limit": ROOMY,
    "transfer_limit": ROOMY,
    "offline_total": ROOMY,
    "pin_threshold": ROOMY,
    "unverified_total": ROOMY,
    "payee_threshold": 0,
    "payee_classes": 1 << CertificateClass.HARD_WALLET | 1 << CertificateClass.OPERATOR_PURSE,
    "payer_classes": 1 << CertificateClass.HARD_WALLET | 1 << CertificateClass.OPERATOR_PURSE,
}


def card(number: int, load: int = LOADED, **policy: Any) -> CardInHand:
    return personalised_card(WORLD, number.to_bytes(8, "big"), load=load, **policy)


def sam(number: int = 100, **policy: Any) -> CardInHand:
    return personalised_card(WORLD, number.to_bytes(8, "big"), profile="merchant-sam", **(SAM_POLICY | policy))


def tear(hand: CardInHand, command: str, where: Tear = Tear.AFTER_COMMIT) -> None:
    """The purse loses its power at its next `command`."""
    hand.plans.plans.append(FaultPlan(where, command=command))


@dataclass
class Reader:
    """Gives out what lies in it in turn, the last thing for ever; None is an empty reader for that turn."""

    clock: TestClock
    hands: list[CardInHand | None]
    powered: int = 0
    wrap: Callable[[Wallet], Purse] = field(default=lambda wallet: wallet)

    def card(self, timeout_s: float) -> Purse:
        hand = self.hands.pop(0) if len(self.hands) > 1 else self.hands[0]
        if hand is None:
            self.clock.wait(timeout_s)
            raise NoCardError("no card came")
        self.powered += 1
        hand.connection.reset()
        return self.wrap(_Kept(hand.wallet))


class _Kept(Wallet):
    """The card stays in the hand of the test when the till has done with it."""

    def close(self) -> None:
        return


class SamTill:
    """A till whose process may die at a named step and start again, between a card and a SAM."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = TestClock()
        self.identity = identity()
        self.lines: list[str] = []
        self.steps: list[str] = []
        self.die_at = ""
        self.start()

    def start(self) -> None:
        self.journal = Journal(self.path, till=self.identity.id, now_ms=self.clock.now_ms)
        self.desk = SamDesk(
            journal=self.journal,
            identity=self.identity,
            clock=self.clock,
            notify=self.lines.append,
            step=self.step,
        )

    def restart(self) -> None:
        self.journal.close()
        self.die_at = ""
        self.start()

    def step(self, name: str) -> None:
        self.steps.append(name)
        if name == self.die_at:
            raise ProcessDied(name)

    def reader(self, *hands: CardInHand | None) -> Reader:
        return Reader(self.clock, list(hands))

    def charge(
        self,
        cards: CardInHand | Reader | None,
        sams: CardInHand | Reader | None,
        order: Order = ORDER,
        *,
        pins: PinEntry | None = None,
        seconds: float = 2.0,
    ) -> TransferOutcome:
        return sam_sale.charge(
            *(self.desk, order, self._reader(cards), self._reader(sams), pins or Pins(PIN)),
            tap_seconds=1.0,
            retap_seconds=seconds,
        )

    def refund(
        self,
        k: int,
        cards: CardInHand | Reader | None,
        sams: CardInHand | Reader | None,
        amount: int | None = None,
        *,
        any_card: bool = False,
        pins: PinEntry | None = None,
        seconds: float = 2.0,
    ) -> TransferOutcome:
        return refund.give_back(
            *(self.desk, refund.original(self.journal, k), amount, self._reader(cards), self._reader(sams)),
            pins or Pins(PIN),
            any_card=any_card,
            tap_seconds=1.0,
            retap_seconds=seconds,
        )

    def resume(
        self, cards: CardInHand | Reader | None, sams: CardInHand | Reader | None, seconds: float = 2.0
    ) -> TransferOutcome | None:
        return self.desk.resume(self._reader(cards), self._reader(sams), Pins(PIN), seconds)

    def cancel(
        self, cards: CardInHand | Reader | None, sams: CardInHand | Reader | None, k: int | None = None
    ) -> TransferOutcome:
        transfer = self.desk.to_cancel(k)
        assert transfer is not None, "nothing to cancel"
        return self.desk.cancel(transfer, self._reader(cards), self._reader(sams), 1.0)

    def _reader(self, hand: CardInHand | Reader | None) -> Reader:
        return hand if isinstance(hand, Reader) else self.reader(hand)


def balance(hand: CardInHand) -> int:
    return hand.tap().balance


def pending(hand: CardInHand) -> int:
    """Vouchers that wait for an outcome on this purse."""
    hand.tap()
    return sum(slot.state.name == "PENDING" for slot in hand.wallet.slots())


def hold_no_fen_twice(*hands: CardInHand, total: int) -> None:
    """I1 where nothing is in flight: what the purses hold is what there was."""
    held = sum(balance(hand) for hand in hands)
    assert held == total, f"{held} fen where {total} were"
