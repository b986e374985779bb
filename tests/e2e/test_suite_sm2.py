"""`make demo SUITE=sm2`: authority, operator, card and till in SM2, SM3 and SM4, from the first key to the last fen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from support.tree import ROOT
from wallet_core.certificates import Certificate
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Policy, parse
from wallet_core.suites import Suite

ECNY = Path(sys.executable).with_name("ecny")
CONSERVED = "conserved: issued 50000 = cards 39600 + wallets 10400 + in flight 0 + redeemed 0 (fen)"


def play(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    for name in ("ECNY_HOME", "ECNY_READER"):
        environment.pop(name, None)
    command = [sys.executable, "tests/demo/run.py", "--data", str(data), "--reader", "inprocess", *words]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_story_in_suite_2_ends_with_the_conserved_line(tmp_path: Path) -> None:
    """A torn sale included; every certificate, key, policy and voucher on disk is of suite 2."""
    data = tmp_path / "demo"
    done = play(data, "--suite", "sm2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == CONSERVED
    assert "TAP THE SAME CARD AGAIN" in done.stdout
    certificates = list(data.rglob("*.cert"))
    assert len(certificates) >= 7
    assert {Certificate.from_bytes(path.read_bytes()).suite for path in certificates} == {Suite.SM2}
    assert {
        SoftwareKey.from_pem(path.read_bytes()).public.suite
        for path in data.rglob("*.key")
        if b"BEGIN" in path.read_bytes()
    } == {Suite.SM2}
    policy = parse(Policy, (data / "server" / "policy.cose").read_bytes()).message
    assert (policy.suite, policy.least_suite) == (Suite.SM2, Suite.SM2)
    told = subprocess.run(
        [ECNY, "--data", str(data), "pos", "status", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout)


def test_a_card_without_sm2_is_a_usage_error(tmp_path: Path) -> None:
    done = play(tmp_path / "demo", "--suite", "sm2", "--card", "javacard")
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()


def test_an_installation_keeps_its_suite(tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([ECNY, "--data", str(tmp_path), *words], capture_output=True, text=True, check=False)

    assert run("authority", "init", "--suite", "sm2").returncode == 0
    assert run("authority", "init").returncode == 0
    refused = run("authority", "init", "--suite", "es256")
    assert (refused.returncode, "suite sm2 already" in refused.stderr) == (10, True)
    assert run("server", "init").returncode == 0
    request, out = tmp_path / "server" / "operator.request", tmp_path / "operator.cert"
    mixed = run("authority", "certify", "--request", str(request), "--out", str(out))
    assert (mixed.returncode, out.exists()) == (13, False)
    assert "this authority is of suite sm2" in mixed.stderr
