"""The sealed audit block of a voucher: what the operator alone may read about the payer's purse.

AES-128 (suite 2: SM4, GB/T 32907-2016) in CBC mode with the card's own audit key and a zero initial vector. The first
plaintext block is unique and unpredictable (12 random bytes and the counter), so that equal totals never give equal
ciphertext; the voucher's signature covers the block, so that it needs no tag of its own. EMV's issuer application data
has the same part.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from wallet_core.errors import ConfigurationError, MismatchError, OutOfRangeError
from wallet_core.suites import Suite

KEY_SIZE = 16
NONCE_SIZE = 12
SEALED_SIZE = 48


@dataclass(frozen=True, slots=True)
class AuditData:
    """The purse after this payment: totals that only grow and the exposure since the last grant, all fen."""

    n: int
    total_in: int
    total_out: int
    total_reversed: int
    exposure: int

    def _plain(self, nonce: bytes) -> bytes:
        numbers = (self.total_in, self.total_out, self.total_reversed, self.exposure)
        return nonce + self.n.to_bytes(4, "big") + b"".join(v.to_bytes(8, "big") for v in numbers)

    def seal(self, key: bytes, nonce: bytes, suite: Suite = Suite.ES256) -> bytes:
        """48 bytes under `key` (16 bytes), with `nonce` of 12 fresh random bytes, by the cipher of `suite`."""
        if len(key) != KEY_SIZE or len(nonce) != NONCE_SIZE:
            raise OutOfRangeError(f"the audit key has {KEY_SIZE} bytes, the nonce {NONCE_SIZE}")
        try:
            encryptor = _cipher(key, suite).encryptor()
        except UnsupportedAlgorithm:
            raise _no_cipher() from None
        return encryptor.update(self._plain(nonce)) + encryptor.finalize()

    @classmethod
    def open(cls, key: bytes, sealed: bytes, n: int, suite: Suite = Suite.ES256) -> AuditData:
        """Read a block; raises MismatchError when it is not of voucher number `n` under this key."""
        if len(key) != KEY_SIZE or len(sealed) != SEALED_SIZE:
            raise OutOfRangeError(f"an audit block has {SEALED_SIZE} bytes, its key {KEY_SIZE}")
        try:
            decryptor = _cipher(key, suite).decryptor()
        except UnsupportedAlgorithm:
            raise _no_cipher() from None
        plain = decryptor.update(sealed) + decryptor.finalize()
        if int.from_bytes(plain[12:16], "big") != n:
            raise MismatchError("the audit block does not belong to this voucher")
        totals = [int.from_bytes(plain[at : at + 8], "big") for at in (16, 24, 32, 40)]
        return cls(n, *totals)


def _cipher(key: bytes, suite: Suite) -> Cipher[modes.CBC]:
    algorithm = algorithms.AES(key) if suite is Suite.ES256 else algorithms.SM4(key)
    return Cipher(algorithm, modes.CBC(bytes(16)))


def _no_cipher() -> ConfigurationError:
    return ConfigurationError(
        "this cryptography package has no SM4", next_step="Install its wheel, or use suite es256."
    )
