"""The flash: what is programmed is there, and what a cut leaves is one of the four outcomes and nothing else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator.flash import Flash, Outcome, Power, PowerLost, UnstableCell, WornCellError, mixture
from wallet_core.errors import ConfigurationError, StorageError

SIZE = 16
OLD, NEW = b"\x0f" * SIZE, b"\x33" * SIZE


def powered(cells: int = 4, seed: int = 1) -> Flash:
    flash = Flash(cells, cell_size=SIZE, rng=Random(seed))
    flash.power_on()
    return flash


def cut(flash: Flash, outcome: Outcome, new: bytes = NEW, index: int = 1) -> None:
    """Program OLD, lose the power while `new` is programmed, and power up again."""
    flash.program(index, OLD)
    flash.supply(Power(0, outcome))
    with pytest.raises(PowerLost):
        flash.program(index, new)
    flash.power_on()


def readings(flash: Flash, count: int = 200, index: int = 1) -> set[bytes]:
    return {flash.read(index * SIZE, SIZE) for _ in range(count)}


def test_a_new_flash_has_no_power_and_reads_blank_with_it() -> None:
    flash = Flash(2, cell_size=SIZE, rng=Random(1))
    with pytest.raises(PowerLost):
        flash.read(0, 1)
    flash.power_on()
    assert flash.read(0, flash.size) == b"\xff" * 32


def test_no_handler_of_errors_catches_the_loss_of_power() -> None:
    assert not issubclass(PowerLost, Exception)


def test_after_a_cut_every_access_fails_until_the_power_comes_back() -> None:
    flash = powered()
    flash.supply(Power(1, Outcome.NEW))
    flash.program(0, NEW)
    with pytest.raises(PowerLost):
        flash.program(1, NEW)
    assert not flash.powered
    for access in (
        lambda: flash.read(0, 1),
        lambda: flash.read(0, 0),
        lambda: flash.program(0, OLD),
        lambda: flash.write(0, b""),
        lambda: flash.supply(Power()),
    ):
        with pytest.raises(PowerLost):
            access()
    flash.power_on()
    assert flash.read(0, 3 * SIZE) == NEW + NEW + b"\xff" * SIZE


@pytest.mark.parametrize(("outcome", "left"), [(Outcome.OLD, OLD), (Outcome.NEW, NEW)])
def test_a_cut_that_leaves_the_old_or_the_new(outcome: Outcome, left: bytes) -> None:
    flash = powered()
    cut(flash, outcome)
    assert readings(flash) == {left}
    assert not flash.unstable()


def test_a_partial_cell_is_a_mixture_and_stays_what_it_is() -> None:
    flash = powered()
    cut(flash, Outcome.PARTIAL)
    (left,) = readings(flash)
    assert left not in (OLD, NEW)
    for old, new, got in zip(OLD, NEW, left, strict=True):
        assert (old ^ got) & (new ^ got) == 0  # each bit is one of the two
    assert not flash.unstable()


def test_an_unstable_cell_reads_as_old_new_and_rubbish_until_it_is_programmed() -> None:
    flash = powered()
    cut(flash, Outcome.UNSTABLE)
    seen = readings(flash)
    assert {OLD, NEW} < seen
    assert len(seen) > 10
    assert flash.read(0, SIZE) == b"\xff" * SIZE  # its neighbours are what they were
    flash.program(1, NEW)
    assert readings(flash) == {NEW}


def test_an_unstable_cell_cut_again_may_still_be_what_it_was_first() -> None:
    flash = powered()
    cut(flash, Outcome.UNSTABLE)
    third = b"\x77" * SIZE
    flash.supply(Power(0, Outcome.UNSTABLE))
    with pytest.raises(PowerLost):
        flash.program(1, third)
    assert flash.unstable() == {1: (OLD, NEW, third)}
    flash.power_on(Power(0, Outcome.OLD))
    with pytest.raises(PowerLost):
        flash.program(1, NEW)
    assert flash.unstable() == {1: (OLD, NEW, third)}
    flash.power_on(Power(0, Outcome.PARTIAL))
    with pytest.raises(PowerLost):
        flash.program(1, NEW)
    assert not flash.unstable()


def test_rewriting_the_same_content_can_spoil_it() -> None:
    flash = powered()
    cut(flash, Outcome.UNSTABLE, new=OLD)
    assert flash.unstable() == {1: (OLD,)}
    assert len(readings(flash)) > 10


def test_a_reader_chooses_what_unstable_cells_read_as_once_for_each_reading() -> None:
    asked: list[UnstableCell] = []

    def reader(cell: UnstableCell) -> bytes:
        asked.append(cell)
        return cell.candidates[-1]

    flash = Flash(4, cell_size=SIZE, rng=Random(1), reader=reader)
    flash.power_on()
    cut(flash, Outcome.UNSTABLE)
    assert flash.read(SIZE - 1, SIZE + 2) == b"\xff" + NEW + b"\xff"
    assert asked == [UnstableCell(1, (OLD, NEW))]
    flash.reader = lambda _: b"short"
    with pytest.raises(ConfigurationError):
        flash.read(SIZE, 1)


def test_the_budget_counts_cells_and_the_session_counts_what_was_begun() -> None:
    flash = powered()
    assert (flash.session, flash.programmed) == (1, 0)
    flash.write(0, bytes(3 * SIZE))
    assert flash.programmed == 3
    flash.power_on(Power(2))
    with pytest.raises(PowerLost):
        flash.write(0, NEW * 4)
    assert (flash.session, flash.programmed) == (2, 3)
    assert list(flash.unstable()) == [2]


def test_a_worn_cell_keeps_what_it_holds() -> None:
    flash = Flash(2, cell_size=SIZE, rng=Random(1), endurance=2)
    flash.power_on()
    cut(flash, Outcome.NEW, index=0)
    assert flash.wear(0) == 2
    with pytest.raises(WornCellError):
        flash.program(0, OLD)
    assert flash.powered
    assert flash.read(0, SIZE) == NEW
    flash.program(1, NEW)


def test_what_cannot_be_kept_does_not_happen() -> None:
    class Full:
        def keep(self, index: int, data: bytes, candidates: tuple[bytes, ...], wear: int) -> None:
            raise StorageError("the disk is full")

    flash = Flash(2, cell_size=SIZE, rng=Random(1), keeper=Full())
    flash.power_on()
    with pytest.raises(StorageError):
        flash.program(0, NEW)
    with pytest.raises(PowerLost):
        flash.read(0, 1)
    flash.power_on(Power(0, Outcome.NEW))
    with pytest.raises(StorageError):
        flash.program(0, NEW)
    flash.power_on()
    assert flash.read(0, SIZE) == b"\xff" * SIZE


@given(st.lists(st.tuples(st.integers(0, 79), st.binary(max_size=40)), max_size=8))
def test_writes_of_any_range_are_what_a_plain_array_would_hold(writes: list[tuple[int, bytes]]) -> None:
    flash = powered(cells=5)
    model = bytearray(b"\xff" * flash.size)
    for address, data in writes:
        data = data[: flash.size - address]
        flash.write(address, data)
        model[address : address + len(data)] = data
    assert flash.read(0, flash.size) == bytes(model)


@given(st.integers(0, 40), st.binary(min_size=1, max_size=40), st.integers(0, 4), st.sampled_from(Outcome))
def test_a_torn_write_is_new_before_the_cut_and_old_after_it(
    address: int, data: bytes, cells: int, outcome: Outcome
) -> None:
    flash = powered(cells=5)
    before = bytes(range(flash.size))
    flash.write(0, before)
    whole = before[:address] + data + before[address + len(data) :]
    touched = range(address // SIZE, (address + len(data) - 1) // SIZE + 1)
    flash.supply(Power(cells, outcome))
    try:
        flash.write(address, data)
    except PowerLost:
        flash.power_on()
    index = touched[0] + cells
    if index not in touched:
        assert flash.read(0, flash.size) == whole
        return
    split, after = index * SIZE, (index + 1) * SIZE
    assert flash.read(0, split) == whole[:split]
    assert flash.read(after, flash.size - after) == before[after:]
    assert set(flash.unstable()) == ({index} if outcome is Outcome.UNSTABLE else set())


@given(
    st.integers(),
    st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=SIZE, max_size=SIZE), st.sampled_from(Outcome))),
)
def test_the_same_seed_gives_the_same_memory_and_a_snapshot_gives_it_back(
    seed: int, cuts: list[tuple[int, bytes, Outcome]]
) -> None:
    def run() -> tuple[bytes, bytes]:
        flash = powered(seed=seed)
        for index, data, outcome in cuts:
            flash.supply(Power(0, outcome))
            with pytest.raises(PowerLost):
                flash.program(index, data)
            flash.power_on()
        return flash.snapshot(), flash.read(0, flash.size)

    (snapshot, content), again = run(), run()
    assert (snapshot, content) == again
    other = powered()
    other.restore(snapshot)
    assert not other.powered
    assert other.snapshot() == snapshot


def test_a_snapshot_that_does_not_fit_is_refused() -> None:
    flash = powered()
    cut(flash, Outcome.UNSTABLE)
    snapshot = flash.snapshot()
    for wrong in (b"", snapshot[:-1], snapshot[: 20 + flash.size], snapshot + b"\0", b"x" + snapshot[1:]):
        with pytest.raises(ConfigurationError):
            flash.restore(wrong)
    assert flash.snapshot() == snapshot
    with pytest.raises(ConfigurationError):
        powered(cells=5).restore(snapshot)


def test_what_does_not_fit_the_flash_is_refused() -> None:
    flash = powered()
    for address, length in ((-1, 1), (0, -1), (0, flash.size + 1), (flash.size, 1)):
        with pytest.raises(ConfigurationError):
            flash.read(address, length)
    with pytest.raises(ConfigurationError):
        flash.program(4, NEW)
    with pytest.raises(ConfigurationError):
        flash.program(0, NEW[1:])
    with pytest.raises(ConfigurationError):
        flash.write(flash.size - 1, b"ab")
    for arguments in (
        {"cells": 0},
        {"cells": 1, "data": b""},
        {"cells": 2, "wear": [0]},
        {"cells": 2, "unstable": {2: (NEW,)}},
        {"cells": 2, "unstable": {0: ()}},
        {"cells": 2, "unstable": {0: (b"short",)}},
    ):
        with pytest.raises(ConfigurationError):
            Flash(cell_size=SIZE, rng=Random(1), **arguments)


def test_a_mixture_takes_each_bit_from_one_of_the_two() -> None:
    assert mixture(b"\0\0", b"\0\0", Random(1)) == b"\0\0"
    assert {mixture(b"\0", b"\1", Random(seed)) for seed in range(20)} == {b"\0", b"\1"}
