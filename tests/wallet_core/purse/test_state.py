"""The state: what follows from the totals, and where the next slot and entry are."""

from __future__ import annotations

import pytest

from support.samples import POLICY
from wallet_core.ids import COUNTER_MAX
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, Entry, EntryState, PurseState, Slot, SlotState


def test_a_new_purse_is_empty() -> None:
    state = PurseState()
    assert (state.balance, state.exposure, state.open_amount, state.payments_since_grant) == (0, 0, 0, 0)
    assert (state.next_n, state.next_k, state.epoch) == (1, 1, 1)
    assert (len(state.slots), len(state.table)) == (SLOT_COUNT, TABLE_SIZE)
    assert (state.free_slot(), state.free_entry()) == (0, 0)
    assert not state.counters_exhausted


def test_what_follows_from_the_totals() -> None:
    state = PurseState(total_in=900, total_out=700, total_reversed=50, out_acked=600, in_acked=800, next_n=9, n_acked=4)
    assert state.balance == 250
    assert state.exposure == 100
    assert state.payments_since_grant == 5


def test_only_open_entries_reserve() -> None:
    table = tuple(Entry(one, k, 10**k) for k, one in enumerate(EntryState))
    assert PurseState(table=table).open_amount == 10**1


@pytest.mark.parametrize("taken", range(SLOT_COUNT + 1))
def test_the_first_free_slot(taken: int) -> None:
    states = [SlotState.PENDING, SlotState.COLLECTED, SlotState.REVERSED]
    slots = tuple(Slot(states[i % 3] if i < taken else SlotState.FREE) for i in range(SLOT_COUNT))
    assert PurseState(slots=slots).free_slot() == (taken if taken < SLOT_COUNT else None)


@pytest.mark.parametrize("taken", range(TABLE_SIZE + 1))
def test_the_first_free_entry(taken: int) -> None:
    states = [EntryState.OPEN, EntryState.COLLECTED, EntryState.REFUSED]
    table = tuple(Entry(states[i % 3] if i < taken else EntryState.FREE) for i in range(TABLE_SIZE))
    assert PurseState(table=table).free_entry() == (taken if taken < TABLE_SIZE else None)


@pytest.mark.parametrize(
    ("n", "k", "exhausted"),
    [(1, 1, False), (COUNTER_MAX, COUNTER_MAX, False), (COUNTER_MAX + 1, 1, True), (1, COUNTER_MAX + 1, True)],
)
def test_counters_end(n: int, k: int, exhausted: bool) -> None:
    assert PurseState(next_n=n, next_k=k).counters_exhausted is exhausted


def test_there_is_a_slot_for_every_payment_that_the_policy_allows() -> None:
    assert POLICY.offline_count <= SLOT_COUNT
