"""`make crash RUNS=1000`: till and server are killed with −9 at random moments under load, and lose their power.

    PYTHONPATH=tests .venv/bin/python tests/crash/run.py --runs 1000 [--seed S] [--lap N] [--points 200]

First the kills, then the power loss: so many points of a recorded day, each lived through. Ends with
`crash: R kills, 0 lost, 0 doubled`; what the power loss did counts in these too. After harm the data stay in
build/crash for a look, and the line that plays the lap again is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from crash.afterwards import CUTS_AGAIN
from crash.books import Harm
from crash.forge import Forge
from crash.lap import Lap, Result
from crash.plants import PLANTS
from crash.power import POINTS, Outcome, PowerLoss
from crash.recording import record
from crash.shop import SERVER, TILL, Plants

KILLS_A_LAP = 20
DATA = Path("build/crash")


def main() -> int:
    arguments = _parse()
    plants = dict.fromkeys((TILL, SERVER), arguments.plant) if arguments.plant else {}
    session = Session(arguments.data.resolve(), arguments.seed, arguments.runs, plants)
    laps = [arguments.lap] if arguments.lap is not None else range(1, 1 + -(-arguments.runs // KILLS_A_LAP))
    session.kills(laps)
    if arguments.points:
        session.power_loss(arguments.points, arguments.every)
    return session.conclude()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--runs", type=_number, default=1000, help="kills (RUNS=)")
    parser.add_argument("--seed", default="1", help="of all moments and amounts")
    parser.add_argument("--lap", type=_number, help="only this lap of the seed")
    parser.add_argument("--points", type=_number, default=POINTS, help="of power loss")
    parser.add_argument("--every", type=_number, default=1, help="each how-manieth point is lived through")
    parser.add_argument("--plant", choices=PLANTS, help="a fault in till and server: the end must not be 0 then")
    parser.add_argument("--data", type=Path, default=DATA, help="where it works; emptied")
    return parser.parse_args()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


class Session:
    """Kills and power loss together, with a line of progress."""

    def __init__(self, data: Path, seed: str, runs: int, plants: Plants) -> None:
        self._data, self._seed, self._runs, self._plants = data, seed, runs, plants
        self._kills: Counter[str] = Counter()
        self._harm = Harm()
        self._begun, self._shown = time.monotonic(), 0
        shutil.rmtree(data, ignore_errors=True)
        print(f"crash: seed {seed}, {runs} kills", flush=True)

    def kills(self, laps: range | list[int]) -> None:
        with Forge(self._data / "printed") as forge:
            for number in laps:
                quota = min(KILLS_A_LAP, self._runs - sum(self._kills.values()))
                lap = Lap(forge, self._data / f"lap-{number}", f"{self._seed}/{number}", plants=self._plants)
                result = lap.run(quota, self._show_kills)
                self._kills += result.kills
                self._tell(result.harm, self._data / f"lap-{number}", f"--seed {self._seed} --lap {number}")
                if result.harm:
                    return

    def power_loss(self, points: int, every: int) -> None:
        day = record(self._data / "day", self._seed, plants=self._plants)
        cuts = PowerLoss(day, self._data / "cuts", self._seed)
        outcome = cuts.run(every=every, points=points, report=lambda now: self._show_points(now, points))
        self._tell(outcome.harm, self._data / "cuts", f"--seed {self._seed} --runs 0")
        lost, doubled = len(outcome.harm.lost), len(outcome.harm.doubled)
        parts = _parts(outcome.points)
        print(
            f"power loss: {sum(outcome.points.values())} points ({parts}; {len(day.records)} calls recorded, "
            f"{outcome.lived} lived through, cut again {CUTS_AGAIN} times), {lost} lost, {doubled} doubled",
            flush=True,
        )

    def _tell(self, harm: Harm, data: Path, again: str) -> None:
        """Harm stays to be looked at; data that did none go."""
        if not harm:
            shutil.rmtree(data, ignore_errors=True)
            return
        self._harm.add(harm)
        print(f"\nharm; the data stay in {data}; again: {again}")
        print("\n".join([f"  lost: {one}" for one in harm.lost] + [f"  doubled: {one}" for one in harm.doubled]))

    def _show_kills(self, lap: Result) -> None:
        kills = self._kills + lap.kills
        self._progress(f"{sum(kills.values())}/{self._runs} kills ({_parts(kills)})", sum(kills.values()), self._runs)

    def _show_points(self, now: Outcome, points: int) -> None:
        done = sum(now.points.values())
        self._progress(f"{done}/{points} points of power loss ({_parts(now.points)})", done, points)

    def _progress(self, line: str, done: int, whole: int) -> None:
        """One line that moves at a terminal; a few lines in a log."""
        line += f", {time.monotonic() - self._begun:.0f} s"
        if sys.stdout.isatty():
            print(f"\r{line}", end="" if done < whole else "\n", flush=True)
        elif done == whole or done // 50 > self._shown // 50:
            print(line, flush=True)
        self._shown = done if done < whole else 0

    def conclude(self) -> int:
        lost, doubled = len(self._harm.lost), len(self._harm.doubled)
        print(f"crash: {sum(self._kills.values())} kills, {lost} lost, {doubled} doubled", flush=True)
        return 1 if self._harm else 0


def _parts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in sorted(counts))


if __name__ == "__main__":
    sys.exit(main())
