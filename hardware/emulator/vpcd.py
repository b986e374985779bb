"""Puts a card into vsmartcard's virtual reader: the card's end of vpcd's protocol over TCP.

The driver in pcscd listens (port 35963 for the first slot, 35964 for the second); the card connects, which is
insertion, and closes, which is removal. Every message is a length of two bytes, big-endian, and a body. A body of one
byte is a control: 0 power off, 1 power on, 2 reset, 4 asks for the ATR; only 4 is answered. Any other body is a
command APDU and is answered.

What vpcd makes necessary: length and body leave in one write (a lone length byte makes the driver copy from nowhere,
and two writes cost a delayed acknowledgement of 40 ms); TCP_QUICKACK is armed again before each read (the kernel
disarms it); the ATR is asked for before the first power-up and every 0.4 s after it, powered or not, so it is
remembered. Tearing is closing the socket before the answer.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from hardware.card_like import CardLike, CardTorn

HOST: Final = "127.0.0.1"
PORT: Final = 35963
REINSERT_MS: Final = 600
"""From a tear to the card being put back."""
GAP_MS: Final = 500
"""From any removal to the next insertion, at least: longer than the 400 ms between two looks of the reader. A card
that is back sooner makes no event, and pcscd, told by a failed power-up that it is absent, goes on believing so."""
RETRY_MS: Final = 100
"""Between two attempts to find vpcd."""
MIN_ANSWER: Final = 2
MAX_BODY: Final = 0xFFFF


class _Control(IntEnum):
    POWER_OFF = 0
    POWER_ON = 1
    RESET = 2
    ATR = 4


class EventKind(StrEnum):
    """What happened to the card, as its owner is told."""

    WAITING = "waiting"  # vpcd is not there (yet, or any more)
    INSERTED = "inserted"
    POWERED = "powered"
    UNPOWERED = "unpowered"
    EXCHANGE = "exchange"
    TORN = "torn"  # power lost in mid command: no answer
    EJECTED = "ejected"
    LOST = "lost"  # the reader went, not the card
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """`work_ns` is the card's own time for an exchange, 0 otherwise; APDUs are never part of an event."""

    kind: EventKind
    work_ns: int = 0


class Remote:
    """Moves the card from another thread or a signal handler: stop, eject, insert. Usable for one `serve`.

    A card starts inserted; `Remote(inserted=False)` waits for `insert`. Close it when `serve` has returned.
    """

    def __init__(self, *, inserted: bool = True) -> None:
        self.stopped = False
        self.wanted = inserted
        self._closed = False
        self._awake, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def stop(self) -> None:
        """Takes the card out and ends `serve`."""
        self.stopped = True
        self._ring()

    def eject(self) -> None:
        """Takes the card out, between two exchanges."""
        self.wanted = False
        self._ring()

    def insert(self) -> None:
        """Puts the card back, as soon as `gap_ms` allow."""
        self.wanted = True
        self._ring()

    def fileno(self) -> int:
        """Readable when something was asked for."""
        return self._awake

    def heard(self) -> bool:
        """Forgets the rings; says whether there was one."""
        with contextlib.suppress(BlockingIOError):
            return bool(os.read(self._awake, 4096))
        return False

    def close(self) -> None:
        """From here on nothing rings any more, late timers and signals included."""
        self._closed = True
        os.close(self._awake)
        os.close(self._wake)

    def _ring(self) -> None:
        if not self._closed:
            with contextlib.suppress(BlockingIOError):  # a full pipe rings already
                os.write(self._wake, b"!")


class _Gone(Exception):
    """vpcd closed the connection."""


