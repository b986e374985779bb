"""Schema of how transfers end: what reports and evidence bring, grants and orders given, unloads (m002).

A message is kept once it is verified and never changes; what may change is a state, forward. The rows say what has been
*seen*: what follows from it is decided by `server.reports`, the same way whatever came first.
"""

from __future__ import annotations

from sqlite_utils import Database

from server.storage.migrations import SCHEMA

_VOUCHERS = (
    # every genuine voucher that came outside a batch, equivocating ones too; its payee is a till or a purse
    """
    CREATE TABLE brought_voucher (
        hash BLOB PRIMARY KEY, payer INTEGER NOT NULL REFERENCES purse, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
        payee BLOB NOT NULL, k INTEGER NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0),
        request_hash BLOB NOT NULL, raw BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX brought_voucher_counter ON brought_voucher (payer, epoch, n)",
    "CREATE INDEX brought_voucher_request ON brought_voucher (payee, request_hash)",
    # kind: 1 Receipt (about: H(Voucher)), 2 Refusal (about: H(Request)). is_signed: raw is the message itself; else it
    # is the purse's signed Report that says the same
    """
    CREATE TABLE purse_answer (
        payee BLOB NOT NULL, kind INTEGER NOT NULL CHECK (kind IN (1, 2)), about BLOB NOT NULL, k INTEGER NOT NULL,
        is_signed INTEGER NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (about, payee, kind)
    ) STRICT
    """,
)

_REPORTS = (
    # progress: a sum that rises with everything a purse does but an outcome; the greatest is the newest report
    """
    CREATE TABLE report (
        hash BLOB PRIMARY KEY, purse INTEGER NOT NULL REFERENCES purse, epoch INTEGER NOT NULL,
        total_in INTEGER NOT NULL, total_out INTEGER NOT NULL, total_reversed INTEGER NOT NULL,
        out_acked INTEGER NOT NULL, lifecycle INTEGER NOT NULL, progress INTEGER NOT NULL,
        received_at INTEGER NOT NULL, raw BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX report_newest ON report (purse, epoch, progress)",
    # states: a bit for each state (1 << SlotState) that any report has shown of this voucher, whatever came first
    """
    CREATE TABLE slot_seen (
        payer INTEGER NOT NULL REFERENCES purse, epoch INTEGER NOT NULL, n INTEGER NOT NULL,
        voucher_hash BLOB NOT NULL, states INTEGER NOT NULL, report_hash BLOB NOT NULL REFERENCES report (hash),
        PRIMARY KEY (payer, epoch, n, voucher_hash)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE grant_given (
        hash BLOB PRIMARY KEY, report_hash BLOB NOT NULL REFERENCES report (hash), given_at INTEGER NOT NULL,
        out_acked INTEGER NOT NULL, raw BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE reversal_order (
        voucher_hash BLOB PRIMARY KEY, payer INTEGER NOT NULL REFERENCES purse, epoch INTEGER NOT NULL,
        n INTEGER NOT NULL, reason INTEGER NOT NULL, given_at INTEGER NOT NULL, raw BLOB NOT NULL,
        is_void INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX reversal_order_payer ON reversal_order (payer, epoch, n)",
    """
    CREATE TABLE closing (
        till INTEGER NOT NULL REFERENCES till, request_hash BLOB NOT NULL, closed_at INTEGER NOT NULL,
        raw BLOB NOT NULL, PRIMARY KEY (till, request_hash)
    ) STRICT, WITHOUT ROWID
    """,
)

_UNLOADS = (
    """
    CREATE TABLE unload (
        id TEXT PRIMARY KEY, key_digest BLOB NOT NULL UNIQUE, purse BLOB NOT NULL, epoch INTEGER NOT NULL,
        n INTEGER NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), payee BLOB NOT NULL, k INTEGER NOT NULL,
        request_hash BLOB NOT NULL UNIQUE, request BLOB NOT NULL, asked_at INTEGER NOT NULL,
        voucher_hash BLOB UNIQUE, receipt BLOB, UNIQUE (payee, k),
        CHECK (receipt IS NULL OR voucher_hash IS NOT NULL)
    ) STRICT
    """,
    "CREATE INDEX unload_waiting ON unload (payee, k) WHERE voucher_hash IS NOT NULL AND receipt IS NULL",
    "ALTER TABLE purse ADD COLUMN merchant TEXT REFERENCES merchant",
    # a report may say that a load is collected before its Receipt comes
    "ALTER TABLE load ADD COLUMN is_collected INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE load ADD COLUMN is_reversed INTEGER NOT NULL DEFAULT 0",
    "UPDATE load SET is_collected = 1 WHERE receipt IS NOT NULL",
    "CREATE INDEX load_request ON load (card, request_hash) WHERE request_hash IS NOT NULL",
    "DROP INDEX load_pending",
    "CREATE INDEX load_pending ON load (card) WHERE voucher IS NOT NULL AND is_collected = 0 AND is_reversed = 0",
)

_APPEND_ONLY = ("report", "grant_given", "closing")
_KEPT = ("brought_voucher", "purse_answer", "slot_seen", "reversal_order", "unload")


@SCHEMA()
def m002_endings(db: Database) -> None:
    """Brought vouchers and answers of purses, reports, grants, orders, closings, unloads."""
    for statement in (*_VOUCHERS, *_REPORTS, *_UNLOADS):
        db.execute(statement)
    for table in (*_APPEND_ONLY, *_KEPT):
        db.execute(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    for table in _APPEND_ONLY:
        db.execute(
            f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
