"""The applet as the other of the two cards: whole sequences over the control line of its runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from differential.played import Exchange, Play
from differential.states import State
from wallet_core.errors import MismatchError

Control = Callable[[str, object], Mapping[str, Any]]
"""One request of the control line and its answer, as `JavaCardProcess.request`."""
FACTORY = "factory"
_NO_ANSWER, _CHANGED, _CRASHED = "-", "!", "?"


class AppletSide:
    """A Java card that was just installed. Raises MismatchError when the script to a state is answered otherwise."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._control("snapshot", FACTORY)

    def keep(self, state: State) -> None:
        """Bring the applet to a state by the emulator's own script, answer for answer, and take the snapshot."""
        answers = self._run(FACTORY, state.seed, state.script)
        for number, (command, right, given) in enumerate(zip(state.script, state.answers, answers, strict=True)):
            if given.answer != right:
                raise MismatchError(
                    f"on the way to {state.name!r}, command {number} ({command.hex()}): emulator {Exchange(right)}, "
                    f"applet {given}",
                    next_step="Settle this difference first: nothing can be drawn from a state that differs.",
                )
        self._control("snapshot", state.name)

    def play(self, sequence: Play) -> list[Exchange]:
        return self._run(sequence.state, sequence.seed, sequence.commands)

    def _run(self, state: str, seed: str, commands: tuple[bytes, ...]) -> list[Exchange]:
        request = {"from": state, "seed": seed, "commands": " ".join(one.hex() for one in commands)}
        words = str(self._control("play", request)["answers"])
        return [_exchange(word) for word in words.split()]


def _exchange(word: str) -> Exchange:
    if word == _NO_ANSWER:
        return Exchange(b"", crashed=True)
    marks = word.rstrip("0123456789abcdef")
    answer = bytes.fromhex(word[len(marks) :])
    return Exchange(answer, _CHANGED in marks, _CRASHED in marks)
