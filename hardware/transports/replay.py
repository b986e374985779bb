"""Plays a recorded trace back: the same questions get the same answers, anything else is a mismatch.

The trace is what tracing.py records. Bytes that it hid are compared by their number only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from wallet_core.errors import CodecError, EcnyError, MismatchError, NoCardError, TransportError


def _with_subclasses(*roots: type[EcnyError]) -> list[type[EcnyError]]:
    return [found for root in roots for found in (root, *_with_subclasses(*root.__subclasses__()))]


_ERRORS: Final = {kind.code: kind for kind in _with_subclasses(TransportError, CodecError)}


class ReplayTransport:
    """A transport that is only a record. Raises CodecError when the record is none.

    MismatchError is raised for a command, reset or close that the record does not have at this place; NoCardError
    after its end. A recorded error is raised again as the same class.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._entries = [_parse(line, number) for number, line in enumerate(lines, 1) if line.strip()]
        if not self._entries or self._entries[0]["event"] != "open":
            raise CodecError("a trace begins with an `open` record")
        self._name = _text(self._entries[0], "reader")
        self._atr = _bytes(self._entries[0], "atr")
        self._at = 1

    @property
    def name(self) -> str:
        return self._name

    @property
    def atr(self) -> bytes:
        return self._atr

    @property
    def is_at_end(self) -> bool:
        """Whether all of the record has been played."""
        return self._at == len(self._entries)

    def transmit(self, command: bytes) -> bytes:
        entry = self._next("exchange", "a command")
        shown, hidden = _bytes(entry, "command"), entry.get("hidden", 0)
        if len(command) != len(shown) + hidden or not command.startswith(shown):
            self._at -= 1
            raise MismatchError(f"record {self._at + 1} has another command than the one that was sent")
        _raise_recorded(entry)
        return _bytes(entry, "response")

    def reset(self) -> None:
        entry = self._next("reset", "a reset")
        _raise_recorded(entry)
        self._atr = _bytes(entry, "atr")

    def close(self) -> None:
        if not self.is_at_end and self._entries[self._at]["event"] == "close":
            self._at += 1

    def _next(self, event: str, what: str) -> dict[str, Any]:
        if self.is_at_end:
            raise NoCardError(f"{self._name}: the trace has ended", next_step="Record a longer trace.")
        entry = self._entries[self._at]
        if entry["event"] != event:
            raise MismatchError(f"record {self._at + 1} is not {what}")
        self._at += 1
        return entry


def _parse(line: str, number: int) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise CodecError(f"line {number} of the trace is not JSON") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("event"), str):
        raise CodecError(f"line {number} of the trace is no record")
    if entry["event"] == "exchange" and not (isinstance(entry.get("hidden", 0), int) and "command" in entry):
        raise CodecError(f"line {number} of the trace is no exchange")
    return entry


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str):
        raise CodecError(f"a record of the trace lacks {key!r}")
    return value


def _bytes(entry: dict[str, Any], key: str) -> bytes:
    try:
        return bytes.fromhex(_text(entry, key))
    except ValueError as error:
        raise CodecError(f"{key!r} of a trace is not hexadecimal") from error


def _raise_recorded(entry: dict[str, Any]) -> None:
    if "error" in entry:
        kind = _ERRORS.get(_text(entry, "error"), TransportError)
        raise kind(_text(entry, "message"))
