"""The till's journal: what is durable. The modules of its tables are the only ones that know the database.

Sales to the till itself are here; batches in outbox, transfers with the merchant's SAM in transfer_rows, certificates,
policies and revocations in parties; the file and its transactions in database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from merchant_pos.outbox import NO_HASH, Batch, Contents, Outbox
from merchant_pos.parties import Parties
from merchant_pos.sales import SALE_COLUMNS, Order, Sale, SaleState, sale_of_row
from merchant_pos.transfer_rows import TransferRows
from wallet_core.errors import StorageError
from wallet_core.messages import Request

__all__ = ["NO_HASH", "Batch", "Contents", "Journal", "Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sales of one state: how many, and their sum in fen."""

    count: int
    amount: int


class Journal(Outbox, TransferRows, Parties):
    """Opens or makes the journal of the till with id `till` (32 bytes) at `path`; `now_ms` gives ms since 1970.

    Raises StorageError when the file cannot be used, ConfigurationError when it belongs to another till.
    """

    def ask(self, order: Order, make: Callable[[int], Request]) -> Sale:
        """ASKED: allocate k, let `make(k)` give the Request, and put it on disk.

        Raises OutcomeUnknownError while another sale is open: that one comes first.
        """
        with self._write() as db:
            self._require_none_open(db)
            k = self._next(db, "k")
            request = make(k)
            rows = db.execute(
                'INSERT INTO sales (k, state, amount, payer, epoch, n, "order", request, request_hash, asked_ms) '  # noqa: S608
                f"VALUES (?, 'ASKED', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {SALE_COLUMNS}",
                (
                    *(k, request.amount, request.payer, request.epoch, request.n, order.reference),
                    *(request.to_payload(), request.hash, self._now_ms()),
                ),
            ).fetchall()
            return sale_of_row(rows[0])

    def mark_unknown(self, k: int, reason: str) -> Sale:
        """PAY was sent and no believable answer came."""
        return self._update(k, "state = 'UNKNOWN', reason = ?", (reason,))

    def paid(self, k: int, voucher: bytes, voucher_hash: bytes, left: int | None) -> Sale:
        """PAID: the verified voucher is on disk. Only after this may anyone be told."""
        return self._update(
            k,
            "state = 'PAID', voucher = ?, voucher_hash = ?, reason = NULL, \"left\" = ?, decided_ms = ?",
            (voucher, voucher_hash, left, self._now_ms()),
        )

    def refused(self, k: int, refusal: bytes, reason: str) -> Sale:
        """REFUSED: the signed Refusal is on disk and goes out with the next batch; this Request is never credited."""
        return self._update(
            k, "state = 'REFUSED', refusal = ?, reason = ?, decided_ms = ?", (refusal, reason, self._now_ms())
        )

    def _update(self, k: int, assignments: str, values: Sequence[Any]) -> Sale:
        with self._write() as db:
            sql = f"UPDATE sales SET {assignments} WHERE k = ? RETURNING {SALE_COLUMNS}"  # noqa: S608
            rows = db.execute(sql, (*values, k)).fetchall()
            if not rows:
                raise StorageError(f"sale {k} is not in the journal")
            return sale_of_row(rows[0])

    def sale(self, k: int) -> Sale:
        rows = self._rows(f"SELECT {SALE_COLUMNS} FROM sales WHERE k = ?", (k,))  # noqa: S608
        if not rows:
            raise StorageError(f"sale {k} is not in the journal")
        return sale_of_row(rows[0])

    def open_sale(self) -> Sale | None:
        """The sale that is ASKED or UNKNOWN; there is at most one."""
        rows = self._rows(f"SELECT {SALE_COLUMNS} FROM sales WHERE open = 1")  # noqa: S608
        return sale_of_row(rows[0]) if rows else None

    def sales(self) -> list[Sale]:
        """All of them, oldest first."""
        return [sale_of_row(row) for row in self._rows(f"SELECT {SALE_COLUMNS} FROM sales ORDER BY k")]  # noqa: S608

    def tallies(self) -> dict[SaleState, Tally]:
        """By state, a predecessor's among them."""
        rows = self._rows(
            "SELECT state, count(*), sum(amount) FROM "
            "(SELECT state, amount FROM sales UNION ALL SELECT state, amount FROM inherited) GROUP BY state"
        )
        found = {SaleState(state): Tally(count, amount) for state, count, amount in rows}
        return {state: found.get(state, Tally(0, 0)) for state in SaleState}
