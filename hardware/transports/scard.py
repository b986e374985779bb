"""The PC/SC service as pyscard shows it: the one place that imports pyscard and that knows SCARD error codes.

pyscard is an optional dependency and is imported at the first use; without it, ConfigurationError says how to get it.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Final

from wallet_core.errors import (
    ConfigurationError,
    NoCardError,
    NoReaderError,
    NoServiceError,
    ReaderBusyError,
    TransportError,
)

TIMEOUT: Final = 0x8010000A
INVALID_HANDLE: Final = 0x80100003

_SERVICE: Final = NoServiceError
_READER: Final = NoReaderError
_CARD: Final = NoCardError
_BUSY: Final = ReaderBusyError
_OTHER: Final = TransportError

# What pcsc-lite's winscard.h and the PC/SC Workgroup's part 5 define; all of them, so that no code is a surprise.
ERRORS: Final[dict[int, tuple[type[TransportError], str]]] = {
    0x80100001: (_SERVICE, "internal error of the service"),
    0x80100002: (_OTHER, "cancelled"),
    INVALID_HANDLE: (_SERVICE, "the connection to the service is void"),
    0x80100004: (_OTHER, "invalid parameter"),
    0x80100005: (_SERVICE, "the service's start-up information is invalid"),
    0x80100006: (_SERVICE, "the service is out of memory"),
    0x80100007: (_SERVICE, "the service timed out"),
    0x80100008: (_OTHER, "the buffer is too small"),
    0x80100009: (_READER, "unknown reader"),
    TIMEOUT: (_CARD, "nothing happened in time"),
    0x8010000B: (_BUSY, "another program holds the reader"),
    0x8010000C: (_CARD, "no card in the reader"),
    0x8010000D: (_CARD, "unknown card"),
    0x8010000E: (_OTHER, "cannot end as asked"),
    0x8010000F: (_CARD, "the card does not speak the protocol"),
    0x80100010: (_CARD, "the card is not ready"),
    0x80100011: (_OTHER, "invalid value"),
    0x80100012: (_BUSY, "the system cancelled the operation"),
    0x80100013: (_SERVICE, "communication with the service failed"),
    0x80100014: (_SERVICE, "unknown error of the service"),
    0x80100015: (_CARD, "the ATR is invalid"),
    0x80100016: (_CARD, "the card does not answer"),
    0x80100017: (_READER, "the reader is gone"),
    0x80100018: (_SERVICE, "the service is shutting down"),
    0x80100019: (_READER, "the reader's buffer is too small"),
    0x8010001A: (_READER, "the reader's driver does not fit"),
    0x8010001B: (_READER, "another reader has this name"),
    0x8010001C: (_CARD, "the card is not supported"),
    0x8010001D: (_SERVICE, "the service is not running"),
    0x8010001E: (_SERVICE, "the service has stopped"),
    0x8010001F: (_OTHER, "not supported"),
    0x80100020: (_OTHER, "no card installation"),
    0x80100021: (_OTHER, "the order of objects is not supported"),
    0x80100022: (_OTHER, "the feature is not supported"),
    0x80100023: (_CARD, "no such directory on the card"),
    0x80100024: (_CARD, "no such file on the card"),
    0x80100025: (_CARD, "no such path on the card"),
    0x80100026: (_CARD, "the card's memory refuses"),
    0x80100027: (_SERVICE, "this user may not use the service"),
    0x80100028: (_CARD, "the card's memory refuses to be written"),
    0x80100029: (_SERVICE, "bad position of a file"),
    0x8010002A: (_OTHER, "bad length"),
    0x8010002B: (_OTHER, "bad position"),
    0x8010002C: (_OTHER, "no such certificate"),
    0x8010002D: (_OTHER, "certificate unavailable"),
    0x8010002E: (_READER, "no reader is connected"),
    0x8010002F: (_SERVICE, "communication data lost"),
    0x80100030: (_OTHER, "no such key container"),
    0x80100031: (_SERVICE, "the service is too busy"),
    0x80100065: (_CARD, "the card is not supported"),
    0x80100066: (_CARD, "the card does not answer to power"),
    0x80100067: (_CARD, "the card has no power"),
    0x80100068: (_CARD, "the card was reset by another program"),
    0x80100069: (_CARD, "the card was taken away"),
    0x8010006A: (_SERVICE, "this user may not use the service"),
    0x8010006B: (_CARD, "wrong PIN"),
    0x8010006C: (_CARD, "PIN blocked"),
    0x8010006D: (_CARD, "end of a file on the card"),
    0x8010006E: (_OTHER, "cancelled by the user"),
    0x8010006F: (_CARD, "no PIN was presented"),
}

_NOT_HANDED_OVER_BY_PCSC_LITE: Final = frozenset(
    {INVALID_HANDLE, 0x8010000B, 0x8010000F, 0x80100068, 0x80100069}  # busy, protocol, reset, removed
)


def load() -> Any:
    """pyscard's `smartcard.scard`, imported at the first call. Raises ConfigurationError when it is not installed."""
    # By default pcsc-lite hides a busy reader and blocks until it is free; we want to be told.
    os.environ.setdefault("PCSCLITE_NO_BLOCKING", "1")
    try:
        return importlib.import_module("smartcard.scard")
    except ImportError as error:
        raise ConfigurationError(
            f"pyscard is not usable: {error}",
            next_step="Install the extra: pip install 'ecny-wallet[pcsc]' (builds with gcc, swig, libpcsclite-dev).",
        ) from error


def code(result: int) -> int:
    """An SCARD result as an unsigned number of 32 bits; some builds give it with a sign."""
    return result & 0xFFFFFFFF


def failure(result: int, doing: str) -> TransportError:
    """The error of our tree for an SCARD result, with what we were doing and what it means."""
    kind, words = ERRORS.get(code(result), (_OTHER, "unknown PC/SC error"))
    return kind(f"{doing}: {words} (PC/SC {code(result):08X})")


def was_not_handed_over(result: int) -> bool:
    """Whether SCardTransmit says with this result that the card never saw the command.

    pcsc-lite checks these before it calls the reader's driver (SCardTransmit in its winscard.c). Others do not
    promise it, and no other result does: then the outcome is unknown.
    """
    return sys.platform == "linux" and code(result) in _NOT_HANDED_OVER_BY_PCSC_LITE


class Context:
    """A connection to the service. A restarted service makes it void: drop it and make another.

    Raises NoServiceError or ConfigurationError when it cannot be made.
    """

    def __init__(self) -> None:
        self.scard = load()
        result, self.handle = self.scard.SCardEstablishContext(self.scard.SCARD_SCOPE_USER)
        if code(result):
            raise failure(result, "PC/SC")

    def reader_names(self) -> list[str]:
        """The readers in the order of the service; empty when there is none."""
        result, names = self.scard.SCardListReaders(self.handle, [])
        error = failure(result, "list of readers") if code(result) else None
        if isinstance(error, NoReaderError):
            return []
        if error is not None:
            raise error
        return list(names)

    def status_change(self, reader: str, known: int, timeout_ms: int) -> tuple[int, bytes]:
        """State flags and ATR of a reader once they differ from `known`, or after the time-out as they are.

        Raises NoReaderError or NoServiceError.
        """
        result, states = self.scard.SCardGetStatusChange(self.handle, timeout_ms, [(reader, known)])
        if code(result) not in (0, TIMEOUT):
            raise failure(result, reader)
        _, flags, atr = states[0]
        return flags, bytes(atr)

    def close(self) -> None:
        """Never raises: a void context is closed already."""
        self.scard.SCardReleaseContext(self.handle)
