"""The committed vectors are what the generator makes, on this machine too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.tree import ROOT
from support.vectors import FILES, FOLDER, read, vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    command = [sys.executable, str(FOLDER / "generate.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_it_makes_every_file_and_no_other(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == sorted(FILES)
    assert sorted(path.name for path in FOLDER.glob("*.json") if path.name in FILES) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_the_same_bytes(made: Path, name: str) -> None:
    assert (made / name).read_bytes() == (FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_each_file_says_where_it_comes_from(name: str) -> None:
    content = read(name)
    assert content["generator"] == "tests/vectors/generate.py"
    assert content["origin"]


@pytest.mark.parametrize("name", [name for name in FILES if name != "keys.json"])
def test_names_are_unique(name: str) -> None:
    names = [vector["name"] for vector in read(name)["vectors"]]
    assert len(names) == len(set(names)) > 0


def test_every_word_of_a_refusal_is_in_the_specification() -> None:
    """Whoever writes another implementation finds there what `error` means."""
    statuses, certificates = (
        (ROOT / "docs" / "spec" / name).read_text(encoding="utf-8") for name in ("statuses.md", "certificates.md")
    )
    parsed = {vector["error"] for vector in vectors("negative.json") if vector["stage"] == "parse"}
    assert parsed == set(re.findall(r"^\| `([a-z-]+)` \|", statuses, re.MULTILINE))
    assert {vector["error"] for vector in vectors("negative.json")} - parsed == {"bad-signature"}
    judged = {vector["error"] for vector in vectors("chains.json")} - {None}
    judged |= {vector["error"] for vector in read("frauds.json")["refused"] if vector["stage"] == "check"}
    assert judged <= set(re.findall(r"`([a-z-]+)`", certificates))
