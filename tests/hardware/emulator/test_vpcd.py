"""The card's end of vpcd's protocol, against a listener that plays the driver in pcscd."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hardware.emulator.vpcd import Event, EventKind, Remote, connect_tcp, serve
from support.echo_card import ATR, COUNT, IS_SELECTED, SELECT, EchoCard, echo

OFF, ON, RESET, ASK_ATR = b"\0", b"\1", b"\2", b"\4"


class Driver:
    """vpcd's side: accepts the card, sends it controls and commands."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self.port = self._listener.getsockname()[1]
        self.line = socket.socket()

    def accept(self) -> None:
        self.line.close()
        self.line, _ = self._listener.accept()
        self.line.settimeout(10)

    def send(self, body: bytes) -> None:
        self.line.sendall(struct.pack(">H", len(body)) + body)

    def ask(self, body: bytes) -> bytes:
        self.send(body)
        return self.receive()

    def receive(self) -> bytes:
        size = self.line.recv(2, socket.MSG_WAITALL)
        return self.line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL)

    def hears_silence(self) -> bool:
        """Whether the card closed the line without a byte."""
        try:
            return self.line.recv(1) == b""
        except ConnectionResetError:  # closed with something of ours unread
            return True

    def leave(self) -> None:
        self.line.close()

    def close(self) -> None:
        self.line.close()
        self._listener.close()


class Serving:
    """`serve` in a thread, with its events."""

    def __init__(self, card: EchoCard, port: int, *, inserted: bool, reinsert_ms: int | None, gap_ms: int) -> None:
        self.remote = Remote(inserted=inserted)
        self.events: list[EventKind] = []
        self.failure: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, args=(card, port, reinsert_ms, gap_ms))
        self._thread.start()

    def _run(self, card: EchoCard, port: int, reinsert_ms: int | None, gap_ms: int) -> None:
        connect = connect_tcp("127.0.0.1", port)
        try:
            serve(card, self.remote, connect=connect, reinsert_ms=reinsert_ms, gap_ms=gap_ms, on_event=self._heard)
        except RuntimeError as failure:
            self.failure = failure

    def _heard(self, event: Event) -> None:
        with self._changed:
            self.events.append(event.kind)
            self._changed.notify_all()

    def wait_for(self, kind: EventKind, times: int = 1) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.events.count(kind) >= times, 10), self.events

    def end(self) -> None:
        self.remote.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.remote.close()

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


Start = Callable[..., Serving]


@pytest.fixture
def driver() -> Iterator[Driver]:
    playing = Driver()
    yield playing
    playing.close()


@contextmanager
def in_reader(
    card: EchoCard, driver: Driver, *, inserted: bool = True, reinsert_ms: int | None = None, gap_ms: int = 0
) -> Iterator[Serving]:
    serving = Serving(card, driver.port, inserted=inserted, reinsert_ms=reinsert_ms, gap_ms=gap_ms)
    try:
        if inserted:
            driver.accept()
        yield serving
    finally:
        serving.end()


def test_controls_and_commands(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver) as serving:
        assert driver.ask(ASK_ATR) == ATR  # asked for before the first power-up
        driver.send(ON)
        assert driver.ask(ASK_ATR) == ATR
        assert driver.ask(echo(b"hello").to_bytes()) == b"hello\x90\x00"
        assert driver.ask(SELECT.to_bytes()) == b"\x90\x00"
        driver.send(ON)  # it has power already: nothing is lost
        assert driver.ask(IS_SELECTED.to_bytes()) == b"\x01\x90\x00"
        driver.send(RESET)
        assert driver.ask(IS_SELECTED.to_bytes()) == b"\x00\x90\x00"
        driver.send(OFF)
        driver.send(OFF)
        assert driver.ask(ASK_ATR) == ATR  # and without power
        assert not card.powered
        driver.send(ON)
        assert driver.ask(COUNT.to_bytes()) == b"\0\0\0\1\x90\x00"
    assert not card.powered
    assert serving.events[-2:] == [EventKind.EJECTED, EventKind.STOPPED]
    assert serving.events.count(EventKind.EXCHANGE) == 5


def test_unknown_controls_are_passed_over(driver: Driver) -> None:
    with in_reader(EchoCard(), driver):
        for control in (b"\x03", b"\x05", b"\xff"):
            driver.send(control)
        assert driver.ask(ASK_ATR) == ATR


def test_long_and_broken_up_messages(driver: Driver) -> None:
    with in_reader(EchoCard(), driver):
        data = bytes(i % 251 for i in range(60_000))
        assert driver.ask(echo(data, ne=65_536).to_bytes()) == data + b"\x90\x00"
        body = echo(b"in pieces").to_bytes()
        for byte in struct.pack(">H", len(body)) + body:
            driver.line.sendall(bytes((byte,)))
        assert driver.receive() == b"in pieces\x90\x00"


def test_events_tell_the_card_s_own_time(driver: Driver) -> None:
    ticks = iter(range(0, 1_000_000_000, 7))
    heard: list[Event] = []
    done = threading.Event()

    def on_event(event: Event) -> None:
        heard.append(event)
        if event.kind is EventKind.EXCHANGE:
            done.set()

    remote = Remote()
    thread = threading.Thread(
        target=serve,
        args=(EchoCard(), remote),
        kwargs={
            "connect": connect_tcp("127.0.0.1", driver.port),
            "on_event": on_event,
            "clock_ns": lambda: next(ticks),
        },
    )
    thread.start()
    driver.accept()
    driver.ask(COUNT.to_bytes())
    assert done.wait(10)
    remote.stop()
    thread.join(10)
    remote.close()
    assert Event(EventKind.EXCHANGE, 7) in heard


