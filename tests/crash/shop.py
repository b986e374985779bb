"""A little world to be killed in: an operator with its server, a till, a card desk, cards; real processes all.

DATA/server/   the operator, as `ecny server install` leaves it
DATA/counter/  the till          DATA/desk/  the card desk          DATA/cards/N/  emulated cards
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from crash.books import Facts, Witnesses
from crash.forge import LONGEST_S, Child, Forge
from hardware.emulator.image import FLASH_FILE
from hardware.emulator.in_reader import create_card
from hardware.emulator.profiles import PROFILES
from server.keyring import ADMIN_TOKEN
from server.settings import system_clock
from support.operator_world import Site
from wallet_core.errors import ExitCode

PIN = "246810"
ISSUED = 100_000_000  # fen
TILL, SERVER, DESK = "till", "server", "desk"
Plants = Mapping[str, str]
"""For self-tests: what of `crash.plants` the processes of TILL or SERVER work with."""
NONE: Plants = {}
UNREACHABLE = int(ExitCode.SERVER_UNREACHABLE)
_PORTS = range(20_000, 32_000)  # below those that the system gives to others, so that the server comes back on its own


class ShopError(Exception):
    """A command ended as it never should, whatever was killed before."""


@dataclass
class Card:
    """An emulated card. `purse`: its id in hexadecimal, once it is personalised; `balance`: what was loaded."""

    directory: Path
    purse: str = ""
    balance: int = 0

    @property
    def reader(self) -> str:
        return f"emulator:{self.directory}"


class Shop:
    """The shop in `data`; a context manager, which ends its server. `port`: of the server, chosen unless given."""

    def __init__(self, forge: Forge, data: Path, *, port: int, workers: int = 0, plants: Plants = NONE) -> None:
        self.forge, self.data, self.port, self._workers, self._plants = forge, data, port, workers, plants
        self.counter, self.desk = data / "counter", data / "desk"
        self.pin, self.code = data / "pin", data / "code"
        self.token = data / "server" / ADMIN_TOKEN
        self.url = f"http://127.0.0.1:{port}"
        self.cards: list[Card] = []
        self.blank: list[Card] = []
        self.server: Child | None = None
        self._asked: dict[Path, tuple[bytes, Facts]] = {}  # memory of a card after it was asked, and its answer

    def furnish(self, rng: random.Random, *, blank: int) -> None:
        """What is there before the first process: the operator with its money, a merchant's code, `blank` cards."""
        site = Site(self.data, issued=ISSUED)
        with site.bank() as bank:
            self.code.write_text(bank.parts.tills.add_merchant("Luohu Tea House", system_clock()).code + "\n")
        self.pin.write_text(PIN + "\n")
        for directory in (self.counter, self.desk):
            directory.mkdir()
        for number in range(1, blank + 1):
            card = Card(self.data / "cards" / str(number))
            create_card(card.directory, PROFILES["hk-visitor"], number.to_bytes(8, "big"), rng.getrandbits(32))
            self.blank.append(card)

    def enrol(self) -> Child:
        return self.till("enrol", "--server", self.url, "--code-file", str(self.code))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.server is not None and self.server.code is None:
            self.server.kill()
            self.server.wait()

    # Processes ------------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """`ecny server run` on this shop's own port; it is ready when this returns."""
        words = ["server", "run", "--port", str(self.port), "--workers", str(self._workers)]
        server = self.forge.start(words, self.data, plant=self._plants.get(SERVER, ""))

        def ready() -> bool:
            if server.code is not None:
                raise ShopError(f"the server did not come up: {server.code} {server.err[-1000:]}")
            return server.out.endswith("\n")

        self.forge.until(ready, LONGEST_S, "the server's start", look_s=0.002)
        self.server = server

    def stop_server(self) -> None:
        """SIGTERM, as its operator stops it."""
        if self.server is not None:
            self.server.stop()
            self.must(self.server)

    def till_starts(self, *words: str) -> Child:
        return self.forge.start(["pos", *words], self.counter, plant=self._plants.get(TILL, ""))

    def till(self, *words: str) -> Child:
        child = self.till_starts(*words)
        child.wait()
        return child

    def desk_starts(self, card: Card, *words: str) -> Child:
        """`ecny card personalise`, `load` or `report` of this card."""
        token = [] if words[0] == "report" else ["--token-file", str(self.token)]
        place = ["--server", self.url, *token, "--reader", card.reader, "--json"]
        return self.forge.start(["card", *words, *place], self.desk)

    def must(self, child: Child) -> Child:
        if child.code:
            raise ShopError(f"`ecny {' '.join(child.words)}` ended with {child.code}: {child.err[-2000:]}")
        return child

    # Cards ----------------------------------------------------------------------------------------------------------

    def take_blank_card(self) -> Card:
        if not self.blank:
            raise ShopError("no blank cards are left")
        self.cards.append(self.blank.pop(0))
        return self.cards[-1]

    def has_intent(self, card: Card) -> bool:
        """Whether the desk has a load of this card under way."""
        return (self.desk / "loads" / f"{card.purse}.json").exists()

    def info(self, card: Card) -> Facts:
        facts: Facts = self.must(self.forge.run(["card", "info", "--reader", card.reader, "--json"], self.desk)).facts
        return facts

    # Books ----------------------------------------------------------------------------------------------------------

    def witnesses(self) -> Witnesses:
        """What cards, till and server say now; a server that is not ready to write says nothing."""
        self._must_be_ready()
        return Witnesses(
            cards=[self._card_facts(card) for card in self.cards if card.purse],
            sales=self.must(self.till("history", "--json")).facts["sales"],
            ledger=self.must(self.forge.run(["server", "ledger", "--json"], self.data)).facts,
        )

    def _must_be_ready(self) -> None:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_S)
        with contextlib.closing(line):
            line.request("GET", "/readyz")
            answer = line.getresponse()
            if answer.status != http.HTTPStatus.OK:
                raise ShopError(f"the server is not ready: {answer.read()!r}")

    def _card_facts(self, card: Card) -> Facts:
        """What the card says; one whose memory has not changed since it was asked says the same as then."""
        memory, facts = self._asked.get(card.directory, (b"", {}))
        if memory != (card.directory / FLASH_FILE).read_bytes():
            facts = self._ask_card(card)
            self._asked[card.directory] = (card.directory / FLASH_FILE).read_bytes(), facts
        return facts

    def _ask_card(self, card: Card) -> Facts:
        words = ["card", "vouchers", "--reader", card.reader, "--pin-file", str(self.pin), "--json"]
        vouchers = self.must(self.forge.run(words, self.desk)).facts["vouchers"]
        return {**self.info(card), "vouchers": vouchers}


def free_port() -> int:
    """Not from the seed: shops of one seed may be open at the same time."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ShopError("no free port")
