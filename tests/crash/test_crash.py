"""A slice of `make crash`: till and server killed at random moments under load, and a fault that this must find."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from support import tally
from support.tree import ROOT

KILLS = 20
_LAST = re.compile(r"crash: (\d+) kills, (\d+) lost, (\d+) doubled")


def crash(data: Path, *words: str) -> tuple[int, list[str]]:
    """`make crash` without power loss: exit code and lines."""
    command = [sys.executable, "tests/crash/run.py", "--data", str(data), "--points", "0", *words]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def last(lines: list[str]) -> tuple[int, int, int]:
    found = _LAST.fullmatch(lines[-1])
    assert found, lines[-1]
    return int(found[1]), int(found[2]), int(found[3])


def test_killed_at_random_moments_under_load(tmp_path: Path) -> None:
    code, lines = crash(tmp_path / "data", "--runs", str(KILLS), "--seed", "slice")
    kills, lost, doubled = last(lines)
    tally.record("kills", kills, lost=lost, doubled=doubled)
    assert (code, kills, lost, doubled) == (0, KILLS, 0, 0), "\n".join(lines)


def test_a_commit_that_comes_too_late_is_found(tmp_path: Path) -> None:
    code, lines = crash(tmp_path / "data", "--runs", "200", "--plant", "late-commit")
    kills, lost, _ = last(lines)
    assert code == 1
    assert lost > 0
    assert kills < 200, "the first harm ends it"
    assert any("again: --seed 1 --lap " in line for line in lines)
