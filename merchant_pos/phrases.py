"""What the till says to people, in one place: the code names entries only, so other languages can come beside it."""

from __future__ import annotations

from typing import Final

from wallet_core.messages import RevocationReason
from wallet_core.money import Money

TAP: Final = "TAP"
CARD_READ: Final = "CARD READ"

# The results of a sale. They exclude each other, and NOT CHARGED is said only with proof.
PAID: Final = "PAID"
NOT_CHARGED: Final = "NOT CHARGED"
TAP_AGAIN: Final = "TAP THE SAME CARD AGAIN"
OUTCOME_OPEN: Final = "OUTCOME OPEN"

# The same of a refund.
REFUNDED: Final = "REFUNDED"
NOT_REFUNDED: Final = "NOT REFUNDED"

SAM_AWAY: Final = "the SAM does not answer: put the same SAM back"
ANOTHER_SAM: Final = "this is another SAM: nothing was sent to it"
ONE_PURSE: Final = "card and SAM are one purse: name two readers"
TILL_REVOKED: Final = "the operator has revoked this till: it begins no sale any more"
NOT_DECIDED: Final = "the payee has not decided yet"
PAYEE_CLOSED: Final = "the payee has closed this Request: ask its operator what became of it"
OPERATOR_RENEWED: Final = "the operator's certificate was renewed"
NO_REFUSAL_YET: Final = "given up here; the payee's Refusal is still to come"

# Why nothing is asked of a purse that is on the operator's list.
REVOKED: Final = {
    RevocationReason.FROZEN: "this card is reported lost",
    RevocationReason.REVOKED: "this card is revoked: it has broken the rules",
    RevocationReason.REPLACED: "this card has been replaced by another",
    RevocationReason.DEAD: "this purse has been declared dead",
}

CANCELLED: Final = "CANCELLED"
ANOTHER_CARD: Final = "this is another card: nothing was sent to it"
PIN_PROMPT: Final = "PIN"
PIN_WRONG: Final = "wrong PIN"
A_SALE_OPEN: Final = "a sale is open: its card may have been charged"
NOTHING_OPEN: Final = "no sale is open"
NOTHING_QUEUED: Final = "nothing was waiting"
NO_SALES: Final = "no sale yet"
GREEN: Final = "GREEN  nothing is open, nothing waits"

CANCEL_WARNING: Final = (
    "This sale may have been charged: no answer of the card is on record. Cancelling refuses it for good. If the card "
    "was debited, the value comes back to the card by a reversal at its operator, not from this till. If the card is "
    "still here, tap it again instead: `ecny pos resume`."
)

CANCEL_REFUND_WARNING: Final = (
    "This refund may have left the SAM: cancelling wants the card's Refusal, which gives the value back to the SAM. If "
    "the card is still here, finish it instead: `ecny pos resume --sam READER`."
)

# `history` and `status`; the keys are SaleState values.
SHOWN_AS: Final = {
    "ASKED": TAP_AGAIN,
    "UNKNOWN": TAP_AGAIN,
    "PAID": "PAID",
    "REFUSED": NOT_CHARGED,
    "SENT": "PAID (sent)",
    "SETTLED": "PAID (settled)",
    "REJECTED": "PAID, not credited",
}
REVIEWED: Final = "PAID (under review)"

# The same for transfers with the merchant's SAM; the keys are TransferState values.
SHOWN_AS_BY_SAM: Final = {
    "ASKING": NOT_CHARGED,
    "ASKED": TAP_AGAIN,
    "UNKNOWN": TAP_AGAIN,
    "HELD": OUTCOME_OPEN,
    "PAID": "PAID (in the SAM)",
    "REFUSING": NOT_CHARGED,
    "REFUSED": NOT_CHARGED,
    "DROPPED": NOT_CHARGED,
}
SHOWN_AS_REFUND: Final = SHOWN_AS_BY_SAM | {
    "PAID": REFUNDED,
    **dict.fromkeys(("ASKING", "REFUSING", "REFUSED", "DROPPED"), NOT_REFUNDED),
}


def paid(amount: Money, left: Money | None) -> str:
    """``PAID  RMB 68.00   RMB 432.00 left``; the balance is the card's word, for the display."""
    return f"{PAID}  {amount}" + (f"   {left} left" if left is not None else "")


def not_charged(reason: str) -> str:
    return f"{NOT_CHARGED}  {reason}"


def open_sale(k: int, amount: Money) -> str:
    return f"sale {k} of {amount} is open: the card may have been charged"


def open_transfer(kind: str, k: int, amount: Money) -> str:
    if kind == "REFUND":
        return f"refund {k} of {amount} is open: the SAM may have paid it"
    return open_sale(k, amount)


def refunded(amount: Money, left: Money | None) -> str:
    """``REFUNDED  RMB 68.00   RMB 500.00 on the card``."""
    return f"{REFUNDED}  {amount}" + (f"   {left} on the card" if left is not None else "")


def not_refunded(reason: str) -> str:
    return f"{NOT_REFUNDED}  {reason}"


def outcome_open(kind: str, k: int, amount: Money, reason: str) -> str:
    payee = "the card" if kind == "REFUND" else "the SAM"
    return f"{OUTCOME_OPEN}  {kind.lower()} {k} of {amount}: {payee} has not taken it ({reason})"


def shown_as(kind: str, state: str) -> str:
    """Of a transfer with the SAM, by its Kind and TransferState."""
    return (SHOWN_AS_REFUND if kind == "REFUND" else SHOWN_AS_BY_SAM)[state]


def settled_late(kind: str, k: int, said: str) -> str:
    """Of an earlier one that a purse has decided now."""
    return f"{kind.lower()} {k}: {said}"


def pin_tries(tries: int) -> str:
    return f"{tries} {'try' if tries == 1 else 'tries'} left"


def not_all_sent(count: int, amount: Money) -> str:
    return f"NOT GREEN  {count} paid, {amount}, not settled yet"


def refusals_waiting(count: int) -> str:
    return f"{count} {'refusal' if count == 1 else 'refusals'} not told to the operator yet"


def evidence_waiting(count: int) -> str:
    return f"{count} of the SAM's {'sale' if count == 1 else 'sales and refunds'} not told to the operator yet"


def evidence_told(count: int) -> str:
    return f"told  {count} of the SAM's sales and refunds"


def inherited(sales: int, transfers: int) -> str:
    return f"taken over  {sales} to hand in, {transfers} of the SAM"


def rejected(count: int) -> str:
    return f"{count} not credited by the operator: see `ecny pos history`"
