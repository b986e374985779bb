"""Unloads: a purse pays the operator's, and the value leaves it for its merchant's wallet, or the system.

The only way in which value in a secure element is paid out (docs/spec/transfer.md, rule 8). `begin` commits a Request
of the operator's purse; `take` accepts the voucher that answers it, from whatever terminal or report it comes, and pays
out what the payer is proved to have received. The rest waits for that proof.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import structlog

from server.ledger import books
from server.ledger.accounts import AccountKind
from server.load.purse import OperatorPurse
from server.problems import Problem
from server.risk.fraud import equivocation
from server.risk.losses import Losses, is_proved
from server.risk.settings import RiskSettings
from server.risk.standing import require_active
from server.settings import Checkpoint, Entropy, no_checkpoint
from server.settlement.archive import bytes_of
from server.storage.ending_records import BroughtVoucher, UnloadRecord
from server.storage.protocol import Storage, Writer
from server.storage.records import OperatorPurseRecord, PurseRecord, VoucherState, request_prefix
from wallet_core.certificates import Certificate
from wallet_core.errors import ConfigurationError, MismatchError
from wallet_core.ids import COUNTER_MAX, short
from wallet_core.messages import Request, Signed, Voucher, parse
from wallet_core.money import MAX_MINOR_UNITS

_log = structlog.get_logger()
_ORDER = b"ecny-unload-order-1"
_ID_SIZE = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """`request`: the operator purse's signed Request, for PAY with a verified payee."""

    unload: str
    request: bytes


