"""Identifiers: a purse, till, operator or authority is named by the thumbprint of its public key (RFC 9679)."""

from __future__ import annotations

import re

from wallet_core.errors import OutOfRangeError, UsageError

ID_SIZE = 32
HASH_SIZE = 32
COUNTER_MAX = 2**32 - 2  # the last value is never issued: a counter that reaches it is exhausted
SHORT_DIGITS = 8
_HEXADECIMAL = re.compile(r"[0-9a-f]{64}", re.ASCII | re.IGNORECASE)


def check_id(value: bytes) -> bytes:
    """Return `value` if it is 32 bytes; raises OutOfRangeError."""
    if len(value) != ID_SIZE:
        raise OutOfRangeError(f"an id has {ID_SIZE} bytes, not {len(value)}")
    return value


def parse_id(text: str) -> bytes:
    """Read an id from 64 hexadecimal digits; raises UsageError."""
    if _HEXADECIMAL.fullmatch(text) is None:
        raise UsageError("an id is written as 64 hexadecimal digits")
    return bytes.fromhex(text)


def short(value: bytes) -> str:
    """The first eight hexadecimal digits, for people; never for look-up."""
    return value.hex()[:SHORT_DIGITS]
