"""What the till says to people, in one place: the code names entries only, so other languages can come beside it."""

from __future__ import annotations

from typing import Final

from wallet_core.money import Money

TAP: Final = "TAP"
CARD_READ: Final = "CARD READ"

# The three results of a sale. They exclude each other, and NOT CHARGED is said only with proof.
PAID: Final = "PAID"
NOT_CHARGED: Final = "NOT CHARGED"
TAP_AGAIN: Final = "TAP THE SAME CARD AGAIN"

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


def paid(amount: Money, left: Money | None) -> str:
    """``PAID  RMB 68.00   RMB 432.00 left``; the balance is the card's word, for the display."""
    return f"{PAID}  {amount}" + (f"   {left} left" if left is not None else "")


def not_charged(reason: str) -> str:
    return f"{NOT_CHARGED}  {reason}"


def open_sale(k: int, amount: Money) -> str:
    return f"sale {k} of {amount} is open: the card may have been charged"


def pin_tries(tries: int) -> str:
    return f"{tries} {'try' if tries == 1 else 'tries'} left"


def not_all_sent(count: int, amount: Money) -> str:
    return f"NOT GREEN  {count} paid, {amount}, not settled yet"


def refusals_waiting(count: int) -> str:
    return f"{count} {'refusal' if count == 1 else 'refusals'} not told to the operator yet"


def rejected(count: int) -> str:
    return f"{count} not credited by the operator: see `ecny pos history`"
