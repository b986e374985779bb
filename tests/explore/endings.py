"""What can be said only when a search has ended: whether value comes home from everywhere, whether order matters."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from explore.frontier import Broken, Found


def stranded(found: Sequence[Found]) -> list[Broken]:
    """I3: states from which no state is reachable in which all value is home; the first of them.

    A pass backwards over every step, from the states that are home.
    """
    offsets = [0]
    for one in found:
        offsets.append(offsets[-1] + one.states)
    total = offsets[-1]
    first, before = _backwards(found, offsets)
    reached = bytearray(total)
    waiting = [offsets[owner] + at for owner, one in enumerate(found) for at, home in enumerate(one.home) if home]
    for state in waiting:
        reached[state] = 1
    while waiting:
        state = waiting.pop()
        for at in range(first[state], first[state + 1]):
            earlier = before[at]
            if not reached[earlier]:
                reached[earlier] = 1
                waiting.append(earlier)
    for owner, one in enumerate(found):
        for at in range(one.states):
            if not reached[offsets[owner] + at]:
                return [Broken("I3: from here value cannot come home any more", owner, at)]
    return []


def _backwards(found: Sequence[Found], offsets: Sequence[int]) -> tuple[array[int], array[int]]:
    """The steps by the state that they lead to: for state s those at first[s] to first[s + 1] - 1 of `before`."""
    first = array("Q", bytes(8 * (offsets[-1] + 2)))
    for owner, one in enumerate(found):
        for to in one.edge_to:
            first[offsets[owner] + to + 2] += 1
    for at in range(2, len(first)):
        first[at] += first[at - 1]
    before = array("Q", bytes(8 * first[-1]))
    for owner, one in enumerate(found):
        for to, by, state in zip(one.edge_to, one.edge_owner, one.edge_from, strict=True):
            place = first[offsets[owner] + to + 1]
            before[place] = offsets[by] + state
            first[offsets[owner] + to + 1] = place + 1
    return first, before


def out_of_order(found: Sequence[Found]) -> list[str]:
    """I9: two ledgers that have taken in the same messages and do not show the same balances."""
    together: dict[bytes, set[bytes]] = {}
    for one in found:
        for known, balances in one.orders.items():
            together.setdefault(known, set()).update(balances)
    differ = sum(len(balances) > 1 for balances in together.values())
    return [f"I9: {differ} sets of messages give other balances in another order"] if differ else []
