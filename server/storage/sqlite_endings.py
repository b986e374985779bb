"""Brought vouchers, answers of purses, reports, grants, orders, closings and unloads in SQLite."""

from __future__ import annotations

from collections.abc import Collection

from server.storage.ending_records import (
    BroughtVoucher,
    Contradiction,
    OrderReason,
    OrderRecord,
    PurseAnswer,
    ReportRecord,
    ReportTotals,
    SeenSlot,
    UnloadRecord,
)
from server.storage.records import VoucherState
from server.storage.sqlite_session import Row, SqliteSession

_BROUGHT = "SELECT hash, payer, epoch, n, payee, k, amount, request_hash, raw FROM brought_voucher"
_ANSWER = "SELECT payee, about, k, is_signed, raw FROM purse_answer WHERE about = ? AND payee = ? AND kind = ?"
_ORDER = "SELECT voucher_hash, payer, epoch, n, reason, raw, is_void FROM reversal_order"
_UNLOAD = (
    "SELECT id, key_digest, purse, epoch, n, amount, payee, k, request_hash, request, voucher_hash, receipt FROM unload"
)
_REPORT = (
    "SELECT hash, purse, epoch, total_in, total_out, total_reversed, out_acked, lifecycle, progress, raw FROM report"
)
_TOTALS = (
    "SELECT max(r.total_in), max(r.total_out), max(r.total_reversed), "
    "max(max(r.out_acked), coalesce(max(g.out_acked), 0)), max(r.lifecycle) "
    "FROM report r JOIN purse p ON p.number = r.purse LEFT JOIN grant_given g ON g.report_hash = r.hash WHERE p.id = ?"
)
_CONTRADICTED = (
    "SELECT v.payer, v.epoch, v.n, v.hash, s.voucher_hash, r.raw FROM slot_seen s "
    "JOIN voucher v ON s.payer = v.payer AND s.epoch = v.epoch AND s.n = v.n AND s.voucher_hash <> v.hash "
    "JOIN report r ON r.hash = s.report_hash UNION "
    "SELECT v.payer, v.epoch, v.n, v.hash, b.hash, b.raw FROM brought_voucher b "
    "JOIN voucher v ON b.payer = v.payer AND b.epoch = v.epoch AND b.n = v.n AND b.hash <> v.hash ORDER BY 1, 2, 3, 5"
)
_COUNTERS = (
    "SELECT count(*) FROM (SELECT n FROM voucher WHERE payer = ?1 AND epoch = ?2 AND n < ?3 "
    "UNION SELECT n FROM slot_seen WHERE payer = ?1 AND epoch = ?2 AND n < ?3)"
)

_INFLOW = (
    "SELECT sum(b.amount) FROM brought_voucher b JOIN voucher v "
    "ON v.payer = b.payer AND v.epoch = b.epoch AND v.n = b.n AND v.hash = b.hash WHERE b.payee = ? AND v.state = ?"
)
_RECEIPT, _REFUSAL = 1, 2


