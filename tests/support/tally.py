"""Counts that a run must be able to show, summed over all tests and workers.

A test calls ``tally.record("power cuts", 512, wrong=0)``; the plugin carries the sums from the workers to
``build/tally.json``; ``make test`` ends with ``python tests/support/tally.py build/tally.json``, which prints one line
for each count and fails if anything was wrong or nothing was counted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

Sums = dict[str, dict[str, int]]

# What is counted, in the order of the report, with the kinds of harm that must stay 0.
COUNTED: Mapping[str, tuple[str, ...]] = {
    "power cuts": ("wrong",),
    "kills": ("lost", "doubled"),
}

_sums: Sums = {}


def record(name: str, total: int, **harm: int) -> None:
    """Add `total` events of the count `name` and, by kind, how many of them did harm.

    All kinds of harm of that count must be given. Raises ValueError for an unknown count or kind, or a negative number.
    """
    if name not in COUNTED:
        raise ValueError(f"no such count: {name}")
    if sorted(harm) != sorted(COUNTED[name]):
        raise ValueError(f"{name} counts {', '.join(COUNTED[name])}, not {', '.join(harm) or 'nothing'}")
    if total < 0 or any(value < 0 for value in harm.values()):
        raise ValueError("a count is never negative")
    merge({name: {"total": total, **harm}})


def merge(other: Mapping[str, Mapping[str, int]]) -> None:
    """Add the sums of another process."""
    for name, counts in other.items():
        sums = _sums.setdefault(name, {})
        for kind, value in counts.items():
            sums[kind] = sums.get(kind, 0) + value


def snapshot() -> Sums:
    """The sums so far, as plain data that crosses processes."""
    return {name: dict(counts) for name, counts in _sums.items()}


def verdict(sums: Mapping[str, Mapping[str, int]]) -> tuple[list[str], bool]:
    """Lines such as ``kills: 40, 0 lost, 0 doubled``, and whether all is well: each count above 0, each harm 0."""
    lines, well = [], True
    for name, kinds in COUNTED.items():
        counts = sums.get(name, {})
        total = counts.get("total", 0)
        harms = [(counts.get(kind, 0), kind) for kind in kinds]
        lines.append(f"{name}: {total}, " + ", ".join(f"{value} {kind}" for value, kind in harms))
        well = well and total > 0 and not any(value for value, _ in harms)
    return lines, well


def main(path: Path) -> int:
    lines, well = verdict(json.loads(path.read_text(encoding="utf-8")))
    print("\n".join(lines))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
