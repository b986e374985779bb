"""Report, grant, order and closing: lines in byte strings of fixed size, there and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.samples import CLOSING, GRANT, LOAD_VOUCHER, ORDER, REFUSAL, REPORT, VOUCHER
from wallet_core.errors import OutOfRangeError
from wallet_core.messages import Grant, Report
from wallet_core.messages.ending import (
    ENTRIES,
    SLOTS,
    EntryLine,
    Outcome,
    SlotLine,
    pack_closed,
    pack_entries,
    pack_outcomes,
    pack_slots,
)
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE

counters = st.integers(1, 2**32 - 1)
hashes = st.binary(min_size=32, max_size=32)
states = st.integers(1, 3)


def test_there_is_room_for_a_whole_purse() -> None:
    assert (SLOTS, ENTRIES) == (SLOT_COUNT, TABLE_SIZE)


def test_a_line_is_counter_state_and_hash() -> None:
    line = b"\0\0\0\1" + b"\1" + VOUCHER.hash
    assert REPORT.slots == line + bytes(15 * 37)
    assert REPORT.entries == b"\0\0\0\1" + b"\2" + LOAD_VOUCHER.hash + bytes(7 * 37)
    assert GRANT.outcomes == b"\0\0\0\1\2" + bytes(15 * 5)
    assert GRANT.closed == b"\0\0\0\1" + bytes(7 * 4)
    assert REPORT.slot_lines == (SlotLine(1, 1, VOUCHER.hash),)
    assert REPORT.entry_lines == (EntryLine(1, 2, LOAD_VOUCHER.hash),)
    assert GRANT.slot_outcomes == {1: 2}
    assert GRANT.closed_entries == {1}


def test_the_balance_of_a_report() -> None:
    assert REPORT.balance == 50_000 - 6_800
    assert replace(REPORT, total_reversed=800).balance == 50_000 - 6_000


@given(st.lists(st.builds(SlotLine, counters, states, hashes), max_size=SLOTS))
def test_slots_there_and_back(lines: list[SlotLine]) -> None:
    report = replace(REPORT, slots=pack_slots(lines))
    assert Report.from_payload(report.to_payload()).slot_lines == tuple(lines)


@given(st.lists(st.builds(EntryLine, counters, states, hashes), max_size=ENTRIES))
def test_entries_there_and_back(lines: list[EntryLine]) -> None:
    report = replace(REPORT, entries=pack_entries(lines))
    assert Report.from_payload(report.to_payload()).entry_lines == tuple(lines)


@given(st.dictionaries(counters, st.sampled_from([2, 3]), max_size=SLOTS), st.sets(counters, max_size=ENTRIES))
def test_outcomes_and_closed_entries_there_and_back(outcomes: dict[int, int], closed: set[int]) -> None:
    grant = replace(
        GRANT, outcomes=pack_outcomes(Outcome(n, state) for n, state in outcomes.items()), closed=pack_closed(closed)
    )
    read = Grant.from_payload(grant.to_payload())
    assert (read.slot_outcomes, read.closed_entries) == (outcomes, closed)


def test_one_line_too_many() -> None:
    assert len(pack_slots([SlotLine(1, 1, bytes(32))] * SLOTS)) == 592
    assert len(pack_entries([EntryLine(1, 1, bytes(32))] * ENTRIES)) == 296
    assert len(pack_outcomes([Outcome(1, 2)] * SLOTS)) == 80
    assert len(pack_closed([1] * ENTRIES)) == 32
    with pytest.raises(OutOfRangeError):
        pack_slots([SlotLine(1, 1, bytes(32))] * (SLOTS + 1))
    with pytest.raises(OutOfRangeError):
        pack_entries([EntryLine(1, 1, bytes(32))] * (ENTRIES + 1))
    with pytest.raises(OutOfRangeError):
        pack_outcomes([Outcome(1, 2)] * (SLOTS + 1))
    with pytest.raises(OutOfRangeError):
        pack_closed(range(1, ENTRIES + 2))


def test_each_names_what_it_is_about() -> None:
    """An order names one voucher and the report that showed it; a closing has no counter: it closes a Request."""
    assert (ORDER.voucher_hash, ORDER.report_hash) == (VOUCHER.hash, REPORT.hash)
    assert GRANT.report_hash == REPORT.hash
    assert len({message.hash for message in (ORDER, GRANT, REPORT, CLOSING, REFUSAL)}) == 5
    assert replace(ORDER, report_hash=bytes(32)).hash != ORDER.hash
