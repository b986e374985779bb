"""Turning a proof of possession into a certificate of this operator."""

from __future__ import annotations

from server.keyring import Keyring
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import ExpiredCertificateError, MismatchError, UnknownSuiteError, WrongClassError
from wallet_core.keys import PublicKey
from wallet_core.messages import CertificationRequest, parse
from wallet_core.suites import Suite, profile

CLOCK_LEEWAY_S = 3_600  # a certificate is good a little before it is made: clocks of tills differ
FIRST_EPOCH = 1


def proven_key(raw: bytes, subject_class: CertificateClass, challenge: bytes, suite: Suite = Suite.ES256) -> PublicKey:
    """The key of a CertificationRequest of `suite` that asks for `subject_class` and answers the hash of `challenge`.

    Raises CodecError, UnknownSuiteError for another suite, BadSignatureError, WrongClassError, MismatchError.
    """
    signed = parse(CertificationRequest, raw)
    if signed.message.suite is not suite:
        raise UnknownSuiteError(f"this installation is of suite {suite.name.lower()}, and so are its keys")
    request = signed.verify(signed.message.key)
    if request.subject_class != subject_class:
        raise WrongClassError(f"only keys of class {subject_class.name} are certified here")
    if request.challenge != profile(suite).digest(challenge):
        raise MismatchError("the proof of possession answers another challenge")
    return request.key


class Certifier:
    """Signs certificates with the operator's key, never beyond the operator's own expiry."""

    def __init__(self, keyring: Keyring) -> None:
        self._signer = keyring.operator
        self._operator = keyring.operator_certificate

    def certify(self, key: PublicKey, subject_class: CertificateClass, *, now: int, lifetime_s: int) -> Certificate:
        """Valid from a little before `now`; purses get epoch 1. Raises ExpiredCertificateError."""
        if not self._operator.not_before <= now < self._operator.expires:
            raise ExpiredCertificateError(
                "the operator's own certificate is not valid now", next_step="The operator has to be certified anew."
            )
        return Certificate(
            issuer=self._operator.subject,
            key=key,
            subject_class=subject_class,
            not_before=max(now - CLOCK_LEEWAY_S, self._operator.not_before),
            expires=min(now + lifetime_s, self._operator.expires),
            test=self._operator.test,
            epoch=FIRST_EPOCH if subject_class.is_purse else 0,
        ).signed_by(self._signer)
