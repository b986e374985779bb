"""The planted faults: one patch a file, with a head that names what it breaks and who must notice.

Breaks: I7
Fault: the voucher is answered before the commit that debits it
Caught-by: pytest tests/hardware/emulator/test_transfers.py::test_…
--- a/hardware/emulator/transfers.py
+++ b/hardware/emulator/transfers.py
@@ …
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
INVARIANTS = tuple(f"I{number}" for number in range(1, 10))
DETECTORS = ("pytest", "explore", "simulate")

_LINE = re.compile(r"^(Breaks|Fault|Caught-by): (.+)$")


class CatalogueError(Exception):
    """A patch whose head does not say what it must."""


@dataclass(frozen=True, slots=True)
class Detector:
    """`tool`: one of DETECTORS; `arguments`: as on its command line."""

    tool: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`breaks`: an invariant, I1 to I9; `fault`: what the patch does, in words; `detectors`: each one must notice."""

    name: str
    patch: Path
    breaks: str
    fault: str
    detectors: tuple[Detector, ...]


def read(patch: Path) -> Mutant:
    """Raises CatalogueError."""
    head = patch.read_text(encoding="utf-8").split("\n--- ", 1)[0].splitlines()
    found: dict[str, list[str]] = {}
    for line in head:
        match = _LINE.match(line)
        if match is None:
            raise CatalogueError(f"{patch.name}: {line!r} is no line of a head")
        found.setdefault(match[1], []).append(match[2])
    if [len(found.get(key, ())) for key in ("Breaks", "Fault")] != [1, 1] or not found.get("Caught-by"):
        raise CatalogueError(f"{patch.name}: the head has one Breaks, one Fault, and Caught-by")
    if found["Breaks"][0] not in INVARIANTS:
        raise CatalogueError(f"{patch.name}: {found['Breaks'][0]} is no invariant")
    return Mutant(
        name=patch.stem,
        patch=patch,
        breaks=found["Breaks"][0],
        fault=found["Fault"][0],
        detectors=tuple(_detector(patch, text) for text in found["Caught-by"]),
    )


def _detector(patch: Path, text: str) -> Detector:
    tool, *arguments = shlex.split(text)
    if tool not in DETECTORS:
        raise CatalogueError(f"{patch.name}: {tool} is no detector")
    return Detector(tool, tuple(arguments))


def catalogue() -> tuple[Mutant, ...]:
    """All of them, by name."""
    return tuple(read(patch) for patch in sorted(HERE.glob("*.patch")))
