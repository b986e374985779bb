"""The outbox: batches are frozen on disk before they are sent, then sent as the very same bytes until the operator's
signed answer is there, and never dropped."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from merchant_pos.answers import Gap, check_answer, on_gap
from merchant_pos.identity import Identity
from merchant_pos.journal import Batch, Contents, Journal
from merchant_pos.ports import Clock, DepositServer, Expected, Step, no_step
from merchant_pos.sales import Sale
from wallet_core.errors import (
    CodecError,
    EcnyError,
    OutOfRangeError,
    ServerUnreachableError,
    SettlementError,
    VerificationError,
)
from wallet_core.messages import DepositAnswer, DepositBatch, DepositStatus, Signed
from wallet_core.messages.deposit import MAX_REFUSALS, MAX_VOUCHERS

DEFAULT_BATCH_SIZE = 500
DEFAULT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with jitter: after attempt i (from 0) come 50–100 % of min(most, first · 2^i) seconds."""

    first_s: float = 0.5
    most_s: float = 300.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        return min(self.most_s, self.first_s * 2.0 ** min(attempt, 32)) * rng.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Report:
    """What one sync achieved. `settled_amount` in fen: the vouchers that became SETTLED."""

    batches: int = 0
    settled: int = 0
    settled_amount: int = 0
    rejected: int = 0
    refusals: int = 0

    def plus(self, answer: DepositAnswer, paid: list[Sale]) -> Report:
        statuses = answer.voucher_statuses
        settled = [sale.amount for sale, status in zip(paid, statuses, strict=True) if status is DepositStatus.SETTLED]
        return Report(
            self.batches + 1,
            self.settled + len(settled),
            self.settled_amount + sum(settled),
            self.rejected + len(statuses) - len(settled),
            self.refusals + len(answer.refusal_statuses),
        )


