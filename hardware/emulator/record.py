"""The state record of the card: what one commit makes durable, as a byte string of fixed size.

    offset  bytes  content
         0      1  version of this layout
         1      1  life cycle
         2      1  PIN tries left
         3      1  suite of the key pair; 0 before there is one
         4      6  bank in force of each object of STORE DATA: 0 none, 1 or 2
        10     16  epoch, next n, next k, n_acked (4 each)
        26     48  in, out, reversed, out_acked, in_acked, unverified (8 each, fen)
        74      4  states of the 16 voucher slots, 2 bits each, the first slot lowest
        78      2  states of the 8 entries of the table of Requests, likewise

The bytes that the states speak of (vouchers, Requests, answers, certificates, keys) lie in areas of their own, written
before the commit that makes them count: a torn copy leaves rubbish that no state points to.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Final

from hardware.instructions import Store
from wallet_core.errors import StorageError
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, EntryState, Lifecycle, PurseState, SlotState
from wallet_core.suites import Suite

VERSION: Final = 1
BANKS: Final = (1, 2)
_FORMAT: Final = struct.Struct(">BBBB6s4I6QIH")
RECORD_SIZE: Final = _FORMAT.size


class RecordError(StorageError):
    """A valid journal record that no version of this card has written: it does not start, and guesses nothing."""

    code = "card-record"
    default_next_step = "The card image is damaged or of another version; make a new card."


def _no_objects() -> dict[Store, int]:
    return dict.fromkeys(Store, 0)


@dataclass(frozen=True, slots=True)
class CardRecord:
    """`purse`: the whole state, with the content of slots and entries; `objects`: the bank in force of each object.

    `suite`: of the key pair, once there is one; everything in the areas is of it.
    """

    purse: PurseState = field(default_factory=PurseState)
    has_key: bool = False
    objects: dict[Store, int] = field(default_factory=_no_objects)
    suite: Suite = Suite.ES256

    def has(self, *wanted: Store) -> bool:
        return all(self.objects[one] for one in wanted)

    def with_object(self, target: Store, bank: int) -> CardRecord:
        return replace(self, objects={**self.objects, target: bank})

    def to_bytes(self) -> bytes:
        purse = self.purse
        return _FORMAT.pack(
            VERSION,
            purse.lifecycle,
            purse.pin_tries,
            self.suite if self.has_key else 0,
            bytes(self.objects[one] for one in Store),
            purse.epoch,
            purse.next_n,
            purse.next_k,
            purse.n_acked,
            purse.total_in,
            purse.total_out,
            purse.total_reversed,
            purse.out_acked,
            purse.in_acked,
            purse.unverified,
            _pack_states([slot.state for slot in purse.slots]),
            _pack_states([entry.state for entry in purse.table]),
        )


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A record as it is read: the states of slots and entries, whose content the caller fetches from the areas."""

    record: CardRecord
    slot_states: tuple[SlotState, ...]
    entry_states: tuple[EntryState, ...]


def read_record(payload: bytes) -> Skeleton:
    """Parse; raises RecordError for anything that `CardRecord.to_bytes` does not write."""
    if len(payload) != RECORD_SIZE:
        raise RecordError(f"a record has {RECORD_SIZE} bytes, not {len(payload)}")
    version, lifecycle, pin_tries, suite, banks, *numbers, slots, table = _FORMAT.unpack(payload)
    if version != VERSION or suite not in (0, *Suite) or any(bank not in (0, *BANKS) for bank in banks):
        raise RecordError("the record is of another version of this card")
    epoch, next_n, next_k, n_acked, total_in, total_out, total_reversed, out_acked, in_acked, unverified = numbers
    try:
        purse = PurseState(
            lifecycle=Lifecycle(lifecycle),
            epoch=epoch,
            next_n=next_n,
            next_k=next_k,
            total_in=total_in,
            total_out=total_out,
            total_reversed=total_reversed,
            out_acked=out_acked,
            in_acked=in_acked,
            n_acked=n_acked,
            unverified=unverified,
            pin_tries=pin_tries,
        )
    except ValueError as exc:
        raise RecordError("the record has a life-cycle state that is not known here") from exc
    objects = dict(zip(Store, banks, strict=True))
    return Skeleton(
        CardRecord(purse, bool(suite), objects, Suite(suite or Suite.ES256)),
        tuple(SlotState(code) for code in _unpack_states(slots, SLOT_COUNT)),
        tuple(EntryState(code) for code in _unpack_states(table, TABLE_SIZE)),
    )


def _pack_states(states: list[SlotState] | list[EntryState]) -> int:
    packed = 0
    for index, state in enumerate(states):
        packed |= state << 2 * index
    return packed


def _unpack_states(packed: int, count: int) -> list[int]:
    return [packed >> 2 * index & 0b11 for index in range(count)]
