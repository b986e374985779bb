"""The till's timing check: what is late, what is no evidence, and how often the modelled world fools it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bench.relay_model import PAY, Rate, answers, bound_of, late, missed
from bench.taps import SCENES as PLAYED
from bench.taps import play
from bench.virtual_card import RenewedCard, loaded_card
from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.instructions import Ins
from hardware.relay_check import Bound, Finding, Margin, TimedExchange, Verdict, judge
from hardware.tap_model import CURRENT, PUBLISHED, SCENES, TYPICAL, Link, command_ms, tap_shares
from hardware.transports.in_process import InProcessTransport
from hardware.transports.timing import TimingTransport
from wallet_core.errors import OutOfRangeError

NOW = bound_of(CURRENT)
WAY = (PAY.ins, PAY.p1, PAY.sent, PAY.received)
CHIPS = pytest.mark.parametrize("name", PUBLISHED)


def tap(pay_ms: float, select_ms: float = 5.0, received: int = PAY.received) -> list[TimedExchange]:
    return [TimedExchange(Ins.SELECT, 4, 13, 103, select_ms), TimedExchange(Ins.PAY, 0, 144, received, pay_ms)]


def test_the_bound_is_the_modelled_time_and_the_margin() -> None:
    card = command_ms(PUBLISHED[CURRENT], *WAY)
    assert NOW.allowed_ms(*WAY) == pytest.approx(NOW.expected_ms(*WAY) + 10 + 0.05 * card)
    exact = Bound(PUBLISHED[CURRENT], Link(424), TYPICAL, Margin(0, 0))
    assert exact.allowed_ms(*WAY) == exact.expected_ms(*WAY)


@CHIPS
def test_what_is_expected_of_a_tap_is_what_the_tap_model_says(name: str) -> None:
    bound = bound_of(name)
    shares = tap_shares(SCENES["known_card"], bound.times, bound.link)
    without = shares.total - shares.activation - shares.host
    expected = sum(bound.expected_ms(one.ins, one.p1, one.sent, one.received) for one in SCENES["known_card"])
    assert expected == pytest.approx(without)


def test_an_answer_on_the_bound_is_in_time_and_one_above_is_late() -> None:
    allowed = NOW.allowed_ms(*WAY)
    assert judge(tap(allowed), NOW) == Finding(Verdict.IN_TIME, allowed, allowed)
    assert judge(tap(allowed + 0.001), NOW).verdict is Verdict.LATE


def test_a_tap_without_a_fresh_answer_says_nothing() -> None:
    assert judge([], NOW).verdict is Verdict.NOT_MEASURED
    assert judge(tap(500)[:1], NOW).verdict is Verdict.NOT_MEASURED
    assert judge(tap(500, received=2), NOW).verdict is Verdict.NOT_MEASURED


def test_a_cheap_answer_that_is_late_is_a_hint_and_decides_nothing() -> None:
    found = judge(tap(pay_ms=50, select_ms=60), NOW)
    assert found.verdict is Verdict.IN_TIME
    assert found.cheap_over_ms == pytest.approx(60 - NOW.allowed_ms(Ins.SELECT, 4, 13, 103))
    assert judge(tap(50), NOW).cheap_over_ms == 0


def test_the_last_pay_with_a_voucher_counts() -> None:
    refused = TimedExchange(Ins.PAY, 0, 144, 2, 400)
    assert judge([refused, *tap(50)], NOW).verdict is Verdict.IN_TIME
    assert judge([*tap(50), TimedExchange(Ins.PAY, 0, 144, 258, 400)], NOW).verdict is Verdict.LATE


def test_a_payment_with_papers_may_take_longer() -> None:
    verified = TimedExchange(Ins.PAY, 1, 676, 258, NOW.allowed_ms(*WAY) + 50)
    assert judge([verified], NOW).verdict is Verdict.IN_TIME


def test_a_margin_is_not_negative() -> None:
    with pytest.raises(OutOfRangeError):
        Margin(grace_ms=-1)
    with pytest.raises(OutOfRangeError):
        Margin(part=-0.1)


def test_a_real_tap_is_timed_and_judged() -> None:
    """The emulated card is faster than any chip, so it is in time."""
    hand = loaded_card()
    transport = TimingTransport(InProcessTransport(RenewedCard(hand)))
    PLAYED["known_card"].tap(HardWallet(CardConnection(transport)))
    traffic, _ = play(PLAYED["known_card"])
    assert [(one.ins, one.p1, one.sent, one.received) for one in transport.exchanges] == [
        (one.ins, one.p1, one.sent, one.received) for one in traffic.exchanges
    ]
    assert judge(transport.exchanges, NOW).verdict is Verdict.IN_TIME


class TestTheModelledShop:
    def test_the_same_seed_gives_the_same_answers(self) -> None:
        assert answers(NOW, 10, 50) == answers(NOW, 10, 50)
        assert answers(NOW, 10, 50) != answers(NOW, 10, 50, seed=1)

    @CHIPS
    def test_few_honest_taps_are_late(self, name: str) -> None:
        low, high = late(answers(bound_of(name), 0), bound_of(name)).interval
        assert 0 < low < high < 0.015

    @CHIPS
    def test_a_longer_relay_is_missed_less_often(self, name: str) -> None:
        rates = [missed(answers(bound_of(name), delay), bound_of(name)).value for delay in (5, 15, 25, 40, 120)]
        assert all(more >= less for more, less in pairwise(rates))
        assert rates[0] > 0.98
        assert rates[-1] < 0.01

    def test_a_relay_below_the_grace_is_missed_and_above_35_ms_caught(self) -> None:
        assert missed(answers(NOW, 2), NOW).value > 0.98
        assert missed(answers(NOW, 35), NOW).interval[1] < 0.01

    def test_one_bound_for_all_misses_a_current_chip(self) -> None:
        oldest = bound_of(next(iter(PUBLISHED)))
        assert missed(answers(NOW, 100), oldest).value > 0.98

    def test_a_tighter_grace_raises_more_alarms(self) -> None:
        honest = answers(NOW, 0)
        alarms = [late(honest, bound_of(CURRENT, grace)).hits for grace in (0, 2, 10, 40)]
        assert alarms == sorted(alarms, reverse=True)
        assert alarms[0] > alarms[-1]


def test_an_interval_of_wilson() -> None:
    assert Rate(0, 150).interval == pytest.approx((0, 0.02497), abs=1e-4)
    assert Rate(8, 10).interval == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert str(Rate(8, 10)) == "80.0% (49.0% to 94.3%)"
