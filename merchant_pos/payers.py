"""Certificates and policies of cards: read once where the till has not got them, verified, kept in the journal."""

from __future__ import annotations

from collections.abc import Callable

from merchant_pos.decisions import PAYERS, Shown, check_payer, check_policy
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import PayerCard
from wallet_core.certificates import Certificate
from wallet_core.errors import ExpiredCertificateError, MismatchError
from wallet_core.messages import Policy, parse


class Payers:
    """`now` gives seconds since 1970."""

    def __init__(self, journal: Journal, identity: Identity, now: Callable[[], int]) -> None:
        self._journal = journal
        self._now = now
        self._operator = identity.operator
        self._trust = identity.trust()

    def before_asking(self, card: PayerCard, shown: Shown) -> Certificate:
        """The verified certificate of the card shown, which may be asked to pay; raises a VerificationError.

        A known card costs no exchange; one whose stored certificate has expired is read again: it may be renewed.
        """
        stored = self._stored(shown.purse)
        if stored is not None:
            try:
                verified = self._trust.verify(stored, now=self._now(), allowed=PAYERS)
                return check_payer(verified, shown, self._operator.subject)
            except (ExpiredCertificateError, MismatchError):
                pass  # renewed, or of a newer epoch: the card itself knows
        fresh = check_payer(Certificate.from_bytes(card.certificate()), shown, self._operator.subject)
        self._trust.verify(fresh, now=self._now(), allowed=PAYERS)
        self._journal.keep_certificate(fresh.subject, fresh.subject_class, fresh.to_bytes())
        return fresh

    def policy(self, card: PayerCard, shown: Shown, payer: Certificate) -> Policy:
        """The operator's policy that is in force on the card shown; raises a CodecError or VerificationError.

        One policy is for all cards of a class, so a known version costs no exchange.
        """
        key = (payer.issuer, int(payer.subject_class), shown.policy_version)
        stored = self._journal.policy(*key)
        body = stored if stored is not None else card.policy()
        policy = check_policy(parse(Policy, body).verify(self._operator.key), payer, shown)
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
