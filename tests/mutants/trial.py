"""One detector against one tree: noticed, or not. A tree that does not even start is not *noticed*: it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mutants.catalogue import Detector

LIMIT_S = 240
_NOT_NOTICED = 0
_NOTICED = 1


class BrokenTrialError(Exception):
    """The detector did not come to a verdict: a patch that does not import, a test that is not there, a time-out."""


def command_of(detector: Detector) -> list[str]:
    if detector.tool == "pytest":
        fixed = ["-q", "-x", "--no-header", "--durations=0", "--tb=line", "--hypothesis-profile=noticing"]
        return [sys.executable, "-m", "pytest", *fixed, *detector.arguments]
    return [sys.executable, f"tests/{detector.tool}/run.py", *detector.arguments]


def environment(tree: Path) -> dict[str, str]:
    """The tree's own packages come first, whatever is installed; nothing is written beside them."""
    path = os.pathsep.join((str(tree), str(tree / "tests")))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": str(tree)}


def notices(detector: Detector, tree: Path) -> bool:
    """Whether this detector fails in `tree`, as a detector does; raises BrokenTrialError."""
    command = command_of(detector)
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment(tree), capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise BrokenTrialError(f"{' '.join(detector.arguments)}: no verdict within {LIMIT_S} s") from exc
    said = done.stdout + done.stderr
    failed_to_start = detector.tool == "pytest" and ("during collection" in said or "Traceback" in done.stderr)
    if done.returncode not in (_NOT_NOTICED, _NOTICED) or failed_to_start:
        raise BrokenTrialError(f"{detector.tool} {' '.join(detector.arguments)}: exit {done.returncode}: {said[-500:]}")
    return done.returncode == _NOTICED


def imports(tree: Path) -> None:
    """Every module of the tree can be imported; raises BrokenTrialError."""
    names = [
        ".".join(path.relative_to(tree).with_suffix("").parts)
        for package in ("wallet_core", "hardware", "merchant_pos", "server")
        for path in sorted((tree / package).rglob("*.py"))
        if path.name != "__init__.py"
    ]
    code = "import importlib, json, sys; [importlib.import_module(name) for name in json.loads(sys.argv[1])]"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names)],
        cwd=tree,
        env=environment(tree),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BrokenTrialError(f"the code cannot be imported: {done.stderr.strip().splitlines()[-1]}")
