"""kill −9 of a real till process at every step of enrol, charge, resume, cancel, sync: nothing lost, nothing doubled.

The card is an emulated one on disk, the server a real HTTP server; the process ends itself at a named step, or is
killed from outside while it waits for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hardware.emulator.faults import FaultPlan, Tear, arm
from merchant_pos.sales import CANCELLED, SaleState
from support import tally
from support import till_steps as steps
from support.till_http import OperatorServer, operator_server
from support.till_process import KILLED, TillProcess
from support.tree import ROOT

MakeTill = Callable[..., TillProcess]


def finish(till: TillProcess) -> None:
    """What a cashier does after a crash: look, resume what is open, charge again what never began."""
    status = till.run("status", "--json")
    assert status.code == 0, status.err
    if status.facts["open"] is not None:
        assert till.run("resume").code == 0
    if not till.sales():
        assert till.run("charge", "68.00").code == 0


def count(till: TillProcess, server: OperatorServer | None = None, kills: int = 1) -> None:
    """Count the kills with the harm they did; with a server also what it credited."""
    harm = till.harm()
    if server is not None:
        paid = {sale.voucher_hash: sale.amount for sale in till.sales() if sale.state.is_paid}
        credited = server.operator.credited
        harm["lost"] += sum(key not in credited for key in paid)
        harm["doubled"] += sum(key not in paid or paid[key] != amount for key, amount in credited.items())
    tally.record("kills", kills, **harm)
    assert harm == {"lost": 0, "doubled": 0}


@pytest.mark.parametrize("step", steps.CHARGE)
def test_a_till_killed_while_it_charges(make_till: MakeTill, step: str) -> None:
    till = make_till()
    killed = till.run("charge", "68.00", crash_at=step)
    assert killed.code == KILLED
    assert ("PAID" in killed.out) is (step == "shown")
    finish(till)
    (sale,) = till.sales()
    assert sale.state is SaleState.PAID
    assert list(till.debits().values()) == [6_800]
    count(till)


@pytest.mark.parametrize("step", ["card-read", "answered", "verified", "paid"])
def test_a_till_killed_while_it_resumes(make_till: MakeTill, step: str) -> None:
    till = make_till()
    arm(till.data / "card", FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    assert till.run("charge", "68.00", crash_at="unknown").code == KILLED
    assert till.sales()[0].state is SaleState.UNKNOWN
    assert till.run("resume", crash_at=step).code == KILLED
    finish(till)
    assert [sale.state for sale in till.sales()] == [SaleState.PAID]
    count(till, kills=2)


def test_a_till_killed_when_the_card_has_refused(make_till: MakeTill) -> None:
    till = make_till()
    assert till.run("charge", "200.01", crash_at="refused").code == KILLED  # without the PIN that it wants
    assert [(sale.state, sale.reason) for sale in till.sales()] == [(SaleState.REFUSED, "PIN_REQUIRED")]
    assert till.debits() == {}
    assert till.run("charge", "68.00").code == 0
    count(till)


def test_a_till_killed_while_it_cancels(make_till: MakeTill) -> None:
    till = make_till()
    arm(till.data / "card", FaultPlan(Tear.BEFORE, command="PAY"))
    assert till.run("charge", "68.00", "--retap-seconds", "0").code == 8
    assert till.run("cancel", "--yes", crash_at="refused").code == KILLED
    (sale,) = till.sales()
    assert (sale.state, sale.reason) == (SaleState.REFUSED, CANCELLED)
    assert till.run("charge", "68.00").code == 0
    count(till)


@pytest.mark.parametrize("step", [*steps.SYNC, "settled:2"])
def test_a_till_killed_while_it_syncs(make_till: MakeTill, step: str) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        for _ in range(2):
            assert till.run("charge", "1.00").code == 0
        assert till.run("sync", "--batch-size", "1", crash_at=step).code == KILLED
        done = till.run("sync", "--batch-size", "1", "--json")
        assert done.code == 0, done.err
        assert [sale.state for sale in till.sales()] == [SaleState.SETTLED] * 2
        assert len({body for _, _, body in server.posts}) == 2
        count(till, server)


def test_a_till_killed_while_it_waits_for_the_answer(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        assert till.run("charge", "1.00").code == 0
        server.faults = ["hold"]
        process = till.start("sync")
        assert server.held.wait(20)
        process.kill()
        assert process.wait(20) == KILLED
        server.closing.set()
        assert till.run("sync").code == 0
        assert len({body for _, _, body in server.posts}) == 1
        count(till, server)


@pytest.mark.parametrize("step", ["key-saved", "enrolled"])
def test_a_till_killed_while_it_enrols(make_till: MakeTill, step: str) -> None:
    with operator_server() as server:
        till = make_till(None)
        words = ("enrol", "--server", server.url, "--code-file", "-")
        assert till.run(*words, stdin="ONE-TIME-CODE\n", crash_at=step).code == KILLED
        assert till.run("status").code == 10
        assert till.run(*words, stdin="ONE-TIME-CODE\n").code == 0
        assert len({body for _, _, body in server.posts}) == 1
        assert till.run("charge", "68.00").code == 0
        count(till)


def test_every_step_is_killed_at_and_documented() -> None:
    named: set[str] = set()
    for path in (ROOT / "merchant_pos").glob("*.py"):
        named |= set(re.findall(r"\b_?step\(\"([a-z-]+)\"\)", path.read_text(encoding="utf-8")))
    assert named == steps.ALL
    documented = (ROOT / "docs" / "spec" / "till.md").read_text(encoding="utf-8")
    assert not [step for step in named if f"`{step}`" not in documented]
