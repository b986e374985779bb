"""Certificates and policies of cards: read once where the till has not got them, verified, kept in the journal."""

from __future__ import annotations

from collections.abc import Callable

from merchant_pos import phrases
from merchant_pos.decisions import PAYERS, Shown, check_payer, check_policy
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import PayerCard
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    ConfigurationError,
    ExpiredCertificateError,
    MismatchError,
    UntrustedCertificateError,
)
from wallet_core.messages import Policy, parse


class Payers:
    """`now` gives seconds since 1970."""

    def __init__(self, journal: Journal, identity: Identity, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now
        self._identity = identity
        self._trust = identity.trust()

    def require_own_standing(self) -> None:
        """Raise ConfigurationError where the operator has revoked this till: it finishes, and begins nothing."""
        reason = self._journal.revoked(self._identity.id)
        if reason is not None:
            raise ConfigurationError(
                f"{phrases.TILL_REVOKED} ({reason.name.lower()})",
                next_step="Keep it until everything is settled; enrol a new till: `ecny pos enrol --succeeds`.",
            )

    def before_asking(
        self, purse: PayerCard, shown: Shown, allowed: tuple[CertificateClass, ...] = PAYERS
    ) -> Certificate:
        """The verified certificate of the purse shown, which may be asked for something new.

        Raises a VerificationError: also for one that the operator has revoked, as far as this till has heard. A known
        purse costs no exchange; one whose stored certificate has expired is read again: it may be renewed.
        """
        verified = self._verified(purse, shown, allowed)
        reason = self._journal.revoked(shown.purse)
        if reason is not None:
            raise UntrustedCertificateError(
                f"{phrases.REVOKED[reason]}: nothing may be asked of it",
                next_step="Nothing was charged. What this card has paid before is not touched.",
            )
        return verified

    def _verified(self, purse: PayerCard, shown: Shown, allowed: tuple[CertificateClass, ...]) -> Certificate:
        operator = self._identity.operator.subject
        stored = self._stored(shown.purse)
        if stored is not None:
            try:
                verified = self._trust.verify(stored, now=self._now(), allowed=allowed)
                return check_payer(verified, shown, operator, allowed)
            except (ExpiredCertificateError, MismatchError):
                pass  # renewed, or of a newer epoch: the purse itself knows
        fresh = check_payer(Certificate.from_bytes(purse.certificate()), shown, operator, allowed)
        self._trust.verify(fresh, now=self._now(), allowed=allowed)
        self._journal.keep_certificate(fresh.subject, fresh.subject_class, fresh.to_bytes())
        return fresh

    def policy(self, card: PayerCard, shown: Shown, payer: Certificate) -> Policy:
        """The operator's policy that is in force on the card shown; raises a CodecError or VerificationError.

        One policy is for all cards of a class, so a known version costs no exchange.
        """
        key = (payer.issuer, int(payer.subject_class), shown.policy_version)
        stored = self._journal.policy(*key)
        body = stored if stored is not None else card.policy()
        policy = check_policy(parse(Policy, body).verify(self._identity.operator.key), payer, shown)
        if stored is None:
            self._journal.keep_policy(*key, body)
        return policy

    def to_finish(self, purse: bytes) -> Certificate:
        """The stored certificate of a card that was asked before; dates gate no finishing (transfer.md, rule 10)."""
        stored = self._stored(purse)
        if stored is None:
            raise MismatchError("the journal has no certificate of this sale's card")
        return self._trust.verify(stored, now=None, allowed=PAYERS)

    def _stored(self, subject: bytes) -> Certificate | None:
        body = self._journal.certificate(subject)
        return Certificate.from_bytes(body) if body is not None else None
