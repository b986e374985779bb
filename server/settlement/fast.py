"""The usual case: every candidate is new, genuine and covered. All of it is credited by a few statements.

Whatever else turns up is `NotPlain`: the transaction is rolled back and `careful` decides voucher by voucher. Both give
the same answer where both apply (a test compares them).
"""

from __future__ import annotations

from server.settlement.verdicts import Deposit, Verdicts, voucher_row
from server.storage.protocol import Writer
from server.storage.records import VoucherRow, VoucherState


class NotPlain(Exception):
    """This batch is not the usual case."""


class Plain:
    """A batch prepared outside the transaction: rows in key order and sums by payer."""

    def __init__(self, deposit: Deposit) -> None:
        """Raises NotPlain when signatures fail or refusals are in the batch."""
        if deposit.batch.refusals or not all(deposit.good):
            raise NotPlain
        self._deposit = deposit
        self._rows: list[VoucherRow] = sorted(
            voucher_row(candidate, deposit.key, VoucherState.SETTLED) for candidate in deposit.triage.candidates
        )
        self._sums: dict[int, int] = {}
        cards: dict[int, int] = {}
        for candidate in deposit.triage.candidates:
            payer = candidate.payer
            self._sums[payer.number] = self._sums.get(payer.number, 0) + candidate.amount
            cards[payer.card_account] = cards.get(payer.card_account, 0) + candidate.amount
        self.verdicts = Verdicts(deposit.triage.statuses, deposit.triage.refusal_statuses, cards)

    def write(self, tx: Writer) -> Verdicts:
        """Store the vouchers as settled; raises NotPlain, with the transaction to be rolled back."""
        refused = tx.refused_requests(self._deposit.till.number)
        if refused and any(candidate.request_hash in refused for candidate in self._deposit.triage.candidates):
            raise NotPlain
        headroom = tx.headroom(self._sums)
        if any(headroom[payer] < total for payer, total in self._sums.items()):
            raise NotPlain
        if self._rows and tx.add_vouchers(self._rows) != len(self._rows):
            raise NotPlain
        return self.verdicts
