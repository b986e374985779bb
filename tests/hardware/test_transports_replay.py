"""Replay: the record answers, and nothing but the record."""

from __future__ import annotations

import json

import pytest

from hardware.exchange import CardConnection, expect
from hardware.transports.replay import ReplayTransport
from support.benches import InProcessBench, record_of
from support.echo_card import COUNT, echo, echo_long
from wallet_core.errors import CodecError, MismatchError, NoCardError, OutcomeUnknownError, TransportError


def play(bench: InProcessBench) -> None:
    connection = CardConnection(bench.transport)
    assert expect(connection.send(echo_long(b"the long way", ne=16))) == b"the long way"
    connection.reset()
    bench.transport.transmit(bytes.fromhex("002000010824123456FFFFFFFF"))
    assert expect(connection.send(COUNT)) == b"\0\0\0\1"


RECORD = record_of(play)


def test_the_same_questions_get_the_same_answers() -> None:
    replay = ReplayTransport(RECORD.splitlines())
    connection = CardConnection(replay)
    assert expect(connection.send(echo_long(b"the long way", ne=16))) == b"the long way"
    connection.reset()
    # A hidden PIN is compared by its length.
    assert replay.transmit(bytes.fromhex("0020000108FFFFFFFFFFFFFFFF")) == b"\x6d\x00"
    assert expect(connection.send(COUNT)) == b"\0\0\0\1"
    assert replay.is_at_end
    with pytest.raises(NoCardError):
        connection.send(COUNT)
    with pytest.raises(NoCardError):
        replay.reset()
    replay.close()


def test_another_question_is_a_mismatch_and_does_not_count() -> None:
    replay = ReplayTransport(RECORD.splitlines())
    first = echo_long(b"the long way", ne=16).to_bytes()
    for other in (echo(b"else").to_bytes(), first[:-1], first + b"\0", COUNT.to_bytes()):
        with pytest.raises(MismatchError):
            replay.transmit(other)
    with pytest.raises(MismatchError):
        replay.reset()
    replay.close()
    assert replay.transmit(first) == b"\x61\x0c"


def test_a_hidden_secret_of_another_length_is_a_mismatch() -> None:
    lines = [RECORD.splitlines()[0], next(line for line in RECORD.splitlines() if '"00200001' in line)]
    with pytest.raises(MismatchError):
        ReplayTransport(lines).transmit(bytes.fromhex("0020000108FFFFFFFFFFFFFF"))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("outcome-unknown", OutcomeUnknownError),
        ("no-card", NoCardError),
        ("truncated", CodecError),
        ("x", TransportError),
    ],
)
def test_recorded_errors_are_raised_again(code: str, error: type[Exception]) -> None:
    entry = {"event": "exchange", "command": COUNT.to_bytes().hex(), "error": code, "message": "it was so"}
    replay = ReplayTransport([RECORD.splitlines()[0], json.dumps(entry)])
    with pytest.raises(error, match="it was so"):
        replay.transmit(COUNT.to_bytes())


OPEN = '{"event": "open", "reader": "r", "atr": "3B00"}'


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["not JSON"],
        ["[]"],
        ['{"event": 1}'],
        ['{"event": "close"}'],
        ['{"event": "open", "reader": "r"}'],
        ['{"event": "open", "reader": "r", "atr": "3G"}'],
        ['{"event": "open", "reader": 7, "atr": "3B00"}'],
        [OPEN, '{"event": "exchange", "response": "9000"}'],
        [OPEN, '{"event": "exchange", "command": "00", "hidden": "many"}'],
    ],
)
def test_what_is_no_record_is_refused(lines: list[str]) -> None:
    with pytest.raises(CodecError):
        ReplayTransport(lines)


def test_an_exchange_without_an_answer_is_refused_when_it_is_asked_for() -> None:
    replay = ReplayTransport([OPEN, '{"event": "exchange", "command": "80E20000"}'])
    with pytest.raises(CodecError):
        replay.transmit(bytes.fromhex("80E20000"))
