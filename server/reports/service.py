"""Evidence and reports: verified outside the transaction, taken into the books in one, answered with what they end.

A grant is a function of the report and the books: the same report gets the same bytes as long as the books say the same
of it, and more outcomes when they know more (docs/decisions/0016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from server.load.unloads import UnloadService
from server.reports.reading import EvidenceReader, EvidenceStatus, Genuine
from server.reports.slots import Endings, SlotDesk
from server.reports.taking import Taking
from server.risk import fraud, reviews
from server.risk.settings import RiskSettings
from server.risk.standing import status_of
from server.settings import Checkpoint, no_checkpoint
from server.settlement.archive import bytes_of
from server.settlement.payers import PayerDirectory
from server.storage.ending_records import PurseAnswer, ReportRecord
from server.storage.protocol import Storage, Writer
from server.storage.records import PurseRecord
from server.storage.records_risk import PurseStatus
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.ids import short
from wallet_core.keys import Signer
from wallet_core.messages import Grant, Policy, Report, Signed
from wallet_core.messages.ending import pack_closed, pack_outcomes
from wallet_core.purse.state import EntryState
from wallet_core.trust import TrustStore

_log = structlog.get_logger()
Policies = Mapping[CertificateClass, Signed[Policy]]


@dataclass(frozen=True, slots=True)
class Answered:
    """Signed bytes. `policy`: where the purse has an older one: to be stored before the grant."""

    grant: bytes
    orders: tuple[bytes, ...]
    policy: bytes | None


class ReportService:
    """One for a server; safe to use from several threads. `signer`: the operator's key."""

    def __init__(
        self,
        *,
        storage: Storage,
        trust: TrustStore,
        signer: Signer,
        unloads: UnloadService,
        policies: Policies,
        risk: RiskSettings,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._storage = storage
        self._signer = signer
        self._unloads = unloads
        self._policies = policies
        self._risk = risk
        self._checkpoint = checkpoint
        self._reader = EvidenceReader(PayerDirectory(storage, trust), unloads.payee)

    def evidence(self, messages: Sequence[bytes], certificates: Sequence[bytes], now: int) -> list[EvidenceStatus]:
        """Take in Vouchers between purses, Receipts and Refusals, in any order, any number of times.

        One status for each message; a bad one does not stop the others. Raises StorageError.
        """
        read = self._reader.read(messages, certificates, now=now)
        with self._storage.writing() as tx:
            taking = Taking(tx, self._risk, self._unloads, now)
            statuses = self._take(taking, read)
            taking.finish()
            self._checkpoint("evidence.written")
        self._checkpoint("evidence.committed")
        return statuses

    def report(self, raw: bytes, messages: Sequence[bytes], certificates: Sequence[bytes], now: int) -> Answered:
        """Take in a purse's Report with the messages that its terminal has; raises CodecError, VerificationError.

        Everything, the grant and orders included, is durable before it is answered.
        """
        signed = self._reader.report(raw, certificates, now=now)
        read = self._reader.read(messages, certificates, now=now)
        with self._storage.writing() as tx:
            taking = Taking(tx, self._risk, self._unloads, now)
            purse = taking.purse(signed.message.purse)
            record = self._keep(tx, signed, raw, purse, now)
            self._take(taking, read)
            self._entries(taking, purse, signed.message, raw)
            self._compare(taking, purse, record, signed.message)
            taking.finish()
            endings = SlotDesk(taking, purse, record, self._signer).decide(signed.message.slot_lines)
            grant, policy = self._grant(tx, purse, signed, endings)
            tx.add_grant(grant.hash, record.hash, grant.message.out_acked, grant.to_bytes(), now=now)
            self._checkpoint("report.written")
        self._checkpoint("report.committed")
        _log.info("report", purse=short(purse.id), outcomes=len(endings.outcomes), orders=len(endings.orders))
        return Answered(grant.to_bytes(), tuple(endings.orders), policy)

    @staticmethod
    def _take(taking: Taking, read: Sequence[Genuine | EvidenceStatus]) -> list[EvidenceStatus]:
        return [one if isinstance(one, EvidenceStatus) else taking.take(one) for one in read]

    @staticmethod
    def _keep(tx: Writer, signed: Signed[Report], raw: bytes, purse: PurseRecord, now: int) -> ReportRecord:
        report = signed.message
        record = ReportRecord(
            hash=signed.hash,
            purse=purse.number,
            epoch=report.epoch,
            total_in=report.total_in,
            total_out=report.total_out,
            total_reversed=report.total_reversed,
            out_acked=report.out_acked,
            lifecycle=report.lifecycle,
            progress=report.next_n + report.next_k + report.total_in + report.total_out + report.total_reversed,
            raw=raw,
        )
        if tx.report(record.hash) is None:
            tx.add_report(record, now=now)
        tx.see_slots(record, [(line.n, line.state, line.voucher_hash) for line in report.slot_lines])
        return record

    @staticmethod
    def _entries(taking: Taking, purse: PurseRecord, report: Report, raw: bytes) -> None:
        """A final entry says what the purse's Receipt or Refusal says, and the purse has signed it."""
        for entry in report.entry_lines:
            answer = PurseAnswer(purse.id, entry.hash, entry.k, False, raw)
            if entry.state == EntryState.COLLECTED:
                taking.receipt(purse, answer)
            elif entry.state == EntryState.REFUSED:
                taking.refusal(purse, answer)

    @staticmethod
    def _compare(taking: Taking, purse: PurseRecord, record: ReportRecord, report: Report) -> None:
        """A voucher under the counter of a slot that names another one: together they are a proof (I8)."""
        for line in report.slot_lines:
            known = taking.tx.voucher(purse.number, report.epoch, line.n)
            if known is not None and known.hash != line.voucher_hash:
                first = bytes_of(taking.tx, known)
                where = (purse, report.epoch, line.n)
                fraud.equivocation(taking.tx, *where, first, record.raw, line.voucher_hash, taking.now)
                reviews.reopen(taking.tx, [purse.id], taking.risk, taking.now)

    def _grant(
        self, tx: Writer, purse: PurseRecord, signed: Signed[Report], endings: Endings
    ) -> tuple[Signed[Grant], bytes | None]:
        report = signed.message
        policy = self._policies.get(Certificate.from_bytes(purse.certificate).subject_class)
        version = policy.message.version if policy is not None else report.policy_version
        known = tx.counters_known(purse.number, report.epoch, report.next_n)
        # A purse that is not in good standing gets no new limits: what it may still spend unseen bounds its reckoning.
        renewed = status_of(tx, purse.id) is PurseStatus.ACTIVE and known == report.next_n - 1
        final = (EntryState.COLLECTED, EntryState.REFUSED)
        message = Grant(
            suite=report.suite,
            purse=purse.id,
            epoch=report.epoch,
            n_acked=report.next_n if renewed else 1,
            policy_version=version,
            out_acked=report.total_out if renewed else report.out_acked,
            in_acked=min(tx.proved_inflow(purse.id), report.total_in) if renewed else report.in_acked,
            outcomes=pack_outcomes(endings.outcomes),
            closed=pack_closed(entry.k for entry in report.entry_lines if entry.state in final),
            report_hash=signed.hash,
        )
        newer = policy is not None and report.policy_version < version
        return Signed.sign(message, self._signer), policy.to_bytes() if policy is not None and newer else None
