"""`relay`: taps through a relay against taps without, measured here; how often a bound is wrong about either.

The card answers as fast as this machine computes: the bench shows the method and the noise of a host, not a chip. The
bound of a command is the 99th percentile of its times in one half of the direct taps; false alarms are counted on the
other half, misses on each relay. Direct and relayed taps take turns, so that a busy machine is busy for all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from random import Random
from typing import Any, Final

from bench.relay_model import Rate
from bench.relays import DelayingTransport, TcpRelay, Wait
from bench.sizes import Sizes
from bench.taps import SCENES, play
from bench.virtual_card import RenewedCard, loaded_card
from hardware.instructions import Ins
from hardware.transports.base import Transport
from hardware.transports.in_process import InProcessTransport
from hardware.transports.timing import TimingTransport

DELAYS_MS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
TCP_DELAYS_MS: Final = (0.0, 2.0, 5.0)
DIRECT: Final = "direct"
_JITTER: Final = 0.25  # of the delay
_BOUND: Final = 99  # percentile of honest answers
_PARTS: Final = (5, 50, 95, 99)
CHEAP: Final = "SELECT"
PAY: Final = "PAY"
_KINDS: Final = {Ins.SELECT: CHEAP, Ins.PAY: PAY}
_WARM_UP: Final = 20  # one tap of so many warms up


def relay(sizes: Sizes, wait: Wait = time.sleep) -> dict[str, Any]:
    """For each way the distribution of the times of SELECT and PAY, ms, and how often a bound is wrong about them."""
    _, commands = play(SCENES["known_card"])
    rng = Random(1)
    with ExitStack() as stack:
        ways = {DIRECT: fresh_card()}
        for delay in DELAYS_MS:
            ways[f"relay {delay:g} ms"] = DelayingTransport(fresh_card(), delay, _JITTER * delay, rng, wait)
        for delay in TCP_DELAYS_MS:
            far = DelayingTransport(fresh_card(), delay, _JITTER * delay, rng, wait)
            reader = stack.enter_context(TcpRelay(far)).reader()
            stack.callback(reader.close)
            ways[f"TCP relay {delay:g} ms"] = reader
        times = _taps({name: TimingTransport(way) for name, way in ways.items()}, commands, sizes.relay_taps)
    return judged(times)


def judged(times: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """The bounds from half of the direct taps, and what they say about all others; way → command → ms."""
    bounds = {command: _percentile(found[::2], _BOUND) for command, found in times[DIRECT].items()}
    alarms = {
        command: _rate(Rate(sum(ms > bounds[command] for ms in found[1::2]), len(found[1::2])))
        for command, found in times[DIRECT].items()
    }
    return {
        "taps": len(times[DIRECT][PAY]),
        "bound_ms": {command: round(bound, 4) for command, bound in bounds.items()},
        "false_alarms": alarms,
        "ways": {
            way: {
                command: {
                    **{f"p{part}_ms": round(_percentile(found, part), 4) for part in _PARTS},
                    "missed": None if way == DIRECT else _rate(_missed(found, bounds[command])),
                }
                for command, found in commands.items()
            }
            for way, commands in times.items()
        },
    }


def _missed(found: Sequence[float], bound: float) -> Rate:
    return Rate(sum(ms <= bound for ms in found), len(found))


def _percentile(found: Sequence[float], part: int) -> float:
    return sorted(found)[part * (len(found) - 1) // 100]


def fresh_card() -> Transport:
    """A loaded card in process that is freshly loaded again at each power-up."""
    return InProcessTransport(RenewedCard(loaded_card()))


def _taps(ways: dict[str, TimingTransport], commands: Sequence[bytes], count: int) -> dict[str, dict[str, list[float]]]:
    """`count` taps each way, in turn; way → command → ms. Raises RuntimeError where a card does not answer."""
    found: dict[str, dict[str, list[float]]] = {name: {CHEAP: [], PAY: []} for name in ways}
    warm_up = 1 + count // _WARM_UP
    for number in range(warm_up + count):
        for name, way in ways.items():
            way.reset()
            for command in commands:
                answer = way.transmit(command)
                if answer[-2:] != b"\x90\x00" and answer[-2] != 0x61:
                    raise RuntimeError(f"{name}: the card answered {answer[-2:].hex()}")
            if number >= warm_up:
                for one in way.exchanges:
                    if one.ins in _KINDS:
                        found[name][_KINDS[Ins(one.ins)]].append(one.ms)
    return found


def _rate(rate: Rate) -> dict[str, float]:
    low, high = rate.interval
    return {"rate": round(rate.value, 4), "low": round(low, 4), "high": round(high, 4), "trials": rate.trials}
