"""The journal's outbox: frozen batches, what each of them carries, and what the operator said to every item.

A voucher may be in more than one batch: one that the operator wants to look at (REVIEW) is handed in again, and one of
a predecessor, whose journal was imported, is handed in under this till's key (docs/spec/till.md, *Deposit*).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from merchant_pos.database import Database
from merchant_pos.sales import SALE_COLUMNS, Sale, SaleState, sale_of_row
from wallet_core.errors import StorageError
from wallet_core.ids import HASH_SIZE
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus

NO_HASH = bytes(HASH_SIZE)
_BATCH_COLUMNS = "number, body, hash, previous, vouchers, refusals, attempts, last_error, answer"
_PREFIXED = ", ".join(f"s.{name}" for name in SALE_COLUMNS.split(", "))
_VOUCHER, _REFUSAL = "VOUCHER", "REFUSAL"
OWN, INHERITED = "sales", "inherited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A frozen batch: `body` is what goes over the wire, each time; `answer` the verified reply, once there is one."""

    number: int
    body: bytes
    hash: bytes
    previous: bytes
    vouchers: int
    refusals: int
    attempts: int
    last_error: str | None
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What goes into the next batch: its number, the hash of the one before, and the sales in their order."""

    number: int
    previous: bytes
    paid: tuple[Sale, ...]
    refused: tuple[Sale, ...]


class Outbox(Database):
    """Batches are numbered and chained without a gap."""

    def freeze(
        self,
        most_vouchers: int,
        most_refusals: int,
        build: Callable[[Contents], tuple[bytes, bytes]],
        *,
        again_up_to: int = 0,
    ) -> Batch | None:
        """Put what is PAID or REFUSED and in no batch into the next one: numbered, chained, signed and on disk at once.

        What is under REVIEW since a batch up to number `again_up_to` goes once more. `build` gives the bytes that will
        be sent and their hash. None when nothing is waiting.
        """
        with self._write() as db:
            paid = self._waiting(db, f"state = 'PAID' OR {_REVIEWED}", (again_up_to,), most_vouchers)
            refused = self._waiting(db, "state = 'REFUSED' AND batch IS NULL", (), most_refusals)
            if not paid and not refused:
                return None
            last = db.execute("SELECT hash FROM batches ORDER BY number DESC LIMIT 1").fetchone()
            contents = Contents(self._next(db, "batch"), last[0] if last else NO_HASH, paid, refused)
            body, batch_hash = build(contents)
            rows = db.execute(
                "INSERT INTO batches (number, body, hash, previous, vouchers, refusals, frozen_ms) "  # noqa: S608
                f"VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING {_BATCH_COLUMNS}",
                (contents.number, body, batch_hash, contents.previous, len(paid), len(refused), self._now_ms()),
            ).fetchall()
            frozen = _batch(rows[0])
            self._put_in(db, frozen.number, _VOUCHER, paid, "state = 'SENT', ")
            self._put_in(db, frozen.number, _REFUSAL, refused, "")
        return frozen

    @staticmethod
    def _waiting(db: sqlite3.Connection, which: str, values: Sequence[int], most: int) -> tuple[Sale, ...]:
        """Own sales first, then those of a predecessor, each in its order."""
        found: list[Sale] = []
        for table, order in ((OWN, "k"), (INHERITED, "id")):
            sql = f"SELECT {SALE_COLUMNS}, {order} FROM {table} WHERE {which} ORDER BY {order} LIMIT ?"  # noqa: S608
            found += [_from(table, row) for row in db.execute(sql, (*values, most - len(found)))]
        return tuple(found)

    @staticmethod
    def _put_in(db: sqlite3.Connection, number: int, kind: str, sales: Sequence[Sale], change: str) -> None:
        for at, sale in enumerate(sales):
            own, inherited = (sale.k, None) if sale.inherited is None else (None, sale.inherited)
            db.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", (number, kind, at, own, inherited))
            table, column, key = _row(sale)
            sql = f"UPDATE {table} SET {change}batch = ?, position = ? WHERE {column} = ?"  # noqa: S608
            db.execute(sql, (number, at, key))

    def batch(self, number: int) -> Batch:
        found = self._batches("WHERE number = ?", (number,))
        if not found:
            raise StorageError(f"batch {number} is not in the journal")
        return found[0]

    def last_batch(self) -> int:
        """The newest batch's number, 0 before the first."""
        return int(self._rows("SELECT coalesce(max(number), 0) FROM batches")[0][0])

    def unanswered(self) -> list[Batch]:
        """Frozen batches without a verified answer, in the order in which they must go."""
        return self._batches("WHERE answer IS NULL ORDER BY number", ())

    def _batches(self, where: str, values: Sequence[Any]) -> list[Batch]:
        return [_batch(row) for row in self._rows(f"SELECT {_BATCH_COLUMNS} FROM batches {where}", values)]  # noqa: S608

    def unsent_refusals(self) -> int:
        rows = self._rows(
            "SELECT count(*) FROM (SELECT state, batch FROM sales UNION ALL SELECT state, batch FROM inherited) "
            "WHERE state = 'REFUSED' AND batch IS NULL"
        )
        return int(rows[0][0])

    def in_batch(self, number: int) -> tuple[list[Sale], list[Sale]]:
        """The paid and the refused sales of a batch, each in its order."""
        items: list[tuple[int, str, Sale]] = []
        for table, join in ((OWN, "s.k = i.sale"), (INHERITED, "s.id = i.inherited")):
            rows = self._rows(
                f"SELECT {_PREFIXED}, coalesce(i.sale, i.inherited), i.kind, i.position "  # noqa: S608
                f"FROM items i JOIN {table} s ON {join} WHERE i.batch = ?",
                (number,),
            )
            items += [(row[-1], row[-2], _from(table, row[:-2])) for row in rows]
        items.sort(key=lambda item: item[0])
        of_kind = {kind: [sale for _, its, sale in items if its == kind] for kind in (_VOUCHER, _REFUSAL)}
        return of_kind[_VOUCHER], of_kind[_REFUSAL]

    def attempt_failed(self, number: int, error: str) -> None:
        """Note why a batch has no answer yet; the batch stays as it is."""
        with self._write() as db:
            db.execute("UPDATE batches SET attempts = attempts + 1, last_error = ? WHERE number = ?", (error, number))

    def settle(self, number: int, body: bytes, answer: DepositAnswer) -> None:
        """Store a *verified* answer (bytes and content) and give each sale of the batch its status, in one commit."""
        paid, refused = self.in_batch(number)
        with self._write() as db:
            db.execute(
                "UPDATE batches SET answer = ?, credited = ?, answered_ms = ?, attempts = attempts + 1, "
                "last_error = NULL WHERE number = ?",
                (body, answer.credited, self._now_ms(), number),
            )
            for sale, status in zip(paid, answer.voucher_statuses, strict=True):
                state = SaleState.SETTLED if status is DepositStatus.SETTLED else SaleState.REJECTED
                table, column, key = _row(sale)
                sql = f"UPDATE {table} SET state = ?, status = ? WHERE {column} = ?"  # noqa: S608
                db.execute(sql, (state.value, int(status), key))
            for sale, told in zip(refused, answer.refusal_statuses, strict=True):
                table, column, key = _row(sale)
                sql = f"UPDATE {table} SET status = ? WHERE {column} = ?"  # noqa: S608
                db.execute(sql, (int(RefusalStatus(told)), key))

    # A predecessor's sales ------------------------------------------------------------------------------------------

    def inherited(self) -> list[Sale]:
        """What came from a predecessor's journal, in the order in which it came."""
        rows = self._rows(f"SELECT {SALE_COLUMNS}, id FROM inherited ORDER BY id")  # noqa: S608
        return [_from(INHERITED, row) for row in rows]

    def inherit(self, sales: Sequence[Sale]) -> int:
        """Take over sales of a predecessor, PAID or REFUSED and in no batch of this till; how many are new here."""
        with self._write() as db:
            before = db.execute("SELECT count(*) FROM inherited").fetchone()[0]
            for sale in sales:
                db.execute(
                    'INSERT INTO inherited (till, k, state, amount, payer, epoch, n, "order", request, request_hash, '
                    'voucher, voucher_hash, refusal, reason, "left", asked_ms, decided_ms) '
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (
                        *(sale.request.payee, sale.k, (SaleState.PAID if sale.voucher else SaleState.REFUSED).value),
                        *(sale.amount, sale.request.payer, sale.request.epoch, sale.request.n, sale.order),
                        *(sale.request.to_payload(), sale.request.hash, sale.voucher, sale.voucher_hash, sale.refusal),
                        *(sale.reason, sale.left, sale.asked_ms, sale.decided_ms),
                    ),
                )
            return int(db.execute("SELECT count(*) FROM inherited").fetchone()[0]) - int(before)


_REVIEWED = f"(state = 'REJECTED' AND status = {int(DepositStatus.REVIEW)} AND batch <= ?)"


def _row(sale: Sale) -> tuple[str, str, int]:
    """Table, key column and key of the row that a sale came from."""
    return (OWN, "k", sale.k) if sale.inherited is None else (INHERITED, "id", sale.inherited)


def _from(table: str, row: Any) -> Sale:
    sale = sale_of_row(row)
    return sale if table == OWN else replace(sale, inherited=row[-1])


def _batch(row: Any) -> Batch:
    return Batch(**dict(zip(_BATCH_COLUMNS.split(", "), row, strict=True)))
