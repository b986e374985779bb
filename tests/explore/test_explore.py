"""The explorer itself: a slice of each scope, planted faults that it must find, and traces that play again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explore.frontier import Limits
from explore.run import explore, main, replay
from explore.scenarios import Profile
from explore.traces import Trace, play
from hardware.emulator.flash import Outcome
from hardware.emulator.journal import Journal
from hardware.emulator.vault import Vault
from server.settlement.service import SettlementService
from wallet_core.errors import ConfigurationError
from wallet_core.purse import receive, settle, spend
from wallet_core.purse.state import PurseState, SlotState

WORST = (Outcome.PARTIAL, Outcome.UNSTABLE)
CUT = Profile(outcomes=WORST, stride=3, faults=0, pair_faults=0, cuts=1, needless=0)
LOST = Profile(faults=1, pair_faults=1, cuts=0, needless=0)
PLAIN = Profile(faults=0, pair_faults=0, cuts=0, needless=0)


@pytest.mark.parametrize("profile", [CUT, LOST], ids=["cuts", "messages"])
@pytest.mark.parametrize("scope", ["a", "b"])
def test_a_slice_of_the_exhausted_scopes_has_no_violation(scope: str, profile: Profile, tmp_path: Path) -> None:
    result = explore(scope, profile, traces=tmp_path)
    assert result.violations == ()
    assert result.exhausted
    assert result.states > 200
    assert list(tmp_path.iterdir()) == []


def test_the_till_between_card_and_sam_has_no_violation(tmp_path: Path) -> None:
    result = explore("b2", CUT, traces=tmp_path)
    assert result.violations == ()
    assert result.exhausted


def test_the_bounded_scope_stops_where_it_is_told_to(tmp_path: Path) -> None:
    result = explore("c", Profile(outcomes=WORST, stride=4), limits=Limits(states=2_000, edges=False), traces=tmp_path)
    assert result.violations == ()
    assert not result.exhausted
    assert result.states >= 2_000


def test_two_processes_find_the_same_states_as_one(tmp_path: Path) -> None:
    alone, both = (explore("a", CUT, workers=count, traces=tmp_path) for count in (1, 2))
    assert (both.states, both.transitions, both.levels) == (alone.states, alone.transitions, alone.levels)
    assert both.exhausted


def twice(debit: Callable[..., Any]) -> Callable[..., Any]:
    """A purse that takes the amount two times."""

    def planted(state: PurseState, *args: Any, **kwargs: Any) -> Any:
        decision = debit(state, *args, **kwargs)
        if isinstance(decision, spend.Debit):
            after = decision.after
            object.__setattr__(after, "total_out", after.total_out + decision.voucher.amount)
        return decision

    return planted


def early(_commit: Callable[..., Any]) -> Callable[..., Any]:
    """A card that believes a change, answers, and writes nothing down."""

    def planted(self: Vault, state: PurseState) -> None:
        object.__setattr__(self.record, "purse", state)

    return planted


def guessing(_load: Callable[..., Any]) -> Callable[..., Any]:
    """A journal that takes the first record it finds for the newest."""

    def planted(self: Journal) -> bytes:
        self._session = -1
        found = [record for at in range(self._layout.positions) if (record := self._read(at))]
        self._write(found[0].sequence + 1, found[0].payload)
        self._settled(found[0].sequence + 1)
        return found[0].payload

    return planted


def forgetful(settle: Callable[..., Any]) -> Callable[..., Any]:
    """A server that answers a deposit and forgets it."""

    def planted(self: SettlementService, raw: bytes, now: int) -> bytes:
        storage: Any = self._storage
        before = storage.dump()
        answer: bytes = settle(self, raw, now)
        storage._memory.deserialize(before)
        return answer

    return planted


def unpaid(finish: Callable[..., Any]) -> Callable[..., Any]:
    """A purse that marks a slot as reversed and keeps the value."""

    def planted(state: PurseState, index: int | None, target: SlotState) -> PurseState:
        after: PurseState = finish(state, index, target)
        return replace(after, total_reversed=state.total_reversed)

    return planted


FAULTS: dict[str, tuple[str, Profile, object, str, Callable[..., Any], str]] = {
    "debits twice": ("a", PLAIN, spend, "_debit", twice, "I3"),
    "answers before its commit": ("a", PLAIN, Vault, "commit_state", early, "I7"),
    "guesses the newest record": ("a", CUT, Journal, "load", guessing, "I"),
    "the server forgets": ("a", PLAIN, SettlementService, "settle", forgetful, "I"),
    "a Request stays open": ("b", PLAIN, receive.Credit, "commit", lambda _: lambda credit, _: credit.after, "I"),
    "a reversal without its value": ("b", LOST, settle, "_finish", unpaid, "I"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_its_trace_plays(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scope, profile, owner, name, plant, invariant = FAULTS[fault]
    with monkeypatch.context() as planted:
        planted.setattr(owner, name, plant(getattr(owner, name)))
        result = explore(scope, profile, traces=tmp_path)
        assert result.violations
        assert result.violations[0].startswith(invariant)
        assert result.trace is not None
        assert replay(result.trace) == 1
        assert result.violations[0] in capsys.readouterr().out.splitlines()[-1]
    trace = Trace.read(result.trace)
    assert play_sound(trace) == ""


def play_sound(trace: Trace) -> str:
    """The same trace on the sound code: its steps are there no more, or nothing breaks."""
    try:
        return play(trace, lambda _: None)
    except ConfigurationError:
        return ""


def test_the_last_line_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--scope", "c", "--quick", "--states", "500", "--workers", "1", "--traces", str(tmp_path)]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("explored: ")
    assert last.endswith(", exhausted nothing")
    assert " 0 violations, " in last


def test_a_file_that_is_no_trace_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{"format": 1}')
    with pytest.raises(ConfigurationError):
        Trace.read(path)
