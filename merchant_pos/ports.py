"""What the till needs from outside, as small Protocols: a clock, a card, a reader, a PIN, a server."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from merchant_pos.decisions import Shown

Step = Callable[[str], None]
"""Told the name of each point that a run passes; tests end the process there (docs/spec/till.md, *Crash points*)."""


def no_step(_: str) -> None:
    """Nobody wants to know."""


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...

    def wait(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class PayerCard(Protocol):
    """A hard wallet in the reader. A command that was sent and not answered raises OutcomeUnknownError; a refusal with
    its reason PurseRefusal; any other status word CardError; before anything was sent TransportError."""

    def select(self) -> Shown: ...
    def certificate(self) -> bytes: ...
    def policy(self) -> bytes:
        """The signed Policy in force."""
        ...

    def pay(self, request: bytes) -> bytes:
        """PAY with the Request's payload; the signed Voucher."""
        ...

    def pay_verified(self, signed_request: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        """PAY with P1 = 01: the card verifies the payee first."""
        ...

    def verify_pin(self, pin: str) -> None: ...
    def close(self) -> None: ...


class CardSource(Protocol):
    """A reader."""

    def card(self, timeout_s: float) -> PayerCard:
        """A freshly powered card; waits for one. Raises NoCardError when none comes in time."""
        ...


class PinEntry(Protocol):
    def pin(self, tries_left: int) -> str | None:
        """Ask the holder; None when there is nobody to ask, or the same PIN was wrong already."""
        ...


@dataclass(frozen=True, slots=True)
class Expected:
    """The server's side of a till's chain: the number it expects next and the hash of the last batch that it has."""

    number: int
    last_hash: bytes


class DepositServer(Protocol):
    """`POST /v1/deposits` of docs/spec/http.md."""

    def deposit(self, batch: bytes) -> bytes | Expected:
        """The bytes of the answer, not yet verified, or what the server expects instead (409 batch-out-of-order).

        Raises SettlementError for another refusal and ServerUnreachableError when there is no usable answer.
        """
        ...
