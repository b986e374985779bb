"""The card's memory as the applet sees it: one state record that is committed, and areas that a commit makes count.

Order is everything here: an area is written first, while nothing points to it; one commit then makes it count. Objects
that may be replaced (the policy) have two banks, so that the one in force is never written over. An area has room for
the longest content of any suite; what is in it has the size of the card's own, that of its key pair.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from hardware.data_objects import SERIAL_SIZE
from hardware.emulator.flash import Flash, WornCellError
from hardware.emulator.journal import Journal
from hardware.emulator.layout import Layout
from hardware.emulator.record import BANKS, RECORD_SIZE, CardRecord, RecordError, read_record
from hardware.instructions import OBJECTS, Part, Store, size_of
from hardware.secure_channel import KEY_SIZE, StaticKeys
from wallet_core.certificates import CertificateClass
from wallet_core.errors import CodecError
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, Entry, EntryState, Slot, SlotState
from wallet_core.suites import Suite

SCALAR_SIZE: Final = 32
UNVERIFIED: Final = 0xFF  # beside a stored Request: this purse has not verified the payer's certificate
_ANSWERS: Final[dict[EntryState, Part]] = {EntryState.COLLECTED: Receipt, EntryState.REFUSED: Refusal}
_REMEMBERED: Final = 4096  # contents of slots, and as many of entries
_FACTORY: Final = struct.Struct(f">{SERIAL_SIZE}sBBB{KEY_SIZE}s{KEY_SIZE}s")


def _room(*parts: Part) -> int:
    """Bytes of the longest of `parts` in any suite."""
    return max(size_of(part, suite) for part in parts for suite in Suite)


def _bank(target: Store, bank: int) -> str:
    return f"{target.name.lower()} {bank}"


CARD_LAYOUT: Final = Layout(
    payload_size=RECORD_SIZE,
    areas=(
        ("factory", _FACTORY.size),
        ("key", SCALAR_SIZE),
        *((_bank(target, bank), _room(part)) for target, part in OBJECTS.items() for bank in BANKS),
        *((f"slot {index}", _room(Voucher)) for index in range(SLOT_COUNT)),
        *((f"request {index}", _room(Request) + 1) for index in range(TABLE_SIZE)),
        *((f"answer {index}", _room(*_ANSWERS.values())) for index in range(TABLE_SIZE)),
    ),
)
_AREAS: Final = dict(CARD_LAYOUT.named_areas())


@dataclass(frozen=True, slots=True)
class FactoryData:
    """What the card maker writes before the card leaves.

    `serial`: 8 bytes; `subject_class`: what the card will ask to be certified as; `production`: refuses test keys.
    """

    serial: bytes
    subject_class: CertificateClass
    production: bool
    keys: StaticKeys = field(repr=False)

    def to_bytes(self) -> bytes:
        marks = bytes((self.subject_class, self.production, self.keys.version))
        return self.serial + marks + self.keys.enc + self.keys.mac

    @classmethod
    def from_bytes(cls, data: bytes) -> FactoryData:
        """Parse; raises RecordError for what no factory writes."""
        serial, subject_class, production, version, enc, mac = _FACTORY.unpack(data)
        try:
            return cls(serial, CertificateClass(subject_class), bool(production), StaticKeys(enc, mac, version))
        except (ValueError, CodecError) as exc:
            raise RecordError("the factory data of this card are damaged") from exc


class CardMemory:
    """Reads and writes on a powered `flash`; `load` comes first in each power session."""

    def __init__(self, flash: Flash) -> None:
        self._flash = flash
        self._journal = Journal(flash, CARD_LAYOUT)

    def manufacture(self, factory: FactoryData) -> None:
        """Make a blank card of a powered flash; not safe against power cuts (hardware.emulator.journal, `format`)."""
        _AREAS["factory"].write(self._flash, factory.to_bytes())
        self._journal.format(CardRecord().to_bytes())

    def load(self) -> CardRecord:
        """Recover and return the state; raises StorageError when the card is dead, PowerLost at any cell."""
        skeleton = read_record(self._journal.load())
        suite = skeleton.record.suite
        slots = tuple(self._slot(index, state, suite) for index, state in enumerate(skeleton.slot_states))
        table = tuple(self._entry(index, state, suite) for index, state in enumerate(skeleton.entry_states))
        return replace(skeleton.record, purse=replace(skeleton.record.purse, slots=slots, table=table))

    def commit(self, record: CardRecord) -> None:
        """Make `record` the state: all areas that it points to are written before."""
        self._journal.commit(record.to_bytes())

    @property
    def sequence(self) -> int:
        """Number of the present state record: it rises with each commit and each power-up."""
        return self._journal.sequence

    def factory(self) -> FactoryData:
        return FactoryData.from_bytes(_AREAS["factory"].read(self._flash))

    def scalar(self) -> bytes:
        return self._read("key", SCALAR_SIZE)

    def write_scalar(self, scalar: bytes) -> None:
        self._write("key", scalar)

    def object(self, record: CardRecord, target: Store) -> bytes | None:
        """The object in force, or None."""
        bank = record.objects[target]
        return self._read(_bank(target, bank), size_of(OBJECTS[target], record.suite)) if bank else None

    def write_object(self, record: CardRecord, target: Store, content: bytes) -> CardRecord:
        """Write `content` into the bank that is not in force; returns the record to commit."""
        bank = BANKS[1] if record.objects[target] == BANKS[0] else BANKS[0]
        self._write(_bank(target, bank), content)
        return record.with_object(target, bank)

    def write_voucher(self, index: int, signed: bytes) -> bytes:
        """Copy a voucher into a free slot; returns the bytes as they are stored."""
        return self._write(f"slot {index}", signed)

    def write_request(self, index: int, signed: bytes, payer_class: CertificateClass | None) -> bytes:
        """Copy a Request, with the verified class of its payer; returns the signed bytes as they are stored."""
        mark = bytes((UNVERIFIED if payer_class is None else payer_class,))
        return self._write(f"request {index}", signed + mark)[: len(signed)]

    def write_answer(self, index: int, signed: bytes) -> bytes:
        """Copy a Receipt or Refusal beside its OPEN Request; returns the bytes as they are stored."""
        return self._write(f"answer {index}", signed)

    def _read(self, name: str, size: int) -> bytes:
        return _AREAS[name].read(self._flash, 0, size)

    def _write(self, name: str, content: bytes) -> bytes:
        """Write and read back: a cell that does not take its content is noticed before anything counts on it."""
        self._journal.require_writable()
        _AREAS[name].write(self._flash, content)
        stored = self._read(name, len(content))
        if stored != content:
            raise WornCellError("a cell does not keep what is programmed")
        return stored

    def _slot(self, index: int, state: SlotState, suite: Suite) -> Slot:
        if state is SlotState.FREE:
            return Slot()
        stored = self._read(f"slot {index}", size_of(Voucher, suite))
        try:
            return _slot_of(state, stored)
        except CodecError as exc:
            raise RecordError(f"slot {index} counts, and does not hold what the record says") from exc

    def _entry(self, index: int, state: EntryState, suite: Suite) -> Entry:
        if state is EntryState.FREE:
            return Entry()
        area = self._read(f"request {index}", size_of(Request, suite) + 1)
        stored, mark = area[:-1], area[-1]
        payer_class = None if mark == UNVERIFIED else _class(mark, f"entry {index}")
        answer = self._read(f"answer {index}", size_of(_ANSWERS[state], suite)) if state in _ANSWERS else b""
        try:
            return _entry_of(state, stored, answer, payer_class)
        except CodecError as exc:
            raise RecordError(f"entry {index} counts, and does not hold what the record says") from exc


def _class(mark: int, what: str) -> CertificateClass:
    try:
        return CertificateClass(mark)
    except ValueError as exc:
        raise RecordError(f"{what} names no class of payer") from exc


# A power-up reads every slot and entry again. What their bytes say follows from the bytes alone, so it is worked out
# once for each content and not once for each power-up.


@lru_cache(maxsize=_REMEMBERED)
def _slot_of(state: SlotState, stored: bytes) -> Slot:
    voucher = parse(Voucher, stored).message
    return Slot(state, voucher.n, voucher.request_hash, voucher.payee, stored, voucher.amount, voucher.hash)


@lru_cache(maxsize=_REMEMBERED)
def _entry_of(state: EntryState, stored: bytes, answer: bytes, payer_class: CertificateClass | None) -> Entry:
    request = parse(Request, stored).message
    entry = Entry(state, request.k, request.amount, request.hash, stored, payer_class=payer_class)
    if state is EntryState.COLLECTED:
        return replace(entry, voucher_hash=parse(Receipt, answer).message.voucher_hash, answer=answer)
    return replace(entry, answer=answer) if state is EntryState.REFUSED else entry
