"""The clock around a transport: it measures each answered exchange of a power session, and changes nothing."""

from __future__ import annotations

import pytest

from hardware.relay_check import TimedExchange
from hardware.transports.in_process import InProcessTransport
from hardware.transports.timing import TimingTransport
from support.echo_card import EchoCard
from wallet_core.errors import OutcomeUnknownError


class Clock:
    """Goes on by one millisecond and a half at each look."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        self.ns += 1_500_000
        return self.ns


def test_each_answered_exchange_is_timed() -> None:
    card = EchoCard()
    timed = TimingTransport(InProcessTransport(card), Clock())
    command = bytes.fromhex("80320100") + b"\x02ab"
    answer = timed.transmit(command)
    assert timed.exchanges == [TimedExchange(0x32, 0x01, len(command), len(answer), 1.5)]
    card.tear_at(1, after_work=False)
    with pytest.raises(OutcomeUnknownError):
        timed.transmit(command)
    assert len(timed.exchanges) == 1


def test_a_power_session_is_one_tap() -> None:
    timed = TimingTransport(InProcessTransport(EchoCard()), Clock())
    timed.transmit(bytes(4))
    timed.reset()
    assert timed.exchanges == []
