"""The plot of value in flight over time, as an SVG written by hand: two areas, one on the other, and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from simulate.clock import HOUR
from simulate.district import SAMPLE_MS, Sample

WIDTH, HEIGHT = 960, 420
LEFT, RIGHT, TOP, BOTTOM = 90, 20, 40, 50  # margins
UNSETTLED: Final = ("#2f6f9f", "paid and not settled")
IN_FLIGHT: Final = ("#d08030", "loads under way")
_TICKS: Final = 5
_MOST_POINTS: Final = 800


def together(districts: Sequence[Sequence[Sample]]) -> list[Sample]:
    """One series for the city: at each full hour the sum over all districts, of each its newest sample by then."""
    end = max((samples[-1].ms for samples in districts if samples), default=0)
    places, series = [0] * len(districts), []
    for ms in range(0, end + SAMPLE_MS, SAMPLE_MS):
        in_flight = unsettled = 0
        for number, samples in enumerate(districts):
            while places[number] < len(samples) and samples[places[number]].ms <= ms:
                places[number] += 1
            if places[number]:
                in_flight += samples[places[number] - 1].in_flight
                unsettled += samples[places[number] - 1].unsettled
        series.append(Sample(ms, in_flight, unsettled))
    return series


def svg(series: Sequence[Sample], title: str) -> str:
    """A picture of the series, which has one sample at least."""
    step = -(-len(series) // _MOST_POINTS)
    shown = [*series[:-1:step], series[-1]]
    span = max(1, series[-1].ms)
    most = max(1, _round_up(max(sample.in_flight + sample.unsettled for sample in series)))

    def x(ms: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ms / span

    def y(fen: int) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * fen / most

    lower = [(x(s.ms), y(s.unsettled)) for s in shown]
    upper = [(x(s.ms), y(s.unsettled + s.in_flight)) for s in shown]
    floor = [(x(s.ms), y(0)) for s in shown]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        _area(lower, floor, UNSETTLED[0]),
        _area(upper, lower, IN_FLIGHT[0]),
        *(_y_tick(y(most * i // _TICKS), most * i // _TICKS) for i in range(_TICKS + 1)),
        *(_x_tick(x(span * i // _TICKS), span * i // _TICKS) for i in range(_TICKS + 1)),
        _legend(*UNSETTLED, WIDTH - 330),
        _legend(*IN_FLIGHT, WIDTH - 150),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _area(top: Sequence[tuple[float, float]], bottom: Sequence[tuple[float, float]], colour: str) -> str:
    """Between two lines, in steps: a value holds until the next sample."""
    outline = [*_steps(top), *reversed(_steps(bottom))]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
    return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.8"/>'


def _steps(line: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    found = [line[0]]
    for (_, before), (x, after) in pairwise(line):
        found += [(x, before), (x, after)]
    return found


def _y_tick(at: float, fen: int) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ccc"/>'
    return f'{line}<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">RMB {fen // 100:,}</text>'


def _x_tick(at: float, ms: int) -> str:
    text = f"{ms / HOUR:.0f} h"
    return f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{text}</text>'


def _legend(colour: str, text: str, x: int) -> str:
    return f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="22">{text}</text>'


def _round_up(fen: int) -> int:
    """To one leading digit and zeros: 437 becomes 500."""
    power = int("1" + "0" * (len(str(fen)) - 1))
    return -(-fen // power) * power
