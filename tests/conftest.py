"""What every test run shares: our hooks, and Hypothesis set so that a run can be repeated exactly."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

from support.pcscd import claim_socket
from support.plugin import (
    pytest_collection_modifyitems,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
]

# Before anything loads libpcsclite: no test and no process of a test ever reaches the PC/SC service of this machine.
claim_socket()

set_hypothesis_home_dir(str(Path(__file__).parents[1] / "build" / "hypothesis"))

# The same examples on every machine and every day; `--hypothesis-profile explore` looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile(
    "explore", deadline=None, max_examples=2_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
# Planted faults (tests/mutants) only have to be noticed: the smallest example of each would take minutes to find.
settings.register_profile(
    "noticing", derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False
)
settings.load_profile("repeatable")
