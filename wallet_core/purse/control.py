"""PIN and life cycle of a purse as pure decisions."""

from __future__ import annotations

from dataclasses import replace

from wallet_core.errors import PurseRefusal, Refused
from wallet_core.purse.state import PIN_TRIES, Lifecycle, PurseState

_NEXT = {
    Lifecycle.BLANK: {Lifecycle.PERSONALISED, Lifecycle.TERMINATED},
    Lifecycle.PERSONALISED: {Lifecycle.ACTIVE, Lifecycle.TERMINATED},
    Lifecycle.ACTIVE: {Lifecycle.BLOCKED, Lifecycle.TERMINATED},
    Lifecycle.BLOCKED: {Lifecycle.TERMINATED},
    Lifecycle.TERMINATED: set(),
}


def begin_pin_check(state: PurseState) -> PurseState:
    """One try less: commit this *before* comparing, so that pulling the card buys no free guess (rule 14)."""
    if state.lifecycle not in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        raise PurseRefusal(Refused.WRONG_STATE, "the purse has no PIN to verify in this state")
    if state.pin_tries == 0:
        raise PurseRefusal(
            Refused.PIN_BLOCKED, next_step="Have the card blocked and refunded; what was paid is not lost."
        )
    return replace(state, pin_tries=state.pin_tries - 1)


def pin_verified(state: PurseState) -> PurseState:
    """The right PIN: all tries back, and the count of unverified payments starts again."""
    return replace(state, pin_tries=PIN_TRIES, unverified=0)


def move_to(state: PurseState, target: Lifecycle) -> PurseState:
    """The next life-cycle state; the same state again is no change; raises PurseRefusal WRONG_STATE for a way back."""
    if target is state.lifecycle:
        return state
    if target not in _NEXT[state.lifecycle]:
        raise PurseRefusal(
            Refused.WRONG_STATE, f"a {state.lifecycle.name.lower()} purse cannot become {target.name.lower()}"
        )
    return replace(state, lifecycle=target)
