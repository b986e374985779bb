"""The golden vectors of tests/vectors, as tests read them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from support.tree import ROOT
from wallet_core.keys import PublicKey

FOLDER = ROOT / "tests" / "vectors"
FILES = (
    *("apdus.json", "audit.json", "certificates.json", "chains.json", "frauds.json"),
    *("keys.json", "messages.json", "negative.json", "purse.json"),
)


@cache
def read(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """One file; do not change what comes back."""
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(name)["vectors"]
    return found


def by_name(name: str, vector: str) -> dict[str, Any]:
    return next(one for one in vectors(name) if one["name"] == vector)


def public_key(name: str) -> PublicKey:
    """The key `name` of keys.json, from its coordinates alone."""
    listed = next(key for key in read("keys.json")["keys"] if key["name"] == name)
    return PublicKey(bytes.fromhex(listed["x"]), bytes.fromhex(listed["y"]))
