"""A day in the shop, recorded call by call: enrolling, loading, selling, syncing, a server that stops and starts.

Nothing is killed here. The log says what had reached the disk and what had been said at any moment of that day.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crash.books import Acknowledged
from crash.disk import Disk, ModelError
from crash.forge import Child, Forge
from crash.lanes import Checkout, Desk, Lane, Outbox
from crash.recorder import Record, compiled, read, variables
from crash.shop import NONE, Plants, Shop, ShopError, free_port

CARDS = 3
SALES = 10  # in each half of the day, with half as many syncs and loads
PLACE = "shop"  # the recorded directory, in that of the recording


@dataclass(frozen=True)
class Begun:
    """A command that was started when the log had `at` bytes."""

    at: int
    pid: int
    words: tuple[str, ...]

    def option(self, name: str) -> str:
        return self.words[self.words.index(name) + 1]


@dataclass(frozen=True)
class Recording:
    """`disk`: as the day began; `records`: all calls in their order; `port`: the server's."""

    disk: Disk
    records: list[Record]
    begun: list[Begun]
    port: int


class RecordedForge(Forge):
    """Records its children on files below `root` into `log`, and notes where in the log each began."""

    def __init__(self, directory: Path, root: Path, log: Path) -> None:
        log.touch()
        self.log = log
        self.begun: list[Begun] = []
        super().__init__(directory / "printed", preload=compiled(directory), variables=variables(root, log))

    def start(self, words: Sequence[str], home: Path, *, plant: str = "") -> Child:
        at = self.log.stat().st_size
        child = super().start(words, home, plant=plant)
        self.begun.append(Begun(at, child.pid, tuple(words)))
        return child


def record(directory: Path, seed: str, *, sales: int = SALES, plants: Plants = NONE) -> Recording:
    """Play a day of about twice so many `sales` in `directory` (missing or empty). `plants`: faults for self-tests.

    Raises ModelError if the log does not explain what lies on the disk in the end.
    """
    rng = random.Random(seed)
    root, log = directory / PLACE, directory / "log"
    root.mkdir(parents=True)
    with RecordedForge(directory, root, log) as forge, Shop(forge, root, port=free_port(), plants=plants) as shop:
        shop.furnish(rng, blank=CARDS)
        disk = Disk(root)
        _Day(shop, rng, sales).play()
        shop.stop_server()
        begun, port = forge.begun, shop.port
    records = read(log)
    _prove(records, disk.copy())
    return Recording(disk, records, begun, port)


def _prove(records: list[Record], disk: Disk) -> None:
    for one in records:
        disk.take(one)
    differing = disk.agrees()
    if differing:
        raise ModelError(f"the log does not explain {', '.join(differing)}")


class _Day:
    def __init__(self, shop: Shop, rng: random.Random, sales: int) -> None:
        self._shop, self._sales = shop, sales
        told = Acknowledged()
        self._desk = Desk(shop, told, rng)
        self._checkout = Checkout(shop, self._desk, told, rng, "day")
        self._outbox = Outbox(shop, rng)

    def play(self) -> None:
        self._shop.start_server()
        self._shop.must(self._shop.enrol())
        while not self._desk.ready:
            self._one(self._desk)
        self._together()
        self._shop.stop_server()
        self._shop.start_server()
        self._together()

    def _one(self, lane: Lane) -> None:
        child = lane.start()
        if child is None:
            raise ShopError("nothing to do on a quiet day")
        child.wait()
        lane.ended(child)

    def _together(self) -> None:
        """Selling, syncing and loading at once; each lane does its share."""
        left: dict[Lane, int] = {
            self._checkout: self._sales,
            self._outbox: -(-self._sales // 2),
            self._desk: -(-self._sales // 2),
        }
        running: dict[Lane, Child] = {}
        while any(left.values()) or running:
            for lane, more in left.items():
                if more and lane not in running:
                    child = lane.start()
                    left[lane] = more - 1 if child is not None else 0
                    if child is not None:
                        running[lane] = child
            for lane, child in list(running.items()):
                if child.code is not None:
                    del running[lane]
                    if not lane.ended(child):
                        raise ShopError(f"`ecny {' '.join(child.words)}` ended with {child.code} on a quiet day")
            if running:
                self._shop.forge.news(60.0)
