"""Frauds as the operator shows them, and as files that anyone can check with `ecny verify fraud-proof`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.keyring import Keyring
from server.risk import fraud
from server.settlement.archive import bytes_of
from server.storage.protocol import Reader, Writer
from server.storage.records_risk import SpendingRecord
from wallet_core import fraud as proof
from wallet_core.certificates import Certificate
from wallet_core.errors import CodecError, VerificationError, WrongTypeError
from wallet_core.messages import Receipt, Refusal, Report, Signed, Voucher, parse


@dataclass(frozen=True, slots=True)
class Proof:
    """`file`: a FraudProof, `None` where a part of it is known only from a report; `what`: in words."""

    culprit: bytes
    kind: proof.FraudKind
    what: str
    file: bytes | None


@dataclass(frozen=True, slots=True)
class Frauds:
    """Everything that is proved, and every purse that has spent more than it is proved to have received."""

    proofs: tuple[Proof, ...]
    overspent: tuple[SpendingRecord, ...]


def sweep(tx: Writer, now: int) -> int:
    """Prove what deposits and reports say together about one counter; how many proofs are new."""
    before = tx.evidence_count()
    for found in tx.contradicted_slots():
        payer, voucher = tx.purse_by_number(found.payer), tx.voucher(found.payer, found.epoch, found.n)
        if payer is not None and voucher is not None:
            where = (payer, found.epoch, found.n)
            fraud.equivocation(tx, *where, bytes_of(tx, voucher), found.second, found.second_hash, now)
    return tx.evidence_count() - before


def list_frauds(tx: Reader, keyring: Keyring) -> Frauds:
    """What is proved as of now, in the order of the storage."""
    operator = keyring.operator_certificate
    found = []
    for one in tx.evidence():
        certificates = [Certificate.from_bytes(one.certificate), operator]
        file = _file([_voucher_or_report(one.first), _voucher_or_report(one.second)], certificates)
        what = f"two payloads under counter {one.n}"
        found.append(Proof(one.payer, proof.FraudKind.DOUBLE_SPEND, what, file))
    for two in tx.two_outcomes():
        culprit = tx.purse(two.culprit)
        certificates = [operator] if culprit is None else [Certificate.from_bytes(culprit.certificate), operator]
        try:
            said: list[Signed[Any]] = [parse(Receipt, two.receipt), parse(Refusal, two.refusal)]
            file = _file([*said, parse(Voucher, two.voucher)], certificates)
        except CodecError:
            file = None
        what = "Receipt and Refusal of one Request"
        found.append(Proof(two.culprit, proof.FraudKind.TWO_OUTCOMES, what, file))
    return Frauds(tuple(found), tuple(one for one in tx.spending() if one.overspent > 0))


def _file(messages: list[Signed[Any]], certificates: list[Certificate]) -> bytes | None:
    try:
        return proof.make(messages, certificates).to_bytes()
    except (CodecError, VerificationError):
        return None


def _voucher_or_report(raw: bytes) -> Signed[Any]:
    try:
        return parse(Voucher, raw)
    except WrongTypeError:
        return parse(Report, raw)
