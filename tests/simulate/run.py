"""`make simulate SEED= PAYMENTS=`: a city of test money under faults and fraud, counted to the last fen.

Exit code 0 only if not a fen is missing, every fraud whose evidence reached a server was found, and every promise was
kept.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from server import logs
from simulate.city import Verdict, play_all
from simulate.plot import svg, together
from simulate.rest import Judgement

BUILD: Final = Path("build")
PAYMENTS: Final = 20_000
WORKERS: Final = 2
_SHOWN: Final = 20  # promises named


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", default="1", help="any text (SEED=)")
    parser.add_argument("--payments", type=_positive, default=PAYMENTS, help="how many are made (PAYMENTS=)")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes; 0: this one. The result is the same")
    parser.add_argument("--only", type=int, help="play one district, by its number")
    parser.add_argument("--plot", type=Path, default=BUILD / "simulate.svg", help="where the plot goes")
    arguments = parser.parse_args(words)
    logs.configure(level=logging.ERROR)
    start = time.monotonic()
    with _bar(arguments.payments) as progress:
        verdict = play_all(
            arguments.seed,
            arguments.payments,
            workers=arguments.workers,
            progress=progress,
            finished=_warn,
            only=arguments.only,
        )
    seconds = time.monotonic() - start
    _draw(arguments.plot, verdict, arguments.seed)
    _tell(verdict)
    print(verdict.line(seconds), flush=True)
    return 0 if verdict.well else 1


def _warn(number: int, district: Judgement) -> None:
    if not district.well:
        what = f"{district.difference} fen difference, frauds {district.found}/{district.frauds}"
        print(f"district {number} is not well: {what}, {len(district.unkept)} promises (--only {number})", flush=True)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


@contextmanager
def _bar(payments: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("payments"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("payments", total=payments)
        yield lambda made: bar.update(task, completed=made)


def _draw(path: Path, verdict: Verdict, seed: str) -> None:
    series = together([one.samples for one in verdict.districts])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(series, f"Value in flight: {verdict.payments:,} payments"), encoding="utf-8")
    print(f"value in flight over time: {path}")


def _tell(verdict: Verdict) -> None:
    tills, servers = (sum(one.deaths[i] for one in verdict.districts) for i in (0, 1))
    cards, back = (sum(getattr(one, name) for one in verdict.districts) for name in ("cards", "reversed"))
    print(
        f"{len(verdict.districts)} districts, {cards} cards; tills were killed {tills} times, servers {servers} times"
    )
    print(f"given up and paid back to holders: {back} fen")
    loss = sum(one.merchants_loss for one in verdict.districts)
    print(f"of broken cards: {loss} fen not credited to merchants, {_loss(verdict)} fen paid by the operators")
    for promise in verdict.unkept[:_SHOWN]:
        print(f"NOT KEPT: {promise}")
    if len(verdict.unkept) > _SHOWN:
        print(f"NOT KEPT: {len(verdict.unkept) - _SHOWN} more")
    if verdict.false:
        print(f"ACCUSED WITHOUT CAUSE: {verdict.false}")


def _loss(verdict: Verdict) -> int:
    return sum(one.sums.loss for one in verdict.districts)


if __name__ == "__main__":
    sys.exit(main())
