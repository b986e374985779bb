"""A fault plan: one power cut, told to an emulated card from outside, consumed by the first command that it fits.

The plan lies as `fault.json` in the directory of the card image, so that the demo, a test or `ecny card` can arm it
while the emulator runs as a process of its own:

    {"tear": "during", "command": "PAY", "at": 3, "outcome": "unstable", "reinsert_ms": 400}
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from hardware.emulator.flash import Outcome
from wallet_core.errors import ConfigurationError, StorageError

FAULT_FILE = "fault.json"

_FIELDS = {"tear": str, "command": str, "ins": int, "exchange": int, "at": int, "outcome": str, "reinsert_ms": int}


class Tear(StrEnum):
    """Where in a command the power goes."""

    BEFORE = "before"  # the command arrives and is not looked at
    DURING = "during"  # at one of its cell writes, with an outcome
    AFTER_COMMIT = "after-commit"  # the last commit of the command is done, nothing after it
    ANSWER = "answer"  # the command is done and its answer is lost on the way


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One cut: `tear` says where in the command, exactly one of `command`, `ins`, `exchange` says in which.

    command: name of the command, as `PAY`; ins: its instruction byte; exchange: the N-th since power-up, from 1.
    at: for DURING, cells of the command that are still programmed before the one that is interrupted (0: its first).
    outcome: for DURING, what the interrupted cell holds. reinsert_ms: when the card comes back, ms after the cut.
    """

    tear: Tear
    command: str | None = None
    ins: int | None = None
    exchange: int | None = None
    at: int = 0
    outcome: Outcome = Outcome.UNSTABLE
    reinsert_ms: int = 0

    def __post_init__(self) -> None:
        if sum(one is not None for one in (self.command, self.ins, self.exchange)) != 1:
            raise ConfigurationError("a fault plan names its command in one way: command, ins or exchange")
        if self.ins is not None and not 0 <= self.ins <= 0xFF:
            raise ConfigurationError(f"{self.ins} is no instruction byte")
        if self.exchange is not None and self.exchange < 1:
            raise ConfigurationError("exchanges count from 1")
        if self.at < 0 or self.reinsert_ms < 0:
            raise ConfigurationError("a fault plan has no negative numbers")

    def fits(self, command: str, ins: int, exchange: int) -> bool:
        """Whether the plan means this command: its name, its instruction byte, its number since power-up."""
        if self.command is not None:
            return self.command.upper() == command.upper()
        return self.ins == ins if self.ins is not None else self.exchange == exchange

    def to_json(self) -> str:
        fields = {**asdict(self), "outcome": self.outcome.name.lower()}
        return json.dumps({key: one for key, one in fields.items() if one is not None}) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> FaultPlan:
        """Raises `ConfigurationError` for anything but a whole plan: a mistyped plan must not become no plan."""
        try:
            fields = json.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"the fault plan is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ConfigurationError("the fault plan is no JSON object")
        for key, one in fields.items():
            if key not in _FIELDS or type(one) is not _FIELDS[key]:
                raise ConfigurationError(f"the fault plan has no such field, or not of this type: {key}")
        try:
            if "outcome" in fields:
                fields["outcome"] = Outcome[fields["outcome"].upper()]
            return cls(**{**fields, "tear": Tear(fields["tear"])})
        except (KeyError, ValueError) as error:
            raise ConfigurationError(f"the fault plan has an unknown or missing value: {error}") from error


def arm(directory: Path, plan: FaultPlan) -> None:
    """Lay the plan down for the card of this directory; it replaces one that has not struck. Raises `StorageError`."""
    beside = directory / f"{FAULT_FILE}.{os.getpid()}"
    try:
        beside.write_text(plan.to_json(), encoding="utf-8")
        beside.replace(directory / FAULT_FILE)
    except OSError as error:
        raise StorageError(f"the fault plan cannot be written: {error.strerror}") from error


def armed(directory: Path) -> FaultPlan | None:
    """The plan that waits there, if any; it goes on waiting. Raises `ConfigurationError`, `StorageError`."""
    try:
        return FaultPlan.from_json((directory / FAULT_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the fault plan cannot be read: {error.strerror}") from error


def take(directory: Path) -> FaultPlan | None:
    """Consume the plan: of all that call this, one gets it.

    Raises `ConfigurationError` (a plan that is none is consumed too) and `StorageError`.
    """
    taken = directory / f"{FAULT_FILE}.taken.{os.getpid()}.{threading.get_ident()}"
    try:
        (directory / FAULT_FILE).replace(taken)
        text = taken.read_bytes()
        taken.unlink()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"the fault plan cannot be taken: {error.strerror}") from error
    return FaultPlan.from_json(text)
