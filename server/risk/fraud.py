"""Proofs of fraud: kept, and the culprit revoked. What they cost is in `losses`."""

from __future__ import annotations

from server.risk.settings import RiskSettings
from server.risk.standing import move_to
from server.storage.protocol import Reader, Writer
from server.storage.records import PurseRecord
from server.storage.records_risk import PurseStatus, TwoOutcomesRecord
from wallet_core.certificates import Certificate, CertificateClass

_FIRST_EPOCH = 1


def equivocation(
    tx: Writer, payer: PurseRecord, epoch: int, n: int, first: bytes, second: bytes, second_hash: bytes, now: int
) -> None:
    """Two vouchers with one counter (or a voucher and a Report that names another): the proof is kept once."""
    tx.add_evidence(payer.number, epoch, n, first, second, second_hash)
    move_to(tx, payer.id, PurseStatus.REVOKED, f"two payloads under counter {n}", now=now)


def two_outcomes(
    tx: Writer, culprit: bytes, receipt: bytes, refusal: bytes, voucher: bytes, request_hash: bytes, now: int
) -> None:
    """A payee's Receipt and Refusal of one Request, and the Voucher that links them (all signed): kept once."""
    tx.add_two_outcomes(TwoOutcomesRecord(request_hash, culprit, receipt, refusal, voucher))
    move_to(tx, culprit, PurseStatus.REVOKED, "Receipt and Refusal of one Request", now=now)


def doubt(tx: Writer, payer_id: bytes, deficit: int, risk: RiskSettings, now: int) -> None:
    """A card spends `deficit` fen beyond its proved inflow: revoke it unless late evidence can explain that."""
    payer = tx.purse(payer_id)
    if payer is not None and deficit > 0 and not may_be_late(tx, payer, deficit, risk):
        move_to(tx, payer_id, PurseStatus.REVOKED, "spent more than it can have received", now=now)


def may_be_late(tx: Reader, payer: PurseRecord, deficit: int, risk: RiskSettings) -> bool:
    """Whether messages that have not come yet can explain that `payer` has spent `deficit` fen too much.

    A hard wallet of this operator under a staged policy spends loads, which are in these books before the card has
    them, and what a grant has acknowledged. What it can have beside is its own payments to purses, refused and spent
    again. Those with a Receipt here count too: a dishonest payee shows that to the server and its Refusal to the card,
    and REVOKED is for good. Other purses, and cards that were not enrolled here, may have inflow that is not known
    here; and once the operator's purse was restored, so may every card: the books may lack its loads.
    """
    operator = tx.operator_purse()
    if operator is not None and operator.epoch != _FIRST_EPOCH:
        return True
    certificate = Certificate.from_bytes(payer.certificate)
    if certificate.subject_class is not CertificateClass.HARD_WALLET or payer.serial is None or risk.late_inflow:
        return True
    return tx.refunds(payer.number) != [] or tx.refusable_outflow(payer.number) >= deficit
