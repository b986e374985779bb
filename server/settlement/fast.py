"""The usual case: every candidate is new, genuine and covered. All of it is credited by a few statements.

Whatever else turns up is `NotPlain`: the transaction is rolled back and `careful` decides voucher by voucher. Both give
the same answer where both apply (a test compares them).
"""

from __future__ import annotations

from collections import defaultdict

from server.settlement.verdicts import Deposit, Verdicts, voucher_row
from server.settlement.voucher_reader import AT_AMOUNT, AT_REQUEST_HASH
from server.storage.protocol import Writer
from server.storage.records import VoucherRow, VoucherState


class NotPlain(Exception):
    """This batch is not the usual case."""


class Plain:
    """A batch prepared outside the transaction: rows, and sums by the payers' accounts."""

    def __init__(self, deposit: Deposit) -> None:
        """Raises NotPlain when signatures fail or refusals are in the batch."""
        if deposit.batch.refusals or not all(deposit.good):
            raise NotPlain
        self._deposit = deposit
        key, settled = deposit.key, VoucherState.SETTLED.value
        self._rows: list[VoucherRow] = [voucher_row(candidate, key, settled) for candidate in deposit.triage.candidates]
        cards: defaultdict[int, int] = defaultdict(int)
        for _, payer, values, _ in deposit.triage.candidates:
            cards[payer.card_account] += values[AT_AMOUNT]
        self.verdicts = Verdicts(deposit.triage.statuses, deposit.triage.refusal_statuses, cards)

    def write(self, tx: Writer) -> None:
        """Store the vouchers as settled; raises NotPlain, with the transaction to be rolled back."""
        refused = tx.refused_requests(self._deposit.till.numbers)
        if refused and any(values[AT_REQUEST_HASH] in refused for _, _, values, _ in self._deposit.triage.candidates):
            raise NotPlain
        if self._rows and tx.add_vouchers(self._rows) != len(self._rows):
            raise NotPlain

    def check_cover(self, tx: Writer) -> None:
        """After the postings: raises NotPlain, with the transaction to be rolled back, when a card paid too much."""
        if tx.is_overdrawn(self.verdicts.cards):
            raise NotPlain
