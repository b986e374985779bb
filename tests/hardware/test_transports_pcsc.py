"""The real stack: a private pcscd, vpcd and a card; what other programs see, and what happens when any of them goes."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hardware.apdu import CommandApdu
from hardware.emulator.vpcd import EventKind
from hardware.exchange import CardConnection, expect
from hardware.readers import open_transport
from hardware.transports.card_wait import ReaderWatch
from hardware.transports.pcsc import PcscTransport, list_readers
from support.echo_card import ATR, ATR_T0, COUNT, IS_SELECTED, SELECT, EchoCard, InReader, echo, echo_long
from support.pcscd import READERS, PrivatePcscd, claim_socket
from support.tree import ROOT
from wallet_core.errors import (
    ConfigurationError,
    NoCardError,
    NoReaderError,
    NoServiceError,
    OutcomeUnknownError,
    ReaderBusyError,
)

pytestmark = pytest.mark.pcsc
FIRST, SECOND = READERS
PATIENCE_MS = 10_000


@pytest.fixture(scope="module")
def stack() -> Iterator[PrivatePcscd]:
    with PrivatePcscd() as running:
        yield running


@pytest.fixture
def watch() -> Iterator[ReaderWatch]:
    with ReaderWatch(FIRST) as looking:
        yield looking


@pytest.fixture
def inside(stack: PrivatePcscd, watch: ReaderWatch) -> Iterator[InReader]:
    """A card in the first reader, seen by pcscd; pcscd is restarted before, so nothing of another test is left."""
    stack.restart()
    with InReader(EchoCard(), stack) as card_in_reader:
        watch.wait_for_card(PATIENCE_MS)
        yield card_in_reader


def test_the_readers_and_their_cards(stack: PrivatePcscd, inside: InReader) -> None:
    first, second = list_readers()
    assert (first.name, first.has_card, first.atr) == (FIRST, True, ATR)
    assert (second.name, second.has_card, second.atr) == (SECOND, False, b"")
    # Without namespaces the one service of the machine is ours already, and a second one cannot be had.
    taken = "namespaces are not allowed here, and another pcscd is running"
    assert stack.missing() == (None if stack.is_private else taken)


def test_other_programs_see_the_card(stack: PrivatePcscd, inside: InReader) -> None:
    told = subprocess.run(["opensc-tool", "-a"], env=stack.environment(), capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ATR.hex(":")
    scan = subprocess.Popen(["pcsc_scan", "-n"], env=stack.environment(), stdout=subprocess.PIPE, text=True)
    seen = ""
    if scan.stdout is not None:
        with scan.stdout as lines:
            while ATR.hex(" ").upper() not in seen and (line := lines.readline()):
                seen += line
            scan.terminate()
    scan.wait(10)
    assert FIRST in seen
    assert "Card inserted" in seen
    assert f"ATR: {ATR.hex(' ').upper()}" in seen


def test_two_cards_in_two_readers(stack: PrivatePcscd, inside: InReader) -> None:
    with InReader(EchoCard(ATR_T0), stack, slot=1), ReaderWatch(SECOND) as second:
        assert second.wait_for_card(PATIENCE_MS) == ATR_T0
        one, other = PcscTransport(FIRST), PcscTransport(SECOND)
        one.transmit(SELECT.to_bytes())
        assert one.transmit(IS_SELECTED.to_bytes()) == b"\x01\x90\x00"
        assert other.transmit(IS_SELECTED.to_bytes()) == b"\x00\x90\x00"
        # T=0 carries no Le after data: the card is not asked for its answer, and gives it all the same here.
        assert other.transmit(echo(b"T=0", ne=3).to_bytes()) == b"T=0\x90\x00"
        one.close()
        other.close()
    second_card_s = inside.card.commands
    assert second_card_s == [SELECT.to_bytes(), IS_SELECTED.to_bytes()]


def test_a_card_is_held_exclusively_and_the_other_program_is_told_at_once(inside: InReader) -> None:
    transport = PcscTransport(FIRST)
    with pytest.raises(ReaderBusyError):
        PcscTransport(FIRST)
    assert list_readers()[0].in_use
    transport.close()
    PcscTransport(FIRST).close()


def test_closing_takes_the_power_away(inside: InReader) -> None:
    transport = PcscTransport(FIRST)
    transport.transmit(SELECT.to_bytes())
    transport.close()
    transport = PcscTransport(FIRST)
    assert transport.transmit(IS_SELECTED.to_bytes()) == b"\x00\x90\x00"
    transport.close()


def test_an_exchange_takes_less_than_a_millisecond(inside: InReader) -> None:
    # 0.1 ms as a rule; a delayed acknowledgement anywhere makes it 40.
    transport = PcscTransport(FIRST)
    command, took = echo(bytes(138)).to_bytes(), []
    for _ in range(200):
        started = time.perf_counter()
        transport.transmit(command)
        took.append(time.perf_counter() - started)
    transport.close()
    assert statistics.median(took) < 0.005


def a_tap(connection: CardConnection) -> bytes:
    """Four exchanges, as a payment has: SELECT, a command, the rest of its answer, one more."""
    connection.send(SELECT)
    rest = expect(connection.send(echo_long(b"voucher", ne=16)))
    return rest + expect(connection.send(COUNT))


@pytest.mark.parametrize("exchange", [1, 2, 3, 4])
def test_the_card_is_taken_away_at_each_exchange(exchange: int, inside: InReader, watch: ReaderWatch) -> None:
    connection = CardConnection(PcscTransport(FIRST))
    inside.card.tear_at(exchange, after_work=exchange % 2 == 0)
    with pytest.raises(OutcomeUnknownError):
        a_tap(connection)
    with pytest.raises(NoCardError):
        connection.send(COUNT)
    inside.wait_for(EventKind.TORN)
    assert watch.wait_for_removal(PATIENCE_MS)
    inside.remote.insert()
    watch.wait_for_card(PATIENCE_MS)
    connection.reset()
    assert a_tap(connection) == b"voucher" + (2 if exchange == 4 else 1).to_bytes(4, "big")
    connection.close()


def test_tap_again(inside: InReader, stack: PrivatePcscd, watch: ReaderWatch) -> None:
    # What a till does after a tear: lets go of the reader and opens it again, at once, with some patience.
    transport = open_transport(FIRST)
    inside.card.tear_at(1, after_work=True)
    with pytest.raises(OutcomeUnknownError):
        transport.transmit(COUNT.to_bytes())
    assert watch.wait_for_removal(PATIENCE_MS)  # on a busy machine pcscd looks later than every 0.4 s
    transport.close()
    inside.remote.insert()
    transport = open_transport("auto", wait_ms=PATIENCE_MS)
    assert transport.transmit(COUNT.to_bytes())[:4] == b"\0\0\0\2"
    transport.close()


def test_pcscd_restarted_between_two_commands(stack: PrivatePcscd, inside: InReader, watch: ReaderWatch) -> None:
    transport = PcscTransport(FIRST)
    assert transport.transmit(COUNT.to_bytes())[:4] == b"\0\0\0\1"
    stack.restart()
    with pytest.raises((NoCardError, OutcomeUnknownError)):
        transport.transmit(COUNT.to_bytes())
    assert inside.card.count == 1
    watch.wait_for_card(PATIENCE_MS)
    transport.reset()
    assert transport.transmit(COUNT.to_bytes())[:4] == b"\0\0\0\2"
    transport.close()


def test_pcscd_killed_in_the_middle_of_a_command(stack: PrivatePcscd, watch: ReaderWatch) -> None:
    class Killer(EchoCard):
        """Does its work, and the service dies before the answer."""

        def transmit(self, command: bytes) -> bytes:
            answer = super().transmit(command)
            if self.count == 1:
                stack.kill()
            return answer

    stack.restart()
    with InReader(Killer(), stack) as inside:
        watch.wait_for_card(PATIENCE_MS)
        transport = PcscTransport(FIRST)
        with pytest.raises(OutcomeUnknownError):
            transport.transmit(COUNT.to_bytes())
        with pytest.raises(NoServiceError):
            transport.reset()
        with pytest.raises(NoServiceError):
            list_readers()
        with pytest.raises(NoServiceError):
            watch.wait_for_card(0)
        stack.start()
        watch.wait_for_card(PATIENCE_MS)
        transport.reset()
        assert transport.transmit(COUNT.to_bytes())[:4] == b"\0\0\0\2"
        transport.close()
        assert inside.card.power_ups >= 2


def test_a_wait_goes_through_a_restart_of_pcscd(stack: PrivatePcscd, inside: InReader, watch: ReaderWatch) -> None:
    stack.kill()
    inside.wait_for(EventKind.LOST)
    starter = threading.Thread(target=stack.start)
    starter.start()
    assert watch.wait_for_card(PATIENCE_MS) == ATR
    starter.join(10)


def test_the_reader_is_unplugged(stack: PrivatePcscd, inside: InReader, watch: ReaderWatch) -> None:
    transport = PcscTransport(FIRST)
    stack.restart(readers=False)
    with pytest.raises((NoCardError, OutcomeUnknownError)):
        transport.transmit(COUNT.to_bytes())
    with pytest.raises(NoReaderError):
        transport.reset()
    with pytest.raises(NoReaderError):
        PcscTransport(FIRST)
    with pytest.raises(NoReaderError):
        watch.wait_for_card(0)
    assert watch.wait_for_removal(PATIENCE_MS)
    assert list_readers() == []
    assert inside.card.count == 0
    stack.restart()
    watch.wait_for_card(PATIENCE_MS)
    transport.reset()
    assert transport.transmit(COUNT.to_bytes())[:4] == b"\0\0\0\1"
    transport.close()


CARD_PROCESS = """
import signal
from hardware.emulator.vpcd import Remote, serve
from support.echo_card import EchoCard
remote = Remote()
signal.signal(signal.SIGTERM, lambda *_: remote.stop())
serve(EchoCard(), remote)
"""


def test_a_card_that_is_a_process_of_its_own(stack: PrivatePcscd, watch: ReaderWatch) -> None:
    stack.restart()
    environment = {**stack.environment(), "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    card = subprocess.Popen([*stack.inside, sys.executable, "-c", CARD_PROCESS], env=environment)
    try:
        assert watch.wait_for_card(PATIENCE_MS) == ATR
        connection = CardConnection(PcscTransport(FIRST))
        assert expect(connection.send(CommandApdu(0x80, 0xE1, 0, 0, bytes(700), 65_536))) == bytes(700)
        connection.close()
    finally:
        card.terminate()
    assert card.wait(10) == 0
    assert watch.wait_for_removal(PATIENCE_MS)


def test_nothing_of_it_is_reachable_from_outside(stack: PrivatePcscd) -> None:
    if stack.is_private:
        for port in (35963, 35964):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
    assert os.environ["PCSCLITE_CSOCK_NAME"] == str(stack.socket_path) == str(claim_socket())
    assert os.environ["ECNY_VIRTUAL_ONLY"] == "1"
    with pytest.raises(ConfigurationError), PrivatePcscd():
        raise AssertionError("one for each process")
