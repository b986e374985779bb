"""Non-volatile memory in cells, programmed one at a time, that loses its power wherever a test wants it to.

What a chip promises about a cell whose programming was interrupted is nothing at all, so a cut leaves one of four
things there (`Outcome`), the worst being a cell that reads differently each time until it is programmed again. All
randomness comes from the generator given to `Flash`: the same seed and the same calls give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Protocol

from wallet_core.errors import ConfigurationError, StorageError

CELL_SIZE = 64  # bytes
BLANK = 0xFF  # what an erased byte reads as

_SNAPSHOT_MAGIC = b"FLSH"
_SNAPSHOT_HEAD = struct.Struct(">4sII")  # magic, bytes in a cell, cells


class PowerLost(BaseException):
    """The power is off. Not an `Exception`: no handler on a card can catch this, as no code runs without power.

    Only what stands outside the card catches it (and makes a `hardware.card_like.CardTorn` of it).
    """


class WornCellError(StorageError):
    """A cell has been programmed as often as it can be; it keeps what it holds (status word 6581)."""

    code = "worn-cell"
    default_next_step = (
        "Nothing was changed. The card has reached the end of its life: it still shows its state and answers what it "
        "has stored. Read it out and replace it."
    )


class Outcome(IntEnum):
    """What the cell in progress holds after a cut."""

    OLD = 0
    NEW = 1
    PARTIAL = 2  # each bit old or new, and so it stays
    UNSTABLE = 3  # old, new, a mixture or rubbish: drawn at each reading until it is programmed again


@dataclass(slots=True)
class Power:
    """A power budget: `cells` more are programmed, the next is interrupted with `outcome`. None: it never ends."""

    cells: int | None = None
    outcome: Outcome = Outcome.UNSTABLE

    def take(self) -> bool:
        """Whether there is power for one more cell."""
        if self.cells is None:
            return True
        if self.cells == 0:
            return False
        self.cells -= 1
        return True


@dataclass(frozen=True, slots=True)
class UnstableCell:
    """A cell whose programming was cut short, as the reader function sees it.

    `candidates` are the contents it may still hold: what it held before and each content that was being programmed
    when the power went, oldest first, no content twice.
    """

    index: int
    candidates: tuple[bytes, ...]


Reader = Callable[[UnstableCell], bytes]
"""What one reading of an unstable cell gives (cell-size bytes); a test puts its adversary here."""


class Keeper(Protocol):
    """Where programmed cells are kept beyond the process (`image.CardImage`)."""

    def keep(self, index: int, data: bytes, candidates: tuple[bytes, ...], wear: int) -> None:
        """Keep one cell. `candidates` is empty for a stable cell. Raises `StorageError`, and then nothing was kept."""
        ...


def mixture(old: bytes, new: bytes, rng: Random) -> bytes:
    """Each bit from `old` or `new`, which are equally long."""
    mask = rng.getrandbits(8 * len(old))
    a, b = int.from_bytes(old), int.from_bytes(new)
    return (a & mask | b & ~mask).to_bytes(len(old))


class Flash:
    """`cells` × `cell_size` bytes, blank (FF) unless `data` is given, and without power until `power_on`.

    `endurance` is how often a cell can be programmed (None: for ever). `reader` replaces the random reading of unstable
    cells. `keeper` is told of each cell before the memory here changes; if it fails the power goes, so that a card can
    never go on from what is not kept. Every access without power raises `PowerLost`.
    """

    def __init__(
        self,
        cells: int,
        *,
        rng: Random,
        cell_size: int = CELL_SIZE,
        endurance: int | None = None,
        reader: Reader | None = None,
        keeper: Keeper | None = None,
        data: bytes | None = None,
        unstable: Mapping[int, tuple[bytes, ...]] | None = None,
        wear: Sequence[int] | None = None,
    ) -> None:
        if cells < 1 or cell_size < 1:
            raise ConfigurationError(f"a flash of {cells} cells of {cell_size} bytes cannot be")
        if data is not None and len(data) != cells * cell_size:
            raise ConfigurationError(f"{cells} cells of {cell_size} bytes do not hold {len(data)} bytes")
        if wear is not None and len(wear) != cells:
            raise ConfigurationError(f"wear is known of {len(wear)} cells, not {cells}")
        for index, candidates in (unstable or {}).items():
            if not 0 <= index < cells or not candidates or any(len(one) != cell_size for one in candidates):
                raise ConfigurationError(f"unstable cell {index} does not fit {cells} cells of {cell_size} bytes")
        self.cells = cells
        self.cell_size = cell_size  # bytes
        self.size = cells * cell_size
        self.endurance = endurance
        self.reader = reader
        self.keeper = keeper
        self.session = 0
        """How often the power has come; what a program knows from one session is void in the next."""
        self.programmed = 0
        """Cells programmed or begun in this session."""
        self._rng = rng
        self._power: Power | None = None
        self._data = bytearray(data if data is not None else bytes([BLANK]) * self.size)
        self._unstable: dict[int, tuple[bytes, ...]] = dict(unstable or {})
        self._wear = list(wear) if wear is not None else [0] * cells

    # Power

    def power_on(self, power: Power | None = None) -> None:
        """Begin a session with this budget (None: without end)."""
        self._power = power if power is not None else Power()
        self.session += 1
        self.programmed = 0

    def supply(self, power: Power) -> None:
        """Replace the budget in the middle of a session: the next `power.cells` cells count from here."""
        self._require_power()
        self._power = power

    def power_off(self) -> None:
        """Take the power away between two cells. May be repeated."""
        self._power = None

    @property
    def powered(self) -> bool:
        return self._power is not None

    def _require_power(self) -> Power:
        if self._power is None:
            raise PowerLost("the card has no power")
        return self._power

    # Access

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes from `address`; each unstable cell among them is read once. Raises `PowerLost`."""
        self._require_power()
        self._check_range(address, length)
        if not self._unstable or not length:
            return bytes(self._data[address : address + length])
        size = self.cell_size
        first, last = address // size, (address + length - 1) // size
        raw = b"".join(self._read_cell(index) for index in range(first, last + 1))
        return raw[address - first * size :][:length]

    def program(self, index: int, data: bytes) -> None:
        """Program one whole cell.

        Raises `PowerLost` if the power goes meanwhile (the cell then holds one of `Outcome`), `WornCellError` (the cell
        is as it was) and `StorageError` from the keeper (the power is then off).
        """
        power = self._require_power()
        self._check_range(index * self.cell_size, self.cell_size)
        if len(data) != self.cell_size:
            raise ConfigurationError(f"a cell takes {self.cell_size} bytes, not {len(data)}")
        if self.endurance is not None and self._wear[index] >= self.endurance:
            raise WornCellError(f"cell {index} has been programmed {self._wear[index]} times")
        self.programmed += 1
        if power.take():
            self._settle(index, data, ())
            return
        try:
            self._interrupt(index, data, power.outcome)
        finally:
            self._power = None
        raise PowerLost(f"the power went while cell {index} was programmed")

    def write(self, address: int, data: bytes) -> None:
        """Any range of bytes, by whole cells in ascending order: bytes beside it in its cells are programmed as read.

        Not atomic: a cut leaves the cells before it new and those after it old. Raises as `program` does.
        """
        self._require_power()
        self._check_range(address, len(data))
        if not data:
            return
        size = self.cell_size
        start = address - address % size
        end = -(-(address + len(data)) // size) * size
        before = self.read(start, address - start)
        after = self.read(address + len(data), end - address - len(data))
        whole = before + data + after
        for offset in range(0, end - start, size):
            self.program((start + offset) // size, whole[offset : offset + size])

    def wear(self, index: int) -> int:
        """How often a cell has been programmed, interrupted times included."""
        return self._wear[index]

    def left(self, cells: range) -> int | None:
        """How often each of these cells can be programmed at least; None: for ever.

        The chip's own count, by which `program` refuses: it only falls, and no cut makes it lie.
        """
        if self.endurance is None:
            return None
        return max(0, self.endurance - max(self._wear[cells.start : cells.stop]))

    def peek(self, index: int) -> bytes:
        """What a cell holds, without power and without a reading being drawn. For pictures, never for a card."""
        return self._stored(index)

    def unstable(self) -> Mapping[int, tuple[bytes, ...]]:
        """The unstable cells and their candidates. For tests and images: a card cannot know."""
        return dict(self._unstable)

    # Debugging: a secure element's state is never restored, so this is for tests and for nothing else

    def snapshot(self) -> bytes:
        """The whole memory with its unstable cells and, in its last 4 bytes per cell, the wear."""
        parts = [_SNAPSHOT_HEAD.pack(_SNAPSHOT_MAGIC, self.cell_size, self.cells), bytes(self._data)]
        parts.append(struct.pack(">I", len(self._unstable)))
        for index in sorted(self._unstable):
            candidates = self._unstable[index]
            parts += [struct.pack(">II", index, len(candidates)), *candidates]
        parts.append(struct.pack(f">{self.cells}I", *self._wear))
        return b"".join(parts)

    def restore(self, snapshot: bytes) -> None:
        """Become what `snapshot` was taken of, without power. Raises `ConfigurationError` if it does not fit."""
        head = _SNAPSHOT_HEAD.pack(_SNAPSHOT_MAGIC, self.cell_size, self.cells)
        if self.keeper is not None or not snapshot.startswith(head):
            raise ConfigurationError("this snapshot is not of such a flash")
        position = len(head) + self.size
        data = snapshot[len(head) : position]
        try:
            (count,) = struct.unpack_from(">I", snapshot, position)
            position += 4
            unstable: dict[int, tuple[bytes, ...]] = {}
            for _ in range(count):
                index, candidates = struct.unpack_from(">II", snapshot, position)
                position += 8
                end = position + candidates * self.cell_size
                unstable[index] = tuple(
                    snapshot[offset : offset + self.cell_size] for offset in range(position, end, self.cell_size)
                )
                position = end
            wear = struct.unpack(f">{self.cells}I", snapshot[position:])
        except struct.error as error:
            raise ConfigurationError("this snapshot is damaged") from error
        self._power = None
        self._data[:] = data
        self._unstable = unstable
        self._wear = list(wear)

    # Inside

    def _check_range(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self.size:
            raise ConfigurationError(f"bytes {address} to {address + length} are outside a flash of {self.size} bytes")

    def _stored(self, index: int) -> bytes:
        start = index * self.cell_size
        return bytes(self._data[start : start + self.cell_size])

    def _read_cell(self, index: int) -> bytes:
        candidates = self._unstable.get(index)
        if candidates is None:
            return self._stored(index)
        if self.reader is None:
            return self._draw(candidates)
        reading = self.reader(UnstableCell(index, candidates))
        if len(reading) != self.cell_size:
            raise ConfigurationError(f"the reader gave {len(reading)} bytes for a cell of {self.cell_size}")
        return reading

    def _draw(self, candidates: tuple[bytes, ...]) -> bytes:
        kind = self._rng.randrange(4)
        if kind == 0:
            return self._rng.randbytes(self.cell_size)
        one, other = self._rng.choice(candidates), self._rng.choice(candidates)
        return mixture(one, other, self._rng) if kind == 1 else one

    def _interrupt(self, index: int, data: bytes, outcome: Outcome) -> None:
        before = self._unstable.get(index)
        if outcome is Outcome.OLD:
            self._settle(index, self._stored(index), before or ())  # unstable before, unstable still
        elif outcome is Outcome.NEW:
            self._settle(index, data, ())
        elif outcome is Outcome.PARTIAL:
            self._settle(index, mixture(self._read_cell(index), data, self._rng), ())
        else:
            known = before or (self._stored(index),)
            candidates = known if data in known else (*known, data)
            self._settle(index, self._stored(index), candidates)

    def _settle(self, index: int, data: bytes, candidates: tuple[bytes, ...]) -> None:
        wear = self._wear[index] + 1
        if self.keeper is not None:
            try:
                self.keeper.keep(index, data, candidates, wear)
            except StorageError:
                self._power = None
                raise
        start = index * self.cell_size
        self._data[start : start + self.cell_size] = data
        self._wear[index] = wear
        if candidates:
            self._unstable[index] = candidates
        else:
            self._unstable.pop(index, None)
