"""An offline refund, SAM → card, over real emulated purses: capped by the sale, recovered by running it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.emulator.faults import Tear
from merchant_pos import phrases
from merchant_pos.decisions import Result
from merchant_pos.sales import Order, SaleState
from merchant_pos.transfers import TransferState, refund_order_hash
from support import till_steps as steps
from support.cards import CardInHand
from support.sam_till import LOADED, SamTill, balance, card, hold_no_fen_twice, pending, sam, tear
from support.till import Pins, ProcessDied, revocation_list
from wallet_core.errors import (
    MismatchError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    UntrustedCertificateError,
    UsageError,
)
from wallet_core.messages import DepositAnswer, DepositStatus, RevocationReason, parse
from wallet_core.messages.transfer import Request
from wallet_core.suites import Suite

TEARS = (Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER)


@pytest.fixture
def till(tmp_path: Path) -> Iterator[SamTill]:
    made = SamTill(tmp_path / "till.db")
    yield made
    made.journal.close()


@pytest.fixture
def pair(till: SamTill) -> tuple[CardInHand, CardInHand]:
    """A card that has paid RMB 68.00 to the SAM, as sale 1."""
    payer, payee = card(1), sam()
    assert till.charge(payer, payee).result is Result.PAID
    till.lines.clear()
    till.steps.clear()
    return payer, payee


Pair = tuple[CardInHand, CardInHand]


def refunds(till: SamTill) -> list[TransferState]:
    return [one.state for one in till.journal.transfers("kind = 'REFUND'")]


def open_requests(hand: CardInHand) -> int:
    hand.tap()
    return len(hand.wallet.open_requests())


# The straight way ---------------------------------------------------------------------------------------------------


def test_the_sam_pays_the_card_back(till: SamTill, pair: Pair) -> None:
    outcome = till.refund(1, *pair)
    assert outcome.result is Result.PAID
    assert till.lines == ["TAP", "CARD READ", "REFUNDED  RMB 68.00   RMB 500.00 on the card"]
    assert tuple(till.steps) == steps.TRANSFER
    assert (balance(pair[0]), balance(pair[1]), pending(pair[1])) == (LOADED, 0, 0)


def test_the_cards_request_binds_the_voucher_of_the_sale(till: SamTill, pair: Pair) -> None:
    sale = till.journal.transfers()[0]
    till.refund(1, *pair)
    refund = till.journal.transfers()[1]
    assert refund.request is not None
    assert parse(Request, refund.request).message.order_hash == refund_order_hash(sale.voucher_hash or b"")
    assert refund.plan.original == sale.voucher_hash


def test_parts_add_up_to_the_sale_and_no_further(till: SamTill, pair: Pair) -> None:
    assert till.refund(1, *pair, 3_000).result is Result.PAID
    assert till.refund(1, *pair, 3_000).result is Result.PAID
    with pytest.raises(UsageError, match=r"RMB 8\.00 are left"):
        till.refund(1, *pair, 801)
    assert till.refund(1, *pair).result is Result.PAID
    with pytest.raises(UsageError):
        till.refund(1, *pair)
    with pytest.raises(UsageError):
        till.refund(1, *pair, 1)
    assert (balance(pair[0]), balance(pair[1])) == (LOADED, 0)


def test_a_sale_to_the_till_itself_is_refunded_by_the_sam_too(till: SamTill, pair: Pair) -> None:
    from support.till import FakeCard, FakeReader, Till  # the till's own checkout on the same journal

    own = Till(till.path, till.clock)
    buyer = FakeCard()
    own.checkout.charge(Order(500, "tea"), FakeReader(till.clock, buyer), Pins(), tap_seconds=1, retap_seconds=1)
    own.journal.close()
    outcome = till.refund(2, *pair)
    assert isinstance(outcome.why, MismatchError)  # another card than the one that paid
    assert till.refund(2, *pair, any_card=True).result is Result.PAID
    assert balance(pair[0]) == LOADED - 6_800 + 500


@pytest.mark.parametrize("state", [SaleState.REJECTED, SaleState.REFUSED])
def test_what_was_not_paid_or_not_credited_is_not_refunded(till: SamTill, pair: Pair, state: SaleState) -> None:
    from support.till import FakeCard, FakeReader, Till

    own = Till(till.path, till.clock)
    buyer = FakeCard() if state is SaleState.REJECTED else FakeCard(faults=[Refused.STALE])
    own.checkout.charge(Order(500, "tea"), FakeReader(till.clock, buyer), Pins(), tap_seconds=1, retap_seconds=1)
    if state is SaleState.REJECTED:
        own.journal.freeze(9, 9, lambda contents: (b"batch", bytes(32)))
        answer = DepositAnswer(
            suite=Suite.ES256,
            operator=bytes(32),
            payee=bytes(32),
            number=1,
            batch_hash=bytes(32),
            credited=0,
            voucher_statuses=(DepositStatus.EQUIVOCATION,),
        )
        own.journal.settle(1, b"answer", answer)
    own.journal.close()
    for k in (2, 99):
        with pytest.raises(UsageError):
            till.refund(k, *pair, any_card=True)
    assert refunds(till) == []


def test_another_card_is_refused_unless_told_so(till: SamTill, pair: Pair) -> None:
    other = card(2)
    outcome = till.refund(1, other, pair[1])
    assert (outcome.result, outcome.transfer) == (Result.NOT_CHARGED, None)
    assert isinstance(outcome.why, MismatchError)
    assert till.lines[-1] == "NOT REFUNDED  this card did not pay that sale"
    assert till.refund(1, other, pair[1], any_card=True).result is Result.PAID
    assert balance(other) == LOADED + 6_800


def test_a_listed_card_gets_no_new_request(till: SamTill, pair: Pair) -> None:
    listed = revocation_list({pair[0].tap().purse_id: RevocationReason.FROZEN})
    till.journal.keep_revocations(listed.message, listed.to_bytes())
    outcome = till.refund(1, *pair)
    assert isinstance(outcome.why, UntrustedCertificateError)
    assert refunds(till) == []


# The SAM or the card refuses ----------------------------------------------------------------------------------------


def test_a_sam_without_value_refunds_nothing_and_the_card_refuses_its_request(till: SamTill, pair: Pair) -> None:
    poor = sam(101)
    outcome = till.refund(1, pair[0], poor)
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.INSUFFICIENT
    assert (refunds(till), open_requests(pair[0])) == ([TransferState.REFUSED], 0)
    assert till.lines[-1].startswith("NOT REFUNDED")
    assert till.refund(1, *pair).result is Result.PAID  # what did not move does not count


def test_a_sam_that_wants_its_pin(till: SamTill) -> None:
    payer, payee = card(1), sam(pin_threshold=5_000, version=2)
    assert till.charge(payer, payee).result is Result.PAID
    assert till.refund(1, payer, payee, pins=Pins()).result is Result.NOT_CHARGED
    assert till.refund(1, payer, payee, pins=Pins("000000")).result is Result.NOT_CHARGED
    assert till.refund(1, payer, payee).result is Result.PAID
    hold_no_fen_twice(payer, payee, total=LOADED)


def test_a_card_that_would_hold_too_much_makes_no_request(till: SamTill, pair: Pair) -> None:
    pair[0].tap()
    pair[0].load(LOADED, n=2, order="more")
    pair[0].tap()
    pair[0].load(6_000, n=3, order="more still")
    outcome = till.refund(1, *pair)
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.BALANCE_LIMIT
    assert refunds(till) == [TransferState.DROPPED]
    assert (balance(pair[1]), pending(pair[1])) == (6_800, 0)


def test_a_card_whose_policy_takes_nothing_from_a_sam_is_not_paid(till: SamTill) -> None:
    payer, payee = card(1, payer_classes=1 << 2, version=7), sam()
    assert till.charge(payer, payee).result is Result.PAID
    outcome = till.refund(1, payer, payee)
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.PAYEE_CLASS
    assert balance(payee) == 6_800


# Lost answers: run it again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", TEARS)
@pytest.mark.parametrize(("who", "command"), [("card", "REQUEST, payer verified"), ("sam", "PAY"), ("card", "COLLECT")])
def test_a_tear_anywhere_is_recovered(till: SamTill, pair: Pair, who: str, command: str, where: Tear) -> None:
    name = "PAY, payee verified" if command == "PAY" else command
    tear(pair[0] if who == "card" else pair[1], name, where)
    assert till.refund(1, *pair).result is Result.PAID
    assert refunds(till)[-1] is TransferState.PAID
    assert (balance(pair[0]), balance(pair[1]), open_requests(pair[0])) == (LOADED, 0, 0)


@pytest.mark.parametrize("step", steps.TRANSFER)
def test_a_till_that_dies_at_any_step_refunds_once_by_running_it_again(till: SamTill, pair: Pair, step: str) -> None:
    """A part, so that a second one would be possible: what has been paid and not said is said, not paid again."""
    till.die_at = step
    with pytest.raises(ProcessDied):
        till.refund(1, *pair, 1_000)
    till.restart()
    if step == "acknowledged":
        assert refunds(till) == [TransferState.PAID]  # people have been told: there is nothing to run again
    else:
        assert till.refund(1, *pair, 1_000).result is Result.PAID
    assert [state for state in refunds(till) if state is TransferState.PAID] == [TransferState.PAID]
    assert (balance(pair[0]), balance(pair[1])) == (LOADED - 5_800, 5_800)
    assert open_requests(pair[0]) == 0


def test_a_card_that_leaves_after_the_sam_has_paid_gets_it_at_its_next_tap(till: SamTill, pair: Pair) -> None:
    tear(pair[0], "COLLECT", Tear.BEFORE)
    outcome = till.refund(1, till.reader(pair[0], None), pair[1])
    assert (outcome.result, refunds(till)) == (Result.OPEN, [TransferState.HELD])
    assert not any(line.startswith((phrases.REFUNDED, phrases.NOT_REFUNDED)) for line in till.lines)
    assert till.charge(pair[0], pair[1], Order(100, "tea")).result is Result.PAID
    assert (balance(pair[0]), balance(pair[1])) == (LOADED - 100, 100)
    assert any(line.startswith("refund 2: REFUNDED") for line in till.lines)


def test_another_sam_that_has_taken_the_place_does_not_hear_for_the_one_that_paid(till: SamTill, pair: Pair) -> None:
    tear(pair[0], "COLLECT", Tear.ANSWER)
    assert till.refund(1, pair[0], till.reader(pair[1], sam(101))).result is Result.PAID
    assert not till.journal.transfers()[-1].acknowledged
    assert pending(pair[1]) == 1
    assert till.charge(pair[0], pair[1], Order(100, "tea")).result is Result.PAID
    assert (till.journal.transfers()[1].acknowledged, pending(pair[1])) == (True, 0)


def test_an_interrupted_refund_is_finished_before_another_amount(till: SamTill, pair: Pair) -> None:
    tear(pair[1], "PAY, payee verified")
    assert till.refund(1, pair[0], till.reader(pair[1], None), 1_000).result is Result.TAP_AGAIN
    with pytest.raises(UsageError, match="has begun"):
        till.refund(1, *pair, 2_000)
    with pytest.raises(OutcomeUnknownError, match="refund 2"):
        till.charge(*pair)
    assert till.refund(1, *pair).result is Result.PAID
    assert balance(pair[0]) == LOADED - 5_800


def test_another_sam_is_not_asked_to_pay_it_again(till: SamTill, pair: Pair) -> None:
    spare = sam(101)
    assert till.charge(card(3), spare).result is Result.PAID
    tear(pair[1], "PAY, payee verified")
    assert till.refund(1, pair[0], till.reader(pair[1], spare)).result is Result.TAP_AGAIN
    assert (balance(spare), refunds(till)) == (6_800, [TransferState.UNKNOWN])
    assert till.refund(1, *pair).result is Result.PAID


@pytest.mark.parametrize("paid", [False, True])
def test_cancel_is_the_cards_refusal_and_the_sam_has_its_value_again(till: SamTill, pair: Pair, paid: bool) -> None:
    tear(pair[1], "PAY, payee verified", Tear.AFTER_COMMIT if paid else Tear.BEFORE)
    assert till.refund(1, pair[0], till.reader(pair[1], None)).result is Result.TAP_AGAIN
    assert till.cancel(pair[0], pair[1]).result is Result.NOT_CHARGED
    assert refunds(till) == [TransferState.REFUSED]
    assert (balance(pair[0]), balance(pair[1]), pending(pair[1])) == (LOADED - 6_800, 6_800, 0)
    assert till.refund(1, *pair).result is Result.PAID
    assert (balance(pair[0]), balance(pair[1])) == (LOADED, 0)


def test_a_cancelled_refund_without_its_card_counts_until_the_card_has_refused(till: SamTill, pair: Pair) -> None:
    tear(pair[1], "PAY, payee verified")
    till.refund(1, pair[0], till.reader(pair[1], None))
    assert till.cancel(None, pair[1]).result is Result.OPEN
    assert refunds(till) == [TransferState.REFUSING]
    with pytest.raises(UsageError):
        till.refund(1, *pair)
    till.charge(pair[0], pair[1], Order(100, "tea"))  # the card is here: it refuses, and the SAM hears of it
    assert refunds(till) == [TransferState.REFUSED]
    assert till.refund(1, *pair).result is Result.PAID
    assert (balance(pair[0]), balance(pair[1])) == (LOADED - 100, 100)


def test_a_blocked_sam_still_finishes(till: SamTill, pair: Pair) -> None:
    from support.cards import change_state
    from wallet_core.purse.state import Lifecycle

    tear(pair[1], "PAY, payee verified")
    till.refund(1, pair[0], till.reader(pair[1], None))
    pair[1].tap()
    change_state(pair[1], lifecycle=Lifecycle.BLOCKED)
    assert till.refund(1, *pair).result is Result.PAID
    outcome = till.charge(card(5), pair[1])
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.WRONG_STATE
    assert outcome.result is Result.NOT_CHARGED


def test_a_successor_knows_which_refunds_were_said(till: SamTill, pair: Pair, tmp_path: Path) -> None:
    """Else its next refund of this amount would say REFUNDED for the old one, and move nothing."""
    assert till.refund(1, *pair, 1_000).result is Result.PAID
    new = SamTill(tmp_path / "new.db")
    for subject, body, of_class in till.journal.certificates():
        new.journal.keep_certificate(subject, of_class, body)
    assert new.journal.adopt(till.journal.transfers()) == 2
    sale = new.journal.transfers("kind = 'SALE'")[0]
    assert new.refund(sale.k, *pair, 1_000).result is Result.PAID
    assert balance(pair[0]) == LOADED - 6_800 + 2_000
    new.journal.close()
