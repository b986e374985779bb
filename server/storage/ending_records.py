"""What the storage keeps of endings, as frozen records. Amounts in fen, times in seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class BroughtVoucher:
    """A genuine voucher that came outside a batch, with its bytes. `payer`: the storage's number of the purse; `payee`:
    an id, of a till or purse. What became of it is in the table of vouchers."""

    hash: bytes
    payer: int
    epoch: int
    n: int
    payee: bytes
    k: int
    amount: int
    request_hash: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class PurseAnswer:
    """A Receipt (`about`: H(Voucher)) or Refusal (`about`: H(Request)) of a purse.

    `raw`: the signed message where `is_signed`, else the purse's signed Report that lists it.
    """

    payee: bytes
    about: bytes
    k: int
    is_signed: bool
    raw: bytes


@dataclass(frozen=True, slots=True)
class SeenSlot:
    """`states`: bit `1 << state` for every state in which a report has shown this voucher; `report_hash`: the first."""

    n: int
    voucher_hash: bytes
    states: int
    report_hash: bytes


@dataclass(frozen=True, slots=True)
class ReportRecord:
    """`progress` rises with all that a purse does but an outcome."""

    hash: bytes
    purse: int
    epoch: int
    total_in: int
    total_out: int
    total_reversed: int
    out_acked: int
    lifecycle: int
    progress: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class ReportTotals:
    """Maxima over every report of a purse, and over the grants that it was given; fen."""

    total_in: int
    total_out: int
    total_reversed: int
    out_acked: int
    lifecycle: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A voucher in the books, and a Report or loose Voucher (`second`) that says another hash for its counter."""

    payer: int
    epoch: int
    n: int
    voucher_hash: bytes
    second_hash: bytes
    second: bytes


class OrderReason(IntEnum):
    """Why an order was given."""

    PAYEE_REFUSED = 1  # its Refusal, or its operator's Closing, is in the books
    PAYEE_GONE = 2  # a purse that is revoked, expired and beyond grace: charged to its residual


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """A reversal order that was given; `is_void`: a report showed the slot collected."""

    voucher_hash: bytes
    payer: int
    epoch: int
    n: int
    reason: OrderReason
    raw: bytes
    is_void: bool = False


@dataclass(frozen=True, slots=True)
class UnloadRecord:
    """An unload. `request`: the payload of the operator purse's Request; the voucher is set once, the Receipt once."""

    id: str
    key_digest: bytes
    purse: bytes
    epoch: int
    n: int
    amount: int
    payee: bytes
    k: int
    request_hash: bytes
    request: bytes
    voucher_hash: bytes | None = None
    receipt: bytes | None = None
