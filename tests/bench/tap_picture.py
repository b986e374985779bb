"""docs/pictures/tap-time.svg: where the time of a tap goes, as stacked bars beside what people are used to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hardware.tap_model import CURRENT, PUBLISHED, SCENES, Link, Shares, floor_shares, tap_shares

KBPS: Final = 424
PARTS: Final = {
    "activation": ("activation", "#8a94a6", "#7d8796"),
    "frames": ("bytes on the air", "#3b82c4", "#5aa2e0"),
    "crypto": ("card: cryptography", "#c2540a", "#f0883e"),
    "nvm": ("card: NVM", "#1e7d46", "#4ac26b"),
    "applet": ("card: applet code", "#9a7b1c", "#d4b13f"),
    "extensions": ("S(WTX)", "#b02a6b", "#ec6cb9"),
    "reader": ("reader", "#6b4fbb", "#a58cf0"),
    "host": ("till", "#0f7c86", "#3fc3cf"),
}
"""Part of hardware.tap_model.Shares → what it is called, its colour by day and by night."""
YARDSTICKS: Final = (
    ("Suica, at the gate", 200),
    ("Octopus", 300),
    ("Oyster", 350),
    ("EMV on TfL's buses, mean", 530),
)
"""Milliseconds; sources in docs/explanation/how-long-a-tap-takes.md."""

_LEFT, _SCALE, _TOP, _ROW, _BAR = 250, 0.98, 96, 38, 22
_LABELLED: Final = 'aria-labelledby="title desc"'
_AXIS: Final = (0, 100, 200, 300, 400, 500, 600, 700)
_LIMITS: Final = ((300, "300: our aim"), (500, "500: EMV's aim"))


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    shares: Shares


def bars() -> tuple[Bar, ...]:
    """Oldest chip first, then what else the current one does, last the floor."""
    link, now = Link(KBPS), PUBLISHED[CURRENT]
    known = [
        Bar(f"known card, {one.age} chip", tap_shares(SCENES["known_card"], one, link)) for one in PUBLISHED.values()
    ]
    return (
        *known,
        Bar("unknown policy, current chip", tap_shares(SCENES["unknown_policy"], now, link)),
        Bar("verified payee, current chip", tap_shares(SCENES["verified_payee"], now, link)),
        Bar("floor, current chip", floor_shares(now, link)),
    )


def picture() -> str:
    """The whole SVG."""
    rows = len(bars()) + len(YARDSTICKS)
    height = _TOP + rows * _ROW + 56
    said = "; ".join(f"{bar.label} {bar.shares.total:.0f}" for bar in bars())
    used = "; ".join(f"{name} {ms}" for name, ms in YARDSTICKS)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 {height}" role="img" {_LABELLED}>',
            "  <!-- made by tests/bench/pages.py -->",
            f'  <title id="title">How long a tap takes at {KBPS} kbit/s</title>',
            f'  <desc id="desc">Milliseconds, modelled from published times of chips: {said}.',
            f"    For comparison: {used}.</desc>",
            *_style(),
            f'  <rect class="paper" width="1000" height="{height}"/>',
            *_legend(),
            *_grid(rows),
            *_bars(),
            "</svg>",
            "",
        ]
    )


def _style() -> Iterator[str]:
    yield "  <style>"
    yield '    text { font: 15px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2933; }'
    yield "    .paper { fill: #ffffff; } .label { text-anchor: end; } .note { font-size: 13px; fill: #52606d; }"
    yield "    .middle { text-anchor: middle; } .other { fill: #cbd2d9; }"
    yield "    .grid { stroke: #e4e7eb; } .limit { stroke: #52606d; stroke-width: 1.5; stroke-dasharray: 6 5; }"
    yield "    " + " ".join(f".{part} {{ fill: {day}; }}" for part, (_, day, _) in PARTS.items())
    yield "    @media (prefers-color-scheme: dark) {"
    yield "      text { fill: #e6edf3; } .paper { fill: #0d1117; } .note { fill: #a9b4c0; } .other { fill: #4b5563; }"
    yield "      .grid { stroke: #21262d; } .limit { stroke: #a9b4c0; }"
    yield "      " + " ".join(f".{part} {{ fill: {night}; }}" for part, (_, _, night) in PARTS.items())
    yield "    }"
    yield "  </style>"


def _legend() -> Iterator[str]:
    for number, (part, (name, _, _)) in enumerate(PARTS.items()):
        x, y = 40 + number % 4 * 240, 18 + number // 4 * 26
        yield f'  <rect class="{part}" x="{x}" y="{y}" width="16" height="16" rx="3"/>'
        yield f'  <text x="{x + 24}" y="{y + 13}">{name}</text>'


def _grid(rows: int) -> Iterator[str]:
    bottom = _TOP + rows * _ROW
    for ms in _AXIS:
        x = _x(ms)
        yield f'  <path class="grid" d="M{x:.1f} {_TOP - 8}V{bottom}"/>'
        yield f'  <text class="note middle" x="{x:.1f}" y="{bottom + 18}">{ms}</text>'
    for ms, name in _LIMITS:
        yield f'  <path class="limit" d="M{_x(ms):.1f} {_TOP - 8}V{bottom}"/>'
        yield f'  <text class="note middle" x="{_x(ms):.1f}" y="{_TOP - 12}">{name}</text>'
    yield f'  <text class="note middle" x="{_x(300):.1f}" y="{bottom + 40}">milliseconds; modelled, typical</text>'


def _bars() -> Iterator[str]:
    y = _TOP
    for bar in bars():
        yield f'  <text class="label" x="{_LEFT - 12}" y="{y + 16}">{bar.label}</text>'
        at = 0.0
        for part, ms in bar.shares.parts().items():
            yield f'  <rect class="{part}" x="{_x(at):.1f}" y="{y}" width="{ms * _SCALE:.1f}" height="{_BAR}"/>'
            at += ms
        yield f'  <text x="{_x(at) + 8:.1f}" y="{y + 16}">{at:.0f}</text>'
        y += _ROW
    for name, whole in YARDSTICKS:
        yield f'  <text class="label" x="{_LEFT - 12}" y="{y + 16}">{name}</text>'
        yield f'  <rect class="other" x="{_LEFT}" y="{y}" width="{whole * _SCALE:.1f}" height="{_BAR}"/>'
        yield f'  <text x="{_x(whole) + 8:.1f}" y="{y + 16}">{whole}</text>'
        y += _ROW


def _x(ms: float) -> float:
    return _LEFT + ms * _SCALE
