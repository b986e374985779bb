"""The network between the city's devices and an operator: messages are lost, repeated, delayed, overtaken and halved.

What travels is what `httpx` makes of the real clients' calls; what answers is the server's real WSGI application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import httpx

from simulate.chances import Weather
from simulate.clock import HOUR, MINUTE, Agenda


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it travels: the same bytes, however often it arrives."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class ServerDied(BaseException):
    """Stands for the end of the server's process: nothing inside it may catch this."""


Deliver = Callable[[Call], Reply]
"""Gives a call to the server; raises httpx.TransportError when the server died over it."""

_KEPT = ("content-type", "authorization", "idempotency-key", "accept", "accept-encoding")


class Wire(httpx.BaseTransport):
    """One party's way to one server. `online` is the party's own switch; `rng` draws what becomes of each message."""

    def __init__(self, deliver: Deliver, weather: Weather, agenda: Agenda, rng: Random) -> None:
        self._deliver = deliver
        self._weather = weather
        self._agenda = agenda
        self._rng = rng
        self.online = True

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: request.headers[name] for name in _KEPT if name in request.headers}
        call = Call(request.method, request.url.raw_path.decode(), headers, request.read())
        reply = self._travel(call)
        return httpx.Response(reply.status, headers=dict(reply.headers), stream=httpx.ByteStream(reply.body))

    def _travel(self, call: Call) -> Reply:
        chances = self._weather.chances
        if not self.online:
            raise httpx.ConnectError("no network")
        draw = self._rng.random()
        if (draw := draw - chances.message_lost) < 0:
            raise httpx.ConnectError("the message is lost")
        if (draw := draw - chances.message_late) < 0:
            self._agenda.after(self._rng.randrange(MINUTE, 6 * HOUR), lambda: self._arrive_late(call))
            raise httpx.ReadTimeout("the message is under way")
        if (draw := draw - chances.message_twice) < 0:
            self._deliver(call)
        reply = self._deliver(call)
        if (draw := draw - chances.answer_lost) < 0:
            raise httpx.ReadTimeout("the answer is lost")
        if draw - chances.answer_halved < 0:
            return Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2])
        return reply

    def _arrive_late(self, call: Call) -> None:
        """Nobody waits for the answer any more."""
        try:
            self._deliver(call)
        except httpx.TransportError:
            return
