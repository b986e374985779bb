"""A sale into the merchant's SAM over real emulated purses: torn, swapped, away and killed at every point."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.emulator.faults import Tear
from merchant_pos import phrases
from merchant_pos.cards import Wallet
from merchant_pos.decisions import Result
from merchant_pos.ports import Purse
from merchant_pos.sales import CANCELLED, Order
from merchant_pos.transfers import TransferState
from support import till_steps as steps
from support.cards import CardInHand
from support.keys import MERCHANT_PURSE
from support.sam_till import (
    LOADED,
    ORDER,
    WORLD,
    Reader,
    SamTill,
    balance,
    card,
    hold_no_fen_twice,
    pending,
    sam,
    tear,
)
from support.till import Pins, ProcessDied, revocation_list
from wallet_core.errors import (
    ConfigurationError,
    NoCardError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    StorageError,
    UntrustedCertificateError,
    UsageError,
    WrongClassError,
)
from wallet_core.messages import Receipt, Refusal, RevocationReason, parse

TEARS = (Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER)
LARGE = Order(20_001, "a banquet")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[SamTill]:
    made = SamTill(tmp_path / "till.db")
    yield made
    made.journal.close()


def states(till: SamTill) -> list[TransferState]:
    return [one.state for one in till.journal.transfers()]


def open_requests(hand: CardInHand) -> int:
    hand.tap()
    return len(hand.wallet.open_requests())


# The straight way ---------------------------------------------------------------------------------------------------


def test_a_card_pays_the_sam_and_hears_of_it(till: SamTill) -> None:
    payer, payee = card(1), sam()
    outcome = till.charge(payer, payee)
    assert outcome.result is Result.PAID
    assert till.lines == ["TAP", "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]
    assert tuple(till.steps) == steps.TRANSFER
    assert (balance(payer), balance(payee), pending(payer)) == (LOADED - 6_800, 6_800, 0)
    (one,) = till.journal.transfers()
    assert one.receipt is not None
    assert parse(Receipt, one.receipt).message.voucher_hash == one.voucher_hash
    assert one.acknowledged


def test_each_thing_is_on_disk_before_the_next_begins(till: SamTill) -> None:
    """What the SAM is asked for; its Request; the card's voucher; its Receipt: then PAID is said."""
    seen: list[tuple[str, str]] = []

    def look(step: str) -> None:
        other = sqlite3.connect(till.path)
        seen.extend((step, row[0]) for row in other.execute("SELECT state FROM transfers"))
        other.close()

    class Spy(Wallet):
        def __init__(self, inner: Purse) -> None:
            self.__dict__ = inner.__dict__

        def request(self, *args: object) -> bytes:
            look("REQUEST")
            return super().request(*args)  # type: ignore[arg-type]

        def pay(self, request: bytes) -> bytes:
            look("PAY")
            return super().pay(request)

        def collect(self, *args: bytes) -> bytes:
            look("COLLECT")
            return super().collect(*args)

        def acknowledge(self, *args: bytes) -> None:
            look("ACKNOWLEDGE")
            super().acknowledge(*args)

        def close(self) -> None:
            return

    till.desk.two._notify = till.desk.notify = lambda line: look("said") if line.startswith(phrases.PAID) else None
    readers = [Reader(till.clock, [hand], wrap=Spy) for hand in (card(1), sam())]
    assert till.charge(readers[0], readers[1]).result is Result.PAID
    assert seen == [
        *(("REQUEST", "ASKING"), ("PAY", "ASKED"), ("COLLECT", "HELD"), ("said", "PAID"), ("ACKNOWLEDGE", "PAID"))
    ]


def test_above_the_threshold_the_card_verifies_the_sam_and_wants_its_pin(till: SamTill) -> None:
    payer, payee = card(1), sam()
    assert till.charge(payer, payee, LARGE).result is Result.PAID
    assert balance(payee) == 20_001
    assert till.charge(payer, payee, LARGE, pins=Pins()).result is Result.NOT_CHARGED
    assert open_requests(payee) == 0
    hold_no_fen_twice(payer, payee, total=LOADED)


def test_sales_to_the_till_and_to_the_sam_are_numbered_together(till: SamTill) -> None:
    payee = sam()
    assert [till.charge(card(n), payee).result for n in (1, 2, 3)] == [Result.PAID] * 3
    assert [one.k for one in till.journal.transfers()] == [1, 2, 3]
    assert balance(payee) == 3 * 6_800


