"""The smallest thing that reaches a card: an ATR, one command for one answer, power, and an end.

One contract suite (tests/contracts/transport.py) runs over every implementation. The rule that all of them keep: an
error raised *before* the command was handed over says that nothing happened; *any* failure after that is
OutcomeUnknownError.
"""

from __future__ import annotations

from typing import Protocol

from hardware.apdu import HEADER, MAX_COMMAND, MAX_RESPONSE
from wallet_core.errors import NoCardError, OutcomeUnknownError, OversizedError, TransportError, TruncatedError


class Transport(Protocol):
    """A powered card in a reader. For one thread at a time."""

    @property
    def name(self) -> str:
        """Of the reader, for people: `Virtual PCD 00 00`."""
        ...

    @property
    def atr(self) -> bytes:
        """The answer to the last reset (ISO/IEC 7816-3 clause 8.2)."""
        ...

    def transmit(self, command: bytes) -> bytes:
        """Sends one command APDU (4..65,544 bytes) and returns response data and status word (2..65,538 bytes).

        Raises, with nothing sent: TruncatedError or OversizedError (no APDU), NoCardError (no card, or it was lost and
        `reset` has not found one), NoReaderError, NoServiceError, TransportError (closed).
        Raises, once handed over: OutcomeUnknownError and nothing else. From then on NoCardError until `reset`.
        """
        ...

    def reset(self) -> None:
        """Takes the power away and gives it back; also finds the card again after it was lost.

        Raises NoCardError, NoReaderError, NoServiceError, ReaderBusyError or TransportError; then there is no card.
        """
        ...

    def close(self) -> None:
        """Takes the power away and lets the reader go. May be called again, and never raises."""
        ...


def check_command(command: bytes) -> None:
    """Refuses what is no command APDU before it is sent: below 4 bytes (vpcd would take it for a control), above
    65,544.
    """
    if len(command) < HEADER:
        raise TruncatedError(f"a command APDU has at least {HEADER} bytes, not {len(command)}")
    if len(command) > MAX_COMMAND:
        raise OversizedError(f"a command APDU has at most {MAX_COMMAND} bytes, not {len(command)}")


def check_answer(answer: bytes, name: str) -> bytes:
    """Returns the answer if it can be one; an empty or torn one is OutcomeUnknownError (pcscd reports it as
    success).
    """
    if not 2 <= len(answer) <= MAX_RESPONSE:
        raise OutcomeUnknownError(
            f"{name}: an answer of {len(answer)} bytes is none: the card may or may not have acted"
        )
    return answer


def lost_card(name: str) -> NoCardError:
    """The error for a command after the card was lost: nothing was sent."""
    return NoCardError(f"{name}: the card was lost; nothing was sent")


def closed(name: str) -> TransportError:
    return TransportError(f"{name}: the connection is closed; nothing was sent", next_step="Open the reader again.")
