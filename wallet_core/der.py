"""The little DER (X.690) that raw signatures need on their way into the libraries."""

from __future__ import annotations


def integers(r: bytes, s: bytes) -> bytes:
    """SEQUENCE { INTEGER r, INTEGER s } (X.690, clause 8.3), from two numbers of 32 bytes above 0."""
    content = _integer(r) + _integer(s)
    return bytes((0x30, len(content))) + content


def _integer(value: bytes) -> bytes:
    first = value[0]
    if first > 0x7F:
        return b"\x02\x21\x00" + value
    if first:
        return b"\x02\x20" + value
    value = value.lstrip(b"\x00")
    if value[0] > 0x7F:
        value = b"\x00" + value
    return bytes((2, len(value))) + value
