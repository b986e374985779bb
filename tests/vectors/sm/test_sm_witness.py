"""An implementation in pure Python that shares nothing with ours or with OpenSSL agrees with each vector of suite 2."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.tree import ROOT
from support.vectors import FOLDER, read

PYTHON = ROOT / ".venv-witness" / "bin" / "python"
HERE = FOLDER / "sm"
MEMBERS = {"keys.json": "keys", "published.json": "sm2"}


def ask(folder: Path) -> dict[str, Any]:
    # Isolated: none of our packages can be found from there.
    command = [str(PYTHON), "-I", str(HERE / "witness.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_witness_agrees_with_everything() -> None:
    answer = ask(HERE)
    assert answer["wrong"] == []
    assert answer["agreed"] == {
        "keys": len(read("keys.json", HERE)["keys"]),
        "messages": len(read("messages.json", HERE)["vectors"]),
        "certificates": len(read("certificates.json", HERE)["vectors"]),
        "refused signatures": sum(one["stage"] == "verify" for one in read("negative.json", HERE)["vectors"]),
        "audit blocks": len(read("audit.json", HERE)["vectors"]),
        "published signatures": len(read("published.json", HERE)["sm2"]),
    }


@pytest.mark.parametrize(
    ("file", "member"),
    [
        ("messages.json", "hash"),
        ("messages.json", "e"),
        ("messages.json", "cose"),
        ("certificates.json", "cose"),
        ("keys.json", "thumbprint"),
        ("audit.json", "sealed"),
        ("published.json", "s"),
    ],
)
def test_the_witness_notices_one_wrong_bit(file: str, member: str, tmp_path: Path) -> None:
    """In the first vector of a file; of the others there is no more than that one."""
    for path in HERE.glob("*.json"):
        name = MEMBERS.get(path.name, "vectors")
        content = read(path.name, HERE)
        kept = content[name] if path.name == "keys.json" and file != "keys.json" else content[name][: path.name == file]
        (tmp_path / path.name).write_text(json.dumps({**content, name: kept}), encoding="utf-8")
    name = MEMBERS.get(file, "vectors")
    content = json.loads((tmp_path / file).read_text(encoding="utf-8"))
    value = bytearray.fromhex(content[name][0][member])
    value[-1] ^= 1
    content[name][0][member] = value.hex()
    (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    assert len(ask(tmp_path)["wrong"]) == 1


def test_the_witness_shares_no_code_with_us() -> None:
    lines = (HERE / "witness.py").read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {"__future__", "json", "sys", "collections", "pathlib", "typing", "cbor2", "gmssl"}
