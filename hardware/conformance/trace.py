"""What went over the reader while a check ran, without its secrets: the evidence for a verdict.

Data that may hold a PIN, and what goes through the secure channel, are left out; only their number of bytes is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hardware.status_words import describe
from hardware.transports.base import Transport
from hardware.transports.tracing import visible
from wallet_core.errors import EcnyError


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command–response pair, or a reset. `hidden`: bytes at the end of `command` that are not shown."""

    command: bytes
    hidden: int
    answer: bytes
    words: str

    @property
    def is_reset(self) -> bool:
        return not self.command

    def lines(self) -> tuple[str, ...]:
        """For people: what was sent, what came back."""
        if self.is_reset:
            return (f"--- power off and on: {self.answer.hex().upper() or self.words}",)
        secret = f" [{self.hidden} bytes hidden]" if self.hidden else ""
        data, word = self.answer[:-2].hex().upper(), self.answer[-2:].hex().upper()
        return (
            f">> {self.command.hex().upper()}{secret}",
            f"<< {data}{' ' if data else ''}{word} {self.words}".rstrip(),
        )


class Recorder:
    """A transport that keeps what passes, but for what is done `quietly`: preparations that show nothing."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._quiet = 0
        self.exchanges: list[Exchange] = []
        self.count = 0
        """Exchanges since the beginning, quiet ones included."""

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        self.count += 1
        shown, hidden = visible(command)
        try:
            answer = self._inner.transmit(command)
        except EcnyError as error:
            self._keep(Exchange(shown, hidden, b"", f"no answer: {error.code}"))
            raise
        self._keep(Exchange(shown, hidden, answer, describe(int.from_bytes(answer[-2:], "big"))))
        return answer

    def reset(self) -> None:
        try:
            self._inner.reset()
        except EcnyError as error:
            self._keep(Exchange(b"", 0, b"", error.code))
            raise
        self._keep(Exchange(b"", 0, self.atr, "reset"))

    def close(self) -> None:
        self._inner.close()

    def take(self) -> tuple[Exchange, ...]:
        """What was kept since the last `take`."""
        taken, self.exchanges = tuple(self.exchanges), []
        return taken

    @contextmanager
    def quietly(self) -> Iterator[None]:
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def _keep(self, exchange: Exchange) -> None:
        if not self._quiet:
            self.exchanges.append(exchange)
