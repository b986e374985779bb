"""Identifiers: a purse, till, operator or authority is named by the thumbprint of its public key (RFC 9679)."""

from __future__ import annotations

from wallet_core.errors import OutOfRangeError, UsageError

ID_SIZE = 32
HASH_SIZE = 32
COUNTER_MAX = 2**32 - 2  # the last value is never issued: a counter that reaches it is exhausted
SHORT_DIGITS = 8


def check_id(value: bytes) -> bytes:
    """Return `value` if it is 32 bytes; raises OutOfRangeError."""
    if len(value) != ID_SIZE:
        raise OutOfRangeError(f"an id has {ID_SIZE} bytes, not {len(value)}")
    return value


def parse_id(text: str) -> bytes:
    """Read an id from 64 hexadecimal digits; raises UsageError."""
    try:
        value = bytes.fromhex(text)
    except ValueError as exc:
        raise UsageError("an id is written as 64 hexadecimal digits") from exc
    if len(value) != ID_SIZE:
        raise UsageError(f"an id is written as 64 hexadecimal digits, not {len(text)}")
    return value


def short(value: bytes) -> str:
    """The first eight hexadecimal digits, for people; never for look-up."""
    return value.hex()[:SHORT_DIGITS]
