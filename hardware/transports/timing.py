"""Remembers how long each exchange of another transport took: what a relay, if there is one, cannot make shorter."""

from __future__ import annotations

import time
from collections.abc import Callable

from hardware.relay_check import TimedExchange

from .base import Transport


class TimingTransport:
    """Wraps a transport and changes nothing about it. `clock_ns` is monotonic.

    `exchanges` are those of this power session that were answered; a reset forgets them.
    """

    def __init__(self, inner: Transport, clock_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._inner = inner
        self._clock_ns = clock_ns
        self.exchanges: list[TimedExchange] = []

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        started = self._clock_ns()
        answer = self._inner.transmit(command)
        took = (self._clock_ns() - started) / 1e6
        self.exchanges.append(TimedExchange(command[1], command[2], len(command), len(answer), took))
        return answer

    def reset(self) -> None:
        self.exchanges.clear()
        self._inner.reset()

    def close(self) -> None:
        self._inner.close()
