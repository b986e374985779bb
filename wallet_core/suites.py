"""Cipher suites: which signature, hash and block cipher belong together, by the number inside every signed message.

What a suite is made of, and the rules that keep one apart from the other: docs/spec/suites.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from wallet_core.digests import sha256, sm3
from wallet_core.errors import UnknownSuiteError, UsageError


class Suite(IntEnum):
    """Registered suites, in the order of policy: a policy's *least suite* refuses every smaller number."""

    ES256 = 1  # ECDSA P-256 with SHA-256 (RFC 9053, clause 2.1), AES-128
    SM2 = 2  # SM2 on sm2p256v1 (GB/T 32918), SM3 (GB/T 32905), SM4 (GB/T 32907)


@dataclass(frozen=True, slots=True)
class SuiteProfile:
    """What a suite fixes: COSE algorithm and curve, encoded protected header and curve, sizes in bytes, hash.

    `cose_alg`, `cose_curve`: numbers in the COSE registries, or below -65536, which is for private use (RFC 9053,
    clause 11). `digest`: H, 32 bytes.
    """

    suite: Suite
    cose_alg: int
    cose_curve: int
    protected: bytes
    encoded_alg: bytes
    encoded_curve: bytes
    coordinate_size: int
    signature_size: int
    digest: Callable[[bytes], bytes]


_ALL = (
    SuiteProfile(Suite.ES256, -7, 1, bytes.fromhex("a10126"), bytes.fromhex("26"), bytes.fromhex("01"), 32, 64, sha256),
    SuiteProfile(
        Suite.SM2,
        -65538,
        -65538,
        bytes.fromhex("a1013a00010001"),
        bytes.fromhex("3a00010001"),
        bytes.fromhex("3a00010001"),
        32,
        64,
        sm3,
    ),
)
_PROFILES = {one.suite: one for one in _ALL}


def profile(suite: int) -> SuiteProfile:
    """The profile of suite number `suite`; raises UnknownSuiteError for a number that is not registered."""
    try:
        return _PROFILES[Suite(suite)]
    except ValueError as exc:
        raise UnknownSuiteError(f"suite {suite} is not known here") from exc


def profile_of(protected: bytes) -> SuiteProfile:
    """The profile that an encoded protected header names: in deterministic order alg, label 1, is its first entry.

    Raises UnknownSuiteError for any other algorithm, or none.
    """
    for one in _ALL:
        if protected[1:].startswith(b"\x01" + one.encoded_alg):
            return one
    raise UnknownSuiteError("the protected header names no algorithm that is known here")


def parse_suite(name: str) -> Suite:
    """The suite that a person calls `name`, in any case; raises UsageError."""
    try:
        return Suite[name.upper()]
    except KeyError:
        known = " or ".join(one.name.lower() for one in Suite)
        raise UsageError(f"there is no suite {name!r}", next_step=f"Take {known}.") from None