def test_a_sam_whose_table_is_full_charges_nothing(till: SamTill) -> None:
    payee = sam()
    for n in range(1, 9):
        assert till.charge(card(n), payee, Order(1, "x")).result is Result.PAID
    outcome = till.charge(card(9), payee)
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.SLOTS_FULL
    assert states(till)[-1] is TransferState.DROPPED
    assert (balance(payee), till.desk.journal.open_transfer()) == (8, None)


# Nothing is asked ---------------------------------------------------------------------------------------------------


def test_an_empty_sam_reader_asks_no_card(till: SamTill) -> None:
    with pytest.raises(NoCardError, match="SAM"):
        till.charge(card(1), None)
    assert till.journal.transfers() == []


def test_without_a_card_nothing_is_asked_of_the_sam(till: SamTill) -> None:
    payee = sam()
    with pytest.raises(NoCardError, match="no card came"):
        till.charge(None, payee)
    assert (till.journal.transfers(), payee.tap().next_k) == ([], 1)


def test_one_purse_in_both_readers_is_noticed(till: SamTill) -> None:
    payee = sam()
    outcome = till.charge(payee, payee)
    assert (outcome.result, outcome.transfer) == (Result.NOT_CHARGED, None)
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.SELF_PAYMENT


def test_a_card_in_the_sams_reader_is_no_sam(till: SamTill) -> None:
    outcome = till.charge(card(1), card(2))
    assert isinstance(outcome.why, WrongClassError)
    assert till.journal.transfers() == []


@pytest.mark.parametrize("who", ["card", "sam"])
def test_a_listed_purse_begins_nothing(till: SamTill, who: str) -> None:
    payer, payee = card(1), sam()
    listed = (payer if who == "card" else payee).tap().purse_id
    signed = revocation_list({listed: RevocationReason.REVOKED})
    till.journal.keep_revocations(signed.message, signed.to_bytes())
    outcome = till.charge(payer, payee)
    assert isinstance(outcome.why, UntrustedCertificateError)
    assert (outcome.result, till.journal.transfers()) == (Result.NOT_CHARGED, [])
    assert (payer.tap().next_n, payee.tap().next_k) == (1, 1)


def test_a_revoked_till_begins_nothing(till: SamTill) -> None:
    signed = revocation_list({till.identity.id: RevocationReason.DEAD})
    till.journal.keep_revocations(signed.message, signed.to_bytes())
    with pytest.raises(ConfigurationError):
        till.charge(card(1), sam())


def test_a_card_whose_policy_forbids_it_is_not_asked(till: SamTill) -> None:
    payer, payee = card(1, payee_classes=0, version=9), sam()
    outcome = till.charge(payer, payee)
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.PAYEE_CLASS
    assert (till.journal.transfers(), payee.tap().next_k) == ([], 1)


# Lost answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", TEARS)
@pytest.mark.parametrize(("who", "command"), [("card", "PAY"), ("sam", "REQUEST"), ("sam", "COLLECT")])
def test_a_tear_anywhere_is_recovered_by_tapping_again(till: SamTill, who: str, command: str, where: Tear) -> None:
    payer, payee = card(1), sam()
    tear(payer if who == "card" else payee, command, where)
    assert till.charge(payer, payee).result is Result.PAID
    assert [state for state in states(till) if state is TransferState.PAID] == [TransferState.PAID]
    assert (balance(payer), balance(payee)) == (LOADED - 6_800, 6_800)
    assert open_requests(payee) == 0


@pytest.mark.parametrize("where", TEARS)
def test_an_acknowledgement_that_fails_changes_nothing_and_comes_at_the_next_tap(till: SamTill, where: Tear) -> None:
    payer, payee = card(1), sam()
    tear(payer, "ACKNOWLEDGE", where)
    assert till.charge(payer, payee).result is Result.PAID
    assert not till.journal.transfers()[0].acknowledged
    assert till.charge(payer, payee, Order(100, "tea")).result is Result.PAID
    assert [one.acknowledged for one in till.journal.transfers()] == [True, True]
    assert pending(payer) == 0


def test_another_card_put_in_its_place_does_not_say_for_the_payer_that_it_has_heard(till: SamTill) -> None:
    payer, payee, other = card(1), sam(), card(2)

    class Swapped(Wallet):
        """Between PAY and ACKNOWLEDGE another card is put on the reader, in the same session."""

        def __init__(self, inner: Purse) -> None:
            self.__dict__ = dict(inner.__dict__)

        def acknowledge(self, *args: bytes) -> None:
            other.connection.reset()
            other.wallet.select()
            self._wallet = other.wallet
            super().acknowledge(*args)

        def close(self) -> None:
            return

    assert till.charge(Reader(till.clock, [payer], wrap=Swapped), payee).result is Result.PAID
    assert (till.journal.transfers()[0].acknowledged, pending(payer)) == (False, 1)
    assert till.charge(payer, payee, Order(100, "tea")).result is Result.PAID
    assert [one.acknowledged for one in till.journal.transfers()] == [True, True]
    assert pending(payer) == 0


