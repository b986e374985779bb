"""A card's place is taken by another card with a key of its own. Nothing of the old one's state passes on (rule 13)."""

from __future__ import annotations

from server.problems import Problem
from server.risk.standing import move_to, status_of
from server.storage.protocol import Writer
from server.storage.records import PurseRecord
from server.storage.records_risk import PurseStatus


def replace_card(tx: Writer, old: bytes, new: PurseRecord, *, now: int) -> None:
    """`old` (an id) is REPLACED by `new`, an enrolled card in good standing; again: no change.

    Raises Problem `not-found`, `revoked` (a card proved to have broken the rules is not replaced), and
    `idempotency-mismatch` when one of them has another counterpart.
    """
    replaced = tx.purse(old)
    if replaced is None or replaced.number == new.number:
        raise Problem("not-found", "There is no such card to replace.")
    known = tx.replaced_by(new.number)
    if known == replaced.number:
        return
    status = status_of(tx, old)
    if status is PurseStatus.REVOKED:
        raise Problem("revoked", "This card is revoked for breaking the rules: it is not replaced.")
    if known is not None or status is PurseStatus.REPLACED:
        raise Problem("idempotency-mismatch", "One of these cards has another counterpart.")
    tx.replace_purse(new.number, replaced.number)
    move_to(tx, old, PurseStatus.REPLACED, "replaced by another card", now=now)
