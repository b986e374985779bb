"""Certificates: CWTs (RFC 8392) with a confirmation key (RFC 8747), at a fixed layout that a card can read.

Protected header {1: alg, 4: kid of the issuer, 16: 61} (typ = CoAP content format application/cwt, RFC 9596), claims
{4: exp, 5: nbf, 8: {1: COSE_Key}, -70001: class, -70002: test mark, -70003: purse epoch}. Dates are seconds since 1970
in four bytes, good from 1970-01-01T18:12:16 to 2106. The id of the subject is not a claim: it is the
thumbprint of its key.

A certificate is of one suite: the issuer's key, which signs, and the subject's, which it certifies, are of the same
one, and a chain is of one suite throughout (docs/spec/suites.md, S3). Suite 2 differs in alg and curve alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from wallet_core import codec
from wallet_core.cose import Sign1
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    UnknownSuiteError,
    WrongTypeError,
)
from wallet_core.ids import COUNTER_MAX, ID_SIZE
from wallet_core.keys import SIGNATURE_SIZE, PublicKey, Signer
from wallet_core.suites import Suite, profile

MAX_CERTIFICATE_SIZE = 512
_TYP_CWT = 61
_CLASS, _TEST, _EPOCH = -70001, -70002, -70003
_EARLIEST, _LATEST = 2**16, 2**32 - 1

_PROTECTED = {one: b"\xa3\x01" + profile(one).encoded_alg + b"\x04\x58\x20" for one in Suite}  # {1: alg, 4: h'kid', …
_PROTECTED_END = bytes.fromhex("10183d")  # … 16: 61}
_CLAIMS = bytes.fromhex("a6041a")
_NBF = bytes.fromhex("051a")
_CNF = {one: bytes.fromhex("08a101a4010220") + profile(one).encoded_curve + b"\x21\x58\x20" for one in Suite}
_CNF_Y = bytes.fromhex("225820")
_CLASS_KEY = bytes.fromhex("3a00011170")
_TEST_KEY = bytes.fromhex("3a00011171")
_EPOCH_KEY = bytes.fromhex("3a00011172") + b"\x44"
_PAYLOAD_SIZES = {
    one: 3 + 4 + 2 + 4 + len(_CNF[one]) + 32 + len(_CNF_Y) + 32 + 6 + 6 + len(_EPOCH_KEY) + 4 for one in Suite
}
CERTIFICATE_SIZES = {
    one: 2 + 2 + len(_PROTECTED[one]) + ID_SIZE + len(_PROTECTED_END) + 1 + 2 + _PAYLOAD_SIZES[one] + 2 + SIGNATURE_SIZE
    for one in Suite
}
"""Bytes of a signed certificate of each suite: tag and array, header, empty map, claims, signature."""
PAYLOAD_SIZE = _PAYLOAD_SIZES[Suite.ES256]


class CertificateClass(IntEnum):
    """What a certified key may do; the number is the claim's value and the bit in a policy's `payee_classes`."""

    AUTHORITY = 0  # certifies operators, issues money
    OPERATOR = 1  # certifies purses and tills, signs policies and answers
    OPERATOR_PURSE = 2  # loads and redeems
    HARD_WALLET = 3  # a visitor's card
    MERCHANT_PURSE = 4  # a merchant's SAM
    TILL = 5  # an account payee: can only deposit

    @property
    def is_purse(self) -> bool:
        return self in (self.OPERATOR_PURSE, self.HARD_WALLET, self.MERCHANT_PURSE)


PURSES = tuple(one for one in CertificateClass if one.is_purse)
"""The classes that hold value in a secure element: who can sign a Voucher, and decide as a payee."""

# Who may certify whom.
ISSUER_OF = {
    CertificateClass.AUTHORITY: CertificateClass.AUTHORITY,
    CertificateClass.OPERATOR: CertificateClass.AUTHORITY,
    CertificateClass.OPERATOR_PURSE: CertificateClass.OPERATOR,
    CertificateClass.HARD_WALLET: CertificateClass.OPERATOR,
    CertificateClass.MERCHANT_PURSE: CertificateClass.OPERATOR,
    CertificateClass.TILL: CertificateClass.OPERATOR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate. `issuer`: 32-byte id; `not_before`, `expires`: seconds since 1970; `test`: key of test money."""

    issuer: bytes
    key: PublicKey
    subject_class: CertificateClass
    not_before: int
    expires: int
    test: bool
    epoch: int = 0
    signature: bytes = b""

    @property
    def subject(self) -> bytes:
        """The id that this certificate speaks of, 32 bytes."""
        return self.key.thumbprint

    @property
    def suite(self) -> Suite:
        """Of both keys, the issuer's and the subject's."""
        return self.key.suite

    def _sign1(self) -> Sign1:
        return Sign1(_PROTECTED[self.suite] + self.issuer + _PROTECTED_END, self._claims(), self.signature)

    def _claims(self) -> bytes:
        return b"".join(
            (
                _CLAIMS + self.expires.to_bytes(4, "big"),
                _NBF + self.not_before.to_bytes(4, "big"),
                _CNF[self.suite] + self.key.x + _CNF_Y + self.key.y,
                _CLASS_KEY + bytes((self.subject_class,)),
                _TEST_KEY + bytes((int(self.test),)),
                _EPOCH_KEY + self.epoch.to_bytes(4, "big"),
            )
        )

    def signed_by(self, signer: Signer) -> Certificate:
        """This certificate with the issuer's signature; raises OutOfRangeError for dates or ids outside limits.

        Raises UnknownSuiteError for an issuer's key of another suite than the subject's.
        """
        if signer.public.suite is not self.suite:
            raise UnknownSuiteError("a key certifies keys of its own suite only")
        if len(self.issuer) != ID_SIZE or signer.public.thumbprint != self.issuer:
            raise OutOfRangeError("the signer is not the issuer that the certificate names")
        if not _EARLIEST <= self.not_before < self.expires <= _LATEST:
            raise OutOfRangeError(f"dates run from {_EARLIEST} to {_LATEST}, not before first")
        if not 0 <= self.epoch <= COUNTER_MAX:
            raise OutOfRangeError("the epoch is outside its limits")
        return replace(self, signature=signer.sign(self._sign1().signed_bytes))

    def to_bytes(self) -> bytes:
        return self._sign1().to_bytes()

    @property
    def hash(self) -> bytes:
        """H(certificate): does not depend on the signature."""
        return self._sign1().hash

    def verify_signature(self, issuer_key: PublicKey) -> None:
        """Check the signature alone; raises BadSignatureError. Chains are wallet_core.trust's work."""
        if issuer_key.suite is not self.suite or issuer_key.thumbprint != self.issuer:
            raise BadSignatureError("the certificate names another issuer than this key")
        issuer_key.verify(self.signature, self._sign1().signed_bytes)

    @classmethod
    def from_bytes(cls, data: bytes) -> Certificate:
        """Parse, signature not yet checked; raises a CodecError that names the fault."""
        sign1 = Sign1.from_bytes(data, max_size=MAX_CERTIFICATE_SIZE)
        suite, issuer = _read_header(sign1.protected)
        claims = sign1.payload
        if len(claims) != _PAYLOAD_SIZES[suite]:
            raise _diagnose_claims(claims, suite)
        if len(sign1.signature) != SIGNATURE_SIZE:
            fault = TruncatedError if len(sign1.signature) < SIGNATURE_SIZE else OversizedError
            raise fault(f"a signature has {SIGNATURE_SIZE} bytes, not {len(sign1.signature)}")
        exp, nbf = int.from_bytes(claims[3:7], "big"), int.from_bytes(claims[9:13], "big")
        at = 13 + len(_CNF[suite])
        x, y = claims[at : at + 32], claims[at + 32 + len(_CNF_Y) : at + 64 + len(_CNF_Y)]
        at += 64 + len(_CNF_Y)
        class_code, test_code = claims[at + 5], claims[at + 11]
        epoch = int.from_bytes(claims[-4:], "big")
        try:
            subject_class = CertificateClass(class_code)
        except ValueError as exc:
            raise UnknownLabelError(f"certificate class {class_code} is not known here") from exc
        if test_code > 1 or not (_EARLIEST <= nbf < exp) or epoch > COUNTER_MAX:
            raise OutOfRangeError("a claim is outside its limits")
        parsed = cls(
            issuer=issuer,
            key=PublicKey(x, y, suite),
            subject_class=subject_class,
            not_before=nbf,
            expires=exp,
            test=bool(test_code),
            epoch=epoch,
            signature=sign1.signature,
        )
        if parsed._claims() != claims:
            raise _diagnose_claims(claims, suite)
        return parsed


