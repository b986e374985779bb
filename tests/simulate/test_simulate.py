"""A slice of `make simulate`: the same seed gives the same last state, and the checker notices what it is there for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from hardware.driver import HardWallet
from server.storage.sqlite_deposits import SqliteDeposits
from simulate import run
from simulate.accounting import Sums
from simulate.chances import CALM, Chances
from simulate.city import play_all, quotas
from simulate.district import District, Sample
from simulate.plot import svg, together
from wallet_core.purse import receive

ROUGH = Chances(
    cloned=0.15,
    minting=0.15,
    till_restored=2.0,
    till_destroyed=1.0,
    card_lost=0.2,
    server_dies=0.05,
    purse_restored=3.0,
)


def test_same_seed_same_state_for_any_number_of_processes() -> None:
    here = play_all("seed", 240, workers=0, district=120, chances=ROUGH)
    there = play_all("seed", 240, workers=2, district=120, chances=ROUGH)
    assert here.well
    assert (here.payments, len(here.districts)) == (there.payments, 2)
    assert here.frauds
    assert here.state == there.state
    assert here.districts == there.districts
    assert all(sum(one.deaths) for one in here.districts)
    other = play_all("another seed", 50, workers=0)
    assert other.well
    assert other.state != here.state


def test_a_city_without_faults_has_none() -> None:
    verdict = play_all("seed", 60, workers=0, chances=CALM)
    assert verdict.well
    (judgement,) = verdict.districts
    assert judgement.deaths == (0, 0)
    assert judgement.merchants_loss == 0
    assert judgement.sums.in_flight == 0


def test_a_fen_that_appears_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = receive.collect

    def generous(*args: object, **kwargs: object) -> receive.StoredAnswer | receive.Credit:
        decision = honest(*args, **kwargs)  # type: ignore[arg-type]
        if isinstance(decision, receive.Credit):
            return replace(decision, after=replace(decision.after, total_in=decision.after.total_in + 1))
        return decision

    monkeypatch.setattr(receive, "collect", generous)
    verdict = play_all("seed", 40, workers=0, chances=CALM)
    assert verdict.difference > 0
    assert not verdict.well


def test_a_debit_that_is_forgotten_is_a_difference() -> None:
    def forget(district: District) -> None:
        """One card loses 100 fen without a voucher, in the middle of the run."""
        card = district.visitors[0].card

        def strike() -> None:
            state = card.state()
            card.rewrite(replace(state, total_out=state.total_out + 100))

        district.agenda.after(3_600_000, strike)

    verdict = play_all("seed", 150, workers=0, chances=CALM, meddle=forget)
    assert verdict.difference == 100


def test_a_fraud_that_nobody_looks_for_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqliteDeposits, "add_evidence", lambda *_: None)
    verdict = play_all("seed", 150, workers=0, chances=replace(ROUGH, cloned=0.5, minting=0.0))
    assert verdict.difference == 0
    assert verdict.found < verdict.frauds
    assert not verdict.well


def test_an_order_that_is_not_carried_out_is_a_promise_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HardWallet, "reverse", lambda *_: None)
    verdict = play_all("seed", 120, workers=0, chances=replace(CALM, card_torn=0.3, walks_away=1.0))
    assert verdict.difference == 0
    assert any("still waits for" in promise for promise in verdict.unkept)
    assert not verdict.well


def test_the_command_ends_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    assert run.main(["--seed", "s", "--payments", "30", "--workers", "0", "--plot", str(plot)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    line = (
        r"simulated: 3\d payments, 0 fen difference, frauds (\d+)/\1, "
        r"state sha256:[0-9a-f]{64}, \d+ payments/s, peak \d+ MiB"
    )
    assert re.fullmatch(line, last)
    assert ET.parse(plot).getroot().tag.endswith("svg")


def test_the_command_fails_when_a_fen_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Sums, "difference", 1)
    assert run.main(["--payments", "5", "--workers", "0", "--plot", str(tmp_path / "plot.svg")]) == 1


def test_districts_share_the_payments_evenly() -> None:
    assert quotas(1, 100) == [1]
    assert quotas(250, 100) == [84, 83, 83]
    assert sum(quotas(1_000_000)) == 1_000_000


def test_the_plot_adds_the_districts_up() -> None:
    hour = 3_600_000
    series = together([[Sample(0, 1, 2), Sample(hour, 3, 4)], [Sample(hour // 2, 10, 20)]])
    assert series == [Sample(0, 1, 2), Sample(hour, 13, 24)]
    picture = ET.fromstring(svg(series, "title"))
    assert len(picture.findall("{*}polygon")) == 2
