"""`ecny card tap-time`: how long a tap with a real chip would take, and where the time goes (hardware.tap_model)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

from hardware.tap_model import (
    CURRENT,
    DIVISORS,
    PUBLISHED,
    SCENES,
    TYPICAL,
    WORST,
    CardTimes,
    Link,
    chip,
    floor_shares,
    tap_shares,
)
from wallet_core.cli import Context, common_options

FLOOR: Final = "floor"


@click.command("tap-time")
@click.option("--chip", "name", default=CURRENT, show_default=True, help=f"One of {', '.join(PUBLISHED)}.")
@click.option(
    "--kbps",
    type=click.Choice([str(rate) for rate in DIVISORS]),
    default="424",
    show_default=True,
    help="Bit rate of the contactless link.",
)
@common_options
def tap_time(ctx: Context, name: str, kbps: str) -> None:
    """Milliseconds of a tap on published times of a chip, part by part; nothing is measured, no card is needed."""
    times, link = chip(name), Link(int(kbps))
    taps = _taps(times, link)
    facts = {"chip": name, "source": times.source, "age": times.age, "kbps": link.bitrate_kbps, "taps": taps}
    ctx.emit(facts, _text(times, link, taps))


def _taps(times: CardTimes, link: Link) -> list[dict[str, Any]]:
    """The ways to pay, and last the floor, which no design of this kind goes below."""
    found = []
    for name, exchanges in SCENES.items():
        typical = tap_shares(exchanges, times, link)
        worst = tap_shares(exchanges, times, link, WORST).total
        found.append(_facts(name, typical.total, worst, typical.parts()))
    typical = floor_shares(times, link, TYPICAL)
    found.append(_facts(FLOOR, typical.total, floor_shares(times, link, WORST).total, typical.parts()))
    return found


def _facts(name: str, typical: float, worst: float, parts: dict[str, float]) -> dict[str, Any]:
    rounded = {part: round(ms, 1) for part, ms in parts.items()}
    return {"tap": name, "typical_ms": round(typical, 1), "worst_ms": round(worst, 1), "parts_ms": rounded}


def _text(times: CardTimes, link: Link, taps: list[dict[str, Any]]) -> str:
    parts = list(taps[0]["parts_ms"])
    head = _line("tap", ["typical", "worst", *parts])
    rows = [_line(tap["tap"], [tap["typical_ms"], tap["worst_ms"], *tap["parts_ms"].values()]) for tap in taps]
    known, floor = taps[0]["typical_ms"], taps[-1]["typical_ms"]
    return "\n".join(
        [
            f"{times.chip}, {link.bitrate_kbps} kbit/s; milliseconds, modelled",
            f"source: {times.source}",
            "",
            head,
            *rows,
            "",
            f"the tap of a known card is {known - floor:.0f} ms, {known / floor - 1:.0%}, above the floor",
        ]
    )


def _line(name: str, cells: Iterable[object]) -> str:
    return f"{name:<15}" + "".join(f"{cell:>11}" for cell in cells)
