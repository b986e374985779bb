"""Kinds of emulated card, and the factory that makes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from hardware.data_objects import SERIAL_SIZE
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CardMemory, FactoryData
from hardware.emulator.vault import RandomBytes, RandomFor
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from wallet_core.certificates import CertificateClass
from wallet_core.errors import UsageError


@dataclass(frozen=True, slots=True)
class CardProfile:
    """`subject_class`: what the card asks to be certified as; `production`: refuses test keys, is made with none."""

    name: str
    subject_class: CertificateClass
    production: bool = False


PROFILES: Final = {
    profile.name: profile
    for profile in (
        CardProfile("hk-visitor", CertificateClass.HARD_WALLET),
        CardProfile("merchant-sam", CertificateClass.MERCHANT_PURSE),
        CardProfile("hk-visitor-production", CertificateClass.HARD_WALLET, production=True),
    )
}


@dataclass(frozen=True, slots=True)
class ReadyProfile:
    """A card that a tool makes from a seed alone (hardware.emulator.issuer). `load`: fen that it starts with."""

    name: str
    card: CardProfile
    personalised: bool = True
    load: int = 0


READY_PROFILES: Final = {
    profile.name: profile
    for profile in (
        ReadyProfile("hk-visitor", PROFILES["hk-visitor"], load=50_000),
        ReadyProfile("merchant-sam", PROFILES["merchant-sam"]),
        ReadyProfile("blank", PROFILES["hk-visitor"], personalised=False),
    )
}
DEFAULT_READY: Final = "hk-visitor"


def find_ready(name: str) -> ReadyProfile:
    """The ready-made profile with this name; raises UsageError."""
    try:
        return READY_PROFILES[name]
    except KeyError:
        raise UsageError(f"no card profile {name!r}", next_step=f"Take one of {', '.join(READY_PROFILES)}.") from None


def ready_seed(profile: ReadyProfile, seed: str) -> int:
    """The number from which all randomness of this card follows."""
    return seed_number(f"{profile.name} {seed}")


def ready_serial(profile: ReadyProfile, seed: str) -> bytes:
    """Its serial number, 8 bytes."""
    return seed_serial(f"{profile.name} {seed}")


def seed_number(text: str) -> int:
    """A seed in words as the number that `seeded` takes."""
    return int.from_bytes(hashlib.sha256(b"ecny card seed " + text.encode()).digest()[:16], "big")


def seed_serial(text: str) -> bytes:
    """The serial number (8 bytes) of the card that is made from this seed."""
    return hashlib.sha256(b"ecny card serial " + text.encode()).digest()[:SERIAL_SIZE]


def find_profile(name: str) -> CardProfile:
    """The profile with this name; raises UsageError."""
    try:
        return PROFILES[name]
    except KeyError:
        raise UsageError(f"no card profile {name!r}", next_step=f"Take one of {', '.join(PROFILES)}.") from None


def manufacture(flash: Flash, profile: CardProfile, serial: bytes, batch_key: bytes = TEST_BATCH_KEY) -> None:
    """Make a blank card on a blank flash: factory data, then the first state. The flash is left without power.

    Raises ConfigurationError for the test batch key in a production profile.
    """
    keys = transport_keys(batch_key, serial, production=profile.production)
    flash.power_on()
    try:
        CardMemory(flash).manufacture(FactoryData(serial, profile.subject_class, profile.production, keys))
    finally:
        flash.power_off()


def seeded(seed: int) -> RandomFor:
    """Randomness that a seed replays: for each power session a SHA-256 stream of its own (emulated cards only)."""

    def session(sequence: int) -> RandomBytes:
        key = hashlib.sha256(b"ecny card randomness %d %d" % (seed, sequence)).digest()
        drawn = 0

        def draw(size: int) -> bytes:
            nonlocal drawn
            blocks = -(-size // 32)
            stream = b"".join(hashlib.sha256(key + (drawn + i).to_bytes(8, "big")).digest() for i in range(blocks))
            drawn += blocks
            return stream[:size]

        return draw

    return session
