"""Voucher by voucher, every status in its precedence (docs/spec/statuses.md): replay, refusal, equivocation, review.

The refusals of a batch count before its vouchers; vouchers are taken in the order of the batch.
"""

from __future__ import annotations

from server.risk import fraud
from server.risk.losses import Losses
from server.risk.settings import RiskSettings
from server.settlement.archive import Archive
from server.settlement.triage import Candidate
from server.settlement.verdicts import Deposit, Verdicts, voucher_row
from server.settlement.voucher_reader import AT_AMOUNT, AT_EPOCH, AT_N, AT_PAYER, AT_REQUEST_HASH, read
from server.storage.protocol import Writer
from server.storage.records import VoucherRecord, VoucherState, request_prefix
from wallet_core.messages import DepositStatus, RefusalStatus

_WAITING = (VoucherState.REVIEW, VoucherState.EQUIVOCATION)


def decide(tx: Writer, deposit: Deposit, risk: RiskSettings, *, now: int) -> Verdicts:
    """Decide every candidate and store what is to be kept, all in the caller's transaction."""
    return _Decision(tx, deposit, risk, now).run()


class _Decision:
    def __init__(self, tx: Writer, deposit: Deposit, risk: RiskSettings, now: int) -> None:
        self._tx = tx
        self._deposit = deposit
        self._risk = risk
        self._now = now
        self._refused = set(tx.refused_requests(deposit.till.numbers))
        self._losses = Losses(tx, risk)
        self._losses.read({(payer.number, payer.card_account) for _, payer, _, _ in deposit.triage.candidates})
        self._archive = Archive(tx, (deposit.key, deposit.batch.vouchers))
        self._cards: dict[int, int] = {}
        self._loss = 0
        self._reopened: set[bytes] = set()

    def run(self) -> Verdicts:
        triage = self._deposit.triage
        refusal_statuses = list(triage.refusal_statuses)
        for refusal, good in self._deposit.refusals:
            refusal_statuses[refusal.place] = (
                self._refuse(refusal.payee, refusal.request_hash, refusal.raw) if good else RefusalStatus.BAD_SIGNATURE
            )
        statuses = list(triage.statuses)
        for candidate, good in zip(triage.candidates, self._deposit.good, strict=True):
            statuses[candidate[0]] = self._voucher(candidate, good=bool(good))
        self._losses.write()
        return Verdicts(
            tuple(statuses), tuple(refusal_statuses), self._cards, loss=self._loss, reopened=frozenset(self._reopened)
        )

    def _refuse(self, payee: bytes, request_hash: bytes, raw: bytes) -> RefusalStatus:
        """Stored under the till that signed it, which may be a predecessor of the one that hands it in."""
        if request_hash in self._refused:
            return RefusalStatus.RECORDED
        if self._is_settled(request_hash):
            return RefusalStatus.AFTER_DEPOSIT
        till = self._deposit.till
        signer = next((one.number for one in till.predecessors if one.id == payee), till.number)
        self._tx.add_refusal(signer, request_hash, raw)
        self._refused.add(request_hash)
        return RefusalStatus.RECORDED

    def _is_settled(self, request_hash: bytes) -> bool:
        """By this till or another of its line and its branches. The index holds 8 bytes of H(Request): the voucher is
        the proof."""
        prefix = request_prefix(request_hash)
        first = self._deposit.till.numbers[-1]
        for till in (first, *self._tx.successors(first)):
            for record in self._tx.vouchers_of_request(till, prefix):
                values = read(self._archive.bytes_of(record))
                if record.state is VoucherState.SETTLED and values and values[AT_REQUEST_HASH] == request_hash:
                    return True
        return False

    def _voucher(self, candidate: Candidate, *, good: bool) -> DepositStatus:
        place, payer, values, voucher_hash = candidate
        epoch, n, amount = values[AT_EPOCH], values[AT_N], values[AT_AMOUNT]
        known = self._known(payer.number, epoch, n)
        same = next((record for record in known if record.hash == voucher_hash), None)
        if not good and same is None:  # the payload hash decides: what is known was signed once
            return DepositStatus.BAD_SIGNATURE
        if same is not None and same.state is VoucherState.SETTLED:
            return DepositStatus.SETTLED
        if known and same is None:
            self._prove(values[AT_PAYER], known[0], self._deposit.batch.vouchers[place], voucher_hash)
        if values[AT_REQUEST_HASH] in self._refused:
            self._keep(candidate, known, same, VoucherState.REFUSED)
            return DepositStatus.REFUSED_BEFORE
        move = self._losses.charge(payer.number, (epoch, n), voucher_hash, amount)
        if move is not None:
            self._keep(candidate, known, same, VoucherState.SETTLED)
            self._cards[payer.card_account] = self._cards.get(payer.card_account, 0) + move.card
            self._loss += move.loss
            return DepositStatus.SETTLED
        fraud.doubt(self._tx, values[AT_PAYER], amount - self._losses.headroom(payer.number), self._risk, self._now)
        alone = all(record is same for record in known)
        self._keep(candidate, known, same, VoucherState.REVIEW if alone else VoucherState.EQUIVOCATION)
        return DepositStatus.REVIEW if alone else DepositStatus.EQUIVOCATION

    def _known(self, payer: int, epoch: int, n: int) -> list[VoucherRecord]:
        first = self._tx.voucher(payer, epoch, n)
        return [first, *self._tx.rivals(payer, epoch, n)] if first is not None else []

    def _prove(self, payer_id: bytes, first: VoucherRecord, second: bytes, second_hash: bytes) -> None:
        """Two vouchers with one counter: kept as proof, the card revoked, its losses measured by the review cap."""
        payer = self._tx.purse(payer_id)
        if payer is not None:
            messages = self._archive.bytes_of(first), second
            fraud.equivocation(self._tx, payer, first.epoch, first.n, *messages, second_hash, self._now)
        self._losses.prove(first.payer)
        self._reopened.add(payer_id)

    def _keep(
        self, candidate: Candidate, known: list[VoucherRecord], same: VoucherRecord | None, state: VoucherState
    ) -> None:
        """A genuine voucher gets its row once; later only its state changes, never from SETTLED."""
        if same is not None:
            waiting = same.rival and state is VoucherState.REVIEW
            wanted = VoucherState.EQUIVOCATION if waiting else state
            if not same.rival and state is VoucherState.EQUIVOCATION:
                wanted = VoucherState.REVIEW  # the two are one thing: which of both says whether it was the first
            if same.state is not wanted:
                self._tx.set_state(same, wanted)
        elif known:
            self._tx.add_rival(voucher_row(candidate, self._deposit.key, state))
        else:
            self._tx.add_vouchers([voucher_row(candidate, self._deposit.key, state)])
