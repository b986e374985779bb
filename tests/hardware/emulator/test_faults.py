"""Fault plans: what is armed is taken once, and a plan with a mistake in it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.emulator import faults
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome
from wallet_core.errors import ConfigurationError, StorageError, UsageError

named = st.one_of(
    st.fixed_dictionaries({"command": st.text(min_size=1)}),
    st.fixed_dictionaries({"ins": st.integers(0, 255)}),
    st.fixed_dictionaries({"exchange": st.integers(1, 99)}),
)
plans = st.builds(
    lambda which, **rest: FaultPlan(**which, **rest),
    named,
    tear=st.sampled_from(Tear),
    at=st.integers(0, 99),
    outcome=st.sampled_from(Outcome),
    reinsert_ms=st.integers(0, 9999),
)


@given(plans)
def test_a_plan_survives_its_file(plan: FaultPlan) -> None:
    assert FaultPlan.from_json(plan.to_json()) == plan


def test_an_armed_plan_waits_until_it_is_taken_once(tmp_path: Path) -> None:
    first, second = FaultPlan(Tear.BEFORE, command="PAY"), FaultPlan(Tear.DURING, ins=0x50, at=3)
    assert faults.armed(tmp_path) is None
    assert faults.take(tmp_path) is None
    faults.arm(tmp_path, first)
    faults.arm(tmp_path, second)
    assert faults.armed(tmp_path) == second
    assert faults.take(tmp_path) == second
    assert faults.take(tmp_path) is None
    assert faults.armed(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_of_many_takers_one_gets_the_plan(tmp_path: Path) -> None:
    plan = FaultPlan(Tear.ANSWER, exchange=2)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            faults.arm(tmp_path, plan)
            taken = list(pool.map(lambda _: faults.take(tmp_path), range(4)))
            assert sorted(one is None for one in taken) == [False, True, True, True]


def test_a_plan_fits_by_name_instruction_or_number() -> None:
    assert FaultPlan(Tear.BEFORE, command="pay").fits("PAY", 0x50, 1)
    assert not FaultPlan(Tear.BEFORE, command="PAY").fits("COLLECT", 0x50, 1)
    assert FaultPlan(Tear.BEFORE, ins=0x50).fits("PAY", 0x50, 1)
    assert not FaultPlan(Tear.BEFORE, ins=0x50).fits("PAY", 0x52, 0x50)
    assert FaultPlan(Tear.BEFORE, exchange=3).fits("PAY", 0x50, 3)
    assert not FaultPlan(Tear.BEFORE, exchange=3).fits("PAY", 3, 4)


def test_the_file_is_written_by_hand_too() -> None:
    plan = FaultPlan.from_json('{"tear": "during", "command": "PAY", "at": 3, "outcome": "partial"}')
    assert plan == FaultPlan(Tear.DURING, command="PAY", at=3, outcome=Outcome.PARTIAL)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tear": "during"}',
        '{"command": "PAY"}',
        '{"tear": "sometime", "command": "PAY"}',
        '{"tear": "during", "command": "PAY", "ins": 80}',
        '{"tear": "during", "command": "PAY", "at": "3"}',
        '{"tear": "during", "command": "PAY", "at": true}',
        '{"tear": "during", "command": "PAY", "at": -1}',
        '{"tear": "during", "command": "PAY", "outcome": "burnt"}',
        '{"tear": "during", "command": "PAY", "att": 3}',
        '{"tear": "during", "ins": 256}',
        '{"tear": "during", "exchange": 0}',
    ],
)
def test_a_mistyped_plan_is_an_error_and_not_no_plan(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError):
        FaultPlan.from_json(text)
    (tmp_path / faults.FAULT_FILE).write_text(text)
    with pytest.raises(ConfigurationError):
        faults.armed(tmp_path)
    with pytest.raises(ConfigurationError):
        faults.take(tmp_path)
    assert faults.take(tmp_path) is None


def test_a_directory_that_cannot_be_used_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        faults.arm(tmp_path / "nowhere", FaultPlan(Tear.BEFORE, command="PAY"))
    (tmp_path / "file").write_bytes(b"")
    for use in (faults.armed, faults.take):
        with pytest.raises(StorageError):
            use(tmp_path / "file")


@pytest.mark.parametrize(
    ("word", "plan"),
    [
        ("before@3", FaultPlan(Tear.BEFORE, exchange=3)),
        ("write@2", FaultPlan(Tear.DURING, exchange=2)),
        ("write@PAY:4", FaultPlan(Tear.DURING, command="PAY", at=3)),
        ("write@pay:1:partial", FaultPlan(Tear.DURING, command="PAY", outcome=Outcome.PARTIAL)),
        ("after-commit@collect", FaultPlan(Tear.AFTER_COMMIT, command="COLLECT")),
        ("answer@get-data", FaultPlan(Tear.ANSWER, command="GET DATA")),
    ],
)
def test_a_plan_in_one_word(word: str, plan: FaultPlan) -> None:
    assert FaultPlan.parse(word) == plan
    assert FaultPlan.parse(str(plan)) == plan


@pytest.mark.parametrize(
    ("word", "allowed"),
    [
        ("", "before, write, after-commit, answer"),
        ("during@3", "before, write, after-commit, answer"),
        ("before", "WHERE@WHEN"),
        ("before@3:1", "write takes :CELL"),
        ("write@3:0", "from 1"),
        ("write@3:1:gone", "old|new|partial|unstable"),
        ("before@0", "count from 1"),
        ("before@-2", "count from 1"),
        ("before@" + "9" * 5_000, "count from 1"),
        ("write@PAY:" + "9" * 5_000, "write takes :CELL"),
        ("before@PAYS", "PAY, COLLECT"),
    ],
)
def test_a_word_that_is_no_plan_names_what_is_allowed(word: str, allowed: str) -> None:
    with pytest.raises(UsageError) as caught:
        FaultPlan.parse(word)
    assert allowed in caught.value.next_step


def test_a_plan_for_an_instruction_byte_can_be_shown() -> None:
    assert str(FaultPlan(Tear.BEFORE, ins=0x32)) == "before@INS 32"
