"""Schema for dishonest and lost parties: standings, rivals of a voucher, losses, refunds, successions (m003)."""

from __future__ import annotations

from sqlite_utils import Database

from server.storage.migrations import SCHEMA
from server.storage.records import VoucherState

_RISK = (
    # `change` numbers all changes of all standings: the serial of the revocation list follows from it
    """
    CREATE TABLE standing (
        id BLOB PRIMARY KEY, status INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,
        change INTEGER NOT NULL UNIQUE
    ) STRICT
    """,
    # genuine vouchers whose (payer, epoch, n) had its row in `voucher` before they came
    """
    CREATE TABLE rival (
        payer INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL, hash BLOB NOT NULL, amount INTEGER NOT NULL,
        request INTEGER NOT NULL, batch INTEGER NOT NULL, state INTEGER NOT NULL,
        PRIMARY KEY (payer, epoch, n, hash)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX rival_request ON rival (batch >> 32, request)",
    f"CREATE INDEX voucher_waiting ON voucher (payer) WHERE state = {VoucherState.REVIEW.value}",
    f"CREATE INDEX voucher_open ON voucher (payer) WHERE state = {VoucherState.OPEN.value}",
    # what `loss` has paid for a card; `moves` counts the changes that no voucher made, so that each has a reference
    """
    CREATE TABLE deficit (
        payer INTEGER PRIMARY KEY REFERENCES purse, lost INTEGER NOT NULL CHECK (lost >= 0), moves INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE TABLE loose_voucher (hash BLOB PRIMARY KEY, raw BLOB NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE two_outcomes (
        request_hash BLOB PRIMARY KEY, culprit BLOB NOT NULL, receipt BLOB NOT NULL, refusal BLOB NOT NULL,
        voucher BLOB NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE lost_refund (
        number INTEGER PRIMARY KEY, purse INTEGER NOT NULL REFERENCES purse, amount INTEGER NOT NULL CHECK (amount > 0),
        destination BLOB, at INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX lost_refund_purse ON lost_refund (purse)",
    "ALTER TABLE till ADD COLUMN succeeds INTEGER REFERENCES till",
    "CREATE INDEX till_succeeds ON till (succeeds) WHERE succeeds IS NOT NULL",
    "ALTER TABLE purse ADD COLUMN replaces INTEGER REFERENCES purse",
    "ALTER TABLE operator_purse ADD COLUMN total_out INTEGER NOT NULL DEFAULT 0",
    "UPDATE operator_purse SET total_out = (SELECT coalesce(sum(amount), 0) FROM load WHERE paid_n IS NOT NULL)",
)

_BOTH = ("UPDATE", "DELETE")
_KEPT = {
    "rival": ("DELETE",),
    "lost_refund": _BOTH,
    "loose_voucher": _BOTH,
    "two_outcomes": _BOTH,
    "standing": ("DELETE",),
}


@SCHEMA()
def m003_risk(db: Database) -> None:
    """Standings, rivals, deficits, refunds, successions."""
    for statement in _RISK:
        db.execute(statement)
    for table, verbs in _KEPT.items():
        for verb in verbs:
            db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is kept'); END"
            )
