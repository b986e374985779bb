"""Cards: the operator certifies a key that the card has made itself, once for each serial number."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from server.enrolment.certifying import Certifier, proven_key
from server.keyring import Keyring
from server.problems import Problem
from server.storage.protocol import Storage
from wallet_core.certificates import CertificateClass
from wallet_core.ids import short

_log = structlog.get_logger()
SERIAL_SIZE = 8


@dataclass(frozen=True, slots=True, repr=False)
class EnrolledCard:
    """What personalisation writes into the card. `audit_key`: 16 bytes, secret."""

    card: bytes
    certificate: bytes
    audit_key: bytes


class CardEnrolment:
    def __init__(self, storage: Storage, keyring: Keyring, *, lifetime_s: int) -> None:
        self._storage = storage
        self._keyring = keyring
        self._certifier = Certifier(keyring)
        self._lifetime_s = lifetime_s

    def enrol(self, serial: bytes, request: bytes, now: int) -> EnrolledCard:
        """Certify the card with this serial (8 bytes); the same key again gets the stored certificate.

        Raises CodecError, VerificationError, and Problem `idempotency-mismatch` for another key under a known serial or
        a known key under another serial.
        """
        key = proven_key(request, CertificateClass.HARD_WALLET, serial)
        card_id = key.thumbprint
        with self._storage.writing() as tx:
            known = tx.purse(card_id)
            if known is None:
                if tx.purse_by_serial(serial) is not None:
                    raise Problem("idempotency-mismatch", "Another key is certified for this serial number.")
                made = self._certifier.certify(key, CertificateClass.HARD_WALLET, now=now, lifetime_s=self._lifetime_s)
                known = tx.add_purse(card_id, made.to_bytes(), serial, now=now)
                _log.info("card enrolled", card=short(card_id))
            elif known.serial != serial:
                raise Problem("idempotency-mismatch", "This key is certified for another serial number.")
        return EnrolledCard(card_id, known.certificate, self._keyring.audit_key(card_id))

    def certificate(self, card_id: bytes) -> bytes:
        """The certificate of a known purse; raises Problem `not-found`."""
        with self._storage.reading() as tx:
            known = tx.purse(card_id)
        if known is None:
            raise Problem("not-found", "No card with this id is enrolled.")
        return known.certificate
