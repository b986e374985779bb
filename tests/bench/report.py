"""The figures as a table for people, and which of them are not what they have to be."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """`figure` of `benchmark` has to be on the right side of `limit`; one that is only aimed at fails nothing."""

    benchmark: str
    figure: str
    relation: str
    limit: float
    required: bool = True

    def holds(self, report: Figures) -> bool:
        value: float = report[self.benchmark][self.figure]
        return _RELATIONS[self.relation](value, self.limit)

    def __str__(self) -> str:
        return f"{self.benchmark}.{self.figure} {self.relation} {self.limit:g}"


_RELATIONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
}

BOUNDS: Final = (
    Bound("settle_inproc", "ratio", ">=", 0.60),
    Bound("settle_inproc", "ratio", ">=", 0.85, required=False),
    Bound("settle_http", "ratio", ">=", 0.40),
    Bound("settle_http", "ratio", ">=", 0.60, required=False),
    Bound("apdu", "pcsc_overhead_ms", "<", 1),
    Bound("tap_modelled", "known_card_exchanges", "<=", 4),
    Bound("tap_modelled", "known_card_bytes", "<=", 1024),
    Bound("tap_modelled", "known_card_signatures", "==", 1),
    Bound("tap_modelled", "typical_ms", "<=", 300),
    Bound("tap_modelled", "worst_ms", "<=", 500, required=False),
    Bound("applet_work", "ratio", "<=", 1.1),
    Bound("tap_overhead", "ratio", "<=", 1.3, required=False),
    Bound("tap_overhead", "tap_ms", "<=", 2, required=False),
)


def missed(report: Figures, *, required: bool) -> list[Bound]:
    """The bounds of this kind that do not hold, of the benchmarks that were run."""
    return [b for b in BOUNDS if b.required is required and b.benchmark in report and not b.holds(report)]


def table(report: Figures) -> str:
    """Every benchmark that was run, in the order of the documentation."""
    lines = [_machine(report["machine"]), ""]
    for name, show in _SECTIONS.items():
        if name in report:
            lines += [name, *(f"  {line}" for line in show(report[name])), ""]
    return "\n".join(lines)


def _machine(machine: Figures) -> str:
    return (
        f"{machine['cores']} cores, {machine['processor']}; {machine['system']}, Python {machine['python']}, "
        f"cryptography {machine['cryptography']}, SQLite {machine['sqlite']} on {machine['filesystem']} "
        f"({machine['commit_ms']} ms a commit), load {machine['load_before']} before"
    )


def _modelled(figures: Figures) -> list[str]:
    chip, kbps = figures["chip"], str(figures["kbps"])
    lines = [f"{'':<18}{'pairs':>6}{'out':>6}{'in':>6}{'blocks':>8}{'typical, ms':>13}{'worst, ms':>11}"]
    for name, scene in figures["scenes"].items():
        counted = f"{scene['exchanges']:>6}{scene['bytes_out']:>6}{scene['bytes_in']:>6}{scene['blocks']:>8}"
        modelled = f"{scene['typical_ms'][chip][kbps]:>13.0f}{scene['worst_ms'][chip][kbps]:>11.0f}"
        lines.append(f"{name:<18}{counted}{modelled}")
    return [
        *lines,
        f"{chip} at {kbps} kbit/s, published times; modelled, not measured",
        f"known card {figures['typical_ms']} ms, floor {figures['floor_ms']} ms, {figures['over_floor']:.0%} above it",
    ]


def _applet_work(figures: Figures) -> list[str]:
    return [
        f"{'':<22}{'bytecodes':>10}{'modelled':>10}{'API calls':>11}{'modelled':>10}",
        *(
            f"{name:<22}{one['bytecodes']:>10,}{one['modelled_bytecodes']:>10,}{one['calls']:>11}{one['modelled_calls']:>10}"
            for name, one in figures["commands"].items()
        ),
        f"a known card's tap: {figures['ratio']:.3f} of what is modelled",
    ]


def _overhead(figures: Figures) -> list[str]:
    return [
        f"driver {figures['tap_ms']} ms, bare SCardTransmit {figures['raw_ms']} ms; 4 exchanges, less the card's work",
        f"ratio {_ratio(figures)}",
    ]


def _apdu(figures: Figures) -> list[str]:
    return [
        f"{way}: {figures[f'{name}_ms']} ms an exchange, {figures[f'{name}_overhead_ms']} ms of it not the card's work "
        f"(p95 {figures[f'{name}_overhead_p95_ms']}); medians of {figures['exchanges']}"
        for way, name in (("in process", "in_process"), ("PC/SC", "pcsc"))
    ]


def _relay(figures: Figures) -> list[str]:
    lines = [f"{'ms':<18}{'command':>8}{'p5':>9}{'p50':>9}{'p95':>9}{'p99':>9}"]
    for way, commands in figures["ways"].items():
        for command, found in commands.items():
            parts = "".join(f"{found[f'p{part}_ms']:>9.3f}" for part in (5, 50, 95, 99))
            missed = f"  missed {_interval(found['missed'])}" if found["missed"] else ""
            lines.append(f"{way:<18}{command:>8}{parts}{missed}")
    for command, bound in figures["bound_ms"].items():
        alarms = _interval(figures["false_alarms"][command])
        lines.append(f"{command}: bound {bound} ms (p99 of half the direct taps), false alarms {alarms}")
    return lines


def _interval(rate: Figures) -> str:
    return f"{rate['rate']:.1%} ({rate['low']:.1%} to {rate['high']:.1%} of {rate['trials']})"


def _settle(figures: Figures) -> list[str]:
    batches = f"{figures['tills']} tills in batches of {figures['batch']:,}"
    return [
        f"{figures['per_s']:,} durable vouchers/s, ceiling {figures['ceiling_per_s']:,} verifications/s",
        f"ratio {_ratio(figures)}",
        f"{figures['vouchers']:,} vouchers of {figures['cards']:,} cards from {batches}: all SETTLED, books balanced",
    ]


def _ratio(figures: Figures) -> str:
    dropped = f", {figures['dropped']} dropped" if figures["dropped"] else ""
    spread = f"{figures['min']:.2f} to {figures['max']:.2f}"
    return f"{figures['ratio']:.2f} ({spread}; {figures['rounds']} rounds{dropped})"


_SECTIONS: Final[dict[str, Callable[[Figures], list[str]]]] = {
    "settle_inproc": _settle,
    "settle_http": _settle,
    "apdu": _apdu,
    "tap_overhead": _overhead,
    "tap_modelled": _modelled,
    "applet_work": _applet_work,
    "relay": _relay,
}
