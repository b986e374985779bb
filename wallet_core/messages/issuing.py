"""Messages that set parties up: proof of possession of a new key, and money issued into an operator's purse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wallet_core.certificates import CertificateClass
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.keys import COORDINATE_SIZE, PublicKey
from wallet_core.messages.layout import FixedMessage, MessageType, money, octets, small, unsigned


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationRequest(FixedMessage):
    """By a new key about itself: its coordinates, the class it asks for, and the challenge it answers.

    `challenge`: 32 bytes, the suite's hash of the one-time enrolment code or of the card's serial number, so that the
    proof of possession cannot be used for another enrolment.
    """

    TYPE: ClassVar[MessageType] = MessageType.CERTIFICATION_REQUEST
    x: bytes = octets(2, COORDINATE_SIZE)
    y: bytes = octets(3, COORDINATE_SIZE)
    subject_class: int = small(4, most=max(CertificateClass))
    challenge: bytes = octets(5, HASH_SIZE)

    @property
    def key(self) -> PublicKey:
        return PublicKey(self.x, self.y, self.suite)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuance(FixedMessage):
    """By the authority: `amount` fen issued into an operator's purse; `serial` counts those to this purse from 1."""

    TYPE: ClassVar[MessageType] = MessageType.ISSUANCE
    authority: bytes = octets(2, ID_SIZE)
    purse: bytes = octets(3, ID_SIZE)
    serial: int = unsigned(4)
    amount: int = money(5)