class _Attachment:
    """One insertion: from connect to close."""

    def __init__(
        self,
        card: CardLike,
        line: socket.socket,
        remote: Remote,
        on_event: Callable[[Event], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._card = card
        self._line = line
        self._remote = remote
        self._on_event = on_event
        self._clock_ns = clock_ns
        self._powered = False
        self._atr = b""
        self._ready = select.poll()
        self._ready.register(line, select.POLLIN)
        self._ready.register(remote, select.POLLIN)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run(self) -> None:
        """Answers until the card is asked away; raises _Gone or CardTorn."""
        self._power_on()
        while not self._remote.stopped and self._remote.wanted:
            body = self._receive()
            if body is None:
                continue
            if len(body) == 1:
                self._obey(body[0])
            elif self._powered:
                self._answer(body)
            else:
                # Swapped within one look of the reader: it believes that the card before this one still is there.
                raise CardTorn

    def _obey(self, control: int) -> None:
        if control == _Control.POWER_OFF:
            self._power_off()
        elif control == _Control.POWER_ON:
            if not self._powered:
                self._power_on()
        elif control == _Control.RESET:
            self._power_off()
            self._power_on()
        elif control == _Control.ATR:
            self._send(self._atr)

    def _answer(self, command: bytes) -> None:
        started = self._clock_ns()
        answer = self._card.transmit(command)
        work_ns = self._clock_ns() - started
        if not MIN_ANSWER <= len(answer) <= MAX_BODY:
            raise CardTorn  # cannot be said in this protocol (an empty body hangs the driver), and the card has acted
        self._send(answer)
        self._on_event(Event(EventKind.EXCHANGE, work_ns))

    def _power_on(self) -> None:
        self._atr = self._card.power_on()
        self._powered = True
        self._on_event(Event(EventKind.POWERED))

    def _power_off(self) -> None:
        if self._powered:
            self._powered = False
            self._card.power_off()
            self._on_event(Event(EventKind.UNPOWERED))

    def _send(self, body: bytes) -> None:
        try:
            self._line.sendall(len(body).to_bytes(2, "big") + body)
        except OSError as error:
            raise _Gone from error

    def _receive(self) -> bytes | None:
        """The next body; None when the remote rang instead."""
        self._ready.poll()
        if self._remote.heard():
            return None
        return self._exactly(int.from_bytes(self._exactly(2), "big"))

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            try:
                self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                part = self._line.recv(size - len(got))
            except OSError as error:
                raise _Gone from error
            if not part:
                raise _Gone
            got += part
        return got


def connect_tcp(host: str = HOST, port: int = PORT) -> Callable[[], socket.socket]:
    """A connector for `serve`: a fresh TCP connection to vpcd each time it is called."""
    return lambda: socket.create_connection((host, port), timeout=None)


def serve(
    card: CardLike,
    remote: Remote,
    *,
    connect: Callable[[], socket.socket] | None = None,
    reinsert_ms: int | None = REINSERT_MS,
    gap_ms: int = GAP_MS,
    on_event: Callable[[Event], None] = lambda _: None,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> None:
    """Keeps the card in the reader until `remote.stop()`; the calling thread is the card's.

    A torn card is put back after `reinsert_ms`, or with None when `remote.insert()` says so; between any removal and
    the next insertion `gap_ms` pass at least. When vpcd is not there it is looked for every 0.1 s. `on_event` is
    called in this thread, after the fact; `clock_ns` is monotonic and also measures the card's own work. The card is
    left without power. What the card raises other than CardTorn ends the serving, and the host gets no answer.
    """
    connect = connect or connect_tcp()
    present_again = clock_ns()
    waiting = False
    while not remote.stopped:
        if not remote.wanted:
            _pause(remote, None)
            continue
        if (wait_ms := (present_again - clock_ns()) // 1_000_000) > 0:
            _pause(remote, wait_ms)
            continue
        try:
            line = connect()
        except OSError:
            if not waiting:
                on_event(Event(EventKind.WAITING))
            waiting = True
            _pause(remote, RETRY_MS)
            continue
        waiting, away_ms = False, gap_ms
        try:
            with line:
                on_event(Event(EventKind.INSERTED))
                _Attachment(card, line, remote, on_event, clock_ns).run()
            on_event(Event(EventKind.EJECTED))
        except _Gone:
            on_event(Event(EventKind.LOST))
        except CardTorn:
            on_event(Event(EventKind.TORN))
            if reinsert_ms is None:
                remote.wanted = False
            else:
                away_ms = max(gap_ms, reinsert_ms)
        finally:
            card.power_off()
        present_again = clock_ns() + away_ms * 1_000_000
    on_event(Event(EventKind.STOPPED))


def _pause(remote: Remote, wait_ms: int | None) -> None:
    """Waits, or until the remote rings; None waits for the ring."""
    if not remote.stopped:
        ring = select.poll()
        ring.register(remote, select.POLLIN)
        ring.poll(wait_ms)
        remote.heard()
