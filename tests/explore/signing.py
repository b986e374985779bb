"""Signatures are deterministic (RFC 6979): what the real code has signed or verified once need not be computed again.

Nothing is replaced: each entry of the two memos was computed by `wallet_core.keys` itself, and a signature that does
not verify is never remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wallet_core.keys import PublicKey, SoftwareKey

_signed: dict[tuple[bytes, bytes], bytes] = {}
_verified: set[bytes] = set()


@contextmanager
def remembered() -> Iterator[None]:
    """Until the end of the block every key of this process remembers."""
    sign, check = SoftwareKey.sign, PublicKey._check

    def remembered_sign(self: SoftwareKey, message: bytes) -> bytes:
        key = (self.public.x, hashlib.sha256(message).digest())
        signature = _signed.get(key)
        if signature is None:
            signature = _signed[key] = sign(self, message)
        return signature

    def remembered_check(self: PublicKey, signature: bytes, data: bytes, algorithm: Any) -> None:
        kind = type(algorithm.algorithm).__name__.encode()
        key = hashlib.sha256(b"".join((kind, self.x, self.y, signature, data))).digest()
        if key not in _verified:
            check(self, signature, data, algorithm)
            _verified.add(key)

    SoftwareKey.sign = remembered_sign  # type: ignore[method-assign]
    PublicKey._check = remembered_check  # type: ignore[method-assign]
    try:
        yield
    finally:
        SoftwareKey.sign = sign  # type: ignore[method-assign]
        PublicKey._check = check  # type: ignore[method-assign]
