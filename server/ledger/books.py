"""Moving value between accounts: the only functions that post, one for each kind of transfer (docs/spec/ledger.md)."""

from __future__ import annotations

from collections.abc import Mapping

from server.ledger.accounts import AccountKind, TransferKind
from server.storage.protocol import Writer
from wallet_core.errors import StorageError


def issue(tx: Writer, reference: bytes, purse_account: int, amount: int, *, now: int) -> None:
    """The authority's money into the operator's purse."""
    issuance = tx.account(AccountKind.ISSUANCE).number
    _post(tx, TransferKind.ISSUANCE, reference, {issuance: -amount, purse_account: amount}, now=now)


def load(tx: Writer, reference: bytes, purse_account: int, flight_account: int, amount: int, *, now: int) -> None:
    """The operator's purse has paid; the card has yet to say that it collected."""
    _post(tx, TransferKind.LOAD, reference, {purse_account: -amount, flight_account: amount}, now=now)


def load_collected(
    tx: Writer, reference: bytes, flight_account: int, card_account: int, amount: int, *, now: int
) -> None:
    """The card's Receipt has come."""
    _post(tx, TransferKind.LOAD_COLLECTED, reference, {flight_account: -amount, card_account: amount}, now=now)


def load_reversed(
    tx: Writer, reference: bytes, source_account: int, purse_account: int, amount: int, *, now: int
) -> None:
    """The card's Refusal has come: the value is in flight, or, where a Receipt came before, on the card's shadow."""
    _post(tx, TransferKind.LOAD_REVERSED, reference, {source_account: -amount, purse_account: amount}, now=now)


def unloaded(tx: Writer, reference: bytes, card_account: int, target_account: int, amount: int, *, now: int) -> None:
    """A purse has paid the operator's: into its merchant's wallet, or out of the system (`redeemed`)."""
    _post(tx, TransferKind.UNLOADED, reference, {card_account: -amount, target_account: amount}, now=now)


def deposit(tx: Writer, reference: bytes, cards: Mapping[int, int], wallet: int, *, now: int, loss: int = 0) -> None:
    """Vouchers of one batch, netted: `cards` maps card accounts to fen, `loss` is what the operator bears of them.

    Where nothing moves nothing is posted.
    """
    entries = {account: -amount for account, amount in cards.items()}
    if loss:
        entries[tx.account(AccountKind.LOSS).number] = -loss
    entries[wallet] = sum(cards.values()) + loss
    post_what_moves(tx, TransferKind.DEPOSIT, reference, entries, now=now)


def post_what_moves(tx: Writer, kind: TransferKind, reference: bytes, entries: Mapping[int, int], *, now: int) -> None:
    """Entries of 0 fen are left out; without any other nothing is posted."""
    moving = {account: amount for account, amount in entries.items() if amount}
    if moving:
        _post(tx, kind, reference, moving, now=now)


def _post(tx: Writer, kind: TransferKind, reference: bytes, entries: Mapping[int, int], *, now: int) -> None:
    if sum(entries.values()) != 0 or len(entries) < 2:
        raise StorageError(f"a transfer of kind {kind.name} does not sum to zero", next_step="Report this.")
    tx.add_transfer(kind, reference, entries, now=now)
