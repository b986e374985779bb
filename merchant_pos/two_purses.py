"""One transfer between the merchant's SAM and a card, carried from state to state by the two purses that are there.

Each step has its effect on disk before the next one begins, and each may be done again after a lost answer: the purses
answer the same bytes. A sale and a refund differ in who pays; the steps are the same (docs/spec/till.md, *The
merchant's SAM*):

    ASKING ─payee REQUEST─► ASKED ─payer PAY─► HELD ─payee COLLECT─► PAID ─payer ACKNOWLEDGE
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from merchant_pos import phrases
from merchant_pos.decisions import (
    Result,
    Shown,
    balance_left,
    check_receipt,
    check_refusal,
    check_request,
    check_voucher,
)
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.payers import Payers
from merchant_pos.paying import Answered, Denied, Paying, Unclear
from merchant_pos.ports import PinEntry, Purse, Step
from merchant_pos.sales import CANCELLED
from merchant_pos.transfers import Kind, Transfer, TransferState
from wallet_core.certificates import Certificate
from wallet_core.errors import (
    CodecError,
    EcnyError,
    MismatchError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    StorageError,
    VerificationError,
)
from wallet_core.messages import Request, parse
from wallet_core.money import fen


@dataclass(frozen=True, slots=True)
class TransferOutcome:
    """How far a transfer has come. `why`: the error behind anything but PAID."""

    result: Result
    transfer: Transfer | None = None
    why: EcnyError | None = None


@dataclass(frozen=True, slots=True)
class Present:
    """A purse that has been selected in this tap, with what it shows."""

    purse: Purse
    shown: Shown


class TwoPurses:
    """The steps. `notify` is given each moment as a line for people, after it is true."""

    def __init__(
        self, *, journal: Journal, identity: Identity, payers: Payers, notify: Callable[[str], None], step: Step
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._payers = payers
        self._notify = notify
        self._step = step
        self._paying = Paying(notify)

    # The way of one transfer ----------------------------------------------------------------------------------------

    def request(self, transfer: Transfer, payee: Purse) -> Transfer:
        """ASKING → ASKED: the payee's signed Request, on disk. Raises what the payee's answer raises; then no payer
        has been asked for anything. A card is told who is going to pay it, so that its policy decides."""
        plan = transfer.plan
        question = (plan.payer, plan.epoch, plan.n, plan.amount, plan.order_hash)
        if transfer.kind is Kind.REFUND:
            answer = payee.request_verified(*question, *self._papers_of(plan.payer))
        else:
            answer = payee.request(*question)
        self._step("requested")
        signed = check_request(answer, plan, self._known(plan.payee))
        asked = self._journal.requested(transfer.k, signed.to_bytes(), signed.hash)
        self._step("asked")
        return asked

    def advance(
        self,
        transfer: Transfer,
        payer: Present | None,
        payee: Present | None,
        pins: PinEntry,
        *,
        asked_before: bool = True,
    ) -> TransferOutcome:
        """Carry an open or HELD transfer as far as the purses that are there let it; a purse that is away is None."""
        if transfer.state.is_open:
            if payer is None:
                return TransferOutcome(Result.TAP_AGAIN, transfer, OutcomeUnknownError(phrases.TAP_AGAIN))
            paid = self._pay(transfer, payer, payee, pins, asked_before=asked_before)
            if isinstance(paid, TransferOutcome):
                return paid
            transfer = paid
        if transfer.state is TransferState.HELD:
            return self.collect(transfer, payee, payer)
        return self._ended(transfer)

    def _pay(
        self, transfer: Transfer, payer: Present, payee: Present | None, pins: PinEntry, *, asked_before: bool
    ) -> Transfer | TransferOutcome:
        """ASKED or UNKNOWN → HELD, or the outcome that PAY came to."""
        request = transfer.asked
        if (payer.shown.purse, payer.shown.epoch) != (request.payer, request.epoch):
            another = phrases.ANOTHER_CARD if transfer.kind is Kind.SALE else phrases.ANOTHER_SAM
            return TransferOutcome(Result.TAP_AGAIN, transfer, OutcomeUnknownError(another))
        signed = transfer.request or b""
        answer = self._paying.ask(
            *(payer.purse, request, lambda: (signed, *self._papers_of(request.payee)), payer.shown, pins),
            asked_before=asked_before,
            verified=transfer.kind is Kind.REFUND or request.amount > payer.shown.payee_threshold,
        )
        if isinstance(answer, Denied):
            return self._denied(transfer, answer, payee)
        if isinstance(answer, Unclear):
            return self._unknown(transfer, answer.why)
        self._step("answered")
        return self._hold(transfer, answer, payer.shown)

    def _hold(self, transfer: Transfer, answer: Answered, shown: Shown) -> Transfer | TransferOutcome:
        request = transfer.asked
        try:
            voucher = check_voucher(answer.answer, request, self._known(request.payer))
            self._step("verified")
            left = balance_left(request, shown) if transfer.kind is Kind.SALE else None
            held = self._journal.held(transfer.k, voucher.to_bytes(), voucher.hash, left)
        except (CodecError, VerificationError, StorageError) as exc:
            return self._unknown(transfer, exc)
        self._step("held")
        return held

    def collect(
        self, transfer: Transfer, payee: Present | None, payer: Present | None = None, *, late: bool = False
    ) -> TransferOutcome:
        """HELD → PAID: the payee verifies the voucher in its secure element, and its Receipt is on disk. Then, and not
        before, PAID is said; then the payer hears of it if it is still there, which changes nothing here.

        `late`: this is not what people are waiting for, so they are told which one it is."""
        try:
            if payee is None:
                raise OutcomeUnknownError(phrases.NOT_DECIDED)
            self._require_payee(transfer, payee.shown)
            answer = payee.purse.collect(transfer.voucher or b"", *self._papers_of(transfer.payer))
            self._step("collected")
            receipt = check_receipt(answer, transfer, self._known(transfer.payee))
            left = self._left_after_refund(payee.purse) if transfer.kind is Kind.REFUND else None
            paid = self._journal.collected(transfer.k, receipt.to_bytes(), left)
        except EcnyError as exc:
            closed = isinstance(exc, PurseRefusal) and exc.reason is Refused.REQUEST_CLOSED
            if payee is None or not closed:
                return self._still_held(transfer, exc)
            return self._refused_before(transfer, payee, payer, exc, late=late)
        self._step("paid")
        self.announce(paid, late=late)
        if payer is not None:
            self._acknowledge(paid, payer)
        return TransferOutcome(Result.PAID, paid)

    def _refused_before(
        self, transfer: Transfer, payee: Present, payer: Present | None, why: EcnyError, *, late: bool
    ) -> TransferOutcome:
        """The payee has refused this Request, to somebody else or in an answer that was lost: its stored Refusal is the
        outcome. Where it has none it has collected this Request and a grant has closed it since: still HELD."""
        try:
            refused = self.refuse(transfer, payee, f"{why.code}: {why.message}")
        except EcnyError:
            return self._still_held(transfer, why)
        said = phrases.shown_as(refused.kind, refused.state)
        self._notify(phrases.settled_late(refused.kind.value, refused.k, said) if late else said)
        if payer is not None:
            self._acknowledge(refused, payer)
        return TransferOutcome(Result.NOT_CHARGED, refused, why)

    def announce(self, paid: Transfer, *, late: bool = False) -> None:
        """Say that it is PAID. Of a refund the journal remembers that it was said: the command that is run again after
        a crash in between must not begin a second one."""
        said = self._said(paid)
        self._notify(phrases.settled_late(paid.kind.value, paid.k, said) if late else said)
        self._step("shown")
        if paid.kind is Kind.REFUND:
            with suppress(StorageError):
                self._journal.announced(paid.k)

    def refuse(self, transfer: Transfer, payee: Present, reason: str) -> Transfer:
        """→ REFUSED: the payee's Refusal, on disk; raises what its answer raises, REQUEST_CLOSED where it collected.

        Only the payee's own decision ends a Request: after it no voucher of this Request is ever worth anything.
        """
        self._require_payee(transfer, payee.shown)
        request = transfer.asked
        answer = payee.purse.refuse(request.hash)
        refusal = check_refusal(answer, request, self._known(transfer.payee))
        refused = self._journal.refusal(transfer.k, refusal.to_bytes(), reason)
        self._step("refused")
        return refused

    def cancel(self, transfer: Transfer, payee: Present | None, payer: Present | None) -> TransferOutcome:
        """Give up an open or HELD transfer: the payee's Refusal first, then the payer takes its value back.

        Without the payee an open one is REFUSING from now on and stops no other sale; a HELD one stays HELD, for the
        value is on its way to the payee until that says no. What the payee has collected is PAID: too late.
        """
        closed: EcnyError | None = None
        if payee is not None:
            try:
                refused = self.refuse(transfer, payee, CANCELLED)
            except PurseRefusal as exc:
                if exc.reason is not Refused.REQUEST_CLOSED:
                    raise
                if transfer.state is TransferState.HELD:
                    return self.collect(transfer, payee, payer)
                closed = OutcomeUnknownError(phrases.PAYEE_CLOSED)
            else:
                if payer is not None:
                    self._acknowledge(refused, payer)
                return TransferOutcome(Result.NOT_CHARGED, refused)
        if transfer.state is TransferState.HELD:
            return self._still_held(transfer, OutcomeUnknownError(phrases.NOT_DECIDED))
        refusing = self._journal.refusing(transfer.k, CANCELLED)
        return TransferOutcome(Result.OPEN, refusing, closed or OutcomeUnknownError(phrases.NO_REFUSAL_YET))

    # What is left over from before ----------------------------------------------------------------------------------

    def tidy(self, present: Present) -> None:
        """What a purse that is here has still to do for earlier transfers: as payee decide them, as payer hear of them.

        No failure stops anything: it is tried again the next time.
        """
        for transfer in self._journal.undecided(present.shown.purse):
            try:
                self._decide_late(transfer, present)
            except EcnyError:
                continue
        for transfer in self._journal.unacknowledged(present.shown.purse):
            self._acknowledge(transfer, present)

    def _decide_late(self, transfer: Transfer, payee: Present) -> None:
        if transfer.state is TransferState.ASKING:
            self._drop(transfer, payee.purse)
        elif transfer.state is TransferState.HELD:
            self.collect(transfer, payee, late=True)
        else:
            refused = self.refuse(transfer, payee, transfer.reason or CANCELLED)
            said = phrases.CANCELLED if refused.reason == CANCELLED else phrases.shown_as(refused.kind, refused.state)
            self._notify(phrases.settled_late(refused.kind.value, refused.k, said))

    def _drop(self, transfer: Transfer, payee: Purse) -> None:
        """A Request that was made for an ASKING transfer, if there is one, has been sent to nobody: it is refused."""
        for body in payee.open_requests():
            signed = parse(Request, body)
            if transfer.plan.is_asked_by(signed.message):
                known = self._known(transfer.payee)
                refusal = check_refusal(payee.refuse(signed.hash), signed.message, known)
                request = (signed.to_bytes(), signed.hash)
                self._journal.refusal(transfer.k, refusal.to_bytes(), "never asked for", request)
                return
        self._journal.dropped(transfer.k, "never asked for")

    def _acknowledge(self, transfer: Transfer, payer: Present) -> None:
        """Let the payer hear its payee's answer. Off the tap path: whatever comes of it changes nothing here.

        NOT_FOUND means that the payer has no use for it any more, if it is the payer that says so: another purse that
        has taken its place in the reader since it was selected knows nothing either.
        """
        if payer.shown.purse != transfer.payer:
            return
        papers = self._papers_of(transfer.payee)
        try:
            if transfer.receipt is not None:
                payer.purse.acknowledge(transfer.receipt, *papers)
            elif transfer.refusal is not None:
                payer.purse.acknowledge_refusal(transfer.refusal, *papers)
        except PurseRefusal as exc:
            if exc.reason not in (Refused.NOT_FOUND, Refused.OUTCOME_FINAL) or not self._is_still(payer):
                return
        except EcnyError:
            return
        with suppress(StorageError):
            self._journal.acknowledged(transfer.k)
        self._step("acknowledged")

    # Outcomes: durable first, then said -----------------------------------------------------------------------------

    def _denied(self, transfer: Transfer, denied: Denied, payee: Present | None) -> TransferOutcome:
        """The payer has not been debited. The payee refuses its Request, and that is on disk, before anyone is told.

        Where the payee is away, a payer that still stands at n is proof enough to stop asking (REFUSING); one whose
        counter has passed is none: another terminal may have taken its voucher to the payee.
        """
        if payee is not None:
            try:
                refused = self.refuse(transfer, payee, denied.reason)
            except EcnyError as exc:
                if denied.passed:
                    return self._unknown(transfer, exc)
            else:
                return self._not_charged(refused, denied)
        elif denied.passed:
            return self._unknown(transfer, OutcomeUnknownError(phrases.NOT_DECIDED))
        try:
            return self._not_charged(self._journal.refusing(transfer.k, denied.reason), denied)
        except StorageError as exc:
            return self._unknown(transfer, exc)

    def _not_charged(self, transfer: Transfer, denied: Denied) -> TransferOutcome:
        say = phrases.not_charged if transfer.kind is Kind.SALE else phrases.not_refunded
        self._notify(say(denied.why.message))
        return TransferOutcome(Result.NOT_CHARGED, transfer, denied.why)

    def _unknown(self, transfer: Transfer, why: EcnyError) -> TransferOutcome:
        try:
            if transfer.state is TransferState.ASKED:
                transfer = self._journal.pay_unknown(transfer.k, f"{why.code}: {why.message}")
        except StorageError as exc:
            why = exc
        self._step("unknown")
        return TransferOutcome(Result.TAP_AGAIN, transfer, why)

    def _still_held(self, transfer: Transfer, why: EcnyError) -> TransferOutcome:
        return TransferOutcome(Result.OPEN, self._note(transfer, why), why)

    def _note(self, transfer: Transfer, why: EcnyError) -> Transfer:
        try:
            return self._journal.note(transfer.k, f"{why.code}: {why.message}")
        except StorageError:
            return transfer

    def _ended(self, transfer: Transfer) -> TransferOutcome:
        paid = transfer.state is TransferState.PAID
        return TransferOutcome(Result.PAID if paid else Result.NOT_CHARGED, transfer)

    def _said(self, transfer: Transfer) -> str:
        left = fen(transfer.left) if transfer.left is not None else None
        if transfer.kind is Kind.SALE:
            return phrases.paid(fen(transfer.amount), left)
        return phrases.refunded(fen(transfer.amount), left)

    @staticmethod
    def _left_after_refund(card: Purse) -> int | None:
        """What the card says it holds now, for the display; it may leave in this moment, which is no fault."""
        try:
            return card.select().balance
        except EcnyError:
            return None

    @staticmethod
    def _is_still(present: Present) -> bool:
        try:
            return present.purse.select().purse == present.shown.purse
        except EcnyError:
            return False

    # Who they are ---------------------------------------------------------------------------------------------------

    def _known(self, purse: bytes) -> Certificate:
        return self._payers.to_finish(purse)

    def _papers_of(self, purse: bytes) -> tuple[bytes, bytes]:
        return self._known(purse).to_bytes(), self._identity.operator.to_bytes()

    @staticmethod
    def _require_payee(transfer: Transfer, shown: Shown) -> None:
        if shown.purse != transfer.payee:
            raise MismatchError(phrases.ANOTHER_SAM if transfer.kind is Kind.SALE else phrases.ANOTHER_CARD)
