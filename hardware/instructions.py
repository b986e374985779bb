"""What the commands of the purse are made of: instruction bytes, sizes, and the base class (docs/spec/apdu.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar, Final, Self

from wallet_core.audit import KEY_SIZE as AUDIT_KEY_SIZE
from wallet_core.certificates import CERTIFICATE_SIZES, Certificate
from wallet_core.cose import bstr
from wallet_core.errors import OutOfRangeError
from wallet_core.messages import Grant, Policy, Receipt, Refusal, Request, ReversalOrder, Voucher
from wallet_core.messages.layout import FixedMessage
from wallet_core.suites import Suite, profile

from .apdu import MAX_SHORT_NE, CommandApdu
from .data_objects import exact_size
from .pin import PIN_BLOCK_SIZE

CLA_ISO: Final = 0x00
CLA_PURSE: Final = 0x80

REQUEST_SIZE: Final = Request.layout().size

Part = int | type[FixedMessage] | type[Certificate]
"""A part of a command data field: bytes, or what is sent signed and has its own size in each suite."""


def signed_size(kind: type[FixedMessage], suite: Suite = Suite.ES256) -> int:
    """Bytes of a signed message of this kind with its COSE envelope."""
    known, payload = profile(suite), bytes(kind.layout().size)
    # Tag and array, protected header, empty map, payload, signature.
    return 2 + len(bstr(known.protected)) + 1 + len(bstr(payload)) + len(bstr(bytes(known.signature_size)))


def size_of(part: Part, suite: Suite = Suite.ES256) -> int:
    """Bytes of one part in a suite."""
    if isinstance(part, int):
        return part
    return signed_size(part, suite) if issubclass(part, FixedMessage) else CERTIFICATE_SIZES[suite]


def suite_of_size(parts: tuple[Part, ...], size: int) -> Suite | None:
    """The first suite in which `parts` have `size` bytes together; None where there is none."""
    return next((suite for suite in Suite if sum(size_of(part, suite) for part in parts) == size), None)


SIGNED_REQUEST_SIZE: Final = signed_size(Request)
SIGNED_VOUCHER_SIZE: Final = signed_size(Voucher)
SIGNED_RECEIPT_SIZE: Final = signed_size(Receipt)
SIGNED_REFUSAL_SIZE: Final = signed_size(Refusal)
SIGNED_ORDER_SIZE: Final = signed_size(ReversalOrder)
SIGNED_GRANT_SIZE: Final = signed_size(Grant)
CERTIFICATE_SIZE: Final = CERTIFICATE_SIZES[Suite.ES256]


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


OBJECTS: Final[dict[Store, Part]] = {
    Store.AUTHORITY_CERTIFICATE: Certificate,
    Store.OPERATOR_CERTIFICATE: Certificate,
    Store.PURSE_CERTIFICATE: Certificate,
    Store.POLICY: Policy,
    Store.PIN: PIN_BLOCK_SIZE,
    Store.AUDIT_KEY: AUDIT_KEY_SIZE,
}
"""What each object of STORE DATA is."""
OBJECT_SIZES: Final = {target: size_of(part) for target, part in OBJECTS.items()}
"""Bytes of each object of STORE DATA in suite ES256."""


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
    PARTS: ClassVar[tuple[Part, ...]] = ()  # the first fields: they are the command data field
    SIZES: ClassVar[tuple[int, ...]] = ()  # of these parts in suite ES256, bytes

    def __init_subclass__(cls) -> None:
        cls.SIZES = tuple(size_of(part) for part in cls.PARTS)

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

    @property
    def suite(self) -> Suite | None:
        """The suite whose sizes the command data field has; None where every suite has the same."""
        parts = self._parts()
        if all(isinstance(part, int) for part in parts):
            return None
        return suite_of_size(parts, len(self._data()))

    def _parts(self) -> tuple[Part, ...]:
        return self.PARTS

    @classmethod
    def matches(cls, apdu: CommandApdu) -> bool:
        """Whether the header is of this command."""
        same = apdu.cla == cls.CLA and apdu.ins == cls.INS
        return same and cls.P1 in (None, apdu.p1) and cls.P2 in (None, apdu.p2)

    def _parameters(self) -> tuple[int, int]:
        return self.P1 or 0, self.P2 or 0

    def _data(self) -> bytes:
        return b"".join(getattr(self, part.name) for part in fields(self)[: len(self.PARTS)])

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        return cls(*split(apdu.data, cls.PARTS, cls.NAME))


def split(data: bytes, sizes: tuple[Part, ...], what: str) -> tuple[bytes, ...]:
    """Cut `data` into parts of these sizes, in the suite whose sum it has; raises TruncatedError or OversizedError."""
    suite = suite_of_size(sizes, len(data)) or Suite.ES256
    exact_size(data, sum(size_of(part, suite) for part in sizes), what)
    parts, at = [], 0
    for size in (size_of(part, suite) for part in sizes):
        parts.append(data[at : at + size])
        at += size
    return tuple(parts)
