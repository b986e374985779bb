"""A card at the end of its life: it starts, shows its state, answers what it has stored, and writes nothing more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.data_objects import Tag
from hardware.emulator.flash import Outcome, Power, WornCellError
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.record import CardRecord
from hardware.instructions import SIGNED_VOUCHER_SIZE
from hardware.status_words import SW
from support.cards import LOAD, PIN, CardInHand, World, make_world, personalised_card
from wallet_core.errors import CardError, OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.messages import Request, Voucher, parse

# Cells that a PAY programs before its seal: the voucher in its slot, the payload of the record.
SEAL_OF_A_PAYMENT = -(-SIGNED_VOUCHER_SIZE // CARD_LAYOUT.cell_size) + CARD_LAYOUT.payload_cells


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def hand(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


def leave(hand: CardInHand, programmings: int) -> None:
    """So many are left of the most worn cell of the ring."""
    flash = hand.flash
    flash.endurance = programmings + max(flash.wear(cell) for cell in CARD_LAYOUT.ring)


def worn(command: Callable[[], object]) -> None:
    with pytest.raises(CardError) as caught:
        command()
    assert caught.value.sw == SW.MEMORY_FAILURE


def test_a_frozen_card_shows_its_state_and_answers_what_it_has_stored(world: World, hand: CardInHand) -> None:
    wallet = hand.wallet
    paid = world.till_request(wallet.select(), 6_800)
    voucher = wallet.pay(paid.to_payload())
    asked = wallet.request(world.operator_purse.id, 1, 2, 1_000, world.digest("second load"))
    before, totals, slots = wallet.select(), wallet.totals(), wallet.slots()
    leave(hand, 0)
    content = hand.flash.snapshot()
    for _ in range(2):
        assert hand.tap() == before
        assert (wallet.totals(), wallet.slots()) == (totals, slots)
        assert wallet.certificate()
        assert wallet.policy().message == world.policy
        assert wallet.data(Tag.SERIAL) == hand.serial
        assert wallet.pay(paid.to_payload()) == voucher
        assert wallet.resend(paid.hash) == voucher
        assert wallet.resend_to(world.till.id) == (voucher,)
        assert wallet.open_requests() == (asked,)
        worn(lambda: wallet.pay(world.till_request(before, 100, k=2).to_payload()))
        worn(lambda: wallet.verify_pin(PIN))
        worn(lambda: wallet.verify_pin("000000"))
        worn(lambda: wallet.request(world.operator_purse.id, 1, 3, 1_000, bytes(32)))
        worn(lambda: wallet.collect(*world.voucher_for(asked)))
        worn(lambda: wallet.refuse(parse(Request, asked).message.hash))
        worn(lambda: wallet.store_policy(world.signed_policy(version=2)))
        with pytest.raises(PurseRefusal) as refused:  # what is refused anyway is refused as ever
            wallet.pay(world.till_request(before, 50_001, k=3).to_payload())
        assert refused.value.reason is Refused.PAYEE_UNVERIFIED
        assert wallet.select() == before
    assert hand.flash.snapshot() == content


def test_the_last_programmings_are_for_recoveries_and_a_refused_debit_is_none(world: World, hand: CardInHand) -> None:
    before = hand.wallet.select()
    leave(hand, CARD_LAYOUT.positions - 1)
    request = world.till_request(before, 6_800).to_payload()
    for _ in range(CARD_LAYOUT.positions + 1):
        worn(lambda: hand.wallet.pay(request))
        assert hand.wallet.select() == before
        assert hand.tap() == before
    hand.flash.endurance = None
    hand.tap()
    assert parse(Voucher, hand.wallet.pay(request)).message.amount == 6_800
    assert hand.tap().balance == LOAD - 6_800


def test_one_commit_more_than_the_reserve_is_done(world: World, hand: CardInHand) -> None:
    leave(hand, CARD_LAYOUT.positions)
    hand.wallet.pay(world.till_request(hand.wallet.select(), 6_800).to_payload())
    leave(hand, 0)
    assert hand.tap().balance == LOAD - 6_800


@pytest.mark.parametrize("seen", [0, 1])
def test_beyond_all_bounds_a_frozen_card_still_signs_nothing_new_at_a_counter(
    world: World, hand: CardInHand, seen: int
) -> None:
    """A debit cut at its seal on a card that can no longer recover: it may read as done at one tap and as not done at
    the next. Its voucher is one and the same, and no other takes its slot or its counter in between.
    """
    before = hand.wallet.select()
    request = world.till_request(before, 6_800)
    hand.flash.supply(Power(SEAL_OF_A_PAYMENT, Outcome.UNSTABLE))
    with pytest.raises(OutcomeUnknownError):
        hand.wallet.pay(request.to_payload())
    leave(hand, 0)
    reads = [seen]
    hand.flash.reader = lambda cell: cell.candidates[reads[0]]
    answers = set()
    for turn in range(4):
        reads[0] = (seen + turn) % 2
        shown = hand.tap()
        assert shown.balance == LOAD - 6_800 * reads[0]
        if reads[0]:
            answers.add(hand.wallet.pay(request.to_payload()))
        else:
            worn(lambda: hand.wallet.pay(world.till_request(before, 100, k=2).to_payload()))
    assert len(answers) == 1


def test_a_payment_whose_seal_is_worn_is_no_payment_in_ram_either(world: World, hand: CardInHand) -> None:
    """The commit fails at its very last cell: SELECT in the same power session shows what the memory says."""
    before = hand.wallet.select()
    request = world.till_request(before, 6_800)
    vault = hand.card.vault
    assert vault is not None
    written = vault.memory.commit

    def fails(record: CardRecord) -> None:
        raise WornCellError("a cell does not keep what is programmed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault.memory, "commit", fails)
        worn(lambda: hand.wallet.pay(request.to_payload()))
    assert vault.memory.commit == written
    assert hand.wallet.select() == before
    voucher = hand.wallet.pay(request.to_payload())
    assert hand.wallet.pay(request.to_payload()) == voucher
    assert hand.tap().balance == before.balance - 6_800, "debited once"
