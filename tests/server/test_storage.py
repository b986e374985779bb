"""The storage: transactions, what the database itself refuses, faults of the disk; and that no service knows SQLite."""

from __future__ import annotations

import ast
import resource
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.ledger.accounts import AccountKind, TransferKind
from server.storage.protocol import Storage, Writer
from server.storage.records import LoadRecord, VoucherState, batch_key, request_prefix
from server.storage.sqlite import SqliteStorage
from support.keys import CARD, NOW
from support.tree import modules
from wallet_core.errors import StorageError


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[SqliteStorage]:
    made = SqliteStorage(tmp_path / "server.db", busy_timeout_ms=50)
    yield made
    made.close()


def connection(tx: Writer) -> sqlite3.Connection:
    found = tx._connection  # type: ignore[attr-defined]
    assert isinstance(found, sqlite3.Connection)
    return found


def issue(tx: Writer, reference: bytes, amount: int) -> None:
    purse = tx.operator_purse()
    if purse is None:
        tx.add_operator_purse(b"p" * 32, 1)
        purse = tx.operator_purse()
    assert purse is not None
    issuance = tx.account(AccountKind.ISSUANCE).number
    tx.add_transfer(TransferKind.ISSUANCE, reference, {issuance: -amount, purse.account: amount}, now=NOW)


def test_sqlite_is_a_storage(storage: SqliteStorage) -> None:
    as_protocol: Storage = storage
    with as_protocol.writing() as tx:
        issue(tx, b"a" * 32, 5)
        assert tx.recount().total == 0


