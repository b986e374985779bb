"""A second implementation, in Java, agrees with every golden vector.

It is built and run here without Maven, from the sources that the applet's own test run also takes (VectorsTest).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.tree import ROOT
from support.vectors import FOLDER, read, vectors

SOURCES = ROOT / "hardware" / "applet" / "src" / "test" / "java" / "open" / "ecny" / "vectors"
PLATFORM = ("java.", "javax.crypto.", "open.ecny.vectors")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of the program, one for each kind of vector and one for each disagreement."""
    classes = tmp_path_factory.mktemp("classes")
    sources = [path for path in sorted(SOURCES.glob("*.java")) if path.name != "VectorsTest.java"]  # wants JUnit
    compiling: list[str | Path] = [
        "javac",
        "--release",
        "11",
        "-Xlint:all,-options",
        "-Werror",
        "-d",
        classes,
        *sources,
    ]
    done = subprocess.run(compiling, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return run(classes, FOLDER)


def run(classes: Path, folder: Path) -> list[str]:
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", str(classes), "open.ecny.vectors.Vectors", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_java_agrees_with_everything(said: list[str]) -> None:
    listed, frauds = read("keys.json"), read("frauds.json")
    assert said == [
        f"keys: {len(listed['keys']) + len(listed['published']) + len(listed['invalid'])}",
        f"messages: {len(vectors('messages.json'))}",
        f"certificates: {len(vectors('certificates.json'))}",
        f"chains: {len(vectors('chains.json'))}",
        f"refused messages: {len(vectors('negative.json'))}",
        f"audit blocks: {len(vectors('audit.json'))}",
        f"proofs: {len(frauds['vectors'])}",
        f"refused proofs: {len(frauds['refused'])}",
        f"sessions: {len(vectors('apdus.json'))}",
        f"decisions of a purse: {len(vectors('purse.json'))}",
    ]


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.java")), ids=lambda path: path.name)
def test_it_shares_no_code_with_the_applet_or_its_libraries(source: Path) -> None:
    imported = re.findall(r"^import (?:static )?([\w.]+)", source.read_text(encoding="utf-8"), re.MULTILINE)
    allowed = (*PLATFORM, "org.junit.") if source.name == "VectorsTest.java" else PLATFORM
    assert all(name.startswith(allowed) for name in imported)
