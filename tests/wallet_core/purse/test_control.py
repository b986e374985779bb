"""PIN and life cycle: the counter falls before the comparison, and states go one way."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import pytest

from wallet_core.errors import PurseRefusal, Refused
from wallet_core.purse import control
from wallet_core.purse.state import PIN_TRIES, Lifecycle, PurseState

ACTIVE = PurseState(lifecycle=Lifecycle.ACTIVE)
ONWARD = {*pairwise(Lifecycle), *((state, Lifecycle.TERMINATED) for state in Lifecycle)}


@pytest.mark.parametrize(("here", "there"), list(product(Lifecycle, Lifecycle)), ids=lambda one: one.name)
def test_life_cycle_is_one_way(here: Lifecycle, there: Lifecycle) -> None:
    state = PurseState(lifecycle=here, total_in=5)
    if here is there:
        assert control.move_to(state, there) is state
    elif (here, there) in ONWARD:
        assert control.move_to(state, there) == replace(state, lifecycle=there)
    else:
        with pytest.raises(PurseRefusal) as caught:
            control.move_to(state, there)
        assert caught.value.reason is Refused.WRONG_STATE


def test_tries_fall_before_the_comparison() -> None:
    state = ACTIVE
    for left in range(PIN_TRIES - 1, -1, -1):
        state = control.begin_pin_check(state)
        assert state == replace(ACTIVE, pin_tries=left)
    with pytest.raises(PurseRefusal) as caught:
        control.begin_pin_check(state)
    assert caught.value.reason is Refused.PIN_BLOCKED


@pytest.mark.parametrize("tries", range(1, PIN_TRIES + 1))
def test_the_right_pin_restores_all(tries: int) -> None:
    before = replace(ACTIVE, pin_tries=tries, unverified=12_345)
    after = control.pin_verified(control.begin_pin_check(before))
    assert after == replace(before, pin_tries=PIN_TRIES, unverified=0)


@pytest.mark.parametrize("lifecycle", list(Lifecycle), ids=lambda one: one.name)
def test_when_there_is_a_pin_to_verify(lifecycle: Lifecycle) -> None:
    state = PurseState(lifecycle=lifecycle)
    if lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        assert control.begin_pin_check(state).pin_tries == PIN_TRIES - 1
        return
    with pytest.raises(PurseRefusal) as caught:
        control.begin_pin_check(state)
    assert caught.value.reason is Refused.WRONG_STATE
