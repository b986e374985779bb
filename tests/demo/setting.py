"""The set-up that every story starts from: authority, operator, merchant, till, card. Test money only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo.processes import Ecny, Server

PIN = "246810"


@dataclass(frozen=True)
class Setting:
    """Where things are in the data directory."""

    data: Path

    @property
    def operator_request(self) -> Path:
        return self.data / "server" / "operator.request"

    @property
    def operator_certificate(self) -> Path:
        return self.data / "authority" / "operator.cert"

    @property
    def authority_certificate(self) -> Path:
        return self.data / "authority" / "authority.cert"

    @property
    def issuance(self) -> Path:
        return self.data / "authority" / "issuance.cose"

    @property
    def token(self) -> Path:
        return self.data / "server" / "admin.token"

    @property
    def address(self) -> Path:
        return self.data / "server" / "address"

    @property
    def code(self) -> Path:
        return self.data / "till-code"

    @property
    def pin(self) -> Path:
        return self.data / "pin"

    def write_pin(self) -> None:
        self.pin.touch(mode=0o600)
        self.pin.write_text(PIN + "\n")


def certify_operator(ecny: Ecny, setting: Setting, amount: int, suite: str = "es256") -> None:
    """The authority certifies the operator and issues `amount` fen into the operator's purse; all of it in `suite`."""
    chosen = () if suite == "es256" else ("--suite", suite)
    ecny.run("authority", "init", *chosen)
    ecny.run("server", "init", *chosen)
    ecny.run("authority", "certify", "--request", setting.operator_request, "--out", setting.operator_certificate)
    ecny.run(
        "server", "install", "--certificate", setting.operator_certificate, "--authority", setting.authority_certificate
    )
    purse = ecny.ask("server", "ledger")["operator_purse_ids"][0]
    ecny.run("authority", "issue", "--to", purse, "--amount", str(amount), "--out", setting.issuance)
    ecny.run("server", "issuance", setting.issuance)


def enrol_till(ecny: Ecny, setting: Setting, server: Server) -> None:
    """The operator signs a merchant up; the till enrols with a one-time code."""
    ecny.run("server", "merchant", "add", "Luohu Tea House", "--code-out", setting.code)
    ecny.run("pos", "enrol", "--server", server.url, "--code-file", setting.code)


def personalise_card(ecny: Ecny, setting: Setting, server: Server) -> None:
    """The card makes its own key; the operator certifies it; certificate, policy and PIN go in."""
    ecny.run("card", "personalise", "--server", server.url, "--token-file", setting.token, "--pin-file", setting.pin)


def load_card(ecny: Ecny, setting: Setting, server: Server, amount: int) -> None:
    ecny.run("card", "load", str(amount), "--server", server.url, "--token-file", setting.token)