@pytest.mark.parametrize("where", TEARS)
def test_both_torn_at_every_exchange(till: SamTill, where: Tear) -> None:
    payer, payee = card(1), sam()
    for command in ("REQUEST", "COLLECT", "COLLECT"):
        tear(payee, command, where)
    for command in ("PAY", "PAY", "ACKNOWLEDGE"):
        tear(payer, command, where)
    assert till.charge(payer, payee, seconds=20).result is Result.PAID
    assert (balance(payer), balance(payee)) == (LOADED - 6_800, 6_800)


def test_a_card_that_stays_away_leaves_the_sale_open(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payer, "PAY")
    outcome = till.charge(till.reader(payer, None), payee)
    assert (outcome.result, states(till)) == (Result.TAP_AGAIN, [TransferState.UNKNOWN])
    with pytest.raises(OutcomeUnknownError, match="sale 1"):
        till.charge(card(2), payee)
    resumed = till.resume(payer, payee)
    assert resumed is not None
    assert (resumed.result, balance(payee)) == (Result.PAID, 6_800)


def test_another_card_is_sent_nothing(till: SamTill) -> None:
    payer, other, payee = card(1), card(2), sam()
    tear(payer, "PAY")
    assert till.charge(till.reader(payer, other, other, payer), payee, seconds=20).result is Result.PAID
    assert phrases.ANOTHER_CARD in till.lines
    assert (balance(other), other.wallet.select().next_n) == (LOADED, 1)


# The SAM is the one that decides ------------------------------------------------------------------------------------


def test_a_sam_that_is_away_leaves_the_voucher_held_never_paid_never_not_charged(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payee, "COLLECT", Tear.BEFORE)
    outcome = till.charge(payer, till.reader(payee, None))
    assert (outcome.result, states(till)) == (Result.OPEN, [TransferState.HELD])
    assert phrases.SAM_AWAY in till.lines
    assert not any(line.startswith((phrases.PAID, phrases.NOT_CHARGED)) for line in till.lines)
    assert (balance(payer), balance(payee)) == (LOADED - 6_800, 0)
    # the card has done its part: the next sale, with another SAM, is not stopped
    spare = sam(101)
    assert till.charge(card(2), spare).result is Result.PAID
    resumed = till.resume(None, payee)
    assert resumed is not None
    assert resumed.result is Result.PAID
    assert (states(till), balance(payee)) == ([TransferState.PAID] * 2, 6_800)


def test_what_was_held_is_taken_at_the_sams_next_sale(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payee, "COLLECT", Tear.ANSWER)
    assert till.charge(payer, till.reader(payee, None)).result is Result.OPEN
    till.lines.clear()
    assert till.charge(card(2), payee, Order(100, "tea")).result is Result.PAID
    assert till.lines[0:3] == ["TAP", "sale 1: PAID  RMB 68.00   RMB 432.00 left", "CARD READ"]
    assert balance(payee) == 6_900


def test_another_sam_in_the_reader_takes_nothing(till: SamTill) -> None:
    payer, payee, other = card(1), sam(), sam(101)
    tear(payee, "COLLECT", Tear.BEFORE)
    outcome = till.charge(payer, till.reader(payee, other))
    assert outcome.result is Result.OPEN
    assert outcome.why is not None
    assert outcome.why.message == phrases.ANOTHER_SAM
    assert (balance(other), states(till)) == (0, [TransferState.HELD])


def test_a_sam_swapped_after_the_card_was_asked_does_not_collect(till: SamTill) -> None:
    payer, payee, other = card(1), sam(), sam(101)
    tear(payer, "PAY")
    outcome = till.charge(payer, till.reader(payee, other))
    assert (outcome.result, states(till), balance(other)) == (Result.OPEN, [TransferState.HELD], 0)
    assert till.resume(payer, payee) is not None
    assert balance(payee) == 6_800


def test_a_card_debited_while_the_sam_is_away_is_held(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payer, "PAY", Tear.BEFORE)
    outcome = till.charge(payer, till.reader(payee, None))
    assert (outcome.result, states(till), balance(payer)) == (Result.OPEN, [TransferState.HELD], LOADED - 6_800)


