"""Vouchers that come outside a batch: between purses, and for tills that cannot deposit any more.

A voucher between purses moves its amount from the payer (its shadow, or `loss`: `losses`) to flight/<payee>; the
payee's Receipt takes it on to the payee's shadow, its Refusal back. Each has its row beside the deposited ones, so that
one counter is one voucher whoever is paid. All functions are to be called in one transaction with what brought them.
"""

from __future__ import annotations

from server.ledger import books
from server.ledger.accounts import AccountKind, TransferKind
from server.risk import fraud, reviews
from server.risk.losses import Losses
from server.risk.settings import RiskSettings
from server.settlement.archive import Archive
from server.storage.protocol import Reader, Writer
from server.storage.records import (
    PurseRecord,
    TillRecord,
    VoucherRecord,
    VoucherRow,
    VoucherState,
    batch_key,
    purse_key,
    request_prefix,
)
from wallet_core.errors import StorageError
from wallet_core.messages import DepositStatus, Signed, Voucher

_UNDECIDED = (VoucherState.REVIEW, VoucherState.EQUIVOCATION)


def take_in_purse_voucher(
    tx: Writer, voucher: Signed[Voucher], payer: PurseRecord, payee: PurseRecord, risk: RiskSettings, now: int
) -> VoucherState:
    """A genuine voucher (the caller has verified it) between purses; the same one again changes nothing.

    OPEN: charged; REVIEW or EQUIVOCATION: not covered, so nothing is posted yet; else what it was before.
    """
    return _take_in(tx, voucher, payer, purse_key(payee.number), TransferKind.PURSE_PAID, risk, now).state


def collect_for_till(
    tx: Writer, voucher: Signed[Voucher], payer: PurseRecord, till: TillRecord, risk: RiskSettings, now: int
) -> DepositStatus:
    """A genuine voucher for an account payee that cannot deposit it: credited to its merchant as a deposit would be.

    When it is deposited after all it is SETTLED again, without a second credit.
    """
    record = _take_in(tx, voucher, payer, batch_key(till.number, 0), TransferKind.DEAD_TILL, risk, now)
    return DepositStatus.REFUSED_BEFORE if record.state is VoucherState.REFUSED else DepositStatus(record.state.value)


def purse_collected(
    tx: Writer,
    payer: int,
    epoch: int,
    n: int,
    voucher_hash: bytes,
    risk: RiskSettings,
    now: int,
    *,
    void_order: bool = False,
) -> None:
    """The payee has collected: flight → shadow. A Refusal that was here before stands (both together are a proof).

    `payer`: the storage's number. `void_order`: the payer's slot is reported COLLECTED, so an order that reversed this
    voucher for a destroyed payee was void: the value goes to the payee after all.
    """
    record = find(tx, payer, epoch, n, voucher_hash)
    if record is None or record.payee_purse is None:
        return
    payee = _purse(tx, record.payee_purse)
    if record.state is VoucherState.REFUSED and void_order:
        _charge_again(tx, _purse(tx, payer), payee, record, risk, now)
        record = find(tx, payer, epoch, n, voucher_hash) or record
    if record.state is VoucherState.OPEN:
        entries = {payee.flight_account: -record.amount, payee.card_account: record.amount}
        books.post_what_moves(tx, TransferKind.PURSE_COLLECTED, record.hash, entries, now=now)
        tx.set_state(record, VoucherState.SETTLED)
    reviews.inflow_proved(tx, payee, risk, now)


def purse_refused(
    tx: Writer, payer: int, epoch: int, n: int, voucher_hash: bytes, risk: RiskSettings, now: int
) -> None:
    """The payee has refused: back to who bore it. It beats a Receipt, in every order: who signs both gains nothing."""
    record = find(tx, payer, epoch, n, voucher_hash)
    if record is None or record.payee_purse is None:
        return
    if record.state in _UNDECIDED:
        tx.set_state(record, VoucherState.REFUSED)
    elif record.state in (VoucherState.OPEN, VoucherState.SETTLED):
        _give_back(tx, _purse(tx, payer), record, TransferKind.PURSE_REFUSED, risk, now)


def give_back_residual(tx: Writer, record: VoucherRecord, risk: RiskSettings, now: int) -> None:
    """A destroyed payee will never collect this voucher: back to who bore it (rule 11)."""
    if record.state is VoucherState.OPEN:
        _give_back(tx, _purse(tx, record.payer), record, TransferKind.RESIDUAL, risk, now)


