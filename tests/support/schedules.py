"""Every power cut of a journal: every cell, every outcome, every reading of unstable cells, nested as deep as wanted.

`Schedules.explore` cuts a commit everywhere, powers the card up with every reading that its unstable cells can give,
cuts those recoveries everywhere, and so on. A memory that was met before with as many cuts behind it is not explored
again, so this is all schedules and not a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from hardware.emulator.flash import Flash, Outcome, Power, PowerLost, UnstableCell, WornCellError
from hardware.emulator.journal import Journal, JournalLostError
from hardware.emulator.layout import Layout

ALL_OUTCOMES = tuple(Outcome)
LOST = b"lost"

MakeJournal = Callable[[Flash, Layout], Journal]
Step = Callable[[Journal], object]


@dataclass
class Tape:
    """The adversary of one power-up: the n-th reading of an unstable cell gives option `choices[n]`.

    Options are the candidates of the cell, then rubbish. `widths` says how many options each reading had; readings
    beyond the choices take the first option, so that running, then `following`, walks through all of them.
    """

    choices: tuple[int, ...] = ()
    widths: list[int] = field(default_factory=list)

    def read(self, cell: UnstableCell) -> bytes:
        number = len(self.widths)
        self.widths.append(len(cell.candidates) + 1)
        choice = self.choices[number] if number < len(self.choices) else 0
        rubbish = bytes((byte * 7 + 13) % 256 for byte in cell.candidates[-1])
        return (*cell.candidates, rubbish)[choice]

    def following(self) -> tuple[int, ...] | None:
        """The next choices in order, None after the last."""
        taken = [*self.choices, *([0] * (len(self.widths) - len(self.choices)))]
        while taken:
            if taken[-1] + 1 < self.widths[len(taken) - 1]:
                return (*taken[:-1], taken[-1] + 1)
            taken.pop()
        return None


@dataclass
class Schedules:
    """A search over one layout. `outcomes[d]` are the outcomes tried for the cut of depth d (0: the commit's).

    With `left`, the most worn cell of the ring has so many programmings left when the commit begins. Then wear is part
    of the memory, and what was answered is asked again until nothing can be programmed any more, and once beyond.

    Found: `cuts` tried, `settled` memories in which a recovery ended, `lost` power-ups of a dead card, and in `wrong`
    what must never be.
    """

    layout: Layout
    outcomes: Sequence[Sequence[Outcome]]
    make: MakeJournal = Journal
    left: int | None = None
    cuts: int = 0
    settled: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = Random(0)
        self._tape = Tape()
        self._flash = Flash(self.layout.cells, cell_size=self.layout.cell_size, rng=self._rng, reader=self._read)
        self._blank = self._state()
        self._met: set[tuple[bytes, int]] = set()
        self._final: dict[bytes, bytes] = {}

    def explore(self, history: Sequence[bytes], after: bytes) -> None:
        """Cut the commit of `after` to a card whose states in this power session were `history`."""
        self._met.clear()
        self._final.clear()
        self._flash.endurance = None
        self._start(self._blank, ())
        self.make(self._flash, self.layout).format(history[0])
        if self.left is not None:
            formatted = self._state()
            self._begin(history[1:])
            self._flash.endurance = self.left + max(self._flash.wear(cell) for cell in self.layout.ring)
            self._start(formatted, ())
        for state in self._cut_all(self._state(), 0, lambda one: one.commit(after), first=history[1:]):
            self._power_up(state, 1, (history[-1], after))

    def _power_up(self, state: bytes, depth: int, allowed: tuple[bytes, bytes]) -> None:
        if (state, depth) in self._met:
            return
        self._met.add((state, depth))
        for choices, answered, final in self._all_loads(state):
            if answered == LOST:
                self.lost += 1
                continue
            if answered not in allowed:
                self.wrong.append(f"after {depth} cuts the card answered {answered.hex()}")
            self._check_final(final, answered)
            if depth < len(self.outcomes):
                for cut in self._cut_all(state, depth, lambda journal: journal.load(), choices=choices):
                    self._power_up(cut, depth + 1, allowed)

    def _check_final(self, state: bytes, answered: bytes) -> None:
        """What was answered once is answered at every later power-up, and a later commit is whole or not at all."""
        if state in self._final:
            if self._final[state] != answered:
                self.wrong.append("one memory, two answers")
            return
        self._final[state] = answered
        self.settled += 1
        for _, again, later in self._all_loads(state):
            if again != answered:
                self.wrong.append(f"answered {answered.hex()}, then {again.hex()}")
            if self.left is not None:
                self._check_final(later, answered)
            elif self._load(later, ())[0] != answered:
                self.wrong.append(f"answered {answered.hex()} twice, then something else")
        # Differs in its first byte only, so that what older torn records left in the other cells fits it.
        changed = bytes([answered[0] ^ 0x80]) + answered[1:]
        for cut in self._cut_all(state, None, lambda journal: journal.commit(changed), first=()):
            for _, again, _ in self._all_loads(cut):
                if again not in (answered, changed):
                    self.wrong.append("a commit after the recovery was torn")

    def _all_loads(self, state: bytes) -> Iterator[tuple[tuple[int, ...], bytes, bytes]]:
        """A whole power-up for each way its unstable cells can read: the choices, the answer, the memory after it."""
        choices: tuple[int, ...] | None = ()
        while choices is not None:
            answered, final = self._load(state, choices)
            following = self._tape.following()
            yield choices, answered, final
            choices = following

    def _load(self, state: bytes, choices: tuple[int, ...]) -> tuple[bytes, bytes]:
        self._start(state, choices)
        try:
            answered = self.make(self._flash, self.layout).load()
        except JournalLostError:
            answered = LOST
        return answered, self._state()

    def _cut_all(
        self,
        state: bytes,
        depth: int | None,
        step: Step,
        *,
        choices: tuple[int, ...] = (),
        first: Sequence[bytes] | None = None,
    ) -> Iterator[bytes]:
        """The memory after each cut of `step`, at each cell of it and with each outcome of this depth.

        With `first`, the power session begins with a recovery and these commits, uncut. A depth of None is a commit
        that only checks the aftermath: worst outcome, not counted.
        """
        cell, more = 0, True
        while more:
            for outcome in (Outcome.UNSTABLE,) if depth is None else self.outcomes[depth]:
                self._start(state, choices)
                journal = self._begin(first) if first is not None else self.make(self._flash, self.layout)
                self._rng.seed(cell)
                self._flash.supply(Power(cell, outcome))
                try:
                    step(journal)
                    more = False
                except WornCellError:
                    more = False
                except PowerLost:
                    self.cuts += depth is not None
                    yield self._state()
            cell += 1

    def _begin(self, first: Sequence[bytes]) -> Journal:
        """A power session that has recovered and committed these."""
        journal = self.make(self._flash, self.layout)
        journal.load()
        for payload in first:
            journal.commit(payload)
        return journal

    def _start(self, state: bytes, choices: tuple[int, ...]) -> None:
        self._tape = Tape(choices)
        self._flash.restore(state if self.left is not None else state + bytes(4 * self._flash.cells))
        self._flash.power_on()

    def _read(self, cell: UnstableCell) -> bytes:
        return self._tape.read(cell)

    def _state(self) -> bytes:
        """The memory; without its wear where that decides nothing."""
        return self._flash.snapshot() if self.left is not None else self._flash.snapshot()[: -4 * self._flash.cells]
