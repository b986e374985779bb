"""The schema, as a series of migrations (sqlite-utils); each is applied once, in its own transaction.

Tables are STRICT. What must never change is guarded by triggers: postings and transfers are append-only, a transfer is
sealed by its row and must sum to zero, an account's balance is the sum of its postings. All amounts are fen.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

from server.ledger.accounts import AccountKind

SCHEMA = Migrations("ecny-server")

_BELOW_ZERO = ", ".join(str(kind.value) for kind in AccountKind if kind.may_be_negative)

_CARD = AccountKind.CARD.value

_LEDGER = (
    f"""
    CREATE TABLE account (
        number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, owner TEXT NOT NULL, balance INTEGER NOT NULL DEFAULT 0,
        UNIQUE (kind, owner), CHECK (balance >= 0 OR kind IN ({_BELOW_ZERO}))
    ) STRICT
    """,
    # empty in most books: after a deposit it says at once whether a card has paid more than it was proved to receive
    f"CREATE INDEX account_card_below_zero ON account (number) WHERE kind = {_CARD} AND balance < 0",
    """
    CREATE TABLE transfer (
        number INTEGER PRIMARY KEY, kind INTEGER NOT NULL, reference BLOB NOT NULL, at INTEGER NOT NULL,
        UNIQUE (kind, reference)
    ) STRICT
    """,
    """
    CREATE TABLE posting (
        transfer INTEGER NOT NULL REFERENCES transfer DEFERRABLE INITIALLY DEFERRED,
        account INTEGER NOT NULL REFERENCES account, amount INTEGER NOT NULL CHECK (amount <> 0),
        PRIMARY KEY (transfer, account)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TRIGGER posting_moves_balance AFTER INSERT ON posting BEGIN
        UPDATE account SET balance = balance + NEW.amount WHERE number = NEW.account;
    END
    """,
    """
    CREATE TRIGGER posting_into_sealed_transfer BEFORE INSERT ON posting
    WHEN EXISTS (SELECT 1 FROM transfer WHERE number = NEW.transfer) BEGIN
        SELECT RAISE(ABORT, 'a transfer is sealed by its row: no posting after it');
    END
    """,
    """
    CREATE TRIGGER transfer_sums_to_zero BEFORE INSERT ON transfer
    WHEN (SELECT sum(amount) FROM posting WHERE transfer = NEW.number) <> 0
      OR NOT EXISTS (SELECT 1 FROM posting WHERE transfer = NEW.number) BEGIN
        SELECT RAISE(ABORT, 'the postings of a transfer sum to zero');
    END
    """,
)

_PARTIES = (
    """
    CREATE TABLE purse (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, certificate BLOB NOT NULL, serial BLOB UNIQUE,
        card_account INTEGER NOT NULL UNIQUE REFERENCES account,
        flight_account INTEGER NOT NULL UNIQUE REFERENCES account,
        enrolled_at INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE merchant (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, wallet INTEGER NOT NULL REFERENCES account,
        enrolled_at INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE enrolment_code (
        digest BLOB PRIMARY KEY, merchant TEXT NOT NULL REFERENCES merchant, expires INTEGER NOT NULL, till BLOB
    ) STRICT
    """,
    """
    CREATE TABLE till (
        number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, certificate BLOB NOT NULL,
        merchant TEXT NOT NULL REFERENCES merchant, last_number INTEGER NOT NULL DEFAULT 0,
        last_hash BLOB NOT NULL DEFAULT (zeroblob(32)), enrolled_at INTEGER NOT NULL
    ) STRICT
    """,
)

_LOADS = (
    """
    CREATE TABLE operator_purse (
        id BLOB PRIMARY KEY, epoch INTEGER NOT NULL, next_n INTEGER NOT NULL DEFAULT 1,
        account INTEGER NOT NULL REFERENCES account
    ) STRICT
    """,
    "CREATE TABLE issuance (hash BLOB PRIMARY KEY, serial INTEGER NOT NULL UNIQUE, raw BLOB NOT NULL) STRICT",
    """
    CREATE TABLE load (
        id TEXT PRIMARY KEY, key_digest BLOB NOT NULL UNIQUE, card BLOB NOT NULL,
        amount INTEGER NOT NULL CHECK (amount > 0), order_hash BLOB NOT NULL, payer BLOB NOT NULL,
        epoch INTEGER NOT NULL, n INTEGER NOT NULL, asked_at INTEGER NOT NULL,
        request_hash BLOB, voucher BLOB, voucher_hash BLOB UNIQUE, paid_n INTEGER, receipt BLOB,
        UNIQUE (payer, epoch, paid_n), CHECK ((voucher IS NULL) = (paid_n IS NULL)),
        CHECK (receipt IS NULL OR voucher IS NOT NULL)
    ) STRICT
    """,
    "CREATE INDEX load_pending ON load (card) WHERE voucher IS NOT NULL AND receipt IS NULL",
)

_DEPOSITS = (
    # key: the till's number in the upper half, the batch's in the lower 32 bits
    """
    CREATE TABLE batch (
        key INTEGER PRIMARY KEY, hash BLOB NOT NULL, answer BLOB NOT NULL, received_at INTEGER NOT NULL,
        raw BLOB NOT NULL
    ) STRICT
    """,
    # the hot table: one lean row for each genuine voucher, appended; its bytes are in its batch
    """
    CREATE TABLE voucher (
        payer INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL, hash BLOB NOT NULL, amount INTEGER NOT NULL,
        request INTEGER NOT NULL, batch INTEGER NOT NULL, state INTEGER NOT NULL,
        UNIQUE (payer, epoch, n)
    ) STRICT
    """,
    # by till first: a batch then changes the few pages of its own till, not pages all over the index
    "CREATE INDEX voucher_request ON voucher (batch >> 32, request)",
    """
    CREATE TABLE refusal (
        till INTEGER NOT NULL REFERENCES till, request_hash BLOB NOT NULL, raw BLOB NOT NULL,
        PRIMARY KEY (till, request_hash)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE evidence (
        payer INTEGER NOT NULL, epoch INTEGER NOT NULL, n INTEGER NOT NULL, second_hash BLOB NOT NULL,
        first BLOB NOT NULL, second BLOB NOT NULL, PRIMARY KEY (payer, epoch, n, second_hash)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE probe (number INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT",
)

_APPEND_ONLY = ("transfer", "posting", "issuance", "batch", "refusal", "evidence")


@SCHEMA()
def m001_books(db: Database) -> None:
    """Accounts, parties, loads, deposits."""
    for statement in (*_LEDGER, *_PARTIES, *_LOADS, *_DEPOSITS):
        db.execute(statement)
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    db.execute("CREATE TRIGGER voucher_no_delete BEFORE DELETE ON voucher BEGIN SELECT RAISE(ABORT, 'kept'); END")
    for kind in (AccountKind.ISSUANCE, AccountKind.REDEEMED, AccountKind.LOSS):
        db.execute("INSERT INTO account (kind, owner) VALUES (?, '')", [kind.value])
    db.execute("INSERT INTO probe VALUES (1, 0)")
