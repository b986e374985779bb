"""The flash of an emulated card as a part of a state: its cells and what unstable ones may read as, but no wear.

An `Image` says what differs from the memory that a purse began with, so that a hundred thousand of them are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from explore.interning import digest
from hardware.emulator.flash import Flash, Outcome, Power, PowerLost, UnstableCell
from support.schedules import Tape

Programmed = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Image:
    """`changed`: cells that are not as at the beginning; `unstable`: cells with what they may read as. In order."""

    changed: tuple[Programmed, ...] = ()
    unstable: tuple[tuple[int, tuple[bytes, ...]], ...] = ()

    @property
    def hash(self) -> bytes:
        """Of the content. Cells have one size, so that they need no separators."""
        indices = bytes(part for index, _ in self.changed for part in divmod(index, 256))
        parts = [indices, b"".join(data for _, data in self.changed)]
        for index, candidates in self.unstable:
            parts += [index.to_bytes(2), b"".join(candidates)]
        return digest(parts)


@dataclass(frozen=True, slots=True)
class CutPlace:
    """Before how many more programmed cells the power goes, and what the interrupted one holds."""

    cell: int
    outcome: Outcome


class Chip(Flash):
    """A flash that becomes any image, and notes which cells a program has it programmed with.

    What an unstable cell reads as is the choice of `tape`, which the search walks through.
    """

    def __init__(self, base: bytes, cells: int) -> None:
        self.random = Random(0)
        super().__init__(cells, rng=self.random, data=base, reader=self._choose)
        self.tape = Tape()
        self.log: list[Programmed] = []
        self._base = base
        self._touched: set[int] = set()

    def become(self, image: Image, choices: tuple[int, ...] = ()) -> None:
        """This image, without power; the n-th reading of an unstable cell will be option `choices[n]` (else 0)."""
        self.power_off()
        size = self.cell_size
        for index in self._touched:
            self._data[index * size : (index + 1) * size] = self._base[index * size : (index + 1) * size]
        for index, data in image.changed:
            self._data[index * size : (index + 1) * size] = data
        self._touched = {index for index, _ in image.changed}
        self._unstable = dict(image.unstable)
        self._wear = [0] * self.cells
        self.tape = Tape(choices)
        self.log = []

    def image(self) -> Image:
        size = self.cell_size
        changed = []
        for index in sorted(self._touched):
            data = bytes(self._data[index * size : (index + 1) * size])
            if data != self._base[index * size : (index + 1) * size]:
                changed.append((index, data))
        return Image(tuple(changed), tuple(sorted(self._unstable.items())))

    def program(self, index: int, data: bytes) -> None:
        self._touched.add(index)
        self.log.append((index, data))
        super().program(index, data)

    def cuts(
        self, image: Image, log: Sequence[Programmed], outcomes: Sequence[Outcome], stride: int = 1
    ) -> Iterator[tuple[CutPlace, Image]]:
        """What is left when the power goes at each cell of a program that has `log` programmed on `image`.

        Until the cut a program does what it does without one, so it need not run again: its cells are programmed by
        the real flash, with the power budget that ends there.
        """
        for at in range(0, len(log), stride):
            for outcome in outcomes:
                self.become(image)
                self.random.seed(1 + at)
                self.power_on(Power(at, outcome))
                try:
                    for index, data in log[: at + 1]:
                        self.program(index, data)
                except PowerLost:
                    yield CutPlace(at, outcome), self.image()

    def _choose(self, cell: UnstableCell) -> bytes:
        return self.tape.read(cell)
