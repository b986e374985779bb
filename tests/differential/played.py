"""What a sequence is, what a card makes of it, and where two cards part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hardware.status_words import SW, describe, tries_left

_DONE = 0x61
"""SW1 that says the command was done and more is to be fetched."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command on one card. `answer` b'': there was none. `changed`: persistent memory is not as it was before."""

    answer: bytes
    changed: bool = False
    crashed: bool = False

    @property
    def sw(self) -> int:
        return int.from_bytes(self.answer[-2:], "big")

    @property
    def is_done(self) -> bool:
        return self.sw == SW.OK or self.sw >> 8 == _DONE

    @property
    def broke_memory(self) -> bool:
        """A command that failed and has changed something: only VERIFY may, by one try."""
        return self.changed and not self.is_done and tries_left(self.sw) is None

    def __str__(self) -> str:
        if not self.answer:
            return "no answer"
        marks = " CRASHED" * self.crashed + " MEMORY CHANGED" * self.broke_memory
        data = self.answer[:-2].hex()
        return f"{data[:64]}{'…' * (len(data) > 64)} {self.sw:04X} ({describe(self.sw)}){marks}".strip()


@dataclass(frozen=True, slots=True)
class Play:
    """Commands from a state (its name) on; `seed` is what both cards draw from."""

    profile: str
    state: str
    seed: str
    commands: tuple[bytes, ...]

    def to_json(self) -> str:
        commands = [one.hex() for one in self.commands]
        fields = {"profile": self.profile, "state": self.state, "seed": self.seed, "commands": commands}
        return json.dumps(fields, indent=2)

    @classmethod
    def read(cls, path: Path) -> Play:
        """What `to_json` wrote; raises OSError, ValueError or KeyError for something else."""
        fields = json.loads(path.read_text(encoding="ascii"))
        commands = tuple(bytes.fromhex(one) for one in fields["commands"])
        return cls(fields["profile"], fields["state"], fields["seed"], commands)


class Card(Protocol):
    """One of the two cards."""

    def play(self, sequence: Play) -> list[Exchange]:
        """From the state's snapshot through all commands."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """Command number `index` of a sequence is where something is wrong, and `what`."""

    sequence: Play
    index: int
    what: str
    emulator: Exchange
    applet: Exchange

    def __str__(self) -> str:
        lines = [f"{self.what}: {self.sequence.profile}, {self.sequence.state}, seed {self.sequence.seed!r}"]
        lines += [f"  {number:2} {command.hex()}" for number, command in enumerate(self.sequence.commands)]
        lines += [f"  at {self.index}: emulator {self.emulator}", f"        applet   {self.applet}"]
        return "\n".join(lines)


def find(sequence: Play, emulator: Sequence[Exchange], applet: Sequence[Exchange]) -> Difference | None:
    """The first thing that is wrong; from there on the two cards may be in different states."""
    for index, (one, other) in enumerate(zip(emulator, applet, strict=True)):
        what = _wrong(one, other)
        if what is not None:
            return Difference(sequence, index, what, one, other)
    return None


def _wrong(one: Exchange, other: Exchange) -> str | None:
    if one.crashed or other.crashed:
        return "crash"
    if one.broke_memory or other.broke_memory:
        return "memory change"
    if one.sw != other.sw:
        return "status words differ"
    return None if one.answer == other.answer else "answers differ"


def shrink(difference: Difference, emulator: Card, applet: Card) -> Difference:
    """The same kind of difference from fewer commands: one after the other is left out, as long as it stays."""
    least = _cut(difference)
    at = 0
    while at < len(least.sequence.commands) - 1:
        commands = least.sequence.commands
        fewer = replace(least.sequence, commands=commands[:at] + commands[at + 1 :])
        found = find(fewer, emulator.play(fewer), applet.play(fewer))
        if found is not None and found.what == least.what and _words(found) == _words(least):
            least = _cut(found)
        else:
            at += 1
    return least


def _cut(difference: Difference) -> Difference:
    until = replace(difference.sequence, commands=difference.sequence.commands[: difference.index + 1])
    return replace(difference, sequence=until)


def _words(difference: Difference) -> tuple[int, int]:
    return difference.emulator.sw, difference.applet.sw
