"""Merchants and their tills: a one-time code from the operator lets one key in, once."""

from __future__ import annotations

import base64
import hmac
import unicodedata
from dataclasses import dataclass

import structlog

from server.enrolment.certifying import Certifier, proven_key
from server.keyring import Keyring
from server.problems import Problem
from server.risk.standing import move_to, require_active
from server.settings import Entropy
from server.storage.protocol import Storage, Writer
from server.storage.records import TillRecord
from server.storage.records_risk import PurseStatus
from wallet_core.certificates import CertificateClass
from wallet_core.errors import UsageError
from wallet_core.ids import short

_log = structlog.get_logger()
_MERCHANT_ID_SIZE = 8
_CODE_SIZE = 15  # bytes: 120 bits, 24 characters
MAX_NAME = 64


@dataclass(frozen=True, slots=True, repr=False)
class NewMerchant:
    """`code`: to be handed to the merchant; only its keyed digest is stored."""

    merchant: str
    code: str


@dataclass(frozen=True, slots=True)
class EnrolledTill:
    till: bytes
    certificate: bytes
    merchant: str
    merchant_name: str


class TillEnrolment:
    def __init__(
        self, storage: Storage, keyring: Keyring, entropy: Entropy, *, lifetime_s: int, code_lifetime_s: int
    ) -> None:
        self._storage = storage
        self._keyring = keyring
        self._entropy = entropy
        self._certifier = Certifier(keyring)
        self._lifetime_s = lifetime_s
        self._code_lifetime_s = code_lifetime_s

    def add_merchant(self, name: str, now: int) -> NewMerchant:
        """A merchant with an empty wallet and one enrolment code; raises UsageError for an unusable name."""
        name = unicodedata.normalize("NFC", name).strip()
        if not 1 <= len(name) <= MAX_NAME or any(unicodedata.category(c).startswith("C") for c in name):
            raise UsageError(f"a merchant's name has 1 to {MAX_NAME} printable characters")
        merchant_id = self._entropy(_MERCHANT_ID_SIZE).hex()
        with self._storage.writing() as tx:
            tx.add_merchant(merchant_id, name, now=now)
        return NewMerchant(merchant_id, self.new_code(merchant_id, now))

    def new_code(self, merchant_id: str, now: int) -> str:
        """Another code for a merchant's next till; raises Problem `not-found`."""
        text = base64.b32encode(self._entropy(_CODE_SIZE)).decode()
        code = "-".join(text[at : at + 6] for at in range(0, len(text), 6))
        with self._storage.writing() as tx:
            if tx.merchant(merchant_id) is None:
                raise Problem("not-found", "There is no such merchant.")
            tx.add_code(self._keyring.code_digest(code), merchant_id, expires=now + self._code_lifetime_s)
        return code

    def enrol(self, code: str, request: bytes, now: int, *, succeeds: bytes | None = None) -> EnrolledTill:
        """Certify the key of a till; the same code with the same key again gets the stored certificate.

        `succeeds`: id of a till of the same merchant whose place it takes: that one is REPLACED, and what is made out
        to it may be deposited by this one, each voucher once in all (rule 12).
        Raises CodecError, VerificationError, and Problem `not-authorised` (no such code, or too old, or of another
        merchant than `succeeds`), `not-found` (`succeeds`), `code-used` (by another key), `idempotency-mismatch` (this
        key is enrolled by another code, or in another till's place), `revoked`.
        """
        key = proven_key(request, CertificateClass.TILL, code.encode(), self._keyring.suite)
        till_id, digest = key.thumbprint, self._keyring.code_digest(code)
        with self._storage.writing() as tx:
            known = tx.code(digest)
            if known is None or not hmac.compare_digest(known.digest, digest):
                raise Problem("not-authorised", "This enrolment code is not known.", next_step="Ask for a new code.")
            till = tx.till(till_id)
            if known.till is not None and known.till != till_id:
                raise Problem("code-used", "Another till has used this code.", next_step="Ask for a new code.")
            if known.till is None:
                if now >= known.expires:
                    raise Problem("not-authorised", "This enrolment code is too old.", next_step="Ask for a new code.")
                if till is not None:
                    raise Problem("idempotency-mismatch", "This key is enrolled by another code.")
                made = self._certifier.certify(key, CertificateClass.TILL, now=now, lifetime_s=self._lifetime_s)
                tx.add_till(till_id, made.to_bytes(), known.merchant, digest, now=now)
                if succeeds is not None:
                    _supersede(tx, till_id, known.merchant, succeeds, now)
                till = tx.till(till_id)
                _log.info("till enrolled", till=short(till_id), merchant=known.merchant)
            elif till is not None:
                require_active(tx, till_id)
                _check_place(till, succeeds)
            merchant = tx.merchant(known.merchant)
        if till is None or merchant is None:
            raise Problem("internal-error", "The till is enrolled, but cannot be read back.")
        return EnrolledTill(till_id, till.certificate, merchant.id, merchant.name)


def _supersede(tx: Writer, till_id: bytes, merchant: str, succeeds: bytes, now: int) -> None:
    """The new till (already stored) takes the place of an old one of the same merchant."""
    old = tx.till(succeeds)
    if old is None or succeeds == till_id:
        raise Problem("not-found", "There is no such till to succeed.")
    if old.merchant != merchant:
        raise Problem(
            "not-authorised",
            "The till to succeed is another merchant's.",
            next_step="Ask for a code of the same merchant.",
        )
    tx.supersede(till_id, old.number)
    move_to(tx, succeeds, PurseStatus.REPLACED, "succeeded by another till", now=now)


def _check_place(till: TillRecord, succeeds: bytes | None) -> None:
    """The same enrolment again has to name the same till, or none."""
    if succeeds is not None and (not till.predecessors or till.predecessors[0].id != succeeds):
        raise Problem("idempotency-mismatch", "This till is enrolled, but not in that till's place.")