class UnloadService:
    """One for a server; safe to use from several threads."""

    def __init__(
        self,
        *,
        storage: Storage,
        purse: OperatorPurse,
        risk: RiskSettings,
        entropy: Entropy,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        self._storage = storage
        self._purse = purse
        self._risk = risk
        self._entropy = entropy
        self._checkpoint = checkpoint

    @property
    def payee(self) -> bytes:
        """Id of the operator's purse."""
        return self._purse.id

    def sign_load(self, payload: bytes) -> bytes:
        """The signed voucher of a load, from its committed payload."""
        return self._purse.sign(payload)

    def begin(self, key_digest: bytes, purse_id: bytes, epoch: int, n: int, amount: int, now: int) -> Asked:
        """A Request to this purse at its next counter; the same key gives the same Request.

        Its certificate may have expired: the value has to come home. Raises Problem `not-found` (purse), `limit`,
        `revoked`, `idempotency-mismatch`, MismatchError for another epoch.
        """
        with self._storage.writing() as tx:
            known = tx.unload_by_key(key_digest)
            if known is not None:
                if (known.purse, known.epoch, known.n, known.amount) != (purse_id, epoch, n, amount):
                    raise Problem("idempotency-mismatch", "This Idempotency-Key began another unload.")
                return Asked(known.id, self._purse.sign_request(known.request))
            purse = tx.purse(purse_id)
            if purse is None:
                raise Problem("not-found", "No purse with this id is enrolled.")
            if not 1 <= amount <= MAX_MINOR_UNITS or not 1 <= n <= COUNTER_MAX:
                raise Problem("limit", "The amount or the counter is none that a purse can pay with.")
            if Certificate.from_bytes(purse.certificate).epoch != epoch:
                raise MismatchError("the purse is certified for another epoch")
            require_active(tx, purse_id)
            unload_id = self._entropy(_ID_SIZE).hex()
            order_hash = hashlib.sha256(_ORDER + bytes.fromhex(unload_id)).digest()
            k = tx.unload_counter(self._purse.id) + 1
            request = self._purse.request(purse_id, epoch, n, k, amount, order_hash)
            payload = request.to_payload()
            record = UnloadRecord(
                unload_id, key_digest, purse_id, epoch, n, amount, self._purse.id, k, request.hash, payload
            )
            tx.add_unload(record, now=now)
            self._checkpoint("unload.begin-written")
        self._checkpoint("unload.begin-committed")
        return Asked(unload_id, self._purse.sign_request(payload))

    def pay_out(self, unload_id: str, raw: bytes, now: int) -> bytes:
        """The signed Receipt for the voucher that answers this unload's Request; the same one again: the same bytes.

        Dates are not checked: the purse has paid. Raises CodecError, VerificationError, Problem `not-found`, and
        `not-covered` while the purse is not proved to have received so much: its voucher is kept and waits.
        """
        signed = parse(Voucher, raw)
        with self._storage.writing() as tx:
            unload = tx.unload(unload_id)
            payer = tx.purse(unload.purse) if unload is not None else None
            if unload is None or payer is None:
                raise Problem("not-found", "There is no such unload.", next_step="Begin the unload again.")
            if signed.message.request_hash != unload.request_hash:
                raise MismatchError("the voucher is for another Request than this unload's")
            signed.verify(Certificate.from_bytes(payer.certificate).key)
            receipt = self.take(tx, signed, raw, payer, now)
            self._checkpoint("unload.pay-written")
        self._checkpoint("unload.pay-committed")
        if receipt is None:
            raise Problem(
                "not-covered",
                "The purse is not proved to have received so much: its voucher is kept.",
                next_step="Hand in the purse's report with the vouchers that it has collected; then ask again.",
            )
        return receipt

    def take(self, tx: Writer, signed: Signed[Voucher], raw: bytes, payer: PurseRecord, now: int) -> bytes | None:
        """Take in a genuine voucher to the operator's purse; the Receipt, or None while it waits.

        Raises MismatchError when no Request of an unload asked for it.
        """
        voucher = signed.message
        unload = tx.unload_by_request(voucher.request_hash)
        if unload is None or not _answers(voucher, Request.from_payload(unload.request)):
            raise MismatchError("no unload asked for this voucher")
        if unload.voucher_hash is None and not self._first(tx, voucher, raw, payer, now):
            return None
        if unload.voucher_hash is None:
            tx.take_unload_voucher(unload.id, voucher.hash)
        elif unload.voucher_hash != voucher.hash:  # one Request, two vouchers: one of them cannot be honest
            self._contradiction(tx, voucher, raw, payer, now)
            return None
        return unload.receipt or self._settle(tx, unload, voucher, payer, now)

    def settle_waiting(self, tx: Writer, now: int) -> None:
        """After inflow was proved, of whomever: pay out what is covered now, the oldest first. Few ever wait."""
        for unload in tx.waiting_unloads():
            payer = tx.purse(unload.purse)
            brought = tx.brought(unload.voucher_hash) if unload.voucher_hash is not None else None
            if payer is not None and brought is not None:
                self._settle(tx, unload, parse(Voucher, brought.raw).message, payer, now)

    def _first(self, tx: Writer, voucher: Voucher, raw: bytes, payer: PurseRecord, now: int) -> bool:
        """Keep the voucher; False when another one with its counter is known."""
        known = tx.voucher(payer.number, voucher.epoch, voucher.n)
        if known is not None and known.hash != voucher.hash:
            self._contradiction(tx, voucher, raw, payer, now)
            return False
        tx.add_brought(
            BroughtVoucher(
                hash=voucher.hash,
                payer=payer.number,
                epoch=voucher.epoch,
                n=voucher.n,
                payee=voucher.payee,
                k=voucher.k,
                amount=voucher.amount,
                request_hash=voucher.request_hash,
                raw=raw,
            )
        )
        tx.add_loose_voucher(voucher.hash, raw)
        if known is None:
            prefix = request_prefix(voucher.request_hash)
            state = VoucherState.UNLOADING.value
            fields = (payer.number, voucher.epoch, voucher.n, voucher.hash, voucher.amount, prefix, 0, state)
            tx.add_vouchers([fields])
        return True

    @staticmethod
    def _contradiction(tx: Writer, voucher: Voucher, raw: bytes, payer: PurseRecord, now: int) -> None:
        known = tx.voucher(payer.number, voucher.epoch, voucher.n)
        if known is not None and known.hash != voucher.hash:
            equivocation(tx, payer, voucher.epoch, voucher.n, bytes_of(tx, known), raw, voucher.hash, now)

    def _settle(self, tx: Writer, unload: UnloadRecord, voucher: Voucher, payer: PurseRecord, now: int) -> bytes | None:
        """Pay out what the purse is proved to have *collected*. `loss` never pays an unload: who is paid here is the
        purse's own holder. What is in flight covers none: the purse may still refuse it, after it has been paid."""
        record = tx.voucher(payer.number, voucher.epoch, voucher.n)
        losses = Losses(tx, self._risk)
        losses.read([(payer.number, payer.card_account)])
        if record is None or is_proved(tx, payer.number) or tx.shadow(payer.card_account) < voucher.amount:
            return None
        if losses.charge(payer.number, (voucher.epoch, voucher.n), voucher.hash, voucher.amount) is None:
            return None
        books.unloaded(tx, voucher.hash, payer.card_account, _target(tx, payer), voucher.amount, now=now)
        tx.set_state(record, VoucherState.UNLOADED)
        losses.write()
        purse, out = _operator(tx), tx.paid_out() + voucher.amount
        total_out = purse.total_out + out
        receipt = self._purse.receipt(voucher, purse.balance + total_out, total_out)
        tx.pay_unload(unload.id, receipt)
        _log.info("unloaded", purse=short(payer.id), amount=voucher.amount)
        return receipt


def _answers(voucher: Voucher, request: Request) -> bool:
    asked = (request.payer, request.epoch, request.n, request.payee, request.k, request.amount)
    return asked == (voucher.payer, voucher.epoch, voucher.n, voucher.payee, voucher.k, voucher.amount)


def _target(tx: Writer, payer: PurseRecord) -> int:
    """The account that is paid: its merchant's wallet, or `redeemed` for a purse that belongs to none."""
    merchant = tx.merchant(payer.merchant) if payer.merchant is not None else None
    return merchant.wallet if merchant is not None else tx.account(AccountKind.REDEEMED).number


def _operator(tx: Writer) -> OperatorPurseRecord:
    purse = tx.operator_purse()
    if purse is None:
        raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
    return purse
