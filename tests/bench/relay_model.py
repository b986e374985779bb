"""A deterministic model of honest and relayed answers to PAY, and how often the till's check is wrong about them.

What is modelled beside the chip's published time (hardware.relay_check.Bound), each an assumption with its ground:

    the card        ±2 % (standard deviation) of its own time: two published runs of one type differ by 4 %
    the reader      0.5 ms on average, exponential: a USB frame comes or does not
    a lost block    0.5 % of exchanges: the reader waits out FWT, then asks with R(NAK) (ISO/IEC 14443-4, 7.5.4)
    the host        0.3 % of exchanges: 5 to 60 ms, when something else had the processor
    a relay         its delay there and back, and a quarter more on average, exponential

The same seed gives the same answers, so that docs/explanation/relay.md can be held by a test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from hardware.instructions import Ins
from hardware.relay_check import Bound, Margin
from hardware.tap_model import SCENES, TYPICAL, Link, chip, command_ms
from hardware.tap_model.taps import Exchange

SEED: Final = 20_150
TAPS: Final = 4_000
PAY: Final[Exchange] = next(one for one in SCENES["known_card"] if one.ins == Ins.PAY)
_CARD_SPREAD: Final = 0.02
_READER_MS: Final = 0.5
_LOST_BLOCK: Final = 0.005
_BUSY_HOST: Final = 0.003
_BUSY_MS: Final = (5.0, 60.0)
_RELAY_SPREAD: Final = 0.25
_Z95: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `trials`, with its Wilson interval at 95 %."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        return self.hits / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        n, p, z2 = self.trials, self.value, _Z95**2
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"


def answers(actual: Bound, delay_ms: float, taps: int = TAPS, seed: int = SEED) -> list[float]:
    """`taps` answers to PAY of cards of the class in `actual`, relayed with `delay_ms` there and back (0: not at all).

    Each delay has its own stream of chance.
    """
    rng = Random(f"{seed} {actual.times.name} {actual.link.bitrate_kbps} {delay_ms}")
    card = command_ms(actual.times, PAY.ins, PAY.p1, PAY.sent, PAY.received)
    expected = actual.expected_ms(PAY.ins, PAY.p1, PAY.sent, PAY.received)
    waiting = replace(actual.link, fwi=actual.setting.fwi).fwt_ms
    return [expected + _chance(card, waiting, rng) + _relay(delay_ms, rng) for _ in range(taps)]


def _chance(card: float, waiting: float, rng: Random) -> float:
    """What chance adds to an honest answer, ms; may be negative."""
    extra = card * rng.gauss(0, _CARD_SPREAD) + rng.expovariate(1 / _READER_MS)
    if rng.random() < _LOST_BLOCK:
        extra += waiting
    if rng.random() < _BUSY_HOST:
        extra += rng.uniform(*_BUSY_MS)
    return extra


def _relay(delay_ms: float, rng: Random) -> float:
    return delay_ms + rng.expovariate(1 / (_RELAY_SPREAD * delay_ms)) if delay_ms else 0.0


def late(found: Sequence[float], bound: Bound) -> Rate:
    """How many are over the bound: false alarms of honest answers, relays caught of relayed ones."""
    allowed = bound.allowed_ms(PAY.ins, PAY.p1, PAY.sent, PAY.received)
    return Rate(sum(ms > allowed for ms in found), len(found))


def missed(found: Sequence[float], bound: Bound) -> Rate:
    """Relays that pass as honest."""
    caught = late(found, bound)
    return Rate(caught.trials - caught.hits, caught.trials)


def bound_of(name: str, grace_ms: float | None = None, kbps: int = 424) -> Bound:
    """The bound of a chip's class; `grace_ms` None: the one that the till has."""
    margin = Margin() if grace_ms is None else Margin(grace_ms)
    return Bound(chip(name), Link(kbps), TYPICAL, margin)
