"""A loaded card in the virtual reader, played by a process of its own that tells its own time for each APDU.

python tests/bench/virtual_card.py     the card's process: vpcd at 127.0.0.1, one 8-byte number of ns an exchange
with VirtualCard(stack) as card: …     the benchmark's side
"""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Final, Self

from hardware.card_like import CardLike
from hardware.emulator.vpcd import Event, EventKind, Remote, serve
from support.cards import CardInHand, World, make_world, personalised_card
from support.pcscd import PrivatePcscd

LOADED: Final = 50_000  # fen
ANSWER_S: Final = 20.0
_NS: Final = struct.Struct(">Q")


def world() -> World:
    """Keys of the benchmark: the same in both processes."""
    return make_world("benchmark")


def loaded_card() -> CardInHand:
    """An active card in process, selected, with RMB 500.00 of test money."""
    return personalised_card(world(), load=LOADED)


class RenewedCard:
    """A card that is the freshly loaded one again at each power-up, so that any number of taps pays its counter 1.

    No wallet may do that; a benchmark must, for a card has 16 slots and every tap is to do the same.
    """

    def __init__(self, hand: CardInHand) -> None:
        hand.transport.close()
        self._card = hand.card
        self._loaded = hand.flash.snapshot()

    def power_on(self) -> bytes:
        self.power_off()
        self._card.flash.restore(self._loaded)
        return self._card.power_on()

    def power_off(self) -> None:
        self._card.power_off()

    def transmit(self, command: bytes) -> bytes:
        return self._card.transmit(command)

    @property
    def signatures(self) -> int:
        """Made since the last power-up."""
        return self._card.signatures


class VirtualCard:
    """The card's process, inserted from entering the block to leaving it."""

    def __init__(self, stack: PrivatePcscd) -> None:
        self._process = subprocess.Popen(
            [*stack.inside, sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        )
        if self._process.stdout is None:
            raise RuntimeError("no output to read")
        self._times = self._process.stdout.fileno()

    def work_ns(self, exchanges: int) -> list[int]:
        """The card's own time for the next `exchanges` that it answered, in order."""
        size, got = exchanges * _NS.size, b""
        while len(got) < size:
            readable, _, _ = select.select([self._times], [], [], ANSWER_S)
            part = os.read(self._times, size - len(got)) if readable else b""
            if not part:
                raise RuntimeError(f"the card told {len(got) // _NS.size} times of {exchanges}")
            got += part
        return [ns for (ns,) in _NS.iter_unpack(got)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(ANSWER_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


def play(card: CardLike) -> None:
    """Keep the card in the reader until SIGTERM; write the time of each exchange to standard output."""
    remote = Remote()
    signal.signal(signal.SIGTERM, lambda *_: remote.stop())

    def tell(event: Event) -> None:
        if event.kind is EventKind.EXCHANGE:
            os.write(sys.stdout.fileno(), _NS.pack(event.work_ns))

    serve(card, remote, on_event=tell)
    remote.close()


if __name__ == "__main__":
    play(RenewedCard(loaded_card()))
