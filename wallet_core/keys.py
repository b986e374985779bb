"""Key pairs of every suite: raw coordinates and raw signatures outside, a library inside.

ES256 is pyca/cryptography's; SM2, which that has not, is wallet_core.sm2's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from wallet_core import der, sm2
from wallet_core.errors import BadSignatureError, ConfigurationError, OutOfRangeError
from wallet_core.suites import Suite, profile

COORDINATE_SIZE = 32
SIGNATURE_SIZE = 64
_DIGEST_SIZE = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5, P-256, n
_ORDER_BYTES, _ZERO = _ORDER.to_bytes(32, "big"), bytes(32)
_SM2_ORDER_BYTES = sm2.ORDER.to_bytes(32, "big")
_VERIFY_DIGEST = ec.ECDSA(Prehashed(hashes.SHA256()))
_VERIFY = ec.ECDSA(hashes.SHA256())
# The thumbprint input {1: 2, -1: curve, -2: x, -3: y} (RFC 9679, clause 4) with fixed offsets.
_THUMB_CURVE = bytes.fromhex("a4010220")
_THUMB_X = bytes.fromhex("215820")
_THUMB_Y = bytes.fromhex("225820")
_KEY_HEADS = {suite: _THUMB_CURVE + profile(suite).encoded_curve + _THUMB_X for suite in Suite}


@dataclass(frozen=True)
class PublicKey:
    """A public key: `x`, `y` of 32 bytes each; the point is checked to be on the curve when first used."""

    x: bytes
    y: bytes
    suite: Suite = Suite.ES256
    _native: list[ec.EllipticCurvePublicKey] = field(default_factory=list, init=False, repr=False, compare=False)
    _sm2: list[sm2.VerifyingKey] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.x) != COORDINATE_SIZE or len(self.y) != COORDINATE_SIZE:
            raise OutOfRangeError(f"a coordinate has {COORDINATE_SIZE} bytes")

    @property
    def thumbprint(self) -> bytes:
        """The id of the key's owner: COSE Key Thumbprint (RFC 9679) by the suite's hash, 32 bytes."""
        return profile(self.suite).digest(self.cose_key)

    @property
    def cose_key(self) -> bytes:
        """COSE_Key with the required members only, deterministic encoding (RFC 9053, clause 7.1.1)."""
        return b"".join((_KEY_HEADS[self.suite], self.x, _THUMB_Y, self.y))

    def native(self) -> ec.EllipticCurvePublicKey:
        """The library's key of suite ES256; raises BadSignatureError when the point is not on the curve."""
        if not self._native:
            if self.suite is not Suite.ES256:
                raise BadSignatureError("the key is not a P-256 key")
            try:
                point = b"\x04" + self.x + self.y
                self._native.append(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
            except (ValueError, UnsupportedAlgorithm) as exc:
                raise BadSignatureError("the public key is not a point of P-256") from exc
        return self._native[0]

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a raw r‖s signature (64 bytes) over `message`; raises BadSignatureError."""
        if self.suite is Suite.ES256:
            self._check(signature, message, _VERIFY)
        else:
            self._check_sm2(signature, self.signed_digest(message))

    def signed_digest(self, message: bytes) -> bytes:
        """The 32 bytes that a signature over `message` covers: SHA-256(M), or SM3(Z ‖ M) with this key's Z."""
        if self.suite is Suite.ES256:
            return hashlib.sha256(message).digest()
        return profile(self.suite).digest(self.identity + message)

    @property
    def identity(self) -> bytes:
        """What is hashed in front of every message that this key signs: Z of an SM2 key, nothing for ES256."""
        return b"" if self.suite is Suite.ES256 else sm2.identity(self.x, self.y)

    def verify_digest(self, signature: bytes, digest: bytes) -> None:
        """The same as `verify`, over a message whose `signed_digest` (32 bytes) is known already.

        For ES256 that is H(message); for SM2 it is not.
        """
        if len(digest) != _DIGEST_SIZE:
            raise OutOfRangeError("a digest has 32 bytes")
        if self.suite is Suite.ES256:
            self._check(signature, digest, _VERIFY_DIGEST)
        else:
            self._check_sm2(signature, digest)

    def _check(self, signature: bytes, data: bytes, algorithm: ec.ECDSA) -> None:
        r, s = _halves(signature, _ORDER_BYTES)
        try:
            self.native().verify(der.integers(r, s), data, algorithm)
        except InvalidSignature as exc:
            raise BadSignatureError("the signature does not verify") from exc

    def _check_sm2(self, signature: bytes, digest: bytes) -> None:
        r, s = _halves(signature, _SM2_ORDER_BYTES)
        if not self._sm2:
            self._sm2.append(sm2.VerifyingKey(self.x, self.y))
        self._sm2[0].verify(r, s, digest)


def _halves(signature: bytes, order: bytes) -> tuple[bytes, bytes]:
    """r and s, each from 1 to the order minus 1; raises BadSignatureError."""
    if len(signature) != SIGNATURE_SIZE:
        raise BadSignatureError(f"a signature has {SIGNATURE_SIZE} bytes, not {len(signature)}")
    r, s = signature[:32], signature[32:]
    if not (_ZERO < r < order and _ZERO < s < order):  # equal lengths: bytes compare as numbers
        raise BadSignatureError("a signature value is outside 1 to n - 1")
    return r, s


class Signer(Protocol):
    """Whatever holds a private key: a file, a secure element, an HSM."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """Raw r‖s signature (64 bytes) over `message`."""
        ...


class SoftwareKey:
    """A private key in memory. Signatures are deterministic (RFC 6979), so that a run can be replayed."""

    def __init__(self, private: ec.EllipticCurvePrivateKey | sm2.SigningKey) -> None:
        self._private: ec.EllipticCurvePrivateKey | sm2.SigningKey = private
        if isinstance(private, sm2.SigningKey):
            self._public = PublicKey(private.x, private.y, Suite.SM2)
            return
        if not isinstance(private.curve, ec.SECP256R1):
            raise ConfigurationError("the key is not a P-256 key")
        numbers = private.public_key().public_numbers()
        self._public = PublicKey(numbers.x.to_bytes(32, "big"), numbers.y.to_bytes(32, "big"))
        self._sign = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    @classmethod
    def from_secret(cls, secret: bytes, suite: Suite = Suite.ES256) -> SoftwareKey:
        """Derive a key from at least 32 secret bytes; the same bytes and suite give the same key.

        48 bytes are reduced modulo the number of scalars, n - 1 (SM2: n - 2), with a bias below 2**-128 (FIPS 186-5,
        A.2.1, extra random bits). The suite is hashed as well: one secret gives unrelated keys.
        """
        if len(secret) < 32:
            raise ConfigurationError("a key needs at least 32 secret bytes")
        wide = hashlib.sha512(b"ecny-key-%d" % suite + secret).digest()[:48]
        scalars = _ORDER - 1 if suite is Suite.ES256 else sm2.ORDER - 2
        return cls.from_scalar((int.from_bytes(wide, "big") % scalars + 1).to_bytes(32, "big"), suite)

    @classmethod
    def from_pem(cls, pem: bytes) -> SoftwareKey:
        """Read an unencrypted PKCS #8 key of either curve; raises ConfigurationError without quoting the content."""
        scalar = sm2.read_pem(pem)
        if scalar is not None:
            return cls(sm2.SigningKey(scalar))
        try:
            private = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigurationError("not an unencrypted PEM private key") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ConfigurationError("the key is not a P-256 key")
        return cls(private)

    def to_pem(self) -> bytes:
        if isinstance(self._private, sm2.SigningKey):
            return sm2.write_pem(self._private)
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def to_scalar(self) -> bytes:
        """The private scalar, 32 bytes: for the emulated card's flash only."""
        if isinstance(self._private, sm2.SigningKey):
            return self._private.scalar
        return self._private.private_numbers().private_value.to_bytes(32, "big")

    @classmethod
    def from_scalar(cls, scalar: bytes, suite: Suite = Suite.ES256) -> SoftwareKey:
        if suite is Suite.SM2:
            return cls(sm2.SigningKey(scalar))
        value = int.from_bytes(scalar, "big")
        if len(scalar) != 32 or not 0 < value < _ORDER:
            raise ConfigurationError("not a P-256 private scalar")
        return cls(ec.derive_private_key(value, ec.SECP256R1()))

    @property
    def public(self) -> PublicKey:
        return self._public

    def sign(self, message: bytes) -> bytes:
        if isinstance(self._private, sm2.SigningKey):
            return self._private.sign(self._public.signed_digest(message))
        r, s = decode_dss_signature(self._private.sign(message, self._sign))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"SoftwareKey(public={self._public.thumbprint.hex()[:8]})"
