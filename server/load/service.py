"""Loading cards: the operator's purse pays value onto them (docs/spec/http.md, transfer.md).

`begin` names a load and the purse's next counter; `pay` commits payload, counter and debit in one transaction and then
signs that row; `collected` takes the card's Receipt. Each can be repeated. A paid load without a Receipt is pending:
any terminal may fetch its voucher again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from server.ledger import books
from server.load import outcomes
from server.load.purse import OperatorPurse
from server.problems import Problem
from server.risk.fraud import two_outcomes
from server.risk.reviews import inflow_proved, reopen
from server.risk.settings import RiskSettings
from server.risk.standing import require_active
from server.settings import Checkpoint, Entropy, no_checkpoint
from server.storage.protocol import Reader, Storage, Writer
from server.storage.records import LoadRecord, OperatorPurseRecord, PurseRecord
from wallet_core.audit import NONCE_SIZE
from wallet_core.certificates import Certificate
from wallet_core.errors import ConfigurationError, MismatchError
from wallet_core.ids import COUNTER_MAX, short
from wallet_core.messages import Receipt, Request, Signed, Voucher, parse
from wallet_core.trust import TrustStore

_log = structlog.get_logger()
_ORDER = b"ecny-load-order-1"
_ID_SIZE = 16


@dataclass(frozen=True, slots=True)
class Begun:
    """What a Request must say: `payer`, `epoch`, `n` of the operator's purse and the load's `order_hash`."""

    load: str
    payer: bytes
    epoch: int
    n: int
    order_hash: bytes


@dataclass(frozen=True, slots=True)
class PaidLoad:
    load: str
    amount: int
    voucher: bytes


class LoadService:
    """One for a server; safe to use from several threads."""

    def __init__(
        self,
        *,
        storage: Storage,
        trust: TrustStore,
        purse: OperatorPurse,
        balance_limit: int,
        risk: RiskSettings,
        entropy: Entropy,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """`balance_limit`: fen that a card may hold by its policy; no load may be larger."""
        self._storage = storage
        self._trust = trust
        self._purse = purse
        self._balance_limit = balance_limit
        self._risk = risk
        self._entropy = entropy
        self._checkpoint = checkpoint
        self._beginning: set[bytes] = set()
        self._beginning_lock = threading.Lock()

    def begin(self, key_digest: bytes, card_id: bytes, amount: int, now: int) -> Begun:
        """A new load, or the one that this idempotency key has named; nothing moves yet.

        Raises Problem `limit`, `not-found` (card), `revoked`, `idempotency-mismatch`, `in-progress` (this key, now);
        VerificationError for an expired card.
        """
        with self._alone(key_digest), self._storage.writing() as tx:
            known = tx.load_by_key(key_digest)
            if known is not None:
                if (known.card, known.amount) != (card_id, amount):
                    raise Problem("idempotency-mismatch", "This Idempotency-Key began another load.")
                return self._again(tx, known)  # whatever the limit says by now: this load may be paid already
            if not 1 <= amount <= self._balance_limit:
                raise Problem("limit", f"A load is from 1 to {self._balance_limit} fen.", next_step="Load less.")
            self._certificate(_card(tx, card_id), now)
            require_active(tx, card_id)
            load_id = self._entropy(_ID_SIZE).hex()
            load = LoadRecord(
                id=load_id,
                key_digest=key_digest,
                card=card_id,
                amount=amount,
                order_hash=hashlib.sha256(_ORDER + bytes.fromhex(load_id)).digest(),
                payer=self._purse.id,
                epoch=self._purse.epoch,
                n=_purse(tx).next_n,
            )
            tx.add_load(load, now=now)
            self._checkpoint("load.begin-written")
        self._checkpoint("load.begin-committed")
        return _begun(load)

    def _again(self, tx: Reader, known: LoadRecord) -> Begun:
        """A load that is not paid yet names the purse's present counter: the first one may be used by now."""
        if known.paid:
            return _begun(known)
        return _begun(replace(known, payer=self._purse.id, epoch=self._purse.epoch, n=_purse(tx).next_n))

    @contextmanager
    def _alone(self, key_digest: bytes) -> Iterator[None]:
        with self._beginning_lock:
            if key_digest in self._beginning:
                raise Problem("in-progress", "A load with this Idempotency-Key is being begun.", next_step="Ask again.")
            self._beginning.add(key_digest)
        try:
            yield
        finally:
            self._beginning.discard(key_digest)

    def pay(self, load_id: str, raw: bytes, now: int) -> bytes:
        """The signed voucher for the card's signed Request; for the same Request always the same bytes.

        Raises CodecError, VerificationError, Problem `not-found`, `load-settled`, `request-refused`, `stale-counter`,
        `purse-empty`, `revoked`.
        """
        signed = parse(Request, raw)
        request = signed.message
        with self._storage.writing() as tx:
            load = tx.load(load_id)
            if load is None:
                raise Problem("not-found", "There is no such load.", next_step="Begin the load again.")
            if load.voucher is not None:
                if load.request_hash != request.hash:
                    raise Problem(
                        "load-settled", "This load is paid.", next_step="Fetch the card's pending loads and collect it."
                    )
                if load.is_reversed:
                    raise _refused()
                payload = load.voucher
            else:
                card = _card(tx, load.card)
                require_active(tx, load.card)
                self._check(load, signed, self._certificate(card, now))
                if tx.purse_refusal(load.card, request.hash) is not None:
                    raise _refused()
                payload = self._pay(tx, load, request, card, now)
                self._checkpoint("load.pay-written")
        self._checkpoint("load.pay-committed")
        voucher = self._purse.sign(payload)
        self._checkpoint("load.pay-signed")
        _log.info("load paid", load=load_id, card=short(load.card), amount=load.amount, n=request.n)
        return voucher

    def _check(self, load: LoadRecord, signed: Signed[Request], certificate: Certificate) -> None:
        """A Request of an older epoch is checked as any; `_pay` then names the present epoch and counter."""
        request = signed.message
        if request.payer != self._purse.id or request.epoch > self._purse.epoch:
            raise MismatchError("the Request is for another purse or epoch than the operator's")
        if (request.payee, request.amount, request.order_hash) != (load.card, load.amount, load.order_hash):
            raise MismatchError("the Request does not fit this load: card, amount or order differ")
        signed.verify(certificate.key)

    def _pay(self, tx: Writer, load: LoadRecord, request: Request, card: PurseRecord, now: int) -> bytes:
        """Payload, counter and debit, all in the caller's transaction (rule 3)."""
        purse = _purse(tx)
        if purse.epoch != self._purse.epoch:
            raise ConfigurationError("the operator's purse has a new epoch", next_step="Restart the server.")
        if (request.epoch, request.n) != (purse.epoch, purse.next_n) or purse.next_n > COUNTER_MAX:
            raise Problem(
                "stale-counter",
                f"The operator's purse is at counter {purse.next_n}.",
                next_step="Refuse this Request on the card and ask again with the counter given.",
                epoch=purse.epoch,
                n=purse.next_n,
            )
        if purse.balance < load.amount:
            raise Problem(
                "purse-empty", "The operator's purse has not enough value.", next_step="Issue money into it first."
            )
        total_in, total_out = purse.balance + purse.total_out, purse.total_out + load.amount
        voucher = self._purse.voucher(request, total_in, total_out, self._entropy(NONCE_SIZE))
        payload = voucher.to_payload()
        tx.pay_load(load.id, request.hash, payload, voucher.hash)
        books.load(tx, voucher.hash, purse.account, card.flight_account, load.amount, now=now)
        inflow_proved(tx, card, self._risk, now)
        return payload

    def pending(self, card_id: bytes) -> list[PaidLoad]:
        """Paid to this card and not yet collected, oldest first; raises Problem `not-found` for an unknown card."""
        with self._storage.reading() as tx:
            _card(tx, card_id)
            loads = tx.pending_loads(card_id)
        return [PaidLoad(load.id, load.amount, self._purse.sign(load.voucher)) for load in loads if load.voucher]

    def collected(self, raw: bytes, now: int) -> None:
        """Record a card's signed Receipt for a load; the same Receipt again changes nothing.

        Dates are not checked: the card has collected. Raises CodecError, VerificationError, Problem `not-found`.
        """
        signed = parse(Receipt, raw)
        receipt = signed.message
        with self._storage.writing() as tx:
            load = tx.load_by_voucher(receipt.voucher_hash)
            if load is None or load.voucher is None:
                raise Problem("not-found", "No load was paid by this voucher.")
            card = _card(tx, load.card)
            if (receipt.payee, receipt.k) != (load.card, Voucher.from_payload(load.voucher).k):
                raise MismatchError("the Receipt is not for the Request that was paid")
            signed.verify(Certificate.from_bytes(card.certificate).key)
            if load.receipt is not None and parse(Receipt, load.receipt).hash != signed.hash:
                raise MismatchError("another Receipt is recorded for this voucher")
            if load.receipt is not None:
                return
            outcomes.collected(tx, load, card, raw, now)
            self._compare(tx, load, card, raw, now)
            self._checkpoint("load.receipt-written")
        self._checkpoint("load.receipt-committed")
        _log.info("load collected", load=load.id, card=short(load.card), amount=load.amount)

    def _compare(self, tx: Writer, load: LoadRecord, card: PurseRecord, receipt: bytes, now: int) -> None:
        """A card that has also signed a Refusal of this load is dishonest: both together are the proof."""
        if load.request_hash is None or load.voucher is None:
            return
        refusal = tx.purse_refusal(load.card, load.request_hash)
        if refusal is not None:
            outcomes.refused(tx, tx.load(load.id) or load, card, self._risk, now)
        if refusal is not None and refusal.is_signed:
            voucher = self._purse.sign(load.voucher)
            two_outcomes(tx, load.card, receipt, refusal.raw, voucher, load.request_hash, now)
            reopen(tx, [load.card], self._risk, now)

    def _certificate(self, card: PurseRecord, now: int) -> Certificate:
        """The card's certificate, valid now: expiry gates a new load (rule 10)."""
        return self._trust.verify(Certificate.from_bytes(card.certificate), now=now)


def _card(tx: Reader, card_id: bytes) -> PurseRecord:
    card = tx.purse(card_id)
    if card is None:
        raise Problem("not-found", "No card with this id is enrolled.", next_step="Personalise the card first.")
    return card


def _purse(tx: Reader) -> OperatorPurseRecord:
    purse = tx.operator_purse()
    if purse is None:
        raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
    return purse


def _refused() -> Problem:
    return Problem(
        "request-refused", "The card has refused this Request.", next_step="Begin a new load, with another key."
    )


def _begun(load: LoadRecord) -> Begun:
    return Begun(load.id, load.payer, load.epoch, load.n, load.order_hash)
