"""Taking evidence into the books: what has been seen is stored, and what follows from it is posted.

What follows is a function of the set of messages (I9). Of a voucher to a purse: with the payee's Refusal it is
reversed, else with its Receipt collected, else in flight. A Refusal beats a Receipt in every order: an honest purse
signs one of them, and who signs both keeps nothing. Answers that come before their voucher are kept and count when it
comes.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.load import outcomes
from server.load.unloads import UnloadService
from server.reports.reading import EvidenceStatus, Genuine
from server.risk import charging, fraud, reviews
from server.risk.settings import RiskSettings
from server.risk.standing import status_of
from server.settlement.archive import bytes_of
from server.storage.ending_records import BroughtVoucher, PurseAnswer
from server.storage.protocol import Writer
from server.storage.records import LoadRecord, PurseRecord, TillRecord
from server.storage.records_risk import PurseStatus
from wallet_core.errors import MismatchError, StorageError
from wallet_core.messages import Receipt, Voucher, parse

RECORDED, WAITING = EvidenceStatus.RECORDED, EvidenceStatus.WAITING


@dataclass(frozen=True)
class Taking:
    """One transaction; `now`: seconds since 1970."""

    tx: Writer
    risk: RiskSettings
    unloads: UnloadService
    now: int

    def take(self, genuine: Genuine) -> EvidenceStatus:
        """One message whose signature holds."""
        message = genuine.signed.message
        signer = self.purse(genuine.signer)
        if isinstance(message, Voucher):
            return self._voucher(message, genuine.raw, signer)
        if isinstance(message, Receipt):
            return self.receipt(signer, PurseAnswer(signer.id, message.voucher_hash, message.k, True, genuine.raw))
        return self.refusal(signer, PurseAnswer(signer.id, message.request_hash, message.k, True, genuine.raw))

    def purse(self, purse_id: bytes) -> PurseRecord:
        found = self.tx.purse(purse_id)
        if found is None:
            raise StorageError("a purse that was verified is not stored", next_step="Send it again.")
        return found

    def _voucher(self, voucher: Voucher, raw: bytes, payer: PurseRecord) -> EvidenceStatus:
        if voucher.payee == payer.id:
            return EvidenceStatus.NOT_ASKED
        if voucher.payee == self.unloads.payee:
            return self._unload(raw, payer)
        purse, till = self.tx.purse(voucher.payee), self.tx.till(voucher.payee)
        if purse is None and till is None:
            return EvidenceStatus.UNKNOWN_PAYEE
        brought = BroughtVoucher(
            hash=voucher.hash,
            payer=payer.number,
            epoch=voucher.epoch,
            n=voucher.n,
            payee=voucher.payee,
            k=voucher.k,
            amount=voucher.amount,
            request_hash=voucher.request_hash,
            raw=raw,
        )
        self.tx.add_brought(brought)
        if purse is not None:
            charging.take_in_purse_voucher(self.tx, parse(Voucher, raw), payer, purse, self.risk, self.now)
            self._settle(brought)
        elif till is not None:
            self.collect_for(brought, payer, till)
        self._compare(brought, payer)
        return RECORDED

    def _unload(self, raw: bytes, payer: PurseRecord) -> EvidenceStatus:
        try:
            receipt = self.unloads.take(self.tx, parse(Voucher, raw), raw, payer, self.now)
        except MismatchError:
            return EvidenceStatus.NOT_ASKED
        return WAITING if receipt is None else RECORDED

    def collect_for(self, brought: BroughtVoucher, payer: PurseRecord, till: TillRecord) -> None:
        """Of a till that is dead: credit its merchant. A living one deposits by itself."""
        if status_of(self.tx, till.id) is PurseStatus.DEAD:
            charging.collect_for_till(self.tx, parse(Voucher, brought.raw), payer, till, self.risk, self.now)

    def receipt(self, payee: PurseRecord, answer: PurseAnswer) -> EvidenceStatus:
        """The payee has collected: it has signed a Receipt, or a Report that says so."""
        self.tx.add_purse_receipt(answer)
        load = self.tx.load_by_voucher(answer.about)
        if load is not None and load.card == payee.id:
            self._load(load, payee, answer.raw if answer.is_signed else None)
            return RECORDED
        brought = self.tx.brought(answer.about)
        if brought is None or brought.payee != payee.id:
            return WAITING
        self._settle(brought)
        return RECORDED

    def refusal(self, payee: PurseRecord, answer: PurseAnswer) -> EvidenceStatus:
        """The payee has refused for ever: it has signed a Refusal, or a Report that says so."""
        self.tx.add_purse_refusal(answer)
        load = self.tx.load_by_request(payee.id, answer.about)
        if load is not None:
            self._load(load, payee, None)
            return RECORDED
        vouchers = self.tx.brought_for_request(payee.id, answer.about)
        for brought in vouchers:
            self._settle(brought)
        return RECORDED if vouchers else WAITING

    def _load(self, load: LoadRecord, card: PurseRecord, receipt: bytes | None) -> None:
        payload, voucher_hash, request_hash = load.voucher, load.voucher_hash, load.request_hash
        if payload is None or voucher_hash is None or request_hash is None:
            return
        if self.tx.purse_receipt(card.id, voucher_hash) is not None:
            outcomes.collected(self.tx, load, card, receipt, self.now)
            load = self.tx.load(load.id) or load
        refusal = self.tx.purse_refusal(card.id, request_hash)
        if refusal is not None:
            outcomes.refused(self.tx, load, card, self.risk, self.now)
            if load.receipt is not None and refusal.is_signed:
                voucher = self.unloads.sign_load(payload)
                self._two_outcomes(card.id, load.receipt, refusal.raw, voucher, request_hash)

    def _settle(self, brought: BroughtVoucher) -> None:
        """Post what follows from all that is known about a voucher between purses."""
        refusal = self.tx.purse_refusal(brought.payee, brought.request_hash)
        receipt = self.tx.purse_receipt(brought.payee, brought.hash)
        order = self.tx.order(brought.hash)
        where = (brought.payer, brought.epoch, brought.n, brought.hash, self.risk, self.now)
        is_void = order is not None and order.is_void
        if refusal is not None:
            charging.purse_refused(self.tx, *where)
        elif receipt is not None and (order is None or is_void):
            charging.purse_collected(self.tx, *where, void_order=is_void)
        if refusal is not None and receipt is not None and refusal.is_signed and receipt.is_signed:
            self._two_outcomes(brought.payee, receipt.raw, refusal.raw, brought.raw, brought.request_hash)

    def settle_again(self, voucher_hash: bytes) -> None:
        """After an order was given or became void."""
        brought = self.tx.brought(voucher_hash)
        if brought is not None and self.tx.purse(brought.payee) is not None:
            self._settle(brought)

    def _two_outcomes(self, culprit: bytes, receipt: bytes, refusal: bytes, voucher: bytes, request: bytes) -> None:
        fraud.two_outcomes(self.tx, culprit, receipt, refusal, voucher, request, self.now)
        reviews.reopen(self.tx, [culprit], self.risk, self.now)

    def _compare(self, brought: BroughtVoucher, payer: PurseRecord) -> None:
        """Another voucher with this counter, or a report that names one, is the other half of a proof (I8)."""
        known = self.tx.voucher(payer.number, brought.epoch, brought.n)
        if known is not None and known.hash != brought.hash:
            self._equivocation(brought, payer, bytes_of(self.tx, known), known.hash)
        for other in self.tx.brought_at(payer.number, brought.epoch, brought.n):
            if other.hash != brought.hash:
                self._equivocation(brought, payer, other.raw, other.hash)
        for seen in self.tx.seen_slots(payer.number, brought.epoch, brought.n):
            report = self.tx.report(seen.report_hash)
            if seen.voucher_hash != brought.hash and report is not None:
                self._equivocation(brought, payer, report.raw, seen.voucher_hash)

    def _equivocation(self, brought: BroughtVoucher, payer: PurseRecord, second: bytes, second_hash: bytes) -> None:
        epoch, n = brought.epoch, brought.n
        fraud.equivocation(self.tx, payer, epoch, n, brought.raw, second, second_hash, self.now)
        reviews.reopen(self.tx, [payer.id], self.risk, self.now)

    def finish(self) -> None:
        """After everything: unloads that are covered now are paid out."""
        self.unloads.settle_waiting(self.tx, self.now)