def test_a_sam_that_has_refused_elsewhere_is_never_paid_and_the_card_gets_it_back(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payee, "COLLECT", Tear.BEFORE)
    till.charge(payer, till.reader(payee, None))
    payee.tap()
    payee.wallet.refuse(till.journal.transfers()[0].asked.hash)  # at another terminal
    resumed = till.resume(payer, payee)
    assert resumed is not None
    assert (resumed.result, states(till)) == (Result.NOT_CHARGED, [TransferState.REFUSED])
    till.charge(payer, till.reader(payee))
    assert (balance(payer), balance(payee), pending(payer)) == (LOADED - 6_800, 6_800, 0)


# The card refuses ---------------------------------------------------------------------------------------------------


def test_not_charged_is_the_sams_refusal_on_disk(till: SamTill) -> None:
    payer, payee = card(1, load=100), sam()
    outcome = till.charge(payer, payee)
    assert outcome.result is Result.NOT_CHARGED
    (one,) = till.journal.transfers()
    assert (one.state, one.reason) == (TransferState.REFUSED, "INSUFFICIENT")
    assert one.refusal is not None
    assert parse(Refusal, one.refusal).message.request_hash == one.asked.hash
    assert open_requests(payee) == 0
    assert till.lines[-1].startswith("NOT CHARGED")


@pytest.mark.parametrize("where", TEARS)
def test_a_refusal_that_the_sam_cannot_confirm_is_made_up_for(till: SamTill, where: Tear) -> None:
    """The card has refused the first PAY: that is proof; nobody is asked with this Request again."""
    payer, payee = card(1, load=100), sam()
    tear(payee, "REFUSE", where)
    assert till.charge(payer, payee).result is Result.NOT_CHARGED
    assert states(till) == [TransferState.REFUSING]
    assert till.resume(None, payee) is None
    assert states(till) == [TransferState.REFUSED]
    assert open_requests(payee) == 0


def test_a_counter_that_has_passed_proves_nothing_without_the_sam(till: SamTill) -> None:
    """Another terminal may have taken the voucher to the SAM, and a grant freed the card's slot since."""
    payer, payee = card(1), sam()
    tear(payer, "PAY", Tear.BEFORE)
    assert till.charge(till.reader(payer, None), payee).result is Result.TAP_AGAIN
    payer.tap()
    payer.wallet.pay(WORLD.till_request(payer.wallet.select(), 1).to_payload())  # n is used up elsewhere
    without = till.resume(payer, None)
    assert without is not None
    assert (without.result, states(till)) == (Result.TAP_AGAIN, [TransferState.UNKNOWN])
    with_sam = till.resume(payer, payee)
    assert with_sam is not None
    assert (with_sam.result, states(till)) == (Result.NOT_CHARGED, [TransferState.REFUSED])
    assert open_requests(payee) == 0


# Cancel -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("debited", [False, True])
def test_cancel_is_the_sams_refusal_first_then_the_card_takes_its_value_back(till: SamTill, debited: bool) -> None:
    payer, payee = card(1), sam()
    tear(payer, "PAY", Tear.AFTER_COMMIT if debited else Tear.BEFORE)
    till.charge(till.reader(payer, None), payee)
    cancelled = till.cancel(None, payee)
    assert (cancelled.result, states(till)) == (Result.NOT_CHARGED, [TransferState.REFUSED])
    assert till.journal.transfers()[0].reason == CANCELLED
    assert till.charge(payer, payee, Order(100, "tea")).result is Result.PAID  # and here the card hears of it
    assert (balance(payer), balance(payee), pending(payer)) == (LOADED - 100, 100, 0)
    assert all(one.acknowledged for one in till.journal.transfers())


def test_cancel_without_the_sam_stops_no_other_sale_and_claims_nothing(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payer, "PAY")
    till.charge(till.reader(payer, None), payee)
    cancelled = till.cancel(None, None)
    assert (cancelled.result, states(till)) == (Result.OPEN, [TransferState.REFUSING])
    assert till.charge(card(2), payee, Order(100, "tea")).result is Result.PAID  # the SAM is here: it refuses first
    assert states(till) == [TransferState.REFUSED, TransferState.PAID]
    assert f"sale 1: {phrases.CANCELLED}" in till.lines
    assert till.charge(payer, payee, Order(100, "tea")).result is Result.PAID
    assert (balance(payer), pending(payer)) == (LOADED - 100, 0)


def test_a_held_voucher_is_not_cancelled_without_the_sam(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payee, "COLLECT", Tear.BEFORE)
    till.charge(payer, till.reader(payee, None))
    assert till.cancel(payer, sam(101)).result is Result.OPEN
    assert states(till) == [TransferState.HELD]