class SqliteEndings(SqliteSession):
    """`EndingReader` and `EndingWriter`."""

    def brought(self, voucher_hash: bytes) -> BroughtVoucher | None:
        row = self._row(f"{_BROUGHT} WHERE hash = ?", voucher_hash)
        return BroughtVoucher(*row) if row else None

    def brought_at(self, payer: int, epoch: int, n: int) -> list[BroughtVoucher]:
        rows = self._rows(f"{_BROUGHT} WHERE payer = ? AND epoch = ? AND n = ? ORDER BY hash", payer, epoch, n)
        return [BroughtVoucher(*row) for row in rows]

    def brought_for_request(self, payee: bytes, request_hash: bytes) -> list[BroughtVoucher]:
        rows = self._rows(f"{_BROUGHT} WHERE payee = ? AND request_hash = ? ORDER BY hash", payee, request_hash)
        return [BroughtVoucher(*row) for row in rows]

    def brought_for(self, payee: bytes) -> list[BroughtVoucher]:
        rows = self._rows(f"{_BROUGHT} WHERE payee = ? ORDER BY payer, epoch, n, hash", payee)
        return [BroughtVoucher(*row) for row in rows]

    def brought_by(self, payer: int) -> list[BroughtVoucher]:
        rows = self._rows(f"{_BROUGHT} WHERE payer = ? ORDER BY epoch, n, hash", payer)
        return [BroughtVoucher(*row) for row in rows]

    def purse_receipt(self, payee: bytes, voucher_hash: bytes) -> PurseAnswer | None:
        return self._answer(payee, voucher_hash, _RECEIPT)

    def purse_refusal(self, payee: bytes, request_hash: bytes) -> PurseAnswer | None:
        return self._answer(payee, request_hash, _REFUSAL)

    def _answer(self, payee: bytes, about: bytes, kind: int) -> PurseAnswer | None:
        row = self._row(_ANSWER, about, payee, kind)
        return PurseAnswer(row[0], row[1], row[2], bool(row[3]), row[4]) if row else None

    def proved_inflow(self, purse_id: bytes) -> int:
        loads = "SELECT sum(amount) FROM load WHERE card = ? AND is_collected = 1 AND is_reversed = 0"
        settled = VoucherState.SETTLED.value
        return (
            self._number(loads, purse_id)
            + self._number(_INFLOW, purse_id, settled)
            + self._number(_INFLOW.replace("voucher v", "rival v"), purse_id, settled)
        )

    def counters_known(self, payer: int, epoch: int, next_n: int) -> int:
        return self._number(_COUNTERS, payer, epoch, next_n)

    def report(self, report_hash: bytes) -> ReportRecord | None:
        row = self._row(f"{_REPORT} WHERE hash = ?", report_hash)
        return ReportRecord(*row) if row else None

    def newest_report(self, purse: int, epoch: int) -> ReportRecord | None:
        newest = "ORDER BY progress DESC, rowid DESC LIMIT 1"
        row = self._row(f"{_REPORT} WHERE purse = ? AND epoch = ? {newest}", purse, epoch)
        return ReportRecord(*row) if row else None

    def report_totals(self, purse_id: bytes) -> ReportTotals | None:
        row = self._row(_TOTALS, purse_id)
        return ReportTotals(*row) if row and row[0] is not None else None

    def contradicted_slots(self) -> list[Contradiction]:
        return [Contradiction(*row) for row in self._rows(_CONTRADICTED)]

    def seen_slots(self, payer: int, epoch: int, n: int) -> list[SeenSlot]:
        sql = "SELECT n, voucher_hash, states, report_hash FROM slot_seen WHERE payer = ? AND epoch = ? AND n = ?"
        return [SeenSlot(*row) for row in self._rows(sql, payer, epoch, n)]

    def order(self, voucher_hash: bytes) -> OrderRecord | None:
        row = self._row(f"{_ORDER} WHERE voucher_hash = ?", voucher_hash)
        return _order(row) if row else None

    def orders_of(self, payer: int) -> list[OrderRecord]:
        return [_order(row) for row in self._rows(f"{_ORDER} WHERE payer = ? ORDER BY epoch, n", payer)]

    def successors(self, till: int) -> list[int]:
        rows = self._rows(
            "WITH RECURSIVE later (number) AS (SELECT number FROM till WHERE succeeds = ? "
            "UNION SELECT t.number FROM till t JOIN later l ON t.succeeds = l.number) SELECT number FROM later",
            till,
        )
        return [row[0] for row in rows]

    def closing(self, till: int, request_hash: bytes) -> bytes | None:
        row = self._row("SELECT raw FROM closing WHERE till = ? AND request_hash = ?", till, request_hash)
        return row[0] if row else None

    def unload(self, unload_id: str) -> UnloadRecord | None:
        return self._unload("WHERE id = ?", unload_id)

    def unload_by_key(self, key_digest: bytes) -> UnloadRecord | None:
        return self._unload("WHERE key_digest = ?", key_digest)

    def unload_by_request(self, request_hash: bytes) -> UnloadRecord | None:
        return self._unload("WHERE request_hash = ?", request_hash)

    def _unload(self, where: str, value: str | bytes) -> UnloadRecord | None:
        row = self._row(f"{_UNLOAD} {where}", value)
        return UnloadRecord(*row) if row else None

    def waiting_unloads(self) -> list[UnloadRecord]:
        rows = self._rows(f"{_UNLOAD} WHERE voucher_hash IS NOT NULL AND receipt IS NULL ORDER BY payee, k")
        return [UnloadRecord(*row) for row in rows]

    def unload_counter(self, payee: bytes) -> int:
        return self._number("SELECT max(k) FROM unload WHERE payee = ?", payee)

    def paid_out(self) -> int:
        return self._number("SELECT sum(amount) FROM unload WHERE receipt IS NOT NULL")

    def add_brought(self, voucher: BroughtVoucher) -> bool:
        one = voucher
        values = (one.hash, one.payer, one.epoch, one.n, one.payee, one.k, one.amount, one.request_hash, one.raw)
        sql = "INSERT INTO brought_voucher VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        return self._connection.execute(sql, values).rowcount == 1

    def add_purse_receipt(self, receipt: PurseAnswer) -> bool:
        return self._add_answer(receipt, _RECEIPT)

    def add_purse_refusal(self, refusal: PurseAnswer) -> bool:
        return self._add_answer(refusal, _REFUSAL)

    def _add_answer(self, answer: PurseAnswer, kind: int) -> bool:
        known = self._answer(answer.payee, answer.about, kind)
        values = (answer.k, int(answer.is_signed), answer.raw, answer.payee, kind, answer.about)
        if known is None:
            sql = "INSERT INTO purse_answer (k, is_signed, raw, payee, kind, about) VALUES (?, ?, ?, ?, ?, ?)"
            self._insert(sql, *values)
        elif answer.is_signed and not known.is_signed:
            sql = "UPDATE purse_answer SET k = ?, is_signed = ?, raw = ? WHERE payee = ? AND kind = ? AND about = ?"
            self._change_one(sql, *values)
        return known is None

    def add_report(self, report: ReportRecord, *, now: int) -> None:
        one = report
        self._insert(
            "INSERT INTO report VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(one.hash, one.purse, one.epoch, one.total_in, one.total_out, one.total_reversed),
            *(one.out_acked, one.lifecycle, one.progress, now, one.raw),
        )

    def see_slots(self, report: ReportRecord, lines: Collection[tuple[int, int, bytes]]) -> None:
        self._connection.executemany(
            "INSERT INTO slot_seen (payer, epoch, n, voucher_hash, states, report_hash) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET states = states | excluded.states",
            (
                (report.purse, report.epoch, n, voucher_hash, 1 << state, report.hash)
                for n, state, voucher_hash in lines
            ),
        )

    def add_grant(self, grant_hash: bytes, report_hash: bytes, out_acked: int, raw: bytes, *, now: int) -> None:
        sql = "INSERT INTO grant_given VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        self._insert(sql, grant_hash, report_hash, now, out_acked, raw)

    def add_order(self, order: OrderRecord, *, now: int) -> None:
        self._insert(
            "INSERT INTO reversal_order (voucher_hash, payer, epoch, n, reason, given_at, raw) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(order.voucher_hash, order.payer, order.epoch, order.n, order.reason.value, now, order.raw),
        )

    def void_order(self, voucher_hash: bytes) -> None:
        self._change_one("UPDATE reversal_order SET is_void = 1 WHERE voucher_hash = ?", voucher_hash)

    def add_closing(self, till: int, request_hash: bytes, raw: bytes, *, now: int) -> None:
        sql = "INSERT INTO closing (till, request_hash, closed_at, raw) VALUES (?, ?, ?, ?)"
        self._insert(sql, till, request_hash, now, raw)

    def add_unload(self, unload: UnloadRecord, *, now: int) -> None:
        one = unload
        self._insert(
            "INSERT INTO unload (id, key_digest, purse, epoch, n, amount, payee, k, request_hash, request, asked_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(one.id, one.key_digest, one.purse, one.epoch, one.n, one.amount, one.payee, one.k),
            *(one.request_hash, one.request, now),
        )

    def take_unload_voucher(self, unload_id: str, voucher_hash: bytes) -> None:
        sql = "UPDATE unload SET voucher_hash = ? WHERE id = ? AND voucher_hash IS NULL"
        self._change_one(sql, voucher_hash, unload_id)

    def pay_unload(self, unload_id: str, receipt: bytes) -> None:
        sql = "UPDATE unload SET receipt = ? WHERE id = ? AND voucher_hash IS NOT NULL AND receipt IS NULL"
        self._change_one(sql, receipt, unload_id)


def _order(row: Row) -> OrderRecord:
    return OrderRecord(row[0], row[1], row[2], row[3], OrderReason(row[4]), row[5], bool(row[6]))
