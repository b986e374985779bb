"""What a purse remembers. Totals only grow; the balance follows from them: in + reversed - out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from wallet_core.certificates import CertificateClass
from wallet_core.ids import COUNTER_MAX

SLOT_COUNT = 16  # as many vouchers as may be unacknowledged; at least the policy's offline count
TABLE_SIZE = 8  # Requests of this purse that are open or final and not yet acknowledged by a grant
PIN_TRIES = 3


class Lifecycle(IntEnum):
    """One way: blank → personalised → active → blocked → terminated (docs/spec/transfer.md, *Life cycle*)."""

    BLANK = 0
    PERSONALISED = 1
    ACTIVE = 2
    BLOCKED = 3
    TERMINATED = 4


class SlotState(IntEnum):
    """A voucher slot of the payer; PENDING goes once to COLLECTED or REVERSED."""

    FREE = 0
    PENDING = 1
    COLLECTED = 2
    REVERSED = 3


class EntryState(IntEnum):
    """An entry in the payee's table of Requests; OPEN goes once to COLLECTED or REFUSED. Not in the table is CLOSED."""

    FREE = 0
    OPEN = 1
    COLLECTED = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """One voucher slot: counter, H(Request), payee id, the stored COSE bytes, amount (fen) and H(Voucher)."""

    state: SlotState = SlotState.FREE
    n: int = 0
    request_hash: bytes = b""
    payee: bytes = b""
    voucher: bytes = b""
    amount: int = 0
    voucher_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the table of Requests. `request`: signed bytes; `answer`: signed Receipt or Refusal, once final.

    `payer_class`: of the certificate that REQUEST came with and this purse has verified; None without one.
    """

    state: EntryState = EntryState.FREE
    k: int = 0
    amount: int = 0
    request_hash: bytes = b""
    request: bytes = b""
    voucher_hash: bytes = b""
    answer: bytes = b""
    payer_class: CertificateClass | None = None

    @property
    def is_final(self) -> bool:
        return self.state in (EntryState.COLLECTED, EntryState.REFUSED)


@dataclass(frozen=True, slots=True)
class PurseState:
    """The whole state; amounts in fen. `next_n`, `next_k`: the next counters, from 1.

    `out_acked`, `in_acked`, `n_acked`: outflow, inflow and next counter up to which a grant has acknowledged.
    `unverified`: fen paid without a PIN since the last verified one.
    """

    lifecycle: Lifecycle = Lifecycle.BLANK
    epoch: int = 1
    next_n: int = 1
    next_k: int = 1
    total_in: int = 0
    total_out: int = 0
    total_reversed: int = 0
    out_acked: int = 0
    in_acked: int = 0
    n_acked: int = 1
    unverified: int = 0
    pin_tries: int = PIN_TRIES
    slots: tuple[Slot, ...] = field(default_factory=lambda: (Slot(),) * SLOT_COUNT)
    table: tuple[Entry, ...] = field(default_factory=lambda: (Entry(),) * TABLE_SIZE)

    @property
    def balance(self) -> int:
        """Fen in the purse: in + reversed - out."""
        return self.total_in + self.total_reversed - self.total_out

    @property
    def exposure(self) -> int:
        """Fen paid since the last acknowledged grant; a reversal does not lower it (rule 14)."""
        return self.total_out - self.out_acked

    @property
    def payments_since_grant(self) -> int:
        return self.next_n - self.n_acked

    @property
    def open_amount(self) -> int:
        """Headroom reserved by OPEN Requests, fen."""
        return sum(entry.amount for entry in self.table if entry.state is EntryState.OPEN)

    @property
    def counters_exhausted(self) -> bool:
        return self.next_n > COUNTER_MAX or self.next_k > COUNTER_MAX

    def free_slot(self) -> int | None:
        """Index of the first free voucher slot."""
        return next((i for i, slot in enumerate(self.slots) if slot.state is SlotState.FREE), None)

    def free_entry(self) -> int | None:
        """Index of the first free entry of the table."""
        return next((i for i, entry in enumerate(self.table) if entry.state is EntryState.FREE), None)
