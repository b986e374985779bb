"""The journal's table of transfers with the merchant's SAM; each change is one durable commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from merchant_pos.database import Database
from merchant_pos.transfers import COLUMNS, Kind, Plan, Told, Transfer, transfer_of_row
from wallet_core.errors import OutcomeUnknownError, StorageError, UsageError
from wallet_core.money import fen

# What a refund may still have moved. ASKING has not asked the SAM; REFUSED and DROPPED never will have moved anything.
_REFUNDED = (
    "SELECT coalesce(sum(amount), 0) FROM transfers WHERE kind = 'REFUND' AND original = ? "
    "AND state IN ('ASKED', 'UNKNOWN', 'HELD', 'PAID', 'REFUSING')"
)


class TransferRows(Database):
    """Numbers come from the till's one counter of sales, so that `k` names one row of the till, of either table."""

    def begin(self, plan: Plan, *, most: int | None = None) -> Transfer:
        """ASKING: what the payee is going to be asked for, on disk. `most`: fen that all refunds of a sale may reach.

        Raises OutcomeUnknownError while another sale is open, UsageError for a refund beyond `most`.
        """
        with self._write() as db:
            self._require_none_open(db)
            if most is not None:
                given = int(db.execute(_REFUNDED, (plan.original,)).fetchone()[0])
                if given + plan.amount > most:
                    raise UsageError(
                        f"{fen(given)} of {fen(most)} are refunded already", next_step=f"Refund {fen(most - given)}."
                    )
            k = self._next(db, "k")
            rows = db.execute(
                'INSERT INTO transfers (k, kind, payer, epoch, n, payee, amount, "order", order_hash, original, '  # noqa: S608
                f"state, asked_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'ASKING', ?) RETURNING {COLUMNS}",
                (
                    *(k, plan.kind.value, plan.payer, plan.epoch, plan.n, plan.payee, plan.amount, plan.order),
                    *(plan.order_hash, plan.original, self._now_ms()),
                ),
            ).fetchall()
            return transfer_of_row(rows[0])

    def _require_none_open(self, db: sqlite3.Connection) -> None:
        """Sales to the till and transfers with its SAM share the reader: one of all of them may be open."""
        open_rows = "SELECT 1 FROM sales WHERE open = 1 UNION ALL SELECT 1 FROM transfers WHERE open = 1"
        if db.execute(open_rows).fetchone():
            raise OutcomeUnknownError("another sale is still open")

    # Each of these is told the number of the row; all but `dropped` leave something behind that stays.

    def requested(self, k: int, request: bytes, request_hash: bytes) -> Transfer:
        """ASKED: the payee's signed Request. Only after this may the payer be asked."""
        return self._move(k, "state = 'ASKED', request = ?, request_hash = ?", (request, request_hash))

    def pay_unknown(self, k: int, reason: str) -> Transfer:
        """UNKNOWN: PAY was sent and no believable answer came."""
        return self._move(k, "state = 'UNKNOWN', reason = ?", (reason,))

    def held(self, k: int, voucher: bytes, voucher_hash: bytes, left: int | None) -> Transfer:
        """HELD: the verified voucher is on disk; the payee has not decided."""
        return self._move(
            k,
            'state = \'HELD\', voucher = ?, voucher_hash = ?, reason = NULL, "left" = coalesce(?, "left")',
            (voucher, voucher_hash, left),
        )

    def note(self, k: int, reason: str) -> Transfer:
        """Why the payee has not decided yet."""
        return self._move(k, "reason = ?", (reason,))

    def collected(self, k: int, receipt: bytes, left: int | None) -> Transfer:
        """PAID: the payee's verified Receipt is on disk. Only after this may anyone be told."""
        return self._move(
            k,
            'state = \'PAID\', receipt = ?, reason = NULL, "left" = coalesce(?, "left"), decided_ms = ?',
            (receipt, left, self._now_ms()),
        )

    def refusing(self, k: int, reason: str) -> Transfer:
        """REFUSING: given up here; no command will ask this payer with this Request again."""
        return self._move(k, "state = 'REFUSING', reason = ?, decided_ms = ?", (reason, self._now_ms()))

    def refusal(self, k: int, refusal: bytes, reason: str, request: tuple[bytes, bytes] | None = None) -> Transfer:
        """REFUSED: the payee's verified Refusal is on disk. `request`: signed bytes and hash, if not there before."""
        signed, request_hash = request or (None, None)
        return self._move(
            k,
            "state = 'REFUSED', refusal = ?, reason = ?, decided_ms = coalesce(decided_ms, ?), "
            "request = coalesce(request, ?), request_hash = coalesce(request_hash, ?)",
            (refusal, reason, self._now_ms(), signed, request_hash),
        )

    def dropped(self, k: int, reason: str) -> Transfer:
        """DROPPED: there is no Request that anyone could pay."""
        return self._move(k, "state = 'DROPPED', reason = ?, decided_ms = ?", (reason, self._now_ms()))

    def acknowledged(self, k: int) -> Transfer:
        """The payer has the payee's answer, or no use for it any more."""
        return self._move(k, "acknowledged = 1", ())

    def announced(self, k: int) -> Transfer:
        """People have been told that it is PAID."""
        return self._move(k, "announced = 1", ())

    def told_server(self, k: int, told: Told, verdicts: str) -> Transfer:
        """What the server has, and what it said to it."""
        return self._move(k, "told = ?, verdicts = ?", (told.value, verdicts))

    def _move(self, k: int, assignments: str, values: Sequence[Any]) -> Transfer:
        with self._write() as db:
            sql = f"UPDATE transfers SET {assignments} WHERE k = ? RETURNING {COLUMNS}"  # noqa: S608
            rows = db.execute(sql, (*values, k)).fetchall()
            if not rows:
                raise StorageError(f"transfer {k} is not in the journal")
            return transfer_of_row(rows[0])

    # Reading --------------------------------------------------------------------------------------------------------

    def transfers(self, where: str = "1", values: Sequence[Any] = ()) -> list[Transfer]:
        """Oldest first."""
        sql = f"SELECT {COLUMNS} FROM transfers WHERE {where} ORDER BY k"  # noqa: S608
        return [transfer_of_row(row) for row in self._rows(sql, values)]

    def transfer_tallies(self) -> dict[str, int]:
        """How many of each kind and state, as ``"SALE PAID": 3``."""
        rows = self._rows("SELECT kind, state, count(*) FROM transfers GROUP BY kind, state ORDER BY kind, state")
        return {f"{kind} {state}": count for kind, state, count in rows}

    def transfer(self, k: int) -> Transfer | None:
        found = self.transfers("k = ?", (k,))
        return found[0] if found else None

    def open_transfer(self) -> Transfer | None:
        """The one that is ASKED or UNKNOWN; there is at most one."""
        found = self.transfers("open = 1")
        return found[0] if found else None

    def undecided(self, payee: bytes | None = None) -> list[Transfer]:
        """What a payee has still to decide (all payees without one): ASKING, HELD, REFUSING."""
        return self.transfers("state IN ('ASKING', 'HELD', 'REFUSING') AND (? IS NULL OR payee = ?)", (payee, payee))

    def unacknowledged(self, payer: bytes) -> list[Transfer]:
        """Final answers that this payer has not got yet."""
        return self.transfers("payer = ? AND acknowledged = 0 AND state IN ('PAID', 'REFUSED')", (payer,))

    def untold(self) -> list[Transfer]:
        """What the server has not got: answers of payees, and vouchers that are still HELD."""
        return self.transfers("state IN ('PAID', 'REFUSED') AND told <> 'ALL' OR state = 'HELD' AND told = 'NOTHING'")

    def refunded(self, original: bytes) -> int:
        """Fen of all refunds of the sale with this H(Voucher), those included whose end is not known yet."""
        return int(self._rows(_REFUNDED, (original,))[0][0])

    def open_refund(self, original: bytes) -> Transfer | None:
        """A refund of this sale that has begun and not ended, or ended without anybody having been told."""
        found = self.transfers(
            "kind = ? AND original = ? AND (state IN ('ASKED', 'UNKNOWN', 'HELD') OR state = 'PAID' AND NOT announced)",
            (Kind.REFUND.value, original),
        )
        return found[0] if found else None

    def adopt(self, transfers: Sequence[Transfer]) -> int:
        """Take over a predecessor's transfers under numbers of this till; how many are new here."""
        adopted = 0
        with self._write() as db:
            for one in transfers:
                if (
                    one.request is None
                    or db.execute("SELECT 1 FROM transfers WHERE request_hash = ?", (one.asked.hash,)).fetchone()
                ):
                    continue
                plan = one.plan
                db.execute(
                    'INSERT INTO transfers (k, kind, payer, epoch, n, payee, amount, "order", order_hash, original, '
                    "state, request, request_hash, voucher, voucher_hash, receipt, refusal, reason, asked_ms, "
                    "decided_ms, acknowledged, told, announced) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(self._next(db, "k"), plan.kind.value, plan.payer, plan.epoch, plan.n, plan.payee),
                        *(plan.amount, plan.order, plan.order_hash, plan.original, one.state.value, one.request),
                        *(one.asked.hash, one.voucher, one.voucher_hash, one.receipt, one.refusal, one.reason),
                        *(one.asked_ms, one.decided_ms, int(one.acknowledged), one.told.value, int(one.announced)),
                    ),
                )
                adopted += 1
        return adopted
