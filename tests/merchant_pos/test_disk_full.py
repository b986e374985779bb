"""A disk that fills up, for a real till process (RLIMIT_FSIZE) and for SQLite itself (max_page_count).

Whatever write is the first that fails: a typed exit code, PAID only what is on disk, and everything ends well once
there is room again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from merchant_pos.decisions import Result
from merchant_pos.sales import Order, SaleState
from support.till import FakeCard, FakeReader, Pins, Till
from support.till_http import operator_server
from support.till_process import TillProcess
from wallet_core.errors import ExitCode, StorageError

MakeTill = Callable[..., TillProcess]
ALLOWED = {ExitCode.OK, ExitCode.STORAGE, ExitCode.OUTCOME_UNKNOWN}


def test_a_sale_on_a_disk_that_fills_up(make_till: MakeTill) -> None:
    till = make_till()
    assert till.run("charge", "1.00").code == 0
    seen: set[int] = set()
    sold = 100
    for kilobytes in range(4, 72, 4):
        done = till.run("charge", "1.00", "--retap-seconds", "0", max_file=kilobytes * 1024)
        seen.add(done.code)
        assert done.code in ALLOWED, done.err
        assert ("PAID" in done.out) is (done.code == ExitCode.OK)
        if till.run("status", "--json").facts["open"] is not None:
            assert till.run("resume").code == 0
        sold = sum(sale.amount for sale in till.sales() if sale.state.is_paid)
        assert sum(till.debits().values()) == sold
        assert till.harm() == {"lost": 0, "doubled": 0}
    assert seen == ALLOWED  # the limits met all three: room enough, none to ask, none to say PAID
    assert sold > 100


def test_a_sync_on_a_disk_that_fills_up(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        seen: set[int] = set()
        for kilobytes in range(4, 100, 8):
            assert till.run("charge", "1.00").code == 0
            done = till.run("sync", "--attempts", "1", max_file=kilobytes * 1024)
            seen.add(done.code)
            assert done.code in (ExitCode.OK, ExitCode.STORAGE), done.err
            assert (done.code == ExitCode.OK) is all(sale.state is SaleState.SETTLED for sale in till.sales())
        assert till.run("sync").code == 0
        assert seen == {ExitCode.OK, ExitCode.STORAGE}
        sales = till.sales()
        assert {sale.state for sale in sales} == {SaleState.SETTLED}
        assert server.operator.credited == {sale.voucher_hash: 100 for sale in sales}


def test_sqlite_says_full_and_the_sale_goes_on_when_there_is_room(tmp_path: Path) -> None:
    till = Till(tmp_path / "till.db")
    card = FakeCard()
    db = till.journal._db

    def fill() -> None:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    def sell() -> Result:
        reader = FakeReader(till.clock, card)
        return till.checkout.charge(Order(100, "tea"), reader, Pins(), tap_seconds=1, retap_seconds=1).result

    assert sell() is Result.PAID
    fill()
    outcomes: set[str] = set()
    for _ in range(15):
        try:
            outcomes.add(sell().name)
        except StorageError:
            outcomes.add("StorageError")
            break
        if till.journal.open_sale() is not None:
            break
    assert outcomes - {"PAID"}, "the file never filled up"
    db.execute("PRAGMA max_page_count = 1000000")
    if till.journal.open_sale() is not None:
        resumed = till.checkout.resume(FakeReader(till.clock, card), Pins(), retap_seconds=1)
        assert resumed.result is Result.PAID
    assert sum(sale.amount for sale in till.journal.sales() if sale.state.is_paid) == card.spent
    till.journal.close()


def test_a_disk_that_breaks_right_after_paid_is_committed_has_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is PAID on disk is said to be PAID; "tap again" would send a holder who has paid back to the reader."""
    till, card = Till(tmp_path / "till.db"), FakeCard()
    real = till.journal._rows

    def rows(sql: str, values: Sequence[object] = ()) -> list[Any]:
        if any(row[0] == SaleState.PAID for row in real("SELECT state FROM sales")):
            raise StorageError("the journal cannot be used: disk I/O error")
        return real(sql, values)

    with monkeypatch.context() as patch:
        patch.setattr(till.journal, "_rows", rows)
        reader = FakeReader(till.clock, card)
        outcome = till.checkout.charge(Order(100, "tea"), reader, Pins(), tap_seconds=1, retap_seconds=1)
    assert outcome.result is Result.PAID
    assert till.lines == ["TAP", "CARD READ", "PAID  RMB 1.00   RMB 499.00 left"]
    assert [sale.state for sale in till.journal.sales()] == [SaleState.PAID]
    till.journal.close()


def test_a_journal_on_a_read_only_file_is_a_storage_error(tmp_path: Path) -> None:
    till = Till(tmp_path / "till.db")
    till.journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError) as caught:
        till.checkout.charge(Order(1, "x"), FakeReader(till.clock, FakeCard()), Pins(), tap_seconds=1, retap_seconds=1)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    till.journal.close()
