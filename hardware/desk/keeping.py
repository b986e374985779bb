"""Snapshots, clones and the way back to a card's beginning: what a real secure element never lets anybody do.

A card that lies in a reader is taken out for it and put back, so that every program sees what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from hardware.desk.desk import Desk
from hardware.desk.held import HeldCard
from hardware.desk.problems import DeskProblem
from hardware.desk.store import Kept, is_name

MAX_SNAPSHOTS: Final = 32


class Keeping:
    """Snapshots of the cards of one desk: on disk where the desk has one, else in memory."""

    def __init__(self, desk: Desk, *, now_ms: Callable[[], int]) -> None:
        self._desk = desk
        self._now_ms = now_ms
        self._in_memory: dict[str, dict[str, Kept]] = {}

    def names(self, card_id: str) -> list[dict[str, Any]]:
        """The snapshots of a card, oldest first: name, when, balance."""
        with self._desk.lock:
            self._desk.card(card_id)
            return [_told(name, kept) for name, kept in self._all(card_id).items()]

    def take(self, card_id: str, name: str | None) -> dict[str, Any]:
        """Keep the card as it is now, also while it has power. Raises DeskProblem `card-exists`, `too-many`."""
        with self._desk.lock:
            held = self._desk.card(card_id)
            there = self._all(card_id)
            if len(there) >= MAX_SNAPSHOTS:
                raise DeskProblem("too-many", f"A card has {MAX_SNAPSHOTS} snapshots.", next_step="Delete one.")
            name = name or next(free for n in range(1, MAX_SNAPSHOTS + 2) if (free := f"snapshot-{n}") not in there)
            if not is_name(name):
                raise DeskProblem("malformed", "A name has lower-case letters, digits and hyphens, 48 at most.")
            if name in there:
                raise DeskProblem("card-exists", f"{card_id} has a snapshot {name!r} already.")
            kept = Kept({"at_ms": self._now_ms(), "memory": held.memory()}, held.flash.snapshot())
            if self._desk.store:
                self._desk.store.save_snapshot(card_id, name, kept)
            else:
                self._in_memory.setdefault(card_id, {})[name] = kept
            told = _told(name, kept)
            self._desk.events.emit("snapshot", card=card_id, snapshot=told)
            return told

    def restore(self, card_id: str, name: str) -> None:
        """The card is again what it was then, randomness included. Raises DeskProblem `not-found`."""
        with self._desk.lock:
            kept = self._find(card_id, name)
            with self._out_of_reader(card_id) as held:
                held.become(kept.flash, kept.facts["memory"])
                self._desk.keep(held)
                self._desk.events.emit("restored", card=card_id, snapshot=name)

    def forget(self, card_id: str, name: str) -> None:
        with self._desk.lock:
            self._find(card_id, name)
            if self._desk.store:
                self._desk.store.remove_snapshot(card_id, name)
            else:
                del self._in_memory[card_id][name]
            self._desk.events.emit("forgotten", card=card_id, snapshot=name)

    def clone(self, card_id: str, name: str | None = None) -> HeldCard:
        """A second card with the same memory, key and all: what a broken secure element would allow."""
        with self._desk.lock:
            twin = self.twin(card_id, self._desk.new_name(name, f"{card_id}-clone"))
            twin.latency = self._desk.card(card_id).latency
            return self._desk.add(twin)

    def twin(self, card_id: str, name: str) -> HeldCard:
        """A copy that does not lie on the desk."""
        with self._desk.lock:
            held = self._desk.card(card_id)
            twin = HeldCard(name, held.origin, now_ms=self._now_ms, snapshot=held.flash.snapshot())
            twin.become(held.flash.snapshot(), held.memory())
            return twin

    def reset(self, card_id: str) -> None:
        """The card is again what its profile and seed make."""
        with self._desk.lock, self._out_of_reader(card_id) as held:
            held.become(None, None)
            held.arm(None)
            self._desk.keep(held)
            self._desk.events.emit("reset", card=card_id, **asdict(held.origin))

    def drop(self, card_id: str) -> None:
        """The card is gone for good: so are its snapshots."""
        self._in_memory.pop(card_id, None)

    def _all(self, card_id: str) -> dict[str, Kept]:
        store = self._desk.store
        return store.snapshots(card_id) if store else dict(self._in_memory.get(card_id, {}))

    def _find(self, card_id: str, name: str) -> Kept:
        self._desk.card(card_id)
        try:
            return self._all(card_id)[name]
        except KeyError:
            raise DeskProblem("not-found", f"{card_id} has no snapshot {name!r}.") from None

    @contextmanager
    def _out_of_reader(self, card_id: str) -> Iterator[HeldCard]:
        held = self._desk.card(card_id)
        reader = held.slot
        if reader is not None:
            self._desk.remove(card_id)
        yield held
        if reader is not None:
            self._desk.insert(card_id, reader)


def _told(name: str, kept: Kept) -> dict[str, Any]:
    face = kept.facts["memory"]["face"]
    return {"name": name, "at_ms": kept.facts["at_ms"], "balance": face["balance"] if face else None}
