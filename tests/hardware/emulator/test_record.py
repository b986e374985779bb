"""The state record and the areas that it makes count; a card whose memory makes no sense does not start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator.flash import BLANK
from hardware.emulator.memory import CARD_LAYOUT, FactoryData
from hardware.emulator.record import RECORD_SIZE, CardRecord, RecordError, read_record
from hardware.instructions import Store
from support.cards import LOAD, CardInHand, make_world, personalised_card, record_of
from wallet_core.errors import NoCardError, StorageError
from wallet_core.messages import Request, parse
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, Entry, EntryState, Lifecycle, PurseState, Slot, SlotState

counters = st.integers(0, 2**32 - 1)
sums = st.integers(0, 2**53 - 1)

purses = st.builds(
    PurseState,
    lifecycle=st.sampled_from(list(Lifecycle)),
    epoch=counters,
    next_n=counters,
    next_k=counters,
    total_in=sums,
    total_out=sums,
    total_reversed=sums,
    out_acked=sums,
    in_acked=sums,
    n_acked=counters,
    unverified=sums,
    pin_tries=st.integers(0, 3),
    slots=st.tuples(*[st.builds(Slot, st.sampled_from(list(SlotState)))] * SLOT_COUNT),
    table=st.tuples(*[st.builds(Entry, st.sampled_from(list(EntryState)))] * TABLE_SIZE),
)
records = st.builds(
    CardRecord,
    purses,
    st.booleans(),
    st.fixed_dictionaries({store: st.sampled_from([0, 1, 2]) for store in Store}),
)


@given(records)
def test_a_record_round_trip(record: CardRecord) -> None:
    raw = record.to_bytes()
    assert len(raw) == RECORD_SIZE == 80
    read = read_record(raw)
    assert read.slot_states == tuple(slot.state for slot in record.purse.slots)
    assert read.entry_states == tuple(entry.state for entry in record.purse.table)
    assert read.record == replace(
        record, purse=replace(record.purse, slots=PurseState().slots, table=PurseState().table)
    )


@pytest.mark.parametrize(
    ("at", "value"), [(0, 0), (0, 2), (1, 5), (3, 3), (4, 3), (9, 255)], ids=["v0", "v2", "life", "key", "bank", "last"]
)
def test_what_no_card_has_written(at: int, value: int) -> None:
    raw = bytearray(CardRecord().to_bytes())
    raw[at] = value
    with pytest.raises(RecordError):
        read_record(bytes(raw))


@pytest.mark.parametrize("size", [0, RECORD_SIZE - 1, RECORD_SIZE + 1])
def test_a_record_of_another_size(size: int) -> None:
    with pytest.raises(RecordError):
        read_record(bytes(size))


def test_factory_data_that_no_factory_writes() -> None:
    with pytest.raises(RecordError):
        FactoryData.from_bytes(bytes([BLANK]) * 43)


def test_the_state_survives_the_power(hand: CardInHand) -> None:
    world = hand.world
    hand.wallet.pay(world.till_request(hand.wallet.select(), 100).to_payload())
    open_request = hand.wallet.request(world.operator_purse.id, 1, 2, 100, bytes(32))
    given_up = hand.wallet.request(world.operator_purse.id, 1, 3, 100, bytes(32))
    hand.wallet.refuse(parse(Request, given_up).hash)
    before = record_of(hand)
    assert [entry.state.name for entry in before.purse.table[:3]] == ["COLLECTED", "OPEN", "REFUSED"]
    assert before.purse.table[1].request == open_request
    hand.tap()
    assert record_of(hand) == before


@pytest.fixture
def hand() -> CardInHand:
    return personalised_card(make_world("record"), load=LOAD)


@pytest.mark.parametrize("area", ["slot 0", "request 0", "answer 0", "factory"])
def test_a_card_whose_memory_contradicts_itself_does_not_start(hand: CardInHand, area: str) -> None:
    """What the record says is there is not: the card guesses nothing and answers nothing."""
    hand.wallet.pay(hand.world.till_request(hand.wallet.select(), 100).to_payload())
    place = CARD_LAYOUT.area(area)
    place.write(hand.flash, bytes([BLANK]) * place.size)
    with pytest.raises(NoCardError):
        hand.connection.reset()
    with pytest.raises(StorageError):
        hand.card.power_on()
    assert not hand.flash.powered


def test_an_object_is_replaced_in_the_other_bank(hand: CardInHand) -> None:
    first = record_of(hand).objects[Store.POLICY]
    hand.wallet.store_policy(hand.world.signed_policy(version=2))
    second = record_of(hand).objects[Store.POLICY]
    hand.wallet.store_policy(hand.world.signed_policy(version=3))
    assert {first, second} == {1, 2}
    assert record_of(hand).objects[Store.POLICY] == first
    assert hand.tap().policy_version == 3
