"""The till and the real server together: evidence of the SAM, reports, revocations, reviews, and a till that takes over
from one that was restored from an old backup. Nothing is lost, and nothing is credited twice."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.emulator.faults import Tear
from merchant_pos.decisions import Result
from merchant_pos.identity import JOURNAL_FILE, load_identity
from merchant_pos.journal import Journal
from merchant_pos.sales import SaleState
from merchant_pos.succession import Predecessor, require_not_succeeded
from merchant_pos.transfers import Told
from support.cards import PIN
from support.keys import NOW
from support.online_till import OnlineTill, Shop
from support.sam_till import balance, pending, tear
from wallet_core.errors import (
    CodecError,
    ConfigurationError,
    ExitCode,
    OutcomeUnknownError,
    ServerUnreachableError,
    VerificationError,
)
from wallet_core.messages import RevocationReason

LOADED = 50_000


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.desk.load(LOADED)
    yield made
    made.close()


@pytest.fixture
def till(shop: Shop) -> Iterator[OnlineTill]:
    made = shop.till("first")
    yield made
    made.close()


def states(till: OnlineTill) -> list[SaleState]:
    return [sale.state for sale in till.journal.sales()]


# The merchant's SAM -------------------------------------------------------------------------------------------------


def test_what_the_sam_took_reaches_the_books_and_both_purses_are_free_again(shop: Shop, till: OnlineTill) -> None:
    assert till.charge_sam(6_800).result is Result.PAID
    _, done = till.sync()
    assert done.told == 1
    (one,) = till.journal.transfers()
    assert (one.told, one.verdicts) == (Told.ALL, "recorded recorded")
    facts = shop.bank.ledger().facts()["card_shadows"]
    assert facts[shop.card.tap().purse_id.hex()] == LOADED - 6_800
    assert till.report(shop.card).after.slot_lines == ()
    assert till.report(shop.sam).after.entry_lines == ()
    assert shop.bank.ledger().conserved


def test_a_sam_whose_table_is_full_works_again_after_a_report(shop: Shop, till: OnlineTill) -> None:
    for _ in range(8):
        assert till.charge_sam(100).result is Result.PAID
    assert till.charge_sam(100).result is Result.NOT_CHARGED
    till.sync()
    till.report(shop.sam)
    assert till.charge_sam(100).result is Result.PAID
    assert balance(shop.sam) == 900


def test_what_the_sam_refused_comes_back_to_the_card_through_the_server(shop: Shop, till: OnlineTill) -> None:
    """The card was away when the sale was cancelled, and comes online at the till without ever meeting the SAM."""
    tear(shop.card, "PAY")
    from merchant_pos import sam_sale
    from merchant_pos.sales import Order
    from support.sam_till import Reader
    from support.till import Pins

    cards = Reader(shop.clock, [shop.card, None])
    sams = Reader(shop.clock, [shop.sam])
    outcome = sam_sale.charge(till.desk, Order(6_800, "o"), cards, sams, Pins(), tap_seconds=1, retap_seconds=1)
    assert outcome.result is Result.TAP_AGAIN
    transfer = till.desk.to_cancel(None)
    assert transfer is not None
    till.desk.cancel(transfer, Reader(shop.clock, [None]), sams, 1)
    till.sync()
    assert balance(shop.card) == LOADED - 6_800
    done = till.report(shop.card, PIN)
    assert (done.orders, done.pending, balance(shop.card)) == (1, 0, LOADED)
    assert shop.bank.ledger().conserved


# A card that a till has refused -------------------------------------------------------------------------------------


def test_a_cancelled_sale_comes_back_when_the_card_is_brought_online_at_the_till(shop: Shop, till: OnlineTill) -> None:
    """Without its PIN: what was made out to this till the card shows to it."""
    tear(shop.card, "PAY")
    assert till.charge(6_800, away_after=True).result is Result.TAP_AGAIN
    assert till.checkout.cancel() is not None
    till.sync()
    done = till.report(shop.card)
    assert (done.orders, done.pending, balance(shop.card)) == (1, 0, LOADED)
    assert shop.bank.ledger().conserved


@pytest.mark.parametrize("command", ["REPORT", "REVERSE", "GRANT"])
@pytest.mark.parametrize("where", [Tear.BEFORE, Tear.ANSWER])
def test_a_report_that_is_torn_is_done_again(shop: Shop, till: OnlineTill, command: str, where: Tear) -> None:
    tear(shop.card, "PAY")
    till.charge(6_800, away_after=True)
    till.checkout.cancel()
    till.sync()
    tear(shop.card, command, where)
    with pytest.raises(OutcomeUnknownError):
        till.report(shop.card)
    assert till.report(shop.card).pending == 0
    assert balance(shop.card) == LOADED


# Revocations, reviews -----------------------------------------------------------------------------------------------


def test_a_card_reported_lost_is_asked_nothing_after_the_next_sync(shop: Shop, till: OnlineTill) -> None:
    assert till.charge(100).result is Result.PAID
    till.sync()
    shop.bank.parts.desk.freeze(shop.card.tap().purse_id, NOW)
    assert till.charge(100).result is Result.PAID  # the till has not heard of it
    report, done = till.sync()
    assert (report.settled, done.revoked) == (1, 1)
    assert till.journal.revoked(shop.card.tap().purse_id) is RevocationReason.FROZEN
    before = shop.card.tap().next_n
    assert till.charge(100).result is Result.NOT_CHARGED
    assert till.lines[-1] == "NOT CHARGED  this card is reported lost: nothing may be asked of it"
    assert shop.card.tap().next_n == before


# A till that takes over ---------------------------------------------------------------------------------------------


def restore(till: OnlineTill, backup: Path) -> None:
    """Put the files of `backup` in the place of the till's."""
    till.close()
    shutil.rmtree(till.directory)
    shutil.copytree(backup, till.directory)
    till.open()


