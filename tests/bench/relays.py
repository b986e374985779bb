"""Relays to try the till's check on: between reader and card, in process or over TCP, with a delay that can be set."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from random import Random
from types import TracebackType
from typing import Final, Self

from hardware.transports.base import Transport

_LENGTH: Final = struct.Struct(">I")
_HOST: Final = "127.0.0.1"
_PATIENCE_S: Final = 20.0

Wait = Callable[[float], None]
"""Takes seconds; `time.sleep`, or a test's clock."""


class DelayingTransport:
    """Carries each exchange `delay_ms` later, half of it each way, and on average `jitter_ms` more, exponential."""

    def __init__(self, inner: Transport, delay_ms: float, jitter_ms: float, rng: Random, wait: Wait) -> None:
        self._inner = inner
        self._delay_ms = delay_ms
        self._jitter_ms = jitter_ms
        self._rng = rng
        self._wait = wait

    @property
    def name(self) -> str:
        return f"relay to {self._inner.name}"

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        self._travel()
        answer = self._inner.transmit(command)
        self._travel()
        return answer

    def reset(self) -> None:
        self._inner.reset()

    def close(self) -> None:
        self._inner.close()

    def _travel(self) -> None:
        ms = self._delay_ms / 2
        if self._jitter_ms:
            ms += self._rng.expovariate(2 / self._jitter_ms)
        if ms > 0:
            self._wait(ms / 1000)


class TcpRelay:
    """The same over a loopback socket: the card's end is a thread, the till's end a transport (`reader`).

    A frame is its length (4 bytes) and an APDU; an empty one is a reset, answered by the ATR.
    """

    def __init__(self, card: Transport) -> None:
        self._card = card
        self._listener = socket.create_server((_HOST, 0))
        self._listener.settimeout(_PATIENCE_S)
        self._thread = threading.Thread(target=self._serve, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.join(_PATIENCE_S)
        self._listener.close()

    def reader(self) -> TcpReader:
        """The till's end; to be closed before this block ends."""
        address: tuple[str, int] = self._listener.getsockname()
        return TcpReader(socket.create_connection(address, timeout=_PATIENCE_S), self._card.atr)

    def _serve(self) -> None:
        link, _ = self._listener.accept()
        with link:
            link.settimeout(_PATIENCE_S)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (command := _read(link)) is not None:
                if command:
                    _write(link, self._card.transmit(command))
                else:
                    self._card.reset()
                    _write(link, self._card.atr)


class TcpReader:
    """A `Transport` whose card is behind a `TcpRelay`."""

    name = "relay over TCP"

    def __init__(self, link: socket.socket, atr: bytes) -> None:
        self._link = link
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.atr = atr

    def transmit(self, command: bytes) -> bytes:
        _write(self._link, command)
        answer = _read(self._link)
        if answer is None:
            raise RuntimeError("the relay has gone")
        return answer

    def reset(self) -> None:
        self.atr = self.transmit(b"")

    def close(self) -> None:
        self._link.close()


def _write(link: socket.socket, frame: bytes) -> None:
    link.sendall(_LENGTH.pack(len(frame)) + frame)


def _read(link: socket.socket) -> bytes | None:
    """One frame; None when the other end has closed before one began."""
    head = _exactly(link, _LENGTH.size)
    return None if head is None else _exactly(link, _LENGTH.unpack(head)[0])


def _exactly(link: socket.socket, size: int) -> bytes | None:
    got = b""
    while len(got) < size:
        part = link.recv(size - len(got))
        if not part:
            return None
        got += part
    return got
