"""The two hash functions, 32 bytes each: SHA-256 (FIPS 180-4) of suite 1, SM3 (GB/T 32905-2016) of suite 2."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from wallet_core.errors import ConfigurationError


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def sm3(data: bytes) -> bytes:
    """Raises ConfigurationError where the cryptography package was built without SM3."""
    try:
        state = hashes.Hash(hashes.SM3())
    except UnsupportedAlgorithm:
        raise ConfigurationError(
            "this cryptography package has no SM3", next_step="Install its wheel, or use suite es256."
        ) from None
    state.update(data)
    return state.finalize()
