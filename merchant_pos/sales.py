"""A sale to the till itself as the journal keeps it (docs/spec/till.md): one Request, one voucher at most, one end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wallet_core.messages.transfer import Request


class SaleState(StrEnum):
    """docs/spec/statuses.md, *A sale at the till*."""

    ASKED = "ASKED"  # the Request is on disk; PAY may have been sent
    UNKNOWN = "UNKNOWN"  # PAY was sent and no believable answer came
    PAID = "PAID"  # voucher verified and on disk
    REFUSED = "REFUSED"  # given up, for good
    SENT = "SENT"  # paid, and part of a frozen batch
    SETTLED = "SETTLED"
    REJECTED = "REJECTED"  # the operator's signed answer gives another status

    @property
    def is_open(self) -> bool:
        """Whether the card may or may not have been charged. ASKED found at a restart is no better than UNKNOWN."""
        return self in OPEN

    @property
    def is_paid(self) -> bool:
        return self in (SaleState.PAID, SaleState.SENT, SaleState.SETTLED, SaleState.REJECTED)


CANCELLED = "CANCELLED"  # the reason of a REFUSED sale that somebody gave up; any other reason is the card's proof
OPEN = (SaleState.ASKED, SaleState.UNKNOWN)

# Every change of state that the journal accepts (a trigger in the database holds the same table).
MOVES = {
    SaleState.ASKED: (SaleState.UNKNOWN, SaleState.PAID, SaleState.REFUSED),
    SaleState.UNKNOWN: (SaleState.PAID, SaleState.REFUSED),
    SaleState.PAID: (SaleState.SENT,),
    SaleState.SENT: (SaleState.SETTLED, SaleState.REJECTED),
    SaleState.REFUSED: (),
    SaleState.SETTLED: (),
    SaleState.REJECTED: (SaleState.SENT,),  # one under REVIEW is handed in again
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is being sold: `amount` in fen, `reference` in the merchant's words; the card sees its hash only."""

    amount: int
    reference: str

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(b"ecny-order-1" + self.reference.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """One row. `refusal`, `voucher`: signed bytes; `left`: what the card said it holds after it (fen); `status`: the
    operator's verdict on the voucher or the Refusal; times in ms since 1970."""

    state: SaleState
    order: str
    request: Request
    voucher: bytes | None
    voucher_hash: bytes | None
    refusal: bytes | None
    reason: str | None
    left: int | None
    asked_ms: int
    decided_ms: int | None
    batch: int | None
    position: int | None
    status: int | None
    inherited: int | None = None  # a row number where the sale is a predecessor's: `k` is that till's then

    @property
    def k(self) -> int:
        return self.request.k

    @property
    def amount(self) -> int:
        return self.request.amount


SALE_COLUMNS = (
    'state, "order", request, voucher, voucher_hash, refusal, reason, "left", asked_ms, decided_ms, batch, position, '
    "status"
)


def sale_of_row(row: Any) -> Sale:
    """A row of `sales` or `inherited` that was read with SALE_COLUMNS first."""
    return Sale(
        state=SaleState(row[0]),
        order=row[1],
        request=Request.from_payload(row[2]),
        voucher=row[3],
        voucher_hash=row[4],
        refusal=row[5],
        reason=row[6],
        left=row[7],
        asked_ms=row[8],
        decided_ms=row[9],
        batch=row[10],
        position=row[11],
        status=row[12],
    )
