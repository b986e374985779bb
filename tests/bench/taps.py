"""`tap_modelled` and `tap_overhead`: what a tap sends, what that takes with a real chip, what our driver adds to it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bench.airtime import Traffic
from bench.raw_card import RawCard
from bench.rounds import interleave
from bench.sizes import Sizes
from bench.virtual_card import RenewedCard, VirtualCard, loaded_card, world
from hardware.data_objects import Tag
from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.tap_model import CURRENT, DIVISORS, PUBLISHED, TYPICAL, WORST, Link, Setting, floor_shares
from hardware.tap_model.taps import Exchange
from hardware.transports.base import Transport
from hardware.transports.card_wait import ReaderWatch
from hardware.transports.in_process import InProcessTransport
from hardware.transports.pcsc import PcscTransport
from support.cards import PIN
from support.pcscd import READERS, PrivatePcscd
from wallet_core.certificates import Certificate
from wallet_core.messages import Voucher, parse

SMALL, LARGE = 6_800, 30_000  # fen: below and above the threshold above which the card verifies the payee
CARD_MS = 10_000
EXCHANGES = 4
KBPS: Final = 424

Tap = Callable[[HardWallet], bytes]


class Recorder:
    """A transport that notes the sizes of what passes, and the commands themselves."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.commands: list[bytes] = []
        self.sizes: list[tuple[int, int]] = []

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def atr(self) -> bytes:
        return self._inner.atr

    def transmit(self, command: bytes) -> bytes:
        answer = self._inner.transmit(command)
        self.commands.append(command)
        self.sizes.append((len(command), len(answer)))
        return answer

    def reset(self) -> None:
        self._inner.reset()

    def close(self) -> None:
        self._inner.close()


def known_card(wallet: HardWallet) -> bytes:
    """The till has seen this card's certificate before."""
    return wallet.pay(world().till_request(wallet.select(), SMALL).to_payload())


def unknown_card(wallet: HardWallet) -> bytes:
    """The till knows the policy in force, not the card."""
    fci = wallet.select()
    wallet.certificate()
    return wallet.pay(world().till_request(fci, SMALL).to_payload())


def unknown_policy(wallet: HardWallet) -> bytes:
    """The till knows neither."""
    fci = wallet.select()
    wallet.certificate()
    wallet.data(Tag.POLICY)
    return wallet.pay(world().till_request(fci, SMALL).to_payload())


def verified_payee(wallet: HardWallet) -> bytes:
    """Above the threshold: the holder types the PIN, the card verifies operator, payee and Request."""
    fci = wallet.select()
    wallet.verify_pin(PIN)
    return wallet.pay_verified(*world().signed_by_till(world().till_request(fci, LARGE)))


@dataclass(frozen=True, slots=True)
class Scene:
    """A way to pay, and how many signatures the card verifies for it (the emulator does not count those)."""

    tap: Tap
    verifications: int = 0


SCENES: Final = {
    "known_card": Scene(known_card),
    "unknown_card": Scene(unknown_card),
    "unknown_policy": Scene(unknown_policy),
    "verified_payee": Scene(verified_payee, verifications=3),
}


def play(scene: Scene) -> tuple[Traffic, list[bytes]]:
    """One tap with a card in process; its traffic and commands. Raises when the voucher is not the card's."""
    hand = loaded_card()
    key = Certificate.from_bytes(hand.wallet.certificate()).key
    card = RenewedCard(hand)
    recorder = Recorder(InProcessTransport(card))
    voucher = scene.tap(HardWallet(CardConnection(recorder)))
    parse(Voucher, voucher).verify(key)
    exchanges = tuple(
        Exchange(command[1], command[2], *sizes)
        for command, sizes in zip(recorder.commands, recorder.sizes, strict=True)
    )
    return Traffic(exchanges, card.signatures, scene.verifications), recorder.commands


