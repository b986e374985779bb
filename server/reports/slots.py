"""What the books know about each slot of a report: an outcome for the grant, a reversal order, or nothing yet.

An order is given only for a slot that this report, and no other, shows otherwise than PENDING (rule 6), whose payee has
refused for good; the same transaction sees to it that its voucher is never credited. An order once given is given again
as long as the slot is shown PENDING.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from server.problems import Problem
from server.reports.taking import Taking
from server.risk import charging, lost
from server.risk.standing import status_of
from server.settlement.archive import bytes_of
from server.storage.ending_records import BroughtVoucher, OrderReason, OrderRecord, ReportRecord
from server.storage.records import PurseRecord, VoucherRecord, VoucherState
from server.storage.records_risk import PurseStatus
from wallet_core.certificates import Certificate
from wallet_core.keys import Signer
from wallet_core.messages import ReversalOrder, Signed, Voucher, parse
from wallet_core.messages.ending import Outcome, SlotLine
from wallet_core.purse.state import SlotState

_PENDING_ONLY = 1 << SlotState.PENDING
_PAID = (VoucherState.SETTLED, VoucherState.UNLOADED)


@dataclass
class Endings:
    """`outcomes` for the grant, `orders` as signed bytes, both in the order of the slots."""

    outcomes: list[Outcome] = field(default_factory=list)
    orders: list[bytes] = field(default_factory=list)


class SlotDesk:
    """Decides the slots of one report, in the transaction of `taking`. `signer`: the operator's key."""

    def __init__(self, taking: Taking, purse: PurseRecord, report: ReportRecord, signer: Signer) -> None:
        self._taking = taking
        self._tx = taking.tx
        self._purse = purse
        self._report = report
        self._signer = signer
        # nothing is given back to a card that is lost, replaced or dishonest: its reckoning does that
        self._may_order = status_of(taking.tx, purse.id) is PurseStatus.ACTIVE

    def decide(self, lines: tuple[SlotLine, ...]) -> Endings:
        endings = Endings()
        for line in lines:
            state = SlotState(line.state)
            if state is SlotState.COLLECTED:
                self._void(line)
            if self._has_outcome(line, state):
                outcome = SlotState.COLLECTED if state is SlotState.PENDING else state
                endings.outcomes.append(Outcome(line.n, outcome))
            elif state is SlotState.PENDING and self._may_order:
                order = self._order(line)
                if order is not None:
                    endings.orders.append(order)
        return endings

    def _has_outcome(self, line: SlotLine, state: SlotState) -> bool:
        """COLLECTED is acknowledged only where the voucher itself is in the books: the slot is where it can be read."""
        if state is SlotState.REVERSED:
            return True
        record = self._record(line)
        if state is SlotState.COLLECTED:
            return record is not None
        return record is not None and record.state in _PAID

    def _record(self, line: SlotLine) -> VoucherRecord | None:
        return charging.find(self._tx, self._purse.number, self._report.epoch, line.n, line.voucher_hash)

    def _void(self, line: SlotLine) -> None:
        """A Receipt came before the order: the value is the payee's after all."""
        order = self._tx.order(line.voucher_hash)
        if order is not None and not order.is_void:
            self._tx.void_order(line.voucher_hash)
            self._taking.settle_again(line.voucher_hash)

    def _order(self, line: SlotLine) -> bytes | None:
        seen = self._tx.seen_slots(self._purse.number, self._report.epoch, line.n)
        if [(one.voucher_hash, one.states) for one in seen] != [(line.voucher_hash, _PENDING_ONLY)]:
            return None
        given = self._tx.order(line.voucher_hash)
        if given is not None:
            return None if given.is_void else given.raw
        reason = self._reason(line)
        return None if reason is None else self._give(line, reason)

    def _reason(self, line: SlotLine) -> OrderReason | None:
        record, brought = self._record(line), self._tx.brought(line.voucher_hash)
        if record is not None and record.state is VoucherState.REFUSED:
            return OrderReason.PAYEE_REFUSED
        if record is not None and record.state is VoucherState.OPEN and brought is not None:
            return OrderReason.PAYEE_GONE if self._charge_residual(brought) else None
        request = self._request(record, brought)
        if request is None:
            return None
        payee, request_hash = request
        till = self._tx.till(payee)
        if till is None or request_hash not in self._tx.refused_requests(till.numbers):
            return None
        if record is not None:
            self._tx.set_state(record, VoucherState.REFUSED)
        return OrderReason.PAYEE_REFUSED

    def _request(self, record: VoucherRecord | None, brought: BroughtVoucher | None) -> tuple[bytes, bytes] | None:
        """Payee and H(Request) of a voucher that is not credited, where its bytes are here."""
        if brought is not None:
            return brought.payee, brought.request_hash
        if record is None:
            return None
        message = parse(Voucher, bytes_of(self._tx, record)).message
        return message.payee, message.request_hash

    def _charge_residual(self, brought: BroughtVoucher) -> bool:
        """Rule 11: whether the payee is gone for good, and what is left of it pays this back."""
        payee = self._tx.purse(brought.payee)
        if payee is None:
            return False
        expires = Certificate.from_bytes(payee.certificate).expires
        where = (payee, self._purse, brought.epoch, brought.n, brought.hash, expires)
        try:
            lost.charge_residual(self._tx, *where, self._taking.risk, self._taking.now)
        except Problem:
            return False
        return True

    def _give(self, line: SlotLine, reason: OrderReason) -> bytes:
        message = ReversalOrder(
            suite=self._signer.public.suite,
            payer=self._purse.id,
            epoch=self._report.epoch,
            n=line.n,
            voucher_hash=line.voucher_hash,
            report_hash=self._report.hash,
        )
        raw = Signed.sign(message, self._signer).to_bytes()
        order = OrderRecord(line.voucher_hash, self._purse.number, self._report.epoch, line.n, reason, raw)
        self._tx.add_order(order, now=self._taking.now)
        return raw
