"""What a server found out, read from its own books, and believed only as far as public keys prove it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from simulate.truth import DOUBLE_SPEND, OVERSPEND, TWO_OUTCOMES, Fraud, counter
from wallet_core.certificates import Certificate
from wallet_core.errors import EcnyError
from wallet_core.messages import (
    DepositAnswer,
    DepositBatch,
    DepositStatus,
    Refusal,
    RefusalStatus,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_ANSWER_SIZE, MAX_BATCH_SIZE
from wallet_core.trust import TrustStore

_EVIDENCE = (
    "SELECT p.certificate, e.epoch, e.n, e.first, e.second FROM evidence e JOIN purse p ON p.number = e.payer "
    "ORDER BY e.payer, e.epoch, e.n"
)
_REVIEW = "SELECT DISTINCT p.id FROM voucher v JOIN purse p ON p.number = v.payer WHERE v.state = ?"
_BATCHES = "SELECT raw, answer FROM batch ORDER BY key"


def findings(database: Path, trust: TrustStore) -> frozenset[Fraud]:
    """Every fraud that the server's database shows. Evidence that does not verify is not counted."""
    found: set[Fraud] = set()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as books:
        for certificate, epoch, n, first, second in books.execute(_EVIDENCE):
            card = trust.verify(Certificate.from_bytes(certificate), now=None)
            if _is_proof(card, epoch, n, first, second):
                found.add(Fraud(DOUBLE_SPEND, card.subject, counter(epoch, n)))
                found.add(Fraud(OVERSPEND, card.subject, b""))  # two debits for one: more than it can have
        for (purse,) in books.execute(_REVIEW, (DepositStatus.REVIEW.value,)):
            found.add(Fraud(OVERSPEND, purse, b""))
        for raw, answer in books.execute(_BATCHES):
            found |= _two_outcomes(raw, answer)
    return frozenset(found)


def _is_proof(card: Certificate, epoch: int, n: int, first: bytes, second: bytes) -> bool:
    """Two vouchers with one counter and different payloads, both signed by the card."""
    try:
        one, other = (parse(Voucher, raw).verify(card.key) for raw in (first, second))
    except EcnyError:
        return False
    same = all((v.payer, v.epoch, v.n) == (card.subject, epoch, n) for v in (one, other))
    return same and one.hash != other.hash


def _two_outcomes(raw: bytes, answered: bytes) -> set[Fraud]:
    """Vouchers that their payee had refused, Refusals of what is settled: the signed answer says so."""
    answer = parse(DepositAnswer, answered, max_size=MAX_ANSWER_SIZE).message
    voucher_places = [i for i, s in enumerate(answer.voucher_statuses) if s is DepositStatus.REFUSED_BEFORE]
    refusal_places = [i for i, s in enumerate(answer.refusal_statuses) if s is RefusalStatus.AFTER_DEPOSIT]
    if not voucher_places and not refusal_places:
        return set()
    batch = parse(DepositBatch, raw, max_size=MAX_BATCH_SIZE).message
    requests = [parse(Voucher, batch.vouchers[i]).message.request_hash for i in voucher_places]
    requests += [parse(Refusal, batch.refusals[i]).message.request_hash for i in refusal_places]
    return {Fraud(TWO_OUTCOMES, batch.payee, request) for request in requests}