def _read_header(head: bytes) -> tuple[Suite, bytes]:
    """Suite and issuer's id; raises a CodecError that names the fault."""
    for suite, before in _PROTECTED.items():
        issuer = head[len(before) : len(before) + ID_SIZE]
        if len(issuer) == ID_SIZE and head == before + issuer + _PROTECTED_END:
            return suite, issuer
    raise _diagnose_header(head)


def _diagnose_header(head: bytes) -> CodecError:
    try:
        value = codec.decode(head, max_size=MAX_CERTIFICATE_SIZE)
    except CodecError as exc:
        return exc
    if not isinstance(value, dict) or value.get(16) != _TYP_CWT:
        return WrongTypeError("not a certificate: the protected header does not say application/cwt")
    if type(value.get(1)) is not int or value[1] not in _ALGORITHMS:
        return UnknownSuiteError(f"algorithm {value.get(1)!r} is not known here")
    if set(value) != {1, 4, 16}:
        return UnknownLabelError("the protected header has other labels than 1, 4 and 16")
    return OutOfRangeError("the protected header does not fit its fixed layout")


def _diagnose_claims(claims: bytes, suite: Suite) -> CodecError:
    try:
        value = codec.decode(claims, max_size=MAX_CERTIFICATE_SIZE)
    except CodecError as exc:
        return exc
    expected = {4, 5, 8, _CLASS, _TEST, _EPOCH}
    if not isinstance(value, dict):
        return WrongTypeError("the claims are not a map")
    if set(value) - expected:
        return UnknownLabelError("the certificate has a claim that is not known here")
    if expected - set(value):
        return TruncatedError("the certificate lacks a claim")
    curve = _curve(value)
    if curve is not None and curve != profile(suite).cose_curve and curve in _CURVES:
        return UnknownSuiteError("the certified key is of another suite than the protected header")
    return OutOfRangeError("the claims do not fit their fixed layout")


def _curve(claims: dict[Any, Any]) -> int | None:
    """crv of the confirmation key, where there is one."""
    holder = claims.get(8)
    key = holder.get(1) if isinstance(holder, dict) else None
    curve = key.get(-1) if isinstance(key, dict) else None
    return curve if type(curve) is int else None


_ALGORITHMS = frozenset(profile(one).cose_alg for one in Suite)
_CURVES = frozenset(profile(one).cose_curve for one in Suite)
