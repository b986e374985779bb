"""The control of the PC/SC benchmarks: the bare calls of pyscard, nothing of ours between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from smartcard import scard


class RawCard:
    """The card in `reader`, held exclusively, T=1. Use as a context manager."""

    def __init__(self, reader: str) -> None:
        self._reader = reader

    def __enter__(self) -> Self:
        self._context = self._done(scard.SCardEstablishContext(scard.SCARD_SCOPE_USER))[0]
        connected = scard.SCardConnect(
            self._context, self._reader, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1
        )
        self._card = self._done(connected)[0]
        return self

    def __exit__(self, *_: object) -> None:
        scard.SCardDisconnect(self._card, scard.SCARD_UNPOWER_CARD)
        scard.SCardReleaseContext(self._context)

    def reset(self) -> None:
        """Power off and on."""
        self._done(
            scard.SCardReconnect(
                self._card, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1, scard.SCARD_UNPOWER_CARD
            )
        )

    def transmit_all(self, commands: Sequence[list[int]]) -> list[int]:
        """Send the commands one after the other; the last answer, status word included."""
        answer: list[int] = []
        for command in commands:
            result, answer = scard.SCardTransmit(self._card, scard.SCARD_PCI_T1, command)
            if result:
                raise RuntimeError(f"SCardTransmit: {scard.SCardGetErrorMessage(result)}")
        return answer

    @staticmethod
    def _done(result: Sequence[object]) -> Sequence[object]:
        if result[0]:
            raise RuntimeError(f"PC/SC: {scard.SCardGetErrorMessage(result[0])}")
        return result[1:]
