"""What a purse tells about itself: the FCI of SELECT and the data objects of GET DATA (docs/spec/apdu.md).

Both ends are here: the card encodes, the host decodes. All numbers are big-endian and of fixed size.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wallet_core.errors import NotCanonicalError, OutOfRangeError, OversizedError, TruncatedError, WrongTypeError
from wallet_core.ids import ID_SIZE
from wallet_core.purse.state import SLOT_COUNT, Lifecycle, PurseState, SlotState

AID: Final = bytes.fromhex("F045434E595701")
SERIAL_SIZE: Final = 8


class Tag(IntEnum):
    """P1-P2 of GET DATA."""

    PURSE_CERTIFICATE = 0x7F21
    OPERATOR_CERTIFICATE = 0x7F22
    AUTHORITY_CERTIFICATE = 0x7F23
    POLICY = 0xDF01
    TOTALS = 0xDF02
    SLOTS = 0xDF03
    SERIAL = 0xDF04


class FciTag(IntEnum):
    """Data objects of the file control information (ISO/IEC 7816-4, clause 7.4.3); C0 to C9 are this applet's own."""

    FCI = 0x6F
    AID = 0x84
    PROPRIETARY = 0xA5
    LIFECYCLE = 0xC0
    PURSE_ID = 0xC1
    EPOCH = 0xC2
    NEXT_N = 0xC3
    NEXT_K = 0xC4
    BALANCE = 0xC5
    FREE = 0xC6
    PIN_TRIES = 0xC7
    POLICY_VERSION = 0xC8
    PAYEE_THRESHOLD = 0xC9


FCI_SIZES: Final = {
    FciTag.LIFECYCLE: 1,
    FciTag.PURSE_ID: ID_SIZE,
    FciTag.EPOCH: 4,
    FciTag.NEXT_N: 4,
    FciTag.NEXT_K: 4,
    FciTag.BALANCE: 8,
    FciTag.FREE: 2,
    FciTag.PIN_TRIES: 1,
    FciTag.POLICY_VERSION: 4,
    FciTag.PAYEE_THRESHOLD: 8,
}


def _tlv(tag: int, value: bytes) -> bytes:
    """One BER-TLV object with a tag of one byte and a length below 128 (ISO/IEC 7816-4, clause 6.3)."""
    if len(value) > 0x7F:
        raise OutOfRangeError("a data object of the FCI has at most 127 bytes")
    return bytes((tag, len(value))) + value


