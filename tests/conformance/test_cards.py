"""The suite over right cards: emulator, applet, PC/SC; and what it does to cards that are not the laboratory's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest

from conformance.wrong_cards import WrongCard
from hardware.card_like import CardTorn
from hardware.conformance.lab import PIN, WRONG_PIN, Lab
from hardware.conformance.report import facts, junit, summary, to_json
from hardware.conformance.requirements import Stage, registered
from hardware.conformance.runner import Conclusion, Examination, Verdict, examine
from hardware.emulator.flash import Flash, Power
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.instructions import Ins
from hardware.javacard.process import JavaCardProcess
from hardware.pin import pin_block
from hardware.readers import open_transport
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.base import Transport
from hardware.transports.in_process import InProcessTransport
from support.cards import SERIAL, CardInHand, blank_card, make_world, personalised_card, record_of
from support.echo_card import CardInReader, EchoCard
from support.keys import certify, key
from support.pcscd import READERS, PrivatePcscd
from wallet_core.certificates import CertificateClass
from wallet_core.errors import ConfigurationError, UsageError, WrongAppletError

WORLD = make_world("conformance")
TESTABLE = [one for one in registered() if one.check]
OTHER_BATCH = bytes(range(32))


def run(transport: Transport, *only: str, destructive: bool = False) -> Examination:
    return examine(transport, random=Random(3).randbytes, only=only, destructive=destructive)


def verdicts(found: Examination, verdict: Verdict) -> dict[str, str]:
    return {one.requirement.id: one.why for one in found.findings if one.verdict is verdict}


@cache
def green(profile: str) -> Examination:
    """The whole suite over an emulated card."""
    return run(blank_card(WORLD, profile=profile).transport, destructive=True)


@pytest.mark.parametrize(("profile", "gates"), [("hk-visitor", 0), ("merchant-sam", 3)])
def test_the_emulator_is_green_on_every_testable_requirement(profile: str, gates: int) -> None:
    """But for card to card, which a merchant's purse does not have."""
    found = green(profile)
    assert not verdicts(found, Verdict.FAILED)
    assert found.count(Verdict.PASSED) == len(TESTABLE) - gates
    assert found.count(Verdict.NOT_APPLICABLE) == gates
    assert found.count(Verdict.UNTESTABLE) == len(registered()) - len(TESTABLE)
    assert (found.conclusion, found.begun, found.ended) == (Conclusion.CONFORMS, "blank", "terminated")


@pytest.mark.xdist_group("javacard")
def test_the_java_card_applet_is_green_on_every_testable_requirement() -> None:
    with JavaCardProcess(seed="conformance") as card:
        found = run(card.transport(), destructive=True)
        figures = card.report()
    assert not verdicts(found, Verdict.FAILED)
    assert found.count(Verdict.PASSED) == len(TESTABLE)
    assert found.ended == "terminated"
    assert figures.allocations == 0


@pytest.mark.pcsc
def test_it_runs_over_pcsc() -> None:
    """Cold resets through the reader; the card stays active."""
    hand = blank_card(WORLD)
    hand.connection.close()
    with PrivatePcscd() as stack, CardInReader(hand.card, stack):
        transport = open_transport(READERS[0], wait_ms=10_000)
        try:
            found = run(transport)
        finally:
            transport.close()
    assert not verdicts(found, Verdict.FAILED)
    assert found.ended == "active"


def test_a_card_of_the_laboratory_is_examined_again() -> None:
    """It is active and stays so; what ends a card was not tried, what a blank card shows cannot be."""
    hand = blank_card(WORLD)
    first = run(hand.transport, "PAY", "LIF")
    assert (first.conclusion, first.begun, first.ended) == (Conclusion.NO_FAULT, "blank", "active")
    assert set(verdicts(first, Verdict.NOT_TRIED)) == {one.id for one in TESTABLE if one.stage is Stage.CLOSING}
    again = run(hand.transport)
    assert (again.conclusion, again.begun, again.ended) == (Conclusion.NO_FAULT, "active", "active")
    other = {one.id for one in TESTABLE if one.stage not in (Stage.READING, Stage.ACTIVE)}
    assert set(verdicts(again, Verdict.NOT_TRIED)) == other
    assert record_of(hand).purse.pin_tries == 3


def test_a_run_that_was_broken_off_is_finished_by_the_next() -> None:
    """Personalisation was begun; the checks that need a fresh card say so, and nothing fails."""
    hand = blank_card(WORLD)
    assert run(hand.transport, "PER-05", "PER-06").ended == "blank"
    found = run(hand.transport, "DAT", "PER", "SCP")
    assert not verdicts(found, Verdict.FAILED)
    assert set(verdicts(found, Verdict.NOT_TRIED)) == {"ECNY-DAT-01", "ECNY-PER-03", "ECNY-PER-04"}


def test_a_terminated_card_is_only_looked_at() -> None:
    hand = blank_card(WORLD)
    run(hand.transport, "LIF", destructive=True)
    found = run(hand.transport, destructive=True)
    assert not verdicts(found, Verdict.FAILED)
    assert set(verdicts(found, Verdict.PASSED)) == {one.id for one in TESTABLE if one.stage is Stage.READING}


@pytest.fixture
def foreign() -> CardInHand:
    return personalised_card(WORLD, load=5_000)


def test_the_card_of_another_authority_is_only_looked_at(foreign: CardInHand) -> None:
    before = record_of(foreign)
    found = run(foreign.transport)
    assert record_of(foreign) == before
    assert found.conclusion is Conclusion.NO_FAULT
    assert set(verdicts(found, Verdict.PASSED)) == {one.id for one in TESTABLE if one.stage is Stage.READING}
    assert "another authority" in verdicts(found, Verdict.NOT_TRIED)["ECNY-PAY-01"]


