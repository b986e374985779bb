"""The atomic state record of the emulated card: before or after, never between, and never both.

A record is `payload_size` bytes in one position of a ring; the position of sequence number q is q mod positions. Its
payload cells are programmed first, then its *seal*, one cell of

    sequence number 8 ‖ SHA-256("ecny journal" ‖ sequence number ‖ payload)[:8]

so a commit is the programming of one cell. A position whose seal does not fit its payload holds nothing.

A cell whose programming was cut short may read as sealed now and as rubbish at the next power-up, and nothing that a
card can read tells it so. Therefore `load` (1) reads each position once, (2) writes the newest record afresh under the
next sequence number, (3) erases every other seal, whatever it reads as, and only then lets the card answer. From then
on one position is sealed, all others are blank, and no cell that decides anything is unstable: the choice is final.
Why that is enough, and how many cuts in a row it survives: docs/decisions/0003-journal-of-the-emulated-card.md.

Cells wear out. The last programmings of the ring, one for each position, are kept for recoveries: a commit is refused
from there on. When they too are used up the card is *frozen*: it starts, answers from its newest record, and programs
nothing ever again. That a frozen card still answers the same each time is shown in the same place.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from hardware.emulator.flash import BLANK, Flash, WornCellError
from hardware.emulator.layout import HEADER_MAGIC, Layout
from wallet_core.errors import ConfigurationError, EcnyError, StorageError

SEQUENCE_SIZE = 8
CHECKSUM_SIZE = 8
_DOMAIN = b"ecny journal"


class NotFormattedError(StorageError):
    """The flash carries no card yet (or formatting it was interrupted)."""

    code = "card-not-formatted"
    default_next_step = "Make the card anew: formatting is a step of the factory and starts again from the beginning."


class JournalLostError(StorageError):
    """A formatted card without one valid state record. It is dead: it answers nothing, least of all zeros."""

    code = "journal-lost"
    default_next_step = "The card is dead. Its operator refunds it as a lost card (docs/spec/transfer.md)."


class NotLoadedError(EcnyError):
    """A commit in a power session that has not recovered the state first: a mistake of the program."""

    code = "journal-not-loaded"


@dataclass(frozen=True, slots=True)
class Record:
    """One sealed record of the ring."""

    sequence: int
    payload: bytes


class Journal:
    """The state record on a powered `flash`. What it knows of one power session it forgets with the power."""

    def __init__(self, flash: Flash, layout: Layout) -> None:
        if flash.cell_size != layout.cell_size or flash.cells < layout.cells:
            raise ConfigurationError(f"a flash of {flash.cells} cells does not hold a layout of {layout.cells}")
        self._flash = flash
        self._layout = layout
        self._session = -1
        self._sequence = -1
        self._frozen = False

    def format(self, payload: bytes) -> None:
        """Make a card of a flash: `payload` becomes its first state. A step of the factory: NOT power-cut safe.

        The header goes first to blank and last to its value, so that a cut leaves, as a rule, a card that says it is
        not formatted; but a cell cut short may read as anything: such a card is formatted again or thrown away.
        Raises `PowerLost`, `WornCellError`.
        """
        self._check(payload)
        self._session = -1
        self._flash.program(self._layout.header_cell, self._blank())
        for position in range(self._layout.positions):
            self._erase(position)
        self._write(0, payload)
        self._flash.program(self._layout.header_cell, self._layout.header())
        self._settled(0)

    def load(self) -> bytes:
        """Recover: choose the state, make the choice final, and return its payload. The card answers nothing before.

        With a worn-out ring nothing is programmed, and nothing will be any more (`require_writable`). Raises
        `NotFormattedError`, `ConfigurationError` (formatted with another layout), `JournalLostError`, and `PowerLost`
        at any cell: it may be cut and run again.
        """
        self._session = -1
        self._check_header()
        records = [record for position in range(self._layout.positions) if (record := self._read(position))]
        if not records:
            raise JournalLostError("no state record of this card is valid")
        newest = max(records, key=lambda record: record.sequence)
        self._frozen = self._flash.left(self._layout.ring) == 0
        if self._frozen:
            self._settled(newest.sequence)
            return newest.payload
        sequence = newest.sequence + 1
        self._write(sequence, newest.payload)
        for step in range(1, self._layout.positions):
            self._erase((sequence + step) % self._layout.positions)
        self._settled(sequence)
        return newest.payload

    def commit(self, payload: bytes) -> None:
        """Make `payload` the state. When this returns it is; after `PowerLost` the next `load` says which it is.

        Raises `NotLoadedError`, `PowerLost`, `WornCellError` (the state is then the one before).
        """
        self._check(payload)
        if self._session != self._flash.session:
            raise NotLoadedError("commit before load in this power session")
        self._require_reserve()
        self._write(self._sequence + 1, payload)
        self._settled(self._sequence + 1)

    def require_writable(self) -> None:
        """Raises `WornCellError` on a frozen card. To be asked before an area is written: without a recovery that ended
        nobody knows which areas the state does not need.
        """
        if self._frozen:
            raise WornCellError("the ring of state records is worn out: this card can only be read")

    @property
    def sequence(self) -> int:
        """Sequence number of the present record. Raises `NotLoadedError`."""
        if self._session != self._flash.session:
            raise NotLoadedError("no sequence number before load in this power session")
        return self._sequence

    def peek(self, position: int) -> Record | None:
        """The record that a position holds now, as `Flash.peek` reads: for pictures, never for a card."""
        first = self._layout.first_cell(position)
        cells = range(first, first + self._layout.record_cells)
        return self._sealed(position, b"".join(self._flash.peek(cell) for cell in cells))

    def _settled(self, sequence: int) -> None:
        self._session, self._sequence = self._flash.session, sequence

    def _check(self, payload: bytes) -> None:
        if len(payload) != self._layout.payload_size:
            raise ConfigurationError(f"a record takes {self._layout.payload_size} bytes, not {len(payload)}")

    def _require_reserve(self) -> None:
        left = self._flash.left(self._layout.ring)
        if left is not None and left < self._layout.positions:
            raise WornCellError(f"a cell of the ring has {left} programmings left, which are kept for recoveries")

    def _check_header(self) -> None:
        header = self._flash.read(self._layout.header_cell * self._layout.cell_size, self._layout.cell_size)
        if header == self._layout.header():
            return
        if header.startswith(HEADER_MAGIC):
            raise ConfigurationError("this card was formatted with another layout")
        raise NotFormattedError("this card is not formatted")

    def _read(self, position: int) -> Record | None:
        """The record there, if its seal fits. One reading of each cell: what is checked is what is returned."""
        size = self._layout.cell_size
        raw = self._flash.read(self._layout.first_cell(position) * size, self._layout.record_cells * size)
        return self._sealed(position, raw)

    def _sealed(self, position: int, raw: bytes) -> Record | None:
        size = self._layout.cell_size
        payload, seal = raw[: self._layout.payload_size], raw[self._layout.payload_cells * size :]
        if seal == self._blank():
            return None
        sequence = int.from_bytes(seal[:SEQUENCE_SIZE])
        if sequence % self._layout.positions != position or seal != self._seal(sequence, payload):
            return None
        return Record(sequence, payload)

    def _write(self, sequence: int, payload: bytes) -> None:
        position = sequence % self._layout.positions
        size = self._layout.cell_size
        padded = payload.ljust(self._layout.payload_cells * size, b"\0")
        for number in range(self._layout.payload_cells):
            self._flash.program(self._layout.first_cell(position) + number, padded[number * size : (number + 1) * size])
        self._flash.program(self._layout.seal_cell(position), self._seal(sequence, payload))

    def _erase(self, position: int) -> None:
        self._flash.program(self._layout.seal_cell(position), self._blank())

    def _seal(self, sequence: int, payload: bytes) -> bytes:
        number = sequence.to_bytes(SEQUENCE_SIZE)
        checksum = hashlib.sha256(_DOMAIN + number + payload).digest()[:CHECKSUM_SIZE]
        return (number + checksum).ljust(self._layout.cell_size, b"\0")

    def _blank(self) -> bytes:
        return bytes([BLANK]) * self._layout.cell_size
