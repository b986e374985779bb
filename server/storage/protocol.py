"""What a storage offers to the services: one Protocol for each feature, joined into a Reader and a Writer.

A service opens `reading()` or `writing()`; leaving `writing()` normally commits, durably, everything or nothing; an
exception rolls back. One writer works at a time; readers see the last commit. A disk or database that refuses raises
StorageError, after which nothing of that transaction is there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from server.ledger.accounts import Account, AccountKind, TransferKind
from server.storage.protocol_endings import EndingReader, EndingWriter
from server.storage.protocol_risk import RiskReader, RiskWriter
from server.storage.records import (
    BatchRecord,
    CodeRecord,
    LedgerCheck,
    LoadRecord,
    MerchantRecord,
    OperatorPurseRecord,
    PurseRecord,
    SettledVoucher,
    TillRecord,
    VoucherRecord,
    VoucherRow,
)


class PartyReader(Protocol):
    def purse(self, purse_id: bytes) -> PurseRecord | None: ...
    def purse_by_serial(self, serial: bytes) -> PurseRecord | None: ...
    def purse_by_number(self, number: int) -> PurseRecord | None: ...
    def purses(self, purse_ids: Collection[bytes]) -> list[PurseRecord]:
        """Those of `purse_ids` that are known, in no order."""
        ...

    def merchant(self, merchant_id: str) -> MerchantRecord | None: ...
    def till(self, till_id: bytes) -> TillRecord | None: ...
    def code(self, digest: bytes) -> CodeRecord | None: ...


class PartyWriter(PartyReader, Protocol):
    def add_purse(
        self, purse_id: bytes, certificate: bytes, serial: bytes | None, *, now: int, merchant: str | None = None
    ) -> PurseRecord:
        """With its two accounts, both at 0; a merchant's purse unloads to the wallet of `merchant`."""
        ...

    def add_merchant(self, merchant_id: str, name: str, *, now: int) -> MerchantRecord:
        """With a wallet at 0."""
        ...

    def add_code(self, digest: bytes, merchant: str, *, expires: int) -> None: ...
    def add_till(self, till_id: bytes, certificate: bytes, merchant: str, code_digest: bytes, *, now: int) -> None:
        """Enrol a till and use up its code, together."""
        ...


class LoadReader(Protocol):
    def operator_purse(self) -> OperatorPurseRecord | None: ...
    def load(self, load_id: str) -> LoadRecord | None: ...
    def load_by_key(self, key_digest: bytes) -> LoadRecord | None: ...
    def load_by_voucher(self, voucher_hash: bytes) -> LoadRecord | None: ...
    def load_by_request(self, card: bytes, request_hash: bytes) -> LoadRecord | None:
        """The load that was paid for this Request."""
        ...

    def reversed_loads(self) -> int:
        """Fen of all loads that came back to the operator's purse."""
        ...

    def pending_loads(self, card: bytes) -> list[LoadRecord]:
        """Paid to this card, neither collected nor refused; oldest first."""
        ...

    def paid_loads(self, card: bytes) -> list[LoadRecord]:
        """All that were paid to this card, whatever became of them; oldest first."""
        ...


class LoadWriter(LoadReader, Protocol):
    def add_operator_purse(self, purse_id: bytes, epoch: int) -> None:
        """The operator's purse with its account at 0 and next counter 1."""
        ...

    def add_issuance(self, issuance_hash: bytes, serial: int, raw: bytes) -> None: ...
    def last_issuance(self) -> int:
        """The serial of the last issuance, 0 before the first."""
        ...

    def has_issuance(self, issuance_hash: bytes) -> bool: ...
    def add_load(self, load: LoadRecord, *, now: int) -> None: ...
    def pay_load(self, load_id: str, request_hash: bytes, voucher: bytes, voucher_hash: bytes) -> None:
        """Store the voucher's payload and use up the operator purse's counter."""
        ...

    def collect_load(self, load_id: str, receipt: bytes | None) -> None:
        """With its signed Receipt, or without where only a report says so: the Receipt may follow, once."""
        ...

    def reverse_load(self, load_id: str) -> None:
        """Once."""
        ...


class DepositReader(Protocol):
    def batch(self, key: int) -> BatchRecord | None: ...
    def voucher(self, payer: int, epoch: int, n: int) -> VoucherRecord | None: ...
    def vouchers_of_request(self, till: int, prefix: int) -> list[VoucherRecord]:
        """This till's whose H(Request) begins with `prefix` (`request_prefix`): a short list to look through."""
        ...

    def refused_requests(self, tills: Collection[int]) -> frozenset[bytes]:
        """H(Request) of everything that these tills have refused or that was closed for them."""
        ...

    def headroom(self, card_accounts: Collection[int]) -> dict[int, int]:
        """For each card account: fen the card is proved to have received less what is settled, that is, its shadow and
        what is in flight to it."""
        ...

    def shadow(self, card_account: int) -> int:
        """Fen that the purse is proved to have collected less what it is known to have paid; nothing in flight."""
        ...

    def is_overdrawn(self, card_accounts: Collection[int]) -> bool:
        """Whether any of these has paid more than its headroom. Vouchers between purses may come before the proof of
        what they were paid from, so that a committed state can show it; a deposit never makes it so."""
        ...

    def evidence_count(self) -> int: ...


class DepositWriter(DepositReader, Protocol):
    def add_batch(self, key: int, record: BatchRecord, *, now: int) -> None:
        """Store the batch and move the head of its till's chain to it."""
        ...

    def add_vouchers(self, rows: Iterable[VoucherRow]) -> int:
        """Insert those whose (payer, epoch, n) is new; how many that were."""
        ...

    def add_refusal(self, till: int, request_hash: bytes, raw: bytes) -> None: ...
    def add_evidence(self, payer: int, epoch: int, n: int, first: bytes, second: bytes, second_hash: bytes) -> None:
        """Two vouchers with one counter; the same pair again is kept once."""
        ...


class LedgerReader(Protocol):
    def accounts(self) -> list[Account]: ...
    def account(self, kind: AccountKind, owner: str = "") -> Account: ...
    def settled(self) -> Iterator[SettledVoucher]: ...
    def recount(self) -> LedgerCheck:
        """Recount the books from the postings; every number is 0 in sound books."""
        ...


class LedgerWriter(LedgerReader, Protocol):
    def add_transfer(self, kind: TransferKind, reference: bytes, entries: Mapping[int, int], *, now: int) -> None:
        """Append postings {account number: fen} that sum to zero; the database itself refuses others, and a second
        transfer of this kind and reference. Raises StorageError."""
        ...


class Reader(PartyReader, LoadReader, DepositReader, EndingReader, RiskReader, LedgerReader, Protocol):
    """Everything that can be read, as of one moment."""


class Writer(Reader, PartyWriter, LoadWriter, DepositWriter, EndingWriter, RiskWriter, LedgerWriter, Protocol):
    """Everything that can be read or written in one transaction."""


class Storage(Protocol):
    """A database of the server. Safe to use from several threads; services know no more of it than this."""

    def reading(self) -> AbstractContextManager[Reader]: ...
    def writing(self) -> AbstractContextManager[Writer]: ...
    def probe(self) -> None:
        """Make one small durable write; raises StorageError when the disk or database refuses."""
        ...

    def close(self) -> None: ...
