"""The messages that end a transfer when no Receipt came back to the payer: report, grant, order, closing.

A Report says what a purse holds; a Grant acknowledges it; a ReversalOrder gives a debit back; a Closing says for an
account payee what a Refusal says for a purse (docs/spec/transfer.md, *Endings*). Slots and entries travel as one byte
string of fixed size, so that these messages, too, have one length and constant offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from wallet_core.errors import OutOfRangeError
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.messages.layout import FixedMessage, MessageType, money, octets, small, unsigned

SLOTS: Final = 16  # lines of a report and of a grant: as many as a purse has slots
ENTRIES: Final = 8  # likewise for the table of Requests

_LINE = struct.Struct(">IB32s")
_OUTCOME = struct.Struct(">IB")
_NUMBER = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class SlotLine:
    """A voucher slot that is not free: counter n, its state (1 pending, 2 collected, 3 reversed), H(Voucher)."""

    n: int
    state: int
    voucher_hash: bytes


@dataclass(frozen=True, slots=True)
class EntryLine:
    """An entry of the table that is not free: k, its state (1 open, 2 collected, 3 refused), and H(Voucher) where it
    is collected, else H(Request)."""

    k: int
    state: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the operator knows about the voucher with counter n: 2 collected, 3 reversed."""

    n: int
    state: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversalOrder(FixedMessage):
    """By the payer's operator: slot n with this voucher goes from PENDING to REVERSED.

    `report_hash`: H of the Report that showed the slot PENDING.
    """

    TYPE: ClassVar[MessageType] = MessageType.REVERSAL_ORDER
    payer: bytes = octets(2, ID_SIZE)
    epoch: int = unsigned(3)
    n: int = unsigned(4)
    voucher_hash: bytes = octets(12, HASH_SIZE)
    report_hash: bytes = octets(20, HASH_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(FixedMessage):
    """By a purse: its totals (fen), counters, life cycle, and every slot and entry that is not free."""

    TYPE: ClassVar[MessageType] = MessageType.REPORT
    purse: bytes = octets(2, ID_SIZE)
    epoch: int = unsigned(3)
    next_n: int = unsigned(4)
    next_k: int = unsigned(6)
    policy_version: int = unsigned(10)
    total_in: int = money(13)
    total_out: int = money(14)
    total_reversed: int = money(15)
    out_acked: int = money(16)
    in_acked: int = money(17)
    slots: bytes = octets(18, SLOTS * _LINE.size)
    entries: bytes = octets(19, ENTRIES * _LINE.size)
    lifecycle: int = small(21, most=4)

    @property
    def balance(self) -> int:
        """Fen in the purse: in + reversed - out."""
        return self.total_in + self.total_reversed - self.total_out

    @property
    def slot_lines(self) -> tuple[SlotLine, ...]:
        return tuple(SlotLine(*line) for line in _lines(self.slots))

    @property
    def entry_lines(self) -> tuple[EntryLine, ...]:
        return tuple(EntryLine(*line) for line in _lines(self.entries))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant(FixedMessage):
    """By the purse's operator: what it has seen. The purse takes the maximum of old and new: a replay is harmless.

    `n_acked`: next counter, and `out_acked`, `in_acked`: outflow and inflow (fen) up to which payments count as seen.
    `policy_version`: the least that the purse must have. `outcomes`: final outcomes of slots; `closed`: final entries
    that the purse may forget.
    """

    TYPE: ClassVar[MessageType] = MessageType.GRANT
    purse: bytes = octets(2, ID_SIZE)
    epoch: int = unsigned(3)
    n_acked: int = unsigned(4)
    policy_version: int = unsigned(10)
    out_acked: int = money(16)
    in_acked: int = money(17)
    outcomes: bytes = octets(18, SLOTS * _OUTCOME.size)
    closed: bytes = octets(19, ENTRIES * _NUMBER.size)
    report_hash: bytes = octets(20, HASH_SIZE)

    @property
    def slot_outcomes(self) -> dict[int, int]:
        """Counter n → 2 collected, 3 reversed."""
        return {n: state for n, state in _OUTCOME.iter_unpack(self.outcomes) if n}

    @property
    def closed_entries(self) -> frozenset[int]:
        """Counters k of the final entries."""
        return frozenset(k for (k,) in _NUMBER.iter_unpack(self.closed) if k)


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing(FixedMessage):
    """By an account payee's operator: this Request is closed without a deposit; no voucher of it will be credited."""

    TYPE: ClassVar[MessageType] = MessageType.CLOSING
    operator: bytes = octets(2, ID_SIZE)
    payee: bytes = octets(5, ID_SIZE)
    request_hash: bytes = octets(9, HASH_SIZE)


def pack_slots(lines: Iterable[SlotLine]) -> bytes:
    """The slots of a report: 16 lines of 37 bytes, those that are free last and zero; raises OutOfRangeError."""
    return _pack(b"".join(_LINE.pack(line.n, line.state, line.voucher_hash) for line in lines), SLOTS * _LINE.size)


def pack_entries(lines: Iterable[EntryLine]) -> bytes:
    """The entries of a report: 8 lines of 37 bytes."""
    return _pack(b"".join(_LINE.pack(line.k, line.state, line.hash) for line in lines), ENTRIES * _LINE.size)


def pack_outcomes(outcomes: Iterable[Outcome]) -> bytes:
    """The outcomes of a grant: 16 lines of 5 bytes."""
    return _pack(b"".join(_OUTCOME.pack(one.n, one.state) for one in outcomes), SLOTS * _OUTCOME.size)


def pack_closed(numbers: Iterable[int]) -> bytes:
    """The closed entries of a grant: 8 counters of 4 bytes."""
    return _pack(b"".join(_NUMBER.pack(k) for k in numbers), ENTRIES * _NUMBER.size)


def _pack(content: bytes, size: int) -> bytes:
    if len(content) > size:
        raise OutOfRangeError(f"{len(content)} bytes of lines, where {size} are the most")
    return content.ljust(size, b"\0")


def _lines(content: bytes) -> Iterable[tuple[int, int, bytes]]:
    return (line for line in _LINE.iter_unpack(content) if line[0])