def save(till: OnlineTill, to: Path) -> Path:
    till.close()
    shutil.copytree(till.directory, to)
    till.open()
    return to


def test_a_till_restored_from_an_old_backup_is_told_and_its_successor_loses_nothing(
    shop: Shop, till: OnlineTill, tmp_path: Path
) -> None:
    assert till.charge(100).result is Result.PAID
    backup = save(till, tmp_path / "backup")  # sale 1 is PAID in it, and not sent
    assert till.charge(200).result is Result.PAID
    till.sync()
    assert shop.wallet == 300
    restore(till, backup)
    assert till.charge(400).result is Result.PAID
    refused = till.refused_sync()
    assert (refused.exit_code, refused.problem) == (ExitCode.SERVER_REFUSED, "batch-number-used")
    assert "--succeeds" in refused.next_step
    second = shop.till("second", succeeds=till)
    assert second.inherited is not None
    assert second.inherited.sales == 2
    report, _ = second.sync()
    assert (report.settled, report.settled_amount) == (2, 500)
    assert shop.wallet == 700  # sale 1 was credited before, under the old key: once
    assert [sale.state for sale in second.journal.inherited()] == [SaleState.SETTLED] * 2
    assert second.charge(800).result is Result.PAID
    assert [sale.k for sale in second.journal.sales()] == [1]
    second.sync()
    assert shop.wallet == 1_500
    assert shop.bank.ledger().conserved
    second.close()


def test_what_was_refused_and_not_told_goes_over_too(shop: Shop, till: OnlineTill) -> None:
    tear(shop.card, "PAY")
    till.charge(6_800, away_after=True)
    till.checkout.cancel()
    second = shop.till("second", succeeds=till)
    assert second.journal.unsent_refusals() == 1
    report, _ = second.sync()
    assert (report.refusals, second.journal.inherited()[0].status) == (1, 0)
    done = second.report(shop.card, PIN)
    assert (done.orders, balance(shop.card)) == (1, LOADED)
    second.close()


def test_what_the_sam_has_not_told_goes_over_and_is_told(shop: Shop, till: OnlineTill) -> None:
    assert till.charge_sam(6_800).result is Result.PAID
    second = shop.till("second", succeeds=till)
    assert second.inherited is not None
    assert (second.inherited.sales, second.inherited.transfers) == (0, 1)
    _, done = second.sync()
    assert done.told == 1
    assert shop.bank.ledger().facts()["card_shadows"][shop.card.tap().purse_id.hex()] == LOADED - 6_800
    assert pending(shop.card) == 0
    second.close()


def test_an_open_sale_comes_first(shop: Shop, till: OnlineTill) -> None:
    tear(shop.card, "PAY")
    till.charge(6_800, away_after=True)
    with pytest.raises(OutcomeUnknownError, match="open in the old till"):
        shop.till("second", succeeds=till)
    assert not (shop.directory / "second" / "till" / "settings.json").exists()


def test_taking_over_twice_is_taking_over_once_and_by_one_till(shop: Shop, till: OnlineTill) -> None:
    assert till.charge(100).result is Result.PAID
    second = shop.till("second", succeeds=till)
    again = Predecessor(till.directory, shop.clock.now_ms)
    assert again.hand_over(second.identity, second.journal).sales == 0
    again.close()
    assert len(second.journal.inherited()) == 1
    third = shop.till("third")
    other = Predecessor(till.directory, shop.clock.now_ms)
    with pytest.raises(ConfigurationError, match="has succeeded this one already"):
        other.hand_over(third.identity, third.journal)
    other.close()
    second.close()
    third.close()


def test_a_till_that_was_succeeded_begins_and_hands_in_nothing(shop: Shop, till: OnlineTill) -> None:
    assert till.charge(100).result is Result.PAID
    second = shop.till("second", succeeds=till)
    journal = Journal(till.directory / JOURNAL_FILE, till=load_identity(till.directory).id, now_ms=shop.clock.now_ms)
    with pytest.raises(ConfigurationError, match=f"succeeded by till {second.identity.id.hex()[:8]}"):
        require_not_succeeded(journal)
    journal.close()
    second.close()


def test_a_successor_of_a_successor_hands_in_what_neither_could(shop: Shop, till: OnlineTill) -> None:
    assert till.charge(100).result is Result.PAID
    second = shop.till("second", succeeds=till)
    assert second.charge(200).result is Result.PAID
    third = shop.till("third", succeeds=second)
    report, _ = third.sync()
    assert (report.settled, shop.wallet) == (2, 300)
    assert {sale.request.payee for sale in third.journal.inherited()} == {till.identity.id, second.identity.id}
    second.close()
    third.close()


@pytest.mark.parametrize("fault", ["lost", "unanswered"])
def test_the_line_may_fail_anywhere_in_a_sync(shop: Shop, till: OnlineTill, fault: str) -> None:
    assert till.charge(100).result is Result.PAID
    assert till.charge_sam(200).result is Result.PAID
    for exchange in (1, 2, 3):
        shop.desk.line.calls.clear()
        shop.desk.line.fault = (exchange, fault)
        with contextlib.suppress(ServerUnreachableError, CodecError, VerificationError):
            till.sync()
    shop.desk.line.fault = None
    till.sync()
    assert states(till) == [SaleState.SETTLED]
    assert [one.told for one in till.journal.transfers()] == [Told.ALL]
    assert shop.wallet == 100
    assert shop.bank.ledger().conserved