@pytest.mark.parametrize("after_work", [False, True])
def test_a_torn_card_is_silent_and_comes_back(driver: Driver, after_work: bool) -> None:
    card = EchoCard()
    with in_reader(card, driver, reinsert_ms=0) as serving:
        card.tear_at(1, after_work=after_work)
        driver.send(COUNT.to_bytes())
        assert driver.hears_silence()
        driver.accept()
        serving.wait_for(EventKind.INSERTED, 2)
        assert driver.ask(COUNT.to_bytes())[:4] == (1 + after_work).to_bytes(4, "big")
    assert serving.events.count(EventKind.TORN) == 1


def test_a_torn_card_waits_to_be_put_back(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver) as serving:
        card.tear_at(1)
        driver.send(COUNT.to_bytes())
        assert driver.hears_silence()
        serving.wait_for(EventKind.TORN)
        assert not serving.remote.wanted
        serving.remote.insert()
        driver.accept()
        assert driver.ask(COUNT.to_bytes())[:4] == b"\0\0\0\2"


def test_a_card_torn_at_power_up_leaves_the_reader(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver, reinsert_ms=0) as serving:
        assert driver.ask(ASK_ATR) == ATR  # it has its power
        card.tear_power_on = True
        driver.send(RESET)
        assert driver.hears_silence()
        driver.accept()
        assert driver.ask(ASK_ATR) == ATR
        serving.wait_for(EventKind.TORN)


@pytest.mark.parametrize("answer", [b"", b"\x90", bytes(65_536)])
def test_an_answer_that_the_protocol_cannot_carry_is_silence(driver: Driver, answer: bytes) -> None:
    # An empty body would hang the driver, and with it every program that talks to pcscd.
    card = EchoCard()
    with in_reader(card, driver) as serving:
        card.answer_with = answer
        driver.send(COUNT.to_bytes())
        assert driver.hears_silence()
        serving.wait_for(EventKind.TORN)


def test_a_command_without_power_is_not_answered(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver, reinsert_ms=0) as serving:
        driver.send(OFF)
        driver.send(COUNT.to_bytes())
        assert driver.hears_silence()
        driver.accept()
        serving.wait_for(EventKind.INSERTED, 2)
    assert card.count == 0


def test_ejected_and_put_back(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver) as serving:
        serving.remote.eject()
        assert driver.hears_silence()
        serving.wait_for(EventKind.EJECTED)
        assert not card.powered
        serving.remote.insert()
        driver.accept()
        assert driver.ask(ASK_ATR) == ATR


def test_a_card_may_begin_outside(driver: Driver) -> None:
    with in_reader(EchoCard(), driver, inserted=False) as serving:
        assert serving.events == []
        serving.remote.insert()
        driver.accept()
        assert driver.ask(ASK_ATR) == ATR


def test_when_the_reader_goes_the_card_looks_for_it(driver: Driver) -> None:
    card = EchoCard()
    with in_reader(card, driver) as serving:
        assert driver.ask(COUNT.to_bytes())[:4] == b"\0\0\0\1"
        driver.leave()
        serving.wait_for(EventKind.LOST)
        driver.accept()
        assert driver.ask(COUNT.to_bytes())[:4] == b"\0\0\0\2"
        driver.line.sendall(b"\0")  # half of a length
        driver.leave()
        serving.wait_for(EventKind.LOST, 2)
        driver.accept()
        driver.line.sendall(b"\0\5ab")  # half of a body
        driver.leave()
        serving.wait_for(EventKind.LOST, 3)
        driver.accept()
        assert driver.ask(COUNT.to_bytes())[:4] == b"\0\0\0\3"


def test_without_a_reader_the_card_waits_and_says_so_once(driver: Driver) -> None:
    attempts = threading.Semaphore(0)

    def connect() -> socket.socket:
        attempts.release()
        raise ConnectionRefusedError

    remote, heard = Remote(), list[EventKind]()
    thread = threading.Thread(
        target=serve,
        args=(EchoCard(), remote),
        kwargs={"connect": connect, "on_event": lambda event: heard.append(event.kind)},
    )
    thread.start()
    for _ in range(3):
        assert attempts.acquire(timeout=10)
    remote.stop()
    thread.join(10)
    remote.close()
    assert heard == [EventKind.WAITING, EventKind.STOPPED]


def test_the_gap_between_removal_and_insertion_is_kept(driver: Driver) -> None:
    now_ms = [0]
    waits: list[int] = []

    def clock_ns() -> int:
        now_ms[0] += 50
        return now_ms[0] * 1_000_000

    connected = threading.Semaphore(0)
    connect = connect_tcp("127.0.0.1", driver.port)

    def connect_and_note() -> socket.socket:
        waits.append(now_ms[0])
        connected.release()
        return connect()

    card, remote = EchoCard(), Remote()
    thread = threading.Thread(
        target=serve,
        args=(card, remote),
        kwargs={"connect": connect_and_note, "clock_ns": clock_ns, "gap_ms": 200, "reinsert_ms": 100},
    )
    thread.start()
    driver.accept()
    before = now_ms[0]
    card.tear_at(1)
    driver.send(COUNT.to_bytes())
    assert driver.hears_silence()
    driver.accept()
    remote.stop()
    thread.join(10)
    remote.close()
    assert waits[1] - before >= 200


def test_a_card_that_breaks_ends_the_serving_without_an_answer(driver: Driver) -> None:
    class Broken(EchoCard):
        def transmit(self, command: bytes) -> bytes:
            raise RuntimeError("the image cannot be written")

    card = Broken()
    with in_reader(card, driver) as serving:
        driver.send(COUNT.to_bytes())
        assert driver.hears_silence()
        serving.join()
    assert isinstance(serving.failure, RuntimeError)
    assert not card.powered
