"""The payment client of docs/how-to/client, in Java, against a real server process and the emulated card.

Three processes that share no code with each other but the specification: the client is compiled from its sources here.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.processes import Background, Ecny
from hardware.cli import card as card_commands
from server.settings import system_clock
from support.cards import PIN
from support.operator_world import TOKEN, Site
from support.server_process import ServerProcess
from support.tree import ROOT

SOURCES = ROOT / "docs" / "how-to" / "client"
LOADED = 90_000  # fen
TIMEOUT_S = 60
JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # programs that run for a second


@dataclass(frozen=True)
class Shop:
    """A till that is the Java client, a server process, and an emulated card with value on it."""

    data: Path
    classes: Path
    server: ServerProcess
    site: Site

    @property
    def home(self) -> Path:
        return self.data / "java-till"

    def command(self, *words: str | Path) -> list[str]:
        return ["java", *JAVA, "-cp", str(self.classes), "open.ecny.client.Till", *map(str, words)]

    def run(self, *words: str | Path, code: int = 0) -> str:
        """One command that meets no card; what it printed."""
        command = self.command(*words, "--home", self.home)
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def tap(self, *words: str | Path, code: int = 0) -> str:
        """One command with the emulated card in its reader: a process of its own, put in once the reader listens."""
        with subprocess.Popen(
            self.command(*words, "--home", self.home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as till:
            assert till.stdout is not None
            listening = till.stdout.readline()
            address = listening.split()[-1]
            with Background(Ecny(self.data, lambda _: None), "card", "emulate", "--vpcd", address, ready="inserted"):
                said = till.stdout.read()
                assert till.wait(TIMEOUT_S) == code, listening + said
        return said

    def card(self, *words: str) -> str:
        """`ecny card …` in this process, with the same card image."""
        environment = {"ECNY_READER": "emulator", "ECNY_HOME": None}
        result = CliRunner().invoke(card_commands, [*words, "--data", str(self.data)], env=environment)
        assert result.exit_code == 0, result.output
        return result.output

    def tear(self, *words: str) -> None:
        self.card("fault", *words)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    data = tmp_path_factory.mktemp("client")
    classes = data / "classes"
    assert shutil.which("javac"), "a JDK is missing: scripts/setup.sh full says what to install"
    sources = sorted(SOURCES.glob("*.java"))
    compiling = ["javac", "-Xlint:all", "-Werror", "-d", classes, *sources]
    done = subprocess.run(compiling, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (data / "server").mkdir()
    site = Site(data)
    with ServerProcess(data, data / "server.log") as server:
        made = Shop(data, classes, server, site)
        for name, content in (("pin", PIN), ("token", TOKEN)):
            (data / name).write_text(f"{content}\n")
        online = ("--server", server.url, "--token-file", str(data / "token"))
        made.card("new", "--seed", "another language")
        made.card("personalise", *online, "--pin-file", str(data / "pin"))
        made.card("load", str(LOADED), *online)
        with site.bank() as bank:
            (data / "till-code").write_text(bank.parts.tills.add_merchant("Java Tea House", system_clock()).code + "\n")
        made.run(
            *("enrol", "--server", server.url, "--code-file", data / "till-code"),
            *("--authority", data / "server" / "authority.cert"),
        )
        yield made


def credited(shop: Shop) -> int:
    """Fen in all wallets, by the books; fails unless these balance."""
    ledger = shop.site.ledger()
    assert ledger.conserved
    return ledger.wallets


def test_a_payment_whose_answer_was_lost_is_credited_once(shop: Shop) -> None:
    """A small sale torn after the debit, one with PIN and verified payee, one too large: one batch for all three."""
    before = credited(shop)
    shop.tear("--tear", "answer", "--command", "PAY")
    said = shop.tap("charge", "--amount", "6800", "--order", "two bowls of noodles").splitlines()
    assert said[0] == "TAP THE SAME CARD AGAIN"
    assert said[1].startswith("PAID 6800 fen, sale 1, voucher ")
    assert len(said) == 2
    assert "PAID 25000 fen, sale 2" in shop.tap("charge", "--amount", "25000", "--pin-file", shop.data / "pin")
    assert "NOT CHARGED: 69E" in shop.tap("charge", "--amount", "60000", code=7)

    deposited = shop.run("deposit", "--server", shop.server.url)
    assert "batch 1: credited 31800 fen; statuses of vouchers 0000, of refusals 00" in deposited
    assert "nothing to deposit" in shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 31_800


def test_a_till_that_ended_in_the_middle_resumes_with_the_same_bytes(shop: Shop) -> None:
    """The card was debited and the till never heard of it: nothing else is charged until that is clear."""
    before = credited(shop)
    shop.tear("--tear", "answer", "--command", "PAY", "--reinsert-ms", "60000")
    said = shop.tap("charge", "--amount", "1234", "--seconds", "2", code=8)
    assert "TAP THE SAME CARD AGAIN: sale 4 is open" in said
    assert "sale 4 is open" in shop.run("charge", "--amount", "1", code=10)
    assert "PAID 1234 fen, sale 4" in shop.tap("resume")
    shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 1_234


def test_a_batch_whose_answer_was_lost_is_sent_again_as_it_was(shop: Shop) -> None:
    assert "PAID 500 fen" in shop.tap("charge", "--amount", "500")
    nobody = "http://127.0.0.1:9"  # the discard port: nobody listens
    assert "cannot be reached" in shop.run("deposit", "--server", nobody, code=12)
    (frozen,) = [path for path in shop.home.glob("batch-*.cose") if not path.with_suffix(".answer").exists()]
    before = frozen.read_bytes()
    first = shop.run("deposit", "--server", shop.server.url)
    frozen.with_suffix(".answer").unlink()  # as if the power had gone before it was written
    assert shop.run("deposit", "--server", shop.server.url) == first
    assert frozen.read_bytes() == before
