"""From a command to a response over any transport: a chain of small processors, each with one rule of ISO/IEC 7816-4.

CardConnection.send
  → SecureChannel     wrap and unwrap, while a session is open (hardware/secure_channel.py)
  → CommandChaining   a command that does not fit goes in pieces, CLA bit 5 set on all but the last (clause 5.3.3)
  → ResponseChaining  61xx: fetch the rest with GET RESPONSE; 6Cxx: once more with the exact Ne (clauses 5.3.4, 5.6)
  → Formatter         bytes, short or extended as the card can, and the meter
  → Transport
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from wallet_core.errors import CardError, CodecError, OutcomeUnknownError, TransportError, WrongAppletError

from .apdu import MAX_EXTENDED_NC, MAX_EXTENDED_NE, MAX_SHORT_NC, MAX_SHORT_NE, CommandApdu, ResponseApdu
from .atr import card_capabilities
from .secure_channel import SecureSession, SecurityLevel
from .status_words import SW, bytes_left, describe, exact_length
from .transports.base import Transport

CHAINING_BIT: Final = 0x10
INS_GET_RESPONSE: Final = 0xC0

_NOT_THIS_APPLET: Final = frozenset({SW.FILE_NOT_FOUND, SW.APPLET_SELECT_FAILED, SW.FUNCTION_NOT_SUPPORTED})


@dataclass(slots=True)
class Meter:
    """What went over the transport: exchanges, bytes of commands and responses with headers and status words, time."""

    exchanges: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    time_ns: int = 0

    @property
    def time_ms(self) -> float:
        return self.time_ns / 1_000_000

    @property
    def bytes_total(self) -> int:
        return self.bytes_out + self.bytes_in

    def since(self, earlier: Meter) -> Meter:
        """The difference to an earlier `snapshot`."""
        return Meter(
            self.exchanges - earlier.exchanges,
            self.bytes_out - earlier.bytes_out,
            self.bytes_in - earlier.bytes_in,
            self.time_ns - earlier.time_ns,
        )

    def snapshot(self) -> Meter:
        return replace(self)


class Processor(Protocol):
    """One link of the chain."""

    def send(self, command: CommandApdu) -> ResponseApdu: ...


class Formatter:
    """Encodes a command, transmits it, decodes the answer, and counts both.

    Ne beyond 256 is asked for as 256 when the card takes short APDUs only: the rest then comes with 61xx.
    """

    def __init__(self, transport: Transport, *, extended: bool, meter: Meter, clock_ns: Callable[[], int]) -> None:
        self._transport = transport
        self._extended = extended
        self._meter = meter
        self._clock_ns = clock_ns

    @property
    def max_nc(self) -> int:
        return MAX_EXTENDED_NC if self._extended else MAX_SHORT_NC

    def send(self, command: CommandApdu) -> ResponseApdu:
        if not self._extended and command.ne > MAX_SHORT_NE:
            command = replace(command, ne=MAX_SHORT_NE)
        raw = command.to_bytes()
        self._meter.exchanges += 1
        self._meter.bytes_out += len(raw)
        started = self._clock_ns()
        try:
            answer = self._transport.transmit(raw)
        finally:
            self._meter.time_ns += self._clock_ns() - started
        self._meter.bytes_in += len(answer)
        try:
            return ResponseApdu.from_bytes(answer)
        except CodecError as error:
            # The command did arrive, and rubbish tells nothing about what it did.
            raise OutcomeUnknownError(f"the card's answer is no response APDU: {error}") from error


class ResponseChaining:
    """Collects a response that comes in parts, and repeats a command whose Ne was not exact.

    6Cxx means that the command was aborted before it did anything, so repeating it is safe; it is repeated once only.
    61xx means that it was done (clause 5.6: normal processing). What GET RESPONSE says from there is about fetching
    and nothing else: an error word is no refusal of the command. So whatever goes wrong after 61xx is
    OutcomeUnknownError: a card taken away *between* two exchanges, any other end than 9000, more or fewer bytes than
    announced (6100: at least 256), more than 65,536 bytes in all.
    """

    def __init__(self, inner: Processor) -> None:
        self._inner = inner

    def send(self, command: CommandApdu) -> ResponseApdu:
        response = self._inner.send(command)
        exact = exact_length(response.sw)
        if exact is not None:
            response = self._inner.send(replace(command, ne=exact))
        left = bytes_left(response.sw)
        if left is None:
            return response
        parts, total = [response.data], len(response.data)
        while left is not None:
            announced, response = left, self._fetch(_get_response(command.cla, left))
            parts.append(response.data)
            total += len(response.data)
            left = _still_left(response, announced)
            if total + (left or 0) > MAX_EXTENDED_NE:
                raise OutcomeUnknownError("the card announces more bytes than a response can have")
        return ResponseApdu(b"".join(parts), response.sw)

    def _fetch(self, command: CommandApdu) -> ResponseApdu:
        try:
            return self._inner.send(command)
        except OutcomeUnknownError:
            raise
        except TransportError as error:
            raise OutcomeUnknownError(f"the rest of the answer did not come: {error}") from error


def _still_left(response: ResponseApdu, announced: int) -> int | None:
    """How many bytes are still to be fetched after this answer to GET RESPONSE, None when it was the last.

    Raises OutcomeUnknownError for any other word than 9000 and 61xx, and for an answer that does not deliver what was
    `announced`: a part of it may come with 61xx, all of it with 9000.
    """
    left = bytes_left(response.sw)
    if left is None and response.sw != SW.OK:
        raise OutcomeUnknownError(
            f"the command was done, but fetching its answer ended with {response.sw:04X}: {describe(response.sw)}"
        )
    enough = 1 if left is not None else announced
    if not enough <= len(response.data) <= announced:
        raise OutcomeUnknownError(f"the card announced {announced} bytes of its answer and gave {len(response.data)}")
    return left


def _get_response(cla: int, left: int) -> CommandApdu:
    """GET RESPONSE on the command's logical channel, without chaining or secure messaging bits (clause 11.8.1)."""
    further = cla & 0xC0 == 0x40
    return CommandApdu(cla & 0x4F if further else cla & 0x03, INS_GET_RESPONSE, 0, 0, ne=left)


