"""kill −9 of a real till process at every step of a sale to the SAM, a refund, their cancelling and their evidence.

Card and SAM are emulated ones on disk. Whatever the step: what the two hold together is what there was, one sale is
PAID, one refund REFUNDED, and nothing is left open.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.emulator.faults import FaultPlan, Tear, arm
from merchant_pos.sales import CANCELLED
from merchant_pos.transfers import Kind, Told, TransferState
from support import tally
from support import till_steps as steps
from support.till import LOADED, revocation_list
from support.till_http import operator_server
from support.till_process import KILLED, TillProcess
from wallet_core.messages import RevocationReason

MakeTill = Callable[..., TillProcess]
SAID = ("shown", "acknowledged")
# No card has been asked, or all is over. What the server has not been told is never green.
NOT_ASKED = ("sam-read", "card-read", "before-asking", "asking", "requested")


@pytest.fixture
def till(make_till: MakeTill) -> TillProcess:
    made = make_till()
    made.add_sam()
    return made


def paid(till: TillProcess, kind: Kind) -> list[int]:
    return [one.amount for one in till.transfers() if one.kind is kind and one.state is TransferState.PAID]


def count(till: TillProcess, card: int, sam: int) -> None:
    """Count the kill with the harm it did; `card`, `sam`: fen that each must hold."""
    (of_card, open_at_card), (of_sam, open_at_sam) = till.held_by("card"), till.held_by("sam")
    short = LOADED - of_card - of_sam
    tally.record("kills", 1, lost=int(short > 0), doubled=int(short < 0))
    assert (of_card, of_sam) == (card, sam)
    assert (open_at_card, open_at_sam) == (0, 0)


@pytest.mark.parametrize("step", steps.TRANSFER)
def test_a_till_killed_while_the_sam_is_paid(till: TillProcess, step: str) -> None:
    killed = till.run("charge", "68.00", *till.sam_reader, crash_at=step)
    assert killed.code == KILLED
    assert ("PAID" in killed.out) is (step in SAID)
    assert till.run("status", "--json").facts["green"] is (step in NOT_ASKED)
    assert till.run("resume", *till.sam_reader).code == 0
    if not paid(till, Kind.SALE):
        assert till.run("charge", "68.00", *till.sam_reader).code == 0
    assert paid(till, Kind.SALE) == [6_800]
    count(till, LOADED - 6_800, 6_800)


@pytest.mark.parametrize("step", ["sam-read", "card-read", "answered", "verified", "held", "collected", "paid"])
def test_a_till_killed_while_it_resumes_with_the_sam(till: TillProcess, step: str) -> None:
    arm(till.data / "card", FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    assert till.run("charge", "68.00", *till.sam_reader, crash_at="unknown").code == KILLED
    assert till.run("resume", *till.sam_reader, crash_at=step).code == KILLED
    assert till.run("resume", *till.sam_reader).code == 0
    assert paid(till, Kind.SALE) == [6_800]
    count(till, LOADED - 6_800, 6_800)


@pytest.mark.parametrize("step", steps.TRANSFER)
def test_a_till_killed_while_the_sam_refunds(till: TillProcess, step: str) -> None:
    """A part of the sale, so that a second refund would be possible: running the command again must not make one."""
    assert till.run("charge", "68.00", *till.sam_reader).code == 0
    killed = till.run("refund", "1", "10.00", *till.sam_reader, crash_at=step)
    assert killed.code == KILLED
    assert ("REFUNDED" in killed.out) is (step in SAID)
    if step != "acknowledged":
        again = till.run("refund", "1", "10.00", *till.sam_reader)
        assert (again.code, again.lines[-1].startswith("REFUNDED")) == (0, True), again.err
    assert paid(till, Kind.REFUND) == [1_000]
    count(till, LOADED - 5_800, 5_800)


@pytest.mark.parametrize("kind", ["sale", "refund"])
def test_a_till_killed_while_it_cancels(till: TillProcess, kind: str) -> None:
    words = ("charge", "68.00") if kind == "sale" else ("refund", "1")
    if kind == "refund":
        assert till.run("charge", "68.00", *till.sam_reader).code == 0
    torn = "card" if kind == "sale" else "sam"
    arm(till.data / torn, FaultPlan(Tear.AFTER_COMMIT, ins=0x32))
    assert till.run(*words, *till.sam_reader, "--retap-seconds", "0").code == 8
    killed = till.run("cancel", "--yes", *till.sam_reader, crash_at="refused")
    assert killed.code == KILLED
    last = till.transfers()[-1]
    assert (last.state, last.reason) == (TransferState.REFUSED, CANCELLED)
    assert till.run("charge", "1.00", *till.sam_reader).code == 0  # both are here: the payer hears of the Refusal
    before = 6_800 if kind == "refund" else 0
    count(till, LOADED - before - 100, before + 100)


def test_a_till_killed_when_the_sam_has_refused_for_the_card(till: TillProcess) -> None:
    assert till.run("charge", "200.01", *till.sam_reader, crash_at="refused").code == KILLED  # without its PIN
    assert [(one.state, one.reason) for one in till.transfers()] == [(TransferState.REFUSED, "PIN_REQUIRED")]
    assert till.run("charge", "68.00", *till.sam_reader).code == 0
    count(till, LOADED - 6_800, 6_800)


@pytest.mark.parametrize("step", steps.UPKEEP)
def test_a_till_killed_while_it_tells_the_server(make_till: MakeTill, step: str) -> None:
    with operator_server() as server:
        server.revocations = revocation_list({bytes(32): RevocationReason.FROZEN}, serial=7).to_bytes()
        till = make_till(server.url)
        till.add_sam()
        assert till.run("charge", "68.00", *till.sam_reader).code == 0
        assert till.run("sync", crash_at=step).code == KILLED
        done = till.run("sync", "--json")
        assert (done.code, done.facts["revocation_list"]) == (0, 7)
        (one,) = till.transfers()
        assert one.told is Told.ALL
        assert {one.voucher, one.receipt} == set(server.evidence)
        assert till.run("status", "--json").facts["green"]
        count(till, LOADED - 6_800, 6_800)
