"""What went over the wire of one card, without its secrets: kept, shown, and written as JSON lines.

The lines are those of `ecny card trace --record` (hardware/transports/tracing.py) with more in them; that command shows
them and `ReplayTransport` plays them. Hidden are the data of commands that take a PIN or a key, and both directions of
the secure channel.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from hardware.apdu import HEADER, CommandApdu
from hardware.commands import name_of
from hardware.instructions import Ins
from hardware.status_words import describe
from hardware.transports.tracing import is_secured, short_ms, spaced, visible
from wallet_core.errors import CodecError

KEPT: Final = 2_000
"""Exchanges and resets kept of each card."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and what became of it. `work_ms`: the emulator's own time; `model_ms`: a real card's, if chosen.

    `answer`: data and status word, None when the card was torn: `lost` then says how. `cells`: programmed by it, in
    their order. `by`: `console`, `desk` (a button), `replay` or `pcsc`. A lost answer has no time of a real card.
    """

    command: bytes
    answer: bytes | None
    work_ms: float
    by: str
    lost: str = ""
    model_ms: float | None = None
    cells: tuple[int, ...] = ()


@dataclass
class TraceLog:
    """The trace of one card: `entries` are JSON objects, each with its index `i`, which only grows."""

    reader: str
    entries: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _next: int = 1
    _exchange: int = 0
    _secured: bool = False

    def reset(self, atr: bytes, at_ms: int, cells: tuple[int, ...]) -> dict[str, Any]:
        """The card has got power."""
        self._exchange = 0
        return self._keep({"event": "reset", "atr": atr.hex().upper(), "cells": list(cells), "at_ms": at_ms})

    def exchange(self, done: Exchange, at_ms: int) -> dict[str, Any]:
        self._exchange += 1
        if done.command[1:2] != bytes((Ins.GET_RESPONSE,)):  # which fetches the rest of the answer before it
            self._secured = len(done.command) >= HEADER and is_secured(done.command[0])
        shown, hidden = visible(done.command)
        entry: dict[str, Any] = {
            "event": "exchange",
            "n": self._exchange,
            "name": command_name(done.command),
            "command": shown.hex().upper(),
            "hidden": hidden,
            "sent": f"A>> {spaced(shown)}{f' [{hidden} bytes hidden]' if hidden else ''}",
            "ms": round(done.work_ms, 3),
            "cells": list(done.cells),
            "by": done.by,
            "at_ms": at_ms,
        }
        if done.model_ms is not None:
            entry["model_ms"] = round(done.model_ms, 1)
        return self._keep(entry | _answer_facts(done, secured=self._secured))

    @property
    def exchanges(self) -> int:
        """How many since the last power-up."""
        return self._exchange

    def clear(self) -> None:
        self.entries.clear()

    def after(self, index: int) -> list[dict[str, Any]]:
        return [one for one in self.entries if one["i"] > index]

    def lines(self, atr: bytes) -> Iterable[str]:
        """The trace as JSON lines, with the `open` that a replay begins with."""
        yield json.dumps({"event": "open", "reader": self.reader, "atr": atr.hex().upper()}) + "\n"
        for entry in self.entries:
            yield json.dumps(entry) + "\n"

    def _keep(self, entry: dict[str, Any]) -> dict[str, Any]:
        kept = {**entry, "i": self._next}
        self._next += 1
        self.entries.append(kept)
        return kept


def command_name(command: bytes) -> str:
    """What a command is called; its class and instruction where it is none."""
    try:
        apdu = CommandApdu.from_bytes(command)
    except CodecError:
        return f"no APDU ({len(command)} bytes)"
    return name_of(apdu)


def _answer_facts(done: Exchange, *, secured: bool) -> dict[str, Any]:
    took = short_ms(done.work_ms if done.model_ms is None else done.model_ms)
    if done.answer is None:
        return {
            "error": "outcome-unknown",
            "message": done.lost,
            "meaning": done.lost,
            "received": f"A<< ({took} ms) no answer: {done.lost}",
        }
    shown, hidden = (done.answer[-2:], len(done.answer) - 2) if secured else (done.answer, 0)
    sw = int.from_bytes(shown[-2:], "big")
    data = f"[{hidden} bytes hidden]" if hidden else shown[:-2].hex().upper()
    return {
        "response": shown.hex().upper(),
        "response_hidden": hidden,
        "sw": f"{sw:04X}",
        "meaning": describe(sw),
        "received": f"A<< {data}{' ' if data else ''}({took} ms) {sw:04X} {describe(sw)}",
    }
