"""SM2 signatures (GB/T 32918.2-2016) on the curve sm2p256v1 (GB/T 32918.5-2017): raw coordinates and r ‖ s outside.

What is signed is e = SM3(Z ‖ M), where Z binds the signer's identifier, the curve and the public key. The identifier is
the default of GM/T 0009-2012, so that any library verifies without being told. k follows from the private key and e by
RFC 6979 with HMAC-SM3: a run can be replayed, and no random source can betray a key by repeating itself.
"""

from __future__ import annotations

import base64
import binascii
import textwrap
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives import hashes, hmac

from wallet_core.der import integers
from wallet_core.digests import sm3
from wallet_core.errors import BadSignatureError, ConfigurationError
from wallet_core.libcrypto import Field, Number, PublicPoint

IDENTIFIER: Final = b"1234567812345678"
ORDER: Final = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
_ORDER_BYTES: Final = ORDER.to_bytes(32, "big")
_CURVE: Final = bytes.fromhex(
    "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"  # a
    "28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"  # b
    "32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"  # x of the generator
    "BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"  # y
)
# PrivateKeyInfo (RFC 5958) around ECPrivateKey (RFC 5915): of one length, so that it is written and read by constants.
_PEM_HEAD, _PEM_TAIL = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
_DER_SCALAR: Final = bytes.fromhex(
    "308187020100"  # version 0
    "301306072a8648ce3d0201" + "06082a811ccf5501822d"  # id-ecPublicKey, 1.2.156.10197.1.301
    "046d306b0201010420"
)
_DER_POINT: Final = bytes.fromhex("a14403420004")


def identity(x: bytes, y: bytes, identifier: bytes = IDENTIFIER) -> bytes:
    """Z of a signer, 32 bytes (GB/T 32918.2, clause 5.5). `identifier`: at most 8191 bytes."""
    return sm3((8 * len(identifier)).to_bytes(2, "big") + identifier + _CURVE + x + y)


class VerifyingKey:
    """The public half, once checked to be a point of the curve."""

    def __init__(self, x: bytes, y: bytes) -> None:
        """Raises BadSignatureError for what is no point, ConfigurationError where libcrypto has no SM2."""
        self._point = PublicPoint(b"\x04" + x + y)

    def verify(self, r: bytes, s: bytes, e: bytes) -> None:
        """Check r, s (32 bytes each, above 0) over `e` = SM3(Z ‖ M); raises BadSignatureError."""
        if not self._point.verifies(integers(r, s), e):
            raise BadSignatureError("the signature does not verify")


class SigningKey:
    """The private half d, from 1 to n - 2. Secret numbers are multiplied by libcrypto, not by Python."""

    def __init__(self, scalar: bytes) -> None:
        """`scalar`: 32 bytes; raises ConfigurationError outside 1 to n - 2."""
        if len(scalar) != 32 or not 0 < int.from_bytes(scalar, "big") < ORDER - 1:
            raise ConfigurationError("not an SM2 private scalar")
        self._scalar = scalar
        field = Field()
        secret = Number(scalar, secret=True)
        self._inverse = field.inverse(field.plus(secret, Number(b"\1"), secret=True))  # (1 + d)^-1
        x, y = field.point(secret)
        self.x, self.y = bytes(x), bytes(y)

    @property
    def scalar(self) -> bytes:
        return self._scalar

    def sign(self, e: bytes) -> bytes:
        """r ‖ s over `e` = SM3(Z ‖ M) (GB/T 32918.2, clause 6.1)."""
        for k in nonces(self._scalar, e):
            made = self.sign_with(k, e)
            if made is not None:
                return made
        raise RuntimeError("unreachable: nonces never end")

    def sign_with(self, k: bytes, e: bytes) -> bytes | None:
        """The signature with this `k` (32 bytes, from 1 to n - 1), or None where the standard asks for another.

        With s = (1 + d)^-1 (k - r d) = (1 + d)^-1 (k + r) - r there is one multiplication by a secret.
        """
        field = Field()
        nonce = Number(k, secret=True)
        r = field.plus(Number(e), field.point(nonce)[0])
        sum_ = field.plus(nonce, r, secret=True)
        s = field.minus(field.times(self._inverse, sum_, secret=True), r)
        return None if r.is_zero or sum_.is_zero or s.is_zero else bytes(r) + bytes(s)


def nonces(scalar: bytes, e: bytes) -> Iterator[bytes]:
    """Candidates for k from 1 to n - 1 (RFC 6979, clause 3.2, with HMAC-SM3 and `e` as the hash of the message)."""
    reduced = (int.from_bytes(e, "big") % ORDER).to_bytes(32, "big")
    key, value = bytes(32), b"\1" * 32
    for mark in (b"\0", b"\1"):
        key = _hmac(key, value + mark + scalar + reduced)
        value = _hmac(key, value)
    while True:
        value = _hmac(key, value)
        if bytes(32) < value < _ORDER_BYTES:  # equal lengths: bytes compare as numbers
            yield value
        key = _hmac(key, value + b"\0")
        value = _hmac(key, value)


def _hmac(key: bytes, data: bytes) -> bytes:
    mac = hmac.HMAC(key, hashes.SM3())
    mac.update(data)
    return mac.finalize()


def write_pem(key: SigningKey) -> bytes:
    """PKCS #8, unencrypted, as OpenSSL reads and writes it."""
    content = _DER_SCALAR + key.scalar + _DER_POINT + key.x + key.y
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return b"\n".join((_PEM_HEAD, lines.encode(), _PEM_TAIL, b""))


def read_pem(pem: bytes) -> bytes | None:
    """The scalar of a key that `write_pem` or OpenSSL has written; None for anything that is no such SM2 key.

    Raises ConfigurationError when the public key in it is not the scalar's.
    """
    lines = pem.strip().splitlines()
    if len(lines) < 3 or lines[0].strip() != _PEM_HEAD or lines[-1].strip() != _PEM_TAIL:
        return None
    try:
        content = base64.b64decode(b"".join(line.strip() for line in lines[1:-1]), validate=True)
    except binascii.Error:
        return None
    at = len(_DER_SCALAR)
    scalar, rest = content[at : at + 32], content[at + 32 :]
    if not content.startswith(_DER_SCALAR) or len(rest) != len(_DER_POINT) + 64 or not rest.startswith(_DER_POINT):
        return None
    key = SigningKey(scalar)
    if rest[len(_DER_POINT) :] != key.x + key.y:
        raise ConfigurationError("the private key and the public key in it do not belong together")
    return scalar
