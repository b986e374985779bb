"""Proofs of fraud that anyone can check with public keys alone (docs/spec/transfer.md, I2 and I8).

Two statements that one key has signed and that cannot both be true convict it; nobody has to be believed for it, so
the proof itself is signed by no one. What is compared are payload hashes: the same statement with the other form of
its signature, (r, n - s), is the same statement, and a relay can make no proof from what honest devices have said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Self

from wallet_core import codec
from wallet_core.certificates import MAX_CERTIFICATE_SIZE, PURSES, Certificate, CertificateClass
from wallet_core.errors import (
    MismatchError,
    NotCanonicalError,
    OutOfRangeError,
    OversizedError,
    UnknownLabelError,
    UnknownSuiteError,
    VerificationError,
    WrongTypeError,
)
from wallet_core.messages.deposit import decode_map
from wallet_core.messages.ending import Report
from wallet_core.messages.layout import SUITE_LABEL, TYPE_LABEL, MessageType
from wallet_core.messages.signed import MAX_FIXED_SIZE, Signed, parse
from wallet_core.messages.transfer import Receipt, Refusal, Voucher
from wallet_core.suites import Suite, profile
from wallet_core.trust import TrustStore

MAX_PROOF_SIZE = 8192  # bytes: three messages, eight certificates
MAX_CERTIFICATES = 8

_PAYEES = (*PURSES, CertificateClass.TILL)


class FraudKind(IntEnum):
    """What the signer did."""

    DOUBLE_SPEND = 1  # two payloads for one counter: two vouchers, or a voucher and a report
    TWO_OUTCOMES = 2  # credited and refused the same Request: a Receipt and a Refusal, with the voucher that links them


@dataclass(frozen=True, slots=True)
class Culprit:
    """Whom a proof convicts: id (32 bytes), certificate class, kind of fraud, and what was done, in words."""

    id: bytes
    subject_class: CertificateClass
    kind: FraudKind
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudProof:
    """Signed messages that contradict each other, and the certificates of their signer and its operator.

    `messages` of DOUBLE_SPEND: two Vouchers in the order of their hashes, or a Voucher and a Report; of TWO_OUTCOMES:
    Receipt, Refusal, Voucher. `certificates`: in the order of their bytes, each once.
    """

    suite: Suite
    kind: FraudKind
    messages: tuple[Signed[Any], ...]
    certificates: tuple[Certificate, ...]

    def to_bytes(self) -> bytes:
        """The one encoding: deterministic CBOR, at most MAX_PROOF_SIZE bytes."""
        return codec.encode(
            {
                TYPE_LABEL: int(MessageType.FRAUD_PROOF),
                SUITE_LABEL: int(self.suite),
                2: int(self.kind),
                3: [one.to_bytes() for one in self.messages],
                4: [one.to_bytes() for one in self.certificates],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse everything in it; raises a CodecError. Nothing is believed before `check`."""
        value = decode_map(data, MAX_PROOF_SIZE, MessageType.FRAUD_PROOF, range(5))
        if type(value[2]) is not int:
            raise OutOfRangeError("the kind of fraud is not a number")
        try:
            kind = FraudKind(value[2])
        except ValueError as exc:
            raise UnknownLabelError(str(exc)) from exc
        messages = _items("messages", value[3], 3, MAX_FIXED_SIZE)
        certificates = _items("certificates", value[4], MAX_CERTIFICATES, MAX_CERTIFICATE_SIZE)
        if any(first >= second for first, second in pairwise(certificates)):
            raise NotCanonicalError("certificates come in the rising order of their bytes, each once")
        suite = profile(value[SUITE_LABEL]).suite
        signed = _double_spend(messages) if kind is FraudKind.DOUBLE_SPEND else _two_outcomes(messages)
        if any(one.message.suite is not suite for one in signed):
            raise UnknownSuiteError("the messages are of another suite than the proof")
        return cls(
            suite=suite,
            kind=kind,
            messages=signed,
            certificates=tuple(Certificate.from_bytes(one) for one in certificates),
        )


def is_proof(data: bytes) -> bool:
    """Whether `data` sets out to be a proof: its one encoding begins so, and no signed message does."""
    return data.startswith(bytes((0xA5, TYPE_LABEL, MessageType.FRAUD_PROOF)))


def make(messages: Iterable[Signed[Any]], certificates: Iterable[Certificate]) -> FraudProof:
    """The proof that these messages are, whatever their order.

    `certificates`: the signer's and its operator's; those of others are left out. Signatures are not looked at here:
    `check` does that. Raises MismatchError when the messages prove nothing, a CodecError without any certificate.
    """
    given = sorted(messages, key=lambda one: (_RANK.get(type(one.message), len(_RANK)), one.hash))
    kind = _KINDS.get(tuple(type(one.message) for one in given))
    if kind is None:
        raise MismatchError("a proof is two vouchers, a voucher and a report, or a receipt, a refusal and a voucher")
    subject = _convicted(kind, given)[0]
    known = tuple(certificates)
    named = {subject} | {one.issuer for one in known if one.subject == subject}
    kept = {one.to_bytes(): one for one in known if one.subject in named}
    proof = FraudProof(
        suite=given[0].message.suite,
        kind=kind,
        messages=tuple(given),
        certificates=tuple(kept[encoded] for encoded in sorted(kept)),
    )
    return FraudProof.from_bytes(proof.to_bytes())  # what its reader would refuse is never made


