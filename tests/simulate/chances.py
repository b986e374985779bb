"""The fault schedule: how likely each fault is, and the draws that decide where it strikes.

Every draw comes from the stream of whoever it strikes, so that a schedule follows from the seed alone. `calm` ends all
faults: the city then only finishes what it has begun.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome, Power

PAYING: Final = ("PAY", "PAY", "PAY", "GET RESPONSE", "SELECT", "VERIFY")
LOADING: Final = ("REQUEST", "COLLECT", "COLLECT", "GET RESPONSE", "REFUSE")
REPORTING: Final = ("VERIFY", "REPORT", "REVERSE", "GRANT", "GRANT", "GET RESPONSE")
MEETING: Final = ("REQUEST", "PAY", "PAY", "COLLECT", "COLLECT", "ACKNOWLEDGE", "GET RESPONSE", "REFUSE")
_PAY_CELLS: Final = 10  # a payment programs 8 cells: a draw beyond them is a tap without a fault
_START_CELLS: Final = 11  # a recovery programs 10

TAP_STEPS: Final = ("before-asked", "asked", "answered", "verified", "paid", "shown", "unknown", "refused")
SYNC_STEPS: Final = ("before-frozen", "frozen", "before-sent", "answered", "verified", "settled")
SERVER_STEPS: Final = {
    "deposits": tuple(
        f"deposit.{step}" for step in ("received", "verified", "begun", "decided", "written", "committed", "committed")
    ),
    "loads": (
        "load.begin-written",
        "load.begin-committed",
        "load.pay-written",
        "load.pay-committed",
        "load.pay-signed",
    ),
    "receipts": ("load.receipt-written", "load.receipt-committed"),
    "evidence": ("evidence.written", "evidence.committed"),
    "reports": ("report.written", "report.committed"),
}
"""By the word behind /v1/: where a server may die over such a call."""


@dataclass(frozen=True, slots=True)
class Chances:
    """Probabilities: of a tap, of a message, of a visitor, of a till's day."""

    card_torn: float = 0.06
    torn_at_start: float = 0.02
    till_dies_selling: float = 0.015
    till_dies_syncing: float = 0.04
    message_lost: float = 0.04
    answer_lost: float = 0.04
    message_twice: float = 0.03
    message_late: float = 0.03
    answer_halved: float = 0.02
    server_dies: float = 0.02
    walks_away: float = 0.15
    wrong_pin: float = 0.05
    other_card: float = 0.05
    card_lost: float = 0.03
    card_worn: float = 0.03
    stranger: float = 0.02
    cloned: float = 0.03
    minting: float = 0.03
    old_grant: float = 0.2
    till_offline: float = 0.1
    till_restored: float = 0.02
    till_destroyed: float = 0.02
    purse_restored: float = 0.2


CALM: Final = Chances(**dict.fromkeys(Chances.__dataclass_fields__, 0.0))


@dataclass(frozen=True, slots=True)
class CardFault:
    """What happens to a card in one tap: a plan that tears a command, a budget of cells for its recovery."""

    plan: FaultPlan | None = None
    start: Power | None = None


NO_FAULT: Final = CardFault()


class Weather:
    """The chances of a district; `calm()` is for the time in which it comes to rest."""

    def __init__(self, chances: Chances) -> None:
        self.chances = chances

    def calm(self) -> None:
        self.chances = CALM

    def card(self, rng: Random, commands: tuple[str, ...]) -> CardFault:
        """The fault of one tap whose exchanges are among `commands`."""
        draw = rng.random()
        if draw < self.chances.torn_at_start:
            return CardFault(start=Power(rng.randrange(_START_CELLS), rng.choice(tuple(Outcome))))
        if draw - self.chances.torn_at_start < self.chances.card_torn:
            plan = FaultPlan(
                tear=rng.choice(tuple(Tear)),
                command=rng.choice(commands),
                at=rng.randrange(_PAY_CELLS),
                outcome=rng.choice(tuple(Outcome)),
            )
            return CardFault(plan)
        return NO_FAULT

    def step(self, rng: Random, chance: float, steps: tuple[str, ...]) -> str:
        """The step at which a process dies; empty: it lives."""
        return rng.choice(steps) if steps and rng.random() < chance else ""
