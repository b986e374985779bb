"""The till's journal: what is durable, and the only module that knows the database.

SQLite in WAL mode with synchronous=FULL; every change is one transaction that begins IMMEDIATE and is on disk when the
method returns. If the disk refuses, StorageError is raised and nothing has changed: what a method returns is read
before COMMIT, so that no fault after it can deny what is on disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merchant_pos.sales import Order, Sale, SaleState
from merchant_pos.schema import migrate
from wallet_core.errors import ConfigurationError, OutcomeUnknownError, StorageError
from wallet_core.ids import COUNTER_MAX, HASH_SIZE
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus, Request

NO_HASH = bytes(HASH_SIZE)
_COLUMNS = (
    'k, state, "order", request, voucher, voucher_hash, refusal, reason, "left", asked_ms, decided_ms, batch, '
    "position, status"
)
_BATCH_COLUMNS = "number, body, hash, previous, vouchers, refusals, attempts, last_error, answer"


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


@dataclass(frozen=True, slots=True)
class Tally:
    """Sales of one state: how many, and their sum in fen."""

    count: int
    amount: int


class Journal:
    """Opens or makes the journal of the till with id `till` (32 bytes) at `path`; `now_ms` gives ms since 1970.

    Raises StorageError when the file cannot be used, ConfigurationError when it belongs to another till.
    """

    def __init__(self, path: Path, *, till: bytes, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        with _translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        try:
            with _translated():
                mode = self._db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
                if mode != "wal":
                    raise StorageError(f"{path} cannot be kept with write-ahead logging")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.execute("PRAGMA foreign_keys=ON")
                migrate(self._db)
                path.chmod(0o600)
            self._claim(till)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def _claim(self, till: bytes) -> None:
        with self._write() as db:
            db.execute("INSERT INTO facts (name, value) VALUES ('till', ?) ON CONFLICT DO NOTHING", (till,))
            owner = db.execute("SELECT value FROM facts WHERE name = 'till'").fetchone()[0]
        if owner != till:
            raise ConfigurationError(
                "this journal belongs to another till", next_step="Keep key and journal of one till together."
            )

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: returning commits durably, raising rolls back."""
        with _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translated():
            return self._db.execute(sql, values).fetchall()

    def _next(self, db: sqlite3.Connection, name: str) -> int:
        """Allocate a counter's next value; a number that was given out never comes again."""
        (value,) = db.execute("SELECT next FROM counters WHERE name = ?", (name,)).fetchone()
        if value > COUNTER_MAX:
            raise ConfigurationError("this till has used all its counters", next_step="Enrol a new till.")
        db.execute("UPDATE counters SET next = next + 1 WHERE name = ?", (name,))
        return int(value)

    # Certificates ---------------------------------------------------------------------------------------------------

    def certificate(self, subject: bytes) -> bytes | None:
        """The certificate that was stored for this id, as its own bytes."""
        rows = self._rows("SELECT body FROM certificates WHERE subject = ?", (subject,))
        return rows[0][0] if rows else None

    def keep_certificate(self, subject: bytes, of_class: int, body: bytes) -> None:
        """Store a verified certificate; a renewed one replaces the one before."""
        with self._write() as db:
            db.execute(
                "INSERT INTO certificates (subject, class, body) VALUES (?, ?, ?) "
                "ON CONFLICT (subject) DO UPDATE SET class = excluded.class, body = excluded.body",
                (subject, of_class, body),
            )

    def policy(self, operator: bytes, of_class: int, version: int) -> bytes | None:
        """The signed Policy that was stored for these, as its own bytes."""
        rows = self._rows(
            "SELECT body FROM policies WHERE operator = ? AND class = ? AND version = ?", (operator, of_class, version)
        )
        return rows[0][0] if rows else None

    def keep_policy(self, operator: bytes, of_class: int, version: int, body: bytes) -> None:
        """Store a verified policy; one version has one content."""
        with self._write() as db:
            db.execute(
                "INSERT INTO policies (operator, class, version, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (operator, of_class, version, body),
            )

    # Sales ----------------------------------------------------------------------------------------------------------

    def ask(self, order: Order, make: Callable[[int], Request]) -> Sale:
        """ASKED: allocate k, let `make(k)` give the Request, and put it on disk.

        Raises OutcomeUnknownError while another sale is open: that one comes first.
        """
        with self._write() as db:
            if db.execute("SELECT 1 FROM sales WHERE open = 1").fetchone():
                raise OutcomeUnknownError("another sale is still open")
            k = self._next(db, "k")
            request = make(k)
            rows = db.execute(
                'INSERT INTO sales (k, state, amount, payer, epoch, n, "order", request, request_hash, asked_ms) '  # noqa: S608
                f"VALUES (?, 'ASKED', ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
                (
                    *(k, request.amount, request.payer, request.epoch, request.n, order.reference),
                    *(request.to_payload(), request.hash, self._now_ms()),
                ),
            ).fetchall()
            return _sale(rows[0])

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
            sql = f"UPDATE sales SET {assignments} WHERE k = ? RETURNING {_COLUMNS}"  # noqa: S608
            rows = db.execute(sql, (*values, k)).fetchall()
            if not rows:
                raise StorageError(f"sale {k} is not in the journal")
            return _sale(rows[0])

    def sale(self, k: int) -> Sale:
        rows = self._rows(f"SELECT {_COLUMNS} FROM sales WHERE k = ?", (k,))  # noqa: S608
        if not rows:
            raise StorageError(f"sale {k} is not in the journal")
        return _sale(rows[0])

    def open_sale(self) -> Sale | None:
        """The sale that is ASKED or UNKNOWN; there is at most one."""
        rows = self._rows(f"SELECT {_COLUMNS} FROM sales WHERE open = 1")  # noqa: S608
        return _sale(rows[0]) if rows else None

    def sales(self) -> list[Sale]:
        """All of them, oldest first."""
        return [_sale(row) for row in self._rows(f"SELECT {_COLUMNS} FROM sales ORDER BY k")]  # noqa: S608

    def tallies(self) -> dict[SaleState, Tally]:
        rows = self._rows("SELECT state, count(*), sum(amount) FROM sales GROUP BY state")
        found = {SaleState(state): Tally(count, amount) for state, count, amount in rows}
        return {state: found.get(state, Tally(0, 0)) for state in SaleState}

    # Outbox ---------------------------------------------------------------------------------------------------------

    def freeze(
        self, most_vouchers: int, most_refusals: int, build: Callable[[Contents], tuple[bytes, bytes]]
    ) -> Batch | None:
        """Put what is PAID or REFUSED and in no batch into the next one: numbered, chained, signed and on disk at once.

        `build` gives the bytes that will be sent and their hash. None when nothing is waiting.
        """
        with self._write() as db:
            paid = self._unsent(db, SaleState.PAID, most_vouchers)
            refused = self._unsent(db, SaleState.REFUSED, most_refusals)
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
            db.executemany(
                "UPDATE sales SET state = 'SENT', batch = ?, position = ? WHERE k = ?",
                [(contents.number, at, sale.k) for at, sale in enumerate(paid)],
            )
            db.executemany(
                "UPDATE sales SET batch = ?, position = ? WHERE k = ?",
                [(contents.number, at, sale.k) for at, sale in enumerate(refused)],
            )
        return frozen

    @staticmethod
    def _unsent(db: sqlite3.Connection, state: SaleState, most: int) -> tuple[Sale, ...]:
        sql = f"SELECT {_COLUMNS} FROM sales WHERE state = ? AND batch IS NULL ORDER BY k LIMIT ?"  # noqa: S608
        return tuple(_sale(row) for row in db.execute(sql, (state.value, most)))

    def batch(self, number: int) -> Batch:
        found = self._batches("WHERE number = ?", (number,))
        if not found:
            raise StorageError(f"batch {number} is not in the journal")
        return found[0]

    def unanswered(self) -> list[Batch]:
        """Frozen batches without a verified answer, in the order in which they must go."""
        return self._batches("WHERE answer IS NULL ORDER BY number", ())

    def _batches(self, where: str, values: Sequence[Any]) -> list[Batch]:
        return [_batch(row) for row in self._rows(f"SELECT {_BATCH_COLUMNS} FROM batches {where}", values)]  # noqa: S608

    def unsent_refusals(self) -> int:
        rows = self._rows("SELECT count(*) FROM sales WHERE state = 'REFUSED' AND batch IS NULL")
        return int(rows[0][0])

    def in_batch(self, number: int) -> tuple[list[Sale], list[Sale]]:
        """The paid and the refused sales of a batch, each in its order."""
        rows = self._rows(
            f"SELECT {_COLUMNS} FROM sales WHERE batch = ? ORDER BY position",  # noqa: S608
            (number,),
        )
        sales = [_sale(row) for row in rows]
        return [s for s in sales if s.voucher is not None], [s for s in sales if s.voucher is None]

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
                db.execute("UPDATE sales SET state = ?, status = ? WHERE k = ?", (state.value, int(status), sale.k))
            for sale, told in zip(refused, answer.refusal_statuses, strict=True):
                db.execute("UPDATE sales SET status = ? WHERE k = ?", (int(RefusalStatus(told)), sale.k))


def _sale(row: Any) -> Sale:
    return Sale(
        state=SaleState(row[1]),
        order=row[2],
        request=Request.from_payload(row[3]),
        voucher=row[4],
        voucher_hash=row[5],
        refusal=row[6],
        reason=row[7],
        left=row[8],
        asked_ms=row[9],
        decided_ms=row[10],
        batch=row[11],
        position=row[12],
        status=row[13],
    )


def _batch(row: Any) -> Batch:
    return Batch(**dict(zip(_BATCH_COLUMNS.split(", "), row, strict=True)))


@contextmanager
def _translated() -> Iterator[None]:
    """The one place where the database's errors become ours."""
    try:
        yield
    except sqlite3.Error as exc:
        raise StorageError(f"the journal cannot be used: {exc}") from exc
    except OSError as exc:
        raise StorageError(f"the journal cannot be used: {exc.strerror}") from exc
