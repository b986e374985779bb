"""`make mutants`: plants each fault in a copy of the sources and asks its detectors; ends with `mutants: C/T caught`.

First every detector must be silent in an unchanged copy: one that always fails notices nothing. Exit code 1 when a
fault is not noticed, a patch does not apply any more, or an invariant has no mutant.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutants.catalogue import INVARIANTS, Detector, Mutant, catalogue
from mutants.copies import DoesNotApplyError, apply, copy_tree
from mutants.trial import BrokenTrialError, imports, notices

WORKERS = 2


def try_mutant(mutant: Mutant, where: Path) -> str:
    """An empty string when every detector notices, else what is wrong."""
    try:
        tree = copy_tree(where / mutant.name)
        apply(mutant, tree)
        imports(tree)
        missed = [one for one in mutant.detectors if not notices(one, tree)]
    except (DoesNotApplyError, BrokenTrialError) as exc:
        return str(exc)
    return f"not noticed by {' and '.join(' '.join((one.tool, *one.arguments)) for one in missed)}" if missed else ""


def silent(detectors: Collection[Detector], where: Path) -> list[str]:
    """What the detectors say about the unchanged sources: nothing, one hopes."""
    tree = copy_tree(where / "unchanged")
    plain = {one for one in detectors if one.tool == "pytest" and "-k" not in one.arguments}
    others = sorted(set(detectors) - plain, key=lambda one: (one.tool, one.arguments))
    tests = sorted({argument for one in plain for argument in one.arguments})
    asked = [*([Detector("pytest", tuple(tests))] if tests else []), *others]
    try:
        imports(tree)
        return [f"{one.tool} fails on the unchanged sources" for one in asked if notices(one, tree)]
    except BrokenTrialError as exc:
        return [str(exc)]


def judge(mutants: tuple[Mutant, ...], where: Path) -> tuple[int, list[str]]:
    """How many are caught, and everything that is wrong."""
    faults = silent({one for mutant in mutants for one in mutant.detectors}, where)
    if faults:
        return 0, faults
    caught = 0
    started = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, fault in zip(mutants, pool.map(lambda one: try_mutant(one, where), mutants), strict=True):
            caught += not fault
            print(
                f"{time.monotonic() - started:6.0f} s  {mutant.breaks}  {mutant.name}: {fault or 'caught'}", flush=True
            )
            if fault:
                faults.append(f"{mutant.name}: {fault}")
    return caught, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="only these mutants")
    wanted = parser.parse_args().names
    mutants = tuple(one for one in catalogue() if not wanted or one.name in wanted)
    with tempfile.TemporaryDirectory(prefix="mutants-") as where:
        caught, faults = judge(mutants, Path(where))
    if not wanted:
        faults += [f"no mutant breaks {one}" for one in INVARIANTS if one not in {mutant.breaks for mutant in mutants}]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"mutants: {caught}/{len(mutants)} caught")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
