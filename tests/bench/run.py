"""`make bench`: all benchmarks, a table, build/bench.json. Exit code 1 names the required figures that were missed."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench import bytecodes, exchanges, machine, relay, settling, taps
from bench.report import missed, table
from bench.rounds import NoisyError
from bench.sizes import FULL, QUICK, Sizes
from server import logs
from support.pcscd import PrivatePcscd, claim_socket
from wallet_core.errors import EcnyError

BUILD: Final = Path("build")
REPORT: Final = BUILD / "bench.json"

Benchmark = Callable[[Sizes, Path], dict[str, Any]]
"""Gets an empty directory on the disk to be measured."""

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "tap_modelled": lambda _sizes, _directory: taps.tap_modelled(),
    "applet_work": lambda _sizes, directory: bytecodes.applet_work(directory),
    "tap_overhead": lambda sizes, _directory: taps.tap_overhead(sizes),
    "apdu": lambda sizes, _directory: exchanges.apdu(sizes),
    "relay": lambda sizes, _directory: relay.relay(sizes),
    "settle_inproc": settling.settle_inproc,
    "settle_http": settling.settle_http,
}
WANTS_PCSC: Final = {"tap_overhead", "apdu"}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, action="append", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer and smaller rounds, judged by nobody")
    parser.add_argument("--json", type=Path, default=REPORT, help="where the figures go")
    arguments = parser.parse_args(words)
    names = [name for name in BENCHMARKS if not arguments.only or name in arguments.only]
    claim_socket()
    if WANTS_PCSC.intersection(names) and (reason := PrivatePcscd.missing()):
        print(f"bench: {reason}", file=sys.stderr)
        return 3
    logs.configure(level=logging.WARNING)
    try:
        report = run(names, QUICK if arguments.quick else FULL)
    except (NoisyError, EcnyError) as exc:
        print(f"bench: {exc}", file=sys.stderr)
        return 1
    report["quick"] = arguments.quick
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"\n{table(report)}\nwritten to {arguments.json}")
    return 0 if arguments.quick else judge(report)


def run(names: Sequence[str], sizes: Sizes, build: Path = BUILD) -> dict[str, Any]:
    """The report; each benchmark gets a directory of its own under `build`, which is removed."""
    build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as made:
        report: dict[str, Any] = {"machine": machine.describe(Path(made))}
        for name in names:
            directory = Path(made).resolve() / name
            directory.mkdir()
            start = time.perf_counter()
            report[name] = BENCHMARKS[name](sizes, directory)
            print(f"{name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
            shutil.rmtree(directory)
    return report


def judge(report: dict[str, Any]) -> int:
    """Say which bounds do not hold; 1 when one of them is required."""
    for bound in missed(report, required=False):
        print(f"below the aim: {bound}")
    failed = missed(report, required=True)
    for bound in failed:
        print(f"MISSED: {bound}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
