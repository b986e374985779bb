"""The first look at a batch: everything that can be said of a voucher or refusal without a signature or the books."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, cast

from server.settlement.payers import Payer
from server.settlement.voucher_reader import (
    AT_AMOUNT,
    AT_EPOCH,
    AT_N,
    AT_PAYEE,
    AT_PAYER,
    AT_REQUEST_HASH,
    AT_SIGNATURE,
    Values,
    fault_of,
    read,
    voucher_hash,
)
from wallet_core.errors import BadSignatureError, CodecError
from wallet_core.messages import DepositStatus, Refusal, RefusalStatus, parse

Resolve = Callable[[AbstractSet[bytes]], Mapping[bytes, Payer]]


class Candidate(NamedTuple):
    """A voucher that may settle: well-formed, for this payee, from a known purse. `place`: in the batch, from 0."""

    place: int
    payer: Payer
    epoch: int
    n: int
    amount: int
    request_hash: bytes
    hash: bytes
    signature: bytes


class RefusalCandidate(NamedTuple):
    """A refusal that is well-formed and names this payee."""

    place: int
    request_hash: bytes
    hash: bytes
    signature: bytes
    raw: bytes


@dataclass(frozen=True)
class Triage:
    """`statuses`, `refusal_statuses`: by place; SETTLED and RECORDED stand where a candidate is still to be decided."""

    statuses: tuple[DepositStatus, ...]
    candidates: tuple[Candidate, ...]
    refusal_statuses: tuple[RefusalStatus, ...]
    refusals: tuple[RefusalCandidate, ...]


def triage(vouchers: Sequence[bytes], refusals: Sequence[bytes], payee: bytes, resolve: Resolve) -> Triage:
    """Sort the items of a batch that `payee` has signed."""
    statuses, candidates = _vouchers(vouchers, payee, resolve)
    refusal_statuses, refusal_candidates = _refusals(refusals, payee)
    return Triage(tuple(statuses), tuple(candidates), tuple(refusal_statuses), tuple(refusal_candidates))


def _vouchers(items: Sequence[bytes], payee: bytes, resolve: Resolve) -> tuple[list[DepositStatus], list[Candidate]]:
    statuses = [DepositStatus.SETTLED] * len(items)
    readable: list[tuple[int, Values]] = []
    for index, item in enumerate(items):
        values = read(item)
        if values is None:
            statuses[index] = fault_of(item)
        elif values[AT_PAYEE] != payee:
            statuses[index] = DepositStatus.WRONG_PAYEE
        else:
            readable.append((index, values))
    payers = resolve(cast(set[bytes], {values[AT_PAYER] for _, values in readable}))
    candidates: list[Candidate] = []
    for index, values in readable:
        payer = payers.get(cast(bytes, values[AT_PAYER]))
        if payer is None:
            statuses[index] = DepositStatus.UNKNOWN_PAYER
        elif not payer.is_purse or payer.epoch != values[AT_EPOCH]:
            statuses[index] = DepositStatus.PAYER_CLASS
        else:
            candidates.append(_candidate(index, payer, values, items[index]))
    return statuses, candidates


def _candidate(index: int, payer: Payer, values: Values, item: bytes) -> Candidate:
    return Candidate(
        index,
        payer,
        values[AT_EPOCH],  # type: ignore[arg-type]  # the unpacker fixes the types
        values[AT_N],  # type: ignore[arg-type]
        values[AT_AMOUNT],  # type: ignore[arg-type]
        values[AT_REQUEST_HASH],  # type: ignore[arg-type]
        voucher_hash(item),
        values[AT_SIGNATURE],  # type: ignore[arg-type]
    )


def _refusals(items: Sequence[bytes], payee: bytes) -> tuple[list[RefusalStatus], list[RefusalCandidate]]:
    statuses = [RefusalStatus.RECORDED] * len(items)
    candidates: list[RefusalCandidate] = []
    for index, item in enumerate(items):
        try:
            signed = parse(Refusal, item)
        except (CodecError, BadSignatureError):
            statuses[index] = RefusalStatus.MALFORMED
            continue
        if signed.message.payee != payee:
            statuses[index] = RefusalStatus.BAD_SIGNATURE  # not by the one who signed the batch
            continue
        candidates.append(RefusalCandidate(index, signed.message.request_hash, signed.hash, signed.signature, item))
    return statuses, candidates
