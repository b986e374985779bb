"""A deposit's answer as pure decisions: whether to believe it, and what to do when the server expects another batch."""

from __future__ import annotations

from enum import Enum

from merchant_pos.journal import Batch
from merchant_pos.ports import Expected
from merchant_pos.sales import Sale
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import MismatchError
from wallet_core.messages import DepositAnswer, DepositStatus, Signed, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE
from wallet_core.trust import TrustStore


def check_answer(
    body: bytes,
    batch: Batch,
    paid: list[Sale],
    refused: list[Sale],
    *,
    till: bytes,
    operator: Certificate,
    trust: TrustStore,
) -> DepositAnswer:
    """The answer in `body`, if the till's own operator signed it and it answers exactly this batch.

    Without dates: an operator's expiry never stops the finishing of what was paid (docs/spec/transfer.md, rule 10).

    Raises a CodecError (half a reply, or none at all) or VerificationError; then nothing is settled.
    """
    signed: Signed[DepositAnswer] = parse(DepositAnswer, body, max_size=MAX_ANSWER_SIZE)
    answer = signed.message
    if answer.operator != operator.subject:
        raise MismatchError("another operator than the till's answered")
    key = trust.verify(operator, now=None, allowed=(CertificateClass.OPERATOR,)).key
    signed.verify(key)
    if answer.payee != till:
        raise MismatchError("the answer is for another till")
    if answer.number != batch.number:
        raise MismatchError(f"the answer is to batch {answer.number}, batch {batch.number} was sent")
    if answer.batch_hash != batch.hash:
        raise MismatchError("the answer is to other bytes than the batch that was sent")
    if len(answer.voucher_statuses) != len(paid) or len(answer.refusal_statuses) != len(refused):
        raise MismatchError("the answer has not one status for each voucher and each refusal of the batch")
    settled = sum(
        sale.amount
        for sale, status in zip(paid, answer.voucher_statuses, strict=True)
        if status is DepositStatus.SETTLED
    )
    if answer.credited > settled:
        raise MismatchError("the answer credits more than the vouchers that it settles")
    return answer


class Gap(Enum):
    """Where a server that refuses a batch as out of order stands."""

    SEND_EARLIER = "the server lost batches that the till still has: send those again, as they were"
    ANOTHER_CHAIN = "the server knows batches of this till that the till does not: enrol with a new key"


def on_gap(batch: Batch, earlier: Batch | None, expected: Expected) -> Gap:
    """`earlier`: the till's own batch before the one expected, if there is one. Raises nothing: both are answers."""
    if 1 <= expected.number < batch.number:
        known = earlier.hash if earlier is not None else bytes(len(expected.last_hash))
        if known == expected.last_hash:
            return Gap.SEND_EARLIER
    return Gap.ANOTHER_CHAIN
