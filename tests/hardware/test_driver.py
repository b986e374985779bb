"""The driver: words of the card as errors, the balance that is left, what a tap costs."""

from __future__ import annotations

import pytest

from hardware.apdu import ResponseApdu
from hardware.card_like import CardTorn
from hardware.data_objects import AID
from hardware.driver import NEXT_STEPS, HardWallet, answer_data, balance_after, is_promised
from hardware.emulator.card import ATR
from hardware.emulator.faults import FaultPlan, Tear
from hardware.exchange import CardConnection
from hardware.status_words import SW
from hardware.transports.in_process import InProcessTransport
from support.cards import LOAD, PIN, CardInHand, World, make_world, personalised_card
from wallet_core.errors import CardError, NoCardError, OutcomeUnknownError, PurseRefusal, Refused, WrongAppletError
from wallet_core.purse.state import Lifecycle


class Scripted:
    """A card that answers what it is told to."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.commands: list[bytes] = []

    def power_on(self) -> bytes:
        return ATR

    def power_off(self) -> None:
        pass

    def transmit(self, command: bytes) -> bytes:
        self.commands.append(command)
        if not self.answers:
            raise CardTorn
        return self.answers.pop(0)


def wallet(*answers: str) -> HardWallet:
    return HardWallet(CardConnection(InProcessTransport(Scripted(*map(bytes.fromhex, answers)))))


@pytest.fixture
def world() -> World:
    return make_world("driver")


@pytest.fixture
def hand(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


@pytest.mark.parametrize("reason", list(Refused))
def test_a_reason_is_a_refusal(reason: Refused) -> None:
    with pytest.raises(PurseRefusal) as caught:
        wallet(f"{reason:04X}").pay(bytes(138))
    assert caught.value.reason is reason
    assert "PAY" in caught.value.message
    if reason in NEXT_STEPS:
        assert caught.value.next_step == NEXT_STEPS[reason]


@pytest.mark.parametrize("word", ["6581", "6700", "6881", "6A86", "6D00", "6F00", "6282"])
def test_another_word_is_a_card_error(word: str) -> None:
    with pytest.raises(CardError) as caught:
        wallet(word).pay(bytes(138))
    assert caught.value.sw == int(word, 16)
    promised = "Nothing was charged" in caught.value.next_step
    assert promised is (word not in ("6581", "6F00", "6282")), "only what is promised is said"


def test_which_words_promise() -> None:
    assert all(is_promised(word) for word in (0x6400, 0x6985, 0x63C2, 0x6700, 0x6A82, 0x6E00, *Refused))
    assert not any(is_promised(word) for word in (0x6300, 0x6581, 0x6F00, 0x6200, 0x6100))


def test_data_of_an_ok() -> None:
    assert answer_data(ResponseApdu(b"abc", SW.OK), "PAY") == b"abc"


@pytest.mark.parametrize("answer", ["6A82", "6A81", "6F05840301020390 00", "9000"])
def test_a_card_without_the_purse(answer: str) -> None:
    with pytest.raises(WrongAppletError):
        wallet(answer).select()


def test_select_with_another_error() -> None:
    with pytest.raises(CardError) as caught:
        wallet("6F00").select()
    assert not isinstance(caught.value, WrongAppletError)


def test_silence_is_an_unknown_outcome() -> None:
    with pytest.raises(OutcomeUnknownError):
        wallet().pay(bytes(138))
    with pytest.raises(OutcomeUnknownError):  # taken away before GET RESPONSE
        wallet(bytes(256).hex() + "610E").pay(bytes(138))


def test_a_list_ends_with_not_found_and_with_nothing_else(world: World) -> None:
    assert wallet("AA9000", "BB9000", "6A88").vouchers() == (b"\xaa", b"\xbb")
    with pytest.raises(PurseRefusal) as caught:
        wallet("AA9000", "6982").vouchers()
    assert caught.value.reason is Refused.PIN_REQUIRED
    assert len(wallet(*["AA9000"] * 257).vouchers()) == 256


@pytest.mark.parametrize("tear", list(Tear))
def test_a_torn_payment_is_completed_by_the_same_request(world: World, hand: CardInHand, tear: Tear) -> None:
    fci = hand.tap()
    request = world.till_request(fci, 3_600)
    hand.plans.plans.append(FaultPlan(tear, command="PAY"))
    with pytest.raises(OutcomeUnknownError):
        hand.wallet.pay(request.to_payload())
    with pytest.raises(NoCardError):
        hand.wallet.select()
    again = hand.tap()
    assert again.next_n == (2 if tear in (Tear.AFTER_COMMIT, Tear.ANSWER) else 1)
    assert balance_after(again, request) == balance_after(fci, request) == LOAD - 3_600
    hand.wallet.pay(request.to_payload())
    done = hand.wallet.select()
    assert (done.balance, done.next_n) == (LOAD - 3_600, 2)
    assert balance_after(done, request) == LOAD - 3_600


def test_a_plan_waits_for_its_command(world: World, hand: CardInHand) -> None:
    hand.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="COLLECT"))
    hand.wallet.pay(world.till_request(hand.tap(), 100).to_payload())
    assert hand.plans.plans
    with pytest.raises(OutcomeUnknownError):
        hand.load(100, n=2, order="second")
    assert not hand.plans.plans
    torn_by = hand.card.torn_by
    assert torn_by is not None
    assert torn_by.tear is Tear.AFTER_COMMIT


def test_a_plan_after_a_commit_waits_for_one(world: World, hand: CardInHand) -> None:
    hand.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, ins=0x32))
    with pytest.raises(PurseRefusal):
        hand.wallet.pay(world.till_request(hand.wallet.select(), 0).to_payload())
    assert hand.plans.plans, "nothing was committed, so nothing is torn"
    with pytest.raises(OutcomeUnknownError):
        hand.wallet.pay(world.till_request(hand.wallet.select(), 1).to_payload())


def test_a_plan_for_an_exchange(hand: CardInHand) -> None:
    hand.plans.plans.append(FaultPlan(Tear.ANSWER, exchange=3))
    hand.connection.reset()
    hand.wallet.select()
    hand.wallet.serial()
    with pytest.raises(OutcomeUnknownError):
        hand.wallet.serial()


def test_a_plan_beyond_the_last_cell_tears_nothing(world: World, hand: CardInHand) -> None:
    hand.plans.plans.append(FaultPlan(Tear.DURING, command="PAY", at=500))
    hand.wallet.pay(world.till_request(hand.tap(), 100).to_payload())
    hand.wallet.pay(world.till_request(hand.tap(), 100, k=2).to_payload())
    assert hand.card.torn_by is None


def test_a_known_card_pays_in_four_pairs_with_one_signature(world: World, hand: CardInHand) -> None:
    """Done when: at most 4 command-response pairs with SELECT, 1,024 bytes, one signature by the card."""
    hand.connection.reset()
    before = hand.connection.meter.snapshot()
    request = world.till_request(hand.wallet.select(), 6_800)
    hand.wallet.pay(request.to_payload())
    cost = hand.connection.meter.since(before)
    assert hand.card.signatures == 1
    assert cost.exchanges == 3
    assert cost.bytes_total == 13 + 103 + 144 + 258 + 5 + 16
    assert cost.exchanges <= 4
    assert cost.bytes_total <= 1_024


def test_a_verified_payee_costs_one_signature_too(world: World, hand: CardInHand) -> None:
    hand.connection.reset()
    request = world.till_request(hand.wallet.select(), 20_001)
    hand.wallet.verify_pin(PIN)
    hand.wallet.pay_verified(*world.signed_by_till(request))
    assert hand.card.signatures == 1


def test_the_driver_closes_its_connection(hand: CardInHand) -> None:
    assert hand.wallet.select().lifecycle is Lifecycle.ACTIVE
    assert hand.wallet.connection.atr == ATR
    assert AID in hand.wallet.select().to_bytes()
    hand.wallet.close()
    assert not hand.flash.powered
