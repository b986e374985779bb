"""apdus.json holds every command and every refusal, and what it marks as free is all that another card may change."""

from __future__ import annotations

import re
import sys
from random import Random
from typing import Any

import pytest

from hardware.emulator.card import EmulatedCard
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.transports.in_process import InProcessTransport
from support.tree import ROOT
from support.vectors import FOLDER, vectors
from wallet_core.errors import Refused

sys.path.insert(0, str(FOLDER))

from replay import replay

SESSIONS = vectors("apdus.json")
STEPS = [step for session in SESSIONS for step in session["steps"] if "sw" in step]
APDU_MD = (ROOT / "docs" / "spec" / "apdu.md").read_text(encoding="utf-8")
# No sequence of commands leads there in a lifetime: purse.json has these.
UNREACHABLE = {Refused.COUNTERS_EXHAUSTED}


def name_of(session: dict[str, Any]) -> str:
    return f"{session['name']}"


def commands() -> dict[str, re.Pattern[str]]:
    """The commands of apdu.md by name, each with what its APDUs begin with."""
    rows = re.findall(r"^\| ([A-Z][^|]*) \| `([^`]+)`", APDU_MD.split("### SELECT")[0], re.MULTILINE)
    found = {}
    for name, header in rows:
        digits = re.sub("kv|p1|i", "..", header.replace(" ", "").lower())
        found[name.strip()] = re.compile(re.sub("^84", "8[04]", digits))
    return found


def test_every_command_of_the_page_is_done_and_refused() -> None:
    table = commands()
    assert len(table) > 25
    for name, header in table.items():
        # Through the channel the class says so, 84; the plain command inside has 80.
        asked = [(step.get("channel", {}).get("plain", step["command"]), step["sw"]) for step in STEPS]
        words = {sw for command, sw in asked if header.match(command)}
        assert any(word == "9000" or word.startswith("61") for word in words), f"{name} is never done"
        assert any(word != "9000" and not word.startswith("61") for word in words), f"{name} is never refused"


def test_every_reason_of_a_purse_is_given() -> None:
    words = {int(step["sw"], 16) for step in STEPS}
    assert set(Refused) - words == UNREACHABLE
    assert words >= {0x6700, 0x6881, 0x6882, 0x6884, 0x6988, 0x6A82, 0x6A86, 0x6D00, 0x6E00, 0x63C0, 0x63C1, 0x63C2}


def test_what_is_free_lies_in_its_answer() -> None:
    for step in STEPS:
        for start, size, what in step.get("free", ()):
            assert what
            assert start >= 0
            assert size > 0
            assert start + size <= len(step["answer"]) // 2


@pytest.mark.parametrize("session", SESSIONS, ids=name_of)
def test_another_card_answers_alike(session: dict[str, Any]) -> None:
    """Other keys, other random numbers: the same words and, but for what is free, the same bytes."""
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    manufacture(flash, PROFILES[session["profile"]], bytes.fromhex(session["serial"]))
    reader = InProcessTransport(EmulatedCard(flash, seeded(session["seed"] + 1)))
    assert replay(session, reader) == []


def test_a_card_that_answers_one_byte_otherwise_is_noticed() -> None:
    (session,) = [session for session in SESSIONS if session["name"] == "a blank card"]
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    manufacture(flash, PROFILES[session["profile"]], bytes.fromhex(session["serial"]))

    class Wrong(InProcessTransport):
        def transmit(self, command: bytes) -> bytes:
            answer = super().transmit(command)
            return answer.replace(b"\xc6\x02\x10\x08", b"\xc6\x02\x10\x07")  # one entry less than there is

    (fault,) = replay(session, Wrong(EmulatedCard(flash, seeded(1))))
    assert "SELECT: byte" in fault
