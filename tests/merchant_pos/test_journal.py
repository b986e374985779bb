"""merchant_pos.journal: durable, contiguous, and guarded by the database itself against losing a sale."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from merchant_pos.decisions import make_request
from merchant_pos.journal import Contents, Journal
from merchant_pos.sales import MOVES, Order, Sale, SaleState
from merchant_pos.schema import migrations
from merchant_pos.transfers import FINAL, Kind, Plan, Transfer, TransferState
from merchant_pos.transfers import MOVES as TRANSFER_MOVES
from support.keys import CARD, MERCHANT_PURSE, NOW, OPERATOR, TILL
from support.till import FakeCard
from support.tree import ROOT
from wallet_core.certificates import CertificateClass
from wallet_core.errors import ConfigurationError, OutcomeUnknownError, StorageError
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus, Request, Signed
from wallet_core.suites import Suite

ORDER = Order(6_800, "noodles")
MAKE_TWO = """
import sys
from pathlib import Path
from merchant_pos.journal import Journal
Journal(Path(sys.argv[1]), till=bytes.fromhex(sys.argv[2]), now_ms=lambda: 0).close()
"""


def open_journal(path: Path) -> Journal:
    return Journal(path, till=TILL.id, now_ms=lambda: NOW * 1000)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = open_journal(tmp_path / "till" / "till.db")
    yield made
    made.close()


def ask(journal: Journal, n: int = 1) -> Sale:
    def make(k: int) -> Request:
        return make_request(ORDER, replace(FakeCard().select(), next_n=n), till=TILL.id, k=k)

    return journal.ask(ORDER, make)


def pay(journal: Journal, n: int = 1) -> Sale:
    sale = ask(journal, n)
    return journal.paid(sale.k, b"voucher %d" % sale.k, sale.request.hash, None)


def build(contents: Contents) -> tuple[bytes, bytes]:
    return b"batch %d" % contents.number, bytes([contents.number]) * 32


def answer(number: int, statuses: tuple[DepositStatus, ...], refusals: int = 0) -> DepositAnswer:
    return DepositAnswer(
        suite=Suite.ES256,
        operator=OPERATOR.id,
        payee=TILL.id,
        number=number,
        batch_hash=bytes([number]) * 32,
        credited=0,
        voucher_statuses=statuses,
        refusal_statuses=(RefusalStatus.RECORDED,) * refusals,
    )


def raw(journal: Journal) -> sqlite3.Connection:
    return journal._db


# The file -----------------------------------------------------------------------------------------------------------


def test_it_is_kept_with_wal_and_full_synchronisation(journal: Journal) -> None:
    assert raw(journal).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw(journal).execute("PRAGMA synchronous").fetchone() == (2,)
    assert raw(journal).execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_every_table_is_strict(journal: Journal) -> None:
    rows = raw(journal).execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    strict = {name: bool(flag) for name, flag in rows if not name.startswith(("sqlite_", "_sqlite_"))}
    tables = ("facts", "counters", "certificates", "policies", "batches", "sales")
    assert strict == dict.fromkeys((*tables, "transfers", "inherited", "items", "revocations"), True)


def test_only_the_owner_may_read_it(journal: Journal, tmp_path: Path) -> None:
    assert (tmp_path / "till" / "till.db").stat().st_mode & 0o077 == 0


def test_opening_again_migrates_nothing(tmp_path: Path) -> None:
    open_journal(tmp_path / "till.db").close()
    again = open_journal(tmp_path / "till.db")
    rows = raw(again).execute("SELECT name FROM _sqlite_migrations").fetchall()
    assert rows == [("m001_journal",), ("m002_sam",)]
    assert len(rows) == len(migrations._migrations)
    again.close()


def test_a_journal_of_the_first_version_opens_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Its batches keep their places, and what was REJECTED may be handed in again."""
    path = tmp_path / "till.db"
    old = sqlite3.connect(path, isolation_level=None)
    migrations.apply(Database(old, execute_plugins=False), stop_before="m002_sam")
    request = make_request(ORDER, FakeCard().select(), till=TILL.id, k=1)
    old.execute("UPDATE counters SET next = 4 WHERE name = 'k'")
    old.execute("UPDATE counters SET next = 2 WHERE name = 'batch'")
    old.execute(
        "INSERT INTO batches (number, body, hash, previous, vouchers, refusals, frozen_ms, answer, credited) "
        "VALUES (1, x'00', ?, ?, 2, 1, 1, x'01', 6800)",
        (b"\1" * 32, bytes(32)),
    )
    for k, state, position, status in ((1, "SETTLED", 0, 0), (2, "REJECTED", 1, 9), (3, "REFUSED", 0, 0)):
        asked = replace(request, k=k, n=k)
        voucher = None if state == "REFUSED" else b"voucher %d" % k
        old.execute(
            'INSERT INTO sales (k, state, amount, payer, epoch, n, "order", request, request_hash, voucher, '
            "voucher_hash, refusal, asked_ms, batch, position, status) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1, ?, ?)",
            (
                *(k, state, asked.amount, asked.payer, asked.epoch, asked.n, "o", asked.to_payload(), asked.hash),
                *(voucher, voucher and asked.hash, None if voucher else b"refusal", position, status),
            ),
        )
    old.close()
    journal = open_journal(path)
    paid, refused = journal.in_batch(1)
    assert [[sale.k for sale in sales] for sales in (paid, refused)] == [[1, 2], [3]]
    again = journal.freeze(10, 10, build, again_up_to=1)
    assert again is not None
    assert (again.number, again.previous, [sale.k for sale in journal.in_batch(2)[0]]) == (2, b"\1" * 32, [2])
    assert [sale.k for sale in journal.in_batch(1)[0]] == [1, 2]
    assert journal.transfers() == []
    journal.close()


