"""An independent COSE library, its own CBOR and RFC 9679 from scratch agree with every golden vector."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.tree import ROOT
from support.vectors import FILES, FOLDER, read, vectors

PYTHON = ROOT / ".venv-witness" / "bin" / "python"


def ask(folder: Path) -> dict[str, Any]:
    # Isolated: neither our packages nor our cbor2 can be found from there.
    command = [str(PYTHON), "-I", str(FOLDER / "witness.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_witness_agrees_with_everything() -> None:
    answer = ask(FOLDER)
    assert answer["wrong"] == []
    assert answer["agreed"] == {
        "thumbprints": len(read("keys.json")["keys"]) + 1,
        "messages": len(vectors("messages.json")),
        "certificates": len(vectors("certificates.json")),
        "audit blocks": len(vectors("audit.json")),
        "proofs": len(vectors("frauds.json")),
        "refused signatures": sum(vector["stage"] == "verify" for vector in vectors("negative.json")),
    }


@pytest.mark.parametrize(
    ("file", "member"),
    [
        ("messages.json", "hash"),
        ("messages.json", "sig_structure"),
        ("messages.json", "payload"),
        ("messages.json", "signature"),
        ("messages.json", "cose"),
        ("certificates.json", "hash"),
        ("certificates.json", "cose"),
        ("audit.json", "sealed"),
        ("frauds.json", "proof"),
    ],
)
def test_the_witness_notices_one_wrong_bit(file: str, member: str, tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path / name)
    content = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    value = bytearray.fromhex(content["vectors"][0][member])
    value[-1] ^= 1
    content["vectors"][0][member] = value.hex()
    (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    (complaint,) = ask(tmp_path)["wrong"]
    assert content["vectors"][0]["name"] in complaint


@pytest.mark.parametrize("field", ["amount", "payer", "k"])
def test_the_witness_notices_a_wrong_field(field: str, tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(FOLDER / name, tmp_path / name)
    content = json.loads((FOLDER / "messages.json").read_text(encoding="utf-8"))
    fields = content["vectors"][0]["fields"]
    fields[field] = fields[field] + 1 if isinstance(fields[field], int) else fields["payee"]
    (tmp_path / "messages.json").write_text(json.dumps(content), encoding="utf-8")
    (complaint,) = ask(tmp_path)["wrong"]
    assert field in complaint


def test_the_witness_shares_no_code_with_us() -> None:
    lines = (FOLDER / "witness.py").read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported <= {"__future__", "hashlib", "json", "sys", "collections", "pathlib", "typing"} | {
        "cbor2",
        "cwt",
        "cryptography",
    }
