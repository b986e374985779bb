"""kill -9 at every step of a refund, a till declared dead, a review that is paid: asked again, each counts once."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import tally
from support.enrolled import enrol, pays_till, report
from support.keys import certify, key
from support.operator_world import TOKEN, Bank, CardDouble, Site
from support.server_process import ServerProcess
from wallet_core.certificates import CertificateClass
from wallet_core.messages import Voucher, parse
from wallet_core.purse.state import Lifecycle

OPERATOR_CALL = {"Authorization": f"Bearer {TOKEN}"}
STEPS = ("refund.written", "refund.committed", "dead.written", "dead.committed", "review.written", "review.committed")
DURABLE = [step for step in STEPS if step.endswith("committed")]


def blocked_card(bank: Bank, name: str) -> str:
    """One that has 700 fen and whose report says that it never pays again; the address that refunds it."""
    card = enrol(bank, name, loaded=700)
    card.state = replace(card.state, lifecycle=Lifecycle.BLOCKED)
    report(bank, card)
    return f"/v1/cards/{card.id.hex()}/refund"


def lost_till(bank: Bank, name: str) -> str:
    """One for which a card's report has brought 700 fen; the address that declares it dead."""
    card, till = enrol(bank, name, loaded=700), bank.till(name)
    pays_till(card, till, 700)
    report(bank, card)
    return f"/v1/tills/{till.id.hex()}/dead"


def waiting_voucher(bank: Bank, name: str) -> str:
    """700 fen of a card about which nothing is proved; the address that pays them."""
    own = key(name)
    card = CardDouble(own, certify(bank.world.operator, own, CertificateClass.HARD_WALLET), bytes(8), bytes(16))
    till = bank.till(name)
    voucher = card.voucher(till, 700)
    bank.settle(till.batch([voucher], certificates=[card.certificate.to_bytes()]))
    return f"/v1/reviews/{parse(Voucher, voucher).hash.hex()}/pay"


MAKERS = {"refund": blocked_card, "dead": lost_till, "review": waiting_voucher}


def ask(server: ServerProcess, address: str) -> httpx.Response:
    return server.http.post(address, json={}, headers=OPERATOR_CALL)


def moved(site: Site) -> dict[str, Any]:
    """Fen that left cards for their holders, that merchants have, and that the operator has lost."""
    books = site.ledger()
    assert books.faults == ()
    return {"redeemed": books.redeemed, "wallets": books.wallets, "loss": books.loss}


def test_at_every_step_at_the_desk(tmp_path: Path) -> None:
    site, done, lost, doubled = Site(tmp_path), {"redeemed": 0, "wallets": 0, "loss": 0}, 0, 0
    with site.bank() as bank:
        addresses = {step: MAKERS[step.partition(".")[0]](bank, step) for step in STEPS}
    for step, address in addresses.items():
        with ServerProcess(site.data, site.data / "log", crash_at=step, arguments=("--workers", "0")) as server:
            with pytest.raises(httpx.TransportError):
                ask(server, address)
            assert server.wait() == -signal.SIGKILL
        found, kind = moved(site), step.partition(".")[0]
        if step in DURABLE:
            for account in {"refund": ["redeemed"], "dead": ["wallets"], "review": ["wallets", "loss"]}[kind]:
                done[account] += 700
        lost += any(found[account] < done[account] for account in done)
        doubled += any(found[account] > done[account] for account in done)
    with ServerProcess(site.data, site.data / "log", arguments=("--workers", "0")) as server:
        for _ in range(2):
            answers = {step: ask(server, address) for step, address in addresses.items()}
    gone = {step for step, answer in answers.items() if answer.status_code == httpx.codes.NOT_FOUND}
    assert gone == {"review.written", "review.committed"}  # it waits no more
    assert moved(site) == {"redeemed": 1_400, "wallets": 2_800, "loss": 1_400}
    tally.record("kills", len(STEPS), lost=lost, doubled=doubled)
    assert (lost, doubled) == (0, 0)
