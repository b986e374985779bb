"""Batches, vouchers, refusals and evidence in SQLite; the voucher table is the hot one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from server.storage.records import BatchRecord, VoucherRecord, VoucherRow, VoucherState
from server.storage.sqlite_session import Row, SqliteSession

VOUCHER = "SELECT payer, epoch, n, hash, amount, batch, state, 0 AS rival FROM voucher"
RIVAL = "SELECT payer, epoch, n, hash, amount, batch, state, 1 AS rival FROM rival"
# Left alone, SQLite would look through all cards (kind 4): it does not know that few are below zero.
_OVERDRAWN = (
    "SELECT c.number FROM account c INDEXED BY account_card_below_zero JOIN purse p ON p.card_account = c.number "
    "JOIN account f ON f.number = p.flight_account WHERE c.kind = 4 AND c.balance < 0 AND c.balance + f.balance < 0"
)


class SqliteDeposits(SqliteSession):
    """`DepositReader` and `DepositWriter`."""

    def batch(self, key: int) -> BatchRecord | None:
        row = self._row("SELECT hash, raw, answer FROM batch WHERE key = ?", key)
        return BatchRecord(*row) if row else None

    def voucher(self, payer: int, epoch: int, n: int) -> VoucherRecord | None:
        row = self._row(f"{VOUCHER} WHERE payer = ? AND epoch = ? AND n = ?", payer, epoch, n)
        return voucher_record(row) if row else None

    def vouchers_of_request(self, till: int, prefix: int) -> list[VoucherRecord]:
        where = "WHERE batch >> 32 = ? AND request = ?"
        rows = self._rows(f"{VOUCHER} {where} UNION ALL {RIVAL} {where}", till, prefix, till, prefix)
        return [voucher_record(row) for row in rows]

    def refused_requests(self, tills: Collection[int]) -> frozenset[bytes]:
        sql = "SELECT request_hash FROM refusal WHERE till = ?1 UNION SELECT request_hash FROM closing WHERE till = ?1"
        return frozenset(row[0] for till in tills for row in self._rows(sql, till))

    def headroom(self, card_accounts: Collection[int]) -> dict[int, int]:
        rows = self._rows(
            "SELECT c.number, c.balance + f.balance FROM purse p JOIN account c ON c.number = p.card_account "
            "JOIN account f ON f.number = p.flight_account WHERE p.card_account IN (SELECT value FROM json_each(?))",
            json.dumps(list(card_accounts)),
        )
        return dict(rows)

    def shadow(self, card_account: int) -> int:
        return self._number("SELECT balance FROM account WHERE number = ?", card_account)

    def is_overdrawn(self, card_accounts: Collection[int]) -> bool:
        asked = frozenset(card_accounts)
        return any(row[0] in asked for row in self._rows(_OVERDRAWN))

    def evidence_count(self) -> int:
        return self._number("SELECT count(*) FROM evidence")

    def add_batch(self, key: int, record: BatchRecord, *, now: int) -> None:
        self._insert(
            "INSERT INTO batch (key, hash, answer, received_at, raw) VALUES (?, ?, ?, ?, ?)",
            *(key, record.hash, record.answer, now, record.raw),
        )
        self._change_one(
            "UPDATE till SET last_number = ?, last_hash = ? WHERE number = ?", key & 0xFFFFFFFF, record.hash, key >> 32
        )

    def add_vouchers(self, rows: Iterable[VoucherRow]) -> int:
        sql = "INSERT INTO voucher VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        return self._connection.executemany(sql, rows).rowcount

    def add_refusal(self, till: int, request_hash: bytes, raw: bytes) -> None:
        self._insert("INSERT INTO refusal VALUES (?, ?, ?)", till, request_hash, raw)

    def add_evidence(self, payer: int, epoch: int, n: int, first: bytes, second: bytes, second_hash: bytes) -> None:
        self._insert(
            "INSERT INTO evidence (payer, epoch, n, first, second, second_hash) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            *(payer, epoch, n, first, second, second_hash),
        )


def voucher_record(row: Row) -> VoucherRecord:
    payer, epoch, n, voucher_hash, amount, batch, state, rival = row
    return VoucherRecord(payer, epoch, n, voucher_hash, amount, batch, VoucherState(state), bool(rival))
