"""The desk: cards, two reader slots, and what can be done to them. For any number of threads; it knows no HTTP.

One lock guards everything, events included, so that the order of events is the order of what happened. It is given
away while an answer is held back for a real card's time, and while the virtual reader takes or lets go of a card.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from hardware.card_like import CardTorn
from hardware.desk.events import EventLog
from hardware.desk.held import HeldCard, Origin
from hardware.desk.latency import Latency
from hardware.desk.problems import DeskProblem
from hardware.desk.slots import Address, Slot
from hardware.desk.store import Kept, Store, is_name
from hardware.emulator.card import ATR
from hardware.emulator.faults import FaultPlan
from hardware.transports.base import check_command
from wallet_core.errors import ConfigurationError, EcnyError, OutcomeUnknownError, StorageError

MAX_CARDS: Final = 24
SLOTS: Final = 2
FIRST_CARDS: Final = (
    Origin("hk-visitor", "1"),
    Origin("hk-visitor", "2"),
    Origin("merchant-sam", "1"),
    Origin("blank", "1"),
)
"""On a desk that has never had a card."""


class Desk:
    """`store` None keeps nothing on disk; `address` None looks for no virtual reader. `now_ms`: Unix time in ms."""

    def __init__(
        self, events: EventLog, *, now_ms: Callable[[], int], store: Store | None = None, address: Address | None = None
    ) -> None:
        self.events = events
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._now_ms = now_ms
        self.store = store
        self._cards: dict[str, HeldCard] = {}
        self._timers: set[threading.Timer] = set()
        self._closed = False
        self.slots = tuple(Slot(number, self, address) for number in range(SLOTS))
        self._take_from_store()
        for slot in self.slots:
            slot.start()

    def _take_from_store(self) -> None:
        for name, kept in self.store.cards() if self.store else ():
            try:
                origin = Origin(**{key: kept.facts[key] for key in ("profile", "seed", "endurance")})
                held = HeldCard(name, origin, now_ms=self._now_ms, snapshot=kept.flash)
                held.become(kept.flash, kept.facts["memory"])
                held.latency = Latency(**kept.facts["latency"]) if kept.facts.get("latency") else None
            except (KeyError, TypeError, EcnyError) as error:
                raise ConfigurationError(
                    f"card {name} of this desk cannot be read", next_step="Move its files away and start again."
                ) from error
            self._cards[name] = held
        if not self._cards:
            for origin in FIRST_CARDS:
                self.create(origin)

    def close(self) -> None:
        """Takes all cards out and ends all streams. May be repeated."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            for held in self._cards.values():
                held.power_off()
                self.keep(held)
            self.changed.notify_all()
        self.events.close()
        for slot in self.slots:
            slot.stop()
        if self.store:
            self.store.close()

    # Cards

    def cards(self) -> list[HeldCard]:
        return list(self._cards.values())

    def card(self, card_id: str) -> HeldCard:
        """Raises DeskProblem `not-found`."""
        try:
            return self._cards[card_id]
        except KeyError:
            raise DeskProblem("not-found", f"There is no card {card_id!r} on this desk.") from None

    def create(self, origin: Origin, name: str | None = None) -> HeldCard:
        """Another card. Raises DeskProblem `card-exists`, `malformed`, `too-many`."""
        with self.lock:
            return self.add(
                HeldCard(self.new_name(name, f"{origin.profile}-{origin.seed}"), origin, now_ms=self._now_ms)
            )

    def add(self, held: HeldCard) -> HeldCard:
        self._cards[held.id] = held
        self.keep(held)
        self.events.emit("created", card=held.id, **asdict(held.origin))
        return held

    def new_name(self, wanted: str | None, otherwise: str) -> str:
        """A name that no card has: `wanted`, or made from `otherwise`."""
        if len(self._cards) >= MAX_CARDS:
            raise DeskProblem("too-many", f"A desk holds {MAX_CARDS} cards.", next_step="Remove one for good.")
        if wanted is None:
            base = "".join(one if one.isascii() and one.isalnum() else "-" for one in otherwise.lower()).strip("-")[:40]
            free = (f"{base}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, MAX_CARDS + 2))))
            wanted = next(name for name in free if name not in self._cards)
        if not is_name(wanted):
            raise DeskProblem("malformed", "A name has lower-case letters, digits and hyphens, 48 at most.")
        if wanted in self._cards:
            raise DeskProblem("card-exists", f"A card is called {wanted!r} already.", next_step="Take another name.")
        return wanted

    def delete(self, card_id: str) -> None:
        with self.lock:
            held = self.card(card_id)
            if held.slot is not None:
                self.remove(card_id)
            del self._cards[card_id]
            if self.store:
                self.store.remove_card(card_id)
            self.events.emit("deleted", card=card_id)

    def keep(self, held: HeldCard) -> None:
        """What is told of is on disk before."""
        if self.store:
            latency = asdict(held.latency) if held.latency else None
            facts = {**asdict(held.origin), "latency": latency, "memory": held.memory()}
            self.store.save_card(held.id, Kept(facts, held.flash.snapshot()))

    def arm(self, card_id: str, plan: FaultPlan | None) -> None:
        """One power cut waits for the card; None: none does."""
        with self.lock:
            held = self.card(card_id)
            held.arm(plan)
            self.events.emit("armed", card=card_id, plan=str(plan) if plan else None)

    def set_latency(self, card_id: str, latency: Latency | None) -> None:
        with self.lock:
            held = self.card(card_id)
            held.latency = latency
            self.keep(held)
            self.events.emit("latency", card=card_id, latency=latency.facts() if latency else None)

    # Readers

    def insert(self, card_id: str, reader: int | None = None) -> Slot:
        """Put it into this slot, or the first that is free. It has power when this returns, or, where the virtual
        reader has taken it, gets it from there at any moment.

        Raises DeskProblem `card-inserted`, `reader-occupied`, `card-dead`.
        """
        with self.lock:
            slot = self._free_slot(card_id, reader)
            slot.let_go()  # a card that was torn a moment ago: until its removal is seen, this one would pass for it
            slot = self._free_slot(card_id, slot.number)  # nobody was faster
            held = self.card(card_id)
            slot.put_in(held)
            self.events.emit("inserted", card=card_id, reader=slot.number)
            slot.settle()
            if slot.card is held and not slot.attached and not held.powered:
                self._power(held)
            return slot

    def _free_slot(self, card_id: str, reader: int | None) -> Slot:
        if (where := self.card(card_id).slot) is not None:
            raise DeskProblem("card-inserted", f"{card_id} is in reader {where}.", next_step="Remove it first.")
        if reader is None:
            for slot in self.slots:
                if slot.card is None:
                    return slot
            raise DeskProblem("reader-occupied", "All readers have a card.", next_step="Remove one.")
        if not 0 <= reader < len(self.slots):
            raise DeskProblem("not-found", f"The readers are 0 to {len(self.slots) - 1}.")
        if (there := self.slots[reader].card) is not None:
            raise DeskProblem("reader-occupied", f"{there.id} is in reader {reader}.", next_step="Remove it first.")
        return self.slots[reader]

    def remove(self, card_id: str) -> None:
        """Take it out: an answer that is under way is lost."""
        with self.lock:
            held, slot = self.inserted(card_id)
            self._take_out(held, slot)
            slot.let_go()
            self.events.emit("removed", card=card_id, reader=slot.number)

    def _take_out(self, held: HeldCard, slot: Slot) -> None:
        slot.take_out()
        held.power_off()
        self.keep(held)
        self.changed.notify_all()

    def power_cycle(self, card_id: str) -> None:
        """Power away and back: a new tap. Where the virtual reader has the card, it is taken out and put back."""
        with self.lock:
            held, slot = self.inserted(card_id)
            if slot.attached:
                number = slot.number
                self.remove(card_id)
                self.insert(card_id, number)
                return
            held.power_off()
            self.changed.notify_all()
            self._power(held)

    def inserted(self, card_id: str) -> tuple[HeldCard, Slot]:
        """Raises DeskProblem `card-not-inserted`."""
        held = self.card(card_id)
        if held.slot is None:
            raise DeskProblem("card-not-inserted", f"{card_id} lies on the desk.", next_step="Insert it.")
        return held, self.slots[held.slot]

    def _power(self, held: HeldCard) -> None:
        try:
            entry = held.power_on()
        except DeskProblem:
            self.keep(held)
            self.events.emit("dead", card=held.id)
            raise
        self.keep(held)
        self.events.emit("powered", card=held.id, entry=entry)

    # Exchanges

    def exchange(self, card_id: str, command: bytes, by: str) -> bytes:
        """Send one APDU to an inserted card, which gets power if it has none.

        Raises DeskProblem, CodecError (no APDU, nothing sent), OutcomeUnknownError (torn or taken away).
        """
        check_command(command)
        with self.lock:
            held, _ = self.inserted(card_id)
            if not held.powered:
                self._power(held)
            try:
                return self._carry(held, command, by)
            except CardTorn as torn:
                raise OutcomeUnknownError(
                    f"sent, but no answer came: {torn}", next_step="Insert the same card again: it acts at most once."
                ) from torn

    def _carry(self, held: HeldCard, command: bytes, by: str) -> bytes:
        plan, reader = held.plan, held.slot
        answer, entry = held.exchange(command, by)
        if answer is None and reader is not None:
            self.slots[reader].take_out()
        self._keep_or_lose(held)
        self.changed.notify_all()
        self.events.emit("exchange", card=held.id, entry=entry)
        if answer is None:
            struck = plan if held.plan is None else None
            self.events.emit(
                "torn", card=held.id, reader=reader, plan=str(struck) if struck else None, meaning=entry["meaning"]
            )
            if struck and struck.reinsert_ms and reader is not None:
                self._later(struck.reinsert_ms, held.id, reader)
            raise CardTorn(entry["meaning"])
        self._hold_back(held, entry)
        return answer

    def _keep_or_lose(self, held: HeldCard) -> None:
        """What the disk refuses is told to nobody: the card falls silent, as if it were torn. Raises StorageError."""
        try:
            self.keep(held)
        except StorageError:
            held.power_off()
            if held.slot is not None:
                reader = self.slots[held.slot].number
                self.slots[reader].take_out()
                self.events.emit("removed", card=held.id, reader=reader)
            self.changed.notify_all()
            raise

    def _hold_back(self, held: HeldCard, entry: dict[str, Any]) -> None:
        """A real card's time. Whoever takes the card away meanwhile takes its answer away."""
        left_ms = entry.get("model_ms", 0.0) - entry["ms"]
        session = held.session
        if left_ms > 0 and self.changed.wait_for(lambda: held.session != session or self._closed, left_ms / 1000):
            self.events.emit("answer-lost", card=held.id, i=entry["i"])
            raise CardTorn("taken away before its answer")

    def _later(self, delay_ms: int, card_id: str, reader: int) -> None:
        timer = threading.Timer(delay_ms / 1000, self._put_back, (card_id, reader))
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def _put_back(self, card_id: str, reader: int) -> None:
        with self.lock, suppress(DeskProblem):  # somebody was faster: the card or the reader is in use, or gone
            self._timers = {timer for timer in self._timers if timer.is_alive()}
            if not self._closed:
                self.insert(card_id, reader)

    # What the virtual reader does (`slots.Owner`)

    def reader_powers(self, slot: Slot, *, on: bool) -> None:
        with self.lock:
            held = slot.card
            if not on:
                if held is not None and slot.attached and held.power_off():
                    self.keep(held)
                    self.events.emit("unpowered", card=held.id)
                return
            if held is None or self._closed:
                raise CardTorn("no card in this slot")
            try:
                self._power(held)
            except DeskProblem as dead:
                raise CardTorn(dead.message) from dead

    def reader_sends(self, slot: Slot, command: bytes) -> bytes:
        with self.lock:
            held = slot.card
            if held is None or not held.powered:
                raise CardTorn("no card in this slot")
            return self._carry(held, command, "pcsc")

    def reader_says(self, slot: Slot) -> None:
        self.events.emit("reader", **slot.facts())

    # Told

    def facts(self) -> dict[str, Any]:
        """The whole desk in short, with the position of the newest event that it contains."""
        with self.lock:
            return {
                "boot": self.events.boot,
                "event": self.events.position,
                "now_ms": self._now_ms(),
                "atr": ATR.hex().upper(),
                "readers": [{**slot.facts(), "looks_for_vpcd": slot.has_reader} for slot in self.slots],
                "cards": [held.facts() for held in self._cards.values()],
            }

    def card_facts(self, card_id: str) -> dict[str, Any]:
        with self.lock:
            held = self.card(card_id)
            return {**held.facts(), "event": self.events.position, "state": held.state}