class Sync:
    """Brings everything in the journal to the server. `rng`: for the jitter only; `notify`: lines for people."""

    def __init__(
        self,
        *,
        journal: Journal,
        identity: Identity,
        server: DepositServer,
        clock: Clock,
        rng: random.Random,
        notify: Callable[[str], None],
        backoff: Backoff | None = None,
        step: Step = no_step,
    ) -> None:
        self._journal = journal
        self._identity = identity
        self._server = server
        self._clock = clock
        self._rng = rng
        self._notify = notify
        self._backoff = backoff or Backoff()
        self._step = step
        self._trust = identity.trust()

    def run(self, *, batch_size: int = DEFAULT_BATCH_SIZE, attempts: int = DEFAULT_ATTEMPTS) -> Report:
        """Send what is frozen, freeze what is not, send that. Each batch has `attempts` tries.

        Raises ServerUnreachableError, CodecError or VerificationError when a batch has no believable answer after
        that, and SettlementError when the server refuses it: everything stays queued, and the next sync sends the very
        same bytes.
        """
        if not 1 <= batch_size <= MAX_VOUCHERS or attempts < 1:
            raise OutOfRangeError(f"a batch has 1 to {MAX_VOUCHERS} vouchers, and at least one attempt")
        report = Report()
        reviewed = self._journal.last_batch()  # what is under review since then or before goes once more in this run
        while True:
            waiting = self._journal.unanswered()
            batch = waiting[0] if waiting else self._freeze(batch_size, reviewed)
            if batch is None:
                return report
            paid, _ = self._journal.in_batch(batch.number)
            report = report.plus(self._deliver(batch, attempts), paid)

    def _freeze(self, batch_size: int, reviewed: int) -> Batch | None:
        self._step("before-frozen")
        batch = self._journal.freeze(batch_size, MAX_REFUSALS, self._build, again_up_to=reviewed)
        if batch is not None:
            self._step("frozen")
        return batch

    def _build(self, contents: Contents) -> tuple[bytes, bytes]:
        """The signed batch: vouchers, refusals, and the certificates by which the payers are known."""
        batch = DepositBatch(
            suite=self._identity.suite,
            payee=self._identity.id,
            number=contents.number,
            previous=contents.previous,
            vouchers=tuple(sale.voucher for sale in contents.paid if sale.voucher is not None),
            refusals=tuple(sale.refusal for sale in contents.refused if sale.refusal is not None),
            certificates=self._certificates(contents.paid),
        )
        signed = Signed.sign(batch, self._identity.key)
        return signed.to_bytes(), signed.hash

    def _certificates(self, paid: tuple[Sale, ...]) -> tuple[bytes, ...]:
        """Each payer's once: no more than vouchers, so a batch has room for all of them."""
        payers = [self._journal.certificate(payer) for payer in dict.fromkeys(sale.request.payer for sale in paid)]
        return tuple(body for body in payers if body is not None)

    def _deliver(self, batch: Batch, attempts: int) -> DepositAnswer:
        """Send until there is a verified answer or no attempt is left; the last fault is raised then."""
        for attempt in range(attempts):
            if attempt:
                delay = self._backoff.delay(attempt - 1, self._rng)
                self._notify(f"batch {batch.number} again in {delay:.1f} s")
                self._clock.wait(delay)
            try:
                return self._send(batch)
            except (CodecError, VerificationError, SettlementError) as exc:
                self._journal.attempt_failed(batch.number, f"{exc.code}: {exc.message}")
                if isinstance(exc, SettlementError) and exc.problem == "batch-number-used":
                    raise _another_journal(f"the server has another batch {batch.number} of this till", exc) from exc
                if attempt + 1 == attempts or _is_final(exc):
                    raise
        raise ServerUnreachableError("no attempt was made")

    def _send(self, batch: Batch) -> DepositAnswer:
        self._step("before-sent")
        body = self._server.deposit(batch.body)
        self._step("answered")
        if isinstance(body, Expected):
            self._bridge(batch, body)
            body = self._server.deposit(batch.body)
            if isinstance(body, Expected):
                raise _out_of_order(batch.number, body)
        return self._settle(batch, body)

    def _settle(self, batch: Batch, body: bytes) -> DepositAnswer:
        answer = self._check(batch, body)
        self._step("verified")
        if batch.answer is None:
            self._journal.settle(batch.number, body, answer)
        self._step("settled")
        return answer

    def _check(self, batch: Batch, body: bytes) -> DepositAnswer:
        paid, refused = self._journal.in_batch(batch.number)
        operator = self._identity.operator
        return check_answer(body, batch, paid, refused, till=self._identity.id, operator=operator, trust=self._trust)

    def _bridge(self, batch: Batch, expected: Expected) -> None:
        """A server that was set back gets the earlier batches again, as they were; any other gap is for people."""
        earlier = self._journal.batch(expected.number - 1) if 1 < expected.number <= batch.number else None
        if on_gap(batch, earlier, expected) is Gap.ANOTHER_CHAIN:
            raise _out_of_order(batch.number, expected)
        for number in range(expected.number, batch.number):
            self._notify(f"the server has not got batch {number}: sending it again")
            again = self._journal.batch(number)
            body = self._server.deposit(again.body)
            if isinstance(body, Expected):
                raise _out_of_order(number, body)
            self._settle(again, body)


def _is_final(error: EcnyError) -> bool:
    """Whether sending again cannot help: the server understood and said no."""
    return isinstance(error, SettlementError) and not isinstance(error, ServerUnreachableError)


def _out_of_order(number: int, expected: Expected) -> SettlementError:
    return _another_journal(f"the server expects batch {expected.number} of this till, batch {number} is next here")


def _another_journal(message: str, told: SettlementError | None = None) -> SettlementError:
    return SettlementError(
        message,
        problem=told.problem if told is not None else "batch-out-of-order",
        status=409,
        next_step="The journal is not the newest of this till, or not the only one. Keep it, and enrol with a new key "
        "in a new data directory: `ecny pos enrol --succeeds OLD_DATA_DIR`. Nothing in it is lost.",
    )
