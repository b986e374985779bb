"""One emulated card of the desk: where it came from, what it says of itself, and everything that went over its wire.

A `HeldCard` is used under the lock of its `Desk` only. It sees each cell that is programmed (as the keeper of its
flash), so that a trace can tell which writes belong to which command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from hardware.card_like import CardTorn
from hardware.desk.latency import Latency
from hardware.desk.problems import DeskProblem
from hardware.desk.traces import Exchange, TraceLog
from hardware.desk.views import face_facts, state_facts
from hardware.emulator.card import ATR, EmulatedCard, PlannedFaults
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Flash
from hardware.emulator.issuer import make_ready
from hardware.emulator.profiles import find_ready
from hardware.emulator.vault import Vault
from wallet_core.errors import EcnyError, StorageError

LEAST_ENDURANCE: Final = 40
"""Programmings of a cell; below it a card does not outlive its making."""

_LOST: Final = {
    Tear.BEFORE: "torn before the command was looked at",
    Tear.DURING: "torn in the middle of a write",
    Tear.AFTER_COMMIT: "torn after the commit, before the answer",
    Tear.ANSWER: "torn on the answer's way back",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """From what a card is made again: the same origin is the same card. `endurance`: programmings of a cell."""

    profile: str
    seed: str
    endurance: int | None = None


class HeldCard:
    """An emulated card by its `id`. `clock_ns` is monotonic; `now_ms` is Unix time in ms."""

    def __init__(
        self,
        card_id: str,
        origin: Origin,
        *,
        now_ms: Callable[[], int],
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        snapshot: bytes | None = None,
    ) -> None:
        self.id = card_id
        self.origin = origin
        self.plans = PlannedFaults()
        self.latency: Latency | None = None
        self.slot: int | None = None
        self.powered = False
        self.session = 0
        """Rises with each end of a power session: whoever waits for an answer sees that the card went."""
        self.torn_cells: set[int] = set()
        self.trace = TraceLog(f"ecny card desk, {card_id}")
        self.state: dict[str, Any] | None = None
        self.face: dict[str, Any] | None = None
        self.as_of = "never"
        """Of what the state is told: `now`, `power-off`, `undecided` (the next power-up decides), `never`, `dead`."""
        self._now_ms, self._clock_ns = now_ms, clock_ns
        self._programmed: list[int] = []
        self._card = self._build(snapshot)
        self._look_inside()

    # Made, restored

    def _build(self, snapshot: bytes | None) -> EmulatedCard:
        origin = self.origin
        try:
            card = make_ready(find_ready(origin.profile), origin.seed, endurance=origin.endurance, plans=self.plans)
        except StorageError as worn:
            raise DeskProblem(
                "malformed",
                f"A cell that can be programmed {origin.endurance} times does not outlive the making of the card.",
                next_step=f"Take {LEAST_ENDURANCE} or more.",
            ) from worn
        if snapshot is not None:
            card.flash.restore(snapshot)
        card.flash.keeper = self
        return card

    def become(self, snapshot: bytes | None, kept: dict[str, Any] | None) -> None:
        """What it was at this snapshot; None: what its origin makes. `kept`: of `memory`. Without power."""
        self._card = self._build(snapshot)
        self.powered = False
        self.session += 1
        self.torn_cells = set(kept["torn_cells"]) if kept else set()
        self.state, self.face = (kept["state"], kept["face"]) if kept else (None, None)
        self.as_of = kept["as_of"] if kept else "never"
        if kept is None:
            self._look_inside()

    def memory(self) -> dict[str, Any]:
        """What is kept beside a snapshot of its flash, as JSON can hold it."""
        as_of = "power-off" if self.as_of == "now" else self.as_of
        facts = {"state": self.state, "face": self.face, "as_of": as_of, "torn_cells": sorted(self.torn_cells)}
        copied: dict[str, Any] = json.loads(json.dumps(facts))
        return copied

    def _look_inside(self) -> None:
        """The state of a card that has not had power yet on this desk: read from a copy, so that it stays as it is."""
        twin = make_ready(find_ready(self.origin.profile), self.origin.seed, endurance=self.origin.endurance)
        twin.flash.restore(self.flash.snapshot())
        try:
            twin.power_on()
        except (EcnyError, CardTorn):
            return
        if twin.vault is not None:
            self.state = state_facts(twin.vault) | {"sequence": None}
            self.face = face_facts(self.state, None)
            self.as_of = "power-off"

    def keep(self, index: int, data: bytes, candidates: tuple[bytes, ...], wear: int) -> None:
        """The keeper of its flash (`hardware.emulator.flash.Keeper`): remembers which cells were programmed."""
        self._programmed.append(index)
        self.torn_cells.discard(index)
        del data, candidates, wear  # they are in the flash itself

    @property
    def flash(self) -> Flash:
        return self._card.flash

    @property
    def is_fresh(self) -> bool:
        """Whether it has power and has not been spoken to since."""
        return self.powered and not self.trace.exchanges

    @property
    def plan(self) -> FaultPlan | None:
        """The tear that waits."""
        return self.plans.armed()

    def arm(self, plan: FaultPlan | None) -> None:
        self.plans.plans = [] if plan is None else [plan]

    # Power and exchanges

    def power_on(self) -> dict[str, Any]:
        """Power, recovery; the entry of the trace. Raises DeskProblem `card-dead`."""
        self._programmed = []
        self.session += 1
        try:
            self._card.power_on()
        except (CardTorn, EcnyError) as dead:
            self.powered, self.as_of = False, "dead"
            why = dead.message if isinstance(dead, EcnyError) else "power lost"
            raise DeskProblem("card-dead", f"The card does not answer to power: {why}.") from dead
        self.powered = True
        self._observe(self._card.vault)
        return self.trace.reset(ATR, self._now_ms(), tuple(self._programmed))

    def power_off(self) -> bool:
        """Whether it had power. What was volatile is gone."""
        had, self.powered = self.powered, False
        self._card.power_off()
        if had:
            self.session += 1
            self.as_of = "power-off"
        return had

    def exchange(self, command: bytes, by: str) -> tuple[bytes | None, dict[str, Any]]:
        """One command to the powered card: its answer, None when it was torn, and the entry of the trace."""
        vault, plan = self._card.vault, self.plan
        self._programmed = []
        started = self._clock_ns()
        answer, lost = None, ""
        try:
            answer = self._card.transmit(command)
        except CardTorn:
            torn_by = self._card.torn_by or plan
            lost = _LOST[torn_by.tear] if torn_by else "power lost"
        except EcnyError as failed:
            lost = f"its memory failed: {failed.code}"
        work_ms = (self._clock_ns() - started) / 1_000_000
        cells = tuple(self._programmed)
        model_ms = self.latency.exchange_ms(command, answer) if self.latency and answer is not None else None
        done = Exchange(command, answer, work_ms, by, lost, model_ms, cells)
        entry = self.trace.exchange(done, self._now_ms())
        if answer is None:
            self._fell_silent(vault, cells, plan)
        else:
            self._observe(vault)
        return answer, entry

    def _fell_silent(self, vault: Vault | None, cells: tuple[int, ...], plan: FaultPlan | None) -> None:
        self.powered = False
        self.session += 1
        self.torn_cells |= set(cells)
        # What the card believed last is what it has committed; a cell that was cut is decided by the next power-up.
        self._observe(vault)
        self.as_of = "undecided" if plan is not None and plan.tear is Tear.DURING else "power-off"

    def _observe(self, vault: Vault | None) -> None:
        if vault is not None:
            self.state = state_facts(vault)
            self.face = face_facts(self.state, self.face)
            self.as_of = "now"

    # Told

    def facts(self) -> dict[str, Any]:
        """The card in short, for lists."""
        return {
            "id": self.id,
            **asdict(self.origin),
            "reader": self.slot,
            "powered": self.powered,
            "as_of": self.as_of,
            "face": self.face,
            "plan": str(self.plan) if self.plan else None,
            "latency": self.latency.facts() if self.latency else None,
        }

    @property
    def atr(self) -> bytes:
        return ATR
