"""What the till needs from outside, as small Protocols: a clock, a card, a reader, a PIN, a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
    def resend(self, request_hash: bytes) -> bytes:
        """The stored Voucher that answers this H(Request); PurseRefusal NOT_FOUND where there is none."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Purse(PayerCard, Protocol):
    """A purse that can also be paid: a card, or the merchant's SAM. Messages are signed bytes, not verified here."""

    def request(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes) -> bytes:
        """REQUEST: the signed Request, headroom reserved; the same question while it is open gives the same bytes."""
        ...

    def request_verified(
        self,
        payer: bytes,
        epoch: int,
        n: int,
        amount: int,
        order_hash: bytes,
        certificate: bytes,
        operator_certificate: bytes,
    ) -> bytes:
        """REQUEST with P1 = 01: the purse verifies of whom it is to take value."""
        ...

    def open_requests(self) -> tuple[bytes, ...]: ...
    def collect(self, voucher: bytes, certificate: bytes, operator_certificate: bytes) -> bytes:
        """COLLECT with the payer's certificates: the signed Receipt, ever again the same."""
        ...

    def refuse(self, request_hash: bytes) -> bytes:
        """REFUSE: the signed Refusal, ever again the same; PurseRefusal REQUEST_CLOSED for one that is collected."""
        ...

    def acknowledge(self, receipt: bytes, certificate: bytes, operator_certificate: bytes) -> None: ...
    def acknowledge_refusal(self, refusal: bytes, certificate: bytes, operator_certificate: bytes) -> None: ...


class PurseSource(Protocol):
    """A reader whose purse is used with all its commands."""

    def card(self, timeout_s: float) -> Purse:
        """A freshly powered purse; waits for one. Raises NoCardError when none comes in time."""
        ...


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


class UpkeepServer(Protocol):
    """What a till asks its server for beside deposits (docs/spec/http.md). Nothing is verified here.

    Raises SettlementError for a refusal and ServerUnreachableError when there is no usable answer.
    """

    def evidence(self, messages: Sequence[bytes], certificates: Sequence[bytes]) -> tuple[str, ...]:
        """`POST /v1/evidence`: one status for each message."""
        ...

    def revocations(self) -> bytes:
        """`GET /v1/revocations`: the signed RevocationList."""
        ...

    def operators(self) -> tuple[bytes, ...]:
        """`GET /v1/trust`: the operators' certificates."""
        ...
