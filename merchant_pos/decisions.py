"""The checkout as pure decisions: what a card that is shown, an answer or a silence means for a sale.

Nothing here reads a card, a clock or a disk. The order is always the same: what this module decides is made durable by
the journal before merchant_pos.checkout acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from merchant_pos.sales import Order, Sale
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    MismatchError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    WrongClassError,
)
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Request, Signed, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

# Who may pay a till (docs/spec/statuses.md, PAYER_CLASS).
PAYERS = (CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)


class Result(Enum):
    """The three results of a sale. NOT_CHARGED only with proof; whatever is neither is TAP_AGAIN."""

    PAID = "PAID"
    NOT_CHARGED = "NOT CHARGED"
    TAP_AGAIN = "TAP THE SAME CARD AGAIN"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a card says on SELECT: id, counters, life cycle, and for the display its balance (fen); no proof."""

    purse: bytes
    epoch: int
    next_n: int
    lifecycle: Lifecycle
    balance: int
    payee_threshold: int
    pin_tries: int


@dataclass(frozen=True, slots=True)
class AskNew:
    """Nothing is open: put a Request for this card's next counter on disk, then send it."""

    verified: bool


@dataclass(frozen=True, slots=True)
class AskAgain:
    """This is the card of the open sale: the same Request again."""

    sale: Sale
    verified: bool


@dataclass(frozen=True, slots=True)
class AnotherCard:
    """A sale is open and this is not its card: send it nothing."""

    sale: Sale


class Step(Enum):
    """What follows from a card's refusal."""

    ENTER_PIN = "enter the PIN, then the same Request again"
    SEND_SIGNED = "the same Request again, signed and with certificates"
    GIVE_UP = "nothing was charged: commit REFUSED"
    STILL_UNKNOWN = "this proves nothing: tap the same card again"


def on_card(open_sale: Sale | None, order: Order | None, shown: Shown) -> AskNew | AskAgain | AnotherCard:
    """What to do with the card that is shown. `order`: what is to be sold where no sale is open.

    Raises PurseRefusal when this card cannot pay and nothing was asked of it.
    """
    if open_sale is not None:
        request = open_sale.request
        if (shown.purse, shown.epoch) != (request.payer, request.epoch):
            return AnotherCard(open_sale)
        return AskAgain(open_sale, request.amount > shown.payee_threshold)
    if order is None:
        raise OutcomeUnknownError("no sale is open")
    if shown.lifecycle is not Lifecycle.ACTIVE:
        raise PurseRefusal(Refused.WRONG_STATE, f"this card is {shown.lifecycle.name.lower()}")
    if not 1 <= order.amount <= MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.AMOUNT)
    if shown.next_n > COUNTER_MAX:
        raise PurseRefusal(Refused.COUNTERS_EXHAUSTED, next_step="Have the card replaced.")
    return AskNew(order.amount > shown.payee_threshold)


def make_request(order: Order, shown: Shown, *, till: bytes, k: int) -> Request:
    """The till's Request number `k` to this card for its next counter (docs/spec/transfer.md, rule 2)."""
    return Request(
        suite=Suite.ES256,
        payer=shown.purse,
        epoch=shown.epoch,
        n=shown.next_n,
        payee=till,
        k=k,
        amount=order.amount,
        order_hash=order.hash,
    )


def on_refusal(request: Request, reason: Refused, shown: Shown, *, asked_before: bool, verified: bool) -> Step:
    """What a purse's refusal of a PAY means. `shown`: its SELECT of the same tap, before the PAY.

    `asked_before`: an earlier PAY with this Request may have been carried out. Then a refusal alone is no proof: it
    promises that *this* command changed nothing. Proof is STALE from a card whose counter has passed n (a stored
    voucher would have been answered instead), or a refusal from a card that still stands at n.
    """
    if asked_before:
        passed = reason is Refused.STALE and shown.next_n > request.n
        if not passed and shown.next_n != request.n:
            return Step.STILL_UNKNOWN
    if reason is Refused.PIN_REQUIRED:
        return Step.ENTER_PIN
    if reason is Refused.PAYEE_UNVERIFIED and not verified:
        return Step.SEND_SIGNED
    return Step.GIVE_UP


def check_payer(certificate: Certificate, shown: Shown) -> Certificate:
    """Return the certificate if it is that of the card shown; raises MismatchError or WrongClassError."""
    if certificate.subject != shown.purse:
        raise MismatchError("the certificate on the card is another purse's")
    if certificate.subject_class not in PAYERS:
        raise WrongClassError(f"a {certificate.subject_class.name} does not pay at a till")
    if certificate.epoch != shown.epoch:
        raise MismatchError("the certificate is of another epoch than the purse")
    return certificate


def check_voucher(answer: bytes, request: Request, payer: Certificate) -> Signed[Voucher]:
    """The voucher in an answer, if it answers exactly this Request and `payer` (its certificate verified) signed it.

    Raises a CodecError or VerificationError: the answer proves nothing then, whatever it looks like.
    """
    signed = parse(Voucher, answer)
    voucher = signed.message
    for name in ("suite", "payer", "epoch", "n", "payee", "k", "amount"):
        if getattr(voucher, name) != getattr(request, name):
            raise MismatchError(f"the voucher has another {name} than the Request")
    if voucher.request_hash != request.hash:
        raise MismatchError("the voucher answers another Request")
    if payer.subject != request.payer or payer.epoch != request.epoch:
        raise BadSignatureError("the certificate is not the payer's")
    signed.verify(payer.key)
    return signed


def balance_left(request: Request, shown: Shown) -> int | None:
    """What the card holds after this payment, by what it said before the PAY of this tap; None where unknown."""
    if shown.next_n == request.n:
        return shown.balance - request.amount if shown.balance >= request.amount else None
    return shown.balance if shown.next_n == request.n + 1 else None
