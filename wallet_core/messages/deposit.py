"""What an account payee (a till without a secure element) hands in, and what its operator answers.

Both vary in length, so they pass the strict codec; what they carry (vouchers, refusals) keeps its fixed layout and its
own bytes. A batch is signed by the till, the answer by the operator, so that half a reply is no reply.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from wallet_core import codec
from wallet_core.errors import (
    CodecError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    WrongTypeError,
)
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.messages.layout import SUITE_LABEL, TYPE_LABEL, MessageType
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite, profile

MAX_VOUCHERS = 10_000
MAX_REFUSALS = 1_000
MAX_CERTIFICATES = 10_000
MAX_ITEM_SIZE = 1024
MAX_BATCH_SIZE = 8 * 1024 * 1024  # bytes, envelope included
_MAX_BATCH_PAYLOAD = MAX_BATCH_SIZE - 78  # around it: tag and array 2, headers 4 + 1, head 5, signature 66
MAX_ANSWER_SIZE = 64 * 1024


class DepositStatus(IntEnum):
    """Verdict on one voucher of a batch. Only SETTLED credits; the others apply in the order of their numbers.

    A number has to leave the batch as one byte and stays what it is for ever (docs/spec/statuses.md).
    """

    SETTLED = 0  # credited now, or credited before by the same voucher
    MALFORMED = 1  # not a voucher in its one encoding
    UNKNOWN_SUITE = 2
    WRONG_PAYEE = 3  # made out to another payee than the one who signed the batch
    UNKNOWN_PAYER = 4  # no certificate of the payer leads to the authority
    PAYER_CLASS = 5  # the certificate is not a purse's, or does not cover this epoch
    BAD_SIGNATURE = 6
    REFUSED_BEFORE = 7  # the payee itself had refused this Request
    EQUIVOCATION = 8  # the payer signed another voucher with this counter: kept as evidence, to review
    REVIEW = 9  # beyond what the payer is proved to have received: kept, to review


class RefusalStatus(IntEnum):
    """Verdict on one refusal of a batch."""

    RECORDED = 0
    MALFORMED = 1
    BAD_SIGNATURE = 2
    AFTER_DEPOSIT = 3  # the same Request's voucher is settled already: the deposit stands


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositBatch:
    """By a till: batch `number` (from 1, contiguous), `previous` = H of the batch before (zeros for the first)."""

    TYPE: ClassVar[MessageType] = MessageType.DEPOSIT_BATCH
    suite: Suite
    payee: bytes
    number: int
    previous: bytes
    vouchers: tuple[bytes, ...]
    refusals: tuple[bytes, ...] = ()
    certificates: tuple[bytes, ...] = ()

    def to_payload(self) -> bytes:
        """The one encoding; raises OversizedError or OutOfRangeError for what its receiver would refuse."""
        _check_items("vouchers", self.vouchers, MAX_VOUCHERS)
        _check_items("refusals", self.refusals, MAX_REFUSALS)
        _check_items("certificates", self.certificates, MAX_CERTIFICATES)
        payload = codec.encode(
            {
                TYPE_LABEL: int(self.TYPE),
                SUITE_LABEL: int(self.suite),
                2: require_octets("payee", self.payee, ID_SIZE),
                3: require_counter("number", self.number).to_bytes(4, "big"),
                4: require_octets("previous", self.previous, HASH_SIZE),
                5: list(self.vouchers),
                6: list(self.refusals),
                7: list(self.certificates),
            }
        )
        if len(payload) > _MAX_BATCH_PAYLOAD:
            raise OversizedError(f"a batch has at most {MAX_BATCH_SIZE} bytes; hand in fewer vouchers at once")
        return payload

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Parse; raises a CodecError. The items are not looked into here: a bad one must not stop the others."""
        value = decode_map(payload, _MAX_BATCH_PAYLOAD, cls.TYPE, range(8))
        batch = cls(
            suite=profile(value[SUITE_LABEL]).suite,
            payee=require_octets("payee", value[2], ID_SIZE),
            number=int.from_bytes(require_octets("number", value[3], 4), "big"),
            previous=require_octets("previous", value[4], HASH_SIZE),
            vouchers=_items("vouchers", value[5]),
            refusals=_items("refusals", value[6]),
            certificates=_items("certificates", value[7]),
        )
        require_counter("number", batch.number)
        _check_items("vouchers", batch.vouchers, MAX_VOUCHERS)
        _check_items("refusals", batch.refusals, MAX_REFUSALS)
        _check_items("certificates", batch.certificates, MAX_CERTIFICATES)
        return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositAnswer:
    """By the operator: a status for each item of the batch with hash `batch_hash`, and what it credited (fen)."""

    TYPE: ClassVar[MessageType] = MessageType.DEPOSIT_ANSWER
    suite: Suite
    operator: bytes
    payee: bytes
    number: int
    batch_hash: bytes
    credited: int
    voucher_statuses: tuple[DepositStatus, ...]
    refusal_statuses: tuple[RefusalStatus, ...] = ()

    def to_payload(self) -> bytes:
        return codec.encode(
            {
                TYPE_LABEL: int(self.TYPE),
                SUITE_LABEL: int(self.suite),
                2: require_octets("operator", self.operator, ID_SIZE),
                3: require_octets("payee", self.payee, ID_SIZE),
                4: require_counter("number", self.number).to_bytes(4, "big"),
                5: require_octets("batch_hash", self.batch_hash, HASH_SIZE),
                6: _money("credited", self.credited).to_bytes(8, "big"),
                7: bytes(self.voucher_statuses),
                8: bytes(self.refusal_statuses),
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        value = decode_map(payload, MAX_ANSWER_SIZE, cls.TYPE, range(9))
        try:
            statuses = tuple(DepositStatus(code) for code in _any_octets("voucher statuses", value[7]))
            refusals = tuple(RefusalStatus(code) for code in _any_octets("refusal statuses", value[8]))
        except ValueError as exc:
            raise UnknownLabelError(str(exc)) from exc
        return cls(
            suite=profile(value[SUITE_LABEL]).suite,
            operator=require_octets("operator", value[2], ID_SIZE),
            payee=require_octets("payee", value[3], ID_SIZE),
            number=require_counter("number", int.from_bytes(require_octets("number", value[4], 4), "big")),
            batch_hash=require_octets("batch_hash", value[5], HASH_SIZE),
            credited=_money("credited", int.from_bytes(require_octets("credited", value[6], 8), "big")),
            voucher_statuses=statuses,
            refusal_statuses=refusals,
        )


def decode_map(payload: bytes, max_size: int, message_type: MessageType, labels: range) -> dict[int, Any]:
    """A payload of this type with exactly these labels; raises a CodecError."""
    value = codec.decode(payload, max_size=max_size)
    if not isinstance(value, dict):
        raise WrongTypeError("the payload is not a map")
    if type(value.get(TYPE_LABEL)) is not int or value[TYPE_LABEL] != message_type:  # 10.0 equals 10
        raise WrongTypeError(f"not a message of type {message_type.value}")
    unknown = [label for label in value if type(label) is not int or label not in labels]
    if unknown:
        raise UnknownLabelError(f"label {unknown[0]!r} is not part of this message")
    missing = [label for label in labels if label not in value]
    if missing:
        raise TruncatedError(f"label {missing[0]} is missing")
    if type(value[SUITE_LABEL]) is not int:
        raise OutOfRangeError("suite is not a number")
    return value


def require_octets(name: str, value: Any, size: int) -> bytes:
    """`value`, a byte string of `size` bytes; raises OutOfRangeError."""
    if len(_any_octets(name, value)) != size:
        raise OutOfRangeError(f"{name} has {size} bytes")
    return bytes(value)


def _any_octets(name: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise OutOfRangeError(f"{name} is not a byte string")
    return value


def require_counter(name: str, value: int) -> int:
    """`value`, from 1; raises OutOfRangeError."""
    if not 1 <= value < 2**32:
        raise OutOfRangeError(f"{name} is outside 1 to 2**32 - 1")
    return value


def _money(name: str, value: int) -> int:
    if not 0 <= value <= MAX_MINOR_UNITS:
        raise OutOfRangeError(f"{name} is outside 0 to {MAX_MINOR_UNITS}")
    return value


def _items(name: str, value: Any) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not all(isinstance(item, bytes) for item in value):
        raise CodecError(f"{name} is not a list of byte strings")
    return tuple(value)


def _check_items(name: str, items: tuple[bytes, ...], most: int) -> None:
    if len(items) > most:
        raise OutOfRangeError(f"{len(items)} {name}, at most {most} are allowed")
    if any(len(item) > MAX_ITEM_SIZE for item in items):
        raise OutOfRangeError(f"one of the {name} is longer than {MAX_ITEM_SIZE} bytes")
