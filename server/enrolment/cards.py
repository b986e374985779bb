"""Cards: the operator certifies a key that the card has made itself, once for each serial number."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from server.enrolment.certifying import Certifier, proven_key
from server.enrolment.policy_profiles import PROFILES
from server.keyring import Keyring
from server.problems import Problem
from server.risk.replacing import replace_card
from server.risk.standing import require_active
from server.storage.protocol import Storage
from wallet_core.certificates import CertificateClass
from wallet_core.errors import WrongClassError
from wallet_core.ids import short
from wallet_core.messages import CertificationRequest, parse

_log = structlog.get_logger()
SERIAL_SIZE = 8


@dataclass(frozen=True, slots=True, repr=False)
class EnrolledCard:
    """What personalisation writes into the card. `audit_key`: 16 bytes, secret; `policy`: that of its class."""

    card: bytes
    certificate: bytes
    audit_key: bytes
    policy: bytes


class CardEnrolment:
    def __init__(self, storage: Storage, keyring: Keyring, *, lifetime_s: int) -> None:
        self._storage = storage
        self._keyring = keyring
        self._certifier = Certifier(keyring)
        self._lifetime_s = lifetime_s
        self._policies = keyring.policies()

    def enrol(
        self,
        serial: bytes,
        request: bytes,
        now: int,
        *,
        merchant: str | None = None,
        replaces: bytes | None = None,
    ) -> EnrolledCard:
        """Certify the purse with this serial (8 bytes): a visitor's card, or a merchant's secure element, as its
        request says. The same key again gets the stored certificate.

        `replaces`: id of the card whose place it takes: that one is REPLACED, and nothing of its state passes on.
        `merchant`: to whose wallet a merchant's purse unloads. Raises CodecError, VerificationError, Problem
        `not-found` (merchant) and `idempotency-mismatch`: another key under a known serial, a known key under another
        serial or for another merchant.
        """
        subject_class = _class_of(request)
        key = proven_key(request, subject_class, serial, self._keyring.suite)
        if merchant is not None and subject_class is not CertificateClass.MERCHANT_PURSE:
            raise WrongClassError("only a merchant's purse belongs to a merchant")
        card_id = key.thumbprint
        with self._storage.writing() as tx:
            known = tx.purse(card_id)
            if known is None:
                if tx.purse_by_serial(serial) is not None:
                    raise Problem("idempotency-mismatch", "Another key is certified for this serial number.")
                if merchant is not None and tx.merchant(merchant) is None:
                    raise Problem("not-found", "There is no such merchant.")
                made = self._certifier.certify(key, subject_class, now=now, lifetime_s=self._lifetime_s)
                known = tx.add_purse(card_id, made.to_bytes(), serial, now=now, merchant=merchant)
                _log.info("card enrolled", card=short(card_id))
            elif known.serial != serial:
                raise Problem("idempotency-mismatch", "This key is certified for another serial number.")
            elif known.merchant != merchant:
                raise Problem("idempotency-mismatch", "This purse is enrolled for another merchant.")
            require_active(tx, card_id)
            if replaces is not None:
                replace_card(tx, replaces, known, now=now)
        policy = self._policies[subject_class].to_bytes()
        return EnrolledCard(card_id, known.certificate, self._keyring.audit_key(card_id), policy)

    def certificate(self, card_id: bytes) -> bytes:
        """The certificate of a known purse; raises Problem `not-found`."""
        with self._storage.reading() as tx:
            known = tx.purse(card_id)
        if known is None:
            raise Problem("not-found", "No card with this id is enrolled.")
        return known.certificate


def _class_of(request: bytes) -> CertificateClass:
    """What the key asks to be; raises CodecError, and WrongClassError for a class that is not enrolled here."""
    asked = parse(CertificationRequest, request).message.subject_class
    if asked not in PROFILES:
        raise WrongClassError("only hard wallets and merchants' purses are enrolled here")
    return CertificateClass(asked)
