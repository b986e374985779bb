"""The books as a report: where all the money is, and whether every check holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from server.ledger.accounts import Account, AccountKind
from server.storage.protocol import Reader
from server.storage.records import LedgerCheck, SettledVoucher


@dataclass(frozen=True)
class LedgerReport:
    """All in fen. `issued` and `loss` are positive numbers here, though their accounts are below zero."""

    accounts: tuple[Account, ...]
    settled: tuple[SettledVoucher, ...]
    check: LedgerCheck
    evidence: int

    def _sum(self, kind: AccountKind) -> int:
        return sum(account.balance for account in self.accounts if account.kind is kind)

    @property
    def issued(self) -> int:
        return -self._sum(AccountKind.ISSUANCE)

    @property
    def operator_purses(self) -> int:
        return self._sum(AccountKind.OPERATOR_PURSE)

    @property
    def in_flight(self) -> int:
        return self._sum(AccountKind.LOAD_IN_FLIGHT)

    @property
    def cards(self) -> int:
        return self._sum(AccountKind.CARD)

    @property
    def wallets(self) -> int:
        return self._sum(AccountKind.WALLET)

    @property
    def redeemed(self) -> int:
        return self._sum(AccountKind.REDEEMED)

    @property
    def loss(self) -> int:
        return -self._sum(AccountKind.LOSS)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the books, in words; empty in sound ones."""
        check, found = self.check, []
        if check.total:
            found.append(f"all balances sum to {check.total}, not 0")
        if check.unbalanced_transfers:
            found.append(f"{check.unbalanced_transfers} transfers do not sum to zero")
        if check.wrong_balances:
            found.append(f"{check.wrong_balances} balances are not the sum of their postings")
        if check.unbacked_settlements:
            found.append(f"vouchers settled and fen moved differ by {check.unbacked_settlements}")
        below = [a.name for a in self.accounts if a.balance < 0 and not a.kind.may_be_negative]
        if below:
            found.append(f"below zero: {', '.join(below)}")
        held = self.operator_purses + self.in_flight + self.cards + self.wallets + self.redeemed
        if held != self.issued + self.loss:
            found.append(f"issued {self.issued} and lost {self.loss}, but {held} is there")
        return tuple(found)

    @property
    def conserved(self) -> bool:
        return not self.faults

    def facts(self) -> dict[str, Any]:
        """For `--json`; ids and hashes in hexadecimal."""
        shadows = {a.owner: a.balance for a in self.accounts if a.kind is AccountKind.CARD}
        return {
            "issued": self.issued,
            "operator_purses": self.operator_purses,
            "operator_purse_ids": [a.owner for a in self.accounts if a.kind is AccountKind.OPERATOR_PURSE],
            "in_flight": self.in_flight,
            "cards": self.cards,
            "wallets": self.wallets,
            "redeemed": self.redeemed,
            "loss": self.loss,
            "sum": self.check.total,
            "accounts": [{"name": account.name, "balance": account.balance} for account in self.accounts],
            "card_shadows": shadows,
            "settled": [
                {
                    "payer": voucher.payer.hex(),
                    "epoch": voucher.epoch,
                    "n": voucher.n,
                    "amount": voucher.amount,
                    "hash": voucher.hash.hex(),
                    "merchant": voucher.merchant,
                }
                for voucher in self.settled
            ],
            "evidence": self.evidence,
            "faults": list(self.faults),
            "conserved": self.conserved,
        }


def read_ledger(tx: Reader) -> LedgerReport:
    """Everything as of one moment."""
    return LedgerReport(tuple(tx.accounts()), tuple(tx.settled()), tx.recount(), tx.evidence_count())
