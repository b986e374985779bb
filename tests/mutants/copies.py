"""A copy of the sources for each mutant: what is changed there is changed nowhere else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mutants.catalogue import Mutant
from support.tree import ROOT

SOURCES = ("wallet_core", "hardware", "merchant_pos", "server", "tests", "docs")
FILES = ("pyproject.toml", "Makefile", "README.md", "README.zh-Hans.md", "README.zh-Hant.md", "CHANGELOG.md")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")


class DoesNotApplyError(Exception):
    """The code that the patch changes is not there any more: the patch is to be written anew."""


def copy_tree(target: Path) -> Path:
    """The sources as they are, in a directory that holds nothing yet."""
    target.mkdir(parents=True)
    for name in SOURCES:
        shutil.copytree(ROOT / name, target / name, ignore=_LEFT_OUT)
    for name in FILES:
        shutil.copy2(ROOT / name, target / name)
    return target


def apply(mutant: Mutant, tree: Path, *, dry: bool = False) -> None:
    """Apply the patch without fuzz; raises DoesNotApplyError. `dry` only tries."""
    command = ["patch", "--strip=1", "--fuzz=0", "--batch", "--forward", f"--input={mutant.patch}"]
    if dry:
        command += ["--dry-run"]
    else:
        command += ["--no-backup-if-mismatch", "--reject-file=-"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DoesNotApplyError(f"{mutant.name}: {done.stdout.strip() or done.stderr.strip()}")
