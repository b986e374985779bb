"""`apdu`: what one exchange costs in process and through pcscd, and what of it is not the card's own work.

The virtual reader's card runs in a process of its own, measures its own time for each APDU and tells it in order. The
commands are a tap's own in turn: SELECT, GET DATA, PAY (the first signs, the others answer what is stored),
GET RESPONSE.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench.sizes import Sizes
from bench.taps import CARD_MS, SCENES, play
from bench.virtual_card import RenewedCard, VirtualCard, loaded_card
from hardware.transports.base import Transport
from hardware.transports.card_wait import ReaderWatch
from hardware.transports.in_process import InProcessTransport
from hardware.transports.pcsc import PcscTransport
from support.cards import CardInHand
from support.pcscd import READERS, PrivatePcscd

WARM_UP = 40  # exchanges


class TimedCard(RenewedCard):
    """Measures its own work, as `hardware.emulator.vpcd.serve` does for the card in the virtual reader."""

    def __init__(self, hand: CardInHand) -> None:
        super().__init__(hand)
        self.work_ns: list[int] = []

    def transmit(self, command: bytes) -> bytes:
        start = time.perf_counter_ns()
        answer = super().transmit(command)
        self.work_ns.append(time.perf_counter_ns() - start)
        return answer


def apdu(sizes: Sizes) -> dict[str, Any]:
    """Milliseconds: the whole exchange, the card's own part, and what is left for the way there and back."""
    _, commands = play(SCENES["unknown_card"])
    card = TimedCard(loaded_card())
    transport = InProcessTransport(card)
    inside = _medians("in_process", _exchange(transport, commands, sizes.exchanges), card.work_ns)
    transport.close()
    with PrivatePcscd() as stack, VirtualCard(stack) as remote, ReaderWatch(READERS[0]) as watch:
        watch.wait_for_card(CARD_MS)
        reader = PcscTransport(READERS[0])
        try:
            times = _exchange(reader, commands, sizes.exchanges)
        finally:
            reader.close()
        through = _medians("pcsc", times, remote.work_ns(len(times)))
    return {**inside, **through, "exchanges": sizes.exchanges}


def _exchange(transport: Transport, commands: Sequence[bytes], count: int) -> list[int]:
    """Send the commands in turn, WARM_UP and `count` times; ns of each exchange. Raises when one is not answered."""
    times = []
    for number in range(WARM_UP + count):
        command = commands[number % len(commands)]
        start = time.perf_counter_ns()
        answer = transport.transmit(command)
        times.append(time.perf_counter_ns() - start)
        if answer[-2:] != b"\x90\x00" and answer[-2] != 0x61:
            raise RuntimeError(f"the card answered {answer[-2:].hex()}")
    return times


def _medians(name: str, times: Sequence[int], work: Sequence[int]) -> dict[str, float]:
    """`times` and `work` are of the same exchanges, in order; those that warm up are left out."""
    if len(times) != len(work):
        raise RuntimeError(f"{len(times)} exchanges, but the card counted {len(work)}")
    over = sorted(whole - own for whole, own in zip(times[WARM_UP:], work[WARM_UP:], strict=True))
    return {
        f"{name}_ms": _ms(statistics.median(times[WARM_UP:])),
        f"{name}_card_ms": _ms(statistics.median(work[WARM_UP:])),
        f"{name}_overhead_ms": _ms(statistics.median(over)),
        f"{name}_overhead_p95_ms": _ms(over[len(over) * 95 // 100]),
    }


def _ms(ns: float) -> float:
    return round(ns / 1e6, 4)