def test_nothing_destructive_is_done_to_the_card_of_another_authority(foreign: CardInHand) -> None:
    before = record_of(foreign)
    with pytest.raises(ConfigurationError, match="wants a card of the laboratory"):
        run(foreign.transport, destructive=True)
    foreign.wallet.select()
    assert record_of(foreign) == before


class Counting:
    """A transport that notes each instruction, and may answer GET DATA of the trust anchor itself."""

    def __init__(self, inner: Transport, anchor: bytes = b"") -> None:
        self._inner, self._anchor = inner, anchor
        self.seen: list[int] = []
        self.name, self.atr = inner.name, inner.atr

    def transmit(self, command: bytes) -> bytes:
        self.seen.append(command[1])
        asked = command[1:4] == bytes.fromhex("CA7F23")
        return self._anchor + b"\x90\x00" if asked and self._anchor else self._inner.transmit(command)

    def reset(self) -> None:
        self._inner.reset()

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("destructive", [False, True])
def test_a_production_card_is_refused_after_a_look(foreign: CardInHand, destructive: bool) -> None:
    anchor = certify(key("authority"), key("authority"), CertificateClass.AUTHORITY, test=False).to_bytes()
    reader = Counting(foreign.transport, anchor)
    with pytest.raises(ConfigurationError, match="production card"):
        run(reader, destructive=destructive)
    assert set(reader.seen) == {Ins.SELECT, Ins.GET_DATA}


def test_a_blank_card_under_other_transport_keys_is_refused() -> None:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    manufacture(flash, PROFILES["hk-visitor-production"], SERIAL, OTHER_BATCH)
    reader = Counting(InProcessTransport(WrongCard(flash, seeded(1))))
    with pytest.raises(ConfigurationError, match="published transport keys"):
        run(reader)
    assert set(reader.seen) == {Ins.SELECT, Ins.GET_DATA, Ins.INITIALIZE_UPDATE}


def test_a_card_without_the_purse() -> None:
    with pytest.raises(WrongAppletError):
        run(InProcessTransport(EchoCard()))


class Silent(WrongCard):
    """Tears at every REVERSE."""

    requirement = "none: no card answers so, it loses its power"

    def transmit(self, command: bytes) -> bytes:
        if command[1] == Ins.REVERSE:
            self.power_off()
            raise CardTorn("torn")
        return super().transmit(command)


def test_a_card_that_falls_silent_fails_there_and_is_examined_further() -> None:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    manufacture(flash, PROFILES["hk-visitor"], SERIAL)
    found = run(InProcessTransport(Silent(flash, seeded(1))), "REV", "GRA", "ATM-05")
    red = verdicts(found, Verdict.FAILED)
    assert set(red) == {*(f"ECNY-REV-0{number}" for number in range(1, 7)), "ECNY-ATM-05"}
    assert all("no answer" in why for why in red.values())


class Dead(Silent):
    """And does not come back."""

    dead = False

    def power_on(self, power: Power | None = None) -> bytes:
        if self.dead:
            raise CardTorn("dead")
        return super().power_on(power)

    def power_off(self) -> None:
        self.dead = self.dead or getattr(self, "silent", False)
        super().power_off()

    def transmit(self, command: bytes) -> bytes:
        self.silent = command[1] == Ins.REVERSE
        return super().transmit(command)


def test_of_a_card_that_dies_the_findings_so_far_are_reported() -> None:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    manufacture(flash, PROFILES["hk-visitor"], SERIAL)
    found = run(InProcessTransport(Dead(flash, seeded(1))), "ACK", "REV", "GRA", "LIF", destructive=True)
    assert set(verdicts(found, Verdict.FAILED)) == {"ECNY-REV-01"}
    assert found.count(Verdict.PASSED) == 12
    assert "has not come back" in verdicts(found, Verdict.NOT_TRIED)["ECNY-GRA-01"]
    assert (found.conclusion, found.ended) == (Conclusion.DOES_NOT_CONFORM, "unknown")


def test_only_what_was_asked_for_is_tried() -> None:
    found = run(blank_card(WORLD).transport, "ECNY-PAY-04", "sel")
    assert {one.requirement.id for one in found.findings} == {
        "ECNY-PAY-04",
        *(one.id for one in registered() if one.id.startswith("ECNY-SEL-")),
    }
    assert run(personalised_card(WORLD).transport, "PAY").conclusion is Conclusion.NOTHING_TRIED
    with pytest.raises(UsageError, match="ECNY-PAY-99"):
        run(blank_card(WORLD).transport, "ECNY-PAY-99")


def _secrets() -> Iterator[bytes]:
    """Everything that a report must not show, as a card was given it."""
    lab, keys = Lab(), transport_keys(TEST_BATCH_KEY, SERIAL, production=False)
    yield from (pin_block(PIN), pin_block(WRONG_PIN), pin_block("1111"), lab.audit_key(SERIAL), keys.enc, keys.mac)
    yield from (party.key.to_scalar() for party in (lab.authority, lab.operator, lab.sam, lab.till))


def test_no_report_shows_a_pin_or_a_key() -> None:
    found = green("hk-visitor")
    shown = b"".join((to_json(found), junit(found), summary(found).encode(), str(facts(found)).encode())).lower()
    for secret in _secrets():
        assert secret.hex().encode() not in shown
    for digits in (PIN, WRONG_PIN):
        assert f'"{digits}"'.encode() not in shown
    assert b"bytes hidden" in shown
