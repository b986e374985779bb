"""The commands of the purse, one frozen dataclass each (docs/spec/apdu.md, table *Commands*).

`to_apdu` and `from_apdu` are inverse, so that host, card and trace agree by construction. Fields are the bytes that
travel: what they mean is decided by wallet_core. Commands of the secure channel are built plain here (CLA 80); the
session wraps them (CLA 84).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from wallet_core.certificates import Certificate
from wallet_core.errors import OutOfRangeError, TruncatedError, UnknownLabelError
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.messages import Request, Voucher
from wallet_core.suites import Suite

from .apdu import CommandApdu
from .data_objects import AID, exact_size
from .ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from .instructions import (
    CLA_ISO,
    OBJECTS,
    REQUEST_SIZE,
    Command,
    Ins,
    Part,
    Store,
    split,
)
from .pin import PIN_BLOCK_SIZE

QUESTION_SIZE: Final = ID_SIZE + 4 + 4 + 8 + HASH_SIZE


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT by DF name (ISO/IEC 7816-4, clause 11.2.2); the answer is the FCI."""

    NAME = "SELECT"
    CLA = CLA_ISO
    INS = Ins.SELECT
    P1 = 4
    aid: bytes = AID

    def _data(self) -> bytes:
        return self.aid

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        if not 5 <= len(apdu.data) <= 16:
            raise TruncatedError("an AID has 5 to 16 bytes")
        return cls(apdu.data)


@dataclass(frozen=True, slots=True)
class GetData(Command):
    """GET DATA (ISO/IEC 7816-4, clause 11.5.3); `tag` is one of `Tag`."""

    NAME = "GET DATA"
    CLA = CLA_ISO
    INS = Ins.GET_DATA
    P1 = None
    P2 = None
    tag: int

    def _parameters(self) -> tuple[int, int]:
        return self.tag >> 8, self.tag & 0xFF

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        exact_size(apdu.data, 0, cls.NAME)
        return cls(apdu.p1 << 8 | apdu.p2)


@dataclass(frozen=True, slots=True)
class Verify(Command):
    """VERIFY (ISO/IEC 7816-4, clause 11.6.6) with a PIN block of 8 bytes."""

    NAME = "VERIFY"
    CLA = CLA_ISO
    INS = Ins.VERIFY
    P2 = 1
    ANSWERS = False
    PARTS = (PIN_BLOCK_SIZE,)
    pin_block: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MakeRequest(Command):
    """REQUEST: ask `payer` (id) for `amount` fen at its counter (`epoch`, `n`); `order_hash` of 32 bytes."""

    NAME = "REQUEST"
    INS = Ins.REQUEST
    payer: bytes
    epoch: int
    n: int
    amount: int
    order_hash: bytes

    def _data(self) -> bytes:
        numbers = self.epoch.to_bytes(4, "big") + self.n.to_bytes(4, "big") + self.amount.to_bytes(8, "big")
        return self.payer + numbers + self.order_hash

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        data = exact_size(apdu.data, QUESTION_SIZE, cls.NAME)
        epoch, n, amount = (int.from_bytes(data[a:b], "big") for a, b in ((32, 36), (36, 40), (40, 48)))
        return cls(data[:32], epoch, n, amount, data[48:])


@dataclass(frozen=True, slots=True)
class MakeRequestVerified(Command):
    """REQUEST with the payer verified by the purse: the question, payer's and operator's certificates."""

    NAME = "REQUEST, payer verified"
    INS = Ins.REQUEST
    P1 = 1
    PARTS = (QUESTION_SIZE, Certificate, Certificate)
    question: MakeRequest
    payer_certificate: bytes
    operator_certificate: bytes

    def _data(self) -> bytes:
        return self.question.to_apdu().data + self.payer_certificate + self.operator_certificate

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        question, payer, operator = split(apdu.data, cls.PARTS, cls.NAME)
        plain = CommandApdu(apdu.cla, apdu.ins, 0, 0, question, apdu.ne)
        return cls(MakeRequest.from_apdu(plain), payer, operator)


@dataclass(frozen=True, slots=True)
class Pay(Command):
    """PAY: `request` is the payload of a Request, 138 bytes, unsigned."""

    NAME = "PAY"
    INS = Ins.PAY
    PARTS = (REQUEST_SIZE,)
    request: bytes


@dataclass(frozen=True, slots=True)
class PayVerified(Command):
    """PAY with the payee verified by the card: signed Request, payee's and operator's certificates."""

    NAME = "PAY, payee verified"
    INS = Ins.PAY
    P1 = 1
    PARTS = (Request, Certificate, Certificate)
    request: bytes
    payee_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class Collect(Command):
    """COLLECT: signed Voucher, payer's and operator's certificates."""

    NAME = "COLLECT"
    INS = Ins.COLLECT
    PARTS = (Voucher, Certificate, Certificate)
    voucher: bytes
    payer_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class Refuse(Command):
    """REFUSE the open Request with this hash."""

    NAME = "REFUSE"
    INS = Ins.REFUSE
    PARTS = (HASH_SIZE,)
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class ResendByRequest(Command):
    """RESEND the voucher that answers the Request with this hash."""

    NAME = "RESEND by Request"
    INS = Ins.RESEND
    PARTS = (HASH_SIZE,)
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class ResendByPayee(Command):
    """RESEND voucher number `index` (from 0, oldest first) of this payee."""

    NAME = "RESEND by payee"
    INS = Ins.RESEND
    P1 = 1
    P2 = None
    PARTS = (ID_SIZE,)
    payee: bytes
    index: int

    def _parameters(self) -> tuple[int, int]:
        return 1, self.index

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        return cls(exact_size(apdu.data, ID_SIZE, cls.NAME), apdu.p2)


