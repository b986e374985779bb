"""The whole city: districts played one by one or by several processes, and put together in their own order.

A district follows from the seed and its number alone, so the last state is the same for any number of processes. Its
disks are files of a memory file system where there is one: what a killed process leaves there is what it leaves on a
disk, and nobody waits for it. They count in the peak.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from server import logs
from simulate.chances import Chances
from simulate.district import District
from simulate.rest import Judgement, come_to_rest, judge

DISTRICT: Final = 20_000  # payments of one district, about
MEMORY: Final = Path("/dev/shm")
_POLL_S: Final = 0.5
_MIB: Final = 1 << 20

Progress = Callable[[int], None]
"""Told, now and then, how many payments have been made."""
Finished = Callable[[int, Judgement], None]
"""Told of each district, by its number, as soon as it is judged: nobody waits an hour to hear of a broken promise."""
Meddle = Callable[[District], None]
"""For tests of the checker: changes a district before it runs."""


@dataclass(frozen=True, slots=True)
class Played:
    """One district, judged. `process`, `peak`: which process played it, and what it needed (bytes)."""

    judgement: Judgement
    process: int
    peak: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The city at rest. `difference` in fen; `unkept`: promises; `peak` in bytes."""

    payments: int
    difference: int
    frauds: int
    found: int
    false: int
    unkept: tuple[str, ...]
    state: str
    peak: int
    districts: tuple[Judgement, ...]

    @property
    def well(self) -> bool:
        return not self.difference and self.found == self.frauds and not self.false and not self.unkept

    def line(self, seconds: float) -> str:
        """The last line of `make simulate`."""
        return (
            f"simulated: {self.payments} payments, {self.difference} fen difference, "
            f"frauds {self.found}/{self.frauds}, state sha256:{self.state}, {self.payments / seconds:.0f} payments/s, "
            f"peak {-(-self.peak // _MIB)} MiB"
        )


def quotas(payments: int, most: int = DISTRICT) -> list[int]:
    """`payments` over as few districts as may be, as evenly as may be."""
    count = -(-payments // most)
    return [payments // count + (number < payments % count) for number in range(count)]


def play(
    seed: str,
    number: int,
    quota: int,
    chances: Chances,
    paid: Callable[[], None] = lambda: None,
    meddle: Meddle = lambda _: None,
) -> Played:
    """One district in this process, from its founding to its judgement."""
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as made:
        directory = Path(made)
        district = District(seed, number, quota, directory, chances, paid)
        meddle(district)
        district.run()
        come_to_rest(district)
        judgement = judge(district)
        disks = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return Played(judgement, os.getpid(), _memory() + disks)


def play_all(
    seed: str,
    payments: int,
    *,
    workers: int,
    chances: Chances | None = None,
    district: int = DISTRICT,
    progress: Progress = lambda _: None,
    finished: Finished = lambda *_: None,
    only: int | None = None,
    meddle: Meddle = lambda _: None,
) -> Verdict:
    """The whole city. `workers`: processes, 0 for this one (the only way in which `meddle` is asked). `only`: the
    number of the one district to play."""
    plan = [one for one in enumerate(quotas(payments, district)) if only in (None, one[0])]
    drawn = chances or Chances()
    if workers:
        played = _in_processes(seed, plan, drawn, workers, progress, finished)
    else:
        made = 0

        def paid() -> None:
            nonlocal made
            made += 1
            progress(made)

        played = []
        for number, quota in plan:
            played.append(play(seed, number, quota, drawn, paid, meddle))
            finished(number, played[-1].judgement)
    return combine(played)


def combine(played: Sequence[Played]) -> Verdict:
    """`played`: in the order of the districts."""
    judged = [one.judgement for one in played]
    peaks: dict[int, int] = {os.getpid(): _memory()}
    for one in played:
        peaks[one.process] = max(peaks.get(one.process, 0), one.peak)
    return Verdict(
        payments=sum(one.payments for one in judged),
        difference=sum(abs(one.difference) for one in judged),
        frauds=sum(one.frauds for one in judged),
        found=sum(one.found for one in judged),
        false=sum(one.false for one in judged),
        unkept=tuple(promise for one in judged for promise in one.unkept),
        state=hashlib.sha256(b"".join(one.state for one in judged)).hexdigest(),
        peak=sum(peaks.values()),
        districts=tuple(judged),
    )


def _memory() -> int:
    """The most that this process has had in memory, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# Processes

_counter: Any = None


def _begin(counter: Any) -> None:
    """In a new process: quiet logs, and the count that all share."""
    global _counter
    _counter = counter
    logs.configure(level=logging.ERROR)


def _count() -> None:
    with _counter.get_lock():
        _counter.value += 1


def _play_here(seed: str, number: int, quota: int, chances: Chances) -> Played:
    return play(seed, number, quota, chances, _count)


def _in_processes(
    seed: str,
    plan: Sequence[tuple[int, int]],
    chances: Chances,
    workers: int,
    progress: Progress,
    finished: Finished,
) -> list[Played]:
    context = multiprocessing.get_context("spawn")
    counter = context.Value("Q", 0)
    with _pool(workers, context, counter) as pool:
        futures: dict[Future[Played], int] = {
            pool.submit(_play_here, seed, number, quota, chances): number for number, quota in plan
        }
        waits = set(futures)
        while waits:
            done, waits = wait(waits, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            progress(counter.value)
            for future in done:
                finished(futures[future], future.result().judgement)  # one that cannot be played ends the run
        return [future.result() for future in futures]


@contextmanager
def _pool(workers: int, context: Any, counter: Any) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(counter,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
