"""What the commands of the purse are made of: instruction bytes, sizes, and the base class (docs/spec/apdu.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar, Final, Self

from wallet_core.audit import KEY_SIZE as AUDIT_KEY_SIZE
from wallet_core.certificates import PAYLOAD_SIZE as CERTIFICATE_CLAIMS_SIZE
from wallet_core.errors import OutOfRangeError
from wallet_core.messages import Grant, Policy, Receipt, Refusal, Request, ReversalOrder, Voucher
from wallet_core.messages.layout import FixedMessage

from .apdu import MAX_SHORT_NE, CommandApdu
from .data_objects import exact_size
from .pin import PIN_BLOCK_SIZE

CLA_ISO: Final = 0x00
CLA_PURSE: Final = 0x80

_SIGNATURE_AND_HEADS: Final = 2 + 4 + 1 + 66  # tag and array, protected header, empty map, signature
REQUEST_SIZE: Final = Request.layout().size


def signed_size(kind: type[FixedMessage]) -> int:
    """Bytes of a signed message of this kind with its COSE envelope."""
    size = kind.layout().size
    return _SIGNATURE_AND_HEADS + (2 if size < 256 else 3) + size  # the head of a byte string of 24 bytes or more


SIGNED_REQUEST_SIZE: Final = signed_size(Request)
SIGNED_VOUCHER_SIZE: Final = signed_size(Voucher)
SIGNED_RECEIPT_SIZE: Final = signed_size(Receipt)
SIGNED_REFUSAL_SIZE: Final = signed_size(Refusal)
SIGNED_ORDER_SIZE: Final = signed_size(ReversalOrder)
SIGNED_GRANT_SIZE: Final = signed_size(Grant)
CERTIFICATE_SIZE: Final = 2 + 2 + 41 + 1 + 2 + CERTIFICATE_CLAIMS_SIZE + 66


class Ins(IntEnum):
    """Instruction bytes."""

    DEACTIVATE = 0x04
    VERIFY = 0x20
    REQUEST = 0x30
    PAY = 0x32
    COLLECT = 0x34
    REFUSE = 0x36
    RESEND = 0x38
    ACKNOWLEDGE = 0x3A
    REVERSE = 0x3C
    REPORT = 0x3E
    GRANT = 0x40
    SET_STATE = 0x44
    GENERATE_KEY_PAIR = 0x46
    INITIALIZE_UPDATE = 0x50
    EXTERNAL_AUTHENTICATE = 0x82
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCA
    STORE_DATA = 0xE2
    TERMINATE = 0xE6


class Store(IntEnum):
    """P1 of STORE DATA: which data object."""

    AUTHORITY_CERTIFICATE = 1
    OPERATOR_CERTIFICATE = 2
    PURSE_CERTIFICATE = 3
    POLICY = 4
    PIN = 5
    AUDIT_KEY = 6


OBJECT_SIZES: Final = {
    Store.AUTHORITY_CERTIFICATE: CERTIFICATE_SIZE,
    Store.OPERATOR_CERTIFICATE: CERTIFICATE_SIZE,
    Store.PURSE_CERTIFICATE: CERTIFICATE_SIZE,
    Store.POLICY: signed_size(Policy),
    Store.PIN: PIN_BLOCK_SIZE,
    Store.AUDIT_KEY: AUDIT_KEY_SIZE,
}
"""Bytes of each object of STORE DATA."""


@dataclass(frozen=True, slots=True)
class Command:
    """Base: the header bytes that tell one command from another; P1 or P2 None means that any value is this command."""

    NAME: ClassVar[str]
    CLA: ClassVar[int] = CLA_PURSE
    INS: ClassVar[Ins]
    P1: ClassVar[int | None] = 0
    P2: ClassVar[int | None] = 0
    CHANNEL: ClassVar[bool] = False  # wants the secure channel
    ANSWERS: ClassVar[bool] = True  # there is response data, so the command carries an Le field
    SIZES: ClassVar[tuple[int, ...]] = ()  # of the first fields, in bytes: they are the command data field

    def to_apdu(self) -> CommandApdu:
        """The command, plain; Ne is 256 where the answer has data."""
        p1, p2 = self._parameters()
        return CommandApdu(self.CLA, self.INS, p1, p2, self._data(), MAX_SHORT_NE if self.ANSWERS else 0)

    @classmethod
    def from_apdu(cls, apdu: CommandApdu) -> Self:
        """Parse; raises TruncatedError or OversizedError (length), OutOfRangeError (P1-P2)."""
        if not cls.matches(apdu):
            raise OutOfRangeError(f"P1-P2 {apdu.p1:02X}{apdu.p2:02X} is not {cls.NAME}")
        return cls._parse(apdu)

    @classmethod
    def matches(cls, apdu: CommandApdu) -> bool:
        """Whether the header is of this command."""
        same = apdu.cla == cls.CLA and apdu.ins == cls.INS
        return same and cls.P1 in (None, apdu.p1) and cls.P2 in (None, apdu.p2)

    def _parameters(self) -> tuple[int, int]:
        return self.P1 or 0, self.P2 or 0

    def _data(self) -> bytes:
        return b"".join(getattr(self, part.name) for part in fields(self)[: len(self.SIZES)])

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        return cls(*split(apdu.data, cls.SIZES, cls.NAME))


def split(data: bytes, sizes: tuple[int, ...], what: str) -> tuple[bytes, ...]:
    """Cut `data` into parts of these sizes; raises TruncatedError or OversizedError when it is not their sum."""
    exact_size(data, sum(sizes), what)
    parts, at = [], 0
    for size in sizes:
        parts.append(data[at : at + size])
        at += size
    return tuple(parts)