def test_cancel_comes_too_late_for_what_the_sam_has_taken(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payee, "COLLECT", Tear.ANSWER)
    till.charge(payer, till.reader(payee, None))
    assert till.cancel(payer, payee).result is Result.PAID
    assert (states(till), balance(payee), pending(payer)) == ([TransferState.PAID], 6_800, 0)


def test_cancel_of_what_the_sam_collected_elsewhere_claims_nothing(till: SamTill) -> None:
    payer, payee = card(1), sam()
    tear(payer, "PAY")
    till.charge(till.reader(payer, None), payee)
    payer.tap()
    payee.tap()
    voucher = payer.wallet.resend(till.journal.transfers()[0].asked.hash)
    payee.wallet.collect(voucher, payer.wallet.certificate(), payer.wallet.operator_certificate())
    cancelled = till.cancel(None, payee)
    assert (cancelled.result, states(till)) == (Result.OPEN, [TransferState.REFUSING])
    assert cancelled.why is not None
    assert cancelled.why.message == phrases.PAYEE_CLOSED


def test_what_is_over_cannot_be_cancelled(till: SamTill) -> None:
    till.charge(card(1), sam())
    assert till.desk.to_cancel(None) is None
    for k in (1, 7):
        with pytest.raises(UsageError):
            till.desk.to_cancel(k)


# A process that dies, a disk that refuses ---------------------------------------------------------------------------


@pytest.mark.parametrize("step", steps.TRANSFER)
def test_a_till_that_dies_at_any_step_charges_once(till: SamTill, step: str) -> None:
    payer, payee = card(1), sam()
    till.die_at = step
    with pytest.raises(ProcessDied):
        till.charge(payer, payee)
    said = any(line.startswith(phrases.PAID) for line in till.lines)
    assert said is (step in ("shown", "acknowledged"))
    till.restart()
    outcome = till.resume(payer, payee)
    if outcome is None and TransferState.PAID not in states(till):
        outcome = till.charge(payer, payee)
        assert outcome.result is Result.PAID
    assert [one for one in states(till) if one is TransferState.PAID] == [TransferState.PAID]
    assert (balance(payer), balance(payee), open_requests(payee)) == (LOADED - 6_800, 6_800, 0)


class FullDisk:
    """Makes one method of the journal fail as often as told."""

    def __init__(self, till: SamTill, method: str, times: int) -> None:
        self.left = times
        self.real = getattr(till.journal, method)
        setattr(till.journal, method, self)

    def __call__(self, *args: object, **more: object) -> object:
        self.left -= 1
        if self.left >= 0:
            raise StorageError("the journal cannot be used: database or disk is full")
        return self.real(*args, **more)


@pytest.mark.parametrize("method", ["held", "collected", "acknowledged"])
def test_a_full_disk_delays_the_word_and_loses_nothing(till: SamTill, method: str) -> None:
    payer, payee = card(1), sam()
    FullDisk(till, method, 2)
    assert till.charge(payer, payee, seconds=20).result is Result.PAID
    assert sum(line.startswith(phrases.PAID) for line in till.lines) == 1
    assert (balance(payer), balance(payee)) == (LOADED - 6_800, 6_800)


@pytest.mark.parametrize("method", ["begin", "requested"])
def test_a_full_disk_before_the_card_is_asked_asks_nothing(till: SamTill, method: str) -> None:
    payer, payee = card(1), sam()
    FullDisk(till, method, 1)
    with pytest.raises(StorageError):
        till.charge(payer, payee)
    assert balance(payer) == LOADED
    till.restart()
    assert till.charge(payer, payee).result is Result.PAID
    assert open_requests(payee) == 0


def test_an_answer_that_is_not_the_sams_own_is_not_paid(till: SamTill) -> None:
    """A relay between till and SAM can only keep the sale open."""

    class Bent(Wallet):
        def __init__(self, inner: Purse) -> None:
            self.__dict__ = inner.__dict__

        def collect(self, *args: bytes) -> bytes:
            from wallet_core.messages import Signed

            receipt = parse(Receipt, super().collect(*args)).message
            return Signed.sign(replace(receipt, payee=MERCHANT_PURSE.id), MERCHANT_PURSE.key).to_bytes()

        def close(self) -> None:
            return

    payer, payee = card(1), sam()
    outcome = till.charge(payer, Reader(till.clock, [payee], wrap=Bent))
    assert (outcome.result, states(till)) == (Result.OPEN, [TransferState.HELD])
    assert till.resume(None, payee) is not None
    assert states(till) == [TransferState.PAID]
    assert ORDER.amount == balance(payee)
