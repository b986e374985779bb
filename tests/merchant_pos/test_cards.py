"""merchant_pos.cards over a real emulated card: what a tap costs, and what the till sees of the card's refusals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hardware.emulator.faults import FaultPlan, Tear
from hardware.instructions import Ins
from merchant_pos import phrases
from merchant_pos.cards import ReaderSource, Wallet
from merchant_pos.checkout import Checkout, Outcome
from merchant_pos.decisions import Result
from merchant_pos.journal import Journal
from merchant_pos.ports import PayerCard
from merchant_pos.sales import Order
from support.cards import PIN, CardInHand, personalised_card
from support.sam_till import WORLD
from support.till import Pins, TestClock, identity
from support.till_process import make_card
from wallet_core.errors import NoCardError, NoReaderError, NoServiceError, PurseRefusal, Refused, TransportError
from wallet_core.money import fen

MOST_PAIRS = 4  # command–response pairs of a tap of a known card, SELECT included
MOST_BYTES = 1_024  # of commands and responses, headers and status words included


@dataclass
class Desk:
    """A till with a card on its reader."""

    hand: CardInHand
    checkout: Checkout
    clock: TestClock
    lines: list[str] = field(default_factory=list)

    def card(self, timeout_s: float) -> PayerCard:
        self.hand.connection.reset()
        return _Stays(self.hand.wallet)

    def sell(self, amount: int, *pins: str) -> Outcome:
        return self.checkout.charge(Order(amount, "tea"), self, Pins(*pins), tap_seconds=1, retap_seconds=5)


class _Stays(Wallet):
    """The test's card is not closed after a tap."""

    def close(self) -> None:
        return


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    clock = TestClock()
    own = identity()
    journal = Journal(tmp_path / "till.db", till=own.id, now_ms=clock.now_ms)
    lines: list[str] = []
    checkout = Checkout(journal=journal, identity=own, clock=clock, notify=lines.append)
    yield Desk(personalised_card(WORLD, load=50_000), checkout, clock, lines)
    journal.close()


def test_a_tap_of_a_known_card_is_short_and_costs_one_signature(desk: Desk) -> None:
    assert desk.sell(100).result is Result.PAID
    before = desk.hand.connection.meter.snapshot()
    assert desk.sell(6_800).result is Result.PAID
    spent = desk.hand.connection.meter.since(before)
    assert spent.exchanges <= MOST_PAIRS
    assert spent.bytes_total <= MOST_BYTES
    assert desk.hand.card.signatures == 1


def test_meeting_a_card_costs_one_pair_more_and_meeting_a_policy_two(desk: Desk) -> None:
    def pairs() -> int:
        before = desk.hand.connection.meter.snapshot()
        assert desk.sell(6_800).result is Result.PAID
        return desk.hand.connection.meter.since(before).exchanges

    first, known = pairs(), pairs()
    assert known <= MOST_PAIRS
    assert first - known == 2
    desk.hand = personalised_card(WORLD, bytes(8), load=50_000)
    assert pairs() - known == 1


@pytest.mark.parametrize("tear", list(Tear))
def test_every_tear_of_pay_is_completed_and_charged_once(desk: Desk, tear: Tear) -> None:
    desk.hand.plans.plans.append(FaultPlan(tear, command="PAY", at=1))
    outcome = desk.sell(6_800)
    assert outcome.result is Result.PAID
    assert outcome.left == desk.hand.tap().balance == 43_200


@pytest.mark.parametrize("sw", [0x6985, 0x69E2, 0x6A88, 0x6D00, 0x6F00])
def test_a_debit_whose_answer_cannot_be_fetched_is_never_called_not_charged(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, sw: int
) -> None:
    """PAY is done (610E), GET RESPONSE ends with an error word: tap again, and the re-tap ends PAID, charged once."""
    desk.sell(100)
    failures, real = [sw], desk.hand.card.transmit

    def transmit(command: bytes) -> bytes:
        answer = real(command)
        if command[1] == Ins.GET_RESPONSE and failures:
            return failures.pop().to_bytes(2)
        return answer

    monkeypatch.setattr(desk.hand.card, "transmit", transmit)
    desk.lines.clear()
    outcome = desk.sell(6_800)
    assert failures == []
    said = [line for line in desk.lines if line not in (phrases.TAP, phrases.CARD_READ)]
    assert said == [phrases.TAP_AGAIN, phrases.paid(fen(6_800), fen(43_100))]
    assert outcome.result is Result.PAID
    assert outcome.left == desk.hand.tap().balance == 50_000 - 100 - 6_800


def test_the_card_verifies_the_till_above_its_threshold(desk: Desk) -> None:
    assert desk.sell(20_001, PIN).result is Result.PAID
    assert desk.hand.tap().balance == 29_999


@pytest.mark.parametrize(("amount", "reason"), [(50_001, Refused.TRANSFER_LIMIT), (20_001, Refused.PIN_REQUIRED)])
def test_the_cards_reasons_arrive(desk: Desk, amount: int, reason: Refused) -> None:
    outcome = desk.sell(amount)
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is reason
    assert desk.hand.tap().balance == 50_000


def test_a_wrong_pin_costs_a_try_and_the_card_blocks(desk: Desk) -> None:
    outcome = desk.sell(20_001, "0000", "1111", "2222")
    assert outcome.result is Result.NOT_CHARGED
    assert desk.hand.tap().pin_tries == 0


def test_offline_count_ends_the_payments(desk: Desk) -> None:
    results = [desk.sell(1).result for _ in range(17)]
    assert results == [Result.PAID] * 16 + [Result.NOT_CHARGED]
    assert desk.hand.tap().balance == 50_000 - 16


def test_what_the_card_shows_is_its_fci(desk: Desk) -> None:
    fci = desk.hand.tap()
    shown = Wallet(desk.hand.wallet).select()
    assert (shown.purse, shown.epoch, shown.next_n) == (fci.purse_id, fci.epoch, fci.next_n)
    assert (shown.lifecycle, shown.balance) == (fci.lifecycle, 50_000)
    assert (shown.payee_threshold, shown.pin_tries) == (20_000, 3)
    assert replace(shown) == shown


def test_a_reader_waits_for_its_card(tmp_path: Path) -> None:
    class Later(TestClock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            if len(self.waits) == 3:
                make_card(tmp_path / "card", 1)

    clock = Later()
    card = ReaderSource(f"emulator:{tmp_path / 'card'}", tmp_path, clock).card(5)
    assert card.select().balance == 50_000
    card.close()
    assert len(clock.waits) == 3


def test_a_reader_without_a_card_says_so_in_time(tmp_path: Path) -> None:
    clock = TestClock()
    with pytest.raises(NoCardError):
        ReaderSource(f"emulator:{tmp_path}", tmp_path, clock).card(2)
    assert sum(clock.waits) == pytest.approx(2)


def test_a_reader_that_is_not_there_is_a_transport_error(tmp_path: Path) -> None:
    with pytest.raises((NoReaderError, NoServiceError)) as caught:
        ReaderSource("pcsc:no reader of this name", tmp_path, TestClock()).card(0)
    assert isinstance(caught.value, TransportError)