def test_two_processes_may_make_it_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_TWO, str(tmp_path / "till.db"), TILL.id.hex()]
    both = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]


def test_the_journal_of_another_till_is_refused(tmp_path: Path) -> None:
    open_journal(tmp_path / "till.db").close()
    with pytest.raises(ConfigurationError):
        Journal(tmp_path / "till.db", till=CARD.id, now_ms=lambda: 0)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(range(256)) * 20])
def test_a_damaged_file_is_a_storage_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "till.db").write_bytes(content)
    with pytest.raises(StorageError):
        open_journal(tmp_path / "till.db")
    assert (tmp_path / "till.db").read_bytes() == content


def test_a_directory_that_cannot_be_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        open_journal(tmp_path / "file" / "till.db")


# Sales --------------------------------------------------------------------------------------------------------------


def test_k_is_contiguous_and_never_used_again(journal: Journal) -> None:
    assert [pay(journal, n).k for n in (1, 2, 3)] == [1, 2, 3]


def test_a_request_that_cannot_be_made_uses_no_k(journal: Journal) -> None:
    def fail(_: int) -> Request:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError):
        journal.ask(ORDER, fail)
    assert pay(journal).k == 1


def test_one_sale_at_most_is_open(journal: Journal) -> None:
    first = ask(journal)
    with pytest.raises(OutcomeUnknownError):
        ask(journal, 2)
    journal.mark_unknown(first.k, "lost")
    with pytest.raises(OutcomeUnknownError):
        ask(journal, 2)
    assert [sale.k for sale in journal.sales()] == [1]


def test_the_database_itself_lets_one_sale_be_open(journal: Journal) -> None:
    ask(journal)
    with pytest.raises(sqlite3.IntegrityError, match=r"sales\.open"):
        raw(journal).execute(
            'INSERT INTO sales (k, state, amount, payer, epoch, n, "order", request, request_hash, asked_ms) '
            'SELECT 2, state, amount, payer, epoch, n, "order", request, randomblob(32), asked_ms FROM sales'
        )


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sales",
        "UPDATE sales SET amount = 1",
        "UPDATE sales SET request = x'00'",
        "UPDATE sales SET voucher = x'00'",
        "UPDATE sales SET state = 'ASKED', voucher = NULL, voucher_hash = NULL",
        "UPDATE sales SET state = 'REFUSED', voucher = NULL, voucher_hash = NULL, refusal = x'00'",
        "UPDATE sales SET state = 'SETTLED'",
        "UPDATE sales SET state = 'FORGOTTEN'",
        "UPDATE counters SET next = 1",
    ],
)
def test_what_is_written_stays(journal: Journal, statement: str) -> None:
    pay(journal)
    before = journal.sales()
    with pytest.raises(sqlite3.IntegrityError):
        raw(journal).execute(statement)
    assert journal.sales() == before


