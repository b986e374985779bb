"""The card's areas: what does not read back as it was written never comes to count."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.emulator.flash import WornCellError
from hardware.emulator.memory import CARD_LAYOUT, CardMemory
from hardware.status_words import SW
from support.cards import LOAD, CardInHand, World, make_world, personalised_card
from wallet_core.errors import CardError, PurseRefusal, Refused
from wallet_core.messages import Receipt, Request, Voucher, parse


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def hand(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


def stuck(hand: CardInHand, monkeypatch: pytest.MonkeyPatch, area: str, byte: int) -> pytest.MonkeyPatch:
    """One bit of this byte of an area no longer takes what is programmed there, and the chip does not say so."""
    flash, real = hand.flash, hand.flash.program
    cell, within = divmod(CARD_LAYOUT.area(area).offset + byte, CARD_LAYOUT.cell_size)

    def program(index: int, data: bytes) -> None:
        if index == cell:
            data = data[:within] + bytes((data[within] ^ 0x10,)) + data[within + 1 :]
        real(index, data)

    monkeypatch.setattr(flash, "program", program)
    return monkeypatch


def memory_failure(command: Callable[[], object]) -> None:
    with pytest.raises(CardError) as caught:
        command()
    assert caught.value.sw == SW.MEMORY_FAILURE


@pytest.mark.parametrize("byte", [0, 100, 269])
def test_a_voucher_that_was_not_kept_is_no_debit(
    world: World, hand: CardInHand, monkeypatch: pytest.MonkeyPatch, byte: int
) -> None:
    before = hand.wallet.select()
    request = world.till_request(before, 6_800)
    with monkeypatch.context() as patch:
        stuck(hand, patch, "slot 0", byte)
        memory_failure(lambda: hand.wallet.pay(request.to_payload()))
        assert hand.wallet.select() == hand.tap() == before
        with pytest.raises(PurseRefusal) as caught:
            hand.wallet.resend(request.hash)
        assert caught.value.reason is Refused.NOT_FOUND
    assert parse(Voucher, hand.wallet.pay(request.to_payload())).message.amount == 6_800
    assert hand.tap().balance == LOAD - 6_800


def test_a_request_that_was_not_kept_reserves_nothing(
    world: World, hand: CardInHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> bytes:
        return hand.wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("second load"))

    before = hand.wallet.select()
    with monkeypatch.context() as patch:
        stuck(hand, patch, "request 1", 40)  # entry 0 holds the first load
        memory_failure(ask)
        assert hand.wallet.select() == hand.tap() == before
        assert hand.wallet.open_requests() == ()
    assert parse(Request, ask()).message.k == before.next_k


def test_a_receipt_that_was_not_kept_credits_nothing(
    world: World, hand: CardInHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hand.wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("second load"))
    voucher = world.voucher_for(asked)
    with monkeypatch.context() as patch:
        stuck(hand, patch, "answer 1", 40)
        memory_failure(lambda: hand.wallet.collect(*voucher))
        assert hand.tap().balance == LOAD
        assert hand.wallet.open_requests() == (asked,)
    assert parse(Receipt, hand.wallet.collect(*voucher)).message.voucher_hash == parse(Voucher, voucher[0]).hash
    assert hand.tap().balance == LOAD + 1_000


def test_a_policy_that_was_not_kept_leaves_the_one_in_force(
    world: World, hand: CardInHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hand.wallet.policy()
    with monkeypatch.context() as patch:
        stuck(hand, patch, "policy 2", 3)
        memory_failure(lambda: hand.wallet.store_policy(world.signed_policy(version=2)))
        hand.tap()
        assert hand.wallet.policy() == before
    hand.wallet.store_policy(world.signed_policy(version=2))
    assert hand.wallet.policy().message.version == 2


def test_a_key_that_was_not_kept_is_an_error_of_the_memory(hand: CardInHand, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = CardMemory(hand.flash)
    memory.load()
    stuck(hand, monkeypatch, "key", 31)
    with pytest.raises(WornCellError, match="does not keep"):
        memory.write_scalar(bytes(32))