def _read_tlvs(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise TruncatedError("a data object of the FCI ends too soon")
        if data[at + 1] > 0x7F:
            raise NotCanonicalError("a data object of the FCI has a long length")
        end = at + 2 + data[at + 1]
        found.append((data[at], data[at + 2 : end]))
        at = end
    return found


@dataclass(frozen=True, slots=True)
class Fci:
    """What SELECT answers. Amounts in fen; `balance` is unsigned information for the display, not a proof.

    `payee_threshold`: above it PAY wants the payee verified by the card. `purse_id` is zeros while blank.
    """

    lifecycle: Lifecycle
    purse_id: bytes
    epoch: int
    next_n: int
    next_k: int
    balance: int
    free_slots: int
    free_entries: int
    pin_tries: int
    policy_version: int
    payee_threshold: int

    def to_bytes(self) -> bytes:
        numbers = {
            FciTag.LIFECYCLE: int(self.lifecycle),
            FciTag.EPOCH: self.epoch,
            FciTag.NEXT_N: self.next_n,
            FciTag.NEXT_K: self.next_k,
            FciTag.BALANCE: self.balance,
            FciTag.FREE: self.free_slots << 8 | self.free_entries,
            FciTag.PIN_TRIES: self.pin_tries,
            FciTag.POLICY_VERSION: self.policy_version,
            FciTag.PAYEE_THRESHOLD: self.payee_threshold,
        }
        inner = b"".join(
            _tlv(tag, self.purse_id if tag is FciTag.PURSE_ID else numbers[tag].to_bytes(size, "big"))
            for tag, size in FCI_SIZES.items()
        )
        return _tlv(FciTag.FCI, _tlv(FciTag.AID, AID) + _tlv(FciTag.PROPRIETARY, inner))

    @classmethod
    def from_bytes(cls, data: bytes) -> Fci:
        """Parse; raises a CodecError for another applet, a missing, repeated or misplaced object."""
        outer = _read_tlvs(data)
        if [tag for tag, _ in outer] != [FciTag.FCI]:
            raise WrongTypeError("the answer to SELECT is no file control information")
        middle = _read_tlvs(outer[0][1])
        if [tag for tag, _ in middle] != [FciTag.AID, FciTag.PROPRIETARY] or middle[0][1] != AID:
            raise WrongTypeError("the file control information is not of this applet")
        inner = _read_tlvs(middle[1][1])
        if [(tag, len(value)) for tag, value in inner] != [(int(tag), size) for tag, size in FCI_SIZES.items()]:
            raise NotCanonicalError("the file control information has not the objects C0 to C9 in their order")
        values = {FciTag(tag): value for tag, value in inner}
        numbers = {tag: int.from_bytes(value, "big") for tag, value in values.items()}
        return cls(
            lifecycle=_lifecycle(numbers[FciTag.LIFECYCLE]),
            purse_id=values[FciTag.PURSE_ID],
            epoch=numbers[FciTag.EPOCH],
            next_n=numbers[FciTag.NEXT_N],
            next_k=numbers[FciTag.NEXT_K],
            balance=numbers[FciTag.BALANCE],
            free_slots=numbers[FciTag.FREE] >> 8,
            free_entries=numbers[FciTag.FREE] & 0xFF,
            pin_tries=numbers[FciTag.PIN_TRIES],
            policy_version=numbers[FciTag.POLICY_VERSION],
            payee_threshold=numbers[FciTag.PAYEE_THRESHOLD],
        )


def _lifecycle(code: int) -> Lifecycle:
    try:
        return Lifecycle(code)
    except ValueError as exc:
        raise OutOfRangeError(f"life-cycle state {code} is not known here") from exc


_MONEY: Final = 8
_COUNTER: Final = 4


@dataclass(frozen=True, slots=True)
class Totals:
    """Data object DF02: six sums in fen, then four counters."""

    total_in: int
    total_out: int
    total_reversed: int
    out_acked: int
    in_acked: int
    unverified: int
    epoch: int
    next_n: int
    next_k: int
    n_acked: int

    @property
    def balance(self) -> int:
        return self.total_in + self.total_reversed - self.total_out

    @classmethod
    def of(cls, state: PurseState) -> Totals:
        return cls(
            state.total_in,
            state.total_out,
            state.total_reversed,
            state.out_acked,
            state.in_acked,
            state.unverified,
            state.epoch,
            state.next_n,
            state.next_k,
            state.n_acked,
        )

    def to_bytes(self) -> bytes:
        sums = (
            self.total_in,
            self.total_out,
            self.total_reversed,
            self.out_acked,
            self.in_acked,
            self.unverified,
        )
        counters = (self.epoch, self.next_n, self.next_k, self.n_acked)
        return b"".join(v.to_bytes(_MONEY, "big") for v in sums) + b"".join(
            v.to_bytes(_COUNTER, "big") for v in counters
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Totals:
        """Parse; raises a CodecError for another length."""
        sizes = (_MONEY,) * 6 + (_COUNTER,) * 4
        exact_size(data, sum(sizes), "the totals")
        values, at = [], 0
        for size in sizes:
            values.append(int.from_bytes(data[at : at + size], "big"))
            at += size
        return cls(*values)


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """One voucher slot as anyone may see it: its state and counter, no payee and no amount."""

    state: SlotState
    n: int


def slots_to_bytes(state: PurseState) -> bytes:
    """Data object DF03."""
    return b"".join(bytes((slot.state,)) + slot.n.to_bytes(_COUNTER, "big") for slot in state.slots)


def slots_from_bytes(data: bytes) -> tuple[SlotStatus, ...]:
    """Parse data object DF03; raises a CodecError."""
    width = 1 + _COUNTER
    exact_size(data, SLOT_COUNT * width, "the slots")
    try:
        return tuple(
            SlotStatus(SlotState(data[at]), int.from_bytes(data[at + 1 : at + width], "big"))
            for at in range(0, len(data), width)
        )
    except ValueError as exc:
        raise OutOfRangeError("a slot has a state that is not known here") from exc


def exact_size(data: bytes, size: int, what: str) -> bytes:
    """Return `data` if it has `size` bytes; raises TruncatedError or OversizedError."""
    if len(data) < size:
        raise TruncatedError(f"{what}: {len(data)} bytes, not {size}")
    if len(data) > size:
        raise OversizedError(f"{what}: {len(data)} bytes, not {size}")
    return data
