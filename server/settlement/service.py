"""Settling a batch: parse, verify in parallel, one transaction, one signed answer. Usable without HTTP."""

from __future__ import annotations

from collections import Counter

import structlog

from server.ledger import books
from server.problems import Problem
from server.risk import reviews
from server.risk.settings import RiskSettings
from server.settings import Checkpoint, no_checkpoint
from server.settlement import careful
from server.settlement.fast import NotPlain, Plain
from server.settlement.payers import PayerDirectory
from server.settlement.signatures import Verifier, piece
from server.settlement.triage import triage
from server.settlement.verdicts import Deposit, Verdicts
from server.settlement.voucher_reader import AT_SIGNATURE, signed_digest_of
from server.storage.protocol import Reader, Storage, Writer
from server.storage.records import BatchRecord, TillRecord, batch_key
from wallet_core.certificates import Certificate
from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError
from wallet_core.ids import short
from wallet_core.keys import PublicKey, Signer
from wallet_core.messages import DepositBatch, Signed, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

_log = structlog.get_logger()


class SettlementService:
    """One for a server; `settle` may be called from several threads at once, and should be: while one batch is
    written, the next is verified."""

    def __init__(
        self,
        *,
        storage: Storage,
        trust: TrustStore,
        signer: Signer,
        verifier: Verifier,
        risk: RiskSettings,
        checkpoint: Checkpoint = no_checkpoint,
    ) -> None:
        """`signer`: the operator's key, which signs the answers; `verifier` stays the caller's to close."""
        self._risk = risk
        self._storage = storage
        self._signer = signer
        self._operator_id = signer.public.thumbprint
        self._suite = signer.public.suite
        self._verifier = verifier
        self._checkpoint = checkpoint
        self._payers = PayerDirectory(storage, trust)

    def settle(self, raw: bytes, now: int) -> bytes:
        """The signed DepositAnswer to a signed DepositBatch; the same batch gets the same bytes, always.

        `now`: seconds since 1970, for the record only: dates decide nothing here. Raises CodecError for what is no
        batch, BadSignatureError, StorageError, and Problem `not-authorised`, `batch-number-used`, `batch-out-of-order`.
        """
        signed = parse(DepositBatch, raw, max_size=MAX_BATCH_SIZE)
        batch = signed.message
        batch_hash = Sign1.from_bytes(raw, max_size=MAX_BATCH_SIZE).hash  # as it came: not encoded once more
        with self._storage.reading() as tx:
            till = tx.till(batch.payee)
            if till is None:
                raise Problem("not-authorised", "No till with this id is enrolled.", next_step="Enrol the till.")
            _check_till(Certificate.from_bytes(till.certificate).key, signed, raw, batch_hash)
            stored = _answered(tx, till, batch, batch_hash)
        if stored is not None:
            return stored
        self._checkpoint("deposit.received")
        deposit = self._examine(raw, batch_hash, signed, till, now)
        self._checkpoint("deposit.verified")
        return self._commit(deposit, now)

    def _examine(
        self, raw: bytes, batch_hash: bytes, signed: Signed[DepositBatch], till: TillRecord, now: int
    ) -> Deposit:
        batch = signed.message
        sorted_out = triage(
            batch.vouchers,
            batch.refusals,
            batch.payee,
            lambda wanted: self._payers.resolve(wanted, batch.certificates, now=now),
            frozenset(one.id for one in till.predecessors),
            self._suite,
        )
        if self._suite is Suite.ES256:  # its signatures cover H(Voucher), which is known already
            pieces = [
                piece(payer.key, voucher_hash, values[AT_SIGNATURE])
                for _, payer, values, voucher_hash in sorted_out.candidates
            ]
        else:
            pieces = [
                piece(payer.key, signed_digest_of(batch.vouchers[place], payer.identity), values[AT_SIGNATURE])
                for place, payer, values, _ in sorted_out.candidates
            ]
        for refusal in sorted_out.refusals:  # a predecessor's Refusal counts only under the predecessor's own key
            key = Certificate.from_bytes(till.payee(refusal.payee) or till.certificate).key
            pieces.append(piece(key.x + key.y, key.signed_digest(refusal.signed_bytes), refusal.signature))
        good = self._verifier.submit(pieces).result()
        count = len(sorted_out.candidates)
        return Deposit(raw, batch_hash, batch, till, sorted_out, good[:count], good[count:])

    def _commit(self, deposit: Deposit, now: int) -> bytes:
        try:
            plain = Plain(deposit)
            answer = plain.verdicts.answer(deposit, self._operator_id, self._signer)
            with self._storage.writing() as tx:
                stored = self._begin(tx, deposit)
                if stored is not None:
                    return stored
                plain.write(tx)
                self._finish(tx, deposit, plain.verdicts, answer, now)
                plain.check_cover(tx)
            verdicts = plain.verdicts
        except NotPlain:
            with self._storage.writing() as tx:
                stored = self._begin(tx, deposit)
                if stored is not None:
                    return stored
                verdicts = careful.decide(tx, deposit, self._risk, now=now)
                answer = verdicts.answer(deposit, self._operator_id, self._signer)
                self._finish(tx, deposit, verdicts, answer, now)
                reviews.reopen(tx, verdicts.reopened, self._risk, now)
        self._checkpoint("deposit.committed")
        _report(deposit, verdicts)
        return answer

    def _begin(self, tx: Writer, deposit: Deposit) -> bytes | None:
        """The chain once more, now that nobody else can write: the stored answer if the same batch was faster."""
        self._checkpoint("deposit.begun")
        till = tx.till(deposit.batch.payee)
        return _answered(tx, till or deposit.till, deposit.batch, deposit.hash)

    def _finish(self, tx: Writer, deposit: Deposit, verdicts: Verdicts, answer: bytes, now: int) -> None:
        self._checkpoint("deposit.decided")
        books.deposit(tx, deposit.hash, verdicts.cards, deposit.till.wallet, now=now, loss=verdicts.loss)
        tx.add_batch(deposit.key, BatchRecord(deposit.hash, deposit.raw, answer), now=now)
        self._checkpoint("deposit.written")


