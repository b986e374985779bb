"""Accounts, transfers and postings in SQLite. The database's own triggers hold the rules; see migrations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from server.ledger.accounts import CREDITING, Account, AccountKind, TransferKind
from server.storage.records import LedgerCheck, SettledVoucher, VoucherState
from server.storage.sqlite_session import SqliteSession
from wallet_core.errors import StorageError

_UNBACKED = (
    "SELECT (SELECT coalesce(sum(amount), 0) FROM voucher WHERE state = ? AND batch > 0) + "
    "(SELECT coalesce(sum(amount), 0) FROM rival WHERE state = ? AND batch > 0) - "
    "(SELECT coalesce(sum(p.amount), 0) FROM posting p JOIN transfer t ON t.number = p.transfer "
    "JOIN account a ON a.number = p.account WHERE t.kind IN (SELECT value FROM json_each(?)) AND a.kind = ?)"
)
_ACCOUNT = "SELECT number, kind, owner, balance FROM account"


class SqliteLedger(SqliteSession):
    """`LedgerReader` and `LedgerWriter`."""

    def accounts(self) -> list[Account]:
        return [_account(row) for row in self._rows(f"{_ACCOUNT} ORDER BY kind, number")]

    def account(self, kind: AccountKind, owner: str = "") -> Account:
        row = self._row(f"{_ACCOUNT} WHERE kind = ? AND owner = ?", kind.value, owner)
        if row is None:
            raise StorageError(f"there is no account of kind {kind.name} for {owner or 'the operator'}")
        return _account(row)

    def settled(self) -> Iterator[SettledVoucher]:
        state = VoucherState.SETTLED.value
        rows = self._connection.execute(
            "SELECT p.id, v.epoch, v.n, v.amount, v.hash, t.merchant FROM (SELECT payer, epoch, n, amount, hash, batch "
            "FROM voucher WHERE state = ? UNION ALL SELECT payer, epoch, n, amount, hash, batch FROM rival "
            "WHERE state = ?) v JOIN purse p ON p.number = v.payer JOIN till t ON t.number = v.batch >> 32 "
            "ORDER BY v.payer, v.epoch, v.n, v.hash",
            [state, state],
        )
        return (SettledVoucher(*row) for row in rows)

    def recount(self) -> LedgerCheck:
        return LedgerCheck(
            total=self._number("SELECT sum(balance) FROM account"),
            unbalanced_transfers=self._number(
                "SELECT count(*) FROM (SELECT transfer FROM posting GROUP BY transfer HAVING sum(amount) <> 0)"
            ),
            wrong_balances=self._number(
                "SELECT count(*) FROM account a WHERE a.balance <> "
                "(SELECT coalesce(sum(amount), 0) FROM posting WHERE account = a.number)"
            ),
            unbacked_settlements=self._number(
                _UNBACKED,
                *(VoucherState.SETTLED.value, VoucherState.SETTLED.value),
                *(json.dumps([kind.value for kind in CREDITING]), AccountKind.WALLET.value),
            ),
        )

    def add_transfer(self, kind: TransferKind, reference: bytes, entries: Mapping[int, int], *, now: int) -> None:
        number = self._number("SELECT max(number) FROM transfer") + 1
        self._connection.executemany(
            "INSERT INTO posting VALUES (?, ?, ?)",
            ((number, account, amount) for account, amount in sorted(entries.items())),  # in the order of the key
        )
        self._insert("INSERT INTO transfer VALUES (?, ?, ?, ?)", number, kind.value, reference, now)


def _account(row: tuple[int, int, str, int]) -> Account:
    return Account(row[0], AccountKind(row[1]), row[2], row[3])
