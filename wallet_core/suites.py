"""Cipher suites: which signature, hash and block cipher belong together, by the number inside every signed message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from wallet_core.errors import UnknownSuiteError


class Suite(IntEnum):
    """Registered suites, weakest first: a policy's *least suite* refuses every smaller number."""

    ES256 = 1  # ECDSA P-256 with SHA-256 (RFC 9053, clause 2.1), AES-128


@dataclass(frozen=True, slots=True)
class SuiteProfile:
    """What a suite fixes: COSE algorithm, encoded protected header, sizes in bytes."""

    suite: Suite
    cose_alg: int
    protected: bytes
    coordinate_size: int
    signature_size: int


_PROFILES = {
    Suite.ES256: SuiteProfile(Suite.ES256, -7, bytes.fromhex("a10126"), 32, 64),
}


def profile(suite: int) -> SuiteProfile:
    """The profile of suite number `suite`; raises UnknownSuiteError for a number that is not registered."""
    try:
        return _PROFILES[Suite(suite)]
    except ValueError as exc:
        raise UnknownSuiteError(f"suite {suite} is not known here") from exc
