"""What the storage keeps, as frozen records without database types. Amounts in fen, times in seconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from server.storage.records_risk import Predecessor


@dataclass(frozen=True, slots=True)
class PurseRecord:
    """A purse that can pay. `number`: the storage's own; its two accounts: its shadow and what is in flight to it."""

    number: int
    id: bytes
    certificate: bytes
    serial: bytes | None
    card_account: int
    flight_account: int
    merchant: str | None = None  # whose wallet an unload goes to: a merchant's purse has one


@dataclass(frozen=True, slots=True)
class MerchantRecord:
    id: str
    name: str
    wallet: int


@dataclass(frozen=True, slots=True)
class CodeRecord:
    """A one-time enrolment code by its keyed digest; `till`: the id that used it."""

    digest: bytes
    merchant: str
    expires: int
    till: bytes | None


@dataclass(frozen=True, slots=True)
class TillRecord:
    """An account payee, with the head of its chain of batches and the tills whose place it has taken, newest first."""

    number: int
    id: bytes
    certificate: bytes
    merchant: str
    wallet: int
    last_number: int
    last_hash: bytes
    predecessors: tuple[Predecessor, ...] = ()

    def payee(self, till_id: bytes) -> bytes | None:
        """The certificate under which this till takes what is made out to `till_id`: its own or a predecessor's."""
        if till_id == self.id:
            return self.certificate
        return next((one.certificate for one in self.predecessors if one.id == till_id), None)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Its own and its predecessors'."""
        return (self.number, *(one.number for one in self.predecessors))


@dataclass(frozen=True, slots=True)
class OperatorPurseRecord:
    """The operator's purse: what it has spent is `next_n`, what it has is the balance of its account.

    `total_out`: fen that it has paid in this epoch.
    """

    id: bytes
    epoch: int
    next_n: int
    account: int
    balance: int
    total_out: int = 0


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """A load. `n`: the counter that was next when it was asked for; the paid fields are set once, the Receipt once."""

    id: str
    key_digest: bytes
    card: bytes
    amount: int
    order_hash: bytes
    payer: bytes
    epoch: int
    n: int
    request_hash: bytes | None = None
    voucher: bytes | None = None  # the payload; signing it again gives the same bytes
    voucher_hash: bytes | None = None
    receipt: bytes | None = None
    is_collected: bool = False  # a Receipt or a report of the card says so
    is_reversed: bool = False  # the card has refused its Request

    @property
    def paid(self) -> bool:
        return self.voucher is not None


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch as it came and as it was answered."""

    hash: bytes
    raw: bytes
    answer: bytes


class VoucherState(IntEnum):
    """What became of a genuine voucher; those up to 9 are also a `DepositStatus`."""

    SETTLED = 0
    REFUSED = 7
    EQUIVOCATION = 8  # not credited, beside another one with its counter
    REVIEW = 9  # not credited, beyond what its payer is proved to have received
    OPEN = 10  # for a purse that has said neither that it collected nor that it refused
    UNLOADING = 11  # made out to the operator's purse: not covered yet by what the payer is proved to have received
    UNLOADED = 12  # paid out

    @property
    def charged(self) -> bool:
        """Whether its amount has left the payer's shadow, or `loss` in its place."""
        return self in (VoucherState.SETTLED, VoucherState.OPEN, VoucherState.UNLOADED)


# payer number, epoch, n, H(Voucher), amount, first 8 bytes of H(Request) as a number, batch key, VoucherState
VoucherRow = tuple[int, int, int, bytes, int, int, int, int]


@dataclass(frozen=True, slots=True)
class VoucherRecord:
    """A genuine voucher. Its bytes are in the batch with key `batch`, or among the loose ones where no batch brought
    it: then the batch number in the key is 0, and for a purse the key is negative (`purse_key`).

    `rival`: another voucher with its counter was there before.
    """

    payer: int
    epoch: int
    n: int
    hash: bytes
    amount: int
    batch: int
    state: VoucherState
    rival: bool = False

    @property
    def till(self) -> int | None:
        """Number of the account payee that it is credited to; None for a purse."""
        return self.batch >> 32 if self.batch > 0 else None

    @property
    def payee_purse(self) -> int | None:
        """Number of the payee where it is a purse."""
        return -(self.batch >> 32) if self.batch < 0 else None


@dataclass(frozen=True, slots=True)
class SettledVoucher:
    """A line of the report on what was credited."""

    payer: bytes
    epoch: int
    n: int
    amount: int
    hash: bytes
    merchant: str


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """What the database finds when it recounts: each number is 0 in sound books."""

    total: int  # sum of all balances
    unbalanced_transfers: int  # transfers whose postings do not sum to zero
    wrong_balances: int  # accounts whose balance is not the sum of its postings
    unbacked_settlements: int  # fen settled voucher by voucher less fen moved by deposits


def batch_key(till_number: int, batch_number: int) -> int:
    """One number for one batch: the till's in the upper half, the batch's in the lower 32 bits."""
    return till_number << 32 | batch_number


def purse_key(purse_number: int) -> int:
    """In the place of a batch's key: the payee is a purse, and no batch brought its voucher."""
    return -purse_number << 32


def request_prefix(request_hash: bytes) -> int:
    """The first 8 bytes of H(Request) as a signed 64-bit number: a short index; a hit is always checked in full."""
    return int.from_bytes(request_hash[:8], "big", signed=True)
