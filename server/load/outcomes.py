"""How a paid load ends: collected, refused by the card, or given back with a lost card's rest. In the caller's
transaction, whatever came first.

A Refusal beats a Receipt: an honest card signs one of them, and who signs both keeps nothing (docs/decisions).
"""

from __future__ import annotations

from server.ledger import books
from server.risk import reviews
from server.risk.losses import Losses
from server.risk.settings import RiskSettings
from server.storage.protocol import Reader, Writer
from server.storage.records import LoadRecord, PurseRecord
from wallet_core.errors import ConfigurationError, StorageError


def collected(tx: Writer, load: LoadRecord, card: PurseRecord, receipt: bytes | None, now: int) -> None:
    """`receipt`: the signed one; None where a report of the card says it. Again: no change."""
    if load.receipt is None and (receipt is not None or not load.is_collected):
        tx.collect_load(load.id, receipt)
    if not load.is_collected and not load.is_reversed:
        accounts = (card.flight_account, card.card_account)
        books.load_collected(tx, _reference(load), *accounts, load.amount, now=now)


def unheard(tx: Reader, card: PurseRecord) -> list[LoadRecord]:
    """Paid to this card, which has said of them neither that it collected nor that it refused."""
    return [load for load in tx.paid_loads(card.id) if not load.is_reversed and not _is_heard_of(tx, load, card)]


def given_up(tx: Writer, card: PurseRecord, now: int) -> None:
    """A lost card collects no more: what is in flight to it by loads is on its shadow from now on, and given back from
    there. A Receipt that comes all the same posts nothing, nor does a Refusal: the value is the holder's by then."""
    for load in tx.pending_loads(card.id):
        collected(tx, load, card, None, now)


def refused(tx: Writer, load: LoadRecord, card: PurseRecord, risk: RiskSettings, now: int) -> None:
    """The value goes back into the operator's purse, once. What the card has spent of it `loss` bears: a voucher was
    credited because the load was in flight."""
    if load.is_reversed or (load.is_collected and not _is_heard_of(tx, load, card)):
        return
    purse = tx.operator_purse()
    if purse is None:
        raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
    source = card.card_account if load.is_collected else card.flight_account
    tx.reverse_load(load.id)
    books.load_reversed(tx, _reference(load), source, purse.account, load.amount, now=now)
    losses = Losses(tx, risk)
    losses.read([(card.number, card.card_account)])
    reviews.rebalance(tx, losses, card, now, withdrawn=True)
    losses.write()


def _is_heard_of(tx: Reader, load: LoadRecord, card: PurseRecord) -> bool:
    """Whether the card itself has said that it collected: by a Receipt, or by a report."""
    return load.receipt is not None or tx.purse_receipt(card.id, _reference(load)) is not None


def _reference(load: LoadRecord) -> bytes:
    if load.voucher_hash is None:
        raise StorageError("a load that is not paid has no outcome", next_step="Report this.")
    return load.voucher_hash
