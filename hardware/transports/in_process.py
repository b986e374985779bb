"""A card in this process: no reader, no service, the same contract."""

from __future__ import annotations

from hardware.card_like import CardLike, CardTorn
from wallet_core.errors import EcnyError, NoCardError, OutcomeUnknownError

from .base import check_answer, check_command, closed, lost_card

__all__ = ["CardLike", "CardTorn", "InProcessTransport"]


class InProcessTransport:
    """Carries APDUs to a `CardLike` and powers it up at once. Raises NoCardError when the card tears while it
    recovers.
    """

    def __init__(self, card: CardLike, name: str = "in process") -> None:
        self._card = card
        self._name = name
        self._atr = b""
        self._powered = False
        self._closed = False
        self._power_on()

    @property
    def name(self) -> str:
        return self._name

    @property
    def atr(self) -> bytes:
        return self._atr

    def transmit(self, command: bytes) -> bytes:
        check_command(command)
        if self._closed:
            raise closed(self._name)
        if not self._powered:
            raise lost_card(self._name)
        try:
            return check_answer(self._card.transmit(command), self._name)
        except (CardTorn, EcnyError, OSError) as error:
            # A card whose own memory fails in mid command (disk full under its image) is as silent as one taken away.
            self._powered = False
            self._card.power_off()
            raise OutcomeUnknownError(f"{self._name}: sent, but no answer came ({_why(error)})") from error

    def reset(self) -> None:
        if self._closed:
            raise closed(self._name)
        self._powered = False
        self._card.power_off()
        self._power_on()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._powered = False
            self._card.power_off()

    def _power_on(self) -> None:
        try:
            self._atr = self._card.power_on()
        except (CardTorn, EcnyError, OSError) as error:
            self._card.power_off()
            raise NoCardError(f"{self._name}: the card does not answer to power ({_why(error)})") from error
        self._powered = True


def _why(error: Exception) -> str:
    return "power lost" if isinstance(error, CardTorn) else str(error) or type(error).__name__
