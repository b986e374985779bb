"""A fault plan: one power cut, told to an emulated card from outside, consumed by the first command that it fits.

The plan lies as `fault.json` in the directory of the card image, so that the demo, a test or `ecny card` can arm it
while the emulator runs as a process of its own:

    {"tear": "during", "command": "PAY", "at": 3, "outcome": "unstable", "reinsert_ms": 400}

On a command line and on the desk's page the same plan is one word: `write@PAY:4`, `after-commit@3`.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from hardware.emulator.flash import Outcome
from hardware.instructions import Ins
from wallet_core.errors import ConfigurationError, StorageError, UsageError

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
    def parse(cls, text: str, *, reinsert_ms: int = 0) -> FaultPlan:
        """Read a plan in one word: `WHERE@WHEN`, and for a write `write@WHEN[:CELL[:OUTCOME]]`.

        WHEN is the number of an exchange since power-up, or the name of a command; CELL counts that command's writes
        from 1. Raises UsageError, which names what is allowed.
        """
        where, at, rest = text.strip().partition("@")
        when, *detail = rest.split(":")
        if where not in SPOKEN or not at or not when or len(detail) > 2 or (detail and where != "write"):
            raise _unclear(text)
        cell, outcome = (*detail, *("1", "unstable")[len(detail) :])
        if not _is_count(cell) or outcome not in OUTCOMES:
            raise _unclear(text)
        return cls(
            SPOKEN[where],
            command=None if _is_number(when) else _command(when),
            exchange=_counted(when) if _is_number(when) else None,
            at=int(cell) - 1 if where == "write" else 0,
            outcome=OUTCOMES[outcome],
            reinsert_ms=reinsert_ms,
        )

    def __str__(self) -> str:
        """As `parse` reads it; an instruction byte as `INS 32`."""
        where = next(word for word, tear in SPOKEN.items() if tear is self.tear)
        when = self.command or (f"INS {self.ins:02X}" if self.ins is not None else self.exchange)
        detail = f":{self.at + 1}:{self.outcome.name.lower()}" if self.tear is Tear.DURING else ""
        return f"{where}@{when}{detail}"

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


SPOKEN: Final = {
    "before": Tear.BEFORE,
    "write": Tear.DURING,
    "after-commit": Tear.AFTER_COMMIT,
    "answer": Tear.ANSWER,
}
"""The places of a cut in the one-word form, `after-commit@3`."""
OUTCOMES: Final = {one.name.lower(): one for one in Outcome}
COMMAND_NAMES: Final = tuple(one.name.replace("_", " ") for one in Ins)
"""The commands that a plan can name; in a plan of one word a hyphen may stand for the space."""


def _unclear(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is no tear",
        next_step=f"Write WHERE@WHEN: WHERE is one of {', '.join(SPOKEN)}; WHEN is an exchange since power-up, from 1,"
        f" or a command such as PAY; write takes :CELL, from 1, and after it :{'|'.join(OUTCOMES)}.",
    )


def _is_number(text: str) -> bool:
    return text.lstrip("+-").isdecimal() and text.isascii()


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 4 and int(text) > 0


def _counted(text: str) -> int:
    if not _is_count(text):
        raise UsageError(
            f"no exchange has the number {text[:20]}", next_step="Exchanges count from 1, at each power-up anew."
        )
    return int(text)


def _command(text: str) -> str:
    name = text.upper().replace("-", " ").replace("_", " ")
    if name not in COMMAND_NAMES:
        raise UsageError(f"no command {text!r}", next_step=f"Take one of {', '.join(COMMAND_NAMES)}.")
    return name


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
