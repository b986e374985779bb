"""Strict deterministic CBOR: the only door through which variable-length messages come in.

cbor2 accepts duplicate keys, non-minimal integers, indefinite lengths and trailing bytes. A message here has
exactly one encoding (RFC 8949, clause 4.2.1): decode, encode again, compare, refuse. Map keys are
integers whose length-first (RFC 7049) and bytewise (RFC 8949) orders agree; see docs/spec/messages.cddl.
"""

from __future__ import annotations

from typing import Any

import cbor2

from wallet_core.errors import CodecError, NotCanonicalError, OversizedError, TruncatedError


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
    try:
        value = cbor2.loads(data)
        again = encode(value)
    except cbor2.CBORDecodeEOF as exc:
        raise TruncatedError(f"ends after {len(data)} bytes in the middle of an item") from exc
    except Exception as exc:  # cbor2 lets ValueError, TypeError, RecursionError and its own errors through
        raise CodecError(f"not CBOR: {type(exc).__name__}") from exc
    if again != data:
        if data.startswith(again):  # an encoding ends by itself: what follows is no part of it
            raise OversizedError(f"{len(data) - len(again)} bytes after the end of the message")
        raise NotCanonicalError("not the one deterministic encoding of this value (RFC 8949, clause 4.2.1)")
    return value
