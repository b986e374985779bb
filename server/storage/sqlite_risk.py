"""Dishonest and lost parties in SQLite."""

from __future__ import annotations

from server.ledger.accounts import AccountKind
from server.storage.records import TillRecord, VoucherRecord, VoucherRow, VoucherState
from server.storage.records_risk import (
    DeficitRecord,
    EvidenceRecord,
    PurseStatus,
    RefundRecord,
    SpendingRecord,
    StandingRecord,
    TwoOutcomesRecord,
)
from server.storage.sqlite_deposits import RIVAL, VOUCHER, voucher_record
from server.storage.sqlite_parties import TILL, SqliteParties

_STANDING = "SELECT id, status, why, at, change FROM standing"
_REVIEW, _RIVAL, _REFUSED = VoucherState.REVIEW.value, VoucherState.EQUIVOCATION.value, VoucherState.REFUSED.value
_OPEN, _SETTLED = VoucherState.OPEN.value, VoucherState.SETTLED.value
_CHARGED = ", ".join(str(state.value) for state in VoucherState if state.charged)
# State numbers stand in the text: SQLite uses a partial index only where it can see that its condition holds.
_WAITING = f"{VOUCHER} WHERE state = {_REVIEW}", f"{RIVAL} WHERE state = {_RIVAL}"
_REFUSABLE = f"""
    SELECT sum(amount) FROM voucher WHERE payer = ? AND (state = {_OPEN} OR (state = {_SETTLED} AND batch < 0))
"""  # noqa: S608  (numbers)
_SPENDING = f"""
    WITH suspect AS (
        SELECT payer FROM voucher WHERE state = {_REVIEW} UNION SELECT payer FROM rival
        UNION SELECT payer FROM deficit
        UNION SELECT p.number FROM account c INDEXED BY account_card_below_zero JOIN purse p
            ON p.card_account = c.number WHERE c.kind = {AccountKind.CARD.value} AND c.balance < 0
    ), paid AS (
        SELECT payer, amount, state FROM voucher WHERE payer IN suspect AND state <> {_REFUSED}
        UNION ALL SELECT payer, amount, state FROM rival WHERE state <> {_REFUSED}
    )
    SELECT p.id, sum(v.amount), c.balance + f.balance, coalesce(d.lost, 0),
        coalesce(sum(v.amount) FILTER (WHERE v.state NOT IN ({_CHARGED})), 0)
    FROM paid v JOIN purse p ON p.number = v.payer JOIN account c ON c.number = p.card_account
    JOIN account f ON f.number = p.flight_account LEFT JOIN deficit d ON d.payer = v.payer
    GROUP BY v.payer ORDER BY v.payer
"""  # noqa: S608  (numbers)


