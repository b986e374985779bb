"""From what a user calls a reader to a transport: `pcsc:NAME`, `NAME`, `auto`, and whatever else registers a scheme.

pcsc:Virtual PCD 00 00   a PC/SC reader by name, or by part of it
Gemalto                  the same, when no scheme is called so
auto                     the PC/SC reader that has a card; with several, the first
emulator:DIR             a card image, in process (registered by the emulator)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wallet_core.errors import NoCardError, NoReaderError, ReaderBusyError, UsageError

from .transports.base import Transport
from .transports.card_wait import ReaderWatch
from .transports.pcsc import PcscTransport, check_allowed, find_reader, is_allowed, list_readers

AUTO: Final = "auto"
AGAIN_MS: Final = 500
"""Between two attempts at a card that is there and cannot be had, unless its removal is seen before."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to open: `virtual_only` refuses real readers (None: the environment says), `wait_ms` waits for a card."""

    virtual_only: bool | None = None
    wait_ms: int = 0


Opener = Callable[[str, Options], Transport]
"""Gets what follows the colon."""

_openers: dict[str, Opener] = {}


def register(scheme: str, opener: Opener) -> None:
    """Makes `scheme:…` known. Registering the same scheme again replaces it. Raises UsageError for a scheme of no
    use.
    """
    if not scheme.isalnum() or scheme == AUTO:
        raise UsageError(f"{scheme!r} cannot be the name of a kind of reader")
    _openers[scheme] = opener


def schemes() -> list[str]:
    """The known schemes, sorted."""
    return sorted(_openers)


def open_transport(spec: str, *, virtual_only: bool | None = None, wait_ms: int = 0) -> Transport:
    """Opens the reader that `spec` names and powers its card.

    Raises UsageError (no such thing as this spec, or several readers fit), ConfigurationError, NoServiceError,
    NoReaderError, NoCardError or ReaderBusyError.
    """
    options = Options(virtual_only, wait_ms)
    if spec == AUTO:
        return _open_auto(options)
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in _openers:
        if not rest:
            raise UsageError(f"{scheme}: what?", next_step=f"Say which, as in {scheme}:NAME.")
        return _openers[scheme](rest, options)
    if not spec:
        raise UsageError("no reader was named", next_step="Name a reader, or take `auto`.")
    return _open_pcsc(spec, options)


def _open_pcsc(text: str, options: Options) -> Transport:
    name = find_reader(text, [reader.name for reader in list_readers()])
    check_allowed(name, options.virtual_only)
    if options.wait_ms:
        return _wait_and_open(name, options)
    return PcscTransport(name, virtual_only=options.virtual_only)


def _wait_and_open(name: str, options: Options) -> Transport:
    """Waits for a card that can be had: one that was just taken away still counts as present for 0.4 s."""
    deadline = time.monotonic_ns() + options.wait_ms * 1_000_000
    with ReaderWatch(name) as watch:
        while True:
            left_ms = max(0, (deadline - time.monotonic_ns()) // 1_000_000)
            watch.wait_for_card(left_ms)
            try:
                return PcscTransport(name, virtual_only=options.virtual_only)
            except (NoCardError, ReaderBusyError):
                if not left_ms:
                    raise
                watch.wait_for_removal(min(left_ms, AGAIN_MS))


def _open_auto(options: Options) -> Transport:
    readers = [reader for reader in list_readers() if is_allowed(reader.name, options.virtual_only)]
    if not readers:
        raise NoReaderError("the PC/SC service knows no reader that may be used")
    with_card = next((reader for reader in readers if reader.has_card), None)
    if with_card is not None:
        return _open_pcsc(with_card.name, options)
    if options.wait_ms:
        return _open_pcsc(readers[0].name, options)
    raise NoCardError("no reader has a card: " + ", ".join(reader.name for reader in readers))


register("pcsc", _open_pcsc)
