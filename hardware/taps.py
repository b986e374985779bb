"""From `--reader` to a hard wallet: which reader is meant, and a card in it, freshly powered.

auto             the card of the data directory where there is one, else the PC/SC reader with a card
emulator         the emulated card of the data directory; emulator:DIR one elsewhere
javacard         the simulated Java Card of the data directory; javacard:DIR one elsewhere
NAME, pcsc:NAME  a PC/SC reader by (part of) its name (hardware/readers.py)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .driver import HardWallet
from .emulator.in_reader import SCHEME, has_card
from .exchange import CardConnection
from .javacard import in_reader as javacard
from .readers import AUTO, open_transport
from .transports.base import Transport

CARD_DIRECTORY: Final = "card"

Wrap = Callable[[Transport], Transport]


def card_directory(data: Path) -> Path:
    """Where the card of a data directory lies, emulated or simulated."""
    return data / CARD_DIRECTORY


def reader_spec(text: str, data: Path) -> str:
    """What `open_transport` is to be asked for."""
    directory = card_directory(data)
    if text == javacard.SCHEME or (text == AUTO and javacard.has_card(directory)):
        return f"{javacard.SCHEME}:{directory}"
    if text == SCHEME or (text == AUTO and has_card(directory)):
        return f"{SCHEME}:{directory}"
    return text


def open_reader(text: str, data: Path, *, wait_ms: int = 0) -> Transport:
    """A powered card in the reader that `text` names. Raises what `hardware.readers.open_transport` raises."""
    return open_transport(reader_spec(text, data), wait_ms=wait_ms)


@contextmanager
def tap(text: str, data: Path, *, wait_ms: int = 0, wrap: Wrap | None = None) -> Iterator[HardWallet]:
    """A hard wallet for the length of a `with` block: one tap. `wrap` puts a transport around it, as for a trace."""
    transport = open_reader(text, data, wait_ms=wait_ms)
    connection = CardConnection(wrap(transport) if wrap else transport)
    try:
        yield HardWallet(connection)
    finally:
        connection.close()
