"""The numbered requirements on a card, each with the clause that it comes from and the check that tries it.

A check is a function with one `Bench` as its argument, registered by `requirement`; its docstring says how it looks.
It returns where the card does as the sentence says, or raises `Nonconformity`, `NotApplicable` or `NotTried`.
`docs/spec/conformance.md` shows the same list; a test holds page, clauses and this registry together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

Check = Callable[..., None]
"""Takes the `Bench` of one card."""


class Stage(IntEnum):
    """In which part of a card's life a check runs; they follow one another on one card."""

    READING = 0  # any card: looks, and changes nothing that lasts
    BLANK = 1
    PERSONALISED = 2
    ACTIVE = 3
    CLOSING = 4  # uses the PIN up, then blocks and terminates the card: only when asked for


class Nonconformity(Exception):
    """The card does something else than the requirement says; the text says what."""


class NotApplicable(Exception):
    """The requirement is not on this kind of card; the text says why."""


class NotTried(Exception):
    """This card is no longer in the state that the check needs; the text says why."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One sentence about a card. `page` and `heading` name its clause; in a CDDL file the heading is a rule.

    Either `check` tries it in `stage`, or `untestable` says why nobody can through a reader.
    """

    id: str
    text: str
    page: str
    heading: str
    stage: Stage = Stage.ACTIVE
    check: Check | None = None
    untestable: str = ""

    @property
    def area(self) -> str:
        """`PAY` of `ECNY-PAY-07`."""
        return self.id.split("-")[1]

    @property
    def how(self) -> str:
        """How it is tried, in a sentence; of an untestable one, why it is not."""
        return self.untestable or " ".join((self.check.__doc__ or "").split())

    @property
    def destructive(self) -> bool:
        return self.stage is Stage.CLOSING


APDU: Final = "apdu.md"
STATUSES: Final = "statuses.md"
TRANSFER: Final = "transfer.md"
CDDL: Final = "messages.cddl"

_registry: dict[str, Requirement] = {}


def requirement(
    number: str, text: str, page: str, heading: str, *, stage: Stage = Stage.ACTIVE
) -> Callable[[Check], Check]:
    """Registers the decorated check under `ECNY-<number>`."""

    def register(check: Check) -> Check:
        _add(Requirement(f"ECNY-{number}", text, page, heading, stage, check))
        return check

    return register


def untestable(number: str, text: str, page: str, heading: str, why: str) -> None:
    """Lists a requirement that no reader can try, with the reason."""
    _add(Requirement(f"ECNY-{number}", text, page, heading, untestable=why))


def _add(one: Requirement) -> None:
    if one.id in _registry:
        raise TypeError(f"two requirements are called {one.id}")
    _registry[one.id] = one


def registered() -> tuple[Requirement, ...]:
    """All that was registered so far, in the order in which it was: the order in which checks run."""
    return tuple(_registry.values())


def in_order(some: Iterable[Requirement]) -> list[Requirement]:
    """As pages and reports have them: areas as they are registered, requirements by their numbers."""
    areas = list(dict.fromkeys(one.area for one in registered()))
    return sorted(some, key=lambda one: (areas.index(one.area), one.id))
