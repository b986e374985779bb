"""Shows and records what goes over another transport, without its secrets.

    A>> 00A40400 07 F045434E595701 00
    A<< 6F2A84… (8.1 ms) 9000 success

The record has a JSON object a line (`open`, `exchange`, `reset`, `close`) and can be played back (replay.py). Data
that may hold a PIN or what personalisation sends are left out of both: only their number of bytes is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final, TextIO

from hardware.apdu import HEADER, CommandApdu
from hardware.status_words import describe
from wallet_core.errors import CodecError, EcnyError

from .base import Transport

_SECRET_INS: Final = frozenset(
    {0x20, 0x21, 0x24, 0x25, 0x2C, 0x2D}  # VERIFY, CHANGE REFERENCE DATA, RESET RETRY COUNTER
    | {0xD8, 0xDA, 0xDB, 0xE2, 0xE3}  # PUT KEY, PUT DATA, STORE DATA
)


def visible(command: bytes) -> tuple[bytes, int]:
    """What of a command may be shown, and how many bytes after that are hidden.

    Hidden is everything after Lc when the instruction takes a PIN or a key, or when CLA says secure messaging;
    everything after the header when such a command cannot be parsed.
    """
    if len(command) <= HEADER or not (command[1] in _SECRET_INS or is_secured(command[0])):
        return command, 0
    try:
        parsed = CommandApdu.from_bytes(command)
    except CodecError:
        return command[:HEADER], len(command) - HEADER
    if not parsed.data:
        return command, 0
    shown = HEADER + (1 if command[HEADER] else 3)
    return command[:shown], len(command) - shown


def is_secured(cla: int) -> bool:
    """Whether CLA indicates secure messaging (ISO/IEC 7816-4 clause 5.4.1; GlobalPlatform codes 8X to BX alike)."""
    return bool(cla & 0x20) if cla & 0x40 else bool(cla & 0x0C)


class TracingTransport:
    """Wraps a transport and changes nothing about it. `clock_ns` is monotonic; sink and record are called in its
    thread.

    `sink` gets lines for people; `record` is a text stream for the JSON lines, flushed after each.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        sink: Callable[[str], object] | None = None,
        record: TextIO | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._inner = inner
        self._sink = sink
        self._record = record
        self._clock_ns = clock_ns
        self._number = 0
        self._write({"event": "open", "reader": inner.name, "atr": inner.atr.hex().upper()})

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        self._number += 1
        shown, hidden = visible(command)
        self._say(f"A>> {spaced(shown)}{f' [{hidden} bytes hidden]' if hidden else ''}")
        entry = {"event": "exchange", "n": self._number, "command": shown.hex().upper(), "hidden": hidden}
        started = self._clock_ns()
        try:
            answer = self._inner.transmit(command)
        except EcnyError as error:
            took_ms = self._since(started)
            self._say(f"A<< ({short_ms(took_ms)} ms) no answer: {error.code}")
            self._write({**entry, "ms": took_ms, "error": error.code, "message": error.message})
            raise
        took_ms = self._since(started)
        sw = int.from_bytes(answer[-2:], "big")
        data = answer[:-2].hex().upper()
        self._say(f"A<< {data}{' ' if data else ''}({short_ms(took_ms)} ms) {sw:04X} {describe(sw)}")
        self._write({**entry, "ms": took_ms, "response": answer.hex().upper(), "meaning": describe(sw)})
        return answer

    def reset(self) -> None:
        try:
            self._inner.reset()
        except EcnyError as error:
            self._say(f"--- reset: {error.code}")
            self._write({"event": "reset", "error": error.code, "message": error.message})
            raise
        self._say(f"--- reset, ATR {self.atr.hex().upper()}")
        self._write({"event": "reset", "atr": self.atr.hex().upper()})

    def close(self) -> None:
        self._inner.close()
        self._write({"event": "close"})

    def _since(self, started: int) -> float:
        return round((self._clock_ns() - started) / 1_000_000, 3)

    def _say(self, line: str) -> None:
        if self._sink is not None:
            self._sink(line)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._record is not None:
            self._record.write(json.dumps(entry) + "\n")
            self._record.flush()


def spaced(command: bytes) -> str:
    """Header, length and the rest apart: 00A40400 07 F045434E595701 00."""
    header, rest = command[:HEADER], command[HEADER:]
    size = 3 if len(rest) >= 3 and not rest[0] else 1
    parts = [header, rest[:size], rest[size:]]
    length = int.from_bytes(rest[:size], "big")
    if len(parts[2]) > length:
        parts[2:] = [parts[2][:length], parts[2][length:]]
    return " ".join(part.hex().upper() for part in parts if part)


def short_ms(ms: float) -> str:
    """Milliseconds for people: 0.3, 8.1, 12."""
    return f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}"
