"""Voucher by voucher, every status in its precedence (docs/spec/statuses.md): replay, refusal, equivocation, review.

The refusals of a batch count before its vouchers; vouchers are taken in the order of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.settlement.triage import Candidate
from server.settlement.verdicts import Deposit, Verdicts, voucher_row
from server.settlement.voucher_reader import AT_AMOUNT, AT_EPOCH, AT_N, AT_REQUEST_HASH, hash_of, read
from server.storage.protocol import Writer
from server.storage.records import VoucherRecord, VoucherState, request_prefix
from wallet_core.errors import StorageError
from wallet_core.messages import DepositBatch, DepositStatus, RefusalStatus, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE


def decide(tx: Writer, deposit: Deposit) -> Verdicts:
    """Decide every candidate and store what is to be kept, all in the caller's transaction."""
    return _Decision(tx, deposit).run()


class _Decision:
    def __init__(self, tx: Writer, deposit: Deposit) -> None:
        self._tx = tx
        self._deposit = deposit
        self._refused = set(tx.refused_requests(deposit.till.number))
        self._headroom = tx.headroom({payer.card_account for _, payer, _, _ in deposit.triage.candidates})
        self._cards: dict[int, int] = {}
        self._by_hash: dict[int, dict[bytes, bytes]] = {}  # vouchers of batches that were looked into, by H(Voucher)

    def run(self) -> Verdicts:
        triage = self._deposit.triage
        refusal_statuses = list(triage.refusal_statuses)
        for refusal, good in self._deposit.refusals:
            refusal_statuses[refusal.place] = (
                self._refuse(refusal.request_hash, refusal.raw) if good else RefusalStatus.BAD_SIGNATURE
            )
        statuses = list(triage.statuses)
        for candidate, good in zip(triage.candidates, self._deposit.good, strict=True):
            statuses[candidate[0]] = self._voucher(candidate, good=bool(good))
        return Verdicts(tuple(statuses), tuple(refusal_statuses), self._cards)

    def _refuse(self, request_hash: bytes, raw: bytes) -> RefusalStatus:
        if request_hash in self._refused:
            return RefusalStatus.RECORDED
        if self._is_settled(request_hash):
            return RefusalStatus.AFTER_DEPOSIT
        self._tx.add_refusal(self._deposit.till.number, request_hash, raw)
        self._refused.add(request_hash)
        return RefusalStatus.RECORDED

    def _is_settled(self, request_hash: bytes) -> bool:
        """The index holds 8 bytes of H(Request): the stored voucher itself is the proof."""
        for record in self._tx.vouchers_of_request(self._deposit.till.number, request_prefix(request_hash)):
            values = read(self._bytes_of(record))
            if record.state is VoucherState.SETTLED and values and values[AT_REQUEST_HASH] == request_hash:
                return True
        return False

    def _voucher(self, candidate: Candidate, *, good: bool) -> DepositStatus:
        place, payer, values, voucher_hash = candidate
        known = self._tx.voucher(payer.number, values[AT_EPOCH], values[AT_N])
        same = known is not None and known.hash == voucher_hash
        if not good and not same:  # the payload hash decides: what is known was signed once
            return DepositStatus.BAD_SIGNATURE
        if known is not None and same and known.state is VoucherState.SETTLED:
            return DepositStatus.SETTLED
        if known is not None and not same:
            second = self._deposit.batch.vouchers[place]
            self._tx.add_evidence(known.payer, known.epoch, known.n, self._bytes_of(known), second, voucher_hash)
        if values[AT_REQUEST_HASH] in self._refused:
            self._keep(candidate, known, VoucherState.REFUSED)
            return DepositStatus.REFUSED_BEFORE
        if known is not None and not same:
            return DepositStatus.EQUIVOCATION
        amount = values[AT_AMOUNT]
        if self._headroom[payer.card_account] < amount:
            self._keep(candidate, known, VoucherState.REVIEW)
            return DepositStatus.REVIEW
        self._keep(candidate, known, VoucherState.SETTLED)
        self._headroom[payer.card_account] -= amount
        self._cards[payer.card_account] = self._cards.get(payer.card_account, 0) + amount
        return DepositStatus.SETTLED

    def _keep(self, candidate: Candidate, known: VoucherRecord | None, state: VoucherState) -> None:
        """A genuine voucher gets its row once; later only its state changes, never from SETTLED."""
        if known is None:
            self._tx.add_vouchers([voucher_row(candidate, self._deposit.key, state)])
        elif known.hash == candidate[-1] and known.state is not state:
            self._tx.set_voucher_state(known.payer, known.epoch, known.n, state)

    def _bytes_of(self, record: VoucherRecord) -> bytes:
        """The signed voucher of a row, out of the batch that brought it: this one or a stored one."""
        if record.batch not in self._by_hash:
            self._by_hash[record.batch] = {
                hash_of(item): item for item in self._items_of(record.batch) if read(item) is not None
            }
        found = self._by_hash[record.batch].get(record.hash)
        if found is not None:
            return found
        raise StorageError("a voucher is not in its batch", next_step="Restore the database; report this.")

    def _items_of(self, batch: int) -> Sequence[bytes]:
        if batch == self._deposit.key:
            return self._deposit.batch.vouchers
        stored = self._tx.batch(batch)
        if stored is None:
            raise StorageError("a voucher's batch is missing", next_step="Restore the database; report this.")
        return parse(DepositBatch, stored.raw, max_size=MAX_BATCH_SIZE).message.vouchers
