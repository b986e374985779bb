"""Parties that break the rules: cloned cards, a merchant's purse that says two things; and their banks."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.keys import NOW, key
from support.operator_world import Bank, CardDouble, TillDouble, World, certification_request
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.messages import Receipt, Refusal, Signed, Voucher, parse
from wallet_core.suites import Suite


class SamDouble(TillDouble):
    """A merchant's purse without rules: a payee that answers what the test wants, and as `card` a payer."""

    card: CardDouble

    def receipt(self, voucher: bytes) -> bytes:
        message = parse(Voucher, voucher).message
        receipt = Receipt(
            suite=Suite.ES256,
            payee=self.id,
            k=message.k,
            voucher_hash=message.hash,
            total_in=message.amount,
            total_out=0,
            total_reversed=0,
        )
        return Signed.sign(receipt, self.key).to_bytes()

    def refuse(self, voucher: bytes) -> bytes:
        message = parse(Voucher, voucher).message
        refusal = Refusal(suite=Suite.ES256, payee=self.id, k=message.k, request_hash=message.request_hash)
        return Signed.sign(refusal, self.key).to_bytes()


def sam(bank: Bank, name: str) -> SamDouble:
    """An enrolled merchant's purse, empty."""
    made = SamDouble(key(f"sam {name}"))
    serial = hashlib.sha256(f"sam {name}".encode()).digest()[:8]
    request = certification_request(made.key, CertificateClass.MERCHANT_PURSE, serial)
    enrolled = bank.parts.cards.enrol(serial, request, NOW)
    made.card = CardDouble(made.key, Certificate.from_bytes(enrolled.certificate), serial, enrolled.audit_key)
    return made


def evidence(bank: Bank, *messages: bytes) -> Sequence[str]:
    return [str(status) for status in bank.parts.reports.evidence(list(messages), [], NOW)]


def balances(bank: Bank) -> dict[str, int]:
    """Every account that is not at 0; the books are sound."""
    report = bank.ledger()
    assert report.faults == ()
    return {account.name: account.balance for account in report.accounts if account.balance}


def pay_all_reviews(bank: Bank) -> int:
    """The operator pays everything that waits; how many fen of it nothing covers."""
    lost = 0
    while waiting := bank.parts.desk.reviews():  # paying one can let others through
        lost += bank.parts.desk.pay_review(waiting[0].voucher_hash, NOW)
    return lost


@contextmanager
def bank_in_memory(**changes: Any) -> Iterator[Bank]:
    """Thousands of commits: durability is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        bank = Bank(World.make(Path(directory)), **changes)
        try:
            yield bank
        finally:
            bank.close()
