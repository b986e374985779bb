"""The payment client of docs/how-to/client, in Java, against a real server process and both cards.

Processes that share nothing but the specification: the client is compiled from its sources here, the emulated card is
`ecny card emulate`, the other card is the Java Card applet.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from demo.processes import Background, Ecny
from hardware.card_like import CardLike
from hardware.cli import card as card_commands
from hardware.driver import HardWallet
from hardware.emulator import vpcd
from hardware.emulator.in_reader import open_card
from hardware.exchange import CardConnection
from hardware.javacard.process import JavaCardProcess
from hardware.loading import Intents, load_card
from hardware.operator_client import OperatorClient
from hardware.personalisation import personalise
from hardware.taps import card_directory
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from server.settings import system_clock
from support.cards import PIN
from support.operator_world import TOKEN, Site
from support.pcscd import READERS, PrivatePcscd
from support.server_process import ServerProcess
from support.tree import ROOT

SOURCES = ROOT / "docs" / "how-to" / "client"
LOADED = 90_000  # fen
TIMEOUT_S = 60
JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # programs that run for a second

together = pytest.mark.xdist_group("client")
"""One shop for all of them: its till counts its sales."""
Insert = Callable[[str], AbstractContextManager[object]]
"""Puts a card into the reader at HOST:PORT, for the length of a `with` block."""


def inserted(card: CardLike, address: str, *, reinsert_ms: int | None = 0) -> AbstractContextManager[None]:
    """This card in the client's reader; one that is torn comes back after `reinsert_ms`."""
    host, _, port = address.partition(":")
    return served(card, vpcd.connect_tcp(host, int(port)), reinsert_ms=reinsert_ms)


@contextmanager
def served(
    card: CardLike, connect: Callable[[], socket.socket], *, reinsert_ms: int | None = 0, gap_ms: int = 0
) -> Iterator[None]:
    """This card in a reader, served by a thread."""
    remote = vpcd.Remote()
    options = {"connect": connect, "reinsert_ms": reinsert_ms, "gap_ms": gap_ms}
    serving = threading.Thread(target=vpcd.serve, args=(card, remote), kwargs=options)
    serving.start()
    try:
        yield
    finally:
        remote.stop()
        serving.join()
        remote.close()


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

    def tap(self, *words: str | Path, code: int = 0, insert: Insert | None = None) -> str:
        """One command with a card in its reader, put in once the reader listens; the emulated one unless `insert`."""
        command = self.command(*words, "--home", self.home)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as till:
            assert till.stdout is not None
            listening = till.stdout.readline()
            with (insert or self.emulator)(listening.split()[-1]):
                said = till.stdout.read()
                assert till.wait(TIMEOUT_S) == code, listening + said
        return said

    def emulator(self, address: str) -> Background:
        """The card of the data directory, as a process of its own."""
        return Background(Ecny(self.data, lambda _: None), "card", "emulate", "--vpcd", address, ready="inserted")

    @contextmanager
    def here(self, address: str) -> Iterator[None]:
        """The same card in a thread of this process; one that is torn stays out."""
        image, card = open_card(card_directory(self.data))
        with closing(image), inserted(card, address, reinsert_ms=None):
            yield

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
    compiling: list[str | Path] = ["javac", "-Xlint:all", "-Werror", "-d", classes, *sources]
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


@together
def test_a_payment_whose_answer_was_lost_is_credited_once(shop: Shop) -> None:
    """A small sale torn after the debit, one with PIN and verified payee, one too large: one batch for all three."""
    before = credited(shop)
    shop.tear("--tear", "answer", "--command", "PAY")
    said = shop.tap("charge", "--amount", "6800", "--order", "two bowls of noodles").splitlines()
    assert said[0] == "TAP THE SAME CARD AGAIN"
    assert said[1].startswith("PAID 6800 fen, sale 1, voucher ")
    assert len(said) == 2
    assert "PAID 25000 fen, sale 2" in shop.tap(
        "charge", "--amount", "25000", "--pin-file", shop.data / "pin", insert=shop.here
    )
    assert "NOT CHARGED: 69E" in shop.tap("charge", "--amount", "60000", code=7, insert=shop.here)

    deposited = shop.run("deposit", "--server", shop.server.url)
    assert "batch 1: credited 31800 fen; statuses of vouchers 0000, of refusals 00" in deposited
    assert "nothing to deposit" in shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 31_800


