"""Differences between emulator and applet that are meant, each with its reason. Every other one fails the run.

The list is empty: the specification says what either card does, and both do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from differential.played import Difference


@dataclass(frozen=True, slots=True)
class Explained:
    """`fits`: which differences; `reason`: why both cards are right."""

    name: str
    fits: Callable[[Difference], bool]
    reason: str


EXPLAINED: tuple[Explained, ...] = ()


def explanation(difference: Difference) -> Explained | None:
    """The first entry of the list that fits."""
    return next((one for one in EXPLAINED if one.fits(difference)), None)
