"""The emulator as one of the two cards: restored from a snapshot, with randomness out of a key."""

from __future__ import annotations

import hashlib
import threading
from random import Random
from unittest import mock

from differential.played import Exchange, Play
from hardware.card_like import CardTorn
from hardware.emulator import vault
from hardware.emulator.card import EmulatedCard
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture
from wallet_core.errors import EcnyError
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite

CARD, SAM = "hk-visitor", "merchant-sam"
SERIAL = bytes.fromhex("D1FFE2E217A10001")
_SCALAR, _SECRET = 32, 48
_ONE_AT_A_TIME = threading.Lock()
"""Two threads that put the same thing in a place and back again would leave it there."""


class Stream:
    """The randomness of both cards: SHA-256 over key and number, block after block; every draw begins at a block.

    It is the Java card's (open.ecny.runtime.RandomSource), whose key pair takes 32 bytes where the emulator takes 48.
    """

    def __init__(self) -> None:
        self._key = b""
        self._drawn = 0

    def start(self, seed: str) -> None:
        self._key, self._drawn = hashlib.sha256(f"ecny java card randomness {seed} 0".encode()).digest(), 0

    def draw(self, size: int) -> bytes:
        if size == _SECRET:
            return self.draw(_SCALAR)
        numbers = range(self._drawn, self._drawn + -(-size // 32))
        self._drawn = numbers.stop
        return b"".join(hashlib.sha256(self._key + str(number).encode()).digest() for number in numbers)[:size]


class ScalarKey(SoftwareKey):
    """The emulator's key pair, made of its 32 random bytes as they are."""

    @classmethod
    def from_secret(cls, secret: bytes, suite: Suite = Suite.ES256) -> SoftwareKey:
        return SoftwareKey.from_scalar(secret, suite)


class EmulatedSide:
    """`restore`, then `transmit` as often as wanted; or a whole `play` from a snapshot that was kept under a name."""

    def __init__(self, serial: bytes = SERIAL, profile: str = CARD) -> None:
        self.serial = serial
        self.profile = profile
        self.subject_class = PROFILES[profile].subject_class
        self._stream = Stream()
        self._flash = Flash(CARD_LAYOUT.cells, rng=Random(0))
        manufacture(self._flash, PROFILES[profile], serial)
        self.card = EmulatedCard(self._flash, lambda _: self._stream.draw)
        self._kept: dict[str, bytes] = {}

    def keep(self, name: str, snapshot: bytes) -> None:
        """Remember a state for `play`."""
        self._kept[name] = snapshot

    def play(self, sequence: Play) -> list[Exchange]:
        self.restore(self._kept[sequence.state], sequence.seed)
        return [self.exchange(command) for command in sequence.commands]

    def exchange(self, command: bytes) -> Exchange:
        """`transmit`, with a look at persistent memory before and after."""
        before = self.snapshot()
        answer = self.transmit(command)
        crashed = answer in (b"", b"\x6f\x00")
        return Exchange(answer, self.snapshot() != before, crashed)

    def snapshot(self) -> bytes:
        """The whole persistent memory, the wear of its cells included: a cell written with what it held shows too."""
        return self._flash.snapshot()

    def restore(self, snapshot: bytes, seed: str) -> None:
        """Become the card of this snapshot at its power-up; what it draws from here on follows from `seed`."""
        self.card.power_off()
        self._flash.restore(snapshot)
        self._stream.start(seed)
        self.card.power_on()

    def transmit(self, command: bytes) -> bytes:
        """The answer; b'' when the card has no answer, which no sequence may bring about."""
        try:
            with _ONE_AT_A_TIME, mock.patch.object(vault, "SoftwareKey", ScalarKey):
                return self.card.transmit(command)
        except (CardTorn, EcnyError):
            return b""
