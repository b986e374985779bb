"""A card desk in process: a personalised card, the real server, and a line between them that fails when told to."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx

from hardware.driver import HardWallet
from hardware.loading import Intents, load_card
from hardware.operator_client import OperatorClient
from hardware.personalisation import personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from server.app import create_app
from support.cards import PIN, CardInHand, blank_card, make_world
from support.operator_world import TOKEN, Bank, World

AMOUNT = 50_000
URL = "http://operator.test"


class Line(httpx.BaseTransport):
    """HTTP into the application; the exchange number `fault[0]` (from 1) goes wrong in the way `fault[1]`."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.fault: tuple[int, str] | None = None
        self.calls: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        kind = self.fault[1] if self.fault and self.fault[0] == len(self.calls) else ""
        if kind == "lost":
            raise httpx.ConnectError("no route", request=request)
        if kind == "500":
            return httpx.Response(500, content=b"Internal Server Error", request=request)
        response = self.inner.handle_request(request)
        if kind == "unanswered":
            raise httpx.ReadTimeout("nothing came", request=request)
        if kind == "half":
            content = response.read()
            return httpx.Response(response.status_code, headers={}, content=content[: len(content) // 2])
        return response


class Desk:
    """A card desk: a personalised card, a server, a line between them."""

    def __init__(self, directory: Path, *, issued: int = 1_000_000) -> None:
        self.directory = directory
        self.bank = Bank(World.make(directory), issued=issued)
        app = create_app(self.bank.settings, self.bank.parts)
        self.line = Line(httpx.WSGITransport(app=app))
        self.server = OperatorClient(URL, TOKEN, transport=self.line)
        self.keys = itertools.count()
        self.intents = Intents(directory / "loads", lambda: f"key-{next(self.keys)}")
        self.hand: CardInHand = blank_card(make_world("desk"))
        self.personalise()

    @property
    def wallet(self) -> HardWallet:
        return self.hand.wallet

    def personalise(self) -> None:
        personalise(
            self.wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            self.server.certify,
            PIN,
        )

    def load(self, amount: int = AMOUNT) -> int:
        """Load as the command does; returns the balance after it."""
        self.hand.tap()
        return load_card(self.wallet, self.server, self.intents, amount).after.balance

    def is_clean(self, balance: int) -> bool:
        """Card, server and ledger agree on `balance`, and nothing is left open anywhere."""
        card = self.hand.tap().purse_id
        report = self.bank.ledger()
        shadow = report.facts()["card_shadows"].get(card.hex(), 0)
        facts = {
            "card": self.wallet.select().balance == balance,
            "shadow": shadow == balance,
            "conserved": report.conserved,
            "pending": not self.server.pending_loads(card),
            "open": not self.wallet.open_requests(),
            "intent": self.intents.open(card) is None,
        }
        assert all(facts.values()), facts
        return True

    def close(self) -> None:
        self.server.close()
        self.bank.parts.close()
