"""The card's process: what is missing is named, the control line does what it says, the image outlives the process."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.card_like import CardTorn
from hardware.data_objects import AID
from hardware.driver import HardWallet
from hardware.emulator.card import ATR, PlannedFaults
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.profiles import find_profile
from hardware.exchange import CardConnection
from hardware.javacard.card import JavaCard
from hardware.javacard.in_reader import (
    MEMORY_FILE,
    JavaCardImage,
    JavaCardTransport,
    create_card,
    has_card,
    memory_report,
)
from hardware.javacard.parts import JavaMissingError, command_line
from hardware.javacard.process import JavaCardProcess
from hardware.javacard.reader import LoopbackReader
from hardware.readers import open_transport
from hardware.taps import reader_spec
from hardware.transports.in_process import InProcessTransport
from support.cards import LOAD, SERIAL, make_world
from support.java_cards import JavaInHand, java_card
from wallet_core.errors import ConfigurationError, NoCardError, OutcomeUnknownError, ReaderBusyError, UsageError

SELECT = bytes((0x00, 0xA4, 0x04, 0x00, len(AID))) + AID + b"\x00"
CHALLENGE = bytes((0x80, 0x50, 0x01, 0x00, 0x08)) + bytes(8) + b"\x00"
VISITOR = find_profile("hk-visitor")


# What is missing


def test_no_java_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECNY_JAVA", "no-such-java")
    with pytest.raises(JavaMissingError) as caught:
        command_line()
    assert "default-jre-headless" in caught.value.next_step


def test_no_jar_names_the_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ECNY_CARD_JAR", str(tmp_path / "none.jar"))
    with pytest.raises(JavaMissingError) as caught:
        command_line()
    assert "make demo CARD=javacard" in caught.value.next_step


def test_a_card_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    image = tmp_path / MEMORY_FILE
    image.write_bytes(b"something else")
    with pytest.raises(NoCardError) as caught:
        JavaCardProcess(serial=SERIAL, image=image)
    assert "no card image" in caught.value.message
    with pytest.raises(UsageError):
        JavaCardProcess(serial=b"short")


def test_a_reader_without_a_card_gives_up() -> None:
    reader = LoopbackReader()
    with pytest.raises(NoCardError):
        reader.await_card(0.01)
    with pytest.raises(CardTorn):
        reader.transmit(SELECT)
    reader.power_off()
    reader.close()
    reader.close()


# The card and its control line


def test_the_control_line() -> None:
    with JavaCardProcess(serial=SERIAL, seed="control") as process:
        card = process.transport()
        assert card.atr == ATR
        assert card.transmit(SELECT)[-2:] == b"\x90\x00"
        blank = process.memory_hash()
        assert len(blank) == 32
        process.snapshot("blank")
        process.tear_before_answer(2)
        assert card.transmit(SELECT)[-2:] == b"\x90\x00"
        with pytest.raises(OutcomeUnknownError):
            card.transmit(SELECT)
        with pytest.raises(NoCardError):
            card.transmit(SELECT)
        card.reset()
        process.restore("blank")
        card.reset()
        assert process.memory_hash() == blank
        assert process.last_error() is None
        for what, value in (("restore", "none"), ("tear", {"at_write": 0}), ("tear", {"where": 1}), ("dance", True)):
            with pytest.raises(UsageError):
                process.request(what, value)
        card.close()


def test_a_seed_replays_a_card_and_none_does_not() -> None:
    def challenge(seed: str | None) -> bytes:
        with JavaCardProcess(serial=SERIAL, seed=seed) as process:
            card = process.transport()
            card.transmit(SELECT)
            return card.transmit(CHALLENGE)

    assert challenge("a") == challenge("a") != challenge(None)


def test_what_the_applet_takes_of_a_chip() -> None:
    """The figures that a card maker asks for, held: they grow by decision, not by accident."""
    world = make_world("java figures")
    with java_card(world, load=LOAD) as hand:
        hand.wallet.pay(world.till_request(hand.wallet.select(), 100).to_payload())
        report = hand.process.report()
        assert hand.process.last_error() is None
    assert report.allocations == 0
    assert report.persistent_bytes <= 12_288
    assert report.transient_reset_bytes + report.transient_deselect_bytes <= 2_048
    assert 0 < report.commit_high_water <= 256, "the smallest commit buffer of chips in use"
    assert str(report.persistent_bytes) in report.line


@pytest.fixture(scope="module")
def active() -> Iterator[JavaInHand]:
    with java_card(make_world("java plans")) as hand:
        hand.process.snapshot("active")
        yield hand


@pytest.mark.parametrize(
    ("plan", "asked"),
    [
        (FaultPlan(Tear.BEFORE, exchange=2), 0),
        (FaultPlan(Tear.ANSWER, exchange=2), 1),
        (FaultPlan(Tear.DURING, command="REQUEST", at=0), 0),
        (FaultPlan(Tear.AFTER_COMMIT, command="REQUEST"), 1),
    ],
)
def test_the_plans_of_the_emulator_tear_it_too(active: JavaInHand, plan: FaultPlan, asked: int) -> None:
    active.process.restore("active")
    card = JavaCard(active.process, PlannedFaults(plan))
    connection = CardConnection(InProcessTransport(card))
    torn = replace(active, connection=connection, wallet=HardWallet(connection))
    torn.wallet.select()
    with pytest.raises(OutcomeUnknownError):
        torn.load(100, n=1)
    assert card.torn_by == plan
    torn.tap()
    assert len(torn.wallet.open_requests()) == asked
    torn.load(100, n=1)
    assert torn.tap().balance == 100


# The card on disk


def test_a_card_of_a_directory_outlives_its_process(tmp_path: Path) -> None:
    directory = tmp_path / "card"
    assert not has_card(directory)
    create_card(directory, VISITOR, SERIAL, seed=7)
    assert has_card(directory)
    assert reader_spec("auto", tmp_path) == reader_spec("javacard", tmp_path) == f"javacard:{directory}"
    with pytest.raises(ConfigurationError):
        create_card(directory, VISITOR, SERIAL, seed=7)
    answers = []
    for _ in range(2):
        transport = open_transport(f"javacard:{directory}")
        assert isinstance(transport, JavaCardTransport)
        with pytest.raises(ReaderBusyError):
            JavaCardImage(directory)
        answers.append((transport.transmit(SELECT), transport.transmit(CHALLENGE)))
        transport.close()
        transport.close()
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] != answers[1][1], "another session of the same seed draws anew"
    report = memory_report(directory)
    assert report is not None
    assert report.allocations == 0


def test_a_killed_process_is_a_power_cut(tmp_path: Path) -> None:
    directory = tmp_path / "card"
    create_card(directory, VISITOR, SERIAL, seed=7)
    transport = JavaCardTransport(directory)
    before = transport.transmit(SELECT)
    os.kill(transport.card.process.pid, signal.SIGKILL)
    with pytest.raises(OutcomeUnknownError):
        transport.transmit(SELECT)
    transport.close()
    again = JavaCardTransport(directory)
    assert again.transmit(SELECT) == before
    again.close()


def test_no_production_card_and_no_card(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        create_card(tmp_path, find_profile("hk-visitor-production"), SERIAL, seed=1)
    with pytest.raises(UsageError):
        create_card(tmp_path, VISITOR, b"short", seed=1)
    with pytest.raises(NoCardError):
        JavaCardImage(tmp_path)
    (tmp_path / "javacard.json").write_text(json.dumps({"profile": "hk-visitor"}))
    with pytest.raises(ConfigurationError):
        JavaCardImage(tmp_path)
    assert memory_report(tmp_path) is None


def test_the_seed_is_in_no_list_of_processes() -> None:
    with JavaCardProcess(serial=SERIAL, seed="not to be seen") as process:
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"not to be seen" not in words
        assert process.pid != os.getpid()
