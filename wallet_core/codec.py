"""Strict deterministic CBOR: the only door through which variable-length messages come in.

cbor2 accepts duplicate keys, non-minimal integers, indefinite lengths and trailing bytes. A message here has
exactly one encoding (RFC 8949, clause 4.2.1): decode, encode again, compare, refuse. Map keys are
integers whose length-first (RFC 7049) and bytewise (RFC 8949) orders agree; see docs/spec/messages.cddl.
"""

from __future__ import annotations

from typing import Any

import cbor2

from wallet_core.errors import CodecError, NotCanonicalError, OversizedError, TruncatedError

MAX_DEPTH = 5
_BYTES, _TEXT, _ARRAY, _MAP, _TAG = 2, 3, 4, 5, 6  # major types (RFC 8949, clause 3.1)
_WIDE_HEAD, _LONGEST_HEAD, _INDEFINITE = 24, 27, 31  # additional information; 24 to 27: argument in 1, 2, 4, 8 bytes


def encode(value: Any) -> bytes:
    """Encode `value` deterministically (shortest integers, definite lengths, sorted keys)."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, *, max_size: int) -> Any:
    """Decode one canonical CBOR item that fills `data` exactly.

    Raises OversizedError above `max_size` bytes, TruncatedError when the item ends too soon, NotCanonicalError when the
    same value has another encoding, CodecError for anything else that is not CBOR.
    """
    if len(data) > max_size:
        raise OversizedError(f"{len(data)} bytes, at most {max_size} are allowed")
    _scan(data)
    try:
        value = cbor2.loads(data)
        again = encode(value)
    except Exception as exc:  # cbor2 lets ValueError, TypeError, RecursionError and its own errors through
        raise CodecError(f"not CBOR: {type(exc).__name__}") from exc
    if again != data:
        raise NotCanonicalError("not the one deterministic encoding of this value (RFC 8949, clause 4.2.1)")
    return value


def _scan(data: bytes) -> None:
    """Walk over the heads before the library sees the bytes: no tags, no indefinite lengths, no depth.

    Tags 28 and 29 (shared values) would let a few hundred bytes unfold into gigabytes, and nothing here uses any tag,
    so they are refused unread: all this happens before any signature can be checked.
    """
    at, size = 0, len(data)
    open_items = [1]  # how many items are still to come on each level
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            continue
        open_items[-1] -= 1
        if at >= size:
            raise TruncatedError(f"ends after {size} bytes in the middle of an item")
        major, short = data[at] >> 5, data[at] & 0x1F
        if major == _TAG or (short == _INDEFINITE and major in (_BYTES, _TEXT, _ARRAY, _MAP)):
            raise NotCanonicalError(f"initial byte {data[at]:02x}: no tag and no indefinite length is used here")
        if short > _LONGEST_HEAD:
            raise CodecError(f"not CBOR: initial byte {data[at]:02x}")
        width = 0 if short < _WIDE_HEAD else 1 << (short - _WIDE_HEAD)
        argument = short if not width else int.from_bytes(data[at + 1 : at + 1 + width], "big")
        at += 1 + width
        if major in (_BYTES, _TEXT):
            at += argument
        elif major in (_ARRAY, _MAP):
            if argument > size:  # each item has a byte at least
                raise TruncatedError(f"{argument} items do not fit in {size} bytes")
            if len(open_items) >= MAX_DEPTH:
                raise NotCanonicalError(f"nested deeper than {MAX_DEPTH}")
            open_items.append(argument if major == _ARRAY else 2 * argument)
    if at < size:
        raise OversizedError(f"{size - at} bytes after the end of the message")
    if at > size:
        raise TruncatedError(f"ends after {size} bytes in the middle of an item")
