"""Real terminal code, run up to the point where it waits for somebody else.

A program calls cards and the server through a `Script`, which gives it the replies that are known and suspends it at
the first call that has none. To go on, it is run again from its beginning with one reply more: the same program with
the same replies comes to the same point, so that nothing of its memory need be kept.
"""

from __future__ import annotations

from typing import NamedTuple

import httpx

from explore.servers import Asked
from hardware.emulator.card import ATR
from hardware.transports.base import check_answer, check_command, closed, lost_card
from wallet_core.errors import NoCardError, OutcomeUnknownError

SERVER = -1


class Call(NamedTuple):
    """What a program waits for. `to`: number of a purse, or SERVER. No data: power, please."""

    to: int
    data: bytes | Asked


class Response(NamedTuple):
    """A response of the server as it travels."""

    status: int
    content_type: str
    body: bytes


Reply = bytes | Response | None
"""An answer of a card (b"": it has power), a response of the server, or None: nothing came."""


class Suspended(BaseException):
    """The program waits. Not an `Exception`: nothing in a program may handle it."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.call = call


class Script:
    """The replies of one run, in their order."""

    def __init__(self, replies: tuple[Reply, ...]) -> None:
        self._replies = replies
        self._given = 0

    @property
    def over(self) -> bool:
        """Whether every reply has been given: what happens now happens for the first time."""
        return self._given == len(self._replies)

    def ask(self, call: Call) -> Reply:
        if self.over:
            raise Suspended(call)
        self._given += 1
        return self._replies[self._given - 1]


class Reader:
    """A `Transport` to purse number `purse`, which has power when the program begins."""

    def __init__(self, script: Script, purse: int) -> None:
        self._script = script
        self._purse = purse
        self._powered = True
        self._closed = False

    @property
    def name(self) -> str:
        return f"reader {self._purse}"

    @property
    def atr(self) -> bytes:
        return ATR

    def transmit(self, command: bytes) -> bytes:
        check_command(command)
        if self._closed:
            raise closed(self.name)
        if not self._powered:
            raise lost_card(self.name)
        reply = self._script.ask(Call(self._purse, command))
        if not isinstance(reply, bytes):
            self._powered = False
            raise OutcomeUnknownError(f"{self.name}: sent, but no answer came")
        return check_answer(reply, self.name)

    def reset(self) -> None:
        if self._closed:
            raise closed(self.name)
        self._powered = self._script.ask(Call(self._purse, b"")) is not None
        if not self._powered:
            raise NoCardError(f"{self.name}: the card does not answer to power")

    def close(self) -> None:
        self._closed = True


class Wire(httpx.BaseTransport):
    """The way to the server, below the real HTTP client."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = Asked(
            request.method, request.url.raw_path.decode(), request.headers.get("content-type", ""), request.read()
        )
        reply = self._script.ask(Call(SERVER, asked))
        if not isinstance(reply, Response):
            raise httpx.ReadError("the connection was lost", request=request)
        headers = {"content-type": reply.content_type, "content-length": str(len(reply.body))}
        return httpx.Response(reply.status, headers=headers, stream=httpx.ByteStream(reply.body))
