"""docs/tutorials/first-sale.md, typed as it stands: each command ends well and prints what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from demo.processes import Ecny, Server
from support.tree import ROOT

PAGE = ROOT / "docs" / "tutorials" / "first-sale.md"
HOME = Path("build/first")
ADDRESS = "http://127.0.0.1:8651"  # of the page; the test takes a free port


class Typist:
    """Types the blocks of one section after the other into a directory of its own."""

    def __init__(self, directory: Path) -> None:
        (directory / HOME).mkdir(parents=True)
        self._directory = directory
        self._path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._purse = ""
        self._server: Server | None = None
        self.port = 0

    def start_server(self) -> str:
        ecny = Ecny(self._directory / HOME, lambda _: None)
        self._server = Server(ecny, self.port)
        self.port = self._server.port
        return f"listening on {self._server.url}"

    def stop_server(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def type(self, line: str) -> str:
        """What the line prints; fails with its words unless it ends with 0."""
        if line == "ecny server run":
            return self.start_server()
        line = line.replace("PURSE_ID", self._purse).replace(ADDRESS, f"http://127.0.0.1:{self.port}")
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self._directory,
            env={**os.environ, "PATH": self._path, "ECNY_HOME": str(self._directory / HOME), "ECNY_VIRTUAL_ONLY": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if found := re.search(r"^  purse  ([0-9a-f]{64})$", done.stdout, re.MULTILINE):
            self._purse = found[1]
        return done.stdout


def sections() -> list[tuple[str, list[tuple[bool, list[str]]]]]:
    """Title and blocks of each numbered section; a block is (is it output, its lines)."""
    text = PAGE.read_text(encoding="utf-8")
    found = []
    for part in re.split(r"^## (?=\d)", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        blocks = re.findall(r"^```(text)?\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        found.append((title, [(bool(kind), content.splitlines()) for kind, content in blocks]))
    return found


def shows(printed: str, expected: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split("…"))
    return re.search(rf"^{pattern}$", printed, re.MULTILINE) is not None


def test_the_tutorial_can_be_typed(tmp_path: Path) -> None:
    typist = Typist(tmp_path)
    compared = 0
    try:
        for title, blocks in sections():
            if title.startswith("5."):
                typist.stop_server()  # "Stop the server with Ctrl-C"
            if title.startswith("7."):
                typist.start_server()  # "Start the server again"
            printed = ""
            for is_output, lines in blocks:
                if not is_output:
                    printed = "".join(typist.type(line).rstrip("\n") + "\n" for line in lines if shlex.split(line))
                    continue
                for line in lines:
                    assert shows(printed.replace(f":{typist.port}", ":8651"), line), f"{title}: {line}\n{printed}"
                    compared += 1
    finally:
        typist.stop_server()
    assert compared > 10
