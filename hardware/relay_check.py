"""Was the card that paid in this reader? What the time of its answers says, and what it cannot say.

A relay carries a tap from a card elsewhere to the till; every message is genuine, only late. The check compares each
exchange with the time that the chip's published figures allow (hardware.tap_model) and adds a margin.

Only the answer to PAY counts as evidence: nobody but the card can make it, and not before it has the Request. SELECT,
GET DATA and GET RESPONSE can be answered by the relay itself, out of what it read or fetched ahead, so a *late* one
tells of a clumsy relay and an early one of nothing. A relay that adds less than the margin is never seen. The verdict
is a note for people and books, never a refusal: docs/explanation/relay.md has the miss rates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from hardware.instructions import Ins
from hardware.tap_model import TYPICAL, CardTimes, Link, Setting, command_ms, exchange_ms, extension_ms, extensions
from wallet_core.errors import OutOfRangeError

_STATUS_WORD: Final = 2


@dataclass(frozen=True, slots=True)
class TimedExchange:
    """One command and its answer as the till saw them: bytes, and milliseconds from the one to the other."""

    ins: int
    p1: int
    sent: int
    received: int
    ms: float


@dataclass(frozen=True, slots=True)
class Margin:
    """How much later than modelled an honest answer may be: `grace_ms`, and a part of the card's own time.

    Two runs of one chip in two readers differ by 4 % (P71D321 and J3R180 in the JCAlgTest database), two chips of one
    type by about as much. Raises OutOfRangeError for a negative one.
    """

    grace_ms: float = 10.0
    part: float = 0.05

    def __post_init__(self) -> None:
        if self.grace_ms < 0 or self.part < 0:
            raise OutOfRangeError("a margin is not negative")


class Verdict(StrEnum):
    """What the till writes beside the sale."""

    IN_TIME = "in-time"
    LATE = "late"
    NOT_MEASURED = "not-measured"  # no fresh answer to PAY in this tap


@dataclass(frozen=True, slots=True)
class Finding:
    """`fresh_ms` is the time of PAY's answer and `allowed_ms` what it may take; `cheap_over_ms` by how much the latest
    of the other answers was over its own bound (0: none was), which is a hint and decides nothing."""

    verdict: Verdict
    fresh_ms: float = 0.0
    allowed_ms: float = 0.0
    cheap_over_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Bound:
    """How long the answers of one class of chips may take in one till's reader."""

    times: CardTimes
    link: Link
    setting: Setting = TYPICAL
    margin: Margin = Margin()

    def expected_ms(self, ins: int, p1: int, sent: int, received: int) -> float:
        """Line, card, S(WTX) and reader."""
        link = replace(self.link, fwi=self.setting.fwi)
        card = command_ms(self.times, ins, p1, sent, received)
        waiting = extensions(link, card) * extension_ms(link)
        return exchange_ms(link, sent, received) + card + waiting + self.setting.reader

    def allowed_ms(self, ins: int, p1: int, sent: int, received: int) -> float:
        """The most that is in time."""
        card = command_ms(self.times, ins, p1, sent, received)
        return self.expected_ms(ins, p1, sent, received) + self.margin.part * card + self.margin.grace_ms


def judge(exchanges: Iterable[TimedExchange], bound: Bound) -> Finding:
    """One tap. Where PAY was answered more than once (a PIN between) the last answer is the one with the voucher.

    A stored answer comes sooner than a fresh one and is therefore in time, wherever it comes from: a till that repeats
    a PAY after a lost answer keeps the verdict of the first.
    """
    finding = Finding(Verdict.NOT_MEASURED)
    cheap_over = 0.0
    for one in exchanges:
        allowed = bound.allowed_ms(one.ins, one.p1, one.sent, one.received)
        if one.ins == Ins.PAY:
            if one.received > _STATUS_WORD:
                verdict = Verdict.LATE if one.ms > allowed else Verdict.IN_TIME
                finding = Finding(verdict, one.ms, allowed)
        else:
            cheap_over = max(cheap_over, one.ms - allowed)
    return replace(finding, cheap_over_ms=cheap_over)
