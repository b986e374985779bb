"""The sessions with the emulated card as vectors (apdus.json)."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Any

from life import PIN, Life
from sessions import SESSIONS, Session

from hardware.emulator.card import EmulatedCard
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport


def vectors() -> list[dict[str, Any]]:
    return [_vector(session) for session in SESSIONS]


def _vector(session: Session) -> dict[str, Any]:
    seed = int.from_bytes(hashlib.sha256(session.name.encode()).digest()[:8], "big")
    flash = Flash(CARD_LAYOUT.cells, rng=Random(seed))
    manufacture(flash, PROFILES[session.profile], session.serial)
    card = EmulatedCard(flash, seeded(seed))
    life = Life(InProcessTransport(card), session.serial, session.suite)
    session.story(life)
    static = transport_keys(TEST_BATCH_KEY, session.serial, production=False)
    vault = card.vault
    scalar = vault.key().to_scalar().hex() if vault and vault.record.has_key else None
    return {
        "name": session.name,
        "profile": session.profile,
        "suite": int(session.suite),
        "serial": session.serial.hex(),
        "seed": seed,
        "k_enc": static.enc.hex(),
        "k_mac": static.mac.hex(),
        "pin": PIN,
        "card_scalar": scalar,
        "steps": life.steps,
    }
