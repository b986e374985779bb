"""The layout: everything has its own cells, and the header knows what was laid out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator.flash import Flash
from hardware.emulator.layout import Layout
from wallet_core.errors import ConfigurationError

sizes = st.integers(1, 200)
layouts = st.builds(
    Layout,
    payload_size=sizes,
    areas=st.lists(sizes, max_size=6).map(lambda found: tuple((f"slot {n}", size) for n, size in enumerate(found))),
    positions=st.integers(3, 9),
    cell_size=st.sampled_from((16, 32, 64, 100)),
)


@given(layouts)
def test_nothing_overlaps_and_no_cell_is_wasted(layout: Layout) -> None:
    used = [layout.header_cell]
    for position in range(layout.positions):
        first = layout.first_cell(position)
        assert (layout.seal_cell(position) - first) * layout.cell_size >= layout.payload_size
        used += range(first, layout.seal_cell(position) + 1)
    for name, size in layout.areas:
        area = layout.area(name)
        assert area.size == size
        assert area.offset % layout.cell_size == 0
        used += range(area.offset // layout.cell_size, (area.offset + size - 1) // layout.cell_size + 1)
    assert used == list(range(layout.cells))


@given(layouts, layouts)
def test_two_layouts_have_two_headers(one: Layout, other: Layout) -> None:
    assert (one.header() == other.header()) == (one == other)


def test_areas_are_read_and_written_inside_their_bounds() -> None:
    layout = Layout(payload_size=20, areas=(("a", 100), ("b", 5)), cell_size=16)
    flash = Flash(layout.cells, cell_size=16, rng=Random(1))
    flash.power_on()
    a, b = layout.area("a"), layout.area("b")
    a.write(flash, b"A" * 100)
    b.write(flash, b"BBBBB")
    a.write(flash, b"xy", start=98)
    assert a.read(flash) == b"A" * 98 + b"xy"
    assert a.read(flash, 97, 2) == b"Ax"
    assert b.read(flash, 1) == b"BBBB"
    for start, data in ((-1, b"x"), (99, b"xy"), (101, b"")):
        with pytest.raises(ConfigurationError):
            a.write(flash, data, start)
    with pytest.raises(ConfigurationError):
        b.read(flash, 0, 6)
    assert b.read(flash) == b"BBBBB"


def test_an_area_is_written_cell_by_cell_and_no_other_cell_with_it() -> None:
    layout = Layout(payload_size=20, areas=(("a", 40), ("b", 40)), cell_size=16)
    flash = Flash(layout.cells, cell_size=16, rng=Random(1))
    flash.power_on()
    layout.area("b").write(flash, bytes(40))
    assert flash.programmed == 3
    assert [index for index in range(layout.cells) if flash.wear(index)] == list(range(layout.cells - 3, layout.cells))


@pytest.mark.parametrize(
    "arguments",
    [
        {"payload_size": 0},
        {"payload_size": 1, "cell_size": 15},
        {"payload_size": 1, "positions": 2},
        {"payload_size": 1, "areas": (("a", 0),)},
        {"payload_size": 1, "areas": (("a", 1), ("a", 2))},
    ],
)
def test_a_layout_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Layout(**arguments)  # type: ignore[arg-type]


def test_what_is_not_in_the_layout_is_refused() -> None:
    layout = Layout(payload_size=1)
    with pytest.raises(ConfigurationError):
        layout.area("nowhere")
    with pytest.raises(ConfigurationError):
        layout.first_cell(layout.positions)
