"""The journal: every cut of every commit and of its recoveries leaves the state before or after, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator.flash import Flash, Outcome, Power, PowerLost, Reader, UnstableCell, WornCellError
from hardware.emulator.journal import Journal, JournalLostError, NotFormattedError, NotLoadedError
from hardware.emulator.layout import POSITIONS, Layout
from support import tally
from support.schedules import ALL_OUTCOMES, MakeJournal, Schedules
from wallet_core.errors import ConfigurationError, StorageError

WORST = (Outcome.UNSTABLE,)
SMALL = Layout(payload_size=16, positions=4, cell_size=16)
CARD = Layout(payload_size=180, areas=(("slot", 300),))


def payload(layout: Layout, number: int) -> bytes:
    """States differ in their first bytes only, as totals do: old cells of a torn record then fit a newer one."""
    return number.to_bytes(4).ljust(layout.payload_size, b"\x5a")


def states(layout: Layout, count: int) -> list[bytes]:
    return [payload(layout, number) for number in range(count)]


def formatted(layout: Layout, *, reader: Reader | None = None, seed: int = 1, endurance: int | None = None) -> Flash:
    flash = Flash(layout.cells, cell_size=layout.cell_size, rng=Random(seed), reader=reader, endurance=endurance)
    flash.power_on()
    Journal(flash, layout).format(payload(layout, 0))
    return flash


def powered_up(flash: Flash, layout: Layout) -> tuple[Journal, bytes]:
    flash.power_on()
    journal = Journal(flash, layout)
    return journal, journal.load()


# The exhaustive searches: each finds that nothing wrong is possible, and counts the cuts it tried.

SEARCHES: list[tuple[Layout, int, Sequence[Sequence[Outcome]]]] = [
    # Each place of the ring a commit can go to, with the older records of the session around it.
    *((SMALL, history, (ALL_OUTCOMES,) * 3) for history in range(1, SMALL.positions + 3)),
    # The layout of the card, before and after the ring has been once around.
    (CARD, 1, (ALL_OUTCOMES,) * 3),
    (CARD, POSITIONS + 1, (ALL_OUTCOMES,) * 3),
    # One cut deeper: a commit and three of its recoveries. An unstable cell can read as all that another cut leaves.
    (Layout(payload_size=32, positions=5, cell_size=16), 6, (WORST,) * 4),
]


@pytest.mark.parametrize(("layout", "history", "outcomes"), SEARCHES)
def test_every_cut_leaves_before_or_after_and_never_changes_its_mind(
    layout: Layout, history: int, outcomes: Sequence[Sequence[Outcome]]
) -> None:
    search = Schedules(layout, outcomes)
    *before, after = states(layout, history + 1)
    search.explore(before, after)
    tally.record("power cuts", total=search.cuts, wrong=len(search.wrong) + search.lost)
    assert search.wrong == []
    assert search.lost == 0
    assert search.cuts > 4 * len(outcomes) * layout.record_cells
    assert search.settled > 2


@pytest.mark.parametrize("positions", [3, 4])
def test_as_many_cuts_in_a_row_as_positions_can_kill_a_card_but_never_make_it_lie(positions: int) -> None:
    """The bound of decision 0003 is exact: one cut less than positions is survived (above), this many are not."""
    layout = Layout(payload_size=16, positions=positions, cell_size=16)
    search = Schedules(layout, (WORST,) * positions)
    *before, after = states(layout, positions + 3)
    search.explore(before, after)
    assert search.wrong == []
    assert search.lost > 0


class LeavesOthers(Journal):
    """A recovery that writes afresh and erases nothing."""

    def _erase(self, position: int) -> None:
        del position


class WritesNothing(Journal):
    """A recovery that trusts what it has read."""

    def load(self) -> bytes:
        found = [record for position in range(self._layout.positions) if (record := self._read(position))]
        newest = max(found, key=lambda record: record.sequence)
        self._settled(newest.sequence)
        return newest.payload


@pytest.mark.parametrize("make", [LeavesOthers, WritesNothing])
def test_the_search_finds_what_a_lesser_recovery_gets_wrong(make: MakeJournal) -> None:
    search = Schedules(SMALL, (ALL_OUTCOMES,) * 2, make)
    *before, after = states(SMALL, SMALL.positions + 2)
    search.explore(before, after)
    assert search.wrong != []


# The end of a card's life: from the last commit that wear allows, through every cut, to a ring that is worn out.


@pytest.mark.parametrize(
    ("positions", "outcomes"), [(3, (ALL_OUTCOMES,) * 2), (4, (ALL_OUTCOMES, WORST, WORST)), (4, (WORST,) * 3)]
)
@pytest.mark.parametrize("history", [1, 2, 3])
def test_a_worn_out_ring_still_answers_what_it_answered_first(
    positions: int, outcomes: Sequence[Sequence[Outcome]], history: int
) -> None:
    layout = Layout(payload_size=16, positions=positions, cell_size=16)
    search = Schedules(layout, outcomes, left=positions)
    *before, after = states(layout, history + 1)
    search.explore(before, after)
    tally.record("power cuts", total=search.cuts, wrong=len(search.wrong) + search.lost)
    assert search.wrong == []
    assert search.lost == 0
    assert search.cuts > 8
    assert search.settled > 20  # the search ends only where nothing is programmed any more


class KeepsNoReserve(Journal):
    """Commits go on as long as the cells do."""

    def _require_reserve(self) -> None:
        return


def test_without_the_reserve_a_worn_out_ring_changes_its_mind() -> None:
    search = Schedules(SMALL, (ALL_OUTCOMES,), KeepsNoReserve, left=1)
    *before, after = states(SMALL, SMALL.positions)  # the commit goes to the cell that formatting has worn most
    search.explore(before, after)
    assert "one memory, two answers" in search.wrong


# Deeper than a search can go: the one schedule that spends a position with each cut, and random ones.


def chain(layout: Layout, cuts: int) -> Flash:
    """Cut `cuts` seals in a row, each of which reads as sealed at the next power-up and as rubbish at the last."""

    def newest(cell: UnstableCell) -> bytes:
        return cell.candidates[-1]

    flash = formatted(layout, reader=newest)
    journal, _ = powered_up(flash, layout)
    flash.supply(Power(layout.payload_cells))
    with pytest.raises(PowerLost):
        journal.commit(payload(layout, 1))
    for _ in range(cuts - 1):
        flash.power_on(Power(layout.payload_cells))
        with pytest.raises(PowerLost):
            Journal(flash, layout).load()
    flash.reader = lambda cell: bytes(len(cell.candidates[0]))
    return flash


@pytest.mark.parametrize("positions", [3, 5, POSITIONS, 12])
def test_the_worst_chain_of_cuts_is_survived_up_to_the_bound(positions: int) -> None:
    layout = Layout(payload_size=180, positions=positions)
    assert powered_up(chain(layout, positions - 1), layout)[1] == payload(layout, 0)
    with pytest.raises(JournalLostError):
        powered_up(chain(layout, positions), layout)


@given(
    seed=st.integers(0, 2**32),
    commits=st.integers(0, 12),
    cuts=st.lists(st.tuples(st.integers(0, 13), st.sampled_from(Outcome)), max_size=POSITIONS - 1),
)
def test_random_cuts_up_to_the_bound(seed: int, commits: int, cuts: list[tuple[int, Outcome]]) -> None:
    flash = formatted(CARD, seed=seed)
    journal, _ = powered_up(flash, CARD)
    for number in range(1, commits + 1):
        journal.commit(payload(CARD, number))
    allowed = {payload(CARD, commits), payload(CARD, commits + 1)}
    wrong = 0
    for turn, (cell, outcome) in enumerate(cuts):
        if turn == 0:
            flash.supply(Power(cell % CARD.record_cells, outcome))
            with pytest.raises(PowerLost):
                journal.commit(payload(CARD, commits + 1))
            continue
        flash.power_on(Power(cell, outcome))
        try:
            answer = Journal(flash, CARD).load()
        except PowerLost:
            continue
        wrong += answer not in allowed
        allowed = {answer}
    answers = {powered_up(flash, CARD)[1] for _ in range(4)}
    wrong += len(answers) != 1 or not answers <= allowed
    tally.record("power cuts", total=len(cuts), wrong=wrong)
    assert wrong == 0


def test_a_power_up_reads_each_cell_once_and_programs_each_seal_once() -> None:
    read: list[int] = []

    def reader(cell: UnstableCell) -> bytes:
        read.append(cell.index)
        return cell.candidates[0]

    flash = formatted(CARD, reader=reader)
    for position in range(CARD.positions):
        for index in range(CARD.first_cell(position), CARD.seal_cell(position) + 1):
            if position:  # position 0 holds the only record
                flash.supply(Power(0))
                with pytest.raises(PowerLost):
                    flash.program(index, bytes(CARD.cell_size))
                flash.power_on()
    before = [flash.wear(index) for index in range(CARD.cells)]
    powered_up(flash, CARD)
    assert read == sorted(set(read))
    assert len(read) == (CARD.positions - 1) * CARD.record_cells
    worn = [flash.wear(index) - before[index] for index in range(CARD.cells)]
    assert all(worn[CARD.seal_cell(position)] == 1 for position in range(CARD.positions))
    assert sum(worn) == flash.programmed == CARD.payload_cells + CARD.positions == 11


# What it says when it cannot


def test_a_blank_flash_is_not_formatted() -> None:
    flash = Flash(SMALL.cells, cell_size=16, rng=Random(1))
    flash.power_on()
    with pytest.raises(NotFormattedError):
        Journal(flash, SMALL).load()
    assert flash.programmed == 0


def test_formatting_that_was_cut_short_is_not_formatted_or_is_the_first_state() -> None:
    first = payload(SMALL, 7)
    for outcome in (Outcome.OLD, Outcome.NEW, Outcome.PARTIAL):
        cell, cut = 0, True
        while cut:
            flash = Flash(SMALL.cells, cell_size=16, rng=Random(1))
            flash.power_on(Power(cell, outcome))
            try:
                Journal(flash, SMALL).format(first)
                cut = False
            except PowerLost:
                cell += 1
            try:
                assert powered_up(flash, SMALL)[1] == first
            except NotFormattedError:
                assert cut
        assert cell == SMALL.positions + SMALL.record_cells + 2


def test_another_layout_is_refused_and_nothing_is_written() -> None:
    flash = formatted(SMALL)
    content = flash.read(0, flash.size)
    other = Layout(payload_size=15, positions=4, cell_size=16)
    with pytest.raises(ConfigurationError):
        powered_up(flash, other)
    assert flash.read(0, flash.size) == content
    with pytest.raises(ConfigurationError):
        Journal(flash, CARD)


def test_a_formatted_card_without_a_record_is_dead_and_says_so_without_zeros() -> None:
    flash = formatted(SMALL)
    for position in range(SMALL.positions):
        flash.program(SMALL.seal_cell(position), bytes(16))
    for _ in range(2):
        with pytest.raises(JournalLostError) as caught:
            powered_up(flash, SMALL)
        assert isinstance(caught.value, StorageError)
        assert flash.programmed == 0


@pytest.mark.parametrize("bit", range(0, 256, 5))
def test_a_flipped_bit_unseals_a_record(bit: int) -> None:
    flash = formatted(SMALL)
    start = SMALL.first_cell(0) * 16
    record = bytearray(flash.read(start, 32))
    record[bit // 8] ^= 1 << bit % 8
    flash.write(start, bytes(record))
    with pytest.raises(JournalLostError):
        powered_up(flash, SMALL)


def test_a_record_in_the_place_of_another_is_none() -> None:
    flash = formatted(SMALL)
    record = flash.read(SMALL.first_cell(0) * 16, 32)
    flash.write(SMALL.first_cell(1) * 16, record)
    flash.program(SMALL.seal_cell(0), bytes(16))
    with pytest.raises(JournalLostError):
        powered_up(flash, SMALL)


def test_nothing_is_committed_before_the_state_is_recovered_in_this_session() -> None:
    flash = formatted(SMALL)
    flash.power_on()
    journal = Journal(flash, SMALL)
    with pytest.raises(NotLoadedError):
        journal.commit(payload(SMALL, 1))
    with pytest.raises(NotLoadedError):
        _ = journal.sequence
    journal.load()
    journal.commit(payload(SMALL, 1))
    assert journal.sequence == 2
    flash.power_on()
    with pytest.raises(NotLoadedError):
        journal.commit(payload(SMALL, 2))
    flash.supply(Power(1))
    with pytest.raises(PowerLost):
        journal.load()
    flash.power_on()
    with pytest.raises(NotLoadedError):
        journal.commit(payload(SMALL, 2))
    assert journal.load() == payload(SMALL, 1)


def test_a_record_has_one_length() -> None:
    flash = formatted(SMALL)
    journal, _ = powered_up(flash, SMALL)
    for wrong in (b"", bytes(15), bytes(17)):
        with pytest.raises(ConfigurationError):
            journal.commit(wrong)
        with pytest.raises(ConfigurationError):
            journal.format(wrong)
    assert powered_up(flash, SMALL)[1] == payload(SMALL, 0)


def test_a_worn_card_refuses_commits_then_freezes_and_keeps_its_state() -> None:
    flash = formatted(SMALL, endurance=14)
    journal, state = powered_up(flash, SMALL)
    refused = 0
    for number in range(1, 100):
        try:
            journal.commit(payload(SMALL, number))
        except WornCellError:
            refused = number
            break
        state = payload(SMALL, number)
    assert 20 < refused < 50
    assert flash.left(SMALL.ring) == SMALL.positions - 1
    for left in range(SMALL.positions - 2, -1, -1):  # recoveries use up the reserve
        journal, answered = powered_up(flash, SMALL)
        assert (answered, flash.left(SMALL.ring)) == (state, left)
        journal.require_writable()  # the recovery has ended: which areas are free is known
        with pytest.raises(WornCellError):
            journal.commit(payload(SMALL, 0))
    content = flash.snapshot()
    sequences = set()
    for _ in range(3):
        journal, answered = powered_up(flash, SMALL)
        sequences.add(journal.sequence)
        assert answered == state
        for refusing in (journal.require_writable, lambda: journal.commit(payload(SMALL, 0))):  # noqa: B023
            with pytest.raises(WornCellError):
                refusing()
    assert flash.snapshot() == content
    assert len(sequences) == 1
    flash.endurance = None
    journal, answered = powered_up(flash, SMALL)
    journal.commit(payload(SMALL, 0))
    assert answered == state


def test_a_frozen_card_without_a_record_is_dead_all_the_same() -> None:
    flash = formatted(SMALL)
    for position in range(SMALL.positions):
        flash.program(SMALL.seal_cell(position), bytes(16))
    flash.endurance = 1
    with pytest.raises(JournalLostError):
        powered_up(flash, SMALL)


def test_areas_survive_what_happens_in_the_ring() -> None:
    flash = formatted(CARD)
    journal, _ = powered_up(flash, CARD)
    slot = CARD.area("slot")
    slot.write(flash, b"voucher".ljust(300, b"."))
    for number in range(1, 2 * POSITIONS):
        journal.commit(payload(CARD, number))
    powered_up(flash, CARD)
    assert slot.read(flash, 0, 8) == b"voucher."