def _take_in(
    tx: Writer,
    voucher: Signed[Voucher],
    payer: PurseRecord,
    key: int,
    kind: TransferKind,
    risk: RiskSettings,
    now: int,
) -> VoucherRecord:
    """Row, proof and charge of a genuine voucher that no batch brought."""
    message, voucher_hash = voucher.message, voucher.hash
    first = tx.voucher(payer.number, message.epoch, message.n)
    known = [first, *tx.rivals(payer.number, message.epoch, message.n)] if first is not None else []
    same = next((record for record in known if record.hash == voucher_hash), None)
    if same is not None and same.state not in _UNDECIDED:
        return same
    if same is None:
        raw = voucher.to_bytes()
        tx.add_loose_voucher(voucher_hash, raw)
        state = VoucherState.EQUIVOCATION if known else VoucherState.REVIEW
        row: VoucherRow = (
            *(payer.number, message.epoch, message.n, voucher_hash, message.amount),
            *(request_prefix(message.request_hash), key, state.value),
        )
        if known:
            tx.add_rival(row)
            proof = Archive(tx).bytes_of(known[0]), raw
            fraud.equivocation(tx, payer, message.epoch, message.n, *proof, voucher_hash, now)
        else:
            tx.add_vouchers([row])
    record = find(tx, payer.number, message.epoch, message.n, voucher_hash)
    if record is None:
        raise StorageError("a voucher cannot be read back", next_step="Restore the database; report this.")
    losses = Losses(tx, risk)
    losses.read([(payer.number, payer.card_account)])
    if reviews.credit(tx, losses, payer, record, now, kind=kind) is None:
        fraud.doubt(tx, payer.id, record.amount - losses.headroom(payer.number), risk, now)
    reviews.finish(tx, losses, risk, now)
    if known and same is None:
        reviews.reopen(tx, [payer.id], risk, now)
    return find(tx, payer.number, message.epoch, message.n, voucher_hash) or record


def _give_back(
    tx: Writer, payer: PurseRecord, record: VoucherRecord, kind: TransferKind, risk: RiskSettings, now: int
) -> None:
    payee = _purse(tx, record.payee_purse or 0)
    losses = Losses(tx, risk)
    losses.read([(payer.number, payer.card_account)])
    move = losses.give_back(record)
    collected = record.state is VoucherState.SETTLED
    entries = {
        payer.card_account: -move.card,
        payee.card_account if collected else payee.flight_account: -record.amount,
    }
    if move.loss:
        entries[tx.account(AccountKind.LOSS).number] = -move.loss
    books.post_what_moves(tx, kind, record.hash, entries, now=now)
    tx.set_state(record, VoucherState.REFUSED)
    losses.write()
    losses = Losses(tx, risk)
    losses.read([(payee.number, payee.card_account)])
    reviews.rebalance(tx, losses, payee, now, withdrawn=True)  # what the payee has spent of it, `loss` bears
    losses.write()
    reviews.inflow_proved(tx, payer, risk, now)


def _charge_again(
    tx: Writer, payer: PurseRecord, payee: PurseRecord, record: VoucherRecord, risk: RiskSettings, now: int
) -> None:
    losses = Losses(tx, risk)
    losses.read([(payer.number, payer.card_account)])
    move = losses.charge(payer.number, (record.epoch, record.n), record.hash, record.amount, pay_review=True)
    if move is None:
        tx.set_state(record, VoucherState.EQUIVOCATION if record.rival else VoucherState.REVIEW)
        return
    entries = {payer.card_account: -move.card, payee.flight_account: record.amount}
    if move.loss:
        entries[tx.account(AccountKind.LOSS).number] = -move.loss
    books.post_what_moves(tx, TransferKind.PURSE_RECLAIMED, record.hash, entries, now=now)
    tx.set_state(record, VoucherState.OPEN)
    losses.write()


def find(tx: Reader, payer: int, epoch: int, n: int, voucher_hash: bytes) -> VoucherRecord | None:
    """The row of a genuine voucher, first or rival."""
    first = tx.voucher(payer, epoch, n)
    if first is None or first.hash == voucher_hash:
        return first
    return next((record for record in tx.rivals(payer, epoch, n) if record.hash == voucher_hash), None)


def _purse(tx: Reader, number: int) -> PurseRecord:
    purse = tx.purse_by_number(number)
    if purse is None:
        raise StorageError("a voucher's payee is missing", next_step="Restore the database; report this.")
    return purse
