"""The tables and the picture of docs/explanation/relay.md, out of the deterministic model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bench.relay_model import Rate, answers, bound_of, late, missed
from bench.tap_tables import table
from hardware.instructions import Ins
from hardware.relay_check import Bound, Margin
from hardware.tap_model import CURRENT, PUBLISHED, SCENES

OLDEST: Final = next(iter(PUBLISHED))
DELAYS: Final = (2, 5, 10, 15, 20, 30, 50, 100)
GRACES: Final = (2, 5, 10, 20, 40)
_SAID: Final = {Ins.SELECT: "SELECT", Ins.PAY: "PAY", Ins.GET_RESPONSE: "GET RESPONSE"}


def bounds() -> str:
    """What each answer of a known card's tap is expected to take, and may."""
    rows = []
    for name in PUBLISHED:
        bound = bound_of(name)
        cells = []
        for one in SCENES["known_card"]:
            way = (one.ins, one.p1, one.sent, one.received)
            cells.append(f"{bound.expected_ms(*way):.0f}, at most {bound.allowed_ms(*way):.0f}")
        rows.append((f"`{name}`", *cells))
    return table(("chip class", *(_SAID[Ins(one.ins)] for one in SCENES["known_card"])), rows)


def misses() -> str:
    """False alarms, and relays missed, each class with its own bound."""
    rows = []
    for name in PUBLISHED:
        bound = bound_of(name)
        rows.append(
            (f"`{name}`", _brief(late(answers(bound, 0), bound)), *(_brief(_missed(bound, bound, d)) for d in DELAYS))
        )
    return table(("chip class", "false alarms", *(f"{delay} ms" for delay in DELAYS)), rows)


def roc() -> str:
    """A tighter and a looser grace on the current chip."""
    actual = bound_of(CURRENT)
    rows = []
    for grace in GRACES:
        bound = bound_of(CURRENT, grace)
        shown = f"**{grace} ms**" if grace == Margin().grace_ms else f"{grace} ms"
        rows.append(
            (shown, late(answers(actual, 0), bound), *(_missed(actual, bound, delay) for delay in (5, 10, 20, 50)))
        )
    return table(("grace", "false alarms", "missed at 5 ms", "at 10 ms", "at 20 ms", "at 50 ms"), rows)


def one_for_all() -> str:
    """A till that does not know the chip must allow what the oldest needs."""
    delays = (50, 100, 150, 200, 250, 300)
    bound = bound_of(OLDEST)
    rows = [(f"`{name}`", *(_missed(bound_of(name), bound, delay) for delay in delays)) for name in PUBLISHED]
    return table(("chip", *(f"missed at {delay} ms" for delay in delays)), rows)


def _missed(actual: Bound, bound: Bound, delay: float) -> Rate:
    return missed(answers(actual, delay), bound)


def _brief(rate: Rate) -> str:
    return f"{rate.value:.1%}"


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "bounds": bounds,
    "misses": misses,
    "roc": roc,
    "one_for_all": one_for_all,
}

# The picture

_LEFT, _TOP, _WIDTH, _HEIGHT = 80, 60, 620, 300
_MOST_MS: Final = 60
_STEPS: Final = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 34, 38, 42, 46, 50, 55, 60)


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    style: str
    actual: Bound
    bound: Bound


def _curves() -> tuple[Curve, ...]:
    now = bound_of(CURRENT)
    return (
        Curve("current chip, grace 2 ms", "tight", now, bound_of(CURRENT, 2)),
        Curve("current chip, grace 10 ms", "ours", now, now),
        Curve("current chip, grace 40 ms", "loose", now, bound_of(CURRENT, 40)),
        Curve("old chip, grace 10 ms", "old", bound_of(OLDEST), bound_of(OLDEST)),
        Curve("current chip, one bound for all", "all", now, bound_of(OLDEST)),
    )


def picture() -> str:
    """The whole SVG."""
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 430" role="img" aria-labelledby="title desc">',
            "  <!-- made by tests/bench/pages.py -->",
            '  <title id="title">Relays that the check misses, by the delay that they add</title>',
            '  <desc id="desc">Each curve falls from all to none. With the bound of its own class and a grace of 10 ms',
            "    a relay of a current chip is missed below about 10 ms and caught above 30 ms; of an old chip it is",
            "    missed up to 50 ms; with one bound for all chips it is missed all along.</desc>",
            *_style(),
            '  <rect class="paper" width="1000" height="430"/>',
            *_axes(),
            *_lines(),
            "</svg>",
            "",
        ]
    )


def _style() -> Iterator[str]:
    yield "  <style>"
    yield '    text { font: 15px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933; }'
    yield "    .paper { fill: #ffffff; } .note { font-size: 13px; fill: #52606d; } .middle { text-anchor: middle; }"
    yield "    .end { text-anchor: end; } .grid { stroke: #e4e7eb; } path { fill: none; stroke-width: 2.5; }"
    yield "    .grid { stroke-width: 1; } .ours { stroke: #c2540a; stroke-width: 4; } .tight { stroke: #3b82c4; }"
    yield "    .loose { stroke: #1e7d46; } .old { stroke: #6b4fbb; } .all { stroke: #52606d; stroke-dasharray: 7 5; }"
    yield "    @media (prefers-color-scheme: dark) {"
    yield "      text { fill: #e6edf3; } .paper { fill: #0d1117; } .note { fill: #a9b4c0; } .grid { stroke: #21262d; }"
    yield "      .ours { stroke: #f0883e; } .tight { stroke: #5aa2e0; } .loose { stroke: #4ac26b; }"
    yield "      .old { stroke: #a58cf0; } .all { stroke: #a9b4c0; }"
    yield "    }"
    yield "  </style>"


def _axes() -> Iterator[str]:
    yield f'  <text class="note" x="{_LEFT - 50}" y="{_TOP - 24}">relays missed</text>'
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        yield f'  <path class="grid" d="M{_LEFT} {y:.1f}H{_LEFT + _WIDTH}"/>'
        yield f'  <text class="note end" x="{_LEFT - 10}" y="{y + 5:.1f}">{percent} %</text>'
    for ms in range(0, _MOST_MS + 1, 10):
        yield f'  <text class="note middle" x="{_x(ms):.1f}" y="{_TOP + _HEIGHT + 22}">{ms}</text>'
    middle = _LEFT + _WIDTH / 2
    yield f'  <text class="note middle" x="{middle:.1f}" y="{_TOP + _HEIGHT + 46}">ms that the relay adds to PAY</text>'


def _lines() -> Iterator[str]:
    for number, curve in enumerate(_curves()):
        points = [(delay, _missed(curve.actual, curve.bound, delay).value) for delay in _STEPS]
        path = " ".join(f"{_x(delay):.1f} {_y(value):.1f}" for delay, value in points)
        yield f'  <path class="{curve.style}" d="M{path}"/>'
        y = _TOP + 20 + number * 34
        yield f'  <path class="{curve.style}" d="M{_LEFT + _WIDTH + 20} {y}h34"/>'
        yield f'  <text class="note" x="{_LEFT + _WIDTH + 62}" y="{y + 5}">{curve.label}</text>'


def _x(ms: float) -> float:
    return _LEFT + ms / _MOST_MS * _WIDTH


def _y(part: float) -> float:
    return _TOP + (1 - part) * _HEIGHT
