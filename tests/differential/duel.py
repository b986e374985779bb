"""The run itself: sequences are drawn on the emulator and played on the applet side by side, and compared."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from differential.cast import make_cast
from differential.draw import draw
from differential.emulated import EmulatedSide
from differential.explained import explanation
from differential.played import Card, Difference, Exchange, Play, find, shrink
from differential.states import State, make_states

_AHEAD = 64  # sequences that wait for the applet
ENOUGH = 10
"""Differences after which a run stops: they are mostly one."""


@dataclass
class Verdict:
    """What a run has found. `explained`: how often each entry of the list of meant differences was met."""

    commands: int = 0
    seconds: float = 0.0
    found: list[Difference] = field(default_factory=list)
    explained: dict[str, int] = field(default_factory=dict)

    def add(self, other: Verdict) -> None:
        """Count another run in."""
        self.commands += other.commands
        self.seconds += other.seconds
        self.found += other.found
        for name, count in other.explained.items():
            self.explained[name] = self.explained.get(name, 0) + count

    @property
    def line(self) -> str:
        kinds = [one.what for one in self.found]
        crashes, changes = kinds.count("crash"), kinds.count("memory change")
        differences = len(kinds) - crashes - changes
        rate = self.commands / self.seconds if self.seconds else 0.0
        return (
            f"fuzzed: {self.commands} APDUs, {differences} differences, {crashes} crashes, {changes} memory changes, "
            f"{rate:.0f} APDUs/s"
        )


class Duel:
    """Both cards in all states. `meet` (called for each state) brings the applet there too."""

    def __init__(self, side: EmulatedSide, applet: Card, meet: Callable[[State], None]) -> None:
        self.cast = make_cast()
        self.side = side
        self.applet = applet
        self.states = list(make_states(side, self.cast))
        for state in self.states:
            side.keep(state.name, state.snapshot)
            meet(state)

    def run(self, seed: str, commands: int, progress: Callable[[int], None] = lambda _: None) -> Verdict:
        """Play `commands` commands on each card, or a few more; stops early after ENOUGH differences."""
        verdict, begun = Verdict(), time.monotonic()
        for sequence, one, other in self._played(seed, commands):
            verdict.commands += len(sequence.commands)
            progress(len(sequence.commands))
            difference = find(sequence, one, other)
            if difference is None:
                continue
            known = explanation(difference)
            if known is not None:
                verdict.explained[known.name] = verdict.explained.get(known.name, 0) + 1
                continue
            verdict.found.append(difference)
            if len(verdict.found) >= ENOUGH:
                break
        verdict.seconds = time.monotonic() - begun
        verdict.found = [shrink(one, self.side, self.applet) for one in verdict.found]
        return verdict

    def replay(self, sequence: Play) -> Difference | None:
        return find(sequence, self.side.play(sequence), self.applet.play(sequence))

    def _played(self, seed: str, commands: int) -> Iterator[tuple[Play, list[Exchange], list[Exchange]]]:
        waiting: deque[tuple[Play, list[Exchange], Future[list[Exchange]]]] = deque()
        drawn = number = 0
        with ThreadPoolExecutor(1) as applet:
            try:
                while drawn < commands or waiting:
                    if drawn < commands and len(waiting) < _AHEAD:
                        sequence, exchanges = draw(number, seed, self.states, self.side, self.cast)
                        waiting.append((sequence, exchanges, applet.submit(self.applet.play, sequence)))
                        drawn, number = drawn + len(sequence.commands), number + 1
                    else:
                        sequence, exchanges, answered = waiting.popleft()
                        yield sequence, exchanges, answered.result()
            finally:
                for _, _, future in waiting:
                    future.cancel()
