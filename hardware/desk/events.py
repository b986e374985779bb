"""Numbered events, kept for a while, and their stream as server-sent events (WHATWG HTML, section 9.2).

An event is emitted after the change that it tells of, under the lock of whoever changes: who has seen event N and asks
for the state gets one that has N in it. A reader names the last event that it has; it gets all after that one, in their
order, each once, or a `gap` event that says which are gone.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from hardware.desk.problems import DeskProblem

WINDOW: Final = 2_000
"""Events kept for readers that come back."""
MAX_STREAMS: Final = 16
"""Streams at once: each holds a thread of the server."""
HEARTBEAT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Event:
    """`number` from 1, without holes; `at_ms`: Unix time in ms; `facts`: of its kind, never a secret."""

    number: int
    kind: str
    at_ms: int
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gap:
    """Events `first` to `last` are not kept any more, or were of an earlier boot of the desk (then both are 0)."""

    first: int
    last: int


class EventLog:
    """The events of one boot; for any number of threads. `boot`: a name that no earlier boot had."""

    def __init__(self, boot: str, *, now_ms: Callable[[], int], window: int = WINDOW) -> None:
        self.boot = boot
        self._now_ms = now_ms
        self._kept: deque[Event] = deque(maxlen=window)
        self._number = 0
        self._streams = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def newest(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._number

    @property
    def position(self) -> str:
        """The newest event as a reader names it: `BOOT-NUMBER`."""
        return f"{self.boot}-{self._number}"

    def emit(self, kind: str, **facts: Any) -> int:
        """Number it, keep it, wake the readers."""
        with self._changed:
            self._number += 1
            self._kept.append(Event(self._number, kind, self._now_ms(), facts))
            self._changed.notify_all()
            return self._number

    def after(self, number: int) -> tuple[Gap | None, list[Event]]:
        """What is kept of all after event `number`, and the gap before it, if there is one."""
        with self._changed:
            events = [one for one in self._kept if one.number > number]
            missing = (events[0].number if events else self._number + 1) - number - 1
            return (Gap(number + 1, number + missing) if missing > 0 else None), events

    def wait(self, number: int, timeout_s: float) -> bool:
        """Whether there is an event after `number`, or the log is closed, within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._closed or self._number > number, timeout_s)

    def close(self) -> None:
        """Ends every stream."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    @contextmanager
    def seat(self) -> Iterator[None]:
        """One of the streams; raises DeskProblem `too-many-streams`."""
        with self._changed:
            if self._streams >= MAX_STREAMS:
                raise DeskProblem(
                    "too-many-streams",
                    f"{MAX_STREAMS} streams of events are open.",
                    next_step="Close a page of this desk, or try again in a while.",
                )
            self._streams += 1
        try:
            yield
        finally:
            with self._changed:
                self._streams -= 1

    def start_of(self, position: str | None) -> tuple[Gap | None, int]:
        """Where a reader goes on that names its last event (`BOOT-NUMBER`), or None: from now on.

        Raises DeskProblem `malformed`.
        """
        if position is None:
            return None, self._number
        boot, dash, number = position.rpartition("-")
        if not dash or not (number.isascii() and number.isdecimal()) or len(number) > 15:
            raise DeskProblem("malformed", "The last event is named as in `id`: BOOT-NUMBER.")
        if boot != self.boot or int(number) > self._number:
            return Gap(0, 0), self._number
        return None, int(number)


def stream(log: EventLog, position: str | None, heartbeat_s: float = HEARTBEAT_S) -> Iterator[str]:
    """The event stream from after `position` on, until the log is closed or the reader is gone.

    A comment every `heartbeat_s` seconds of silence lets both sides see that the line is there.
    """
    gap, number = log.start_of(position)
    yield "retry: 1000\n\n"
    if gap is not None:
        yield _gap_text(log, gap, number)
    while not log.closed:
        if not log.wait(number, heartbeat_s):
            yield ": here\n\n"
            continue
        missing, events = log.after(number)
        if missing is not None:
            number = missing.last
            yield _gap_text(log, missing, number)
        for event in events:
            number = event.number
            yield _event_text(log, event)


def document(event: Event) -> dict[str, Any]:
    """An event as JSON tells it."""
    return {"number": event.number, "kind": event.kind, "at_ms": event.at_ms, **event.facts}


def _event_text(log: EventLog, event: Event) -> str:
    return f"id: {log.boot}-{event.number}\nevent: {event.kind}\ndata: {json.dumps(document(event))}\n\n"


def _gap_text(log: EventLog, gap: Gap, number: int) -> str:
    data = json.dumps({"kind": "gap", "boot": log.boot, "first": gap.first, "last": gap.last})
    return f"id: {log.boot}-{number}\nevent: gap\ndata: {data}\n\n"
