"""Traces: what people see, what the record holds, and what neither may hold."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.apdu import CommandApdu
from hardware.transports.in_process import InProcessTransport
from hardware.transports.tracing import TracingTransport, visible
from support.echo_card import COUNT, SELECT, EchoCard, echo, echo_long
from wallet_core.errors import NoCardError, OutcomeUnknownError

PIN_BLOCK = bytes.fromhex("24123456FFFFFFFF")


class Clock:
    """Every look costs 4 ms."""

    def __init__(self, step_ms: float = 4) -> None:
        self._now, self._step = 0, round(step_ms * 1_000_000)

    def __call__(self) -> int:
        self._now += self._step
        return self._now


def traced(step_ms: float = 4) -> tuple[EchoCard, TracingTransport, list[str], io.StringIO]:
    card, lines, record = EchoCard(), list[str](), io.StringIO()
    transport = TracingTransport(InProcessTransport(card), sink=lines.append, record=record, clock_ns=Clock(step_ms))
    return card, transport, lines, record


def entries(record: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in record.getvalue().splitlines()]


def test_lines_for_people() -> None:
    _, transport, lines, _ = traced()
    for command in (SELECT, echo(b"hi", ne=256), echo(bytes(2), ne=65_536), echo_long(b"long"), COUNT):
        transport.transmit(command.to_bytes())
    transport.transmit(CommandApdu(0x80, 2, 0, 0).to_bytes())
    assert lines == [
        "A>> 00A40400",
        "A<< (4.0 ms) 9000 success",
        "A>> 80E00000 02 6869 00",
        "A<< 6869 (4.0 ms) 9000 success",
        "A>> 80E00000 000002 0000 0000",
        "A<< 0000 (4.0 ms) 9000 success",
        "A>> 80E10000 04 6C6F6E67 00",
        "A<< (4.0 ms) 6104 4 bytes available",
        "A>> 80E20000 04",
        "A<< 00000001 (4.0 ms) 9000 success",
        "A>> 80020000",
        "A<< (4.0 ms) 6D00 instruction not supported",
    ]


def test_long_times_have_no_fractions() -> None:
    _, transport, lines, _ = traced(12.4)
    transport.transmit(SELECT.to_bytes())
    assert lines[-1] == "A<< (12 ms) 9000 success"


def test_the_record() -> None:
    card, transport, lines, record = traced()
    transport.transmit(echo(b"hi", ne=2).to_bytes())
    card.tear_at(1)
    with pytest.raises(OutcomeUnknownError):
        transport.transmit(COUNT.to_bytes())
    card.tear_power_on = True
    with pytest.raises(NoCardError):
        transport.reset()
    transport.reset()
    transport.close()
    told = entries(record)
    assert [entry["event"] for entry in told] == ["open", "exchange", "exchange", "reset", "reset", "close"]
    assert told[0] == {"event": "open", "reader": "in process", "atr": card.atr.hex().upper()}
    assert told[1] == {
        "event": "exchange",
        "n": 1,
        "command": "80E0000002686902",
        "hidden": 0,
        "ms": 4.0,
        "response": "68699000",
        "meaning": "success",
    }
    assert (told[2]["error"], told[3]["error"]) == ("outcome-unknown", "no-card")
    assert told[4]["atr"] == card.atr.hex().upper()
    assert "A<< (4.0 ms) no answer: outcome-unknown" in lines
    assert "--- reset: no-card" in lines
    assert lines[-1].startswith("--- reset, ATR 3B")


SECRETS = [
    CommandApdu(0x00, 0x20, 0, 1, PIN_BLOCK),  # VERIFY
    CommandApdu(0x00, 0x24, 0, 1, PIN_BLOCK + PIN_BLOCK),  # CHANGE REFERENCE DATA
    CommandApdu(0x00, 0x2C, 0, 1, PIN_BLOCK),  # RESET RETRY COUNTER
    CommandApdu(0x10, 0x24, 0, 1, PIN_BLOCK),  # a piece of a chain
    CommandApdu(0x80, 0xE2, 5, 0, PIN_BLOCK),  # STORE DATA
    CommandApdu(0x84, 0xE2, 6, 0, PIN_BLOCK + bytes(16)),  # the same, secured
    CommandApdu(0x84, 0x46, 0, 0, PIN_BLOCK, 256),
    CommandApdu(0x0C, 0xB0, 0, 0, PIN_BLOCK),  # ISO secure messaging
    CommandApdu(0x64, 0xB0, 0, 0, PIN_BLOCK),  # the same on a further channel
    CommandApdu(0x80, 0xD8, 0, 0, PIN_BLOCK + bytes(300), 256),  # PUT KEY, extended
]


@pytest.mark.parametrize("command", SECRETS, ids=lambda command: command.header.hex())
def test_secrets_are_in_no_trace(command: CommandApdu) -> None:
    _, transport, lines, record = traced()
    transport.transmit(command.to_bytes())
    everything = "\n".join(lines) + record.getvalue()
    assert PIN_BLOCK.hex().upper() not in everything.replace(" ", "").upper()
    assert command.header.hex().upper() in everything
    assert "bytes hidden]" in lines[0]
    exchange = entries(record)[1]
    assert len(str(exchange["command"])) // 2 + int(str(exchange["hidden"])) == len(command.to_bytes())


@given(st.sampled_from(SECRETS), st.data())
def test_a_secret_that_was_cut_is_hidden_too(command: CommandApdu, data: st.DataObject) -> None:
    raw = command.to_bytes()
    cut = raw[: data.draw(st.integers(5, len(raw)))]
    shown, hidden = visible(cut)
    assert shown + cut[len(shown) :] == cut
    assert len(shown) + hidden == len(cut)
    assert len(shown) <= 7


def test_what_is_no_secret_is_shown() -> None:
    for command in (
        SELECT,
        echo(b"data"),
        CommandApdu(0x00, 0x20, 0, 1),
        CommandApdu(0x80, 0x32, 0, 0, bytes(138), 256),
    ):
        assert visible(command.to_bytes()) == (command.to_bytes(), 0)