@dataclass(frozen=True, slots=True)
class _Numbered(Command):
    """A RESEND without data: `index` from 0."""

    INS = Ins.RESEND
    P2 = None
    index: int

    def _parameters(self) -> tuple[int, int]:
        return self.P1 or 0, self.index

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        exact_size(apdu.data, 0, cls.NAME)
        return cls(apdu.p2)


@dataclass(frozen=True, slots=True)
class ResendAny(_Numbered):
    """RESEND voucher number `index` of all; wants a verified PIN."""

    NAME = "RESEND any"
    P1 = 2


@dataclass(frozen=True, slots=True)
class ResendOpenRequest(_Numbered):
    """RESEND signed Request number `index` that is OPEN."""

    NAME = "RESEND open Requests"
    P1 = 3


@dataclass(frozen=True, slots=True)
class GenerateKeyPair(Command):
    """GENERATE ASYMMETRIC KEY PAIR: the answer is a signed CertificationRequest over `challenge` (32 bytes)."""

    NAME = "GENERATE ASYMMETRIC KEY PAIR"
    INS = Ins.GENERATE_KEY_PAIR
    CHANNEL = True
    PARTS = (HASH_SIZE,)
    challenge: bytes


@dataclass(frozen=True, slots=True)
class GenerateSm2KeyPair(Command):
    """The same for a key pair of suite 2: P2 is the number of the suite (docs/spec/suites.md)."""

    NAME = "GENERATE ASYMMETRIC KEY PAIR, SM2"
    INS = Ins.GENERATE_KEY_PAIR
    P2 = int(Suite.SM2)
    CHANNEL = True
    PARTS = (HASH_SIZE,)
    challenge: bytes


@dataclass(frozen=True, slots=True)
class StoreData(Command):
    """STORE DATA (GlobalPlatform Card Specification 2.3.1, clause 11.11): one object as a whole."""

    NAME = "STORE DATA"
    INS = Ins.STORE_DATA
    P1 = None
    CHANNEL = True
    ANSWERS = False
    target: Store
    content: bytes = field(repr=False)

    def _parameters(self) -> tuple[int, int]:
        return self.target, 0

    def _data(self) -> bytes:
        return self.content

    @classmethod
    def _parse(cls, apdu: CommandApdu) -> Self:
        try:
            target = Store(apdu.p1)
        except ValueError as exc:
            raise OutOfRangeError(f"STORE DATA has no object {apdu.p1}") from exc
        return cls(target, *split(apdu.data, (OBJECTS[target],), target.name))

    def _parts(self) -> tuple[Part, ...]:
        return (OBJECTS[self.target],)


@dataclass(frozen=True, slots=True)
class _Step(Command):
    """A step of the life cycle: no data, no answer."""

    CHANNEL = True
    ANSWERS = False


@dataclass(frozen=True, slots=True)
class PersonaliseEnd(_Step):
    """Blank → personalised."""

    NAME = "PERSONALISE END"
    INS = Ins.SET_STATE
    P1 = 1


@dataclass(frozen=True, slots=True)
class Activate(_Step):
    """Personalised → active."""

    NAME = "ACTIVATE"
    INS = Ins.SET_STATE
    P1 = 2


@dataclass(frozen=True, slots=True)
class Deactivate(_Step):
    """Active → blocked."""

    NAME = "DEACTIVATE"
    INS = Ins.DEACTIVATE


@dataclass(frozen=True, slots=True)
class Terminate(_Step):
    """Any state → terminated."""

    NAME = "TERMINATE"
    INS = Ins.TERMINATE


COMMANDS: Final[tuple[type[Command], ...]] = (
    *(Select, GetData, Verify, MakeRequest, MakeRequestVerified, Pay, PayVerified, Collect, Refuse),
    *(ResendByRequest, ResendByPayee, ResendAny, ResendOpenRequest),
    *(Acknowledge, AcknowledgeRefusal, Reverse, MakeReport, TakeGrant),
    *(GenerateKeyPair, GenerateSm2KeyPair, StoreData, PersonaliseEnd, Activate, Deactivate, Terminate),
)


def parse_command(apdu: CommandApdu) -> Command:
    """The command that these bytes are; CLA without chaining and secure messaging bits.

    Raises UnknownLabelError (no such CLA and INS), OutOfRangeError (P1-P2), TruncatedError or OversizedError (length).
    """
    same_ins = [kind for kind in COMMANDS if (apdu.cla, apdu.ins) == (kind.CLA, kind.INS)]
    if not same_ins:
        raise UnknownLabelError(f"no command with CLA {apdu.cla:02X} and INS {apdu.ins:02X}")
    for kind in same_ins:
        if kind.matches(apdu):
            return kind.from_apdu(apdu)
    raise OutOfRangeError(f"{same_ins[0].NAME} has no P1-P2 {apdu.p1:02X}{apdu.p2:02X}")


def name_of(apdu: CommandApdu) -> str:
    """What a command is called in traces and messages; INS alone decides where nothing else fits."""
    likely = [
        kind for kind in COMMANDS if (apdu.cla & 0x80, apdu.ins) == (kind.CLA, kind.INS) and kind.P1 in (None, apdu.p1)
    ]
    for kind in (*(one for one in likely if one.P2 in (None, apdu.p2)), *likely):
        return kind.NAME
    try:
        return Ins(apdu.ins).name.replace("_", " ")
    except ValueError:
        return f"INS {apdu.ins:02X}"
