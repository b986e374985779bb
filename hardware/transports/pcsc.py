"""Real and virtual readers through the PC/SC service: listing, finding, and a card in exclusive use.

A card is held exclusively: two programs must not mix their commands. One thread owns a transport. What pcscd reports as
success with an empty answer (the virtual reader's card was torn) is an unknown outcome like any other failure after
SCardTransmit was called; see `scard.was_not_handed_over` for the few results that prove the opposite.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from hardware.apdu import HEADER
from wallet_core.errors import (
    ConfigurationError,
    NoReaderError,
    OutcomeUnknownError,
    TransportError,
    UsageError,
)

from .base import check_answer, check_command, closed, lost_card
from .scard import Context, code, failure, was_not_handed_over

VIRTUAL_PREFIX: Final = "Virtual PCD"
VIRTUAL_ONLY_VARIABLE: Final = "ECNY_VIRTUAL_ONLY"
"""Environment: `1` lets this process use virtual readers only (tests, demo)."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader as the service sees it now. `atr` is empty without a card."""

    name: str
    has_card: bool
    in_use: bool
    atr: bytes

    @property
    def is_virtual(self) -> bool:
        return self.name.startswith(VIRTUAL_PREFIX)


def list_readers() -> list[Reader]:
    """All readers with their state. Raises NoServiceError or ConfigurationError (pyscard missing)."""
    context = Context()
    try:
        readers = []
        for name in context.reader_names():
            flags, atr = context.status_change(name, context.scard.SCARD_STATE_UNAWARE, 0)
            has_card = bool(flags & context.scard.SCARD_STATE_PRESENT)
            in_use = bool(flags & (context.scard.SCARD_STATE_INUSE | context.scard.SCARD_STATE_EXCLUSIVE))
            readers.append(Reader(name, has_card, in_use, atr if has_card else b""))
        return readers
    finally:
        context.close()


def find_reader(text: str, names: list[str]) -> str:
    """The reader with this name, or the only one whose name contains `text` (case does not matter).

    Raises NoReaderError when none does, UsageError when several do.
    """
    if text in names:
        return text
    found = [name for name in names if text.casefold() in name.casefold()]
    if not found:
        there = ", ".join(names) or "none at all"
        raise NoReaderError(f"no reader is called {text!r}; there is {there}")
    if len(found) > 1:
        raise UsageError(f"{text!r} may be any of {', '.join(found)}", next_step="Give more of the name.")
    return found[0]


def is_allowed(name: str, virtual_only: bool | None = None) -> bool:
    """Whether this run may use the reader: where `virtual_only`, virtual ones alone; `None` asks the environment."""
    if virtual_only is None:
        virtual_only = os.environ.get(VIRTUAL_ONLY_VARIABLE, "") not in ("", "0")
    return not virtual_only or name.startswith(VIRTUAL_PREFIX)


def check_allowed(name: str, virtual_only: bool | None = None) -> None:
    """Raises ConfigurationError unless the reader `is_allowed`."""
    if not is_allowed(name, virtual_only):
        raise ConfigurationError(
            f"{name} is not a virtual reader, and this run may use those only",
            next_step=f"Name a reader that starts with {VIRTUAL_PREFIX!r}, or unset {VIRTUAL_ONLY_VARIABLE}.",
        )


class PcscTransport:
    """The card in one reader, held exclusively. `reader` is a full name (see `find_reader`).

    Raises NoServiceError, NoReaderError, NoCardError, ReaderBusyError or ConfigurationError; then nothing is held.
    """

    def __init__(self, reader: str, *, virtual_only: bool | None = None) -> None:
        check_allowed(reader, virtual_only)
        self._name = reader
        self._atr = b""
        self._context: Context | None = None
        self._card: Any = None
        self._protocol = 0
        self._lost = False
        self._closed = False
        self._connect()

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
        if self._lost or self._context is None:
            raise lost_card(self._name)
        scard = self._context.scard
        block = scard.SCARD_PCI_T1
        if self._protocol == scard.SCARD_PROTOCOL_T0:
            block, command = scard.SCARD_PCI_T0, _without_le(command)
        result, answer = scard.SCardTransmit(self._card, block, list(command))
        if code(result):
            self._lost = True
            error = failure(result, self._name)
            if was_not_handed_over(result):
                raise error
            raise OutcomeUnknownError(f"{error}; it was sent, but no answer came") from error
        try:
            return check_answer(bytes(answer), self._name)
        except OutcomeUnknownError:
            self._lost = True
            raise

    def reset(self) -> None:
        if self._closed:
            raise closed(self._name)
        if self._context is not None:
            scard = self._context.scard
            result, protocol = scard.SCardReconnect(
                self._card, scard.SCARD_SHARE_EXCLUSIVE, _either(scard), scard.SCARD_UNPOWER_CARD
            )
            if not code(result):
                self._powered(protocol)
                return
        # No card, or the service was restarted and knows this connection no more: begin again.
        self._drop()
        self._connect()

    def close(self) -> None:
        self._closed = True
        self._drop()

    def _connect(self) -> None:
        context = Context()
        self._context = context
        scard = context.scard
        result, self._card, protocol = scard.SCardConnect(
            context.handle, self._name, scard.SCARD_SHARE_EXCLUSIVE, _either(scard)
        )
        if code(result):
            context.close()
            self._context = None
            raise failure(result, self._name)
        try:
            self._powered(protocol)
        except TransportError:
            self._drop()
            raise

    def _powered(self, protocol: int) -> None:
        """Takes note of the protocol and the ATR of a card that has power."""
        if self._context is None:
            raise lost_card(self._name)
        result, _, _, _, atr = self._context.scard.SCardStatus(self._card)
        if code(result):
            raise failure(result, self._name)
        self._protocol, self._atr, self._lost = protocol, bytes(atr), False

    def _drop(self) -> None:
        """Takes the power away and lets go. A service that is gone has done both."""
        self._lost = True
        if self._context is not None:
            self._context.scard.SCardDisconnect(self._card, self._context.scard.SCARD_UNPOWER_CARD)
            self._context.close()
            self._context = None


def _either(scard: Any) -> int:
    return int(scard.SCARD_PROTOCOL_T1 | scard.SCARD_PROTOCOL_T0)


def _without_le(command: bytes) -> bytes:
    """T=0 has one P3 for Lc or Le: a case 4S command goes without Le, the answer comes with 61xx (ISO 7816-3,
    12.2.1).
    """
    has_data_and_le = len(command) > HEADER + 1 and command[HEADER] and len(command) == HEADER + 2 + command[HEADER]
    return command[:-1] if has_data_and_le else command
