"""The checkout as pure decisions: what a card that is shown, an answer or a silence means for a sale.

Nothing here reads a card, a clock or a disk. The order is always the same: what this module decides is made durable by
the journal before merchant_pos.checkout acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from merchant_pos.sales import Order, Sale
from merchant_pos.transfers import Plan, Transfer
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    MismatchError,
    PurseRefusal,
    Refused,
    UntrustedCertificateError,
    WrongClassError,
)
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Policy, Receipt, Refusal, Request, Signed, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS, fen
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

# Who may pay a till (docs/spec/statuses.md, PAYER_CLASS).
PAYERS = (CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)

_MAY_NOT = {
    CertificateClass.TILL: "this card may not pay at a till",
    CertificateClass.MERCHANT_PURSE: "this card may not pay a merchant's SAM",
    CertificateClass.HARD_WALLET: "this SAM may not pay a card",
}


class Result(Enum):
    """The results of a sale. NOT_CHARGED only with proof; whatever is neither is TAP_AGAIN or, where the merchant's SAM
    has still to take a voucher that is on disk, OPEN: the card has done its part then."""

    PAID = "PAID"
    NOT_CHARGED = "NOT CHARGED"
    TAP_AGAIN = "TAP THE SAME CARD AGAIN"
    OPEN = "OUTCOME OPEN"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a card says on SELECT: id, counters, life cycle, and for the display its balance (fen); no proof."""

    purse: bytes
    epoch: int
    next_n: int
    lifecycle: Lifecycle
    balance: int
    payee_threshold: int
    policy_version: int
    pin_tries: int


class Step(Enum):
    """What follows from a card's refusal."""

    ENTER_PIN = "enter the PIN, then the same Request again"
    SEND_SIGNED = "the same Request again, signed and with certificates"
    GIVE_UP = "nothing was charged: commit REFUSED"
    STILL_UNKNOWN = "this proves nothing: tap the same card again"


def is_same_card(sale: Sale, shown: Shown) -> bool:
    """Whether this is the card that `sale` was asked of. Another one is sent nothing while the sale is open."""
    return (shown.purse, shown.epoch) == (sale.request.payer, sale.request.epoch)


def on_new_card(order: Order, shown: Shown) -> bool:
    """Whether the card wants to verify the till for this order (signed Request and certificates).

    Raises PurseRefusal when this card cannot pay: nothing is asked of it then.
    """
    if shown.lifecycle is not Lifecycle.ACTIVE:
        raise PurseRefusal(Refused.WRONG_STATE, f"this card is {shown.lifecycle.name.lower()}")
    if not 1 <= order.amount <= MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.AMOUNT)
    if shown.next_n > COUNTER_MAX:
        raise PurseRefusal(Refused.COUNTERS_EXHAUSTED, next_step="Have the card replaced.")
    return order.amount > shown.payee_threshold


def make_request(order: Order, shown: Shown, *, till: bytes, k: int, suite: Suite = Suite.ES256) -> Request:
    """The till's Request number `k` to this card for its next counter (docs/spec/transfer.md, rule 2).

    `suite`: that of the till's key and of its whole installation.
    """
    return Request(
        suite=suite,
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


def check_payer(
    certificate: Certificate, shown: Shown, operator: bytes, allowed: tuple[CertificateClass, ...] = PAYERS
) -> Certificate:
    """Return the certificate if it is that of the purse shown, issued by the till's `operator` (its id).

    Raises MismatchError, WrongClassError or, for a card of another operator, UntrustedCertificateError: the till's
    operator credits vouchers of its own purses only, so a sale to such a card would be PAID here and REJECTED there.
    """
    if certificate.subject != shown.purse:
        raise MismatchError("the certificate on the card is another purse's")
    if certificate.subject_class not in allowed:
        raise WrongClassError(f"a {certificate.subject_class.name} is of no use here")
    if certificate.issuer != operator:
        raise UntrustedCertificateError(
            "cards of another operator are not accepted here yet",
            next_step="Nothing was charged. Use a card of this till's operator.",
        )
    if certificate.epoch != shown.epoch:
        raise MismatchError("the certificate is of another epoch than the purse")
    return certificate


def check_policy(policy: Policy, payer: Certificate, shown: Shown) -> Policy:
    """Return the policy (its signature verified) if it is the one that this card says is in force; MismatchError."""
    if policy.operator != payer.issuer or policy.purse_class != payer.subject_class:
        raise MismatchError("the policy on the card is not for this card")
    if policy.version != shown.policy_version:
        raise MismatchError("the policy on the card is not the one that it says is in force")
    return policy


def hold_to_policy(amount: int, policy: Policy, payee_class: CertificateClass) -> None:
    """Refuse what the payer's policy forbids, whatever it would do: a broken card's word is worth nothing.

    Raises PurseRefusal, before anything is asked. The other limits count what only the payer can count.
    """
    if policy.suite < policy.least_suite:  # it is of the till's own suite, for it is signed by the till's operator
        raise PurseRefusal(Refused.SUITE, "this card wants a later suite", next_step="Update the till.")
    if not policy.payee_classes >> payee_class & 1:
        raise PurseRefusal(Refused.PAYEE_CLASS, _MAY_NOT[payee_class])
    if amount > policy.transfer_limit:
        raise PurseRefusal(
            Refused.TRANSFER_LIMIT, f"more than {fen(policy.transfer_limit)} in one payment", next_step="Pay less."
        )


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


def check_request(answer: bytes, plan: Plan, payee: Certificate) -> Signed[Request]:
    """The payee's Request in an answer, if it asks for exactly this `plan` and `payee` signed it.

    Raises a CodecError or VerificationError: no payer is asked with it then.
    """
    signed = parse(Request, answer)
    if payee.subject != plan.payee or not plan.is_asked_by(signed.message):
        raise MismatchError("the payee asks for something else than it was asked to")
    signed.verify(payee.key)
    return signed


def check_receipt(answer: bytes, transfer: Transfer, payee: Certificate) -> Signed[Receipt]:
    """The payee's Receipt in an answer, if it is for this transfer's voucher and `payee` signed it; raises the same."""
    signed = parse(Receipt, answer)
    receipt = signed.message
    if payee.subject != transfer.payee or (receipt.payee, receipt.k) != (transfer.payee, transfer.asked.k):
        raise MismatchError("the Receipt is of another payee or Request")
    if receipt.voucher_hash != transfer.voucher_hash:
        raise MismatchError("the Receipt is for another voucher")
    signed.verify(payee.key)
    return signed


def check_refusal(answer: bytes, request: Request, payee: Certificate) -> Signed[Refusal]:
    """The payee's Refusal in an answer, if it refuses this Request and `payee` signed it; raises the same."""
    signed = parse(Refusal, answer)
    refusal = signed.message
    if payee.subject != request.payee or (refusal.payee, refusal.k) != (request.payee, request.k):
        raise MismatchError("the Refusal is of another payee or Request")
    if refusal.request_hash != request.hash:
        raise MismatchError("the Refusal is of another Request")
    signed.verify(payee.key)
    return signed


def balance_left(request: Request, shown: Shown) -> int | None:
    """What the card holds after this payment, by what it said before the PAY of this tap; None where unknown."""
    if shown.next_n == request.n:
        return shown.balance - request.amount if shown.balance >= request.amount else None
    return shown.balance if shown.next_n == request.n + 1 else None
