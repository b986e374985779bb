"""PAY over one powered purse until there is an outcome: an answer, a refusal that proves something, or neither.

The same for every payee: the till itself, or the merchant's SAM. Nothing here touches the journal; whoever calls has
the Request on disk before, and puts on disk what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardware.status_words import SW, memory_unchanged, tries_left
from merchant_pos import phrases
from merchant_pos.decisions import Shown, on_refusal
from merchant_pos.decisions import Step as Next
from merchant_pos.ports import PayerCard, PinEntry
from wallet_core.errors import CardError, EcnyError, OutcomeUnknownError, PurseRefusal, Refused, UsageError
from wallet_core.messages import Request
from wallet_core.purse.state import Lifecycle

# Reasons after which the same tap goes on; more rounds than the card has PIN tries are never needed.
_MAX_ROUNDS = 6

Papers = Callable[[], tuple[bytes, bytes, bytes]]
"""The signed Request with the payee's and its operator's certificate, for a purse that verifies whom it pays."""


@dataclass(frozen=True, slots=True)
class Answered:
    """9000: these bytes, not verified yet."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Denied:
    """This purse has not been debited by this Request. `passed`: because its counter went by without a voucher."""

    why: PurseRefusal | CardError
    passed: bool = False

    @property
    def reason(self) -> str:
        return self.why.reason.name if isinstance(self.why, PurseRefusal) else f"SW {self.why.sw:04X}"


@dataclass(frozen=True, slots=True)
class Unclear:
    """It may have been debited, or not."""

    why: EcnyError


Answer = Answered | Denied | Unclear


class Paying:
    """`notify`: lines for people about the PIN."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify

    def ask(
        self,
        purse: PayerCard,
        request: Request,
        papers: Papers,
        shown: Shown,
        pins: PinEntry,
        *,
        asked_before: bool,
        verified: bool,
    ) -> Answer:
        """Send `request`, and again where a refusal can be mended. `shown`: the purse's SELECT of this tap.

        `asked_before`: an earlier PAY with this Request may have been carried out. `verified`: with its papers.
        """
        for _ in range(_MAX_ROUNDS):
            try:
                return Answered(purse.pay_verified(*papers()) if verified else purse.pay(request.to_payload()))
            except PurseRefusal as refusal:
                then = on_refusal(request, refusal.reason, shown, asked_before=asked_before, verified=verified)
                if then is Next.SEND_SIGNED:
                    verified = True
                    continue
                if then is Next.STILL_UNKNOWN:
                    return self._ask_blocked(purse, request, shown, refusal)
                if then is Next.GIVE_UP:
                    return Denied(refusal, passed=shown.next_n != request.n)
                mended = self._mend(purse, request, pins, refusal)
                if mended is not None:
                    return mended
            except CardError as exc:
                return _on_word(request, exc, shown, asked_before=asked_before)
            except EcnyError as exc:
                return Unclear(exc)
        return Unclear(OutcomeUnknownError("the card goes on asking for the PIN"))

    @staticmethod
    def _ask_blocked(purse: PayerCard, request: Request, shown: Shown, refusal: PurseRefusal) -> Answer:
        """A blocked purse answers WRONG_STATE where an active one would say STALE, but it still shows its vouchers.

        One whose counter has passed n and that holds none of this Request was not debited by it, or its debit has
        had a final outcome since (docs/spec/till.md, *A counter that has passed*).
        """
        if shown.lifecycle is not Lifecycle.BLOCKED or shown.next_n <= request.n:
            return Unclear(refusal)
        try:
            return Answered(purse.resend(request.hash))
        except PurseRefusal as answer:
            return Denied(refusal, passed=True) if answer.reason is Refused.NOT_FOUND else Unclear(answer)
        except EcnyError as exc:
            return Unclear(exc)

    def _mend(self, purse: PayerCard, request: Request, pins: PinEntry, refusal: PurseRefusal) -> Answer | None:
        """Get the PIN verified; None when the same Request may go out again."""
        try:
            entered = self._enter_pin(purse, request, pins)
        except PurseRefusal as blocked:
            return Denied(blocked)
        except EcnyError as exc:
            return Unclear(exc)
        return None if entered else Denied(refusal)

    def _enter_pin(self, purse: PayerCard, request: Request, pins: PinEntry) -> bool:
        """Ask the holder for the PIN and give it to the payer of `request`; False when there is none to give.

        Typing takes time and cards are swapped without a sound: the id is read again right before the PIN goes out.
        """
        tries = purse.select().pin_tries
        while tries > 0:
            pin = pins.pin(tries)
            if pin is None:
                return False
            again = purse.select()
            if (again.purse, again.epoch) != (request.payer, request.epoch):
                raise OutcomeUnknownError(phrases.ANOTHER_CARD)
            try:
                purse.verify_pin(pin)
            except UsageError as exc:  # no PIN at all: nothing went to the card
                self._notify(exc.message)
            except CardError as exc:
                left = tries_left(exc.sw)
                if left is None:
                    raise
                tries = left
                self._notify(f"{phrases.PIN_WRONG}, {phrases.pin_tries(tries)}")
            else:
                return True
        raise PurseRefusal(
            Refused.PIN_BLOCKED, next_step="Nothing was charged. Have the card refunded at the operator."
        )


def _on_word(request: Request, word: CardError, shown: Shown, *, asked_before: bool) -> Answer:
    """A word that is no purse's reason. 6581 promises that the command was not done (docs/spec/apdu.md): what is stored
    is answered without writing, so a purse that still stands at n and says 6581 holds no voucher of this Request."""
    if word.sw == SW.MEMORY_FAILURE:
        return Denied(word) if shown.next_n == request.n else Unclear(word)
    if asked_before or not memory_unchanged(word.sw):
        return Unclear(word)
    return Denied(word)
