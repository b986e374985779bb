"""A session asked again of another card: what must be alike, whatever keys and random numbers that card has."""

from __future__ import annotations

from typing import Any

from life import Life, Reader, UnexpectedAnswerError
from sessions import SESSIONS


def replay(vector: dict[str, Any], reader: Reader) -> list[str]:
    """Runs the session of this name with the blank card in `reader`; returns every difference, in words.

    The card has the vector's serial number and transport keys. Its commands are made anew, since they carry its own
    id and certificate; the number of exchanges, the status words, the length of each answer, and each byte that is
    not marked as free have to be the same.
    """
    (session,) = [session for session in SESSIONS if session.name == vector["name"]]
    life = Life(reader, session.serial, session.suite)
    found = []
    try:
        session.story(life)
    except (UnexpectedAnswerError, ValueError) as exc:
        found.append(f"{vector['name']}: {exc}")
    for at, (ours, theirs) in enumerate(zip(life.steps, vector["steps"], strict=False)):
        if ours["do"] != theirs["do"]:
            return [*found, f"step {at}: {ours['do']} instead of {theirs['do']}"]
        if "sw" in theirs:
            found += [f"step {at}, {ours['do']}: {fault}" for fault in _faults(ours, theirs)]
    if not found and len(life.steps) != len(vector["steps"]):
        found.append(f"{len(life.steps)} exchanges instead of {len(vector['steps'])}")
    return found


def _faults(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    if ours["sw"] != theirs["sw"]:
        return [f"{ours['sw']} instead of {theirs['sw']}"]
    if len(ours["answer"]) != len(theirs["answer"]):
        return [f"{len(ours['answer']) // 2} bytes instead of {len(theirs['answer']) // 2}"]
    here, there = (bytearray.fromhex(step["answer"]) for step in (ours, theirs))
    for start, size, _ in theirs.get("free", ()):
        here[start : start + size] = there[start : start + size] = bytes(size)
    at = next((i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b), None)
    return [] if at is None else [f"byte {at} is {here[at]:02x} instead of {there[at]:02x}"]
