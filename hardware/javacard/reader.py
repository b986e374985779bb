"""A reader for a card in another process: vpcd's protocol, seen from the driver's side.

The card connects, which is insertion, and closes, which is removal; a card that is torn closes before its answer and
connects again. A message is a length of two bytes, big-endian, and a body; a body of one byte is a control.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Final

from hardware.apdu import HEADER
from hardware.card_like import CardTorn
from wallet_core.errors import NoCardError, TransportError

HOST: Final = "127.0.0.1"
INSERT_TIMEOUT_S: Final = 30.0
"""For a card to be put in: a Java virtual machine that starts beside busy neighbours."""
ANSWER_TIMEOUT_S: Final = 60.0
"""For an answer. No command takes a second; the rest is for a machine that is busy."""
_OFF, _RESET, _ATR = b"\x00", b"\x02", b"\x04"
_LENGTH: Final = 2


class LoopbackReader:
    """Listens on a free port of the loopback interface, and is itself the card in it as a `CardLike`.

    For one thread at a time. `close` lets the port go; the card in it is the caller's to end.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._line: socket.socket | None = None
        self._buffer = b""

    @property
    def port(self) -> int:
        """Where the card connects to."""
        port: int = self._listener.getsockname()[1]
        return port

    def await_card(self, timeout_s: float = INSERT_TIMEOUT_S) -> None:
        """Waits until a card is in. Raises NoCardError when none comes in time."""
        if self._line is not None:
            return
        self._listener.settimeout(timeout_s)
        try:
            line, _ = self._listener.accept()
        except OSError as error:
            raise NoCardError(f"no card came within {timeout_s:g} s") from error
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.settimeout(ANSWER_TIMEOUT_S)
        self._line, self._buffer = line, b""

    def power_on(self) -> bytes:
        """Resets the card, waiting for it if it was torn, and returns its ATR. As `CardLike.power_on`."""
        self.await_card()
        try:
            self._send(_RESET)
            return self._ask(_ATR)
        except CardTorn:
            # It left while nobody looked: what was reset is the line of the card before.
            self.await_card()
            self._send(_RESET)
            return self._ask(_ATR)

    def power_off(self) -> None:
        """Takes the power; a card that is away has none. As `CardLike.power_off`."""
        if self._line is not None:
            with contextlib.suppress(CardTorn):
                self._send(_OFF)

    def transmit(self, command: bytes) -> bytes:
        """One command (4 bytes or more) for one answer. Raises CardTorn, TransportError (no answer in time)."""
        if len(command) < HEADER:
            raise CardTorn("no command: a body of one byte is a control")
        if self._line is None:
            raise CardTorn("the card is away")
        return self._ask(command)

    def close(self) -> None:
        """Lets the card and the port go. May be repeated."""
        self._drop()
        self._listener.close()

    def _ask(self, body: bytes) -> bytes:
        self._send(body)
        return self._exactly(int.from_bytes(self._exactly(_LENGTH), "big"))

    def _send(self, body: bytes) -> None:
        if self._line is None:
            raise CardTorn("the card is away")
        try:
            self._line.sendall(len(body).to_bytes(_LENGTH, "big") + body)
        except OSError as error:
            self._drop()
            raise CardTorn("the card left") from error

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            try:
                part = self._line.recv(1 << 16) if self._line is not None else b""
            except TimeoutError as error:
                self._drop()
                raise TransportError(f"the card gave no answer within {ANSWER_TIMEOUT_S:g} s") from error
            except OSError:
                part = b""
            if not part:
                self._drop()
                raise CardTorn("power lost before the answer")
            self._buffer += part
        got, self._buffer = self._buffer[:size], self._buffer[size:]
        return got

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line, self._buffer = None, b""
