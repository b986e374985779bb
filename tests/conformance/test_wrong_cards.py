"""Each wrong card is red under its own requirement, and green under every other one that is run.

In `make test` a wrong card meets the checks of its own area and of the areas that look at the same state; with
CONFORM_ALL=1 it meets all of them.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from conformance.wrong_cards import ALL, WrongCard
from hardware.conformance.requirements import Stage, registered
from hardware.conformance.runner import Conclusion, Verdict, examine
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.transports.in_process import InProcessTransport

SERIAL = bytes.fromhex("5752 4F4E 4743 4152")
WITH_ALL = os.environ.get("CONFORM_ALL", "") not in ("", "0")
NEIGHBOURS = ("PRE", "SEL")


def reader(kind: type[WrongCard]) -> InProcessTransport:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(7))
    manufacture(flash, PROFILES["hk-visitor"], SERIAL)
    return InProcessTransport(kind(flash, seeded(7)), "wrong card")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_wrong_card_is_red_under_its_own_requirement_alone(kind: type[WrongCard]) -> None:
    area = kind.requirement.split("-")[1]
    only = () if WITH_ALL else (area, *NEIGHBOURS)
    found = examine(reader(kind), random=Random(5).randbytes, only=only, destructive=True)
    red = {one.requirement.id: one.why for one in found.findings if one.verdict is Verdict.FAILED}
    assert set(red) == {kind.requirement}, red
    assert found.conclusion is Conclusion.DOES_NOT_CONFORM
    shown = next(one for one in found.findings if one.verdict is Verdict.FAILED)
    assert shown.why
    assert shown.exchanges, "the exchange that shows it"


def test_wrong_cards_are_many_and_of_many_kinds() -> None:
    broken = [kind.requirement for kind in ALL]
    assert len(broken) == len(set(broken)) >= 20
    assert set(broken) <= {one.id for one in registered() if one.stage is not Stage.READING and one.check}
    assert all(kind.__doc__ for kind in ALL)
