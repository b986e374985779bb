"""The tables about taps in docs/: counted in the code, modelled from published times, never typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bench.taps import KBPS, tap_modelled
from hardware.instructions import Ins
from hardware.tap_model import CURRENT, DIVISORS, PUBLISHED, SCENES, TYPICAL, WORST, Link, floor_shares, tap_shares
from hardware.tap_model.work import work_of

NAMES: Final = {
    "known_card": "the till has its certificate",
    "unknown_card": "the till has the policy in force",
    "unknown_policy": "neither",
    "verified_payee": "above the threshold, with PIN",
}
_PARTS: Final = {
    "activation": "activation, polling included",
    "frames": "bytes on the air",
    "crypto": "card: cryptography",
    "nvm": "card: NVM",
    "applet": "card: the applet's code, and its system",
    "extensions": "S(WTX)",
    "reader": "reader",
    "host": "till",
}


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of a page."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def counted() -> str:
    """What a tap costs: counted bytes and operations, milliseconds of the current chip."""
    figures = tap_modelled()
    rows = [
        (
            f"`{name}`: {NAMES[name]}",
            *(scene[key] for key in ("exchanges", "bytes_out", "bytes_in", "card_signs", "card_verifies")),
            _span(scene, CURRENT),
        )
        for name, scene in figures["scenes"].items()
    ]
    head = ("tap", "pairs", "bytes out", "bytes in", "card signs", "card verifies", "ms typical (worst)")
    return table(head, rows)


def _span(scene: Mapping[str, Any], chip: str) -> str:
    return f"{scene['typical_ms'][chip][str(KBPS)]:.0f} ({scene['worst_ms'][chip][str(KBPS)]:.0f})"


def chips() -> str:
    """The published times that all is made of."""
    head = ("ms", *(f"`{name}`" for name in PUBLISHED))
    rows: list[tuple[object, ...]] = [
        ("", *(one.chip for one in PUBLISHED.values())),
        ("measured in", *(one.year for one in PUBLISHED.values())),
    ]
    for field, said in (
        ("sign", "P-256 signature of a digest (derived)"),
        ("verify", "P-256 verification of a digest (derived)"),
        ("use_key", "making a key ready for it (measured)"),
        ("load_key", "setting a public key (measured)"),
        ("sha256_block", "SHA-256, 64 bytes (derived)"),
        ("aes_block", "AES-128, 16 bytes (derived)"),
        ("aes_init", "making an AES key ready (measured)"),
        ("page_ms", "64 bytes of NVM (data sheet of another part)"),
        ("commit", "a transaction beside its pages (derived)"),
        ("bytecode", "one bytecode (derived)"),
        ("copy_256", "256 bytes copied in RAM (measured)"),
        ("apdu", "the card's system around a command (assumed)"),
        ("empty_command", "an empty command, reader and line included (measured)"),
    ):
        rows.append((said, *(f"{getattr(one, field):.3g}" for one in PUBLISHED.values())))
    return table(head, rows)


def bytecodes() -> str:
    """What the applet itself executes."""
    commands = {
        "SELECT": (Ins.SELECT, 4),
        "GET DATA": (Ins.GET_DATA, 0x7F),
        "VERIFY": (Ins.VERIFY, 0),
        "PAY": (Ins.PAY, 0),
        "PAY, payee verified": (Ins.PAY, 1),
        "GET RESPONSE": (Ins.GET_RESPONSE, 0),
    }
    rows = []
    for name, which in commands.items():
        work = work_of(*which)
        times = (f"{work.bytecodes * one.bytecode + work.calls * one.copy_256:.0f}" for one in PUBLISHED.values())
        rows.append((name, f"{work.bytecodes:,}", work.calls, *times))
    return table(("command", "bytecodes", "API calls", *(f"ms, `{name}`" for name in PUBLISHED)), rows)


def matrix() -> str:
    """Every way to pay on every chip at every rate."""
    rows = []
    for name in SCENES:
        for chip, times in PUBLISHED.items():
            cells = []
            for rate in DIVISORS:
                typical, worst = (tap_shares(SCENES[name], times, Link(rate), one).total for one in (TYPICAL, WORST))
                cells.append(f"{typical:.0f} ({worst:.0f})")
            rows.append((f"`{name}`", f"`{chip}`", *cells))
    return table(("tap", "chip", *(f"{rate} kbit/s" for rate in DIVISORS)), rows)


def parts() -> str:
    """The share of each part, known card and floor."""
    link, now = Link(KBPS), PUBLISHED[CURRENT]
    known, floor = tap_shares(SCENES["known_card"], now, link), floor_shares(now, link)
    rows: list[tuple[object, ...]] = [
        (said, f"{known.parts()[part]:.1f}", f"{floor.parts()[part]:.1f}") for part, said in _PARTS.items()
    ]
    rows.append(("together", f"{known.total:.1f}", f"{floor.total:.1f}"))
    return table(("ms", "known card", "floor"), rows)


def distance() -> str:
    """How far each chip's tap is from its floor, at every rate."""
    rows = []
    for chip, times in PUBLISHED.items():
        cells = []
        for rate in DIVISORS:
            known = tap_shares(SCENES["known_card"], times, Link(rate)).total
            floor = floor_shares(times, Link(rate)).total
            cells.append(f"{known:.0f} to {floor:.0f}: {known / floor - 1:.0%}")
        rows.append((f"`{chip}`", *cells))
    return table(("chip", *(f"{rate} kbit/s" for rate in DIVISORS)), rows)


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "counted": counted,
    "chips": chips,
    "bytecodes": bytecodes,
    "matrix": matrix,
    "parts": parts,
    "distance": distance,
}
