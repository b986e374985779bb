"""The differential run: a slice of it, and proof that it would notice: planted differences are found and shrunk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from differential.draw import LENGTH, draw
from differential.duel import ENOUGH, Duel, Verdict
from differential.emulated import CARD, SAM, EmulatedSide, Stream
from differential.explained import EXPLAINED
from differential.played import Exchange, Play
from differential.run import both_cards, tell
from differential.states import WAYS
from hardware.commands import GetData, Select
from hardware.data_objects import Tag
from hardware.instructions import Ins
from hardware.status_words import SW
from wallet_core.errors import Refused

APDUS = {CARD: 5_000, SAM: 1_200}
DRAWN = 400  # sequences
SELECT = Select().to_apdu().to_bytes()
UNREACHED = {Refused.COUNTERS_EXHAUSTED}
"""No sequence of 20 commands uses up a counter of 32 bits; tests/wallet_core/purse has it."""


@pytest.fixture(scope="module")
def alone() -> Duel:
    """The emulator and nobody else."""
    side = EmulatedSide()
    return Duel(side, side, lambda _: None)


@dataclass
class Altered:
    """An emulator that answers some commands otherwise: a wrong card to be found out."""

    inner: EmulatedSide
    alter: Callable[[bytes, Exchange], Exchange]

    def play(self, sequence: Play) -> list[Exchange]:
        answers = self.inner.play(sequence)
        return [self.alter(*one) for one in zip(sequence.commands, answers, strict=True)]


def duel_with(alter: Callable[[bytes, Exchange], Exchange]) -> Duel:
    """Two emulators, one of them altered."""
    other = EmulatedSide()
    return Duel(EmulatedSide(), Altered(other, alter), lambda state: other.keep(state.name, state.snapshot))


@pytest.mark.parametrize("profile", [CARD, SAM])
def test_emulator_and_applet_answer_the_same(profile: str) -> None:
    with both_cards(profile) as duel:
        verdict = duel.run("a slice of it", APDUS[profile])
    assert not verdict.found, "\n".join(map(str, verdict.found))
    assert verdict.commands >= APDUS[profile]
    assert " 0 differences, 0 crashes, 0 memory changes, " in verdict.line


def test_no_difference_is_meant() -> None:
    assert not EXPLAINED, "each entry needs its reason, and a sentence in docs/spec/apdu.md"


def test_two_emulators_are_one_card() -> None:
    verdict = duel_with(lambda _, exchange: exchange).run("same", 1_000)
    assert (verdict.found, verdict.explained) == ([], {})


def test_a_wrong_word_is_found_and_shrunk_to_what_shows_it() -> None:
    def alter(command: bytes, exchange: Exchange) -> Exchange:
        wrong = command[1] == Ins.PAY and exchange.sw == Refused.PAYEE_UNVERIFIED
        return Exchange(SW.WRONG_DATA.to_bytes(2, "big")) if wrong else exchange

    verdict = duel_with(alter).run("wrong word", 20_000)
    assert len(verdict.found) == ENOUGH
    assert "10 differences, 0 crashes, 0 memory changes" in verdict.line
    for difference in verdict.found:
        assert difference.what == "status words differ"
        assert difference.sequence.commands[0] == SELECT or difference.sequence.commands[0][1] == Ins.SELECT
        assert len(difference.sequence.commands) <= 5, "SELECT, and PAY, whole or in pieces"
        assert (difference.emulator.sw, difference.applet.sw) == (Refused.PAYEE_UNVERIFIED, SW.WRONG_DATA)


def test_another_answer_under_the_same_word_is_found() -> None:
    serial = GetData(Tag.SERIAL).to_apdu().to_bytes()

    def alter(command: bytes, exchange: Exchange) -> Exchange:
        return Exchange(bytes(8) + b"\x90\x00") if command == serial and exchange.sw == SW.OK else exchange

    found = duel_with(alter).run("answer", 20_000).found
    assert {one.what for one in found} == {"answers differ"}
    assert all(len(one.sequence.commands) == 2 for one in found)


def test_a_refusal_that_leaves_a_trace_is_found() -> None:
    def alter(command: bytes, exchange: Exchange) -> Exchange:
        return Exchange(exchange.answer, changed=True)

    found = duel_with(alter).run("trace", 2_000).found
    assert {one.what for one in found} == {"memory change"}
    assert not any(one.applet.is_done or one.applet.sw >> 4 == 0x63C for one in found), "those may change memory"


def test_a_crash_is_found() -> None:
    verdict = duel_with(lambda _, exchange: Exchange(b"", crashed=True)).run("crash", 200)
    assert " 0 differences, " in verdict.line
    assert {one.what for one in verdict.found} == {"crash"}
    assert all(len(one.sequence.commands) == 1 for one in verdict.found)


def test_what_was_found_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    duel = duel_with(lambda _, exchange: Exchange(b"\x6f\x01"))
    verdict = duel.run("kept", 100)
    tell(verdict, tmp_path)
    told = capsys.readouterr().out
    kept = Play.read(tmp_path / "1.json")
    assert kept == verdict.found[0].sequence
    assert json.loads((tmp_path / "1.json").read_text())["profile"] == CARD
    assert duel.replay(kept) == verdict.found[0]
    assert all(command.hex() in told for command in kept.commands)
    assert told.splitlines()[-1] == verdict.line


def test_a_sequence_follows_from_its_seed_and_number(alone: Duel) -> None:
    drawn = [draw(3, "seed", alone.states, alone.side, alone.cast) for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != draw(4, "seed", alone.states, alone.side, alone.cast)
    assert alone.side.play(drawn[0][0]) == drawn[0][1], "and so do the answers"


def test_the_grammar_reaches_every_state_and_every_reason(alone: Duel) -> None:
    words: set[int] = set()
    begun: set[str] = set()
    for number in range(DRAWN * 5):
        sequence, exchanges = draw(number, "reach", alone.states, alone.side, alone.cast)
        assert len(sequence.commands) <= LENGTH
        words |= {one.sw for one in exchanges}
        begun.add(sequence.state)
        if number >= DRAWN and words >= set(Refused) - UNREACHED:
            break
    assert begun == set(WAYS)
    assert set(Refused) - words == UNREACHED


def test_both_cards_draw_from_one_stream() -> None:
    stream = Stream()
    stream.start("1")
    first = stream.draw(8), stream.draw(12)
    stream.start("1")
    assert (stream.draw(8), stream.draw(12)) == first
    assert first[0] != first[1][:8], "a draw begins at a block of its own"


def test_a_run_that_took_no_time_has_no_rate() -> None:
    assert Verdict().line == "fuzzed: 0 APDUs, 0 differences, 0 crashes, 0 memory changes, 0 APDUs/s"
