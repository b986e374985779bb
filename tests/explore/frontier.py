"""Breadth-first search of a model, its states shared out among processes by their hash.

Each process owns the states whose hash says so: it alone knows whether they are new, checks them and takes their steps.
A step into a state of another owner is sent there, with the parts of it that the other has not seen. All of them work
on one level at a time, so that the first way found to a state is a shortest one, however many processes there are.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from explore.market import Market, State

SLICE = 4_000  # states that a process takes the steps of before it tells the others

Item = tuple[bytes, State, int, int]
"""A state for its owner: hash, numbers as the sender has them, and the step to it (sender's state, number of step)."""


@dataclass
class Parcel:
    """What one process sends to another after a slice. `news`: for each part of a state (number, hash, content)."""

    news: list[list[tuple[int, bytes, Any]]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    left: int = 0  # states of this level whose steps are still to be taken
    following: int = 0  # states of the next level
    stop: bool = False


@dataclass(frozen=True)
class Limits:
    """When a search ends though there is more: after `seconds`, or about `states`. `edges`: keep every step."""

    seconds: float | None = None
    states: int | None = None
    edges: bool = True


@dataclass(frozen=True)
class Broken:
    """An invariant that does not hold: at a state, or in step number `step` from it."""

    text: str
    owner: int
    state: int
    step: int | None = None


@dataclass
class Found:
    """What one process has found. Arrays by the number of the state; edges are (state, owner and number before it)."""

    states: int = 0
    transitions: int = 0
    levels: int = 0
    exhausted: bool = False
    broken: list[Broken] = field(default_factory=list)
    from_owner: array[int] = field(default_factory=lambda: array("B"))
    from_state: array[int] = field(default_factory=lambda: array("I"))
    from_step: array[int] = field(default_factory=lambda: array("H"))
    home: bytearray = field(default_factory=bytearray)
    edge_to: array[int] = field(default_factory=lambda: array("I"))
    edge_owner: array[int] = field(default_factory=lambda: array("B"))
    edge_from: array[int] = field(default_factory=lambda: array("I"))
    orders: dict[bytes, set[bytes]] = field(default_factory=dict)
    executed: int = 0


class Searcher:
    """One of `count` processes. `peers`: a connection to each other one, None at its own place."""

    def __init__(
        self,
        market: Market,
        limits: Limits,
        number: int = 0,
        peers: list[Connection | None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._market = market
        self._limits = limits
        self._number = number
        self._peers = peers or [None]
        self._tell = tell
        self._numbers: dict[bytes, int] = {}
        self._level: list[tuple[int, State]] = []
        self._next: list[tuple[int, State]] = []
        self._sent: list[list[set[int]]] = [[set() for _ in market.stores] for _ in self._peers]
        self._known: list[list[dict[int, int]]] = [[{} for _ in market.stores] for _ in self._peers]
        self.found = Found()

    def run(self) -> Found:
        """Search until nothing is new, something is broken, or a limit is reached."""
        found, market = self.found, self._market
        started = told = time.monotonic()
        key = market.key(market.first)
        if self._owner(key) == self._number:
            self._take(key, market.first, 0, 0, 0)
        self._level, self._next = self._next, []
        depth = 0
        while True:
            parcels = self._slice()
            now = time.monotonic()
            stop = bool(found.broken) or (self._limits.seconds is not None and now - started > self._limits.seconds)
            if self._limits.states is not None and found.states * len(self._peers) >= self._limits.states:
                stop = True
            left, following, stop = self._exchange(parcels, stop=stop)
            if self._tell is not None and now - told > 10:
                told = now
                self._tell(
                    f"level {found.levels}: about {found.states * len(self._peers):,} states, {left:,} to go in this "
                    f"level, {following:,} in the next, {now - started:.0f} s"
                )
            if stop:
                break
            if left == 0:
                if following == 0:
                    found.exhausted = not found.broken
                    break
                depth += 1
                self._level, self._next = self._next, []
                if self._level:
                    found.levels = depth
        self._finish()
        return found

    # Steps

    def _slice(self) -> list[Parcel]:
        """The steps of some states of this level."""
        market, found, count = self._market, self.found, len(self._peers)
        parcels = [Parcel() for _ in self._peers]
        batch, self._level = self._level[:SLICE], self._level[SLICE:]
        for number, state in batch:
            step_number = -1
            for step_number, step in enumerate(market.steps(state)):
                found.transitions += 1
                if step.wrong:
                    found.broken.append(Broken(step.wrong, self._number, number, step_number))
                key = market.key(step.state)
                owner = key[0] % count
                if owner == self._number:
                    self._take(key, step.state, owner, number, step_number)
                else:
                    parcels[owner].items.append((key, step.state, number, step_number))
            if step_number < 0 and not found.home[number]:
                found.broken.append(Broken("I3: nothing can go on, and value is not home", self._number, number))
        return parcels

    def _take(self, key: bytes, state: State, owner: int, before: int, step: int) -> None:
        """A state that this process owns, reached by a step of `owner`."""
        found = self.found
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = found.states
            found.states += 1
            found.from_owner.append(owner)
            found.from_state.append(before)
            found.from_step.append(step)
            wrong, home = self._market.check(state)
            found.home.append(home)
            if wrong:
                found.broken.append(Broken(wrong, self._number, number))
            self._next.append((number, state))
        if self._limits.edges:
            found.edge_to.append(number)
            found.edge_owner.append(owner)
            found.edge_from.append(before)

    def _owner(self, key: bytes) -> int:
        return key[0] % len(self._peers)

    # Exchange

    def _exchange(self, parcels: list[Parcel], *, stop: bool) -> tuple[int, int, bool]:
        """Send each peer its parcel, take theirs; what is left of this level, in the next, and whether to stop."""
        threads = []
        following = len(self._next) + sum(len(parcel.items) for parcel in parcels)
        left = len(self._level)
        for peer, connection in enumerate(self._peers):
            if connection is not None:
                parcel = parcels[peer]
                parcel.left, parcel.following, parcel.stop = len(self._level), following, stop
                self._add_news(peer, parcel)
                threads.append(Thread(target=connection.send, args=(parcel,)))
                threads[-1].start()
        for peer, connection in enumerate(self._peers):
            if connection is not None:
                parcel = connection.recv()
                stop = stop or parcel.stop
                left += parcel.left
                following += parcel.following
                self._receive(peer, parcel)
        for thread in threads:
            thread.join()
        return left, following, stop

    def _add_news(self, peer: int, parcel: Parcel) -> None:
        """The contents that the items of a parcel speak of and the peer has not got."""
        for at, (store, sent) in enumerate(zip(self._market.stores, self._sent[peer], strict=True)):
            wanted = {state[at] for _, state, _, _ in parcel.items} - sent
            sent |= wanted
            parcel.news.append([(n, store.digests[n], store.values[n]) for n in sorted(wanted)])

    def _receive(self, peer: int, parcel: Parcel) -> None:
        known = self._known[peer]
        for store, numbers, news in zip(self._market.stores, known, parcel.news, strict=True):
            for number, content, value in news:
                numbers[number] = store.add(content, value)
        parts = len(known)
        for key, state, before, step in parcel.items:
            mine = tuple(numbers[number] for numbers, number in zip(known, state, strict=False))
            self._take(key, mine + state[parts:], peer, before, step)

    def _finish(self) -> None:
        servers = self._market.servers
        self.found.executed = self._market.executed
        for known, balances in servers.orders():
            self.found.orders.setdefault(known, set()).add(balances)
