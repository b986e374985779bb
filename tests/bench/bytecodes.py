"""`applet_work`: bytecodes and API calls of the Java Card applet for each command of a tap, counted in its simulator.

A card's interpreter is slow enough for this to be the largest part of a tap, so `hardware.tap_model.work` holds the
counts as constants; this counts them again with an agent (CountBytecodes.java) in the card's own JVM, and the bench
tells when the applet has changed by more than a tenth. Wants a Java compiler beside the runtime.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hardware.instructions import Ins
from hardware.javacard.parts import JavaMissingError, find_jar
from hardware.tap_model.work import Work, work_of
from support.cards import PIN, make_world
from support.java_cards import JavaInHand, java_card

_AGENT: Final = Path(__file__).with_name("CountBytecodes.java")
_MAIN: Final = "open.ecny.bench.CountBytecodes"
_OPTIONS: Final = "JAVA_TOOL_OPTIONS"
_LOADED, _SMALL, _LARGE = 50_000, 6_800, 30_000  # fen

Counts = tuple[int, int]
"""Bytecodes, calls of the API."""


def applet_work(directory: Path) -> dict[str, Any]:
    """Each command of a tap: counted and as the model has it; `ratio` is the whole known-card tap's."""
    counts = counted(directory)
    modelled = {name: work_of(*which) for name, which in _COMMANDS.items()}
    tap = ("SELECT", "PAY", "GET RESPONSE")
    return {
        "commands": {
            name: {"bytecodes": counts[name][0], "calls": counts[name][1], **_modelled(modelled[name])}
            for name in _COMMANDS
        },
        "ratio": round(sum(counts[name][0] for name in tap) / sum(modelled[name].bytecodes for name in tap), 3),
    }


_COMMANDS: Final = {
    "SELECT": (Ins.SELECT, 4),
    "GET DATA": (Ins.GET_DATA, 0x7F),
    "VERIFY": (Ins.VERIFY, 0),
    "PAY": (Ins.PAY, 0),
    "PAY, payee verified": (Ins.PAY, 1),
    "GET RESPONSE": (Ins.GET_RESPONSE, 0),
    "REQUEST": (Ins.REQUEST, 0),
    "COLLECT": (Ins.COLLECT, 0),
    "REPORT": (Ins.REPORT, 0),
}


def _modelled(work: Work) -> dict[str, int]:
    return {"modelled_bytecodes": work.bytecodes, "modelled_calls": work.calls}


def counted(directory: Path) -> dict[str, Counts]:
    """Play each command on a fresh Java card and read what the agent counted. Raises JavaMissingError."""
    lines = directory / "bytecodes.txt"
    with _agent(directory, lines), java_card(make_world("bytecodes"), load=_LOADED) as hand:
        return _Counter(hand, lines).all()


class _Counter:
    """Counts are written when the next command begins: a SELECT follows each."""

    def __init__(self, hand: JavaInHand, lines: Path) -> None:
        self._hand = hand
        self._lines = lines

    def all(self) -> dict[str, Counts]:
        hand, world, wallet = self._hand, self._hand.world, self._hand.wallet
        found: dict[str, Counts] = {}
        question = hand.tap()
        found["SELECT"] = self._of(wallet.select)[0]
        found["GET DATA"] = self._of(wallet.certificate)[0]
        paid = self._of(lambda: wallet.pay(world.till_request(question, _SMALL).to_payload()))
        found["PAY"], found["GET RESPONSE"] = paid
        question = hand.tap()
        found["VERIFY"] = self._of(lambda: wallet.verify_pin(PIN))[0]
        papers = world.signed_by_till(world.till_request(question, _LARGE))
        found["PAY, payee verified"] = self._of(lambda: wallet.pay_verified(*papers))[0]
        asked: list[bytes] = []
        purse, order = world.operator_purse.id, world.digest("bytecodes")
        found["REQUEST"] = self._of(lambda: asked.append(wallet.request(purse, 1, 2, _SMALL, order)))[0]
        voucher = world.voucher_for(asked[0])
        found["COLLECT"] = self._of(lambda: wallet.collect(*voucher))[0]
        found["REPORT"] = self._of(wallet.report)[0]
        return found

    def _of(self, command: Callable[[], object]) -> list[Counts]:
        before = len(self._counts()) + 1  # the line of what came before `command` is written when it begins
        command()
        self._hand.wallet.select()
        return self._counts()[before:]

    def _counts(self) -> list[Counts]:
        pairs = (line.split() for line in self._lines.read_text(encoding="ascii").splitlines())
        return [(int(bytecodes), int(calls)) for bytecodes, calls in pairs]


@contextmanager
def _agent(directory: Path, lines: Path) -> Iterator[None]:
    """Every JVM that is started in the block carries the agent. Raises JavaMissingError without a compiler."""
    compiler = shutil.which("javac")
    if compiler is None:
        raise JavaMissingError(
            "no Java compiler: javac was not found",
            next_step="Install one (`sudo apt-get install default-jdk-headless`).",
        )
    asm = next((find_jar().parent / "lib").glob("asm-*.jar"))
    subprocess.run([compiler, "-cp", str(asm), "-d", str(directory), str(_AGENT)], check=True)
    manifest = directory / "manifest"
    manifest.write_text(f"Premain-Class: {_MAIN}\nClass-Path: {asm.resolve().as_uri()}\n", encoding="utf-8")
    jar = directory / "count.jar"
    words = ["jar", "cfm", str(jar), str(manifest), "-C", str(directory), "open"]
    subprocess.run(words, check=True, cwd=directory)
    before = os.environ.get(_OPTIONS)
    os.environ[_OPTIONS] = f"-javaagent:{jar}={lines}"
    try:
        yield
    finally:
        os.environ.pop(_OPTIONS, None) if before is None else os.environ.update({_OPTIONS: before})
