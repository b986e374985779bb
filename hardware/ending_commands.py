"""The commands that end a transfer in the purse that paid: ACKNOWLEDGE, REVERSE, REPORT, GRANT (docs/spec/apdu.md)."""

from __future__ import annotations

from dataclasses import dataclass

from wallet_core.certificates import Certificate
from wallet_core.messages import Grant, Receipt, Refusal, ReversalOrder

from .instructions import Command, Ins


@dataclass(frozen=True, slots=True)
class Acknowledge(Command):
    """ACKNOWLEDGE: the payee's signed Receipt, payee's and operator's certificates."""

    NAME = "ACKNOWLEDGE"
    INS = Ins.ACKNOWLEDGE
    ANSWERS = False
    PARTS = (Receipt, Certificate, Certificate)
    receipt: bytes
    payee_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class AcknowledgeRefusal(Command):
    """ACKNOWLEDGE: the payee's signed Refusal, payee's and operator's certificates."""

    NAME = "ACKNOWLEDGE refusal"
    INS = Ins.ACKNOWLEDGE
    P1 = 1
    ANSWERS = False
    PARTS = (Refusal, Certificate, Certificate)
    refusal: bytes
    payee_certificate: bytes
    operator_certificate: bytes


@dataclass(frozen=True, slots=True)
class Reverse(Command):
    """REVERSE: a signed ReversalOrder of the purse's own operator."""

    NAME = "REVERSE"
    INS = Ins.REVERSE
    ANSWERS = False
    PARTS = (ReversalOrder,)
    order: bytes


@dataclass(frozen=True, slots=True)
class MakeReport(Command):
    """REPORT: the purse signs what it holds."""

    NAME = "REPORT"
    INS = Ins.REPORT


@dataclass(frozen=True, slots=True)
class TakeGrant(Command):
    """GRANT: a signed Grant of the purse's own operator."""

    NAME = "GRANT"
    INS = Ins.GRANT
    ANSWERS = False
    PARTS = (Grant,)
    grant: bytes