def _check_till(key: PublicKey, signed: Signed[DepositBatch], raw: bytes, batch_hash: bytes) -> None:
    """The batch is the till's and of its suite; raises BadSignatureError. Of a long batch ES256 needs the hash only."""
    if key.suite is not signed.message.suite:
        raise BadSignatureError("the batch is of another suite than this till's key")
    if key.suite is Suite.ES256:
        key.verify_digest(signed.signature, batch_hash)
    else:
        key.verify(signed.signature, Sign1.from_bytes(raw, max_size=MAX_BATCH_SIZE).signed_bytes)


def _answered(tx: Reader, till: TillRecord, batch: DepositBatch, batch_hash: bytes) -> bytes | None:
    """The stored answer to this very batch; None for the next batch of the chain; raises Problem for any other."""
    expected: dict[str, int | str] = {"expected_number": till.last_number + 1, "last_hash": till.last_hash.hex()}
    if batch.number <= till.last_number:
        stored = tx.batch(batch_key(till.number, batch.number))
        if stored is not None and stored.hash == batch_hash:
            return stored.answer
        raise Problem(
            "batch-number-used",
            f"Batch {batch.number} of this till is another one.",
            next_step="This till's journal is not the one that sent it: enrol again with a new key.",
            **expected,
        )
    if batch.number != till.last_number + 1 or batch.previous != till.last_hash:
        raise Problem(
            "batch-out-of-order",
            f"Batch {till.last_number + 1} is expected next, behind the hash given.",
            next_step="Send the missing batches first.",
            **expected,
        )
    return None


def _report(deposit: Deposit, verdicts: Verdicts) -> None:
    _log.info(
        "deposit",
        till=short(deposit.batch.payee),
        number=deposit.batch.number,
        vouchers=len(verdicts.statuses),
        credited=verdicts.credited,
        statuses={status.name: count for status, count in Counter(verdicts.statuses).items()},
    )