def test_final_states_have_no_way_out() -> None:
    final = {state for state, after in MOVES.items() if not after}
    assert final == {SaleState.REFUSED, SaleState.SETTLED}
    assert MOVES[SaleState.REJECTED] == (SaleState.SENT,)  # what is under review is handed in again
    assert set(MOVES) == set(SaleState)
    assert not any(state in MOVES[state] for state in SaleState)


def test_no_method_can_leave_a_final_state(journal: Journal) -> None:
    sale = ask(journal)
    journal.refused(sale.k, b"refusal", "CANCELLED")
    with pytest.raises(StorageError):
        journal.paid(sale.k, b"voucher", bytes(32), None)
    with pytest.raises(StorageError):
        journal.mark_unknown(sale.k, "late")
    assert journal.sale(sale.k).state is SaleState.REFUSED


def test_one_voucher_pays_one_sale(journal: Journal) -> None:
    pay(journal)
    second = ask(journal, 2)
    with pytest.raises(StorageError):
        journal.paid(second.k, b"again", journal.sale(1).voucher_hash or b"", None)
    assert journal.open_sale() == second


def test_what_is_not_there_is_a_storage_error(journal: Journal) -> None:
    for call in (lambda: journal.sale(9), lambda: journal.paid(9, b"", bytes(32), None), lambda: journal.batch(9)):
        with pytest.raises(StorageError):
            call()


