"""One sample of every message, all about one story: a load of RMB 500.00, a sale of RMB 68.00, its deposit, and how the
card learns of it. The reversal order and the closing are the other way that the same sale might have ended."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from support.keys import AUTHORITY, CARD, OPERATOR, OPERATOR_PURSE, TILL, Party
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.messages import (
    CertificationRequest,
    Closing,
    DepositAnswer,
    DepositBatch,
    DepositStatus,
    Grant,
    Issuance,
    Policy,
    Receipt,
    Refusal,
    RefusalStatus,
    Report,
    Request,
    ReversalOrder,
    RevocationList,
    RevocationReason,
    Signed,
    SpendMode,
    Voucher,
)
from wallet_core.messages.ending import (
    EntryLine,
    Outcome,
    SlotLine,
    pack_closed,
    pack_entries,
    pack_outcomes,
    pack_slots,
)
from wallet_core.purse.state import EntryState, Lifecycle, SlotState
from wallet_core.suites import Suite

LOAD, SALE = 50_000, 6_800  # fen
AUDIT_KEY = bytes(range(16))
AUDIT_NONCE = bytes(range(0x20, 0x2C))
PAYEE_CLASSES = (CertificateClass.OPERATOR_PURSE, CertificateClass.MERCHANT_PURSE, CertificateClass.TILL)
PAYER_CLASSES = (CertificateClass.OPERATOR_PURSE, CertificateClass.MERCHANT_PURSE)


def digest(text: str) -> bytes:
    """32 bytes that stand for a hash of something."""
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True)
class Sample:
    """A message, who signs it, and the rule of messages.cddl that describes it."""

    name: str
    rule: str
    message: Any
    signer: Party

    @property
    def signed(self) -> Signed[Any]:
        return Signed.sign(self.message, self.signer.key)


LOAD_REQUEST = Request(
    suite=Suite.ES256,
    payer=OPERATOR_PURSE.id,
    epoch=1,
    n=1,
    payee=CARD.id,
    k=1,
    amount=LOAD,
    order_hash=digest("load"),
)
LOAD_VOUCHER = Voucher(
    suite=Suite.ES256,
    payer=OPERATOR_PURSE.id,
    epoch=1,
    n=1,
    payee=CARD.id,
    k=1,
    amount=LOAD,
    request_hash=LOAD_REQUEST.hash,
    policy_version=1,
    audit=AuditData(1, 1_000_000, LOAD, 0, LOAD).seal(AUDIT_KEY, AUDIT_NONCE),
)
LOAD_RECEIPT = Receipt(
    suite=Suite.ES256,
    payee=CARD.id,
    k=1,
    voucher_hash=LOAD_VOUCHER.hash,
    total_in=LOAD,
    total_out=0,
    total_reversed=0,
)
REQUEST = Request(
    suite=Suite.ES256,
    payer=CARD.id,
    epoch=1,
    n=1,
    payee=TILL.id,
    k=7,
    amount=SALE,
    order_hash=digest("two bowls of noodles"),
)
VOUCHER = Voucher(
    suite=Suite.ES256,
    payer=CARD.id,
    epoch=1,
    n=1,
    payee=TILL.id,
    k=7,
    amount=SALE,
    request_hash=REQUEST.hash,
    policy_version=3,
    audit=AuditData(1, LOAD, SALE, 0, SALE).seal(AUDIT_KEY, AUDIT_NONCE),
)
REFUSAL = Refusal(suite=Suite.ES256, payee=TILL.id, k=8, request_hash=digest("a sale that was cancelled"))
POLICY = Policy(
    suite=Suite.ES256,
    operator=OPERATOR.id,
    version=3,
    purse_class=CertificateClass.HARD_WALLET,
    least_suite=Suite.ES256,
    mode=SpendMode.STAGED,
    balance_limit=100_000,
    transfer_limit=50_000,
    offline_total=100_000,
    offline_count=16,
    pin_threshold=20_000,
    unverified_total=30_000,
    payee_threshold=20_000,
    payee_classes=sum(1 << c for c in PAYEE_CLASSES),
    payer_classes=sum(1 << c for c in PAYER_CLASSES),
)
CERTIFICATION_REQUEST = CertificationRequest(
    suite=Suite.ES256,
    x=CARD.key.public.x,
    y=CARD.key.public.y,
    subject_class=CertificateClass.HARD_WALLET,
    challenge=digest("serial number 0123456789abcdef"),
)
ISSUANCE = Issuance(suite=Suite.ES256, authority=AUTHORITY.id, purse=OPERATOR_PURSE.id, serial=1, amount=1_000_000)
BATCH = DepositBatch(
    suite=Suite.ES256,
    payee=TILL.id,
    number=1,
    previous=bytes(32),
    vouchers=(Signed.sign(VOUCHER, CARD.key).to_bytes(),),
    refusals=(Signed.sign(REFUSAL, TILL.key).to_bytes(),),
    certificates=(CARD.certificate.to_bytes(),),
)
ANSWER = DepositAnswer(
    suite=Suite.ES256,
    operator=OPERATOR.id,
    payee=TILL.id,
    number=1,
    batch_hash=Signed(BATCH, b"").hash,
    credited=SALE,
    voucher_statuses=(DepositStatus.SETTLED,),
    refusal_statuses=(RefusalStatus.RECORDED,),
)
REPORT = Report(
    suite=Suite.ES256,
    purse=CARD.id,
    epoch=1,
    next_n=2,
    next_k=2,
    policy_version=3,
    total_in=LOAD,
    total_out=SALE,
    total_reversed=0,
    out_acked=0,
    in_acked=LOAD,
    slots=pack_slots([SlotLine(1, SlotState.PENDING, VOUCHER.hash)]),
    entries=pack_entries([EntryLine(1, EntryState.COLLECTED, LOAD_VOUCHER.hash)]),
    lifecycle=Lifecycle.ACTIVE,
)
GRANT = Grant(
    suite=Suite.ES256,
    purse=CARD.id,
    epoch=1,
    n_acked=2,
    policy_version=3,
    out_acked=SALE,
    in_acked=LOAD,
    outcomes=pack_outcomes([Outcome(1, SlotState.COLLECTED)]),
    closed=pack_closed([1]),
    report_hash=REPORT.hash,
)
ORDER = ReversalOrder(
    suite=Suite.ES256, payer=CARD.id, epoch=1, n=1, voucher_hash=VOUCHER.hash, report_hash=REPORT.hash
)
CLOSING = Closing(suite=Suite.ES256, operator=OPERATOR.id, payee=TILL.id, request_hash=REQUEST.hash)
REVOCATIONS = RevocationList(
    suite=Suite.ES256,
    operator=OPERATOR.id,
    serial=2,
    at=1_767_225_600,
    entries={digest("a card that was lost"): RevocationReason.FROZEN, TILL.id: RevocationReason.DEAD},
)

# One of each type.
SAMPLES = (
    Sample("request", "request", REQUEST, TILL),
    Sample("voucher", "voucher", VOUCHER, CARD),
    Sample("receipt", "receipt", LOAD_RECEIPT, CARD),
    Sample("refusal", "refusal", REFUSAL, TILL),
    Sample("policy", "policy", POLICY, OPERATOR),
    Sample("issuance", "issuance", ISSUANCE, AUTHORITY),
    Sample("certification request", "certification-request", CERTIFICATION_REQUEST, CARD),
    Sample("deposit batch", "deposit-batch", BATCH, TILL),
    Sample("deposit answer", "deposit-answer", ANSWER, OPERATOR),
    Sample("report", "report", REPORT, CARD),
    Sample("grant", "grant", GRANT, OPERATOR),
    Sample("reversal order", "reversal-order", ORDER, OPERATOR),
    Sample("closing", "closing", CLOSING, OPERATOR),
    Sample("revocation list", "revocation-list", REVOCATIONS, OPERATOR),
)
