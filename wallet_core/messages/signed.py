"""A message with its signature: the COSE_Sign1 envelope around a payload, for fixed and variable layouts alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError, OversizedError, TruncatedError, UnknownSuiteError
from wallet_core.keys import PublicKey, Signer
from wallet_core.suites import Suite, profile


class Payload(Protocol):
    """What can be signed: it knows its suite and its one encoding."""

    @property
    def suite(self) -> Suite: ...
    def to_payload(self) -> bytes: ...
    @classmethod
    def from_payload(cls, payload: bytes) -> Self: ...


M = TypeVar("M", bound=Payload)

MAX_FIXED_SIZE = 1280  # a Report, the longest message of fixed layout, has 1088; a batch names its own limit


@dataclass(frozen=True, slots=True)
class Signed(Generic[M]):
    """`message` and the raw signature (64 bytes) over its Sig_structure."""

    message: M
    signature: bytes

    @classmethod
    def sign(cls, message: M, signer: Signer) -> Signed[M]:
        """Raises BadSignatureError for a key of another suite than the message's: nobody could verify that."""
        if signer.public.suite is not message.suite:
            raise BadSignatureError("the key belongs to another suite than the message")
        return cls(message, signer.sign(_envelope(message, b"").signed_bytes))

    def to_bytes(self) -> bytes:
        return _envelope(self.message, self.signature).to_bytes()

    @property
    def hash(self) -> bytes:
        """H(x): does not depend on the signature."""
        return _envelope(self.message, b"").hash

    def verify(self, key: PublicKey) -> M:
        """Return the message if `key` signed it; raises BadSignatureError."""
        if key.suite is not self.message.suite:
            raise BadSignatureError("the key belongs to another suite than the message")
        key.verify(self.signature, _envelope(self.message, b"").signed_bytes)
        return self.message


def parse(kind: type[M], data: bytes, *, max_size: int = MAX_FIXED_SIZE) -> Signed[M]:
    """Parse an envelope around a message of type `kind`, signature not yet checked; raises a CodecError."""
    sign1 = Sign1.from_bytes(data, max_size=max_size)
    message = kind.from_payload(sign1.payload)
    expected = profile(message.suite)
    if sign1.protected != expected.protected:
        raise UnknownSuiteError("the protected header does not belong to the suite named in the payload")
    if len(sign1.signature) != expected.signature_size:
        fault = TruncatedError if len(sign1.signature) < expected.signature_size else OversizedError
        raise fault(f"a signature of this suite has {expected.signature_size} bytes, not {len(sign1.signature)}")
    return Signed(message, sign1.signature)


def _envelope(message: Payload, signature: bytes) -> Sign1:
    return Sign1(profile(message.suite).protected, message.to_payload(), signature)
