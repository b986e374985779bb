"""Unloading, with the real server: paid out once, wherever it is interrupted, and never more than was received."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hardware.emulator.faults import FaultPlan, Tear
from hardware.reporting import report_purse
from hardware.unloading import Unloaded, unload_purse
from support.card_desk import Desk
from support.cards import PIN, personalised_card, record_of
from support.keys import NOW
from wallet_core.errors import (
    CardError,
    MismatchError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    ServerUnreachableError,
    SettlementError,
)
from wallet_core.messages import Receipt, parse
from wallet_core.purse.state import SlotState

LOADED, AMOUNT = 50_000, 6_000


class Exit(Desk):
    """A desk with a loaded card that pays out."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.load(LOADED)

    def unload(self, amount: int = AMOUNT, pin: Callable[[], str | None] = lambda: None) -> Unloaded:
        self.hand.tap()
        return unload_purse(self.wallet, self.server, amount, ask_pin=pin)

    @property
    def states(self) -> set[SlotState]:
        return {slot.state for slot in record_of(self.hand).purse.slots} - {SlotState.FREE}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Exit]:
    made = Exit(tmp_path)
    yield made
    made.close()


def test_value_leaves_the_card_once(desk: Exit) -> None:
    done = desk.unload()
    assert (done.amount, done.acknowledged, done.finished) == (AMOUNT, True, ())
    assert done.receipt is not None
    assert parse(Receipt, done.receipt).message.payee == desk.bank.world.keyring.purse_certificate.subject
    assert desk.states == {SlotState.COLLECTED}
    assert desk.is_clean(LOADED - AMOUNT)
    desk.unload(1)
    assert desk.is_clean(LOADED - AMOUNT - 1)


def test_what_was_begun_is_paid_out_after_the_card_is_frozen(desk: Exit) -> None:
    """Nothing new begins with it; the unload that it has paid is finished by the same command (rule 10)."""
    fci = desk.hand.tap()
    desk.wallet.pay(desk.hand.world.till_request(fci, 100).to_payload())
    desk.hand.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="PAY, payee verified"))
    with pytest.raises(OutcomeUnknownError):
        desk.unload()
    desk.bank.parts.desk.freeze(fci.purse_id, NOW)
    with pytest.raises(SettlementError) as caught:
        desk.unload(AMOUNT + 1)
    assert caught.value.problem == "revoked"
    done = desk.unload()
    assert (done.amount, done.acknowledged, done.finished) == (AMOUNT, True, ())
    with pytest.raises(SettlementError):
        desk.unload()
    assert desk.states == {SlotState.PENDING, SlotState.COLLECTED}, "the sale and the unload"
    assert desk.hand.tap().balance == LOADED - 100 - AMOUNT


@pytest.mark.parametrize("kind", ["lost", "unanswered", "half", "500"])
def test_the_server_goes_away_at_each_call(desk: Exit, kind: str) -> None:
    for call in (1, 2):
        desk.line.calls.clear()
        desk.line.fault = (call, kind)
        with pytest.raises(ServerUnreachableError):
            desk.unload()
        desk.line.fault = None
        assert desk.unload().amount == AMOUNT
        assert desk.is_clean(LOADED - call * AMOUNT)


@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.ANSWER])
@pytest.mark.parametrize("command", ["SELECT", "RESEND", "PAY, payee verified"])
def test_the_card_goes_away_in_each_command(desk: Exit, command: str, tear: Tear) -> None:
    desk.hand.tap()
    desk.hand.plans.plans.append(FaultPlan(tear, command=command))
    with pytest.raises(OutcomeUnknownError):
        unload_purse(desk.wallet, desk.server, AMOUNT)
    assert desk.unload().acknowledged
    assert desk.states == {SlotState.COLLECTED}
    assert desk.is_clean(LOADED - AMOUNT)


def test_a_lost_acknowledgement_comes_with_the_grant(desk: Exit) -> None:
    desk.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="ACKNOWLEDGE"))
    assert not unload_purse(desk.wallet, desk.server, AMOUNT).acknowledged
    desk.hand.tap()
    assert desk.states == {SlotState.PENDING}
    report_purse(desk.wallet, desk.server, PIN)
    assert desk.states == set()
    assert desk.is_clean(LOADED - AMOUNT)


def test_an_interrupted_one_of_another_amount_is_finished_and_said(desk: Exit) -> None:
    desk.line.calls.clear()
    desk.line.fault = (2, "lost")
    with pytest.raises(ServerUnreachableError):
        desk.unload(500)
    desk.line.fault = None
    done = desk.unload()
    assert (done.amount, done.finished) == (AMOUNT, (500,))
    assert desk.is_clean(LOADED - AMOUNT - 500)


def test_above_the_threshold_it_wants_the_pin(desk: Exit) -> None:
    with pytest.raises(PurseRefusal) as caught:
        desk.unload(30_000)
    assert caught.value.reason is Refused.PIN_REQUIRED
    with pytest.raises(CardError):
        desk.unload(30_000, lambda: "135790")
    assert desk.unload(30_000, lambda: PIN).amount == 30_000
    assert desk.is_clean(LOADED - 30_000)


def test_the_pin_goes_to_the_card_that_asked_for_it(desk: Exit) -> None:
    other = personalised_card(desk.hand.world, bytes(8))

    def swap() -> str:
        desk.wallet.connection = other.wallet.connection
        return PIN

    with pytest.raises(MismatchError):
        desk.unload(30_000, swap)
    assert record_of(other).purse.pin_tries == 3


def test_more_than_the_card_has(desk: Exit) -> None:
    with pytest.raises(PurseRefusal) as caught:
        desk.unload(50_001, lambda: PIN)
    assert caught.value.reason in (Refused.TRANSFER_LIMIT, Refused.INSUFFICIENT)
    assert desk.is_clean(LOADED)
