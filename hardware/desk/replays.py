"""A recorded trace against a card: the same commands, and the first answer that is another one.

On a card restored to where the recording began nothing differs, signatures included: a card's randomness follows from
its seed and its memory. Commands whose bytes a trace hides (a PIN, a secure channel) cannot be sent again and are
passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hardware.desk.desk import Desk
from hardware.desk.held import HeldCard
from hardware.desk.problems import DeskProblem
from hardware.desk.traces import command_name
from hardware.status_words import describe
from hardware.transports.base import check_command
from wallet_core.errors import CodecError, OutcomeUnknownError

MAX_ENTRIES: Final = 2_000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of a trace: `kind` is `exchange` or `reset`; `answer` None: the card was lost there."""

    line: int
    kind: str
    command: bytes = b""
    hidden: int = 0
    answer: bytes | None = None
    answer_hidden: int = 0


def parse_trace(text: str) -> list[Recorded]:
    """The exchanges and resets of a trace in JSON lines; raises CodecError."""
    found = [one for number, line in enumerate(text.splitlines(), 1) if line.strip() for one in _parse(line, number)]
    if not found:
        raise CodecError("the trace has no exchange", next_step="Record one: download it here, or `ecny card trace`.")
    if len(found) > MAX_ENTRIES:
        raise CodecError(f"the trace has more than {MAX_ENTRIES} lines")
    return found


def _parse(line: str, number: int) -> Iterable[Recorded]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CodecError(f"line {number} of the trace is not JSON") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        raise CodecError(f"line {number} of the trace is no record")
    if entry["event"] == "reset" and "error" not in entry:
        yield Recorded(number, "reset")
    if entry["event"] == "exchange":
        answer = None if "error" in entry else _bytes(entry, "response", number)
        hidden, answer_hidden = _count(entry, "hidden", number), _count(entry, "response_hidden", number)
        yield Recorded(number, "exchange", _bytes(entry, "command", number), hidden, answer, answer_hidden)


def _bytes(entry: dict[str, Any], key: str, number: int) -> bytes:
    try:
        return bytes.fromhex(entry[key])
    except (KeyError, TypeError, ValueError) as error:
        raise CodecError(f"{key!r} in line {number} of the trace is not hexadecimal") from error


def _count(entry: dict[str, Any], key: str, number: int) -> int:
    value = entry.get(key, 0)
    if type(value) is not int or value < 0:
        raise CodecError(f"{key!r} in line {number} of the trace is no number of bytes")
    return value


class Target(Protocol):
    """A card that a trace is played to."""

    @property
    def is_fresh(self) -> bool:
        """Whether it has power and has not been spoken to since: another power-up is another session's randomness."""
        ...

    def power_cycle(self) -> None: ...

    def send(self, command: bytes) -> bytes | None:
        """The answer; None when the card was torn."""
        ...


@dataclass(frozen=True, slots=True)
class Inserted:
    """A card of the desk, in its reader. Raises DeskProblem `card-not-inserted`."""

    desk: Desk
    card_id: str

    @property
    def is_fresh(self) -> bool:
        held, _ = self.desk.inserted(self.card_id)
        return held.is_fresh

    def power_cycle(self) -> None:
        self.desk.power_cycle(self.card_id)

    def send(self, command: bytes) -> bytes | None:
        try:
            return self.desk.exchange(self.card_id, command, "replay")
        except OutcomeUnknownError:
            return None


@dataclass(frozen=True, slots=True)
class Aside:
    """A copy of a card that lies on no desk: nobody hears of it, and no real card's time is taken."""

    held: HeldCard

    @property
    def is_fresh(self) -> bool:
        return self.held.is_fresh

    def power_cycle(self) -> None:
        self.held.power_off()
        self.held.power_on()

    def send(self, command: bytes) -> bytes | None:
        check_command(command)
        if not self.held.powered:
            raise DeskProblem("no-card", "The copy was torn where the trace goes on.")
        return self.held.exchange(command, "replay")[0]


def replay(target: Target, trace: list[Recorded]) -> dict[str, Any]:
    """Send it all to the card, up to the first difference.

    Returns how many commands were `sent` and `passed_over`, and `difference`: None, or line, name, what was expected,
    what came, and the first byte that differs. Raises DeskProblem.
    """
    sent = passed = 0
    if not target.is_fresh:
        target.power_cycle()
    fresh = True
    for one in trace:
        if one.kind == "reset":
            if not fresh:
                target.power_cycle()
            fresh = True
            continue
        if one.hidden:
            passed += 1
            continue
        fresh = False
        sent += 1
        answer = target.send(one.command)
        if (found := _difference(one, answer)) is not None:
            return {"sent": sent, "passed_over": passed, "difference": found}
        if answer is None and one is not trace[-1]:
            raise DeskProblem("no-card", "The card was torn where the trace says so; the rest was not sent.")
    return {"sent": sent, "passed_over": passed, "difference": None}


def _difference(recorded: Recorded, answer: bytes | None) -> dict[str, Any] | None:
    expected = recorded.answer
    if recorded.answer_hidden and expected is not None and answer is not None:
        expected, answer = expected[-2:], answer[-2:]
    if expected == answer:
        return None
    facts = {
        "line": recorded.line,
        "name": command_name(recorded.command),
        "command": recorded.command.hex().upper(),
        "expected": _told(expected),
        "came": _told(answer),
    }
    if expected is None or answer is None:
        return {**facts, "what": "answer" if expected is None else "no answer", "byte": None}
    if expected[-2:] != answer[-2:]:
        return {**facts, "what": "status word", "byte": None}
    if len(expected) != len(answer):
        return {**facts, "what": "length", "byte": None}
    at = next(index for index, (a, b) in enumerate(zip(expected, answer, strict=True)) if a != b)
    return {**facts, "what": "data", "byte": at}


def _told(answer: bytes | None) -> dict[str, Any] | None:
    if answer is None or len(answer) < 2:
        return None
    sw = int.from_bytes(answer[-2:], "big")
    return {"data": answer[:-2].hex().upper(), "sw": f"{sw:04X}", "meaning": describe(sw)}