class _GoneAfterCommit:
    """The journal's disk, which cannot be read any more once a commit has returned."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.gone = False

    @property
    def in_transaction(self) -> bool:
        return self.db.in_transaction

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        if self.gone:
            raise sqlite3.OperationalError("disk I/O error")
        done = self.db.execute(sql, values)
        self.gone = sql == "COMMIT"
        return done

    def executemany(self, sql: str, values: Sequence[Sequence[object]]) -> sqlite3.Cursor:
        return self.db.executemany(sql, values)


@pytest.mark.parametrize(
    ("before", "change", "state"),
    [
        ([], lambda journal: ask(journal), SaleState.ASKED),
        ([ask], lambda journal: journal.mark_unknown(1, "lost"), SaleState.UNKNOWN),
        ([ask], lambda journal: journal.paid(1, b"voucher", bytes(32), 7), SaleState.PAID),
        ([ask], lambda journal: journal.refused(1, b"refusal", "STALE"), SaleState.REFUSED),
    ],
    ids=["ask", "unknown", "paid", "refused"],
)
def test_what_is_committed_is_answered_without_another_read(
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Callable[[Journal], Sale]],
    change: Callable[[Journal], Sale],
    state: SaleState,
) -> None:
    for step in before:
        step(journal)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_db", _GoneAfterCommit(raw(journal)))
        sale = change(journal)
    assert (sale.state, sale) == (state, journal.sale(1))


def test_a_batch_that_is_committed_is_answered_without_another_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(journal)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_db", _GoneAfterCommit(raw(journal)))
        batch = journal.freeze(10, 10, build)
    assert batch == journal.batch(1)


def test_certificates_are_kept_by_id_and_renewed(journal: Journal) -> None:
    assert journal.certificate(CARD.id) is None
    journal.keep_certificate(CARD.id, CertificateClass.HARD_WALLET, b"old")
    journal.keep_certificate(CARD.id, CertificateClass.HARD_WALLET, b"new")
    assert journal.certificate(CARD.id) == b"new"


def test_policies_are_kept_by_operator_class_and_version(journal: Journal) -> None:
    journal.keep_policy(OPERATOR.id, 3, 1, b"first")
    journal.keep_policy(OPERATOR.id, 3, 2, b"second")
    journal.keep_policy(OPERATOR.id, 3, 1, b"another content for one version")
    assert [journal.policy(OPERATOR.id, 3, version) for version in (1, 2, 3)] == [b"first", b"second", None]
    assert journal.policy(OPERATOR.id, 4, 1) is None


# Outbox -------------------------------------------------------------------------------------------------------------


def test_batches_are_numbered_chained_and_hold_each_sale_once(journal: Journal) -> None:
    for n in range(1, 6):
        pay(journal, n)
    seen: list[tuple[int, list[int], bytes]] = []

    def note(contents: Contents) -> tuple[bytes, bytes]:
        seen.append((contents.number, [sale.k for sale in contents.paid], contents.previous))
        return build(contents)

    while journal.freeze(2, 10, note):
        pass
    assert seen == [(1, [1, 2], bytes(32)), (2, [3, 4], b"\1" * 32), (3, [5], b"\2" * 32)]
    assert {sale.state for sale in journal.sales()} == {SaleState.SENT}
    assert [batch.number for batch in journal.unanswered()] == [1, 2, 3]


def test_refusals_go_out_and_stay_refused(journal: Journal) -> None:
    sale = ask(journal)
    journal.refused(sale.k, b"refusal", "STALE")
    assert journal.unsent_refusals() == 1
    batch = journal.freeze(10, 10, build)
    assert batch is not None
    assert (batch.vouchers, batch.refusals) == (0, 1)
    assert journal.unsent_refusals() == 0
    journal.settle(1, b"answer", answer(1, (), refusals=1))
    assert (journal.sale(1).state, journal.sale(1).status) == (SaleState.REFUSED, 0)
    assert journal.freeze(10, 10, build) is None


def test_an_open_sale_is_not_sent(journal: Journal) -> None:
    ask(journal)
    assert journal.freeze(10, 10, build) is None
    journal.mark_unknown(1, "lost")
    assert journal.freeze(10, 10, build) is None


def test_a_batch_that_cannot_be_built_takes_no_number(journal: Journal) -> None:
    pay(journal)

    def fail(_: Contents) -> tuple[bytes, bytes]:
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError):
        journal.freeze(10, 10, fail)
    assert journal.sale(1).state is SaleState.PAID
    batch = journal.freeze(10, 10, build)
    assert batch is not None
    assert batch.number == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE batches SET body = x'00'",
        "UPDATE batches SET number = 2",
        "UPDATE batches SET previous = randomblob(32)",
        "UPDATE batches SET answer = x'00'",
        "DELETE FROM batches",
    ],
)
def test_a_batch_is_frozen_and_an_answer_stays(journal: Journal, statement: str) -> None:
    pay(journal)
    journal.freeze(10, 10, build)
    journal.settle(1, b"answer", answer(1, (DepositStatus.SETTLED,)))
    before = journal.batch(1)
    with pytest.raises(sqlite3.IntegrityError):
        raw(journal).execute(statement)
    assert journal.batch(1) == before


def test_each_sale_gets_its_own_status(journal: Journal) -> None:
    for n in (1, 2, 3):
        pay(journal, n)
    journal.freeze(10, 10, build)
    statuses = (DepositStatus.SETTLED, DepositStatus.REVIEW, DepositStatus.SETTLED)
    journal.settle(1, b"answer", answer(1, statuses))
    states = [(sale.state, sale.status) for sale in journal.sales()]
    assert states == [(SaleState.SETTLED, 0), (SaleState.REJECTED, 9), (SaleState.SETTLED, 0)]
    assert journal.unanswered() == []
    assert journal.tallies()[SaleState.SETTLED].amount == 2 * 6_800


def test_an_answer_with_too_few_statuses_changes_nothing(journal: Journal) -> None:
    pay(journal)
    journal.freeze(10, 10, build)
    with pytest.raises(ValueError, match="zip"):
        journal.settle(1, b"answer", answer(1, ()))
    assert journal.batch(1).answer is None
    assert journal.sale(1).state is SaleState.SENT


def test_failed_attempts_are_counted_and_leave_the_batch_as_it_is(journal: Journal) -> None:
    pay(journal)
    frozen = journal.freeze(10, 10, build)
    journal.attempt_failed(1, "server-unreachable: no")
    journal.attempt_failed(1, "server-unreachable: still no")
    batch = journal.batch(1)
    assert (batch.attempts, batch.last_error) == (2, "server-unreachable: still no")
    assert frozen is not None
    assert batch.body == frozen.body


# Transfers with the merchant's SAM ----------------------------------------------------------------------------------


def plan(**changes: object) -> Plan:
    base = Plan(
        kind=Kind.SALE,
        payer=CARD.id,
        epoch=1,
        n=1,
        payee=MERCHANT_PURSE.id,
        amount=6_800,
        order="noodles",
        order_hash=bytes(32),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def hold(journal: Journal, number: int = 1) -> Transfer:
    one = journal.begin(plan(n=number))
    journal.requested(one.k, b"request %d" % number, bytes([number]) * 32)
    return journal.held(one.k, b"voucher %d" % number, bytes([100 + number]) * 32, None)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM transfers",
        "UPDATE transfers SET amount = 1",
        "UPDATE transfers SET payee = payer",
        "UPDATE transfers SET request = x'00'",
        "UPDATE transfers SET voucher = x'00'",
        "UPDATE transfers SET state = 'ASKED', voucher = NULL, voucher_hash = NULL",
        "UPDATE transfers SET state = 'REFUSING', voucher = NULL, voucher_hash = NULL",
        "UPDATE transfers SET state = 'PAID'",
        "UPDATE transfers SET state = 'DROPPED', request = NULL, request_hash = NULL",
        "UPDATE transfers SET state = 'FORGOTTEN'",
        "UPDATE transfers SET original = zeroblob(32)",
    ],
)
def test_what_is_written_of_a_transfer_stays(journal: Journal, statement: str) -> None:
    hold(journal)
    before = journal.transfers()
    with pytest.raises(sqlite3.IntegrityError):
        raw(journal).execute(statement)
    assert journal.transfers() == before


def test_the_moves_of_a_transfer_are_those_of_the_page() -> None:
    final = {state for state, after in TRANSFER_MOVES.items() if not after}
    assert final == set(FINAL)
    assert set(TRANSFER_MOVES) == set(TransferState)
    page = (ROOT / "docs" / "spec" / "statuses.md").read_text(encoding="utf-8")
    section = page.split("## A transfer with the merchant's SAM")[1].split("\n## ")[0]
    assert re.findall(r"^\| ([A-Z]+) \|", section, re.MULTILINE) == [state.value for state in TransferState]


def test_sales_and_transfers_share_their_numbers_and_the_one_that_may_be_open(journal: Journal) -> None:
    assert [pay(journal).k, hold(journal).k, pay(journal, 2).k] == [1, 2, 3]
    one = journal.begin(plan(n=9))
    assert pay(journal, 3).k == 5  # while the SAM is asked no card has been
    journal.requested(one.k, b"request", bytes(32))
    for begin in (lambda: ask(journal, 4), lambda: journal.begin(plan(n=10))):
        with pytest.raises(OutcomeUnknownError):
            begin()
    journal.refusing(one.k, "CANCELLED")
    sale = ask(journal, 4)
    with pytest.raises(OutcomeUnknownError):
        journal.begin(plan(n=10))
    assert journal.open_sale() == sale


def test_the_database_itself_lets_one_transfer_be_open(journal: Journal) -> None:
    one, other = journal.begin(plan()), journal.begin(plan(n=2))
    journal.requested(one.k, b"request", bytes(32))
    with pytest.raises(StorageError, match=r"transfers\.open"):
        journal.requested(other.k, b"another", bytes([1]) * 32)


def test_what_is_committed_of_a_transfer_is_answered_without_another_read(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = hold(journal)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_db", _GoneAfterCommit(raw(journal)))
        paid = journal.collected(one.k, b"receipt", 7)
    assert (paid.state, paid.left, paid) == (TransferState.PAID, 7, journal.transfer(one.k))


def test_taking_over_transfers_twice_is_taking_them_over_once(journal: Journal, tmp_path: Path) -> None:
    request = make_request(ORDER, FakeCard().select(), till=MERCHANT_PURSE.id, k=1)
    one = journal.begin(plan())
    held = journal.requested(one.k, Signed.sign(request, MERCHANT_PURSE.key).to_bytes(), request.hash)
    held = journal.held(one.k, b"voucher", bytes(32), 5)
    successor = open_journal(tmp_path / "next.db")
    pay(successor)
    assert (successor.adopt([held]), successor.adopt([held])) == (1, 0)
    (adopted,) = successor.transfers()
    assert replace(adopted, k=held.k, left=held.left) == held
    assert adopted.k == 2
    successor.close()
