"""What a decision on a batch consists of: a status for each item, what to credit, and the signed answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.settlement.triage import Candidate, RefusalCandidate, Triage
from server.settlement.voucher_reader import AT_AMOUNT, AT_EPOCH, AT_N, AT_REQUEST_HASH
from server.storage.records import TillRecord, VoucherRow, batch_key, request_prefix
from wallet_core.keys import Signer
from wallet_core.messages import DepositAnswer, DepositBatch, DepositStatus, RefusalStatus, Signed


@dataclass(frozen=True)
class Deposit:
    """A batch whose signature holds, sorted and checked, before the books are asked.

    `good`, `good_refusals`: for each candidate of the triage, whether its own signature holds.
    """

    raw: bytes
    hash: bytes
    batch: DepositBatch
    till: TillRecord
    triage: Triage
    good: bytes
    good_refusals: bytes

    @property
    def key(self) -> int:
        return batch_key(self.till.number, self.batch.number)

    @property
    def refusals(self) -> Iterable[tuple[RefusalCandidate, int]]:
        return zip(self.triage.refusals, self.good_refusals, strict=True)


@dataclass(frozen=True)
class Verdicts:
    """`cards`: fen to move by card account; `statuses` for every item of the batch, in its order.

    `loss`: fen that the operator bears; below zero, as a card's may be, where a new voucher takes the place of another
    under its counter. `reopened`: payers whose waiting vouchers have to be decided again.
    """

    statuses: tuple[DepositStatus, ...]
    refusal_statuses: tuple[RefusalStatus, ...]
    cards: Mapping[int, int]
    loss: int = 0
    reopened: frozenset[bytes] = frozenset()

    @property
    def credited(self) -> int:
        return sum(self.cards.values()) + self.loss

    def answer(self, deposit: Deposit, operator_id: bytes, signer: Signer) -> bytes:
        """The signed DepositAnswer; the same verdicts give the same bytes."""
        message = DepositAnswer(
            suite=deposit.batch.suite,
            operator=operator_id,
            payee=deposit.batch.payee,
            number=deposit.batch.number,
            batch_hash=deposit.hash,
            credited=self.credited,
            voucher_statuses=self.statuses,
            refusal_statuses=self.refusal_statuses,
        )
        return Signed.sign(message, signer).to_bytes()


def voucher_row(candidate: Candidate, key: int, state: int) -> VoucherRow:
    """The row of a genuine voucher; its bytes are in the batch `key`; `state`: a VoucherState as a number."""
    _, payer, values, voucher_hash = candidate
    prefix = request_prefix(values[AT_REQUEST_HASH])
    return payer.number, values[AT_EPOCH], values[AT_N], voucher_hash, values[AT_AMOUNT], prefix, key, state
