"""The city's one clock and its agenda: nothing happens but what stands there, in the order of time and of entry."""

from __future__ import annotations

import heapq
from collections.abc import Callable

BEGINNING_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000  # ms

Action = Callable[[], None]


class CityClock:
    """Milliseconds since 1970; it moves when an action of the agenda begins, or when somebody waits."""

    def __init__(self, ms: int = BEGINNING_MS) -> None:
        self.ms = ms

    def now_ms(self) -> int:
        return self.ms

    def now(self) -> int:
        """Seconds since 1970."""
        return self.ms // SECOND

    def monotonic(self) -> float:
        return self.ms / SECOND

    def wait(self, seconds: float) -> None:
        self.ms += int(seconds * SECOND)

    @property
    def since_beginning(self) -> int:
        return self.ms - BEGINNING_MS


class Agenda:
    """What will happen. Two actions of the same moment happen in the order in which they were entered."""

    def __init__(self, clock: CityClock) -> None:
        self._clock = clock
        self._entries: list[tuple[int, int, Action]] = []
        self._entered = 0

    def after(self, delay_ms: int, action: Action) -> None:
        heapq.heappush(self._entries, (self._clock.ms + max(0, delay_ms), self._entered, action))
        self._entered += 1

    def step(self) -> bool:
        """Let the next action happen; False when none is left."""
        if not self._entries:
            return False
        at, _, action = heapq.heappop(self._entries)
        self._clock.ms = max(self._clock.ms, at)
        action()
        return True

    def clear(self) -> None:
        self._entries.clear()
