"""What a storage offers for dishonest and lost parties; joined into Reader and Writer by `protocol`."""

from __future__ import annotations

from typing import Protocol

from server.storage.records import TillRecord, VoucherRecord, VoucherRow, VoucherState
from server.storage.records_risk import (
    DeficitRecord,
    EvidenceRecord,
    PurseStatus,
    RefundRecord,
    SpendingRecord,
    StandingRecord,
    TwoOutcomesRecord,
)


class RiskReader(Protocol):
    def standing(self, party: bytes) -> StandingRecord | None:
        """None for a party in good standing, or unknown."""
        ...

    def standings(self) -> list[StandingRecord]:
        """All that are not ACTIVE, in the order in which they changed last."""
        ...

    def till_by_number(self, number: int) -> TillRecord | None: ...
    def rivals(self, payer: int, epoch: int, n: int) -> list[VoucherRecord]:
        """Other genuine vouchers with this counter than the one that `voucher` gives."""
        ...

    def vouchers_of_payer(self, payer: int) -> list[VoucherRecord]:
        """Every genuine voucher of a purse, by epoch, n and hash."""
        ...

    def waiting(self, payer: int | None = None) -> list[VoucherRecord]:
        """Vouchers that are kept and not credited (REVIEW, EQUIVOCATION), by payer, epoch, n and hash."""
        ...

    def refusable_outflow(self, payer: int) -> int:
        """Fen of its vouchers to purses whose Refusal is not here, whether their Receipt is or not."""
        ...

    def deficit(self, payer: int) -> DeficitRecord: ...
    def is_equivocating(self, payer: int) -> bool:
        """Whether two vouchers with one counter, or a voucher and a report that contradicts it, are kept as proof."""
        ...

    def loose_voucher(self, voucher_hash: bytes) -> bytes | None:
        """The signed bytes of a voucher that no batch brought."""
        ...

    def evidence(self) -> list[EvidenceRecord]: ...
    def two_outcomes(self) -> list[TwoOutcomesRecord]: ...
    def has_two_outcomes(self, culprit: bytes) -> bool: ...
    def spending(self) -> list[SpendingRecord]:
        """Of every purse that has a deficit, waiting vouchers or rivals, or spent more than it is proved to have."""
        ...

    def replaced_by(self, purse: int) -> int | None:
        """Number of the purse whose place this one has taken."""
        ...

    def refunds(self, purse: int) -> list[RefundRecord]: ...
    def receipts(self, card: bytes) -> list[bytes]:
        """The card's signed Receipts for its loads."""
        ...


class RiskWriter(RiskReader, Protocol):
    def set_standing(self, party: bytes, status: PurseStatus, why: str, *, now: int) -> None: ...
    def add_rival(self, row: VoucherRow) -> None: ...
    def set_state(self, record: VoucherRecord, state: VoucherState) -> None:
        """Of a voucher or a rival, whichever `record` is."""
        ...

    def set_deficit(self, payer: int, deficit: DeficitRecord) -> None: ...
    def add_loose_voucher(self, voucher_hash: bytes, raw: bytes) -> None:
        """The same one again is kept once."""
        ...

    def add_two_outcomes(self, record: TwoOutcomesRecord) -> None:
        """Another pair for the same Request is not kept."""
        ...

    def supersede(self, till: bytes, predecessor: int) -> None:
        """`till` takes the place of the till with this number."""
        ...

    def replace_purse(self, purse: int, replaced: int) -> None: ...
    def add_refund(self, purse: int, refund: RefundRecord) -> int:
        """The number of this refund among all."""
        ...

    def open_epoch(self, epoch: int) -> None:
        """The operator's purse counts from 1 again, in a new epoch."""
        ...
