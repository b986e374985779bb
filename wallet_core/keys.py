"""Key pairs of suite ES256: raw coordinates and raw signatures outside, pyca/cryptography inside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from wallet_core.errors import BadSignatureError, ConfigurationError, OutOfRangeError
from wallet_core.suites import Suite

COORDINATE_SIZE = 32
SIGNATURE_SIZE = 64
_DIGEST_SIZE = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5, P-256, n
_ORDER_BYTES, _ZERO = _ORDER.to_bytes(32, "big"), bytes(32)
_VERIFY = ec.ECDSA(hashes.SHA256())
_VERIFY_DIGEST = ec.ECDSA(Prehashed(hashes.SHA256()))
# The thumbprint input {1: 2, -1: 1, -2: x, -3: y} (RFC 9679, clause 4) with fixed offsets.
_THUMB_X = bytes.fromhex("a401022001215820")
_THUMB_Y = bytes.fromhex("225820")


@dataclass(frozen=True)
class PublicKey:
    """A P-256 public key: `x`, `y` of 32 bytes each; the point is checked to be on the curve when first used."""

    x: bytes
    y: bytes
    suite: Suite = Suite.ES256
    _native: list[ec.EllipticCurvePublicKey] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.x) != COORDINATE_SIZE or len(self.y) != COORDINATE_SIZE:
            raise OutOfRangeError(f"a coordinate has {COORDINATE_SIZE} bytes")

    @property
    def thumbprint(self) -> bytes:
        """The id of the key's owner: SHA-256 COSE Key Thumbprint (RFC 9679), 32 bytes."""
        return hashlib.sha256(self.cose_key).digest()

    @property
    def cose_key(self) -> bytes:
        """COSE_Key with the required members only, deterministic encoding (RFC 9053, clause 7.1.1)."""
        return b"".join((_THUMB_X, self.x, _THUMB_Y, self.y))

    def native(self) -> ec.EllipticCurvePublicKey:
        """The library's key; raises BadSignatureError when the point is not on the curve."""
        if not self._native:
            try:
                point = b"\x04" + self.x + self.y
                self._native.append(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
            except (ValueError, UnsupportedAlgorithm) as exc:
                raise BadSignatureError("the public key is not a point of P-256") from exc
        return self._native[0]

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a raw r‖s signature (64 bytes) over `message`; raises BadSignatureError."""
        self._check(signature, message, _VERIFY)

    def verify_digest(self, signature: bytes, digest: bytes) -> None:
        """The same, over a message whose SHA-256 `digest` (32 bytes, such as H(x)) is known already."""
        if len(digest) != _DIGEST_SIZE:
            raise OutOfRangeError("a SHA-256 digest has 32 bytes")
        self._check(signature, digest, _VERIFY_DIGEST)

    def _check(self, signature: bytes, data: bytes, algorithm: ec.ECDSA) -> None:
        if len(signature) != SIGNATURE_SIZE:
            raise BadSignatureError(f"a signature has {SIGNATURE_SIZE} bytes, not {len(signature)}")
        r, s = signature[:32], signature[32:]
        if not (_ZERO < r < _ORDER_BYTES and _ZERO < s < _ORDER_BYTES):  # equal lengths: bytes compare as numbers
            raise BadSignatureError("a signature value is outside 1 to n - 1")
        try:
            self.native().verify(_der_sequence(r, s), data, algorithm)
        except InvalidSignature as exc:
            raise BadSignatureError("the signature does not verify") from exc


def _der_sequence(r: bytes, s: bytes) -> bytes:
    """SEQUENCE { INTEGER r, INTEGER s } (X.690, clause 8.3), from two numbers of 32 bytes above 0."""
    content = _der_integer(r) + _der_integer(s)
    return bytes((0x30, len(content))) + content


def _der_integer(value: bytes) -> bytes:
    first = value[0]
    if first > 0x7F:
        return b"\x02\x21\x00" + value
    if first:
        return b"\x02\x20" + value
    value = value.lstrip(b"\x00")
    if value[0] > 0x7F:
        value = b"\x00" + value
    return bytes((2, len(value))) + value


class Signer(Protocol):
    """Whatever holds a private key: a file, a secure element, an HSM."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """Raw r‖s signature (64 bytes) over `message`."""
        ...


class SoftwareKey:
    """A private key in memory. Signatures are deterministic (RFC 6979), so that a run can be replayed."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        if not isinstance(private.curve, ec.SECP256R1):
            raise ConfigurationError("the key is not a P-256 key")
        self._private = private
        numbers = private.public_key().public_numbers()
        self._public = PublicKey(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        self._sign = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    @classmethod
    def from_secret(cls, secret: bytes) -> SoftwareKey:
        """Derive a key from at least 32 secret bytes; the same bytes give the same key.

        48 bytes are reduced modulo n - 1 with a bias below 2**-128 (FIPS 186-5, A.2.1, extra random bits).
        """
        if len(secret) < 32:
            raise ConfigurationError("a key needs at least 32 secret bytes")
        wide = hashlib.sha512(b"ecny-key-1" + secret).digest()[:48]
        return cls(ec.derive_private_key(int.from_bytes(wide, "big") % (_ORDER - 1) + 1, ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> SoftwareKey:
        """Read an unencrypted PKCS #8 key; raises ConfigurationError without quoting the content."""
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError("not an unencrypted PEM private key") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ConfigurationError("the key is not a P-256 key")
        return cls(private)

    def to_pem(self) -> bytes:
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def to_scalar(self) -> bytes:
        """The private scalar, 32 bytes: for the emulated card's flash only."""
        return self._private.private_numbers().private_value.to_bytes(32, "big")

    @classmethod
    def from_scalar(cls, scalar: bytes) -> SoftwareKey:
        value = int.from_bytes(scalar, "big")
        if len(scalar) != 32 or not 0 < value < _ORDER:
            raise ConfigurationError("not a P-256 private scalar")
        return cls(ec.derive_private_key(value, ec.SECP256R1()))

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._private.sign(message, self._sign))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"SoftwareKey(public={self._public.thumbprint.hex()[:8]})"
