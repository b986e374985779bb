"""COSE_Sign1 (RFC 9052, clause 4.2) with bytes built by hand: tagged, empty unprotected header, empty external data.

What is hashed, deduplicated and compared is always the Sig_structure, never a signature: an ECDSA signature has a
second valid form, and an unprotected header is not signed. So the envelope has one shape only, and the hash of a
message is the same whether or not a signature is attached.
"""

from __future__ import annotations

from dataclasses import dataclass

from wallet_core.errors import NotCanonicalError, OversizedError, TruncatedError
from wallet_core.suites import profile_of

_TAGGED_ARRAY_OF_4 = b"\xd2\x84"
_EMPTY_MAP = b"\xa0"
_SIG_CONTEXT = b"\x84\x6aSignature1"
_EMPTY_AAD = b"\x40"


def bstr(data: bytes) -> bytes:
    """CBOR byte string with the shortest head (RFC 8949, clause 3)."""
    size = len(data)
    if size < 24:
        return bytes((0x40 | size,)) + data
    if size < 0x100:
        return bytes((0x58, size)) + data
    if size < 0x10000:
        return b"\x59" + size.to_bytes(2, "big") + data
    return b"\x5a" + size.to_bytes(4, "big") + data


def _read_bstr(data: bytes, at: int) -> tuple[bytes, int]:
    """The byte string at offset `at` and the offset behind it; shortest head only."""
    if at >= len(data):
        raise TruncatedError("a byte string is missing")
    head = data[at]
    if not 0x40 <= head <= 0x5A:
        raise NotCanonicalError(f"expected a byte string, found initial byte {head:02x}")
    extra = {0x58: 1, 0x59: 2, 0x5A: 4}.get(head, 0)
    start = at + 1 + extra
    if start > len(data):
        raise TruncatedError("the head of a byte string ends too soon")
    size = int.from_bytes(data[at + 1 : start], "big") if extra else head - 0x40
    smallest = {0: 0, 1: 24, 2: 0x100, 4: 0x10000}[extra]
    if (head - 0x40 > 23 and not extra) or size < smallest:
        raise NotCanonicalError("a byte string head is not the shortest")
    if start + size > len(data):
        raise TruncatedError(f"a byte string of {size} bytes ends too soon")
    return data[start : start + size], start + size


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """The bytes that are signed and hashed (RFC 9052, clause 4.4)."""
    return b"".join((_SIG_CONTEXT, bstr(protected), _EMPTY_AAD, bstr(payload)))


def payload_hash(protected: bytes, payload: bytes) -> bytes:
    """H(x): the hash of the header's suite over the Sig_structure (docs/spec/transfer.md, rule 1).

    Raises UnknownSuiteError for a header of no suite.
    """
    return profile_of(protected).digest(sig_structure(protected, payload))


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1: encoded protected header, payload, signature; all bytes."""

    protected: bytes
    payload: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        return b"".join(
            (_TAGGED_ARRAY_OF_4, bstr(self.protected), _EMPTY_MAP, bstr(self.payload), bstr(self.signature))
        )

    @classmethod
    def from_bytes(cls, data: bytes, *, max_size: int) -> Sign1:
        """Split an envelope; raises TruncatedError, OversizedError or NotCanonicalError."""
        if len(data) > max_size:
            raise OversizedError(f"{len(data)} bytes, at most {max_size} are allowed")
        if data[:2] != _TAGGED_ARRAY_OF_4:
            if _TAGGED_ARRAY_OF_4.startswith(data):
                raise TruncatedError("the message ends in its first bytes")
            raise NotCanonicalError("not a tagged COSE_Sign1 (RFC 9052, clause 4.2)")
        protected, at = _read_bstr(data, 2)
        if data[at : at + 1] != _EMPTY_MAP:
            if at >= len(data):
                raise TruncatedError("the unprotected header is missing")
            raise NotCanonicalError("the unprotected header is not empty")
        payload, at = _read_bstr(data, at + 1)
        signature, at = _read_bstr(data, at)
        if at != len(data):
            raise OversizedError(f"{len(data) - at} bytes after the end of the message")
        return cls(protected, payload, signature)

    @property
    def signed_bytes(self) -> bytes:
        return sig_structure(self.protected, self.payload)

    @property
    def hash(self) -> bytes:
        return payload_hash(self.protected, self.payload)
