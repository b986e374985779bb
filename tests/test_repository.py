"""The repository itself: what is packaged, locked and offered is what is there."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib
from fnmatch import fnmatch

import click
import pytest

from support.tree import PACKAGES, ROOT, modules, source_files

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
COMMANDS = PROJECT["project"]["entry-points"]["ecny.commands"]

# In two halves, so that this file is no hit of its own.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("ubuntu", "com"),
        ("npmjs", "org"),
        ("maven", "org"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
    )
]


def locked(lock: str) -> dict[str, tuple[str, list[str]]]:
    """Name → version and hashes of one lock file."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        pinned = re.match(r"([a-z0-9.-]+)==(\S+)", line)
        assert pinned, f"{lock}: not pinned: {line}"
        found[pinned[1]] = (pinned[2], re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line))
    return found


def required(requirements: list[object]) -> set[str]:
    return {re.split(r"[<>=!~ ]", name)[0] for name in requirements if isinstance(name, str)}


def test_the_packages_listed_are_the_packages_there() -> None:
    there = sorted(name for name, path in modules().items() if path.name == "__init__.py")
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == there
    folders = {str(path.parent).replace("/", ".") for path in source_files() if path.suffix == ".py"}
    assert {folder for folder in folders if folder.split(".")[0] in PACKAGES} == set(there)


def test_data_files_are_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    data = [path for path in source_files() if path.parts[0] in PACKAGES and path.suffix != ".py"]
    data = [path for path in data if path.parts[:2] != ("hardware", "applet")]  # another language, built by Maven
    assert data
    assert not [str(path) for path in data if not any(fnmatch(path.name, pattern) for pattern in patterns)]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_group_plugs_into_ecny(name: str) -> None:
    (entry_point,) = importlib.metadata.entry_points(group="ecny.commands", name=name)
    assert entry_point.value == COMMANDS[name]
    assert isinstance(entry_point.load(), click.Command)


def test_the_one_command_resolves() -> None:
    (entry_point,) = importlib.metadata.entry_points(group="console_scripts", name="ecny")
    assert entry_point.value == PROJECT["project"]["scripts"]["ecny"]
    assert callable(entry_point.load())


def test_no_file_names_a_registry() -> None:
    hits = []
    for path in source_files():
        text = (ROOT / path).read_bytes().decode("utf-8", errors="replace")
        hits += [f"{path}: {host}" for host in REGISTRIES if host in text]
    assert not hits


def test_there_is_a_lock_for_each_way_to_install() -> None:
    assert LOCKS == ["build", "dev", "pcsc", "runtime", "witness"]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--|^-[a-z]", text, re.MULTILINE)
    assert all(hashes for _, hashes in locked(lock).values())


def test_the_locks_cover_what_the_project_asks_for() -> None:
    groups = PROJECT["dependency-groups"]
    assert required(PROJECT["project"]["dependencies"]) <= set(locked("runtime"))
    assert required(PROJECT["project"]["optional-dependencies"]["pcsc"]) <= set(locked("pcsc"))
    assert required(groups["dev"]) | required(groups["build"]) <= set(locked("dev"))
    assert required(groups["build"]) == set(locked("build"))
    assert required(groups["witness"]) <= set(locked("witness"))


def test_one_venv_one_version() -> None:
    dev = locked("dev")
    for lock in ("runtime", "build"):
        assert locked(lock).items() <= dev.items()


def test_set_up_has_nothing_left_to_do() -> None:
    """A second run of the set-up neither installs nor asks the network; it says nothing at all."""
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "READER": "auto"}
    script = [str(ROOT / "scripts" / "setup.sh"), "full"]
    done = subprocess.run(script, env=offline, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_make_lists_its_targets() -> None:
    offered = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", offered, re.MULTILINE))
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    searches = {"explore", "replay", "simulate", "crash", "fuzz", "conform", "mutants"}
    assert {"demo", "test", "bench", "lint", "up", "lock", "clean", "help"} | searches == targets
    assert set(re.findall(r"^  make (\w+) ", shown, re.MULTILINE)) == targets
