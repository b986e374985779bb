"""Certificates of cards: read once from a card that the till does not know, verified, and kept in the journal by id."""

from __future__ import annotations

from collections.abc import Callable

from merchant_pos.decisions import PAYERS, Shown, check_payer
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import PayerCard
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import ExpiredCertificateError, MismatchError


class Payers:
    """`now` gives seconds since 1970."""

    def __init__(self, journal: Journal, identity: Identity, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now
        self._trust = identity.trust(journal.certificates(CertificateClass.OPERATOR))

    def before_asking(self, card: PayerCard, shown: Shown) -> Certificate:
        """The verified certificate of the card shown, which may be asked to pay; raises a VerificationError.

        A known card costs no exchange; one whose stored certificate has expired is read again: it may be renewed.
        """
        stored = self._stored(shown.purse)
        if stored is not None:
            try:
                return check_payer(self._trust.verify(stored, now=self._now(), allowed=PAYERS), shown)
            except (ExpiredCertificateError, MismatchError):
                pass  # renewed, or of a newer epoch: the card itself knows
        fresh = check_payer(Certificate.from_bytes(card.certificate()), shown)
        if all(fresh.issuer != operator.subject for operator in self._trust.operators):
            self._meet_operator(Certificate.from_bytes(card.operator_certificate()))
        self._trust.verify(fresh, now=self._now(), allowed=PAYERS)
        self._keep(fresh)
        return fresh

    def to_finish(self, purse: bytes) -> Certificate:
        """The stored certificate of a card that was asked before; dates gate no finishing (transfer.md, rule 10)."""
        stored = self._stored(purse)
        if stored is None:
            raise MismatchError("the journal has no certificate of this sale's card")
        return self._trust.verify(stored, now=None, allowed=PAYERS)

    def _meet_operator(self, operator: Certificate) -> None:
        self._trust.add_operator(operator)
        self._trust.verify(operator, now=self._now())
        self._keep(operator)

    def _stored(self, subject: bytes) -> Certificate | None:
        body = self._journal.certificate(subject)
        return Certificate.from_bytes(body) if body is not None else None

    def _keep(self, certificate: Certificate) -> None:
        self._journal.keep_certificate(certificate.subject, certificate.subject_class, certificate.to_bytes())
