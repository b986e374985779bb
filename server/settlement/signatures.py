"""Checking many signatures: each is a piece of 160 bytes (key x ‖ y, digest, signature), the answer one byte each.

A verifier is for one suite, that of its installation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from wallet_core.errors import BadSignatureError
from wallet_core.keys import PublicKey
from wallet_core.suites import Suite

KEY_SIZE: Final = 64
DIGEST_SIZE: Final = 32
PIECE_SIZE: Final = 160
GOOD: Final = 1
BAD: Final = 0
MAX_KEYS = 65_536


class Pending(Protocol):
    """A check under way."""

    def result(self) -> bytes:
        """GOOD or BAD for each piece, in order; waits."""
        ...


class Verifier(Protocol):
    """Checks signatures; safe to use from several threads."""

    def submit(self, pieces: Sequence[bytes]) -> Pending: ...
    def close(self) -> None: ...


def piece(key: bytes, digest: bytes, signature: bytes) -> bytes:
    """`key`: x ‖ y; `digest`: what the signature covers (`PublicKey.signed_digest`); `signature`: r ‖ s."""
    return key + digest + signature


class Checker:
    """Checks pieces one after the other and remembers parsed keys."""

    def __init__(self, suite: Suite = Suite.ES256) -> None:
        self._suite = suite
        self._keys: dict[bytes, PublicKey] = {}

    def check(self, data: bytes) -> bytes:
        """`data`: pieces one behind the other."""
        verdicts = bytearray(len(data) // PIECE_SIZE)
        for index, at in enumerate(range(0, len(data), PIECE_SIZE)):
            key = self._key(data[at : at + KEY_SIZE])
            middle = at + KEY_SIZE + DIGEST_SIZE
            try:
                key.verify_digest(data[middle : at + PIECE_SIZE], data[at + KEY_SIZE : middle])
            except BadSignatureError:
                continue
            verdicts[index] = GOOD
        return bytes(verdicts)

    def _key(self, encoded: bytes) -> PublicKey:
        key = self._keys.get(encoded)
        if key is None:
            if len(self._keys) >= MAX_KEYS:
                self._keys = {}
            key = self._keys[encoded] = PublicKey(encoded[: KEY_SIZE // 2], encoded[KEY_SIZE // 2 :], self._suite)
        return key


class _Done:
    def __init__(self, verdicts: bytes) -> None:
        self._verdicts = verdicts

    def result(self) -> bytes:
        return self._verdicts


class InlineVerifier:
    """Checks in the calling thread: for small batches, for tests, and when no worker is to be had."""

    def __init__(self, suite: Suite = Suite.ES256) -> None:
        self._checker = Checker(suite)

    def submit(self, pieces: Sequence[bytes]) -> Pending:
        return _Done(self._checker.check(b"".join(pieces)))

    def close(self) -> None:
        """Nothing is held."""
