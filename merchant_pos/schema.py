"""The tables of the till's journal (docs/spec/till.md), as migrations: an older version's journal opens here too."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from sqlite_utils import Database, Migrations

from merchant_pos import sales, transfers

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


@migrations()
def m002_sam(database: Database) -> None:
    """Transfers with the merchant's SAM, what a batch carries, a predecessor's sales, the revocation list."""
    for statement in (_TRANSFERS, _INHERITED, _ITEMS, _ITEMS_SO_FAR, _REVOCATIONS, *_INDEXES_2, *_GUARDS_2):
        database.execute(statement)


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


def _allowed(moves: Mapping[Any, tuple[Any, ...]]) -> str:
    return " OR ".join(
        f"(OLD.state = '{before}' AND NEW.state IN ({', '.join(repr(str(after)) for after in afters)}))"
        for before, afters in moves.items()
        if afters
    )


def _moves(name: str, table: str, moves: Mapping[Any, tuple[Any, ...]]) -> str:
    return f"""CREATE TRIGGER {name} BEFORE UPDATE OF state ON {table}
        WHEN NOT (OLD.state = NEW.state OR {_allowed(moves)})
        BEGIN SELECT RAISE(ABORT, 'no such change of a sale'); END"""


# As version 1 had it: a sale that was REJECTED stayed so.
_MOVES_1 = {**sales.MOVES, sales.SaleState.REJECTED: ()}
# What is written stays: a programming error must not be able to lose a sale.
_GUARDS = (
    "CREATE TRIGGER sales_stay BEFORE DELETE ON sales BEGIN SELECT RAISE(ABORT, 'a sale is never deleted'); END",
    "CREATE TRIGGER batches_stay BEFORE DELETE ON batches BEGIN SELECT RAISE(ABORT, 'a batch is never deleted'); END",
    _moves("sales_move", "sales", _MOVES_1),
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

# Version 2 ----------------------------------------------------------------------------------------------------------

# Beside `sales`, because here the payee is a purse with a counter of its own; `k` comes from the same counter of rows.
_TRANSFERS = """
CREATE TABLE transfers (
    k            INTEGER PRIMARY KEY CHECK (k >= 1),
    kind         TEXT NOT NULL CHECK (kind IN ('SALE', 'REFUND')),
    payer        BLOB NOT NULL CHECK (length(payer) = 32),
    epoch        INTEGER NOT NULL,
    n            INTEGER NOT NULL,
    payee        BLOB NOT NULL CHECK (length(payee) = 32),
    amount       INTEGER NOT NULL CHECK (amount >= 1),
    "order"      TEXT NOT NULL,
    order_hash   BLOB NOT NULL CHECK (length(order_hash) = 32),
    original     BLOB CHECK (length(original) = 32),
    state        TEXT NOT NULL CHECK
                 (state IN ('ASKING', 'ASKED', 'UNKNOWN', 'HELD', 'PAID', 'REFUSING', 'REFUSED', 'DROPPED')),
    request      BLOB,
    request_hash BLOB UNIQUE CHECK (length(request_hash) = 32),
    voucher      BLOB,
    voucher_hash BLOB UNIQUE CHECK (length(voucher_hash) = 32),
    receipt      BLOB,
    refusal      BLOB,
    reason       TEXT,
    "left"       INTEGER,
    asked_ms     INTEGER NOT NULL,
    decided_ms   INTEGER,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    told         TEXT NOT NULL DEFAULT 'NOTHING' CHECK (told IN ('NOTHING', 'VOUCHER', 'ALL')),
    verdicts     TEXT,
    announced    INTEGER NOT NULL DEFAULT 0,
    open         INTEGER GENERATED ALWAYS AS (CASE WHEN state IN ('ASKED', 'UNKNOWN') THEN 1 END) VIRTUAL,
    CHECK ((original IS NOT NULL) = (kind = 'REFUND')),
    CHECK ((request IS NULL) = (request_hash IS NULL)),
    CHECK ((request IS NULL) = (state IN ('ASKING', 'DROPPED'))),
    CHECK ((voucher IS NULL) = (voucher_hash IS NULL)),
    CHECK (voucher IS NOT NULL OR state NOT IN ('HELD', 'PAID')),
    CHECK (voucher IS NULL OR state IN ('HELD', 'PAID', 'REFUSED')),
    CHECK ((receipt IS NOT NULL) = (state = 'PAID')),
    CHECK ((refusal IS NOT NULL) = (state = 'REFUSED'))
) STRICT
"""

_INHERITED = """
CREATE TABLE inherited (
    id           INTEGER PRIMARY KEY,
    till         BLOB NOT NULL CHECK (length(till) = 32),
    k            INTEGER NOT NULL CHECK (k >= 1),
    state        TEXT NOT NULL CHECK (state IN ('PAID', 'REFUSED', 'SENT', 'SETTLED', 'REJECTED')),
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
    CHECK ((voucher IS NULL) = (state = 'REFUSED')),
    CHECK ((voucher IS NULL) = (voucher_hash IS NULL)),
    CHECK ((refusal IS NOT NULL) = (state = 'REFUSED')),
    CHECK ((batch IS NULL) = (position IS NULL)),
    CHECK (batch IS NOT NULL OR state NOT IN ('SENT', 'SETTLED', 'REJECTED'))
) STRICT
"""

_ITEMS = """
CREATE TABLE items (
    batch     INTEGER NOT NULL REFERENCES batches (number),
    kind      TEXT NOT NULL CHECK (kind IN ('VOUCHER', 'REFUSAL')),
    position  INTEGER NOT NULL,
    sale      INTEGER REFERENCES sales (k),
    inherited INTEGER REFERENCES inherited (id),
    PRIMARY KEY (batch, kind, position),
    CHECK ((sale IS NULL) <> (inherited IS NULL))
) STRICT
"""

_ITEMS_SO_FAR = """
INSERT INTO items
SELECT batch, CASE WHEN voucher IS NULL THEN 'REFUSAL' ELSE 'VOUCHER' END, position, k, NULL
FROM sales WHERE batch IS NOT NULL
"""

_REVOCATIONS = """
CREATE TABLE revocations (
    subject BLOB PRIMARY KEY CHECK (length(subject) = 32),
    reason  INTEGER NOT NULL
) STRICT
"""

_INDEXES_2 = (
    "CREATE UNIQUE INDEX one_open_transfer ON transfers (open)",
    "CREATE INDEX refunds ON transfers (original) WHERE original IS NOT NULL",
    "CREATE INDEX unsent_inherited ON inherited (state, id) WHERE batch IS NULL",
)

_GUARDS_2 = (
    "DROP TRIGGER sales_move",
    _moves("sales_move", "sales", sales.MOVES),
    _moves("inherited_move", "inherited", sales.MOVES),
    _moves("transfers_move", "transfers", transfers.MOVES),
    *(
        f"CREATE TRIGGER {table}_stay BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'never deleted'); END"
        for table in ("transfers", "inherited")
    ),
    """CREATE TRIGGER plans_stay BEFORE UPDATE OF k, kind, payer, epoch, n, payee, amount, order_hash, original
        ON transfers BEGIN SELECT RAISE(ABORT, 'what was asked for is never changed'); END""",
    """CREATE TRIGGER inherited_evidence_stays BEFORE UPDATE OF till, k, amount, request, request_hash, voucher, refusal
        ON inherited BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END""",
    *(
        f"""CREATE TRIGGER {column}_stays BEFORE UPDATE OF {column} ON transfers
            WHEN OLD.{column} IS NOT NULL AND NEW.{column} IS NOT OLD.{column}
            BEGIN SELECT RAISE(ABORT, 'evidence is never changed'); END"""
        for column in ("request", "voucher", "receipt", "refusal")
    ),
    """CREATE TRIGGER items_stay BEFORE DELETE ON items
        BEGIN SELECT RAISE(ABORT, 'a batch is frozen'); END""",
)
