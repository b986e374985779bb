"""The benchmark itself: its method, its arithmetic, and a tiny slice of every benchmark whose timing nobody judges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench import relay, run
from bench.neighbours import Usage, usage
from bench.relays import DelayingTransport, TcpRelay
from bench.report import BOUNDS, missed, table
from bench.rounds import NoisyError, Ratios, interleave
from bench.settling import Round
from bench.sizes import TINY, Rounds
from bench.taps import SCENES, play
from bench.vouchers import Batch, Till
from wallet_core.errors import BadSignatureError
from wallet_core.keys import SoftwareKey
from wallet_core.messages import DepositAnswer, DepositStatus, Signed
from wallet_core.suites import Suite

# Burns a quarter of a second of processor time, says so and waits.
BUSY = "import time\nwhile time.process_time() < 0.25: pass\nprint('x', flush=True)\ntime.sleep(60)"
OPERATOR = SoftwareKey.from_secret(b"operator of the benchmark's test")


class Script:
    """Two callables that take turns and return what they are told, on a machine whose clock ticks once a round.

    `elsewhere`: cores that others keep busy in each round, 0 unless given.
    """

    def __init__(self, candidate: Sequence[float], control: Sequence[float], elsewhere: Sequence[float] = ()) -> None:
        self.played = ""
        self._figures = {"A": iter(candidate), "B": iter(control)}
        self._elsewhere = iter(elsewhere)
        self._usage = Usage(0, 0, 0)

    def candidate(self, _round: int) -> float:
        return self._next("A")

    def control(self, _round: int) -> float:
        return self._next("B")

    def _next(self, who: str) -> float:
        self.played += who
        return next(self._figures[who])

    def watch(self) -> Usage:
        """After each control; we ourselves use two cores."""
        seen, others = self._usage, next(self._elsewhere, 0)
        self._usage = Usage(seen.wall + 1, seen.everybody + 2 + others, seen.ours + 2)
        return seen

    def ratios(self, count: int, spare: int = 0) -> Ratios:
        return interleave(self.candidate, self.control, Rounds(count, min(count, 2), spare), self.watch)


def test_every_candidate_stands_between_two_controls() -> None:
    script = Script([80, 90, 85], [100, 100, 100, 100])
    found = script.ratios(3)
    assert script.played == "BABABAB"
    assert (found.ratio, found.minimum, found.maximum) == (0.85, 0.8, 0.9)
    assert (found.candidate, found.control, found.rounds, found.dropped) == (85, 100, 3, 0)


def test_a_slow_drift_of_the_machine_is_no_difference() -> None:
    found = Script([95, 85.5, 77], [100, 90, 81, 73]).ratios(3)
    assert found.minimum == pytest.approx(1, abs=0.001)
    assert found.maximum == pytest.approx(1, abs=0.001)


def test_a_round_whose_control_moved_is_dropped_and_played_again() -> None:
    found = Script([50, 10, 10, 50], [100, 100, 60, 100, 100]).ratios(2, spare=2)
    assert (found.ratio, found.rounds, found.dropped) == (0.5, 2, 2)


def test_a_round_with_a_busy_neighbour_is_dropped_and_played_again() -> None:
    found = Script([50, 90, 50], [100] * 4, elsewhere=[0, 0.3, 0]).ratios(2, spare=1)
    assert (found.ratio, found.rounds, found.dropped) == (0.5, 2, 1)


def test_fewer_rounds_than_wanted_are_told() -> None:
    found = Script([50, 50, 90, 90], [100] * 5, elsewhere=[0, 0, 1, 1]).ratios(3, spare=1)
    assert (found.ratio, found.rounds, found.dropped) == (0.5, 2, 2)


def test_a_machine_that_is_never_quiet_still_gives_figures_and_says_so() -> None:
    found = Script([50, 50, 50], [100] * 4, elsewhere=[1, 1, 1]).ratios(2, spare=1)
    assert (found.ratio, found.rounds, found.busy) == (0.5, 3, True)
    assert not Script([50, 50], [100] * 3).ratios(2, spare=1).busy


def test_own_work_is_nobody_elses() -> None:
    before = usage()
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read(1)  # it has burnt its time and is alive
        after = usage()
        child.kill()
    assert after.ours - before.ours >= 0.2
    assert after.everybody - before.everybody >= after.ours - before.ours - 0.05
    assert Usage(2, 5, 3).elsewhere_since(Usage(1, 4, 2.5)) == pytest.approx(0.5 - 2 / os.sysconf("SC_CLK_TCK"))


def test_a_machine_that_never_stands_still_gives_no_figure() -> None:
    with pytest.raises(NoisyError, match="only 0 of 3"):
        Script([1, 1, 1], [100, 50, 100, 50]).ratios(2, spare=1)


def test_a_missed_bound_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    report = {"settle_inproc": {"ratio": 0.59}, "settle_http": {"ratio": 0.5}}
    assert [str(bound) for bound in missed(report, required=True)] == ["settle_inproc.ratio >= 0.6"]
    assert run.judge(report) == 1
    said = capsys.readouterr()
    assert said.err == "MISSED: settle_inproc.ratio >= 0.6\n"
    assert said.out == "below the aim: settle_inproc.ratio >= 0.85\nbelow the aim: settle_http.ratio >= 0.6\n"


def test_bounds_that_hold_fail_nothing() -> None:
    assert run.judge({"settle_inproc": {"ratio": 0.85}, "apdu": {"pcsc_overhead_ms": 0.999}}) == 0
    assert run.judge({"apdu": {"pcsc_overhead_ms": 1.0}}) == 1


def test_every_required_figure_has_its_bound() -> None:
    required = {f"{bound.benchmark}.{bound.figure}" for bound in BOUNDS if bound.required}
    assert {"settle_inproc.ratio", "settle_http.ratio", "apdu.pcsc_overhead_ms"} <= required


class TestAnswersAreNotBelieved:
    """A round fails on any answer but the one that credits every voucher of its batch."""

    BATCH = Batch(b"raw", bytes(32), 1, vouchers=2, amount=30)

    def checked(self, key: SoftwareKey = OPERATOR, **changes: Any) -> None:
        fields = {
            "suite": Suite.ES256,
            "operator": OPERATOR.public.thumbprint,
            "payee": Till(0).id,
            "number": 1,
            "batch_hash": bytes(32),
            "credited": 30,
            "voucher_statuses": (DepositStatus.SETTLED,) * 2,
        }
        answer = Signed.sign(DepositAnswer(**(fields | changes)), key).to_bytes()
        Round.check(answer, self.BATCH, OPERATOR.public)

    def test_the_right_one_is(self) -> None:
        self.checked()

    @pytest.mark.parametrize(
        "changes",
        [
            {"credited": 29},
            {"number": 2},
            {"batch_hash": b"\x01" * 32},
            {"voucher_statuses": (DepositStatus.SETTLED,)},
            {"voucher_statuses": (DepositStatus.SETTLED, DepositStatus.REVIEW)},
            {"key": Till(0).key},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_another_is_not(self, changes: dict[str, Any]) -> None:
        with pytest.raises((RuntimeError, BadSignatureError), match=r"batch 1|does not verify"):
            self.checked(**changes)


def settled(figures: dict[str, Any]) -> None:
    assert figures["ratio"] > 0
    assert figures["min"] <= figures["ratio"] <= figures["max"]
    assert (figures["rounds"], figures["dropped"]) == (1, 0)
    assert figures["per_s"] > 0
    assert figures["ceiling_per_s"] > 0
    assert figures["vouchers"] == 2 * TINY.round_vouchers  # one round to warm up


@pytest.mark.parametrize("name", ["settle_inproc", "settle_http"])
def test_a_tiny_settlement(name: str, tmp_path: Path) -> None:
    report = json.loads(json.dumps(run.run([name], TINY, tmp_path)))
    settled(report[name])
    assert report["machine"]["cores"] >= 1
    assert "all SETTLED, books balanced" in table(report)
    assert not list(tmp_path.iterdir())


def test_modelled_and_relayed_taps(tmp_path: Path) -> None:
    report = run.run(["tap_modelled", "relay"], TINY, tmp_path)
    figures = report["tap_modelled"]
    assert list(figures["scenes"]) == ["known_card", "unknown_card", "unknown_policy", "verified_payee"]
    assert [scene["exchanges"] for scene in figures["scenes"].values()] == [3, 4, 5, 4]
    assert {scene["card_signs"] for scene in figures["scenes"].values()} == {1}
    assert figures["typical_ms"] <= 300
    assert figures["floor_ms"] < figures["typical_ms"] < figures["worst_ms"]
    assert not missed(report, required=True)
    assert not missed(report, required=False)
    relayed = report["relay"]
    assert set(relayed["ways"]) >= {"direct", "relay 5 ms", "TCP relay 0 ms"}
    for command in ("SELECT", "PAY"):
        slow = relayed["ways"]["relay 10 ms"][command]
        assert 10 <= slow["p5_ms"] <= slow["p50_ms"] <= slow["p99_ms"]
        assert slow["missed"]["trials"] == relayed["taps"] == TINY.relay_taps
    shown = table(report)
    assert "unknown_policy" in shown
    assert "false alarms" in shown


@pytest.mark.pcsc
def test_a_few_exchanges_through_pcscd(tmp_path: Path) -> None:
    report = run.run(["apdu", "tap_overhead"], TINY, tmp_path)
    figures = report["apdu"]
    for way in ("in_process", "pcsc"):
        assert 0 < figures[f"{way}_card_ms"] < figures[f"{way}_ms"]
        assert 0 < figures[f"{way}_overhead_ms"] <= figures[f"{way}_overhead_p95_ms"]
    assert report["tap_overhead"]["exchanges"] == 4
    assert report["tap_overhead"]["raw_ms"] > 0
    assert "PC/SC" in table(report)


def test_a_relay_waits_half_the_delay_each_way() -> None:
    waited: list[float] = []
    card = relay.fresh_card()
    far = DelayingTransport(card, 10, 0, Random(1), waited.append)
    _, (select, *_) = play(SCENES["known_card"])
    assert far.transmit(select)[-2:] == b"\x90\x00"
    assert waited == [0.005, 0.005]
    jittery = DelayingTransport(card, 10, 4, Random(1), waited.append)
    for _ in range(200):
        jittery.transmit(select)
    assert sum(waited[2:]) / 200 == pytest.approx(0.014, abs=0.001)
    assert min(waited[2:]) >= 0.005


def test_what_comes_through_tcp_is_what_the_card_says() -> None:
    _, commands = play(SCENES["known_card"])
    direct, far = relay.fresh_card(), relay.fresh_card()
    with TcpRelay(far) as over:
        reader = over.reader()
        try:
            assert reader.atr == direct.atr
            reader.reset()
            direct.reset()
            assert [len(reader.transmit(one)) for one in commands] == [len(direct.transmit(one)) for one in commands]
        finally:
            reader.close()


def test_the_bound_comes_from_one_half_and_is_judged_on_the_other() -> None:
    honest, relayed = [1.0, 9.0] * 50, [0.5] * 25 + [2.0] * 75
    figures = relay.judged({"direct": {"PAY": honest}, "relay": {"PAY": relayed}})
    assert figures["bound_ms"] == {"PAY": 1.0}
    assert figures["false_alarms"]["PAY"]["rate"] == 1.0
    assert figures["ways"]["relay"]["PAY"]["missed"]["rate"] == 0.25
    assert figures["ways"]["relay"]["PAY"]["p50_ms"] == 2.0
    assert figures["ways"]["direct"]["PAY"]["missed"] is None
