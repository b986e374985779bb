"""How a paid load ends: collected, or refused by the card. In the caller's transaction, whatever came first.

A Refusal beats a Receipt: an honest card signs one of them, and who signs both keeps nothing (docs/decisions).
"""

from __future__ import annotations

from server.ledger import books
from server.storage.protocol import Writer
from server.storage.records import LoadRecord, PurseRecord
from wallet_core.errors import ConfigurationError, StorageError


def collected(tx: Writer, load: LoadRecord, card: PurseRecord, receipt: bytes | None, now: int) -> None:
    """`receipt`: the signed one; None where a report of the card says it. Again: no change."""
    if load.receipt is None and (receipt is not None or not load.is_collected):
        tx.collect_load(load.id, receipt)
    if not load.is_collected and not load.is_reversed:
        accounts = (card.flight_account, card.card_account)
        books.load_collected(tx, _reference(load), *accounts, load.amount, now=now)


def refused(tx: Writer, load: LoadRecord, card: PurseRecord, now: int) -> None:
    """The value goes back into the operator's purse, once."""
    if load.is_reversed:
        return
    purse = tx.operator_purse()
    if purse is None:
        raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
    source = card.card_account if load.is_collected else card.flight_account
    tx.reverse_load(load.id)
    books.load_reversed(tx, _reference(load), source, purse.account, load.amount, now=now)


def _reference(load: LoadRecord) -> bytes:
    if load.voucher_hash is None:
        raise StorageError("a load that is not paid has no outcome", next_step="Report this.")
    return load.voucher_hash
