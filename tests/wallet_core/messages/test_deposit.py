"""Batches and answers: variable length, the strict codec, limits; a bad item does not stop the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.keys import CARD, TILL
from support.samples import ANSWER, BATCH, VOUCHER
from wallet_core import codec
from wallet_core.errors import (
    CodecError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    UnknownSuiteError,
    WrongTypeError,
)
from wallet_core.messages import DepositAnswer, DepositBatch, DepositStatus, RefusalStatus, Signed, parse
from wallet_core.messages.deposit import (
    MAX_BATCH_SIZE,
    MAX_CERTIFICATES,
    MAX_ITEM_SIZE,
    MAX_REFUSALS,
    MAX_VOUCHERS,
)
from wallet_core.money import MAX_MINOR_UNITS

VOUCHER_BYTES = Signed.sign(VOUCHER, CARD.key).to_bytes()


def content(message: DepositBatch | DepositAnswer) -> dict[int, Any]:
    found: dict[int, Any] = codec.decode(message.to_payload(), max_size=MAX_BATCH_SIZE)
    return found


@pytest.mark.parametrize(
    "batch",
    [
        BATCH,
        replace(BATCH, vouchers=(), refusals=(), certificates=()),
        replace(BATCH, number=2**32 - 1, previous=b"\xff" * 32),
        replace(BATCH, vouchers=(b"", b"rubbish", bytes(MAX_ITEM_SIZE)) + BATCH.vouchers * 30),
    ],
)
def test_there_and_back(batch: DepositBatch) -> None:
    assert DepositBatch.from_payload(batch.to_payload()) == batch
    signed = Signed.sign(batch, TILL.key)
    assert parse(DepositBatch, signed.to_bytes(), max_size=MAX_BATCH_SIZE).verify(TILL.key.public) == batch


def test_the_greatest_batch_fits() -> None:
    """10,000 vouchers, 1,000 refusals and 10,000 certificates of the sizes that they have."""
    full = replace(
        BATCH,
        vouchers=(VOUCHER_BYTES,) * MAX_VOUCHERS,
        refusals=BATCH.refusals * MAX_REFUSALS,
        certificates=BATCH.certificates * MAX_CERTIFICATES,
    )
    signed = Signed.sign(full, TILL.key)
    data = signed.to_bytes()
    assert len(data) <= MAX_BATCH_SIZE
    assert parse(DepositBatch, data, max_size=MAX_BATCH_SIZE) == signed


def test_what_its_receiver_would_refuse_is_not_made() -> None:
    many = (bytes(MAX_ITEM_SIZE),) * (MAX_BATCH_SIZE // (MAX_ITEM_SIZE + 3))
    least = 0
    most = len(many)
    while most - least > 1:  # the greatest number of such items that still fits
        middle = (least + most) // 2
        try:
            replace(BATCH, vouchers=many[:middle]).to_payload()
            least = middle
        except OversizedError:
            most = middle
    greatest = Signed.sign(replace(BATCH, vouchers=many[:least]), TILL.key).to_bytes()
    assert MAX_BATCH_SIZE - 2 * MAX_ITEM_SIZE < len(greatest) <= MAX_BATCH_SIZE
    with pytest.raises(OversizedError):
        DepositBatch.from_payload(codec.encode({**content(BATCH), 5: list(many[:most])}))


@pytest.mark.parametrize(
    "batch",
    [
        replace(BATCH, vouchers=(b"",) * (MAX_VOUCHERS + 1)),
        replace(BATCH, refusals=(b"",) * (MAX_REFUSALS + 1)),
        replace(BATCH, certificates=(b"",) * (MAX_CERTIFICATES + 1)),
        replace(BATCH, vouchers=(bytes(MAX_ITEM_SIZE + 1),)),
        replace(BATCH, refusals=(bytes(MAX_ITEM_SIZE + 1),)),
        replace(BATCH, certificates=(bytes(MAX_ITEM_SIZE + 1),)),
        replace(BATCH, number=0),
        replace(BATCH, number=-1),
        replace(BATCH, number=2**32),
        replace(BATCH, payee=bytes(31)),
        replace(BATCH, previous=bytes(33)),
    ],
)
def test_limits_of_a_batch(batch: DepositBatch) -> None:
    with pytest.raises(OutOfRangeError):
        batch.to_payload()


@pytest.mark.parametrize(
    ("label", "value", "error"),
    [
        (0, 11, WrongTypeError),
        (0, 10.0, WrongTypeError),
        (0, "10", WrongTypeError),
        (0, None, WrongTypeError),
        (1, 0, UnknownSuiteError),
        (1, 3, UnknownSuiteError),
        (1, 1.0, OutOfRangeError),
        (1, True, OutOfRangeError),
        (1, b"\1", OutOfRangeError),
        (2, bytes(31), OutOfRangeError),
        (2, "a" * 32, OutOfRangeError),
        (2, None, OutOfRangeError),
        (3, 1, OutOfRangeError),
        (3, bytes(4), OutOfRangeError),
        (3, bytes(5), OutOfRangeError),
        (4, bytes(33), OutOfRangeError),
        (5, b"", CodecError),
        (5, [VOUCHER_BYTES, 1], CodecError),
        (5, [[VOUCHER_BYTES]], CodecError),
        (5, None, CodecError),
        (5, [b""] * (MAX_VOUCHERS + 1), OutOfRangeError),
        (6, ["refusal"], CodecError),
        (6, [b""] * (MAX_REFUSALS + 1), OutOfRangeError),
        (7, {}, CodecError),
        (7, [b""] * (MAX_CERTIFICATES + 1), OutOfRangeError),
        (7, [bytes(MAX_ITEM_SIZE + 1)], OutOfRangeError),
        (8, [], UnknownLabelError),
        (-1, [], UnknownLabelError),
        ("vouchers", [], UnknownLabelError),
        (2.5, [], UnknownLabelError),
        (None, [], UnknownLabelError),
    ],
)
def test_a_batch_that_says_something_else(label: Any, value: Any, error: type[CodecError]) -> None:
    with pytest.raises(error):
        DepositBatch.from_payload(codec.encode({**content(BATCH), label: value}))


@pytest.mark.parametrize("message", [BATCH, ANSWER], ids=["batch", "answer"])
def test_labels_that_only_look_alike(message: DepositBatch | DepositAnswer) -> None:
    """2.0 and False are equal to 2 and 0, yet they are other labels."""
    for label in content(message):
        lookalike: Any = {0: False, 1: True}.get(label, float(label))
        changed = {lookalike if key == label else key: value for key, value in content(message).items()}
        with pytest.raises(CodecError):
            type(message).from_payload(codec.encode(changed))


@pytest.mark.parametrize("message", [BATCH, ANSWER], ids=["batch", "answer"])
def test_a_label_missing(message: DepositBatch | DepositAnswer) -> None:
    for label in content(message):
        rest = {key: value for key, value in content(message).items() if key != label}
        with pytest.raises(WrongTypeError if label == 0 else TruncatedError):
            type(message).from_payload(codec.encode(rest))


@pytest.mark.parametrize("payload", [[], 0, "", None, b"", [10]])
@pytest.mark.parametrize("kind", [DepositBatch, DepositAnswer])
def test_a_payload_that_is_no_map(kind: type[DepositBatch | DepositAnswer], payload: Any) -> None:
    with pytest.raises(WrongTypeError):
        kind.from_payload(codec.encode(payload))


@pytest.mark.parametrize("credited", [0, 1, MAX_MINOR_UNITS])
def test_an_answer_there_and_back(credited: int) -> None:
    answer = replace(
        ANSWER, credited=credited, voucher_statuses=tuple(DepositStatus), refusal_statuses=tuple(RefusalStatus)
    )
    assert DepositAnswer.from_payload(answer.to_payload()) == answer


def test_the_greatest_answer_fits() -> None:
    answer = replace(
        ANSWER,
        voucher_statuses=(DepositStatus.SETTLED,) * MAX_VOUCHERS,
        refusal_statuses=(RefusalStatus.RECORDED,) * MAX_REFUSALS,
    )
    assert DepositAnswer.from_payload(answer.to_payload()) == answer


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, credited=-1),
        replace(ANSWER, credited=MAX_MINOR_UNITS + 1),
        replace(ANSWER, number=0),
        replace(ANSWER, operator=b""),
        replace(ANSWER, payee=bytes(33)),
        replace(ANSWER, batch_hash=bytes(31)),
    ],
)
def test_limits_of_an_answer(answer: DepositAnswer) -> None:
    with pytest.raises(OutOfRangeError):
        answer.to_payload()


@pytest.mark.parametrize(
    ("label", "value", "error"),
    [
        (0, 10, WrongTypeError),
        (6, (MAX_MINOR_UNITS + 1).to_bytes(8, "big"), OutOfRangeError),
        (6, bytes(7), OutOfRangeError),
        (6, 6800, OutOfRangeError),
        (7, bytes((len(DepositStatus),)), UnknownLabelError),
        (7, b"\xff", UnknownLabelError),
        (7, [0], OutOfRangeError),
        (8, bytes((len(RefusalStatus),)), UnknownLabelError),
        (8, "", OutOfRangeError),
        (9, b"", UnknownLabelError),
    ],
)
def test_an_answer_that_says_something_else(label: Any, value: Any, error: type[CodecError]) -> None:
    with pytest.raises(error):
        DepositAnswer.from_payload(codec.encode({**content(ANSWER), label: value}))


def test_an_answer_above_its_size() -> None:
    with pytest.raises(OversizedError):
        DepositAnswer.from_payload(codec.encode({**content(ANSWER), 7: bytes(65536)}))


def test_every_code_of_a_status_is_a_byte_of_its_own() -> None:
    for statuses in (DepositStatus, RefusalStatus):
        assert [status.value for status in statuses] == list(range(len(statuses)))
