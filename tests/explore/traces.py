"""A way from the beginning to a broken invariant: written as JSON, and played step by step with the real code."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from explore.frontier import Broken, Found
from explore.market import Label, Market, State, View
from explore.scenarios import SCOPES, Profile
from hardware.emulator.flash import Outcome
from wallet_core.errors import ConfigurationError
from wallet_core.money import fen
from wallet_core.purse.state import SlotState

FORMAT = 1


@dataclass(frozen=True)
class Trace:
    """`steps`: the label of each step; `broken`: the invariant that does not hold after the last."""

    scope: str
    profile: Profile
    steps: tuple[Label, ...]
    broken: str

    def write(self, path: Path) -> None:
        profile = {**asdict(self.profile), "outcomes": [one.name for one in self.profile.outcomes]}
        document = {
            "format": FORMAT,
            "scope": self.scope,
            "profile": profile,
            "broken": self.broken,
            "steps": [_plain(label) for label in self.steps],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Trace:
        """Raises ConfigurationError for what is no trace of this format."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            profile = document["profile"]
            outcomes = tuple(Outcome[name] for name in profile.pop("outcomes"))
            if document["format"] != FORMAT or document["scope"] not in SCOPES:
                raise ConfigurationError(f"{path} is a trace of another version")
            steps = tuple(_tuple(label) for label in document["steps"])
            return cls(document["scope"], Profile(outcomes=outcomes, **profile), steps, document["broken"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is no trace: {error}") from error


def steps_to(market: Market, found: Sequence[Found], broken: Broken) -> tuple[Label, ...]:
    """The labels of a shortest way to what is broken, taken again from the beginning."""
    numbers: list[int] = [] if broken.step is None else [broken.step]
    owner, state = broken.owner, broken.state
    first = (market.key(market.first)[0] % len(found), 0)
    while (owner, state) != first:
        one = found[owner]
        numbers.append(one.from_step[state])
        owner, state = one.from_owner[state], one.from_state[state]
    labels, here = [], market.first
    for number in reversed(numbers):
        step = list(market.steps(here))[number]
        labels.append(step.label)
        here = step.state
    return tuple(labels)


def play(trace: Trace, say: Callable[[str], None]) -> str:
    """Take the steps of a trace and tell each; the invariant that is broken on the way (or nothing).

    Raises ConfigurationError where the code of today has no such step.
    """
    market = SCOPES[trace.scope](trace.profile)
    here = market.first
    broken = market.check(here)[0]
    for number, label in enumerate(trace.steps, 1):
        steps = {_tuple(_plain(step.label)): step for step in market.steps(here)}
        if label not in steps:
            raise ConfigurationError(f"step {number} ({words(label)}) is not possible any more")
        step = steps[label]
        here = step.state
        broken = broken or step.wrong or market.check(here)[0]
        say(f"{number:3}  {words(label)}")
        for line in _facts(market.view(here)):
            say(f"     {line}")
    if not broken and not market.check(here)[1] and trace.broken.startswith("I3"):
        broken = _never_home(market, here)
    return broken


def _never_home(market: Market, start: State, most: int = 20_000) -> str:
    """Whether no state from here has all value home; given up, as unknown, beyond `most` states."""
    seen, waiting = {market.key(start)}, [start]
    while waiting and len(seen) < most:
        state = waiting.pop()
        if market.check(state)[1]:
            return ""
        for step in market.steps(state):
            key = market.key(step.state)
            if key not in seen:
                seen.add(key)
                waiting.append(step.state)
    return "I3: from here value cannot come home any more" if not waiting else ""


def words(label: Label) -> str:
    """A step for people."""
    shown = [f"readings {part}" if isinstance(part, tuple) else str(part) for part in label if part not in ((), "")]
    return ", ".join(shown)


def _facts(view: View) -> list[str]:
    lines = []
    for number, possible in enumerate(view.purses):
        for facts in possible:
            slots = " ".join(f"{slot.n}:{SlotState(slot.state).name}" for slot in facts.slots) or "no vouchers"
            lines.append(f"purse {number}: {fen(facts.balance)}, next n {facts.next_n}, {slots}")
    lines += [f"sale {sale.k}: {sale.state}" for sale in view.till.sales]
    lines.append(f"books: wallets {fen(view.server.wallets)}, {len(view.server.settled)} vouchers settled")
    return lines


def _plain(part: Any) -> Any:
    return [_plain(one) for one in part] if isinstance(part, tuple) else part


def _tuple(part: Any) -> Any:
    return tuple(_tuple(one) for one in part) if isinstance(part, list) else part
