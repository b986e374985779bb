"""Rounds of load, kills, recovery and comparison in one shop; everything is drawn from the seed of the lap.

A moment is drawn, not a step: which instruction it hits depends on the machine, so that a seed replays a failure as
nearly as a real kill can be replayed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crash.books import Acknowledged, Harm, compare
from crash.forge import KILLED, LONGEST_S, Child, Forge
from crash.lanes import Checkout, Desk, Lane, Outbox
from crash.shop import DESK, NONE, SERVER, TILL, Plants, Shop, ShopError, free_port

_ROUND = {(TILL,): 8, (SERVER,): 8, (TILL, SERVER): 3, (DESK,): 1, (DESK, SERVER): 1}
_IN_RECOVERY = 0.15  # how often a command of the recovery is aimed at too
_FIRST_PACE_S = 0.03
_CARDS = 16  # more than a lap uses


@dataclass
class Result:
    """Kills by victim, and the harm that they did."""

    kills: Counter[str] = field(default_factory=Counter)
    harm: Harm = field(default_factory=Harm)


@dataclass
class _Shot:
    """A kill that is due at `at` (monotonic seconds); it may come too late for its victim and is then drawn again."""

    victim: str
    at: float


class Lap:
    """One shop in `data` (missing or empty). `plants`: faults for self-tests."""

    def __init__(self, forge: Forge, data: Path, seed: str, *, plants: Plants = NONE) -> None:
        self._rng = random.Random(seed)
        self._name = seed.replace("/", "-")
        workers = 1 if self._rng.random() < 0.1 else 0
        self._shop = Shop(forge, data, port=free_port(), workers=workers, plants=plants)
        self._shop.furnish(self._rng, blank=_CARDS)
        self._forge = forge
        self._told = Acknowledged()
        self._desk = Desk(self._shop, self._told, self._rng)
        self._checkout = Checkout(self._shop, self._desk, self._told, self._rng, self._name)
        self._outbox = Outbox(self._shop, self._rng)
        self._lanes: dict[str, tuple[str, Lane]] = {
            "checkout": (TILL, self._checkout),
            "outbox": (TILL, self._outbox),
            "desk": (DESK, self._desk),
        }
        self._running: dict[str, Child] = {}
        self._idle: set[str] = set()  # lanes that have nothing to do now
        self._pace = _FIRST_PACE_S  # seconds that a command takes here
        self.result = Result()

    def run(self, quota: int, report: Callable[[Result], None]) -> Result:
        """Until there were `quota` kills, or harm; `report` is told after each round."""
        with self._shop:
            self._open()
            while sum(self.result.kills.values()) < quota and not self.result.harm:
                try:
                    self._round(quota)
                    self._recover(quota)
                    self.result.harm.add(compare(self._shop.witnesses(), self._told))
                except ShopError as exc:
                    self.result.harm.lost.append(f"life does not go on: {exc}")
                report(self.result)
        return self.result

    def _open(self) -> None:
        """An enrolled till, two cards, a sale before anything is killed: they show how long a command takes here."""
        self._shop.start_server()
        self._shop.must(self._shop.enrol())
        took = [self._first(self._desk) for _ in iter(lambda: len(self._desk.ready), 2)]
        took.append(self._first(self._checkout))
        self._pace = sorted(took)[len(took) // 2]

    def _first(self, lane: Lane) -> float:
        child = lane.start()
        if child is None or child.wait():
            raise ShopError(f"the shop does not open: {child.err if child else 'nothing to do'}")
        lane.ended(child)
        return child.took

    # Load and kills -------------------------------------------------------------------------------------------------

    def _round(self, quota: int) -> None:
        """All lanes at once until the shots have fallen; then what still runs ends by itself."""
        now = time.monotonic()
        victims = self._rng.choices([*_ROUND], weights=[*_ROUND.values()])[0]
        left = quota - sum(self.result.kills.values())
        shots = [_Shot(one, now + self._pace * self._rng.uniform(0.1, 5.0)) for one in victims[:left]]
        stopped: set[str] = set()
        while shots or self._running:
            if time.monotonic() > now + LONGEST_S:
                raise ShopError("the round comes to no end")
            self._start_lanes(stopped, going=bool(shots))
            due = min((shot.at for shot in shots), default=now + LONGEST_S)
            self._forge.news(due - time.monotonic())
            for shot in [shot for shot in shots if shot.at <= time.monotonic()]:
                if self._fire(shot, stopped):
                    shots.remove(shot)
            self._take_ends(stopped)

    def _start_lanes(self, stopped: set[str], *, going: bool) -> None:
        for name, (_, lane) in self._lanes.items():
            if going and name not in stopped and name not in self._running:
                child = lane.start()
                if child is None:
                    self._idle.add(name)
                else:
                    self._idle.discard(name)
                    self._running[name] = child

    def _take_ends(self, stopped: set[str]) -> None:
        for name, child in list(self._running.items()):
            if child.code is not None:
                del self._running[name]
                if not self._lanes[name][1].ended(child):
                    stopped.add(name)

    def _fire(self, shot: _Shot, stopped: set[str]) -> bool:
        """Kill the victim; False when it was not there, so that the shot is drawn again for what comes next."""
        if shot.victim == SERVER:
            targets = [self._shop.server] if self._shop.server is not None else []
        else:
            names = [name for name, (place, _) in self._lanes.items() if place == shot.victim]
            running = [name for name in names if name in self._running]
            if not running and stopped | self._idle >= set(names):
                return True  # it does nothing more in this round
            chosen = running if self._rng.random() < 0.3 else running[: 1 + self._rng.randrange(2)][-1:]
            targets = [self._running[name] for name in chosen]
        if not self._kill(shot.victim, targets):
            shot.at = time.monotonic() + self._pace * self._rng.random()
            return False
        stopped |= {name for name, (place, _) in self._lanes.items() if place == shot.victim}
        return True

    def _kill(self, victim: str, targets: list[Child]) -> bool:
        """At least one of these has ended by our signal. A till or desk that dies with several processes dies once."""
        for child in targets:
            child.kill()
        hit = [child for child in targets if child.wait() == KILLED]
        if hit:
            self.result.kills[victim] += 1
        return bool(hit)

    # Recovery -------------------------------------------------------------------------------------------------------

    def _recover(self, quota: int) -> None:
        """Server up; then what cashier, till and desk do next, any command of which may be killed as well."""

        def watched(start: Callable[[], Child]) -> Child:
            self._ensure_server()
            child = start()
            if self._rng.random() < _IN_RECOVERY and sum(self.result.kills.values()) < quota:
                self._aim(child)
            child.wait()
            return child

        for lane in (self._checkout, self._desk, self._outbox):
            lane.recover(watched)
        self._ensure_server()

    def _aim(self, child: Child) -> None:
        """At a random moment kill this command or the server under it, if the command still runs then."""
        at = time.monotonic() + self._pace * self._rng.uniform(0.1, 1.5)
        while child.code is None and (left := at - time.monotonic()) > 0:
            self._forge.news(left)
        if child.code is not None:
            return
        if self._rng.random() < 0.5 and self._shop.server is not None:
            self._kill(SERVER, [self._shop.server])
        else:
            self._kill(DESK if child.words[0] == "card" else TILL, [child])

    def _ensure_server(self) -> None:
        if self._shop.server is None or self._shop.server.code is not None:
            self._shop.start_server()
