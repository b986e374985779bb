"""The till with two readers: a card in one, the merchant's SAM in the other; waiting for them, and finishing with them.

Either may be away, torn or swapped at any moment. What is open is finished from the journal with whichever purse the
next step needs; sam_sale and refund begin what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from merchant_pos import phrases
from merchant_pos.decisions import Result, Shown
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.payers import Payers
from merchant_pos.ports import Clock, PayerCard, PinEntry, Purse, PurseSource, Step, no_step
from merchant_pos.transfers import Kind, Transfer, TransferState
from merchant_pos.two_purses import Present, TransferOutcome, TwoPurses
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    EcnyError,
    NoCardError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    UsageError,
)
from wallet_core.money import fen
from wallet_core.purse.state import Lifecycle

POLL_S = 0.2  # between two looks at purses that could not go on
_SLOWEST_S = 2.0
_ENDED = (Result.PAID, Result.NOT_CHARGED)


class SamDesk:
    """`notify`: each moment as a line for people, after it is true; `step`: each point that a run passes."""

    def __init__(
        self,
        *,
        journal: Journal,
        identity: Identity,
        clock: Clock,
        notify: Callable[[str], None],
        step: Step = no_step,
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.notify = notify
        self.step = step
        self.payers = Payers(journal, identity, lambda: clock.now_ms() // 1000)
        self.two = TwoPurses(journal=journal, identity=identity, payers=self.payers, notify=notify, step=step)

    # Who is there ---------------------------------------------------------------------------------------------------

    @contextmanager
    def sam(self, source: PurseSource, timeout_s: float) -> Iterator[Present]:
        """The SAM, freshly powered and selected. Raises NoCardError when its reader is empty, and TransportError."""
        try:
            purse = source.card(timeout_s)
        except NoCardError as exc:
            raise NoCardError(phrases.SAM_AWAY) from exc
        try:
            shown = purse.select()
            self.step("sam-read")
            yield Present(purse, shown)
        finally:
            purse.close()

    @contextmanager
    def card(self, source: PurseSource, timeout_s: float) -> Iterator[Present]:
        """The card that is tapped, freshly powered and selected."""
        purse = source.card(timeout_s)
        try:
            shown = purse.select()
            self.step("card-read")
            yield Present(purse, shown)
        finally:
            purse.close()

    def good_sam(self, sam: Present) -> Certificate:
        """The SAM's certificate, if something new may be asked of it; raises PurseRefusal or a VerificationError."""
        return self._good(sam.purse, sam.shown, (CertificateClass.MERCHANT_PURSE,), "SAM")

    def good_card(
        self, card: Present, sam: Present, allowed: tuple[CertificateClass, ...] = (CertificateClass.HARD_WALLET,)
    ) -> Certificate:
        """The card's certificate, likewise; a card that is the SAM itself is none."""
        if card.shown.purse == sam.shown.purse:
            raise PurseRefusal(Refused.SELF_PAYMENT, phrases.ONE_PURSE)
        return self._good(card.purse, card.shown, allowed, "card")

    def _good(self, purse: Purse, shown: Shown, allowed: tuple[CertificateClass, ...], what: str) -> Certificate:
        if shown.lifecycle is not Lifecycle.ACTIVE:
            raise PurseRefusal(Refused.WRONG_STATE, f"this {what} is {shown.lifecycle.name.lower()}")
        return self.payers.before_asking(purse, shown, allowed)

    def require_nothing_open(self) -> None:
        """Raise OutcomeUnknownError while a sale or refund is open, ConfigurationError for a revoked till."""
        sale, transfer = self.journal.open_sale(), self.journal.open_transfer()
        if sale is not None:
            raise OutcomeUnknownError(
                phrases.open_sale(sale.k, fen(sale.amount)),
                next_step="Tap the same card: `ecny pos resume`. Or give it up: `ecny pos cancel`.",
            )
        if transfer is not None:
            raise OutcomeUnknownError(
                phrases.open_transfer(transfer.kind.value, transfer.k, fen(transfer.amount)),
                next_step="Finish it: `ecny pos resume --sam READER`. Or give it up: `ecny pos cancel --sam READER`.",
            )
        self.payers.require_own_standing()

    # Beginning ------------------------------------------------------------------------------------------------------

    def first_tap(
        self,
        tap: Callable[[Present, Present], TransferOutcome],
        cards: PurseSource,
        sams: PurseSource,
        tap_seconds: float,
    ) -> TransferOutcome:
        """`tap` with the card and the SAM that are there. What goes away before a payer was asked is waited for again.

        Raises NoCardError when that lasts longer than `tap_seconds`, and what `tap` raises.
        """
        deadline = self.clock.monotonic() + tap_seconds
        while True:
            try:
                with self.sam(sams, max(0.0, deadline - self.clock.monotonic())) as sam:
                    self.two.tidy(sam)
                    with self.card(cards, max(0.0, deadline - self.clock.monotonic())) as card:
                        return self._and_afterwards(tap(card, sam), card)
            except (OutcomeUnknownError, NoCardError) as exc:
                if self.clock.monotonic() >= deadline:
                    if exc.message == phrases.SAM_AWAY:
                        raise
                    raise NoCardError("no card came, and none was asked for anything") from None
                self.clock.wait(POLL_S)

    def _and_afterwards(self, outcome: TransferOutcome, card: Present) -> TransferOutcome:
        if outcome.result in _ENDED:
            self.afterwards(card.purse, card.shown.purse)
        return outcome

    def afterwards(self, card: PayerCard, purse: bytes) -> None:
        """Off the tap path: what this card has still to do for earlier transfers, if it is still there."""
        if not (self.journal.undecided(purse) or self.journal.unacknowledged(purse)):
            return
        try:
            shown = card.select()
        except EcnyError:
            return
        if shown.purse == purse and isinstance(card, Purse):
            self.two.tidy(Present(card, shown))

    # Finishing ------------------------------------------------------------------------------------------------------

    def finish(
        self, outcome: TransferOutcome, cards: PurseSource, sams: PurseSource, pins: PinEntry, seconds: float
    ) -> TransferOutcome:
        """Go on with an open or HELD transfer until it has ended or `seconds` are over; more and more slowly."""
        deadline = self.clock.monotonic() + seconds
        told, pause = "", POLL_S
        while (left := deadline - self.clock.monotonic()) > 0 and outcome.transfer is not None:
            said = _hint(outcome)
            if said != told:
                self.notify(said)
            told = said
            outcome = self._attempt(outcome.transfer, cards, sams, pins, left)
            if outcome.result in _ENDED:
                return outcome
            pause = min(2 * pause, _SLOWEST_S)
            self.clock.wait(min(pause, max(0.0, deadline - self.clock.monotonic())))
        return outcome

    def _attempt(
        self, transfer: Transfer, cards: PurseSource, sams: PurseSource, pins: PinEntry, timeout_s: float
    ) -> TransferOutcome:
        """One try with the purse that the next step needs, and with the other one if it is there."""
        needs_card = (transfer.kind is Kind.SALE) is transfer.state.is_open
        wants_card = needs_card or transfer.kind is Kind.REFUND
        result = Result.TAP_AGAIN if transfer.state.is_open else Result.OPEN
        with ExitStack() as stack:
            try:
                sam = self._there(stack, self.sam(sams, 0.0 if needs_card else timeout_s), must=not needs_card)
                card = None
                if wants_card:
                    card = self._there(stack, self.card(cards, timeout_s if needs_card else 0.0), must=needs_card)
            except EcnyError as exc:
                return TransferOutcome(result, transfer, exc)
            payer, payee = (card, sam) if transfer.kind is Kind.SALE else (sam, card)
            outcome = self.two.advance(transfer, payer, payee, pins)
            if outcome.result in _ENDED:
                for present in (one for one in (sam, card) if one is not None):
                    self.afterwards(present.purse, present.shown.purse)
            return outcome

    @staticmethod
    def _there(stack: ExitStack, purse: AbstractContextManager[Present], *, must: bool) -> Present | None:
        try:
            return stack.enter_context(purse)
        except EcnyError:
            if must:
                raise
            return None

    def resume(self, cards: PurseSource, sams: PurseSource, pins: PinEntry, seconds: float) -> TransferOutcome | None:
        """Finish what is open, else the oldest that is HELD, else what else the SAM has to do; None for nothing."""
        waiting = self.journal.undecided()
        held = [one for one in waiting if one.state is TransferState.HELD]
        transfer = self.journal.open_transfer() or (held[0] if held else None)
        if transfer is not None:
            result = Result.TAP_AGAIN if transfer.state.is_open else Result.OPEN
            return self.finish(TransferOutcome(result, transfer), cards, sams, pins, seconds)
        if any(one.kind is Kind.SALE for one in waiting):
            with self.sam(sams, seconds) as sam:
                self.two.tidy(sam)
        return None

    def to_cancel(self, k: int | None) -> Transfer | None:
        """Transfer `k`, else the open one, else the oldest that is HELD; None where there is none.

        Raises UsageError for one that is over.
        """
        if k is None:
            held = [one for one in self.journal.undecided() if one.state is TransferState.HELD]
            return self.journal.open_transfer() or (held[0] if held else None)
        transfer = self.journal.transfer(k)
        if transfer is None or not (transfer.state.is_open or transfer.state is TransferState.HELD):
            raise UsageError(f"{k} is no open sale or refund of the SAM", next_step="See `ecny pos history`.")
        return transfer

    def cancel(self, transfer: Transfer, cards: PurseSource, sams: PurseSource, seconds: float) -> TransferOutcome:
        """Give it up; waits `seconds` for the payee, whose Refusal comes first. The caller has shown a warning."""
        sale = transfer.kind is Kind.SALE
        with ExitStack() as stack:
            sam = self._there(stack, self.sam(sams, seconds if sale else 0.0), must=False)
            card = self._there(stack, self.card(cards, 0.0 if sale else seconds), must=False)
            payer, payee = (card, sam) if sale else (sam, card)
            if payer is not None and payer.shown.purse != transfer.payer:
                payer = None
            if payee is not None and payee.shown.purse != transfer.payee:
                payee = None
            return self.two.cancel(transfer, payee, payer)


def _hint(outcome: TransferOutcome) -> str:
    """What people can do about it."""
    said = outcome.why.message if outcome.why is not None else ""
    if said in (phrases.ANOTHER_CARD, phrases.ANOTHER_SAM, phrases.SAM_AWAY):
        return said
    transfer = outcome.transfer
    card_is_next = transfer is None or (transfer.kind is Kind.SALE) is transfer.state.is_open
    return phrases.TAP_AGAIN if card_is_next else phrases.SAM_AWAY
