"""Waiting for a card to come or go, through restarts of the service and unplugged readers.

pyscard's CardMonitor dies with the service, so this is a loop of our own over SCardGetStatusChange. The virtual
reader looks for its card every 0.4 s, so a card swapped within that time may go unseen: who was asked to wait for the
*same* card reads its id again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from wallet_core.errors import NoCardError, NoReaderError, NoServiceError, TransportError

from .scard import Context

SLICE_MS: Final = 250
"""The longest time for which `cancelled` is not asked."""
RETRY_MS: Final = 100
"""Between two attempts while service or reader are away."""


class ReaderWatch:
    """Looks at one reader, by its full name, until it is closed. One thread; the reader is not held.

    `clock_ns` is monotonic; `pause` waits that many seconds; `cancelled` ends a wait early, as if its time were over.
    """

    def __init__(
        self,
        reader: str,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        pause: Callable[[float], object] = time.sleep,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._reader = reader
        self._clock_ns = clock_ns
        self._pause = pause
        self._cancelled = cancelled
        self._context: Context | None = None
        self._flags = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._context is not None:
            self._context.close()
            self._context = None
        self._flags = 0

    def wait_for_card(self, timeout_ms: int) -> bytes:
        """Waits until a card is in the reader and has answered to power, and returns its ATR.

        Raises at the end of the time NoServiceError, NoReaderError or NoCardError, as things are then;
        ConfigurationError at once when pyscard is missing.
        """
        deadline, self._flags = self._deadline(timeout_ms), 0  # 0: the first look is answered at once
        while True:
            why: TransportError = NoCardError(f"{self._reader}: no card")
            try:
                atr = self._look(self._slice(deadline))
                if atr:
                    return atr
            except (NoServiceError, NoReaderError) as error:
                why = error
                self._retry(deadline)
            if self._is_over(deadline):
                raise why

    def wait_for_removal(self, timeout_ms: int) -> bool:
        """Waits until the card is gone; True also when it was gone for a moment and came back, or the reader is gone.

        False when the time is over and the card is still there. Raises NoServiceError when the service is away at the
        end.
        """
        deadline, self._flags = self._deadline(timeout_ms), 0  # 0: the first look is answered at once
        seen: tuple[Context | None, int] = (None, 0)
        while True:
            why: NoServiceError | None = None
            try:
                atr = self._look(self._slice(deadline))
                events = self._flags >> 16  # of this service: another one counts afresh
                if not atr or (seen[0] is self._context and seen[1] != events):
                    return True
                seen = (self._context, events)
            except NoReaderError:
                return True
            except NoServiceError as error:
                why = error
                self._retry(deadline)
            if self._is_over(deadline):
                if why is not None:
                    raise why
                return False

    def _look(self, timeout_ms: int) -> bytes:
        """The ATR of the card in the reader, empty without one, as soon as something changes or after the time-out."""
        if self._context is not None:
            try:
                return self._look_through(self._context, timeout_ms)
            except NoServiceError:
                self.close()  # perhaps only this context is void, after a restart: a new one will tell
        self._context = Context()
        return self._look_through(self._context, timeout_ms)

    def _look_through(self, context: Context, timeout_ms: int) -> bytes:
        # Without the bit that says that something changed, what we know is what we give.
        known = self._flags & ~context.scard.SCARD_STATE_CHANGED
        self._flags, atr = context.status_change(self._reader, known, timeout_ms if known else 0)
        if self._flags & (context.scard.SCARD_STATE_UNKNOWN | context.scard.SCARD_STATE_UNAVAILABLE):
            raise NoReaderError(f"{self._reader}: the reader is gone")
        return atr if self._flags & context.scard.SCARD_STATE_PRESENT else b""

    def _retry(self, deadline: int) -> None:
        self.close()
        left_ms = (deadline - self._clock_ns()) // 1_000_000
        self._pause(max(0, min(RETRY_MS, left_ms)) / 1000)

    def _deadline(self, timeout_ms: int) -> int:
        return self._clock_ns() + timeout_ms * 1_000_000

    def _slice(self, deadline: int) -> int:
        return max(0, min(SLICE_MS, (deadline - self._clock_ns()) // 1_000_000))

    def _is_over(self, deadline: int) -> bool:
        return self._cancelled() or self._clock_ns() >= deadline
