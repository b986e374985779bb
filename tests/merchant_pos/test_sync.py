"""merchant_pos.sync, its operator in memory: frozen before sent, the same bytes again, settled by signed answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from merchant_pos.ports import Expected
from merchant_pos.sales import Order, SaleState
from merchant_pos.sync import Backoff, Report, Sync
from support.keys import CARD, EXPIRES, FOREIGN_OPERATOR, OPERATOR, OTHER_CARD, TILL
from support.till import FakeCard, FakeReader, Operator, Pins, ProcessDied, Till, resigned
from wallet_core.certificates import Certificate
from wallet_core.errors import (
    BadSignatureError,
    EcnyError,
    MismatchError,
    OutOfRangeError,
    ServerUnreachableError,
    SettlementError,
    StorageError,
    TruncatedError,
)
from wallet_core.messages import DepositBatch, DepositStatus, Signed, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path / "till.db")
    yield made
    made.journal.close()


class Line:
    """The way to the operator; each entry of `faults` is for one call: an error to raise, "after" (done, answer lost),
    or a function that changes the answer."""

    def __init__(self, operator: Operator, *faults: EcnyError | str | Callable[[bytes], bytes] | None) -> None:
        self.operator = operator
        self.faults = list(faults)
        self.sent: list[bytes] = []

    def deposit(self, body: bytes) -> bytes | Expected:
        self.sent.append(body)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, EcnyError):
            raise fault
        answer = self.operator.deposit(body)
        if fault == "after":
            raise ServerUnreachableError("the server did not answer in time")
        return fault(answer) if callable(fault) and isinstance(answer, bytes) else answer


def sell(till: Till, count: int = 1, card: FakeCard | None = None) -> FakeCard:
    card = card or FakeCard()
    for _ in range(count):
        reader = FakeReader(till.clock, card)
        till.checkout.charge(Order(100, "tea"), reader, Pins(), tap_seconds=1, retap_seconds=1)
    return card


def sync(till: Till, line: object, *, batch_size: int = 500, attempts: int = 5) -> Report:
    work = Sync(
        journal=till.journal,
        identity=till.identity,
        server=line,  # type: ignore[arg-type]
        clock=till.clock,
        rng=random.Random(1),
        notify=till.lines.append,
        step=till.step,
    )
    return work.run(batch_size=batch_size, attempts=attempts)


def states(till: Till) -> list[SaleState]:
    return [sale.state for sale in till.journal.sales()]


# The straight way ---------------------------------------------------------------------------------------------------


def test_what_was_taken_is_settled_once(till: Till) -> None:
    operator = Operator()
    sell(till, 3)
    assert sync(till, operator) == Report(batches=1, settled=3, settled_amount=300)
    assert states(till) == [SaleState.SETTLED] * 3
    assert sum(operator.credited.values()) == 300
    assert sync(till, operator) == Report()
    assert len(operator.calls) == 1


def test_the_batch_is_on_disk_before_it_is_sent(till: Till) -> None:
    sell(till)
    operator = Operator()

    class Spy(Operator):
        def deposit(self, body: bytes) -> bytes | Expected:
            (batch,) = till.journal.unanswered()
            assert (batch.body, states(till)) == (body, [SaleState.SENT])
            return operator.deposit(body)

    sync(till, Spy())
    done = ["frozen", "before-sent", "answered", "verified", "settled"]
    assert till.steps[-7:] == ["before-frozen", *done, "before-frozen"]


def test_the_batch_is_signed_chained_and_carries_certificates(till: Till) -> None:
    sell(till, 2)
    operator = Operator()
    sync(till, operator)
    sell(till, 1, FakeCard(OTHER_CARD))
    sync(till, operator)
    first, second = (parse(DepositBatch, body, max_size=MAX_BATCH_SIZE) for body in operator.batches.values())
    assert first.verify(TILL.key.public).number == 1
    assert second.message.previous == first.hash
    assert [Certificate.from_bytes(body).subject for body in first.message.certificates] == [CARD.id]
    assert [Certificate.from_bytes(body).subject for body in second.message.certificates] == [OTHER_CARD.id]


def test_batches_have_at_most_so_many_vouchers(till: Till) -> None:
    sell(till, 7)
    operator = Operator()
    assert sync(till, operator, batch_size=3).batches == 3
    assert [len(parse(DepositBatch, b, max_size=MAX_BATCH_SIZE).message.vouchers) for b in operator.calls] == [3, 3, 1]


@pytest.mark.parametrize(("size", "attempts"), [(0, 1), (10_001, 1), (1, 0)])
def test_sizes_and_attempts_have_limits(till: Till, size: int, attempts: int) -> None:
    with pytest.raises(OutOfRangeError):
        sync(till, Operator(), batch_size=size, attempts=attempts)


def test_refusals_are_told(till: Till) -> None:
    card = FakeCard(faults=["after"])
    reader = FakeReader(till.clock, card, None)
    till.checkout.charge(Order(100, "tea"), reader, Pins(), tap_seconds=1, retap_seconds=1)
    refused = till.checkout.cancel()
    operator = Operator()
    assert sync(till, operator) == Report(batches=1, refusals=1)
    assert refused is not None
    assert operator.refused == {refused.refusal}
    assert states(till) == [SaleState.REFUSED]


@pytest.mark.parametrize("frozen_before", [False, True])
def test_an_operators_expired_certificate_stops_no_settlement(till: Till, frozen_before: bool) -> None:
    """Rule 10: what was paid is finished, whatever the date, also where the batch has waited for years."""
    sell(till, 2)
    if frozen_before:
        with pytest.raises(ServerUnreachableError):
            sync(till, Line(Operator(), AWAY), attempts=1)
    till.clock.seconds = EXPIRES + 1
    assert sync(till, Operator()) == Report(batches=1, settled=2, settled_amount=200)
    assert states(till) == [SaleState.SETTLED] * 2


def test_another_status_is_kept_and_not_lost(till: Till) -> None:
    sell(till, 2)
    operator = Operator()
    operator.statuses[1] = DepositStatus.REVIEW
    assert sync(till, operator) == Report(batches=1, settled=1, settled_amount=100, rejected=1)
    assert [sale.status for sale in till.journal.sales()] == [0, DepositStatus.REVIEW]
    assert till.journal.sales()[1].voucher is not None


# Faults -------------------------------------------------------------------------------------------------------------

AWAY = ServerUnreachableError("the server answered 500 without a problem document")


@pytest.mark.parametrize(
    "faults",
    [
        [AWAY, AWAY, AWAY],
        ["after"],
        ["after", AWAY, "after"],
        [lambda answer: answer[: len(answer) // 2]],
        [lambda _: b""],
        [lambda _: b"<html>captive portal</html>"],
        [lambda answer: answer[:-1] + bytes((answer[-1] ^ 1,))],
        [lambda answer: resigned(answer, FOREIGN_OPERATOR)],
        [lambda answer: resigned(answer, OPERATOR, payee=CARD.id)],
        [lambda answer: resigned(answer, OPERATOR, number=2)],
        [lambda answer: resigned(answer, OPERATOR, batch_hash=bytes(32))],
        [lambda answer: resigned(answer, OPERATOR, voucher_statuses=())],
    ],
)
def test_every_fault_is_followed_by_the_very_same_bytes(till: Till, faults: list[object]) -> None:
    sell(till, 2)
    line = Line(Operator(), *faults)  # type: ignore[arg-type]
    assert sync(till, line).settled == 2
    assert len(line.sent) == len(faults) + 1
    assert len(set(line.sent)) == 1
    assert sum(line.operator.credited.values()) == 200
    assert till.journal.batch(1).attempts == len(faults) + 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (AWAY, ServerUnreachableError),
        (lambda answer: answer[:-1], TruncatedError),
        (lambda answer: resigned(answer, FOREIGN_OPERATOR), BadSignatureError),
        (lambda answer: resigned(answer, OPERATOR, number=2), MismatchError),
    ],
)
def test_when_all_attempts_fail_everything_stays_queued(till: Till, fault: object, error: type[Exception]) -> None:
    sell(till, 2)
    line = Line(Operator(), *[fault] * 3)  # type: ignore[list-item]
    with pytest.raises(error):
        sync(till, line, attempts=3)
    assert states(till) == [SaleState.SENT] * 2
    sell(till)
    assert sync(till, line).batches == 2
    assert len(set(line.sent[:4])) == 1
    assert states(till) == [SaleState.SETTLED] * 3


def test_a_refusal_of_the_server_is_not_asked_again(till: Till) -> None:
    sell(till)
    line = Line(Operator(), SettlementError("not-verified: no", problem="not-verified", status=422))
    with pytest.raises(SettlementError, match="not-verified"):
        sync(till, line)
    assert len(line.sent) == 1
    assert states(till) == [SaleState.SENT]
    assert till.journal.batch(1).last_error == "server-refused: not-verified: no"


def test_backoff_doubles_with_jitter_up_to_its_limit(till: Till) -> None:
    sell(till)
    with pytest.raises(ServerUnreachableError):
        sync(till, Line(Operator(), *[AWAY] * 12), attempts=12)
    waits = till.clock.waits
    assert len(waits) == 11
    for attempt, wait in enumerate(waits):
        full = min(300.0, 0.5 * 2**attempt)
        assert full / 2 <= wait <= full
    assert len({wait / 2**at for at, wait in enumerate(waits)}) > 5


def test_backoff_never_overflows() -> None:
    assert Backoff().delay(10**6, random.Random(1)) <= 300.0


@pytest.mark.parametrize("step", ["before-frozen", "frozen", "before-sent", "answered", "verified", "settled"])
def test_a_till_that_dies_at_any_step_of_a_sync_settles_once(till: Till, step: str) -> None:
    sell(till, 2)
    line = Line(Operator())
    till.die_at = step
    with pytest.raises(ProcessDied):
        sync(till, line)
    till.restart()
    sync(till, line)
    assert states(till) == [SaleState.SETTLED] * 2
    assert sum(line.operator.credited.values()) == 200
    assert len(set(line.sent)) == 1


def test_a_disk_that_refuses_the_answer_loses_nothing(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    sell(till)
    line = Line(Operator())

    def full(*_: object) -> None:
        raise StorageError("the journal cannot be used: database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(till.journal, "settle", full)
        with pytest.raises(StorageError):
            sync(till, line)
    assert states(till) == [SaleState.SENT]
    assert sync(till, line).settled == 1
    assert len(set(line.sent)) == 1


# A server that stands elsewhere -------------------------------------------------------------------------------------


def test_a_server_set_back_to_an_older_copy_gets_what_it_lost(till: Till) -> None:
    operator = Operator()
    for _ in range(3):
        sell(till)
        sync(till, operator)
    older = Operator()
    sell(till)
    older.deposit(operator.batches[1])
    sync(till, older)
    assert older.batches[2] == operator.batches[2]
    assert older.batches[3] == operator.batches[3]
    assert sum(older.credited.values()) == 400
    assert states(till) == [SaleState.SETTLED] * 4


def test_a_server_that_lost_everything_gets_everything(till: Till) -> None:
    operator = Operator()
    for _ in range(2):
        sell(till)
        sync(till, operator)
    sell(till)
    empty = Operator()
    sync(till, empty)
    assert sorted(empty.batches) == [1, 2, 3]
    assert {n: empty.batches[n] for n in (1, 2)} == operator.batches


def test_a_till_behind_the_server_is_told_to_enrol_again(till: Till, tmp_path: Path) -> None:
    operator = Operator()
    sell(till)
    sync(till, operator)
    older = Till(tmp_path / "older.db", till.clock)
    sell(older, 1, FakeCard(OTHER_CARD))
    with pytest.raises(SettlementError, match="expects batch 2") as caught:
        sync(older, operator)
    assert "enrol with a new key" in caught.value.next_step
    assert states(older) == [SaleState.SENT]
    assert sum(operator.credited.values()) == 100
    older.journal.close()


def test_a_server_that_never_agrees_is_an_error_and_not_a_loop(till: Till) -> None:
    sell(till)

    class Stubborn:
        calls = 0

        def deposit(self, body: bytes) -> Expected:
            Stubborn.calls += 1
            return Expected(1, bytes(32))

    with pytest.raises(SettlementError, match="expects batch 1"):
        sync(till, Stubborn())
    assert Stubborn.calls <= 2
    assert states(till) == [SaleState.SENT]


def test_the_answer_to_a_resent_batch_is_verified_too(till: Till) -> None:
    operator = Operator()
    for _ in range(2):
        sell(till)
        sync(till, operator)
    sell(till)
    line = Line(Operator(), None, lambda answer: resigned(answer, FOREIGN_OPERATOR))
    with pytest.raises(BadSignatureError):
        sync(till, line, attempts=1)
    assert states(till)[-1] is SaleState.SENT
    assert sync(till, line).settled == 1


def test_signatures_of_a_batch_are_deterministic(till: Till) -> None:
    sell(till)
    operator = Operator()
    sync(till, operator)
    signed = parse(DepositBatch, operator.calls[0], max_size=MAX_BATCH_SIZE)
    assert Signed.sign(signed.message, TILL.key).to_bytes() == operator.calls[0]


# Under review -------------------------------------------------------------------------------------------------------


def test_what_is_under_review_is_handed_in_once_more_at_each_sync_until_it_is_settled(till: Till) -> None:
    sell(till, 2)
    operator = Operator()
    operator.statuses[1] = DepositStatus.REVIEW
    sync(till, operator)
    operator.statuses = {0: DepositStatus.REVIEW}
    assert sync(till, operator) == Report(batches=1, rejected=1)
    operator.statuses = {}
    assert sync(till, operator) == Report(batches=1, settled=1, settled_amount=100)
    assert states(till) == [SaleState.SETTLED] * 2
    bodies = [parse(DepositBatch, body, max_size=MAX_BATCH_SIZE).message.vouchers for body in operator.calls]
    assert bodies[1] == bodies[2] == bodies[0][1:]
    assert sum(operator.credited.values()) == 200
    assert sync(till, operator) == Report()


def test_another_verdict_is_not_handed_in_again(till: Till) -> None:
    sell(till)
    operator = Operator()
    operator.statuses[0] = DepositStatus.EQUIVOCATION
    sync(till, operator)
    assert sync(till, operator) == Report()
    assert states(till) == [SaleState.REJECTED]


def test_reviews_and_new_sales_share_a_batch(till: Till) -> None:
    sell(till)
    operator = Operator()
    operator.statuses[0] = DepositStatus.REVIEW
    sync(till, operator)
    sell(till, 2)
    operator.statuses = {}
    assert sync(till, operator, batch_size=2) == Report(batches=2, settled=3, settled_amount=300)
    assert states(till) == [SaleState.SETTLED] * 3


@pytest.mark.parametrize("step", ["frozen", "before-sent", "answered", "verified", "settled"])
def test_a_till_that_dies_while_it_hands_in_a_review_again(till: Till, step: str) -> None:
    sell(till)
    operator = Operator()
    operator.statuses[0] = DepositStatus.REVIEW
    sync(till, operator)
    operator.statuses = {}
    till.die_at = step
    with pytest.raises(ProcessDied):
        sync(till, operator)
    till.restart()
    sync(till, operator)
    assert states(till) == [SaleState.SETTLED]
    assert len(operator.batches) == 2
    assert sum(operator.credited.values()) == 100


def test_a_server_that_was_set_back_gets_earlier_batches_with_their_reviews(till: Till) -> None:
    """The voucher is in two batches; each is sent again with what it had, and settled sales stay settled."""
    sell(till, 2)
    operator = Operator()
    operator.statuses[1] = DepositStatus.REVIEW
    sync(till, operator)
    operator.statuses = {}
    sync(till, operator)
    sell(till)
    empty = Operator()
    sync(till, empty)
    assert {n: empty.batches[n] for n in (1, 2)} == operator.batches
    assert states(till) == [SaleState.SETTLED] * 3


def test_a_used_batch_number_says_what_to_do(till: Till) -> None:
    sell(till)
    line = Line(Operator(), SettlementError("batch-number-used: it is", problem="batch-number-used", status=409))
    with pytest.raises(SettlementError) as caught:
        sync(till, line)
    assert caught.value.problem == "batch-number-used"
    assert "--succeeds" in caught.value.next_step
    assert len(line.sent) == 1
