"""What the operator's commands at the desk share: the parts of its server, and ids as they are typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.app import Parts
from server.settings import Settings
from wallet_core.cli import Context
from wallet_core.errors import UsageError
from wallet_core.ids import ID_SIZE

DIRECTORY = "server"


@contextmanager
def open_parts(ctx: Context) -> Iterator[Parts]:
    """The server of the data directory, closed at the end; raises ConfigurationError where there is none."""
    parts = Parts.of(Settings.of_directory(ctx.data / DIRECTORY))
    try:
        yield parts
    finally:
        parts.close()


def octets(name: str, text: str) -> bytes:
    """An id or hash of 32 bytes in hexadecimal digits; raises UsageError."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != ID_SIZE:
        raise UsageError(f"{name} is {2 * ID_SIZE} hexadecimal digits")
    return value
