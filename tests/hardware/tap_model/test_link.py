"""ISO/IEC 14443 arithmetic, done by hand beside the code."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from hardware.tap_model import DIVISORS, Link, activation_ms, exchange_ms, extension_ms, extensions
from hardware.tap_model.link import CARRIER_KHZ, FRAME_DELAY, blocks, frame_ms
from wallet_core.errors import OutOfRangeError

BIT = 128 / 13_560  # ms at 106 kbit/s


def test_a_frame_has_nine_bits_a_byte_and_two_around() -> None:
    assert frame_ms(5, 106, from_card=False) == pytest.approx((5 * 9 + 2) * BIT)
    assert frame_ms(5, 106, from_card=True) == pytest.approx((5 * 9 + 2) * BIT)
    assert frame_ms(5, 424, from_card=False) == pytest.approx((5 * 9 + 2) * BIT / 4)
    # Above 106 kbit/s the card begins with 32 cycles of its subcarrier, fc / 16.
    assert frame_ms(5, 424, from_card=True) == pytest.approx(32 * 16 / 13_560 + (5 * 9 + 1) * BIT / 4)


def test_a_small_exchange_by_hand() -> None:
    """SELECT and FCI of a tap at 106 kbit/s: 13 bytes and 103, each in one block of 3 bytes more."""
    there, back = ((13 + 3) * 9 + 2) * BIT, ((103 + 3) * 9 + 2) * BIT
    assert exchange_ms(Link(106), 13, 103) == pytest.approx(there + back + 2 * FRAME_DELAY)
    assert exchange_ms(Link(106), 13, 103) == pytest.approx(10.58, abs=0.01)


def test_a_block_more_costs_its_frame_and_an_acknowledgement() -> None:
    assert [blocks(size, 256) for size in (0, 1, 253, 254, 506, 507)] == [1, 1, 1, 2, 2, 3]
    more = exchange_ms(Link(106), 254, 2) - exchange_ms(Link(106), 253, 2)
    frame, acknowledgement = ((1 + 3) * 9 + 2) * BIT, (3 * 9 + 2) * BIT
    assert more == pytest.approx(frame + acknowledgement + 2 * FRAME_DELAY)


def test_small_frames_make_a_tap_slower() -> None:
    small = replace(Link(424), fsc=32, fsd=32)
    assert exchange_ms(small, 144, 258) > 1.4 * exchange_ms(Link(424), 144, 258)


@pytest.mark.parametrize("way", [(144, 258), (5, 16), (676, 258)])
def test_a_higher_rate_is_faster_but_not_in_proportion(way: tuple[int, int]) -> None:
    times = [exchange_ms(Link(rate), *way) for rate in DIVISORS]
    assert times == sorted(times, reverse=True)
    assert all(slow < 2 * fast for slow, fast in pairwise(times))


def test_activation_is_at_106_whatever_comes_after() -> None:
    slow, fast = activation_ms(Link(106)), activation_ms(Link(424))
    pps = (5 * 9 + 2) * BIT + (3 * 9 + 2) * BIT + 2 * FRAME_DELAY
    assert fast - slow == pytest.approx(pps)
    assert activation_ms(Link(848)) == fast
    assert 5 < slow < 8
    guard = activation_ms(replace(Link(106), sfgi=1)) - slow
    assert guard == pytest.approx(4096 / CARRIER_KHZ)
    assert activation_ms(Link(cascade=1)) < slow


def test_the_frame_waiting_time_doubles() -> None:
    assert Link(fwi=0).fwt_ms == pytest.approx(0.302, abs=0.001)
    assert Link(fwi=4).fwt_ms == pytest.approx(4.83, abs=0.01)
    assert Link(fwi=7).fwt_ms == pytest.approx(38.66, abs=0.01)
    assert Link(fwi=14).fwt_ms == pytest.approx(4949, abs=1)


def test_a_card_asks_for_more_time_only_past_its_waiting_time() -> None:
    link = Link(fwi=7)
    assert extensions(link, link.fwt_ms) == 0
    assert extensions(link, link.fwt_ms + 0.001) == 1
    assert extensions(link, 3 * link.fwt_ms) == 2
    assert extensions(replace(link, wtxm=59), 30 * link.fwt_ms) == 1
    assert extension_ms(Link(106)) == pytest.approx(2 * (4 * 9 + 2) * BIT + 2 * FRAME_DELAY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bitrate_kbps": 1695},
        {"fsc": 15},
        {"fsd": 257},
        {"fwi": 15},
        {"sfgi": -1},
        {"wtxm": 0},
        {"wtxm": 60},
        {"cascade": 4},
    ],
    ids=str,
)
def test_what_no_link_has_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(OutOfRangeError):
        Link(**wrong)
