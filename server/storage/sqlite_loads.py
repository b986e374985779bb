"""The operator's purse, issuances and loads in SQLite."""

from __future__ import annotations

from server.ledger.accounts import AccountKind
from server.storage.records import LoadRecord, OperatorPurseRecord
from server.storage.sqlite_session import Row, SqliteSession

_LOAD = (
    "SELECT id, key_digest, card, amount, order_hash, payer, epoch, n, request_hash, voucher, voucher_hash, receipt, "
    "is_collected, is_reversed FROM load"
)


class SqliteLoads(SqliteSession):
    """`LoadReader` and `LoadWriter`."""

    def operator_purse(self) -> OperatorPurseRecord | None:
        row = self._row(
            "SELECT p.id, p.epoch, p.next_n, p.account, a.balance, p.total_out "
            "FROM operator_purse p JOIN account a ON a.number = p.account"
        )
        return OperatorPurseRecord(*row) if row else None

    def load(self, load_id: str) -> LoadRecord | None:
        return self._load("WHERE id = ?", load_id)

    def load_by_key(self, key_digest: bytes) -> LoadRecord | None:
        return self._load("WHERE key_digest = ?", key_digest)

    def load_by_voucher(self, voucher_hash: bytes) -> LoadRecord | None:
        return self._load("WHERE voucher_hash = ?", voucher_hash)

    def load_by_request(self, card: bytes, request_hash: bytes) -> LoadRecord | None:
        return self._load("WHERE card = ? AND request_hash = ?", card, request_hash)

    def _load(self, where: str, *values: str | bytes) -> LoadRecord | None:
        row = self._row(f"{_LOAD} {where}", *values)
        return _record(row) if row else None

    def reversed_loads(self) -> int:
        return self._number("SELECT sum(amount) FROM load WHERE is_reversed = 1")

    def pending_loads(self, card: bytes) -> list[LoadRecord]:
        unfinished = "voucher IS NOT NULL AND is_collected = 0 AND is_reversed = 0"
        return [
            _record(row) for row in self._rows(f"{_LOAD} WHERE card = ? AND {unfinished} ORDER BY epoch, paid_n", card)
        ]

    def paid_loads(self, card: bytes) -> list[LoadRecord]:
        paid = f"{_LOAD} WHERE card = ? AND request_hash IS NOT NULL ORDER BY epoch, paid_n"
        return [_record(row) for row in self._rows(paid, card)]

    def add_operator_purse(self, purse_id: bytes, epoch: int) -> None:
        account = self._new_account(AccountKind.OPERATOR_PURSE, purse_id.hex())
        self._insert("INSERT INTO operator_purse (id, epoch, account) VALUES (?, ?, ?)", purse_id, epoch, account)

    def add_issuance(self, issuance_hash: bytes, serial: int, raw: bytes) -> None:
        self._insert("INSERT INTO issuance VALUES (?, ?, ?)", issuance_hash, serial, raw)

    def last_issuance(self) -> int:
        return self._number("SELECT max(serial) FROM issuance")

    def has_issuance(self, issuance_hash: bytes) -> bool:
        return self._row("SELECT 1 FROM issuance WHERE hash = ?", issuance_hash) is not None

    def add_load(self, load: LoadRecord, *, now: int) -> None:
        self._insert(
            "INSERT INTO load (id, key_digest, card, amount, order_hash, payer, epoch, n, asked_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(load.id, load.key_digest, load.card, load.amount, load.order_hash),
            *(load.payer, load.epoch, load.n, now),
        )

    def pay_load(self, load_id: str, request_hash: bytes, voucher: bytes, voucher_hash: bytes) -> None:
        self._change_one(
            "UPDATE load SET request_hash = ?, voucher = ?, voucher_hash = ?, (epoch, paid_n) = "
            "(SELECT epoch, next_n FROM operator_purse WHERE id = load.payer) WHERE id = ? AND voucher IS NULL",
            *(request_hash, voucher, voucher_hash, load_id),
        )
        self._change_one(
            "UPDATE operator_purse SET next_n = next_n + 1, total_out = total_out + l.amount FROM load l "
            "WHERE l.id = ? AND operator_purse.id = l.payer",
            load_id,
        )

    def collect_load(self, load_id: str, receipt: bytes | None) -> None:
        self._change_one(
            "UPDATE load SET is_collected = 1, receipt = ? WHERE id = ? AND voucher IS NOT NULL AND receipt IS NULL",
            *(receipt, load_id),
        )

    def reverse_load(self, load_id: str) -> None:
        self._change_one(
            "UPDATE load SET is_reversed = 1 WHERE id = ? AND voucher IS NOT NULL AND is_reversed = 0", load_id
        )


def _record(row: Row) -> LoadRecord:
    return LoadRecord(*row[:-2], *map(bool, row[-2:]))
