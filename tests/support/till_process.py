"""A real till: the `ecny pos` process over an emulated card on disk, which a test may kill at any step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hardware.driver import HardWallet
from hardware.emulator.in_reader import ImageTransport, create_card
from hardware.emulator.profiles import PROFILES
from hardware.exchange import CardConnection
from hardware.personalisation import personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from merchant_pos.cli import CRASH_VARIABLE
from merchant_pos.identity import JOURNAL_FILE, load_identity
from merchant_pos.journal import Journal
from merchant_pos.sales import Sale
from merchant_pos.transfers import Transfer
from support.keys import OPERATOR_PURSE
from support.sam_till import SAM_POLICY, WORLD
from support.till import LOADED, PIN, save_identity
from support.till_zygote import Zygote
from wallet_core.messages import Voucher, parse

ECNY = Path(sys.executable).with_name("ecny")
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class TillProcess:
    """Data directory with a card of RMB 500.00 in `card/` and, with `server`, an enrolled till in `till/`."""

    def __init__(self, data: Path, zygote: Zygote, server: str | None) -> None:
        self.data = data
        self._zygote = zygote
        make_card(data / "card", 1)
        if server is not None:
            save_identity(data / "till", server)
        self.pin_file = data / "pin"
        self.pin_file.write_text(PIN + "\n")

    def run(self, *words: str, crash_at: str = "", max_file: int | None = None, stdin: str = "", **more: str) -> Done:
        """`ecny pos …` to its end. `crash_at`: the step at which it kills itself; `max_file`: bytes a file may have;
        `more`: further environment variables."""
        files = {name: self.data / name for name in ("in", "out", "err")}
        for name, file in files.items():
            file.write_text(stdin if name == "in" else "")
        code = self._zygote.run(["pos", *words], self.environment(crash_at) | more, self.data, max_file)
        return Done(code, files["out"].read_text(), files["err"].read_text())

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [ECNY, "pos", *words], env=self.environment(""), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def environment(self, crash_at: str) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ECNY_")}
        environment |= {"ECNY_HOME": str(self.data), "ECNY_READERS": "virtual-only"}
        return environment | ({CRASH_VARIABLE: crash_at} if crash_at else {})

    def sales(self) -> list[Sale]:
        identity = load_identity(self.data / "till")
        journal = Journal(self.data / "till" / JOURNAL_FILE, till=identity.id, now_ms=lambda: 0)
        try:
            return journal.sales()
        finally:
            journal.close()

    def debits(self) -> dict[bytes, int]:
        """H(Request) → fen, of every voucher that the card holds."""
        with_card = open_wallet(self.data / "card")
        try:
            total = LOADED - with_card.select().balance
            with_card.verify_pin(PIN)
            vouchers = [parse(Voucher, body).message for body in with_card.vouchers()] if total else []
        finally:
            with_card.close()
        found = {voucher.request_hash: voucher.amount for voucher in vouchers}
        if len(found) != len(vouchers) or sum(found.values()) != total:
            raise AssertionError("the card's vouchers and its balance disagree")
        return found

    # With the merchant's SAM in a second reader ----------------------------------------------------------------------

    def add_sam(self) -> None:
        """An empty SAM in `sam/`; name it with `sam_reader`."""
        make_card(self.data / "sam", 100, profile="merchant-sam", load=0, policy=SAM_POLICY)

    @property
    def sam_reader(self) -> tuple[str, str]:
        return "--sam", f"emulator:{self.data / 'sam'}"

    def transfers(self) -> list[Transfer]:
        identity = load_identity(self.data / "till")
        journal = Journal(self.data / "till" / JOURNAL_FILE, till=identity.id, now_ms=lambda: 0)
        try:
            return journal.transfers()
        finally:
            journal.close()

    def held_by(self, name: str) -> tuple[int, int]:
        """Of the purse in `name`/: its balance (fen), and how many of its Requests are open."""
        wallet = open_wallet(self.data / name)
        try:
            return wallet.select().balance, len(wallet.open_requests())
        finally:
            wallet.close()

    def harm(self) -> dict[str, int]:
        """What must stay 0 once every sale is finished. lost: debits of the card that no paid sale of the till answers;
        doubled: sales that are paid without a debit of their own and of their amount."""
        debits = self.debits()
        paid = {sale.request.hash: sale.amount for sale in self.sales() if sale.state.is_paid}
        lost = [key for key in debits if key not in paid]
        doubled = [key for key, amount in paid.items() if debits.get(key) != amount]
        return {"lost": len(lost), "doubled": len(doubled)}


def make_card(
    directory: Path,
    number: int,
    *,
    profile: str = "hk-visitor",
    load: int = LOADED,
    policy: Mapping[str, Any] = MappingProxyType({}),
) -> bytes:
    """A personalised card of support.keys' operator, with `load` fen on it and `policy` changes; its id."""
    create_card(directory, PROFILES[profile], number.to_bytes(8, "big"), number)
    changes = {"purse_class": PROFILES[profile].subject_class} | dict(policy)
    wallet = open_wallet(directory)
    try:
        wallet.select()
        personalise(
            wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            WORLD.digest("challenge")[:8],
            lambda serial, request: WORLD.papers(serial, request, **changes),
            PIN,
        )
        if load:
            request = wallet.request(OPERATOR_PURSE.id, 1, number, load, WORLD.digest("load"))
            wallet.collect(*WORLD.voucher_for(request))
        return wallet.select().purse_id
    finally:
        wallet.close()


def open_wallet(directory: Path) -> HardWallet:
    wallet = HardWallet(CardConnection(ImageTransport(directory)))
    wallet.select()
    return wallet
