"""`ecny card tap-time` as a user runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hardware.cli import card
from hardware.tap_model import CURRENT, DIVISORS, PUBLISHED, SCENES


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(card, ["tap-time", *words])
    assert result.exit_code == code, result.output
    return result


def test_the_table_shows_every_tap_and_the_floor() -> None:
    said = run().stdout
    assert all(f"\n{name} " in said for name in (*SCENES, "floor"))
    assert "424 kbit/s; milliseconds, modelled" in said
    assert f"source: {PUBLISHED[CURRENT].source}" in said
    assert "above the floor" in said


@pytest.mark.parametrize("rate", DIVISORS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_json_has_the_parts(name: str, rate: int) -> None:
    facts: dict[str, Any] = json.loads(run("--chip", name, "--kbps", str(rate), "--json").stdout)
    assert (facts["chip"], facts["kbps"], facts["age"]) == (name, rate, PUBLISHED[name].age)
    for tap in facts["taps"]:
        assert sum(tap["parts_ms"].values()) == pytest.approx(tap["typical_ms"], abs=0.5)
        assert tap["typical_ms"] < tap["worst_ms"]
    assert [tap["tap"] for tap in facts["taps"]] == [*SCENES, "floor"]


def test_a_chip_that_nobody_published_is_a_mistake_of_usage() -> None:
    failed = run("--chip", "mine", "--json", code=2)
    assert "jcop-4-p71" in json.loads(failed.stderr)["next_step"]
    assert "is not one of" in run("--kbps", "1695", code=2).output
