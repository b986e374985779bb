"""The flash of a card as a picture: each cell with its kind, what lies there, and how worn it is.

Looking programs nothing and draws no reading of an unstable cell: the picture of a card is not an event in its life.
Cells that hold a key, the PIN or the card maker's data are told by their kind only, never by their bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from hardware.emulator.flash import BLANK, Flash
from hardware.emulator.journal import Journal, Record
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.record import CardRecord, RecordError, Skeleton, read_record
from hardware.instructions import Store
from wallet_core.errors import EcnyError
from wallet_core.purse.state import EntryState, SlotState

KINDS: Final = {
    "valid": "in force: a record or an area that counts",
    "old": "was in force, or is left over: nothing points to it",
    "torn": "written when the power went, and never counted",
    "unreadable": "cut in mid programming: it may read differently each time",
    "worn": "programmed as often as it can be",
    "empty": "blank",
    "header": "says which layout this card has",
}
"""Kind → what it means, for the legend."""
_SECRET: Final = frozenset({"factory", "key", "pin", "audit_key"})


@dataclass(frozen=True, slots=True)
class Place:
    """What a cell is for: `area` as `ring 3` or `slot 0`, `part` of it, and whether its bytes are secret."""

    area: str
    part: str
    secret: bool = False


@cache
def places() -> tuple[Place, ...]:
    """One for each cell of the flash, in order."""
    found = [Place("header", "layout")]
    for position in range(CARD_LAYOUT.positions):
        found += [Place(f"ring {position}", f"payload {cell}") for cell in range(CARD_LAYOUT.payload_cells)]
        found.append(Place(f"ring {position}", "seal"))
    size = CARD_LAYOUT.cell_size
    for name, area in CARD_LAYOUT.named_areas():
        found += [Place(name, f"part {cell}", _is_secret(name)) for cell in range(-(-area.size // size))]
    return tuple(found)


def _is_secret(area: str) -> bool:
    return area.partition(" ")[0] in _SECRET


def picture(flash: Flash, torn: Collection[int]) -> dict[str, Any]:
    """All cells and the ring. `torn`: cells that a cut command has programmed, and none since."""
    records = ring(flash)
    newest = max((one for one in records if one is not None), key=lambda one: one.sequence, default=None)
    counting = _counting(newest)
    unstable = flash.unstable()
    cells = []
    for index, place in enumerate(places()):
        kind = _kind(index, place, flash, records, counting)
        if kind in ("old", "empty") and index in torn:
            kind = "torn"
        if index in unstable:
            kind = "unreadable"
        if flash.left(range(index, index + 1)) == 0:
            kind = "worn"
        cells.append({"cell": index, "kind": kind, "area": place.area, "part": place.part, "wear": flash.wear(index)})
    return {
        "cell_size": flash.cell_size,
        "endurance": flash.endurance,
        "left_in_ring": flash.left(CARD_LAYOUT.ring),
        "ring": [_position(number, record, record is newest, flash) for number, record in enumerate(records)],
        "cells": cells,
        "kinds": KINDS,
    }


def ring(flash: Flash) -> list[Record | None]:
    """The record that each position of the ring holds now; an unstable cell is taken as what it last kept."""
    journal = Journal(flash, CARD_LAYOUT)
    return [journal.peek(position) for position in range(CARD_LAYOUT.positions)]


def cell_facts(flash: Flash, index: int, torn: Collection[int]) -> dict[str, Any]:
    """One cell with its bytes, unless they are secret: then `data` is None."""
    place = places()[index]
    facts: dict[str, Any] = picture(flash, torn)["cells"][index]
    candidates = flash.unstable().get(index, ())
    return {
        **facts,
        "secret": place.secret,
        "meaning": KINDS[facts["kind"]],
        "left": flash.left(range(index, index + 1)),
        "data": None if place.secret else flash.peek(index).hex().upper(),
        "candidates": [] if place.secret else [one.hex().upper() for one in candidates],
    }


def _position(number: int, record: Record | None, newest: bool, flash: Flash) -> dict[str, Any]:
    blank = flash.peek(CARD_LAYOUT.seal_cell(number)) == bytes([BLANK]) * flash.cell_size
    state = "newest" if newest and record else "older" if record else "erased" if blank else "broken"
    return {"position": number, "state": state, "sequence": record.sequence if record else None}


def _counting(newest: Record | None) -> frozenset[str]:
    """The names of the areas that the newest record makes count."""
    if newest is None:
        return frozenset({"factory"})
    try:
        skeleton = read_record(newest.payload)
    except RecordError:
        return frozenset({"factory"})
    return frozenset(_named(skeleton))


def _named(skeleton: Skeleton) -> Iterator[str]:
    record: CardRecord = skeleton.record
    yield "factory"
    if record.has_key:
        yield "key"
    yield from (f"{one.name.lower()} {record.objects[one]}" for one in Store if record.objects[one])
    yield from (f"slot {at}" for at, state in enumerate(skeleton.slot_states) if state is not SlotState.FREE)
    for at, state in enumerate(skeleton.entry_states):
        if state is not EntryState.FREE:
            yield f"request {at}"
        if state in (EntryState.COLLECTED, EntryState.REFUSED):
            yield f"answer {at}"


def _kind(index: int, place: Place, flash: Flash, records: list[Record | None], counting: frozenset[str]) -> str:
    blank = flash.peek(index) == bytes([BLANK]) * flash.cell_size
    if place.area == "header":
        return "empty" if blank else "header"
    if place.area.startswith("ring "):
        record = records[int(place.area.removeprefix("ring "))]
        newest = max((one.sequence for one in records if one is not None), default=-1)
        if record is not None:
            return "valid" if record.sequence == newest else "old"
        if blank:
            return "empty"
        return "torn" if place.part == "seal" else "old"
    if place.area in counting:
        return "valid"
    return "empty" if blank else "old"


def newest_sequence(flash: Flash) -> int | None:
    """Sequence number of the newest sealed record; None when there is none."""
    try:
        return max((one.sequence for one in ring(flash) if one is not None), default=None)
    except EcnyError:
        return None
