"""merchant_pos.answers: which reply of a server settles a batch, and which does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merchant_pos.answers import Gap, check_answer, on_gap
from merchant_pos.journal import Batch
from merchant_pos.ports import Expected
from merchant_pos.sales import Sale, SaleState
from support.keys import FOREIGN_OPERATOR, OPERATOR, TILL, Party, certify, key, party, trust_store
from support.samples import ANSWER, BATCH, REQUEST, SALE, VOUCHER, digest
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    MismatchError,
    UntrustedCertificateError,
    VerificationError,
)
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus, Signed

FROZEN = Batch(
    number=1,
    body=Signed.sign(BATCH, TILL.key).to_bytes(),
    hash=Signed(BATCH, b"").hash,
    previous=bytes(32),
    vouchers=1,
    refusals=1,
    attempts=0,
    last_error=None,
    answer=None,
)
PAID = Sale(
    state=SaleState.SENT,
    order="noodles",
    request=REQUEST,
    voucher=BATCH.vouchers[0],
    voucher_hash=VOUCHER.hash,
    refusal=None,
    reason=None,
    left=None,
    asked_ms=0,
    decided_ms=0,
    batch=1,
    position=0,
    status=None,
)
REFUSED = replace(PAID, state=SaleState.REFUSED, voucher=None, voucher_hash=None, refusal=BATCH.refusals[0])
SECOND_OPERATOR = party("second operator", CertificateClass.OPERATOR, "authority")


def check(body: bytes, operator: Certificate = OPERATOR.certificate) -> DepositAnswer:
    return check_answer(body, FROZEN, [PAID], [REFUSED], till=TILL.id, operator=operator, trust=trust_store())


def signed(signer: Party = OPERATOR, **changes: object) -> bytes:
    return Signed.sign(replace(ANSWER, **changes), signer.key).to_bytes()  # type: ignore[arg-type]


def test_the_operators_answer_to_this_batch_is_believed() -> None:
    assert check(signed()) == ANSWER


def test_a_voucher_that_was_credited_before_is_settled_without_credit() -> None:
    assert check(signed(credited=0)).credited == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"payee": OPERATOR.id},
        {"number": 2},
        {"batch_hash": digest("another batch")},
        {"credited": SALE + 1},
        {"voucher_statuses": ()},
        {"voucher_statuses": (DepositStatus.SETTLED,) * 2},
        {"refusal_statuses": ()},
        {"refusal_statuses": (RefusalStatus.RECORDED,) * 2},
        {"voucher_statuses": (DepositStatus.REVIEW,)},
    ],
)
def test_an_answer_to_something_else_is_not(changes: dict[str, object]) -> None:
    with pytest.raises(MismatchError):
        check(signed(**changes))


@pytest.mark.parametrize("signer", [FOREIGN_OPERATOR, TILL, SECOND_OPERATOR])
def test_an_answer_of_anybody_else_is_not(signer: Party) -> None:
    with pytest.raises(BadSignatureError):
        check(signed(signer))
    with pytest.raises(MismatchError):
        check(signed(signer, operator=signer.id))


def test_an_operator_that_the_authority_did_not_certify_is_not() -> None:
    forged = certify(key("foreign authority"), OPERATOR.key, CertificateClass.OPERATOR)
    with pytest.raises(UntrustedCertificateError):
        check(signed(), forged)


def test_half_an_answer_is_none() -> None:
    whole = signed()
    for size in range(len(whole)):
        with pytest.raises(CodecError):
            check(whole[:size])


def test_every_bit_of_an_answer_counts() -> None:
    whole = signed()
    for at in range(len(whole)):
        bent = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        with pytest.raises((CodecError, VerificationError)):
            check(bent)


def test_a_server_that_was_set_back_gets_the_earlier_batches_again() -> None:
    third = replace(FROZEN, number=3)
    first, second = replace(FROZEN, hash=digest("1")), replace(FROZEN, number=2, hash=digest("2"))
    assert on_gap(third, None, Expected(1, bytes(32))) is Gap.SEND_EARLIER
    assert on_gap(third, first, Expected(2, first.hash)) is Gap.SEND_EARLIER
    assert on_gap(third, second, Expected(3, second.hash)) is Gap.ANOTHER_CHAIN


@pytest.mark.parametrize(
    "expected", [Expected(2, digest("unknown")), Expected(1, digest("not zeros")), Expected(4, bytes(32))]
)
def test_a_server_with_another_chain_is_for_people(expected: Expected) -> None:
    earlier = replace(FROZEN, hash=digest("1")) if expected.number > 1 else None
    assert on_gap(replace(FROZEN, number=3), earlier, expected) is Gap.ANOTHER_CHAIN