def test_only_the_storage_knows_the_database() -> None:
    words = {"sqlite3", "sqlite_utils"}
    for name, path in modules("server").items():
        imported = {
            alias.name if isinstance(node, ast.Import) else node.module or ""
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert name.startswith("server.storage.") or not {i.split(".")[0] for i in imported} & words


def test_services_ask_for_the_protocol() -> None:
    """Only what wires (app, cli) names the SQLite storage."""
    named = {
        name
        for name, path in modules("server").items()
        if "server.storage.sqlite" in path.read_text(encoding="utf-8") and not name.startswith("server.storage")
    }
    assert named == {"server.app", "server.cli"}


def test_the_database_is_set_for_durability(storage: SqliteStorage) -> None:
    with storage.writing() as tx:
        values = [connection(tx).execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        assert values == ["wal", 2]
        assert connection(tx).execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_every_table_is_strict(storage: SqliteStorage) -> None:
    with storage.reading() as tx:
        tables = tx._connection.execute(  # type: ignore[attr-defined]
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND NOT strict AND name NOT LIKE '%sqlite_%'"
        ).fetchall()
    assert tables == []


def test_only_the_owner_reads_it(storage: SqliteStorage, tmp_path: Path) -> None:
    with storage.writing() as tx:
        issue(tx, b"a" * 32, 5)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"server.db": 0o600, "server.db-wal": 0o600, "server.db-shm": 0o600}


def test_an_exception_rolls_back(storage: SqliteStorage) -> None:
    def fail_in_the_middle() -> None:
        with storage.writing() as tx:
            issue(tx, b"a" * 32, 5)
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_the_middle()
    with storage.reading() as reader:
        assert reader.operator_purse() is None


def test_a_second_opening_finds_what_was_committed(storage: SqliteStorage, tmp_path: Path) -> None:
    with storage.writing() as tx:
        issue(tx, b"a" * 32, 5)
    storage.close()
    again = SqliteStorage(tmp_path / "server.db")
    with again.reading() as tx:
        purse = tx.operator_purse()
        assert purse is not None
        assert purse.balance == 5
    again.close()
    with pytest.raises(StorageError, match="closed"), again.reading():
        raise AssertionError("a closed storage opens nothing")


def test_readers_see_one_moment(storage: SqliteStorage) -> None:
    with storage.writing() as tx:
        issue(tx, b"a" * 32, 5)
    seen: list[int] = []

    def write() -> None:
        with storage.writing() as tx:
            issue(tx, b"b" * 32, 7)

    with storage.reading() as reader:
        seen.append(reader.account(AccountKind.ISSUANCE).balance)
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        seen.append(reader.account(AccountKind.ISSUANCE).balance)
    with storage.reading() as reader:
        seen.append(reader.account(AccountKind.ISSUANCE).balance)
    assert seen == [-5, -5, -12]


class TestTheDatabaseRefuses:
    """What no code can do to the books, because the database does not let it."""

    @pytest.fixture(autouse=True)
    def _books(self, storage: SqliteStorage) -> None:
        self.storage = storage
        with storage.writing() as tx:
            issue(tx, b"a" * 32, 100)

    def refused(self, match: str, *statements: str) -> None:
        with pytest.raises(StorageError, match=match):
            self.run(statements)
        with self.storage.reading() as reader:
            check = reader.recount()
            assert (check.total, check.unbalanced_transfers, check.wrong_balances) == (0, 0, 0)
            assert reader.account(AccountKind.ISSUANCE).balance == -100

    def run(self, statements: tuple[str, ...]) -> None:
        with self.storage.writing() as tx:
            for statement in statements:
                connection(tx).execute(statement)

    @pytest.mark.parametrize("table", ["posting", "transfer"])
    def test_change_or_removal(self, table: str) -> None:
        column = {"posting": "amount", "transfer": "at"}[table]
        self.refused("append-only", f"UPDATE {table} SET {column} = 1")
        self.refused("append-only", f"DELETE FROM {table}")

    def test_a_transfer_that_does_not_sum_to_zero(self) -> None:
        self.refused(
            "sum to zero",
            "INSERT INTO posting VALUES (9, 1, -5)",
            "INSERT INTO posting VALUES (9, 4, 4)",
            "INSERT INTO transfer VALUES (9, 1, x'00', 0)",
        )

    def test_a_transfer_without_postings(self) -> None:
        self.refused("sum to zero", "INSERT INTO transfer VALUES (9, 1, x'00', 0)")

    def test_postings_without_a_transfer(self) -> None:
        self.refused("FOREIGN KEY", "INSERT INTO posting VALUES (9, 1, -5)", "INSERT INTO posting VALUES (9, 4, 5)")

    def test_more_postings_into_a_sealed_transfer(self) -> None:
        self.refused("sealed", "INSERT INTO posting VALUES (1, 2, 5)")

    def test_below_zero(self) -> None:
        self.refused("CHECK", "INSERT INTO posting VALUES (9, 4, -101)")

    def test_the_same_transfer_twice(self) -> None:
        with pytest.raises(StorageError, match="UNIQUE"), self.storage.writing() as tx:
            issue(tx, b"a" * 32, 1)

    def test_a_voucher_disappears(self) -> None:
        with self.storage.writing() as tx:
            row = (1, 1, 1, b"h" * 32, 5, 0, batch_key(1, 1), VoucherState.REVIEW.value)
            assert tx.add_vouchers([row]) == 1
            assert tx.add_vouchers([row]) == 0
        with pytest.raises(StorageError, match="kept"), self.storage.writing() as tx:
            connection(tx).execute("DELETE FROM voucher")


def test_a_change_that_hits_no_row_is_refused(storage: SqliteStorage) -> None:
    with pytest.raises(StorageError, match="touch 0"), storage.writing() as tx:
        tx.collect_load("none", b"receipt")
    with pytest.raises(StorageError, match="no account"), storage.reading() as reader:
        reader.account(AccountKind.WALLET, "nobody")


def test_one_counter_pays_one_load(storage: SqliteStorage) -> None:
    def load(name: str) -> LoadRecord:
        return LoadRecord(name, name.encode(), CARD.id, 5, bytes(32), b"p" * 32, 1, 1)

    with storage.writing() as tx:
        issue(tx, b"a" * 32, 100)
        for name in ("one", "two"):
            tx.add_load(load(name), now=NOW)
        tx.pay_load("one", b"r" * 32, b"voucher", b"v" * 32)
        connection(tx).execute("UPDATE operator_purse SET next_n = 1")
        with pytest.raises(sqlite3.IntegrityError):
            tx.pay_load("two", b"s" * 32, b"voucher", b"w" * 32)


def test_many_ids_at_once(storage: SqliteStorage) -> None:
    ids = [number.to_bytes(32, "big") for number in range(1_200)]
    with storage.writing() as tx:
        for purse_id in ids:
            tx.add_purse(purse_id, b"certificate", None, now=NOW)
    with storage.reading() as reader:
        assert sorted(record.id for record in reader.purses(ids)) == ids
        accounts = [record.card_account for record in reader.purses(ids)]
        assert reader.headroom(accounts) == dict.fromkeys(accounts, 0)


def test_a_card_that_has_paid_too_much_is_seen(storage: SqliteStorage) -> None:
    with storage.writing() as tx:
        issue(tx, b"a" * 32, 100)
        purse = tx.operator_purse()
        assert purse is not None
        card = tx.add_purse(CARD.id, b"certificate", None, now=NOW)
        wallet = tx.add_merchant("m", "Merchant", now=NOW).wallet
        load = {purse.account: -50, card.flight_account: 50}
        tx.add_transfer(TransferKind.LOAD, b"l" * 32, load, now=NOW)
        tx.add_transfer(TransferKind.DEPOSIT, b"d" * 32, {card.card_account: -50, wallet: 50}, now=NOW)
        assert not tx.is_overdrawn([card.card_account])  # only its Receipt is late
        tx.add_transfer(TransferKind.DEPOSIT, b"e" * 32, {card.card_account: -1, wallet: 1}, now=NOW)
        assert tx.is_overdrawn([card.card_account])
        assert not tx.is_overdrawn([card.flight_account])  # somebody else's debt is nobody's else


@pytest.mark.parametrize(("first", "number"), [(b"\x00" * 8, 0), (b"\xff" * 8, -1), (b"\x80" + bytes(7), -(2**63))])
def test_a_prefix_fits_a_column(first: bytes, number: int) -> None:
    assert request_prefix(first + b"\x11" * 24) == number


class TestFaults:
    def test_locked_by_another_process(self, storage: SqliteStorage, tmp_path: Path) -> None:
        other = sqlite3.connect(tmp_path / "server.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for refused in (storage.probe, lambda: issue_into(storage)):
            with pytest.raises(StorageError, match="locked"):
                refused()
        other.execute("ROLLBACK")
        other.close()
        issue_into(storage)

    def test_disk_full(self, storage: SqliteStorage, tmp_path: Path) -> None:
        with storage.writing() as tx:
            issue(tx, b"a" * 32, 5)
        with no_more_than(tmp_path / "server.db-wal"):
            for refused in (storage.probe, lambda: issue_into(storage)):
                with pytest.raises(StorageError):
                    refused()
            with storage.reading() as reader:
                assert reader.account(AccountKind.ISSUANCE).balance == -5
        issue_into(storage)
        storage.probe()

    def test_not_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "server.db").write_bytes(b"something else" * 1_000)
        with pytest.raises(StorageError, match="not a database"):
            SqliteStorage(tmp_path / "server.db")

    def test_no_such_directory(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="No such file"):
            SqliteStorage(tmp_path / "missing" / "server.db")


def issue_into(storage: SqliteStorage) -> None:
    with storage.writing() as tx:
        issue(tx, b"z" * 32, 7)


@contextmanager
def no_more_than(grown: Path) -> Iterator[None]:
    """No file of this process grows beyond the size that `grown` has now (RLIMIT_FSIZE): a full disk to its writers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (grown.stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
