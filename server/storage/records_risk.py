"""Records about dishonest and lost parties. Amounts in fen, times in seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class PurseStatus(IntEnum):
    """Where a purse or till stands; the numbers from 1 are the reasons of a RevocationList."""

    ACTIVE = 0
    FROZEN = 1
    REVOKED = 2
    REPLACED = 3
    DEAD = 4

    @property
    def rank(self) -> int:
        """A standing only moves to a higher rank: nothing that is known about a party is forgotten."""
        return (
            PurseStatus.ACTIVE,
            PurseStatus.FROZEN,
            PurseStatus.REPLACED,
            PurseStatus.DEAD,
            PurseStatus.REVOKED,
        ).index(self)


@dataclass(frozen=True, slots=True)
class StandingRecord:
    """`why`: one line for the operator; `change`: the number of this change among all."""

    id: bytes
    status: PurseStatus
    why: str
    at: int
    change: int


@dataclass(frozen=True, slots=True)
class DeficitRecord:
    """`lost`: fen that `loss` has paid for one card; `moves`: how often that changed without a voucher."""

    lost: int = 0
    moves: int = 0


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """Two signed messages of `payer` (id) under one counter: vouchers, or a voucher and a report."""

    payer: bytes
    certificate: bytes
    epoch: int
    n: int
    first: bytes
    second: bytes


@dataclass(frozen=True, slots=True)
class TwoOutcomesRecord:
    """A payee's signed Receipt and Refusal of one Request, and the voucher that links them."""

    request_hash: bytes
    culprit: bytes
    receipt: bytes
    refusal: bytes
    voucher: bytes


@dataclass(frozen=True, slots=True)
class SpendingRecord:
    """A purse that has deficits or waiting vouchers: fen that it has signed away, what is left of its proved inflow,
    what `loss` has paid for it, what waits."""

    payer: bytes
    spent: int
    left: int
    lost: int
    waiting: int

    @property
    def overspent(self) -> int:
        """Fen spent beyond what it is proved to have received; not above 0 when all is explained."""
        return self.waiting + self.lost - self.left

    @property
    def received(self) -> int:
        return self.spent - self.overspent


@dataclass(frozen=True, slots=True)
class RefundRecord:
    """What was given back for a lost card; `destination`: the replacement's id, None for the holder himself."""

    amount: int
    destination: bytes | None
    at: int


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A till whose place another till of the same merchant has taken."""

    number: int
    id: bytes
    certificate: bytes
