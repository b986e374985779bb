"""Our pytest hooks: PC/SC tests share a worker, counts come home from the workers, in CI nothing may be left out."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from support import tally

LEFT_OUT = ("skipped", "xfailed", "xpassed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One pcscd at a time: ``--dist loadgroup`` sends all tests of a group to one worker."""
    for item in items:
        if item.get_closest_marker("pcsc"):
            item.add_marker(pytest.mark.xdist_group("pcsc"))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: take over its counts. One that crashed has none, and its run fails anyway."""
    tally.merge(getattr(node, "workeroutput", {}).get("tally", {}))


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Worker: hand the counts to the controller. Controller: write them, and fail a CI run that left a test out."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["tally"] = tally.snapshot()
        return
    path = config.rootpath / "build" / "tally.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(tally.snapshot(), indent=2) + "\n", encoding="utf-8")
    if os.environ.get("CI") == "true" and _left_out(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if os.environ.get("CI") == "true" and (count := _left_out(config)):
        terminalreporter.write_line(f"CI=true, yet {count} tests were skipped or expected to fail", red=True)


def _left_out(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return sum(len(reporter.stats.get(outcome, [])) for outcome in LEFT_OUT) if reporter else 0
