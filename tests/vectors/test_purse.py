"""purse.json: wallet_core decides each case as it is written, and every reason has its place in the order."""

from __future__ import annotations

import re
import sys
from typing import Any

import pytest

from support.vectors import FOLDER, vectors
from wallet_core.errors import Refused

sys.path.insert(0, str(FOLDER))

from decisions import decide

VECTORS = vectors("purse.json")
RANK = [reason.name for reason in Refused]
OUTCOME = ("refused", "after", "stored", "voucher", "request", "receipt", "refusal", "report", "tries_left")


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['name']}"


@pytest.mark.parametrize("vector", VECTORS, ids=name_of)
def test_a_decision(vector: dict[str, Any]) -> None:
    wanted = {name: vector[name] for name in OUTCOME if name in vector}
    assert decide(vector["command"], vector["before"], vector["given"]) == wanted
    assert ("refused" in wanted) != ("after" in wanted)


def test_every_reason_is_given() -> None:
    """MALFORMED is the codec's: it is answered where bytes become a message."""
    assert {vector.get("refused", "") for vector in VECTORS} - {""} == set(RANK) - {"MALFORMED"}


def test_each_reason_beats_all_that_come_after_it() -> None:
    chains: dict[str, list[str]] = {}
    for vector in VECTORS:
        if found := re.fullmatch(r"(.*): ([A-Z_]+)( and every later reason)?", vector["name"]):
            assert vector["refused"] == found[2]
            chains.setdefault(found[1], []).append(found[2])
    assert len(chains) == 15
    for reasons in chains.values():
        assert sorted(reasons, key=RANK.index) == reasons


def test_every_command_is_accepted_once_at_least() -> None:
    accepted = {vector["command"] for vector in VECTORS if "after" in vector}
    assert accepted == {vector["command"] for vector in VECTORS}
    assert len(accepted) == 10
