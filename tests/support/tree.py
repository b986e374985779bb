"""The files of this repository, as the tests of its shape read them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("wallet_core", "hardware", "merchant_pos", "server")

# Made by the set-up or by a run, never committed (.gitignore).
_MADE = {".git", ".venv", ".venv-witness", "build", "dist", "__pycache__", ".hypothesis", ".pytest_cache"}
_MADE |= {".ruff_cache", ".mypy_cache", "ecny_wallet.egg-info", "target"}


def source_files() -> Iterator[Path]:
    """Every file that belongs to the repository, relative to its root."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in _MADE)
        for name in sorted(files):
            if not name.endswith((".pyc", ".swp")) and name != ".git":  # a linked work tree has a file .git
                yield (Path(folder) / name).relative_to(ROOT)


def modules(*packages: str) -> dict[str, Path]:
    """Dotted name → path of every module of these packages (default: all four)."""
    found = {}
    for path in source_files():
        if path.suffix == ".py" and path.parts[0] in (packages or PACKAGES):
            parts = path.with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ROOT / path
    return found
