"""The test run's own gates: counts are summed over workers, harm fails, CI leaves nothing out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import tally
from support.tree import ROOT

TWO_WORKERS = ["-p", "xdist", "-n", "2"]
CUTS, KILLS = {"total": 512, "wrong": 0}, {"total": 40, "lost": 0, "doubled": 0}


def run_pytest(folder: Path, source: str, *arguments: str, ci: str = "") -> subprocess.CompletedProcess[str]:
    """A pytest of its own over one test file, with our hooks."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = pcsc: as in ours\n", encoding="utf-8")
    (folder / "test_sample.py").write_text(source, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(ROOT / "tests"), "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "support.plugin", *arguments, "test_sample.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_good_run_says_so() -> None:
    assert tally.verdict({"power cuts": CUTS, "kills": KILLS}) == (
        ["power cuts: 512, 0 wrong", "kills: 40, 0 lost, 0 doubled"],
        True,
    )


@pytest.mark.parametrize(
    "sums",
    [
        {},
        {"power cuts": CUTS},
        {"power cuts": CUTS, "kills": KILLS | {"total": 0}},
        {"power cuts": CUTS | {"wrong": 1}, "kills": KILLS},
        {"power cuts": CUTS, "kills": KILLS | {"lost": 1}},
        {"power cuts": CUTS, "kills": KILLS | {"doubled": 1}},
    ],
    ids=["nothing counted", "no kills", "0 kills", "wrong", "lost", "doubled"],
)
def test_harm_or_nothing_counted_fails(sums: dict[str, dict[str, int]], tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    path.write_text(json.dumps(sums), encoding="utf-8")
    assert tally.main(path) == 1


@pytest.mark.parametrize(
    ("name", "total", "harm"),
    [
        ("power cut", 1, {"wrong": 0}),
        ("power cuts", 1, {}),
        ("power cuts", 1, {"lost": 0}),
        ("power cuts", -1, {"wrong": 0}),
        ("kills", 1, {"lost": 0, "doubled": -1}),
    ],
)
def test_a_count_is_taken_only_whole(name: str, total: int, harm: dict[str, int]) -> None:
    before = tally.snapshot()
    with pytest.raises(ValueError, match="count"):
        tally.record(name, total, **harm)
    assert tally.snapshot() == before


@pytest.mark.parametrize("workers", [[], TWO_WORKERS], ids=["one process", "two workers"])
def test_counts_come_home_from_the_workers(workers: list[str], tmp_path: Path) -> None:
    source = (
        "import pytest\n"
        "from support import tally\n"
        "@pytest.mark.parametrize('wrong', [0, 1, 0, 2])\n"
        "def test_cut(wrong):\n"
        "    tally.record('power cuts', 10, wrong=wrong)\n"
        "def test_kill():\n"
        "    tally.record('kills', 7, lost=0, doubled=1)\n"
    )
    done = run_pytest(tmp_path, source, *workers)
    assert done.returncode == 0, done.stdout
    assert json.loads((tmp_path / "build" / "tally.json").read_text(encoding="utf-8")) == {
        "power cuts": {"total": 40, "wrong": 3},
        "kills": {"total": 7, "lost": 0, "doubled": 1},
    }


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_it():\n    pytest.skip('no reader')\n",
        "import pytest\npytest.importorskip('no_such_module_here')\n",
        "import pytest\n@pytest.mark.xfail\ndef test_it():\n    raise RuntimeError\n",
        "import pytest\n@pytest.mark.xfail\ndef test_it():\n    pass\n",
    ],
    ids=["skipped", "module skipped", "xfailed", "xpassed"],
)
def test_ci_leaves_nothing_out(source: str, tmp_path: Path) -> None:
    (tmp_path / "test_whole.py").write_text("def test_whole():\n    pass\n", encoding="utf-8")
    done = run_pytest(tmp_path, source, "test_whole.py", ci="true")
    assert done.returncode == 1
    assert "CI=true, yet 1 tests were skipped" in done.stdout


def test_elsewhere_a_skip_is_no_failure(tmp_path: Path) -> None:
    source = "import pytest\ndef test_whole():\n    pass\ndef test_it():\n    pytest.skip('no reader')\n"
    assert run_pytest(tmp_path, source).returncode == 0
    assert run_pytest(tmp_path, source, *TWO_WORKERS, ci="true").returncode == 1


def test_card_reader_tests_share_a_worker(tmp_path: Path) -> None:
    source = (
        "import os, pathlib, pytest\n"
        "@pytest.mark.pcsc\n"
        "@pytest.mark.parametrize('n', range(6))\n"
        "def test_card(n, worker_id):\n"
        "    pathlib.Path(f'card-{n}').write_text(worker_id)\n"
        "@pytest.mark.parametrize('n', range(6))\n"
        "def test_other(n, worker_id):\n"
        "    pathlib.Path(f'other-{n}').write_text(worker_id)\n"
    )
    done = run_pytest(tmp_path, source, *TWO_WORKERS, "--dist", "loadgroup")
    assert done.returncode == 0, done.stdout
    assert len({path.read_text(encoding="utf-8") for path in tmp_path.glob("card-*")}) == 1
    assert len(list(tmp_path.glob("other-*"))) == 6
