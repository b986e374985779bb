"""Trust store: the authority's certificate and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable

from wallet_core.certificates import ISSUER_OF, Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    ExpiredCertificateError,
    TestKeyRefusedError,
    UntrustedCertificateError,
    WrongClassError,
)


class TrustStore:
    """Verifies chains device → operator → authority.

    `production=True` refuses test keys anywhere in a chain. `now` is passed with each call (seconds since 1970); None
    leaves the dates out, which is right only for a card: it has no clock, and expiry never stops the finishing of a
    transfer (docs/spec/transfer.md, rule 10).
    """

    def __init__(self, root: Certificate, *, production: bool) -> None:
        if root.subject_class is not CertificateClass.AUTHORITY or root.issuer != root.subject:
            raise UntrustedCertificateError("the root is not a self-signed authority certificate")
        self._production = production
        self._check_test_mark(root)
        root.verify_signature(root.key)
        self.root = root
        self._issuers: dict[bytes, Certificate] = {root.subject: root}
        self._verified: dict[bytes, Certificate] = {}

    def add_operator(self, certificate: Certificate) -> None:
        """Learn an operator's certificate after checking it against the authority; raises a VerificationError."""
        if certificate.subject_class is not CertificateClass.OPERATOR:
            raise WrongClassError("only operators' certificates are kept as issuers")
        if certificate.subject == self.root.subject:
            raise UntrustedCertificateError("the authority's key is no operator's key")
        self._check_link(certificate, self.root)
        self._issuers[certificate.subject] = certificate

    @property
    def production(self) -> bool:
        """Whether test keys are refused."""
        return self._production

    @property
    def operators(self) -> tuple[Certificate, ...]:
        return tuple(c for c in self._issuers.values() if c.subject_class is CertificateClass.OPERATOR)

    def verify(
        self,
        certificate: Certificate,
        *,
        now: int | None,
        allowed: Iterable[CertificateClass] | None = None,
    ) -> Certificate:
        """Return `certificate` if it chains to the authority through a known operator; raises a VerificationError.

        Signatures are checked once for each certificate, dates every time.
        """
        chain = self._chain(certificate)
        encoded = certificate.to_bytes()
        if encoded not in self._verified:
            self._check_link(certificate, chain[1] if len(chain) > 1 else self.root)  # those above were checked before
            self._verified[encoded] = certificate
        for link in chain:
            _check_dates(link, now)
        if allowed is not None and certificate.subject_class not in tuple(allowed):
            raise WrongClassError(f"a certificate of class {certificate.subject_class.name} may not do this")
        return certificate

    def _chain(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """`certificate` and the issuers above it, the root last: no longer than device → operator → authority."""
        issuer = self._issuers.get(certificate.issuer)
        if issuer is None:
            raise UntrustedCertificateError("no chain leads from this certificate to the authority")
        if certificate.subject == self.root.subject:
            if certificate.hash != self.root.hash:
                raise UntrustedCertificateError("another certificate for the authority's key than the trusted one")
            return (certificate,)
        return (certificate, issuer) if issuer is self.root else (certificate, issuer, self.root)

    def forget(self) -> None:
        """Drop what was verified before: call it when revocations change."""
        self._verified.clear()

    def _check_link(self, child: Certificate, parent: Certificate) -> None:
        self._check_test_mark(child)
        if ISSUER_OF[child.subject_class] is not parent.subject_class:
            raise WrongClassError(f"{parent.subject_class.name} may not certify {child.subject_class.name}")
        if child.test is not parent.test:
            raise UntrustedCertificateError("a test key and a production key cannot certify each other")
        try:
            child.verify_signature(parent.key)
        except BadSignatureError as exc:
            raise UntrustedCertificateError(f"the certificate is not signed by its issuer: {exc.message}") from exc

    def _check_test_mark(self, certificate: Certificate) -> None:
        if self._production and certificate.test:
            raise TestKeyRefusedError(
                "this key is marked as a test key", next_step="Use production certificates, or a test set-up."
            )


def _check_dates(certificate: Certificate, now: int | None) -> None:
    if now is None:
        return
    if now < certificate.not_before:
        raise ExpiredCertificateError("a certificate in the chain is not valid yet; check the clock")
    if now >= certificate.expires:
        raise ExpiredCertificateError("a certificate in the chain has expired")