class CommandChaining:
    """Sends a command whose data do not fit in pieces; a piece that is not answered 9000 ends the chain with its
    answer.
    """

    def __init__(self, inner: Processor, max_nc: int) -> None:
        self._inner = inner
        self._max_nc = max_nc

    def send(self, command: CommandApdu) -> ResponseApdu:
        data, at = command.data, 0
        while len(data) - at > self._max_nc:
            piece = data[at : at + self._max_nc]
            at += self._max_nc
            first = CommandApdu(command.cla | CHAINING_BIT, command.ins, command.p1, command.p2, piece)
            response = self._inner.send(first)
            if response.sw != SW.OK:
                return response
        return self._inner.send(replace(command, data=data[at:]) if at else command)


class SecureChannel:
    """Passes commands through an open secure channel. Any error closes the session; then plain commands are refused."""

    def __init__(self, inner: Processor, session: SecureSession) -> None:
        self._inner = inner
        self._session = session

    def send(self, command: CommandApdu) -> ResponseApdu:
        wrapped = self._session.wrap_command(command)
        if self._session.level & SecurityLevel.R_MAC and not wrapped.ne:
            wrapped = replace(wrapped, ne=MAX_SHORT_NE)  # the answer has an R-MAC, if nothing else
        try:
            response = self._inner.send(wrapped)
        except Exception:
            self._session.close()  # the card may have moved its counter on: both sides would disagree from here
            raise
        return self._session.unwrap_response(response)


class CardConnection:
    """A card to talk to: `send` a command, get the complete response, read the `meter`.

    `extended=None` takes extended APDUs where the ATR says that the card understands them. `clock_ns` is a monotonic
    clock in nanoseconds. Not for two threads at once. Errors of `send`: those of `Transport.transmit`, and
    VerificationError when a secure channel is open and a MAC does not verify. A chain cut between its pieces is
    NoCardError: a card does nothing before the last piece.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        extended: bool | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._transport = transport
        self.meter = Meter()
        if extended is None:
            extended = card_capabilities(transport.atr).extended
        formatter = Formatter(transport, extended=extended, meter=self.meter, clock_ns=clock_ns)
        self._plain: Processor = CommandChaining(ResponseChaining(formatter), formatter.max_nc)
        self._top: Processor = self._plain

    @property
    def name(self) -> str:
        """Of the reader."""
        return self._transport.name

    @property
    def atr(self) -> bytes:
        return self._transport.atr

    def send(self, command: CommandApdu) -> ResponseApdu:
        return self._top.send(command)

    def secure(self, session: SecureSession) -> None:
        """From here on every command passes this secure channel, until `plain`, `reset` or `close`."""
        self._top = SecureChannel(self._plain, session)

    def plain(self) -> None:
        """Drops the secure channel on this side."""
        self._top = self._plain

    def reset(self) -> None:
        """Takes the card's power away and gives it back: nothing is selected, no PIN verified, no channel open."""
        self.plain()
        self._transport.reset()

    def close(self) -> None:
        self.plain()
        self._transport.close()


def expect(response: ResponseApdu, *allowed: int, doing: str = "") -> bytes:
    """Returns the response data if the status word is 9000 or one of `allowed`; raises CardError with the word
    otherwise.
    """
    if response.sw == SW.OK or response.sw in allowed:
        return response.data
    raise CardError(response.sw, _sentence(response.sw, doing))


def expect_selected(response: ResponseApdu) -> bytes:
    """Like `expect`, for the answer to SELECT: raises WrongAppletError when the card does not carry the applet."""
    if response.sw in _NOT_THIS_APPLET:
        raise WrongAppletError(response.sw, _sentence(response.sw, "SELECT"))
    return expect(response, doing="SELECT")


def _sentence(sw: int, doing: str) -> str:
    return f"the card answered {doing + ' with ' if doing else ''}{sw:04X}: {describe(sw)}"
