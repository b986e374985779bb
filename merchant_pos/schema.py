"""The tables of the till's journal (docs/spec/till.md), as migrations: an older version's journal opens here too."""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database, Migrations

from merchant_pos.sales import MOVES

migrations = Migrations("till")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the journal to the newest tables, in one transaction that begins IMMEDIATE: two tills may start at once."""
    database = Database(connection, execute_plugins=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(database)
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@migrations()
def m001_journal(database: Database) -> None:
    for statement in (_FACTS, _COUNTERS, _CERTIFICATES, _POLICIES, _BATCHES, _SALES, *_INDEXES, *_GUARDS):
        database.execute(statement)
    database.execute("INSERT INTO counters (name, next) VALUES ('k', 1), ('batch', 1)")


_FACTS = "CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT"

_COUNTERS = "CREATE TABLE counters (name TEXT PRIMARY KEY, next INTEGER NOT NULL CHECK (next >= 1)) STRICT"

_CERTIFICATES = """
CREATE TABLE certificates (
    subject BLOB PRIMARY KEY CHECK (length(subject) = 32),
    class   INTEGER NOT NULL,
    body    BLOB NOT NULL
) STRICT
"""

_POLICIES = """
CREATE TABLE policies (
    operator BLOB NOT NULL CHECK (length(operator) = 32),
    class    INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    body     BLOB NOT NULL,
    PRIMARY KEY (operator, class, version)
) STRICT
"""

_BATCHES = """
CREATE TABLE batches (
    number      INTEGER PRIMARY KEY CHECK (number >= 1),
    body        BLOB NOT NULL,
    hash        BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    previous    BLOB NOT NULL CHECK (length(previous) = 32),
    vouchers    INTEGER NOT NULL,
    refusals    INTEGER NOT NULL,
    frozen_ms   INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    last_error  TEXT,
    answer      BLOB,
    credited    INTEGER,
    answered_ms INTEGER
) STRICT
"""

# `open` is 1 or NULL, and UNIQUE lets any number of NULLs in: one sale at most is open, whatever the program does.
_SALES = """
CREATE TABLE sales (
    k            INTEGER PRIMARY KEY CHECK (k >= 1),
    state        TEXT NOT NULL
                 CHECK (state IN ('ASKED', 'UNKNOWN', 'PAID', 'REFUSED', 'SENT', 'SETTLED', 'REJECTED')),
    amount       INTEGER NOT NULL CHECK (amount >= 1),
    payer        BLOB NOT NULL CHECK (length(payer) = 32),
    epoch        INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    "order"      TEXT NOT NULL,
    request      BLOB NOT NULL,
    request_hash BLOB NOT NULL UNIQUE CHECK (length(request_hash) = 32),
    voucher      BLOB,
    voucher_hash BLOB UNIQUE CHECK (length(voucher_hash) = 32),
    refusal      BLOB,
    reason       TEXT,
    "left"       INTEGER,
    asked_ms     INTEGER NOT NULL,
    decided_ms   INTEGER,
    batch        INTEGER REFERENCES batches (number),
    position     INTEGER,
    status       INTEGER,
    open         INTEGER GENERATED ALWAYS AS (CASE WHEN state IN ('ASKED', 'UNKNOWN') THEN 1 END) VIRTUAL,
    CHECK ((voucher IS NULL) = (state IN ('ASKED', 'UNKNOWN', 'REFUSED'))),
    CHECK ((voucher IS NULL) = (voucher_hash IS NULL)),
    CHECK ((refusal IS NOT NULL) = (state = 'REFUSED')),
    CHECK ((batch IS NULL) = (position IS NULL)),
    CHECK (batch IS NOT NULL OR state NOT IN ('SENT', 'SETTLED', 'REJECTED'))
) STRICT
"""

_INDEXES = (
    "CREATE UNIQUE INDEX one_open_sale ON sales (open)",
    "CREATE INDEX sales_by_batch ON sales (batch, position)",
    "CREATE INDEX unsent_sales ON sales (state, k) WHERE batch IS NULL",
)

_ALLOWED = " OR ".join(
    f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(repr(str(after)) for after in afters)}))"
    for before, afters in MOVES.items()
    if afters
)
# What is written stays: a programming error must not be able to lose a sale.
_GUARDS = (
    "CREATE TRIGGER sales_stay BEFORE DELETE ON sales BEGIN SELECT RAISE(ABORT, 'a sale is never deleted'); END",
    "CREATE TRIGGER batches_stay BEFORE DELETE ON batches BEGIN SELECT RAISE(ABORT, 'a batch is never deleted'); END",
    f"""CREATE TRIGGER sales_move BEFORE UPDATE OF state ON sales
        WHEN NOT (OLD.state = NEW.state OR {_ALLOWED})
        BEGIN SELECT RAISE(ABORT, 'no such change of a sale'); END""",
    """CREATE TRIGGER requests_stay BEFORE UPDATE OF k, amount, payer, epoch, n, request, request_hash ON sales
        BEGIN SELECT RAISE(ABORT, 'a Request is never changed'); END""",
    """CREATE TRIGGER evidence_stays BEFORE UPDATE OF voucher, refusal ON sales
        WHEN OLD.voucher IS NOT NULL OR OLD.refusal IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a voucher or Refusal is never changed'); END""",
    """CREATE TRIGGER batches_frozen BEFORE UPDATE OF number, body, hash, previous, vouchers, refusals ON batches
        BEGIN SELECT RAISE(ABORT, 'a batch is frozen'); END""",
    """CREATE TRIGGER answers_stay BEFORE UPDATE OF answer ON batches
        WHEN OLD.answer IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'an answer is never changed'); END""",
    """CREATE TRIGGER counters_rise BEFORE UPDATE OF next ON counters
        WHEN NEW.next <= OLD.next BEGIN SELECT RAISE(ABORT, 'a counter never falls'); END""",
)