def tap_modelled() -> dict[str, Any]:
    """Counted bytes and signatures, modelled times (ms), for each way to pay; `typical_ms` is the current chip's."""
    traffic = {name: play(scene)[0] for name, scene in SCENES.items()}
    known = traffic["known_card"]
    typical = known.shares(PUBLISHED[CURRENT], Link(KBPS), TYPICAL).total
    floor = floor_shares(PUBLISHED[CURRENT], Link(KBPS)).total
    return {
        "known_card_exchanges": len(known.exchanges),
        "known_card_bytes": known.bytes_out + known.bytes_in,
        "known_card_signatures": known.signatures,
        "chip": CURRENT,
        "kbps": KBPS,
        "typical_ms": round(typical, 1),
        "worst_ms": round(known.shares(PUBLISHED[CURRENT], Link(KBPS), WORST).total, 1),
        "floor_ms": round(floor, 1),
        "over_floor": round(typical / floor - 1, 3),
        "scenes": {name: _scene(one) for name, one in traffic.items()},
    }


def _scene(traffic: Traffic) -> dict[str, Any]:
    return {
        "exchanges": len(traffic.exchanges),
        "bytes_out": traffic.bytes_out,
        "bytes_in": traffic.bytes_in,
        "blocks": traffic.blocks(Link()),
        "card_signs": traffic.signatures,
        "card_verifies": traffic.verifications,
        "typical_ms": _matrix(traffic, TYPICAL),
        "worst_ms": _matrix(traffic, WORST),
        "parts_ms": {
            part: round(ms, 1) for part, ms in traffic.shares(PUBLISHED[CURRENT], Link(KBPS), TYPICAL).parts().items()
        },
    }


def _matrix(traffic: Traffic, setting: Setting) -> dict[str, dict[str, float]]:
    """Chip → kbit/s → ms."""
    return {
        name: {str(rate): round(traffic.shares(times, Link(rate), setting).total, 1) for rate in DIVISORS}
        for name, times in PUBLISHED.items()
    }


def tap_overhead(sizes: Sizes) -> dict[str, Any]:
    """A tap of four exchanges through the driver against the same bytes through SCardTransmit, both less the card."""
    _, commands = play(SCENES["unknown_card"])
    if len(commands) != EXCHANGES:
        raise RuntimeError(f"the tap has {len(commands)} exchanges, not {EXCHANGES}")
    with PrivatePcscd() as stack, VirtualCard(stack) as card, ReaderWatch(READERS[0]) as watch:
        watch.wait_for_card(CARD_MS)
        bench = _Overhead(card, commands, sizes.taps)
        bench.driver(0)  # warm
        found = interleave(bench.driver, bench.raw, sizes.tap)
    return {
        **found.facts(),
        "tap_ms": round(found.candidate, 3),
        "raw_ms": round(found.control, 3),
        "exchanges": len(commands),
        "taps": found.rounds * sizes.taps,
    }


class _Overhead:
    """Taps over PC/SC, timed here, less the time that the card's process told."""

    def __init__(self, card: VirtualCard, commands: list[bytes], taps: int) -> None:
        self._card = card
        self._commands = commands
        self._taps = taps

    def driver(self, _round: int) -> float:
        """Median ms of a tap through HardWallet."""
        transport = PcscTransport(READERS[0])
        try:
            wallet = HardWallet(CardConnection(transport))
            return self._median(transport.reset, lambda: unknown_card(wallet))
        finally:
            transport.close()

    def raw(self, _round: int) -> float:
        """Median ms of the same four commands through `SCardTransmit`."""
        with RawCard(READERS[0]) as raw:
            commands = [list(command) for command in self._commands]
            return self._median(raw.reset, lambda: raw.transmit_all(commands))

    def _median(self, reset: Callable[[], None], tap: Callable[[], object]) -> float:
        times = []
        for _ in range(self._taps):
            reset()
            start = time.perf_counter_ns()
            tap()
            took = time.perf_counter_ns() - start
            times.append((took - sum(self._card.work_ns(len(self._commands)))) / 1e6)
        return statistics.median(times)
