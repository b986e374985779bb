"""`make explore` and `make replay`: every state of three scopes, by the real code, under power cuts and lost messages.

PYTHONPATH=tests .venv/bin/python tests/explore/run.py [--scope a|b|c …] [--seconds N] [--states N] [--quick]
PYTHONPATH=tests .venv/bin/python tests/explore/run.py --replay FILE
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are explore.…
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from explore.endings import out_of_order, stranded  # noqa: E402
from explore.frontier import Broken, Found, Limits, Searcher  # noqa: E402
from explore.scenarios import BOUNDED, FULL, QUICK, SCOPES, Profile  # noqa: E402
from explore.signing import remembered  # noqa: E402
from explore.traces import Trace, play, steps_to  # noqa: E402
from wallet_core.errors import ConfigurationError  # noqa: E402

DEFAULT_SECONDS = 1_080  # of the bounded scope
UNLIMITED = Limits()
TRACES = ROOT / "build" / "explore"


@dataclass(frozen=True)
class Result:
    """One scope. `trace`: where the way to the broken invariant lies, if one is broken."""

    scope: str
    states: int
    transitions: int
    levels: int
    executed: int
    exhausted: bool
    violations: tuple[str, ...]
    seconds: float
    trace: Path | None = None

    @property
    def line(self) -> str:
        how = "exhausted" if self.exhausted else "bounded"
        return (
            f"scope {self.scope}: {self.states} states, {self.transitions} transitions, {self.levels} levels, "
            f"{self.executed} runs of real code, {len(self.violations)} violations, {self.seconds:.0f} s, {how}"
        )


def explore(
    scope: str, profile: Profile = FULL, *, limits: Limits = UNLIMITED, workers: int = 1, traces: Path = TRACES
) -> Result:
    """Search one scope; a broken invariant is in the result, and the way to it in a file."""
    started = time.monotonic()
    with _quiet(), remembered():
        found = _alone(scope, profile, limits) if workers == 1 else _shared(scope, profile, limits, workers)
        return _result(scope, profile, found, started, traces)


def _result(scope: str, profile: Profile, found: Sequence[Found], started: float, traces: Path) -> Result:
    exhausted = all(one.exhausted for one in found)
    broken = [one for part in found for one in part.broken]
    if exhausted:
        broken += stranded(found)
    texts = [one.text for one in broken] + out_of_order(found)
    return Result(
        scope=scope,
        states=sum(one.states for one in found),
        transitions=sum(one.transitions for one in found),
        levels=max(one.levels for one in found),
        executed=sum(one.executed for one in found),
        exhausted=exhausted,
        violations=tuple(dict.fromkeys(texts)),
        seconds=time.monotonic() - started,
        trace=_trace(scope, profile, found, broken, traces) if broken else None,
    )


def _trace(scope: str, profile: Profile, found: Sequence[Found], broken: Sequence[Broken], traces: Path) -> Path:
    path = traces / "trace.json"
    Trace(scope, profile, steps_to(SCOPES[scope](profile), found, broken[0]), broken[0].text).write(path)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of a server that handles a hundred thousand requests."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(_logger: Any, _name: str, _event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    raise structlog.DropEvent


def _alone(scope: str, profile: Profile, limits: Limits) -> list[Found]:
    return [Searcher(SCOPES[scope](profile), limits, tell=_tell(scope)).run()]


def _tell(scope: str) -> Callable[[str], None]:
    return lambda line: print(f"scope {scope}: {line}", flush=True)


def _shared(scope: str, profile: Profile, limits: Limits, workers: int) -> list[Found]:
    """As many processes as `workers`, each connected to each other one."""
    context = multiprocessing.get_context("fork")
    peers: list[list[Connection | None]] = [[None] * workers for _ in range(workers)]
    for one in range(workers):
        for other in range(one + 1, workers):
            peers[one][other], peers[other][one] = context.Pipe()
    answers, processes = [], []
    for number in range(workers):
        answer, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(scope, profile, limits, number, peers[number], theirs))
        process.start()
        theirs.close()
        answers.append(answer)
        processes.append(process)
    for row in peers:
        for connection in row:
            if connection is not None:
                connection.close()
    found: dict[int, Found] = {}
    try:
        while len(found) < workers:
            for ready in wait([answers[number] for number in range(workers) if number not in found]):
                number = next(at for at, answer in enumerate(answers) if answer is ready)
                found[number] = answers[number].recv()
    except EOFError:
        for process in processes:
            process.terminate()  # the others wait for one that is gone
        raise ConfigurationError("a process of the search has died") from None
    finally:
        for process in processes:
            process.join()
    return [found[number] for number in range(workers)]


def _work(
    scope: str, profile: Profile, limits: Limits, number: int, peers: list[Connection | None], answer: Connection
) -> None:
    tell = _tell(scope) if number == 0 else None
    answer.send(Searcher(SCOPES[scope](profile), limits, number, peers, tell).run())


def replay(path: Path) -> int:
    """Play a trace; 1 if it ends in a broken invariant, as it should."""
    trace = Trace.read(path)
    print(f"scope {trace.scope}, {len(trace.steps)} steps, recorded: {trace.broken}")
    with _quiet(), remembered():
        broken = play(trace, print)
    print(f"replayed: {len(trace.steps)} steps, {broken or 'no invariant is broken'}")
    return 1 if broken else 0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options().parse_args(arguments)
    try:
        return replay(options.replay) if options.replay is not None else _search(options)
    except ConfigurationError as error:
        print(f"explore: {error.message}")
        return 2


def _search(options: argparse.Namespace) -> int:
    started = time.monotonic()
    results = []
    for scope in options.scope or sorted(SCOPES):
        bounded = scope in BOUNDED
        seconds = options.seconds if bounded or options.limit_all else None
        limits = Limits(seconds=seconds, states=options.states, edges=not bounded)
        profile = QUICK if options.quick else FULL
        results.append(explore(scope, profile, limits=limits, workers=options.workers, traces=options.traces))
        print(results[-1].line, flush=True)
        for violation in results[-1].violations:
            print(f"  {violation}")
        if results[-1].trace is not None:
            print(f"  make replay TRACE={_relative(results[-1].trace)}")
            replay(results[-1].trace)
            break
    return _summary(results, time.monotonic() - started)


def _summary(results: Sequence[Result], seconds: float) -> int:
    violations = sum(len(one.violations) for one in results)
    parts: dict[str, bool] = {}
    for one in results:
        parts[one.scope[0]] = parts.get(one.scope[0], True) and one.exhausted
    exhausted = " ".join(scope for scope in sorted(parts) if parts[scope])
    print(
        f"explored: {sum(one.states for one in results)} states, "
        f"{sum(one.transitions for one in results)} transitions, "
        f"{violations} violations, {seconds:.0f} s, exhausted {exhausted or 'nothing'}"
    )
    wanted = all(one.exhausted for one in results if one.scope not in BOUNDED)
    return 0 if wanted and not violations else 1


def _relative(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seconds = float(os.environ.get("EXPLORE_SECONDS") or DEFAULT_SECONDS)
    parser.add_argument("--scope", action="append", choices=sorted(SCOPES), help="default: all")
    parser.add_argument("--seconds", type=float, default=seconds, help="for the bounded scope (EXPLORE_SECONDS)")
    parser.add_argument("--limit-all", action="store_true", help="--seconds limits the other scopes too")
    parser.add_argument("--states", type=int, help="stop a scope at about so many states")
    parser.add_argument("--quick", action="store_true", help="fewer cuts: seconds instead of minutes")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--traces", type=Path, default=TRACES, help="where the way to a broken invariant is written")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="play a trace step by step")
    return parser


if __name__ == "__main__":
    sys.exit(main())
