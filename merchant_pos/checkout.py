"""The checkout: carries out what merchant_pos.decisions decides, with the journal always a step ahead of the card.

The order that nothing may change: Request on disk (ASKED) → PAY → voucher verified → on disk (PAID) → PAID is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from merchant_pos import phrases
from merchant_pos.decisions import (
    Result,
    Shown,
    balance_left,
    check_voucher,
    hold_to_policy,
    is_same_card,
    make_request,
    on_new_card,
)
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.payers import Payers
from merchant_pos.paying import Answered, Denied, Paying, Unclear
from merchant_pos.ports import CardSource, Clock, PayerCard, PinEntry, Step, no_step
from merchant_pos.sales import CANCELLED, Order, Sale, SaleState
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    CardError,
    CodecError,
    ConfigurationError,
    EcnyError,
    NoCardError,
    OutcomeUnknownError,
    PurseRefusal,
    StorageError,
    TransportError,
    VerificationError,
)
from wallet_core.messages import Refusal, Request, Signed
from wallet_core.money import fen

POLL_S = 0.2  # between two looks at a card that could not go on
_SLOWEST_S = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tap or a whole sale ended. `why`: the error behind NOT_CHARGED or TAP_AGAIN; `left` in fen."""

    result: Result
    sale: Sale | None = None
    why: EcnyError | None = None

    @property
    def left(self) -> int | None:
        return self.sale.left if self.sale is not None else None


