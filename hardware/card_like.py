"""What a card is to whoever carries bytes to it: power, and one answer to one command.

Neutral ground: the emulator implements this, the in-process transport and the attachment to vpcd use it, and neither
imports the other.
"""

from __future__ import annotations

from typing import Protocol


class CardTorn(Exception):
    """Power was lost in the middle of a command or of power-up: no answer left the card.

    Raised by a card only. What the card had written before the cut is decided by its own recovery at the next power-up;
    the host must treat the command as *outcome unknown*.
    """


class CardLike(Protocol):
    """A card without a reader. Never called by two threads at once."""

    def power_on(self) -> bytes:
        """Powers the card up, lets it recover, and returns its ATR (2..33 bytes, ISO 7816-3 clause 8.2).

        Raises `CardTorn` when power is lost during recovery. The ATR of one card is always the same.
        """
        ...

    def power_off(self) -> None:
        """Takes the power, and with it volatile memory (applet selected, PIN verified, channel). May be repeated."""
        ...

    def transmit(self, command: bytes) -> bytes:
        """Answers one command APDU (4 bytes or more) with data and status word (2 bytes or more).

        Raises `CardTorn` when power is lost before the answer is complete.
        """
        ...
