"""The Java Card applet plays every session of apdus.json: the same words, the same bytes where they are fixed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from hardware.javacard.process import JavaCardProcess
from support.vectors import FOLDER, vectors
from wallet_core.certificates import CertificateClass

sys.path.insert(0, str(FOLDER))

from replay import replay

CLASSES = {"hk-visitor": CertificateClass.HARD_WALLET, "merchant-sam": CertificateClass.MERCHANT_PURSE}
SESSIONS = [session for session in vectors("apdus.json") if session["suite"] == 1]  # the applet has no SM2
pytestmark = pytest.mark.xdist_group("javacard")


@pytest.fixture(scope="module")
def cards() -> Iterator[dict[str, JavaCardProcess]]:
    """A blank applet of each profile; its memory as the factory leaves it is kept under `blank`."""
    with ExitStack() as running:
        found = {}
        for profile, subject_class in CLASSES.items():
            serial = next(bytes.fromhex(one["serial"]) for one in SESSIONS if one["profile"] == profile)
            card = JavaCardProcess(serial=serial, seed="vectors", subject_class=subject_class)
            found[profile] = running.enter_context(card)
            card.snapshot("blank")
        yield found


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session["name"])
def test_the_applet_answers_alike(session: dict[str, Any], cards: dict[str, JavaCardProcess]) -> None:
    card = cards[session["profile"]]
    card.restore("blank")
    assert replay(session, card.transport()) == []
