"""Power loss: the disks of till and server cut back to what was synced, at many points of a recorded day.

At each point the machine of the till (with the desk), that of the server, or both lose their power; the disk then shows
what POSIX allows (`crash.disk.Loss`). The real code opens what is left. *Looked at*: all that was answered or shown is
there, and the books are sound. *Lived through*: till, desk and server also start again, people finish what was under
way, the books are compared as after a kill, and the power goes again in the midst of that (`crash.afterwards`).
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crash.afterwards import Afterwards, cut, look
from crash.books import Harm
from crash.moment import Moment, Words
from crash.recorder import SAID, SENT, SYNC, Record
from crash.recording import RecordedForge, Recording

POINTS = 200


@dataclass
class Outcome:
    """`points`: by machine; `lived`: how many of them were lived through; `harm` in words, each with its point."""

    points: Counter[str] = field(default_factory=Counter)
    lived: int = 0
    harm: Harm = field(default_factory=Harm)


class PowerLoss:
    """Cuts of one recorded day; works in `directory` (missing or empty)."""

    def __init__(self, day: Recording, directory: Path, seed: str) -> None:
        self._day, self._directory = day, directory
        self._rng = random.Random(seed)

    def run(self, *, every: int, points: int = POINTS, report: Callable[[Outcome], None] = lambda _: None) -> Outcome:
        """Look at all `points`, live through each `every`-th; the first harm ends it. `report` is told after each."""
        work = self._directory / "image"
        work.mkdir(parents=True)
        with RecordedForge(self._directory, work, self._directory / "log") as forge:
            afterwards = Afterwards(forge, work, self._day.port, self._rng)
            return self._cut(work, afterwards, every, points, report)

    def _cut(
        self, work: Path, afterwards: Afterwards, every: int, points: int, report: Callable[[Outcome], None]
    ) -> Outcome:
        outcome, words, disk = Outcome(), Words(), self._day.disk.copy()
        chosen = self._chosen(points)
        for number, record in enumerate(self._day.records, 1):
            disk.take(record)
            words.take(record, self._day.port)
            for _ in range(chosen[number]):
                how = cut(disk, work, self._rng)
                outcome.points[how.split()[0]] += 1
                moment, answers = Moment.of(self._day.begun, record.end, words), words.answers()
                lives = sum(outcome.points.values()) % every == 0
                harm = look(_copy(work) if lives else work, moment, answers)
                if lives and not harm:
                    outcome.lived += 1
                    harm.add(afterwards.live(moment, answers))
                outcome.harm.add(harm.named(f"after call {number}, {how}"))
                report(outcome)
                if harm:
                    return outcome
        return outcome

    def _chosen(self, points: int) -> Counter[int]:
        """Where to cut: after words, beside syncs and anywhere, in equal parts."""
        records = self._day.records
        words = [at for at, one in enumerate(records, 1) if self._is_promise(one)]
        syncs = [at for at, one in enumerate(records, 1) if one.op == SYNC]
        beside = sorted({near for at in syncs for near in (at - 1, at)} - {0})
        anywhere = range(1, len(records) + 1)
        parts = [points // 3, points // 3, points - 2 * (points // 3)]
        return Counter(
            at for places, size in zip((words, beside, anywhere), parts, strict=True) for at in self._draw(places, size)
        )

    def _is_promise(self, record: Record) -> bool:
        """PAID, an enrolment or a report of till or desk, or what the server has sent."""
        if record.op == SENT:
            return record.inode == self._day.port
        return record.op == SAID and any(word in record.data for word in (b"PAID", b"enrolled", b"{"))

    def _draw(self, places: Sequence[int], size: int) -> list[int]:
        whole, rest = divmod(size, len(places))
        return [*places] * whole + self._rng.sample(places, rest)


def _copy(work: Path) -> Path:
    """Looking already mends what the loss has left: life is to begin without it."""
    copy = work.with_name(f"{work.name}-looked-at")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(work, copy)
    return copy