class Checkout:
    """One till at one reader. `notify` is given each moment as a line for people, after it is true.

    `afterwards` is given the card of a tap and its id once the tap has a result: what else this card is waiting for.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        identity: Identity,
        clock: Clock,
        notify: Callable[[str], None],
        step: Step = no_step,
        afterwards: Callable[[PayerCard, bytes], None] | None = None,
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._clock = clock
        self._notify = notify
        self._step = step
        self._payers = Payers(journal, identity, lambda: clock.now_ms() // 1000)
        self._paying = Paying(notify)
        self._afterwards = afterwards

    # A whole sale ---------------------------------------------------------------------------------------------------

    def charge(
        self, order: Order, source: CardSource, pins: PinEntry, *, tap_seconds: float, retap_seconds: float
    ) -> Outcome:
        """Sell `order`: wait for a card; once one was asked, go on to a result or until `retap_seconds` are over.

        Raises OutcomeUnknownError when an earlier sale is still open, NoCardError when no card came, TransportError
        when there is no reader, StorageError when the Request cannot be written: nothing was asked of a card then.
        """
        self.require_nothing_open()
        self._payers.require_own_standing()
        self._notify(phrases.TAP)
        first = self._first_tap(order, source, pins, self._clock.monotonic() + tap_seconds)
        if first.result is not Result.TAP_AGAIN:
            return first
        return self._finish(first, source, pins, retap_seconds)

    def resume(self, source: CardSource, pins: PinEntry, *, retap_seconds: float) -> Outcome:
        """Finish the open sale with its own card; raises OutcomeUnknownError when none is open."""
        sale = self._journal.open_sale()
        if sale is None:
            raise OutcomeUnknownError(phrases.NOTHING_OPEN)
        return self._finish(Outcome(Result.TAP_AGAIN, sale), source, pins, retap_seconds)

    def cancel(self) -> Sale | None:
        """Refuse the open sale for good, on disk; None when none is open. The caller has shown CANCEL_WARNING."""
        sale = self._journal.open_sale()
        return self._refuse(sale, CANCELLED) if sale is not None else None

    def open_sale(self) -> Sale | None:
        return self._journal.open_sale()

    def require_nothing_open(self) -> None:
        sale = self._journal.open_sale()
        if sale is not None:
            raise OutcomeUnknownError(
                phrases.open_sale(sale.k, fen(sale.amount)),
                next_step="Tap the same card: `ecny pos resume`. Or give it up: `ecny pos cancel`.",
            )
        transfer = self._journal.open_transfer()
        if transfer is not None:
            raise OutcomeUnknownError(
                phrases.open_transfer(transfer.kind.value, transfer.k, fen(transfer.amount)),
                next_step="Finish it: `ecny pos resume --sam READER`. Or give it up: `ecny pos cancel --sam READER`.",
            )

    def _first_tap(self, order: Order, source: CardSource, pins: PinEntry, deadline: float) -> Outcome:
        """A card that goes away before anything was asked of it has not been charged: wait for it again."""
        while True:
            try:
                return self._with_card(source, max(0.0, deadline - self._clock.monotonic()), order, pins)
            except (OutcomeUnknownError, NoCardError):
                if self._clock.monotonic() >= deadline:
                    raise NoCardError("no card came, and none was asked for anything") from None
                self._clock.wait(POLL_S)

    def _finish(self, outcome: Outcome, source: CardSource, pins: PinEntry, retap_seconds: float) -> Outcome:
        """Taps until there is a result. A card that keeps failing is asked more and more slowly."""
        deadline = self._clock.monotonic() + retap_seconds
        self._notify(phrases.TAP_AGAIN)
        told, pause = "", POLL_S
        while (left := deadline - self._clock.monotonic()) > 0:
            again = self._try_again(source, left, pins)
            if again.result is not Result.TAP_AGAIN:
                return again
            outcome = Outcome(Result.TAP_AGAIN, again.sale or outcome.sale, again.why)
            said = self._hint(again)
            if said and said != told:
                self._notify(said)
            told = said
            pause = min(2 * pause, _SLOWEST_S) if said == phrases.TAP_AGAIN else POLL_S
            self._clock.wait(min(pause, left))
        return outcome

    def _try_again(self, source: CardSource, timeout_s: float, pins: PinEntry) -> Outcome:
        try:
            return self._with_card(source, timeout_s, None, pins)
        except (TransportError, CardError, CodecError, PurseRefusal) as exc:
            return Outcome(Result.TAP_AGAIN, None, exc)  # reading failed: nothing was sent in this tap

    @staticmethod
    def _hint(again: Outcome) -> str:
        if again.sale is None:
            return ""
        said = again.why.message if again.why is not None else ""
        return said if said == phrases.ANOTHER_CARD else phrases.TAP_AGAIN

    def _with_card(self, source: CardSource, timeout_s: float, order: Order | None, pins: PinEntry) -> Outcome:
        card = source.card(timeout_s)
        try:
            outcome = self.tap(card, order, pins)
            if self._afterwards is not None and outcome.sale is not None and outcome.result is not Result.TAP_AGAIN:
                self._afterwards(card, outcome.sale.request.payer)
            return outcome
        finally:
            card.close()

    # One tap --------------------------------------------------------------------------------------------------------

    def tap(self, card: PayerCard, order: Order | None, pins: PinEntry) -> Outcome:
        """What one card in the field comes to. `order` is sold if no sale is open; otherwise the open sale is finished.

        A card that may not be asked is NOT_CHARGED without a sale. Until the Request is on disk TransportError and
        StorageError are raised; afterwards everything is an Outcome.
        """
        sale = self._journal.open_sale()
        if sale is not None:
            return self._tap_again(card, sale, pins)
        if order is None:
            raise OutcomeUnknownError(phrases.NOTHING_OPEN)
        try:
            shown, payer, verified = self._meet(card, order)
        except (PurseRefusal, CardError, CodecError, VerificationError) as exc:
            self._notify(phrases.not_charged(exc.message))
            return Outcome(Result.NOT_CHARGED, None, exc)  # nothing was asked, and no Request exists
        self._step("before-asked")
        suite = self._identity.suite
        sale = self._journal.ask(order, lambda k: make_request(order, shown, till=self._identity.id, k=k, suite=suite))
        self._step("asked")
        return self._pay(card, sale, shown, payer, pins, asked_before=False, verified=verified)

    def _meet(self, card: PayerCard, order: Order) -> tuple[Shown, Certificate, bool]:
        """Read a card that may be asked for `order`: what it shows, its certificate, whether it verifies the till."""
        shown = card.select()
        self._step("card-read")
        verified = on_new_card(order, shown)
        payer = self._payers.before_asking(card, shown)
        hold_to_policy(order.amount, self._payers.policy(card, shown, payer), CertificateClass.TILL)
        self._notify(phrases.CARD_READ)
        return shown, payer, verified

    def _tap_again(self, card: PayerCard, sale: Sale, pins: PinEntry) -> Outcome:
        """The same Request to the card of the open sale; nothing but SELECT to another."""
        shown = card.select()
        self._step("card-read")
        if not is_same_card(sale, shown):
            return Outcome(Result.TAP_AGAIN, sale, OutcomeUnknownError(phrases.ANOTHER_CARD))
        self._notify(phrases.CARD_READ)
        payer = self._payers.to_finish(shown.purse)
        verified = sale.amount > shown.payee_threshold
        return self._pay(card, sale, shown, payer, pins, asked_before=True, verified=verified)

    def _pay(
        self,
        card: PayerCard,
        sale: Sale,
        shown: Shown,
        payer: Certificate,
        pins: PinEntry,
        *,
        asked_before: bool,
        verified: bool,
    ) -> Outcome:
        """Send the Request of `sale`, and again where a refusal can be mended, until there is an outcome."""
        answer = self._paying.ask(
            *(card, sale.request, lambda: self._papers(sale.request), shown, pins),
            asked_before=asked_before,
            verified=verified,
        )
        if isinstance(answer, Answered):
            self._step("answered")
            return self._take(sale, answer.answer, shown, payer)
        if isinstance(answer, Unclear):
            return self._unknown(sale, answer.why)
        if answer.passed and self._journal.revoked(self._identity.id) is not None:
            # Once this till is declared dead its vouchers may have been collected from the card itself.
            return self._unknown(sale, ConfigurationError(phrases.TILL_REVOKED))
        return self._not_charged(sale, answer)

    def _papers(self, request: Request) -> tuple[bytes, bytes, bytes]:
        # Deterministic signatures: the same Request is the same signed bytes, as often as it is sent.
        signed = Signed.sign(request, self._identity.key).to_bytes()
        return signed, self._identity.certificate.to_bytes(), self._identity.operator.to_bytes()

    # Outcomes: durable first, then said -----------------------------------------------------------------------------

    def _take(self, sale: Sale, answer: bytes, shown: Shown, payer: Certificate) -> Outcome:
        """PAID, once the voucher is believed and on disk. A full disk leaves the sale open: the card answers again."""
        try:
            voucher = check_voucher(answer, sale.request, payer)
            self._step("verified")
            left = balance_left(sale.request, shown)
            paid = self._journal.paid(sale.k, voucher.to_bytes(), voucher.hash, left)
        except (CodecError, VerificationError, StorageError) as exc:
            return self._unknown(sale, exc)
        self._step("paid")
        self._notify(phrases.paid(fen(paid.amount), fen(left) if left is not None else None))
        self._step("shown")
        return Outcome(Result.PAID, paid)

    def _not_charged(self, sale: Sale, denied: Denied) -> Outcome:
        """NOT CHARGED: the Request is given up on disk, before anyone is told and before another is made."""
        try:
            refused = self._refuse(sale, denied.reason)
        except StorageError as exc:
            return self._unknown(sale, exc)
        self._notify(phrases.not_charged(denied.why.message))
        return Outcome(Result.NOT_CHARGED, refused, denied.why)

    def _refuse(self, sale: Sale, reason: str) -> Sale:
        refusal = Refusal(suite=sale.request.suite, payee=self._identity.id, k=sale.k, request_hash=sale.request.hash)
        refused = self._journal.refused(sale.k, Signed.sign(refusal, self._identity.key).to_bytes(), reason)
        self._step("refused")
        return refused

    def _unknown(self, sale: Sale, why: EcnyError) -> Outcome:
        """TAP AGAIN. If even this cannot be written, the row on disk says ASKED, which counts as UNKNOWN."""
        try:
            if sale.state is SaleState.ASKED:
                sale = self._journal.mark_unknown(sale.k, f"{why.code}: {why.message}")
        except StorageError as exc:
            why = exc
        self._step("unknown")
        return Outcome(Result.TAP_AGAIN, sale, why)