class SqliteRisk(SqliteParties):
    """`RiskReader` and `RiskWriter`."""

    def standing(self, party: bytes) -> StandingRecord | None:
        row = self._row(f"{_STANDING} WHERE id = ?", party)
        return _standing(row) if row else None

    def standings(self) -> list[StandingRecord]:
        return [_standing(row) for row in self._rows(f"{_STANDING} ORDER BY change")]

    def till_by_number(self, number: int) -> TillRecord | None:
        row = self._row(f"{TILL} WHERE t.number = ?", number)
        return self._till(row) if row else None

    def rivals(self, payer: int, epoch: int, n: int) -> list[VoucherRecord]:
        rows = self._rows(f"{RIVAL} WHERE payer = ? AND epoch = ? AND n = ? ORDER BY hash", payer, epoch, n)
        return [voucher_record(row) for row in rows]

    def vouchers_of_payer(self, payer: int) -> list[VoucherRecord]:
        rows = self._rows(
            f"{VOUCHER} WHERE payer = ? UNION ALL {RIVAL} WHERE payer = ? ORDER BY epoch, n, hash", payer, payer
        )
        return [voucher_record(row) for row in rows]

    def waiting(self, payer: int | None = None) -> list[VoucherRecord]:
        vouchers, rivals = _WAITING
        if payer is None:
            rows = self._rows(f"{vouchers} UNION ALL {rivals} ORDER BY payer, epoch, n, hash")
        else:
            rows = self._rows(
                f"{vouchers} AND payer = ? UNION ALL {rivals} AND payer = ? ORDER BY epoch, n, hash", payer, payer
            )
        return [voucher_record(row) for row in rows]

    def refusable_outflow(self, payer: int) -> int:
        return self._number(_REFUSABLE, payer)

    def deficit(self, payer: int) -> DeficitRecord:
        row = self._row("SELECT lost, moves FROM deficit WHERE payer = ?", payer)
        return DeficitRecord(*row) if row else DeficitRecord()

    def is_equivocating(self, payer: int) -> bool:
        return self._row("SELECT 1 FROM evidence WHERE payer = ? LIMIT 1", payer) is not None

    def loose_voucher(self, voucher_hash: bytes) -> bytes | None:
        row = self._row("SELECT raw FROM loose_voucher WHERE hash = ?", voucher_hash)
        return bytes(row[0]) if row else None

    def evidence(self) -> list[EvidenceRecord]:
        rows = self._rows(
            "SELECT p.id, p.certificate, e.epoch, e.n, e.first, e.second FROM evidence e "
            "JOIN purse p ON p.number = e.payer ORDER BY e.payer, e.epoch, e.n, e.second_hash"
        )
        return [EvidenceRecord(*row) for row in rows]

    def two_outcomes(self) -> list[TwoOutcomesRecord]:
        rows = self._rows(
            "SELECT request_hash, culprit, receipt, refusal, voucher FROM two_outcomes ORDER BY culprit, request_hash"
        )
        return [TwoOutcomesRecord(*row) for row in rows]

    def has_two_outcomes(self, culprit: bytes) -> bool:
        return self._row("SELECT 1 FROM two_outcomes WHERE culprit = ? LIMIT 1", culprit) is not None

    def spending(self) -> list[SpendingRecord]:
        return [SpendingRecord(*row) for row in self._rows(_SPENDING)]

    def replaced_by(self, purse: int) -> int | None:
        row = self._row("SELECT replaces FROM purse WHERE number = ?", purse)
        return row[0] if row else None

    def refunds(self, purse: int) -> list[RefundRecord]:
        rows = self._rows("SELECT amount, destination, at FROM lost_refund WHERE purse = ? ORDER BY number", purse)
        return [RefundRecord(*row) for row in rows]

    def receipts(self, card: bytes) -> list[bytes]:
        rows = self._rows(
            "SELECT receipt FROM load WHERE card = ? AND receipt IS NOT NULL ORDER BY epoch, paid_n", card
        )
        return [row[0] for row in rows]

    def set_standing(self, party: bytes, status: PurseStatus, why: str, *, now: int) -> None:
        change = self._number("SELECT max(change) FROM standing") + 1
        self._insert(
            "INSERT INTO standing VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET status = excluded.status, "
            "why = excluded.why, at = excluded.at, change = excluded.change",
            *(party, status.value, why, now, change),
        )

    def add_rival(self, row: VoucherRow) -> None:
        self._insert("INSERT INTO rival VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def set_state(self, record: VoucherRecord, state: VoucherState) -> None:
        update = "UPDATE rival" if record.rival else "UPDATE voucher"
        where = "WHERE payer = ? AND epoch = ? AND n = ? AND hash = ?"
        one = (record.payer, record.epoch, record.n, record.hash)
        self._change_one(f"{update} SET state = ? {where}", state.value, *one)

    def set_deficit(self, payer: int, deficit: DeficitRecord) -> None:
        self._insert(
            "INSERT INTO deficit VALUES (?, ?, ?) ON CONFLICT (payer) DO UPDATE SET lost = excluded.lost, "
            "moves = excluded.moves",
            *(payer, deficit.lost, deficit.moves),
        )

    def add_loose_voucher(self, voucher_hash: bytes, raw: bytes) -> None:
        self._insert("INSERT INTO loose_voucher VALUES (?, ?) ON CONFLICT DO NOTHING", voucher_hash, raw)

    def add_two_outcomes(self, record: TwoOutcomesRecord) -> None:
        self._insert(
            "INSERT INTO two_outcomes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            *(record.request_hash, record.culprit, record.receipt, record.refusal, record.voucher),
        )

    def supersede(self, till: bytes, predecessor: int) -> None:
        self._change_one("UPDATE till SET succeeds = ? WHERE id = ?", predecessor, till)

    def replace_purse(self, purse: int, replaced: int) -> None:
        self._change_one("UPDATE purse SET replaces = ? WHERE number = ?", replaced, purse)

    def add_refund(self, purse: int, refund: RefundRecord) -> int:
        return self._insert(
            "INSERT INTO lost_refund (purse, amount, destination, at) VALUES (?, ?, ?, ?)",
            *(purse, refund.amount, refund.destination, refund.at),
        )

    def open_epoch(self, epoch: int) -> None:
        self._change_one("UPDATE operator_purse SET epoch = ?, next_n = 1, total_out = 0 WHERE epoch < ?", epoch, epoch)


def _standing(row: tuple[bytes, int, str, int, int]) -> StandingRecord:
    return StandingRecord(row[0], PurseStatus(row[1]), row[2], row[3], row[4])
