"""`make demo` as a user runs it, in process and through pcscd and vpcd, and the books that it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from demo.readers import CARDS

REPOSITORY = Path(__file__).resolve().parents[2]
ECNY = Path(sys.executable).with_name("ecny")
PCSC = "reader: Virtual PCD 00 00 (PC/SC)"
CONSERVED = "conserved: issued 50000 = cards 39600 + wallets 10400 + in flight 0 + redeemed 0 (fen)"


def play(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests")}
    for name in ("ECNY_HOME", "ECNY_READER"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "tests/demo/run.py", "--data", str(data), *words],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def ask(data: Path, *words: str) -> Any:
    done = subprocess.run([ECNY, "--data", str(data), *words, "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("reader", "card", "line"),
    [
        pytest.param("inprocess", "emulator", "reader: in process, card: emulator", id="in process"),
        pytest.param("pcsc", "emulator", f"{PCSC}, card: emulator", id="pcsc", marks=pytest.mark.pcsc),
        pytest.param("pcsc", "javacard", f"{PCSC}, card: {CARDS['javacard']}", id="applet", marks=pytest.mark.pcsc),
    ],
)
def test_the_story_ends_with_the_conserved_line(tmp_path: Path, reader: str, card: str, line: str) -> None:
    data = tmp_path / "demo"
    done = play(data, "--reader", reader, "--card", card)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[1] == line
    assert lines[-1] == CONSERVED
    assert lines[-2].startswith("applet memory: ") is (card == "javacard")
    told = [text.strip() for text in lines]
    for moment in ("PAID  RMB 68.00   RMB 432.00 left", "TAP THE SAME CARD AGAIN", "PAID  RMB 36.00   RMB 396.00 left"):
        assert told.count(moment) == 1
    told_by_card, ledger = ask(data, "card", "info"), ask(data, "server", "ledger")
    assert told_by_card["balance"] == 39600
    assert (ledger["issued"], ledger["wallets"], ledger["sum"]) == (50000, 10400, 0)
    assert ledger["card_shadows"] == {told_by_card["purse"]: 39600}
    secrets = [(data / "pin").read_text().strip(), (data / "server" / "admin.token").read_text().strip()]
    assert not [secret for secret in secrets if secret in done.stdout + done.stderr]


def test_a_sale_that_the_card_refuses_ends_the_story_with_its_exit_code(tmp_path: Path) -> None:
    done = play(tmp_path / "demo", "--reader", "inprocess", "--load", "10000", "--sales", "10001")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "conserved:" not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("words", [("--load", "0"), ("--load", "-1"), ("--sales", "1,x"), ("--reader", "usb")])
def test_bad_arguments_are_usage_errors_and_start_nothing(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = play(tmp_path / "demo", *words)
    assert done.returncode == 2
    assert not (tmp_path / "demo").exists()