@together
def test_a_till_that_ended_in_the_middle_resumes_with_the_same_bytes(shop: Shop) -> None:
    """The card was debited and the till never heard of it: nothing else is charged until that is clear."""
    before = credited(shop)
    shop.tear("--tear", "answer", "--command", "PAY")
    said = shop.tap("charge", "--amount", "1234", "--retap-seconds", "1", code=8, insert=shop.here)
    assert "TAP THE SAME CARD AGAIN: sale 4 is open" in said
    assert "sale 4 is open" in shop.run("charge", "--amount", "1", code=10)
    assert "PAID 1234 fen, sale 4" in shop.tap("resume", insert=shop.here)
    shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 1_234


@together
def test_a_batch_whose_answer_was_lost_is_sent_again_as_it_was(shop: Shop) -> None:
    assert "PAID 500 fen" in shop.tap("charge", "--amount", "500", insert=shop.here)
    nobody = "http://127.0.0.1:9"  # the discard port: nobody listens
    assert "cannot be reached" in shop.run("deposit", "--server", nobody, code=12)
    (frozen,) = [path for path in shop.home.glob("batch-*.cose") if not path.with_suffix(".answer").exists()]
    before = frozen.read_bytes()
    first = shop.run("deposit", "--server", shop.server.url)
    frozen.with_suffix(".answer").unlink()  # as if the power had gone before it was written
    assert shop.run("deposit", "--server", shop.server.url) == first
    assert frozen.read_bytes() == before


@together
def test_the_applet_pays_the_client(shop: Shop) -> None:
    """Java pays Java: a card that shares no line with the emulator, its answer lost once."""
    before = credited(shop)
    with JavaCardProcess(seed="client") as card, OperatorClient(shop.server.url, TOKEN) as server:
        wallet = HardWallet(CardConnection(card.transport()))
        personalise(
            wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            server.certify,
            PIN,
        )
        load_card(wallet, server, Intents(shop.data / "applet loads", lambda: "one-load"), 10_000)
        card.tear_before_answer(4)  # SELECT, GET DATA, PAY: the rest of its answer does not come
        said = shop.tap("charge", "--amount", "4200", insert=lambda address: inserted(card.reader, address))
    assert "TAP THE SAME CARD AGAIN" in said
    assert "PAID 4200 fen" in said
    assert "credited 4200 fen" in shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 4_200


@pytest.mark.pcsc
def test_the_client_finds_the_card_through_pcsc(shop: Shop) -> None:
    """By javax.smartcardio, the Java platform's own way, and a real PC/SC stack with a virtual reader."""
    before = credited(shop)
    shop.tear("--tear", "answer", "--command", "PAY")
    image, card = open_card(card_directory(shop.data))
    with PrivatePcscd() as stack, closing(image):
        stack.restart()
        with served(card, lambda: stack.connect_vpcd(0), gap_ms=vpcd.GAP_MS):
            command = shop.command("charge", "--amount", "321", "--reader", READERS[0], "--home", shop.home)
            library = "-Dsun.security.smartcardio.library=libpcsclite.so.1"
            environment = {**os.environ, **stack.environment()}
            done = subprocess.run(
                [command[0], library, *command[1:]],
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TAP THE SAME CARD AGAIN" in done.stdout
    assert "PAID 321 fen" in done.stdout
    shop.run("deposit", "--server", shop.server.url)
    assert credited(shop) == before + 321