def check(proof: FraudProof, trust: TrustStore) -> Culprit:
    """Whom `proof` convicts. Needs the authority's certificate and nothing secret; `trust` stays as it is.

    Raises MismatchError when the messages do not contradict each other or no certificate is there, and another
    VerificationError when a signature, chain or class does not hold. Dates are not checked: a fraud does not expire.
    The voucher of TWO_OUTCOMES need not be verified, for the payee's own Receipt names its hash.
    """
    subject, what = _convicted(proof.kind, proof.messages)
    epoch = proof.messages[0].message.epoch if proof.kind is FraudKind.DOUBLE_SPEND else None
    said = proof.messages[:2]
    faults: list[VerificationError] = []
    store = _store(proof, trust)
    for certificate in proof.certificates:
        if certificate.subject != subject or epoch not in (None, certificate.epoch):
            continue
        try:
            store.verify(certificate, now=None, allowed=_PAYEES if epoch is None else PURSES)
            for one in said:
                one.verify(certificate.key)
        except VerificationError as fault:
            faults.append(fault)
            continue
        return Culprit(subject, certificate.subject_class, proof.kind, what)
    if faults:
        raise faults[0]
    of_epoch = "" if epoch is None else f" for epoch {epoch}"
    raise MismatchError(f"no certificate of {subject.hex()[:8]}{of_epoch} is in the proof")


def _store(proof: FraudProof, trust: TrustStore) -> TrustStore:
    """The caller's trust, with the operators that the proof brings along; the caller's own store learns nothing."""
    store = TrustStore(trust.root, production=trust.production)
    for certificate in (*trust.operators, *proof.certificates):
        if certificate.subject_class is CertificateClass.OPERATOR:
            store.add_operator(certificate)
    return store


def _convicted(kind: FraudKind, messages: Sequence[Signed[Any]]) -> tuple[bytes, str]:
    """Who has contradicted itself, and how; raises MismatchError when there is no contradiction."""
    if kind is FraudKind.TWO_OUTCOMES:
        return _of_two_outcomes(*(one.message for one in messages))
    voucher, other = (one.message for one in messages)
    return _of_report(voucher, other) if isinstance(other, Report) else _of_vouchers(voucher, other)


def _of_vouchers(first: Voucher, second: Voucher) -> tuple[bytes, str]:
    if (first.payer, first.epoch, first.n) != (second.payer, second.epoch, second.n):
        raise MismatchError("the vouchers have different payers, epochs or counters")
    if first.hash == second.hash:
        raise MismatchError("the vouchers are one message: a second form of its signature proves nothing")
    paid = " and ".join(f"{one.amount} fen to {one.payee.hex()[:8]}" for one in (first, second))
    return first.payer, f"two vouchers of epoch {first.epoch} with counter {first.n}: {paid}"


def _of_report(voucher: Voucher, report: Report) -> tuple[bytes, str]:
    if (voucher.payer, voucher.epoch) != (report.purse, report.epoch):
        raise MismatchError("voucher and report are of different purses or epochs")
    if all(line.n != voucher.n or line.voucher_hash == voucher.hash for line in report.slot_lines):
        raise MismatchError(f"the report names no other voucher for counter {voucher.n}")
    return voucher.payer, (
        f"a voucher of epoch {voucher.epoch} with counter {voucher.n}: {voucher.amount} fen to "
        f"{voucher.payee.hex()[:8]}, and a report that names another one"
    )


def _of_two_outcomes(receipt: Receipt, refusal: Refusal, voucher: Voucher) -> tuple[bytes, str]:
    if not receipt.payee == refusal.payee == voucher.payee:
        raise MismatchError("receipt, refusal and voucher are of different payees")
    if receipt.voucher_hash != voucher.hash:
        raise MismatchError("the receipt is for another voucher")
    if refusal.request_hash != voucher.request_hash:
        raise MismatchError("the refusal is of another Request than the voucher's")
    return receipt.payee, f"a receipt and a refusal for one voucher of {voucher.amount} fen (k {voucher.k})"


def _double_spend(messages: Sequence[bytes]) -> tuple[Signed[Any], ...]:
    if len(messages) != 2:
        raise OutOfRangeError(f"a double spend is proved by 2 messages, not {len(messages)}")
    voucher = parse(Voucher, messages[0])
    try:
        other = parse(Voucher, messages[1])
    except WrongTypeError:
        return voucher, parse(Report, messages[1])
    if voucher.hash > other.hash:
        raise NotCanonicalError("two vouchers come in the rising order of their hashes")
    return voucher, other


def _two_outcomes(messages: Sequence[bytes]) -> tuple[Signed[Any], ...]:
    if len(messages) != 3:
        raise OutOfRangeError(f"two outcomes are proved by 3 messages, not {len(messages)}")
    return parse(Receipt, messages[0]), parse(Refusal, messages[1]), parse(Voucher, messages[2])


def _items(name: str, value: Any, most: int, size: int) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not all(isinstance(one, bytes) for one in value):
        raise OutOfRangeError(f"{name} is not a list of byte strings")
    if not 1 <= len(value) <= most:
        raise OutOfRangeError(f"{len(value)} {name}, from 1 to {most} are allowed")
    if any(len(one) > size for one in value):
        raise OversizedError(f"one of the {name} is longer than {size} bytes")
    return tuple(value)


_RANK: dict[type, int] = {Receipt: 0, Refusal: 1, Voucher: 2, Report: 3}
_KINDS: dict[tuple[type, ...], FraudKind] = {
    (Voucher, Voucher): FraudKind.DOUBLE_SPEND,
    (Voucher, Report): FraudKind.DOUBLE_SPEND,
    (Receipt, Refusal, Voucher): FraudKind.TWO_OUTCOMES,
}
