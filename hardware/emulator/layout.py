"""Where things lie in the flash: header, ring of state records, plain areas; cell-aligned, nothing overlaps.

    cell 0          header: what was formatted, so that a program with another layout refuses the card
    ring            `positions` × (payload cells, then one seal cell)
    areas           in the order given, each from a cell of its own

All sizes are bytes; an address is a byte offset into the flash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from hardware.emulator.flash import CELL_SIZE, Flash
from wallet_core.errors import ConfigurationError

HEADER_MAGIC = b"ECNYCARD"
HEADER_SIZE = 16  # magic, then the first 8 bytes of the layout's hash
SEAL_SIZE = 16  # sequence number, then checksum
POSITIONS = 8  # an interrupted commit and 6 interrupted recoveries after it (docs/decisions/0003)

LEAST_POSITIONS = 3
LAYOUT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Area:
    """`size` bytes at `offset` of the flash, written by whole cells, not atomically: a commit makes them count."""

    offset: int
    size: int

    def read(self, flash: Flash, start: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `start` of the area (None: all that is left)."""
        length = self.size - start if length is None else length
        self._check(start, length)
        return flash.read(self.offset + start, length)

    def write(self, flash: Flash, data: bytes, start: int = 0) -> None:
        """Write `data` at `start` of the area. Raises `PowerLost` with any part of it written, `WornCellError`."""
        self._check(start, len(data))
        flash.write(self.offset + start, data)

    def _check(self, start: int, length: int) -> None:
        if start < 0 or length < 0 or start + length > self.size:
            raise ConfigurationError(f"bytes {start} to {start + length} are outside an area of {self.size} bytes")


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan of one kind of card. `areas` are (name, size) in their order; the names are for programmers only."""

    payload_size: int
    areas: tuple[tuple[str, int], ...] = ()
    positions: int = POSITIONS
    cell_size: int = CELL_SIZE

    def __post_init__(self) -> None:
        if self.cell_size < max(HEADER_SIZE, SEAL_SIZE):
            raise ConfigurationError(f"a cell of {self.cell_size} bytes is too small for a header or a seal")
        if self.payload_size < 1 or any(size < 1 for _, size in self.areas):
            raise ConfigurationError("a record or an area without bytes")
        if self.positions < LEAST_POSITIONS:
            raise ConfigurationError(f"a ring of {self.positions} positions cannot survive a cut in its recovery")
        if len({name for name, _ in self.areas}) != len(self.areas):
            raise ConfigurationError("two areas have one name")

    @property
    def payload_cells(self) -> int:
        return self._cells_for(self.payload_size)

    @property
    def record_cells(self) -> int:
        """Cells of one position: payload and seal."""
        return self.payload_cells + 1

    @property
    def cells(self) -> int:
        """Cells of the whole flash."""
        return 1 + self.positions * self.record_cells + sum(self._cells_for(size) for _, size in self.areas)

    @property
    def header_cell(self) -> int:
        return 0

    def first_cell(self, position: int) -> int:
        """First payload cell of a position of the ring."""
        if not 0 <= position < self.positions:
            raise ConfigurationError(f"the ring has no position {position}")
        return 1 + position * self.record_cells

    def seal_cell(self, position: int) -> int:
        return self.first_cell(position) + self.payload_cells

    def area(self, name: str) -> Area:
        """Raises `ConfigurationError` for an unknown name."""
        for known, area in self.named_areas():
            if known == name:
                return area
        raise ConfigurationError(f"the layout has no area {name}")

    @property
    def ring(self) -> range:
        """All cells of the ring: the cells that a recovery may program."""
        return range(1, 1 + self.positions * self.record_cells)

    def named_areas(self) -> Iterator[tuple[str, Area]]:
        cell = 1 + self.positions * self.record_cells
        for name, size in self.areas:
            yield name, Area(cell * self.cell_size, size)
            cell += self._cells_for(size)

    def header(self) -> bytes:
        """The header cell of a card formatted with this layout."""
        text = f"{LAYOUT_VERSION} {self.cell_size} {self.payload_size} {self.positions} {self.areas!r}"
        head = HEADER_MAGIC + hashlib.sha256(text.encode()).digest()[: HEADER_SIZE - len(HEADER_MAGIC)]
        return head.ljust(self.cell_size, b"\0")

    def _cells_for(self, size: int) -> int:
        return -(-size // self.cell_size)
