"""A transfer with the merchant's SAM as the journal keeps it: a sale (card → SAM) or a refund (SAM → card).

The payee is a purse and decides in its secure element (docs/spec/transfer.md, rule 7): the till relays, remembers and
says what it has seen. PAID is the payee's Receipt on disk, and nothing else (docs/spec/till.md, *The merchant's SAM*).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wallet_core.messages import Request, parse


class Kind(StrEnum):
    SALE = "SALE"  # the card pays the SAM
    REFUND = "REFUND"  # the SAM pays the card


class TransferState(StrEnum):
    """docs/spec/statuses.md, *A transfer with the merchant's SAM*."""

    ASKING = "ASKING"  # what the payee is to be asked for is on disk; the payer has not been asked for anything
    ASKED = "ASKED"  # the payee's Request is on disk; PAY may have been sent
    UNKNOWN = "UNKNOWN"  # PAY was sent and no believable answer came
    HELD = "HELD"  # the payer's voucher is verified and on disk, the payee's Receipt is not
    PAID = "PAID"  # the payee's Receipt is on disk
    REFUSING = "REFUSING"  # given up here for good; the payee's Refusal is still to come
    REFUSED = "REFUSED"  # the payee's Refusal is on disk
    DROPPED = "DROPPED"  # no Request was made, or none that a payer was asked with

    @property
    def is_open(self) -> bool:
        """Whether the payer may or may not have been debited; the next sale waits for it."""
        return self in OPEN


OPEN = (TransferState.ASKED, TransferState.UNKNOWN)
FINAL = (TransferState.PAID, TransferState.REFUSED, TransferState.DROPPED)

# Every change of state that the journal accepts (a trigger in the database holds the same table).
MOVES = {
    TransferState.ASKING: (TransferState.ASKED, TransferState.REFUSED, TransferState.DROPPED),
    TransferState.ASKED: (TransferState.UNKNOWN, TransferState.HELD, TransferState.REFUSING, TransferState.REFUSED),
    TransferState.UNKNOWN: (TransferState.HELD, TransferState.REFUSING, TransferState.REFUSED),
    TransferState.HELD: (TransferState.PAID, TransferState.REFUSED),
    TransferState.REFUSING: (TransferState.REFUSED,),
    TransferState.PAID: (),
    TransferState.REFUSED: (),
    TransferState.DROPPED: (),
}


class Told(StrEnum):
    """What the server has of a transfer."""

    NOTHING = "NOTHING"
    VOUCHER = "VOUCHER"  # the voucher alone: it was still HELD
    ALL = "ALL"


def refund_order_hash(voucher_hash: bytes) -> bytes:
    """The order hash of every refund of the sale whose voucher has this hash: the payee's Request binds it."""
    return hashlib.sha256(b"ecny-refund-1" + voucher_hash).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a payee is going to be asked for. `original`: H(Voucher) of the sale that a refund gives back."""

    kind: Kind
    payer: bytes
    epoch: int
    n: int
    payee: bytes
    amount: int
    order: str
    order_hash: bytes
    original: bytes | None = None

    def is_asked_by(self, request: Request) -> bool:
        """Whether this Request is the payee's answer to exactly this plan."""
        return (
            (request.payer, request.epoch, request.n) == (self.payer, self.epoch, self.n)
            and (request.payee, request.amount) == (self.payee, self.amount)
            and request.order_hash == self.order_hash
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One row. `k`: the till's number of it (the Request has the payee's own); `request`, `voucher`, `receipt`,
    `refusal`: signed bytes; `left`: what the card said it holds after it (fen); `acknowledged`: whether the payer has
    the payee's answer; `announced`: whether people have been told that it is PAID; times in ms since 1970."""

    k: int
    plan: Plan
    state: TransferState
    request: bytes | None
    voucher: bytes | None
    voucher_hash: bytes | None
    receipt: bytes | None
    refusal: bytes | None
    reason: str | None
    left: int | None
    asked_ms: int
    decided_ms: int | None
    acknowledged: bool
    told: Told
    verdicts: str | None
    announced: bool

    @property
    def kind(self) -> Kind:
        return self.plan.kind

    @property
    def amount(self) -> int:
        return self.plan.amount

    @property
    def payer(self) -> bytes:
        return self.plan.payer

    @property
    def payee(self) -> bytes:
        return self.plan.payee

    @property
    def card(self) -> bytes:
        return self.payer if self.kind is Kind.SALE else self.payee

    @property
    def sam(self) -> bytes:
        return self.payee if self.kind is Kind.SALE else self.payer

    @property
    def asked(self) -> Request:
        """The payee's Request; it is there from ASKED on."""
        if self.request is None:
            raise ValueError(f"transfer {self.k} has no Request")
        return parse(Request, self.request).message


COLUMNS = (
    'k, kind, payer, epoch, n, payee, amount, "order", order_hash, original, state, request, voucher, voucher_hash, '
    'receipt, refusal, reason, "left", asked_ms, decided_ms, acknowledged, told, verdicts, announced'
)


def transfer_of_row(row: Any) -> Transfer:
    """A row of `transfers` that was read with COLUMNS."""
    return Transfer(
        k=row[0],
        plan=Plan(
            kind=Kind(row[1]),
            payer=row[2],
            epoch=row[3],
            n=row[4],
            payee=row[5],
            amount=row[6],
            order=row[7],
            order_hash=row[8],
            original=row[9],
        ),
        state=TransferState(row[10]),
        request=row[11],
        voucher=row[12],
        voucher_hash=row[13],
        receipt=row[14],
        refusal=row[15],
        reason=row[16],
        left=row[17],
        asked_ms=row[18],
        decided_ms=row[19],
        acknowledged=bool(row[20]),
        told=Told(row[21]),
        verdicts=row[22],
        announced=bool(row[23]),
    )
