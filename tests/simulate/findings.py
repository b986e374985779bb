"""What a server found out, read from its own books, and believed only as far as public keys prove it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from server.storage.protocol import Reader
from server.storage.records import BatchRecord, batch_key
from simulate.truth import DOUBLE_SPEND, OVERSPEND, TWO_OUTCOMES, Fraud, counter
from wallet_core import fraud
from wallet_core.certificates import Certificate
from wallet_core.errors import CodecError, EcnyError
from wallet_core.messages import (
    DepositAnswer,
    DepositBatch,
    DepositStatus,
    Refusal,
    RefusalStatus,
    Report,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_ANSWER_SIZE, MAX_BATCH_SIZE
from wallet_core.trust import TrustStore


def findings(tx: Reader, trust: TrustStore, tills: Iterable[bytes]) -> frozenset[Fraud]:
    """Every fraud that the books show; `tills`: ids of all that deposit.

    A proof of double-spending counts if anybody could check it, with the authority's certificate and nothing else.
    """
    found: set[Fraud] = set()
    for record in tx.evidence():
        certificates = (Certificate.from_bytes(record.certificate), *trust.operators)
        if _convicts((record.first, record.second), certificates, trust, record.payer):
            found.add(Fraud(DOUBLE_SPEND, record.payer, counter(record.epoch, record.n)))
    for spending in tx.spending():
        if spending.overspent > 0:
            found.add(Fraud(OVERSPEND, spending.payer, b""))
    for till in tills:
        for batch in _batches(tx, till):
            found |= _two_outcomes(batch.raw, batch.answer)
    return frozenset(found)


def losses_beyond(tx: Reader, broken: Iterable[bytes], cap: int, loss: int) -> list[str]:
    """Losses of the operator that its policy does not allow: of an honest card, or above the cap of a broken one."""
    found, borne, known = [], 0, set(broken)
    for spending in tx.spending():
        borne += spending.lost
        if spending.lost and spending.payer not in known:
            found.append(f"the operator bears {spending.lost} fen of honest card {spending.payer.hex()}")
        elif spending.lost > cap:
            found.append(f"the operator bears {spending.lost} fen of one broken card, and {cap} at most were said")
    if borne != loss:
        found.append(f"the operator has lost {loss} fen, and {borne} of them are explained")
    return found


def _batches(tx: Reader, till_id: bytes) -> Iterator[BatchRecord]:
    till = tx.till(till_id)
    if till is None:
        return
    for number in range(1, till.last_number + 1):
        batch = tx.batch(batch_key(till.number, number))
        if batch is not None:
            yield batch


def _convicts(raw: tuple[bytes, ...], certificates: tuple[Certificate, ...], trust: TrustStore, suspect: bytes) -> bool:
    try:
        proof = fraud.make([_statement(one) for one in raw], certificates)
        return fraud.check(fraud.FraudProof.from_bytes(proof.to_bytes()), trust).id == suspect
    except EcnyError:
        return False


def _statement(raw: bytes) -> Signed[Voucher] | Signed[Report]:
    try:
        return parse(Voucher, raw)
    except CodecError:
        return parse(Report, raw)


def _two_outcomes(raw: bytes, answered: bytes) -> set[Fraud]:
    """Vouchers that their payee had refused, Refusals of what is settled: the signed answer says so."""
    answer = parse(DepositAnswer, answered, max_size=MAX_ANSWER_SIZE).message
    voucher_places = [i for i, s in enumerate(answer.voucher_statuses) if s is DepositStatus.REFUSED_BEFORE]
    refusal_places = [i for i, s in enumerate(answer.refusal_statuses) if s is RefusalStatus.AFTER_DEPOSIT]
    if not voucher_places and not refusal_places:
        return set()
    batch = parse(DepositBatch, raw, max_size=MAX_BATCH_SIZE).message
    said: list[Voucher | Refusal] = [parse(Voucher, batch.vouchers[i]).message for i in voucher_places]
    said += [parse(Refusal, batch.refusals[i]).message for i in refusal_places]
    return {Fraud(TWO_OUTCOMES, one.payee, one.request_hash) for one in said}  # a successor brings its predecessor's
