"""`make fuzz APDUS= SEED=`: emulator and applet are given the same commands, and must answer the same.

PYTHONPATH=tests .venv/bin/python tests/differential/run.py [--apdus N] [--seed TEXT]
PYTHONPATH=tests .venv/bin/python tests/differential/run.py --replay FILE

Exit code 0 only if nothing was found. What was found is printed with the fewest commands that show it, and kept under
build/differential/ to be replayed.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

ROOT: Final = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are differential.…
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from differential.applet import AppletSide  # noqa: E402
from differential.duel import Duel, Verdict  # noqa: E402
from differential.emulated import CARD, SAM, EmulatedSide  # noqa: E402
from differential.played import Play  # noqa: E402
from hardware.javacard.process import JavaCardProcess  # noqa: E402
from wallet_core.errors import EcnyError  # noqa: E402

APDUS: Final = 100_000
SAMS: Final = 5
"""One in so many goes to a merchant's SAM; the others to a visitor's card."""
FOUND: Final = ROOT / "build" / "differential"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--apdus", type=_positive, default=APDUS, help="how many each card gets (APDUS=)")
    parser.add_argument("--seed", default="1", help="any text (SEED=)")
    parser.add_argument("--replay", type=Path, help="play what a run has kept, and nothing else")
    arguments = parser.parse_args(words)
    logging.disable(logging.ERROR)  # an internal error of the emulator is found by its status word
    sys.setswitchinterval(
        0.0005
    )  # the thread that hands the applet its next sequence must not wait for the drawing one
    try:
        if arguments.replay is not None:
            return _replay(Play.read(arguments.replay))
        verdict = Verdict()
        with _bar(arguments.apdus) as progress:
            for profile, share in ((CARD, arguments.apdus - arguments.apdus // SAMS), (SAM, arguments.apdus // SAMS)):
                with both_cards(profile) as duel:
                    verdict.add(duel.run(arguments.seed, share, progress))
    except EcnyError as error:
        print(f"{error.message}\n{error.next_step}", file=sys.stderr)
        return int(error.exit_code)
    tell(verdict)
    return 1 if verdict.found else 0


@contextmanager
def both_cards(profile: str) -> Iterator[Duel]:
    """Emulator and applet of one kind, in every state. Raises JavaMissingError, MismatchError."""
    side = EmulatedSide(profile=profile)
    with JavaCardProcess(serial=side.serial, seed="0", subject_class=side.subject_class) as process:
        applet = AppletSide(process.request)
        yield Duel(side, applet, applet.keep)


def tell(verdict: Verdict, folder: Path = FOUND) -> None:
    """Every difference, where it is kept, and the one line of figures."""
    for number, difference in enumerate(verdict.found, 1):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number}.json"
        path.write_text(difference.sequence.to_json(), encoding="ascii")
        print(f"{difference}\n  replay: {path}\n")
    for name, count in verdict.explained.items():
        print(f"meant: {name}, {count} times")
    print(verdict.line, flush=True)


def _replay(sequence: Play) -> int:
    with both_cards(sequence.profile) as duel:
        difference = duel.replay(sequence)
    print(difference if difference is not None else "both cards answer the same")
    return 0 if difference is None else 1


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


@contextmanager
def _bar(apdus: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("APDUs"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("APDUs", total=apdus)
        yield lambda played: bar.update(task, advance=played)


if __name__ == "__main__":
    sys.exit(main())
