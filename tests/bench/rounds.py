"""Interleaved rounds, B A B A B: every run of the candidate (A) stands between two runs of its control (B).

Only ratios of one run count: a shared machine drifts, and it moves both. A round's ratio is the candidate's figure over
the mean of its two neighbours. A round is dropped and played again when its controls differ by more than 15 %, or when
others kept more than a tenth of a core busy. Reported: median, minimum and maximum of the ratios that are left. On a
machine that is never quiet the rounds whose controls agreed must do, and the report says `busy`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bench.neighbours import Usage, usage
from bench.sizes import Rounds


class NoisyError(Exception):
    """The machine was too unsteady to give a figure."""


class Watch(Protocol):
    """Tells what the machine has done so far."""

    def __call__(self) -> Usage: ...


@dataclass(frozen=True, slots=True)
class Ratios:
    """Figures of one benchmark: `candidate` and `control` are medians in the unit that the callables return."""

    ratio: float
    minimum: float
    maximum: float
    candidate: float
    control: float
    rounds: int
    dropped: int
    busy: bool = False

    def facts(self) -> dict[str, float | int | bool]:
        """The members that every interleaved benchmark has in the report."""
        return {
            "ratio": round(self.ratio, 3),
            "min": round(self.minimum, 3),
            "max": round(self.maximum, 3),
            "rounds": self.rounds,
            "dropped": self.dropped,
            "busy": self.busy,
        }


def interleave(
    candidate: Callable[[int], float], control: Callable[[int], float], plan: Rounds, watch: Watch = usage
) -> Ratios:
    """Play until `plan.count` rounds were steady; both callables get the number of the round, return a rate or a time.

    What prepares a round is no part of its figure: the callables time themselves. Raises NoisyError when
    `plan.count + plan.spare` rounds did not bring `plan.least` steady ones.
    """
    kept: list[tuple[float, float]] = []
    steady: list[tuple[float, float]] = []
    before, seen = control(0), watch()
    number = 0
    while len(kept) < plan.count and number < plan.count + plan.spare:
        figure = candidate(number)
        after, now = control(number + 1), watch()
        middle = (before + after) / 2
        if abs(after - before) <= plan.max_drift * middle:
            steady.append((figure, middle))
            if now.elsewhere_since(seen) <= plan.max_elsewhere:
                kept.append((figure, middle))
        before, seen, number = after, now, number + 1
    busy = len(kept) < plan.least
    kept = steady if busy else kept
    if len(kept) < plan.least:
        raise NoisyError(f"only {len(kept)} of {number} rounds were steady; run again on a quieter machine")
    ratios = [figure / middle for figure, middle in kept]
    return Ratios(
        ratio=statistics.median(ratios),
        minimum=min(ratios),
        maximum=max(ratios),
        candidate=statistics.median(figure for figure, _ in kept),
        control=statistics.median(middle for _, middle in kept),
        rounds=len(kept),
        dropped=number - len(kept),
        busy=busy,
    )
