"""The first look at a batch: everything that can be said of a voucher or refusal without a signature or the books."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from server.settlement.payers import Payer
from server.settlement.voucher_reader import (
    AT_EPOCH,
    AT_PAYEE,
    AT_PAYER,
    AT_SUITE,
    Values,
    fault_of,
    hash_of,
    read,
)
from wallet_core.errors import BadSignatureError, CodecError
from wallet_core.messages import DepositStatus, Refusal, RefusalStatus, parse
from wallet_core.suites import Suite

Resolve = Callable[[AbstractSet[bytes]], Mapping[bytes, Payer]]


# A voucher that may settle: well-formed, for this payee, from a known purse. Place in the batch (from 0), payer,
# values (`voucher_reader`), H(Voucher). A plain tuple: there are thousands in a batch.
Candidate = tuple[int, Payer, Values, bytes]


class RefusalCandidate(NamedTuple):
    """A refusal that is well-formed and names this payee."""

    place: int
    payee: bytes
    request_hash: bytes
    signed_bytes: bytes
    signature: bytes
    raw: bytes


@dataclass(frozen=True)
class Triage:
    """`statuses`, `refusal_statuses`: by place; SETTLED and RECORDED stand where a candidate is still to be decided."""

    statuses: tuple[DepositStatus, ...]
    candidates: tuple[Candidate, ...]
    refusal_statuses: tuple[RefusalStatus, ...]
    refusals: tuple[RefusalCandidate, ...]


def triage(
    vouchers: Sequence[bytes],
    refusals: Sequence[bytes],
    payee: bytes,
    resolve: Resolve,
    predecessors: AbstractSet[bytes] = frozenset(),
    suite: Suite = Suite.ES256,
) -> Triage:
    """Sort the items of a batch that `payee` has signed, which has taken the place of `predecessors`.

    `suite`: the installation's; an item of any other moves nothing, whoever has signed it.
    """
    statuses, candidates = _vouchers(vouchers, payee, predecessors, resolve, suite)
    refusal_statuses, refusal_candidates = _refusals(refusals, payee, predecessors, suite)
    return Triage(tuple(statuses), tuple(candidates), tuple(refusal_statuses), tuple(refusal_candidates))


def _vouchers(
    items: Sequence[bytes], payee: bytes, predecessors: AbstractSet[bytes], resolve: Resolve, suite: Suite
) -> tuple[list[DepositStatus], list[Candidate]]:
    statuses = [DepositStatus.SETTLED] * len(items)
    readable: list[tuple[int, Values]] = []
    for place, item in enumerate(items):
        values = read(item)
        if values is None:
            statuses[place] = fault_of(item)
        elif values[AT_SUITE] != suite:
            statuses[place] = DepositStatus.UNKNOWN_SUITE
        elif values[AT_PAYEE] != payee and values[AT_PAYEE] not in predecessors:
            statuses[place] = DepositStatus.WRONG_PAYEE
        else:
            readable.append((place, values))
    payers = resolve({values[AT_PAYER] for _, values in readable})
    candidates: list[Candidate] = []
    for place, values in readable:
        payer = payers.get(values[AT_PAYER])
        if payer is None:
            statuses[place] = DepositStatus.UNKNOWN_PAYER
        elif not payer.is_purse or payer.epoch != values[AT_EPOCH]:
            statuses[place] = DepositStatus.PAYER_CLASS
        else:
            candidates.append((place, payer, values, hash_of(items[place])))
    return statuses, candidates


def _refusals(
    items: Sequence[bytes], payee: bytes, predecessors: AbstractSet[bytes], suite: Suite
) -> tuple[list[RefusalStatus], list[RefusalCandidate]]:
    statuses = [RefusalStatus.RECORDED] * len(items)
    candidates: list[RefusalCandidate] = []
    for place, item in enumerate(items):
        try:
            signed = parse(Refusal, item)
        except (CodecError, BadSignatureError):
            statuses[place] = RefusalStatus.MALFORMED
            continue
        refusal = signed.message
        if refusal.suite is not suite or (refusal.payee != payee and refusal.payee not in predecessors):
            statuses[place] = RefusalStatus.BAD_SIGNATURE  # not by the one who signed the batch, or not with its key
            continue
        candidates.append(
            RefusalCandidate(place, refusal.payee, refusal.request_hash, refusal.signed_bytes, signed.signature, item)
        )
    return statuses, candidates
