"""Vouchers that wait: decided again when inflow is proved or fraud is, or paid by the operator (docs/spec/ledger.md).

A waiting voucher is genuine and kept, and its payee is not paid. It is credited as soon as its card's loss stays within
the limit (`losses`), in the order of epoch, counter and hash; one that does not fit does not stop the next.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.ledger import books
from server.ledger.accounts import AccountKind, TransferKind
from server.risk.losses import Losses, Move
from server.risk.settings import RiskSettings
from server.settlement.archive import Archive
from server.storage.protocol import Reader, Writer
from server.storage.records import PurseRecord, VoucherRecord, VoucherState
from wallet_core.errors import StorageError
from wallet_core.messages import Voucher, parse


@dataclass(frozen=True, slots=True)
class Review:
    """One waiting voucher; `payee`: a till's or purse's id."""

    payer: bytes
    epoch: int
    n: int
    voucher_hash: bytes
    amount: int
    payee: bytes
    equivocating: bool


def waiting(tx: Reader) -> list[Review]:
    """Every voucher that waits."""
    archive, found = Archive(tx), []
    for record in tx.waiting():
        payer = _payer(tx, record)
        message = parse(Voucher, archive.bytes_of(record)).message
        found.append(
            Review(
                payer.id,
                record.epoch,
                record.n,
                record.hash,
                record.amount,
                message.payee,
                tx.is_equivocating(record.payer),
            )
        )
    return found


def inflow_proved(tx: Writer, purse: PurseRecord, risk: RiskSettings, now: int) -> int:
    """After a posting that raised shadow + flight of `purse`: what `loss` paid in advance comes back, and waiting
    vouchers are decided again. How many were credited. For most purses two look-ups and nothing else."""
    if not tx.deficit(purse.number).lost and not tx.waiting(purse.number):
        return 0
    losses = Losses(tx, risk)
    losses.read([(purse.number, purse.card_account)])
    return _again(tx, losses, purse, risk, now)


def reopen(tx: Writer, payers: Collection[bytes], risk: RiskSettings, now: int) -> None:
    """A proof of fraud by each of these was stored: their limit is the review cap now."""
    for payer in sorted(payers):
        purse = tx.purse(payer)
        if purse is not None:
            losses = Losses(tx, risk)
            losses.read([(purse.number, purse.card_account)])
            _again(tx, losses, purse, risk, now)


def pay(tx: Writer, voucher_hash: bytes, risk: RiskSettings, now: int) -> Move | None:
    """The operator pays one waiting voucher, from `loss` as far as nothing covers it; None when the cap forbids it or
    its payee has refused it.

    Raises StorageError when no such voucher waits.
    """
    record = next((one for one in tx.waiting() if one.hash == voucher_hash), None)
    if record is None:
        raise StorageError("no such voucher waits", next_step="List them: ecny server review list")
    losses = Losses(tx, risk)
    purse = _payer(tx, record)
    losses.read([(purse.number, purse.card_account)])
    move = credit(tx, losses, purse, record, now, pay_review=True)
    finish(tx, losses, risk, now)
    return move


def finish(tx: Writer, losses: Losses, risk: RiskSettings, now: int) -> None:
    """Store the losses; then what was paid to purses is inflow of theirs, which may let their own vouchers through."""
    losses.write()
    for number in losses.paid:
        payee = tx.purse_by_number(number)
        if payee is not None:
            inflow_proved(tx, payee, risk, now)


def _again(tx: Writer, losses: Losses, purse: PurseRecord, risk: RiskSettings, now: int) -> int:
    rebalance(tx, losses, purse, now)
    paid = sum(credit(tx, losses, purse, record, now) is not None for record in tx.waiting(purse.number))
    finish(tx, losses, risk, now)
    return paid


def rebalance(tx: Writer, losses: Losses, purse: PurseRecord, now: int, *, withdrawn: bool = False) -> None:
    """Post what `loss` bears more or less than before (`Losses.rebalance`)."""
    move = losses.rebalance(purse.number, withdrawn=withdrawn)
    if move.loss:
        loss = tx.account(AccountKind.LOSS).number
        entries = {purse.card_account: -move.card, loss: -move.loss}
        books.post_what_moves(tx, TransferKind.LOSS_MOVED, losses.reference(purse), entries, now=now)


def credit(
    tx: Writer,
    losses: Losses,
    purse: PurseRecord,
    record: VoucherRecord,
    now: int,
    *,
    pay_review: bool = False,
    kind: TransferKind = TransferKind.REVIEW_SETTLED,
) -> Move | None:
    """Credit a kept voucher to its payee, if its card's limit allows; None when it does not, or it was refused."""
    message = parse(Voucher, Archive(tx).bytes_of(record)).message
    if _is_refused(tx, record, message):
        tx.set_state(record, VoucherState.REFUSED)
        return None
    move = losses.charge(record.payer, (record.epoch, record.n), record.hash, record.amount, pay_review=pay_review)
    if move is None:
        return None
    target, state = _target(tx, record)
    entries = {purse.card_account: -move.card, target: record.amount}
    if move.loss:
        entries[tx.account(AccountKind.LOSS).number] = -move.loss
    books.post_what_moves(tx, kind, record.hash, entries, now=now)
    tx.set_state(record, state)
    if record.payee_purse is not None:
        losses.paid.append(record.payee_purse)
        _collect(tx, record, message, now)
    return move


def _is_refused(tx: Reader, record: VoucherRecord, message: Voucher) -> bool:
    if record.payee_purse is not None:
        return tx.purse_refusal(message.payee, message.request_hash) is not None
    till = tx.till(message.payee)
    deposited_by = tx.till_by_number(record.till) if record.till is not None else None
    numbers = {number for one in (till, deposited_by) if one is not None for number in one.numbers}
    return message.request_hash in tx.refused_requests(sorted(numbers))


def _target(tx: Reader, record: VoucherRecord) -> tuple[int, VoucherState]:
    """The account that gets the value, and the state that the voucher then has."""
    if record.payee_purse is not None:
        payee = tx.purse_by_number(record.payee_purse)
        if payee is not None:
            return payee.flight_account, VoucherState.OPEN
    elif record.till is not None:
        till = tx.till_by_number(record.till)
        if till is not None:
            return till.wallet, VoucherState.SETTLED
    raise StorageError("a voucher's payee is missing", next_step="Restore the database; report this.")


def _collect(tx: Writer, record: VoucherRecord, message: Voucher, now: int) -> None:
    """Its Receipt was here before it could be charged."""
    if tx.purse_receipt(message.payee, record.hash) is None or record.payee_purse is None:
        return
    payee = tx.purse_by_number(record.payee_purse)
    if payee is None:
        raise StorageError("a voucher's payee is missing", next_step="Restore the database; report this.")
    entries = {payee.flight_account: -record.amount, payee.card_account: record.amount}
    books.post_what_moves(tx, TransferKind.PURSE_COLLECTED, record.hash, entries, now=now)
    tx.set_state(record, VoucherState.SETTLED)


def _payer(tx: Reader, record: VoucherRecord) -> PurseRecord:
    payer = tx.purse_by_number(record.payer)
    if payer is None:
        raise StorageError("a voucher's payer is missing", next_step="Restore the database; report this.")
    return payer
