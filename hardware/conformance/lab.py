"""The laboratory: an authority, an operator and everybody whom a card meets, in memory, from a published seed.

Its keys are public and protect nothing; every certificate has the test mark. Because they follow from the seed, a card
that one run has personalised is known to the next run. Amounts are fen of test money.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from hardware.personalisation import CardPapers
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import SoftwareKey
from wallet_core.messages import (
    CertificationRequest,
    Grant,
    Policy,
    Receipt,
    Refusal,
    Report,
    Request,
    ReversalOrder,
    Signed,
    SpendMode,
    Voucher,
    parse,
)
from wallet_core.messages.ending import Outcome, pack_closed, pack_outcomes
from wallet_core.messages.layout import FixedMessage
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import EntryState, SlotState
from wallet_core.suites import Suite

SEED: Final = "ecny conformance laboratory: these keys are public"
PIN: Final = "135790"
WRONG_PIN: Final = "097531"
NOT_BEFORE: Final = 1_735_689_600  # 2025-01-01T00:00:00Z
EXPIRES: Final = 4_102_444_800  # 2100-01-01T00:00:00Z
ALL_CLASSES: Final = sum(1 << one for one in CertificateClass)
NO_LIMIT: Final = 2**32 - 1

Papers = tuple[bytes, bytes, bytes]
"""A signed message, its signer's certificate, the certificate of the signer's operator."""


@dataclass(frozen=True)
class Party:
    """A key with its certificate, and the operator that certified it (an operator and an authority: themselves)."""

    key: SoftwareKey
    certificate: Certificate
    operator: Certificate

    @property
    def id(self) -> bytes:
        return self.key.public.thumbprint

    def sign(self, message: FixedMessage) -> bytes:
        return Signed.sign(message, self.key).to_bytes()

    def papers(self, message: FixedMessage) -> Papers:
        return self.sign(message), self.certificate.to_bytes(), self.operator.to_bytes()


class Lab:
    """Everybody whom a card meets. `foreign_…` are the same classes under an authority that the card does not know."""

    def __init__(self, seed: str = SEED) -> None:
        self._seed = seed
        self.authority = self._root("authority")
        self.operator = self._under(self.authority, "operator", CertificateClass.OPERATOR)
        self.second_operator = self._under(self.authority, "second operator", CertificateClass.OPERATOR)
        self.operator_purse = self._under(self.operator, "operator purse", CertificateClass.OPERATOR_PURSE)
        self.sam = self._under(self.operator, "sam", CertificateClass.MERCHANT_PURSE)
        self.other_sam = self._under(self.operator, "other sam", CertificateClass.MERCHANT_PURSE)
        self.card = self._under(self.operator, "card", CertificateClass.HARD_WALLET)
        self.till = self._under(self.operator, "till", CertificateClass.TILL)
        self.foreign_authority = self._root("foreign authority")
        self.foreign_operator = self._under(self.foreign_authority, "foreign operator", CertificateClass.OPERATOR)
        self.foreign_sam = self._under(self.foreign_operator, "foreign sam", CertificateClass.MERCHANT_PURSE)

    def digest(self, text: str) -> bytes:
        """32 bytes that follow from the seed and `text`."""
        return hashlib.sha256(f"{self._seed}: {text}".encode()).digest()

    def audit_key(self, serial: bytes) -> bytes:
        return self.digest(f"audit key {serial.hex()}")[:16]

    def certify(self, issuer: Party, key: SoftwareKey, subject_class: CertificateClass, **changes: Any) -> Certificate:
        """A certificate with the test mark; `changes` replace its fields before it is signed."""
        certificate = Certificate(
            issuer=issuer.id,
            key=key.public,
            subject_class=subject_class,
            not_before=NOT_BEFORE,
            expires=EXPIRES,
            test=True,
            epoch=int(subject_class.is_purse),
        )
        return replace(certificate, **changes).signed_by(issuer.key)

    def variant(self, party: Party, issuer: Party, **changes: Any) -> Party:
        """The same key under another certificate, from `issuer`."""
        certificate = self.certify(issuer, party.key, party.certificate.subject_class, **changes)
        return replace(party, certificate=certificate, operator=issuer.certificate)

    def _root(self, name: str) -> Party:
        key = self._key(name)
        unsigned = Certificate(
            issuer=key.public.thumbprint,
            key=key.public,
            subject_class=CertificateClass.AUTHORITY,
            not_before=NOT_BEFORE,
            expires=EXPIRES,
            test=True,
        )
        certificate = unsigned.signed_by(key)
        return Party(key, certificate, certificate)

    def _under(self, issuer: Party, name: str, subject_class: CertificateClass) -> Party:
        key = self._key(name)
        return Party(key, self.certify(issuer, key, subject_class), issuer.certificate)

    def _key(self, name: str) -> SoftwareKey:
        return SoftwareKey.from_secret(self.digest(f"key {name}"))

    # What the operator gives a card

    def card_papers(self, serial: bytes, asked: CertificationRequest, *, epoch: int = 1) -> CardPapers:
        """Certificate for the key that the card has asked with, and the rest of what personalisation stores."""
        certificate = Certificate(
            issuer=self.operator.id,
            key=asked.key,
            subject_class=CertificateClass(asked.subject_class),
            not_before=NOT_BEFORE,
            expires=EXPIRES,
            test=True,
            epoch=epoch,
        ).signed_by(self.operator.key)
        return CardPapers(
            certificate.to_bytes(),
            self.operator.certificate.to_bytes(),
            self.authority.certificate.to_bytes(),
            self.operator.sign(self.policy(CertificateClass(asked.subject_class), version=1)),
            self.audit_key(serial),
        )

    def policy(self, purse_class: CertificateClass, **changes: Any) -> Policy:
        """The policy in which nothing is limited; `changes` set what a check is about."""
        return replace(_open_policy(self.operator.id, purse_class), **changes)


@lru_cache(maxsize=8)
def _open_policy(operator: bytes, purse_class: CertificateClass) -> Policy:
    return Policy(
        suite=Suite.ES256,
        operator=operator,
        version=1,
        purse_class=purse_class,
        least_suite=Suite.ES256,
        mode=SpendMode.STAGED,
        balance_limit=MAX_MINOR_UNITS,
        transfer_limit=MAX_MINOR_UNITS,
        offline_total=MAX_MINOR_UNITS,
        offline_count=NO_LIMIT,
        pin_threshold=MAX_MINOR_UNITS,
        unverified_total=MAX_MINOR_UNITS,
        payee_threshold=MAX_MINOR_UNITS,
        payee_classes=ALL_CLASSES,
        payer_classes=ALL_CLASSES,
    )


# What others say to a card: pure functions of what the card has said


def voucher_for(request: bytes, payer: Party, /, **changes: Any) -> Papers:
    """A purse's answer to the card's signed Request; `changes` replace fields before it is signed."""
    asked = parse(Request, request).message
    voucher = Voucher.answering(asked, 1, AuditData(asked.n, 0, 0, 0, 0).seal(bytes(16), bytes(12)))
    return payer.papers(replace(voucher, **changes))


def receipt_for(voucher: bytes, payee: Party, /, **changes: Any) -> Papers:
    """The payee's Receipt of the card's signed Voucher."""
    paid = parse(Voucher, voucher)
    receipt = Receipt(
        suite=paid.message.suite,
        payee=payee.id,
        k=paid.message.k,
        voucher_hash=paid.hash,
        total_in=paid.message.amount,
        total_out=0,
        total_reversed=0,
    )
    return payee.papers(replace(receipt, **changes))


def refusal_for(voucher: bytes, payee: Party, /, **changes: Any) -> Papers:
    """The payee's Refusal of what the card's signed Voucher answers."""
    paid = parse(Voucher, voucher).message
    refusal = Refusal(suite=paid.suite, payee=payee.id, k=paid.k, request_hash=paid.request_hash)
    return payee.papers(replace(refusal, **changes))


def order_for(voucher: bytes, operator: Party, /, **changes: Any) -> bytes:
    """The operator's signed ReversalOrder for the card's signed Voucher."""
    paid = parse(Voucher, voucher)
    order = ReversalOrder(
        suite=paid.message.suite,
        payer=paid.message.payer,
        epoch=paid.message.epoch,
        n=paid.message.n,
        voucher_hash=paid.hash,
        report_hash=bytes(32),
    )
    return operator.sign(replace(order, **changes))


def grant_for(
    report: Report, operator: Party, outcomes: Iterable[tuple[int, int]] | None = None, **changes: Any
) -> bytes:
    """The operator's signed Grant: all that the report shows is in its books, what is PENDING is collected, and every
    final entry may go. `outcomes` (n, state) and `changes` replace that."""
    settled = outcomes
    if settled is None:
        settled = (
            (line.n, int(SlotState.COLLECTED) if line.state == SlotState.PENDING else line.state)
            for line in report.slot_lines
        )
    grant = Grant(
        suite=report.suite,
        purse=report.purse,
        epoch=report.epoch,
        n_acked=report.next_n,
        policy_version=0,
        out_acked=report.total_out,
        in_acked=report.total_in,
        outcomes=pack_outcomes(Outcome(n, state) for n, state in settled),
        closed=pack_closed(line.k for line in report.entry_lines if line.state != EntryState.OPEN),
        report_hash=report.hash,
    )
    return operator.sign(replace(grant, **changes))
