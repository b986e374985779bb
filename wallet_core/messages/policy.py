"""The signed policy of a purse: the operator's limits, as data; its version only rises."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from wallet_core.certificates import CertificateClass
from wallet_core.ids import ID_SIZE
from wallet_core.messages.layout import FixedMessage, MessageType, money, octets, small, unsigned


class SpendMode(IntEnum):
    """Whether a purse may spend offline what it received offline."""

    STAGED = 1  # spendable = acknowledged inflow + reversed - out
    INTERMITTENT = 2  # spendable = balance


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(FixedMessage):
    """Limits in fen. A limit below the present balance blocks credits, never debits.

    `payee_classes` and `payer_classes` are bit sets over certificate classes: bit c lets this purse pay class c, or
    take value from it. `pin_threshold`: a payment above it needs the PIN. `unverified_total`: sum of payments without
    PIN since the last verified one.
    `payee_threshold`: above it the purse verifies the payee's signature and certificate before the debit.
    `least_suite` may be one that this version does not know: then every Request is refused.
    """

    TYPE: ClassVar[MessageType] = MessageType.POLICY
    operator: bytes = octets(2, ID_SIZE)
    version: int = unsigned(3)
    purse_class: int = small(4, most=max(CertificateClass))
    least_suite: int = small(5, least=1)
    mode: int = small(6, least=min(SpendMode), most=max(SpendMode))
    balance_limit: int = money(7)
    transfer_limit: int = money(8)
    offline_total: int = money(9)
    offline_count: int = unsigned(10)
    pin_threshold: int = money(11)
    unverified_total: int = money(12)
    payee_threshold: int = money(13)
    payee_classes: int = unsigned(14)
    payer_classes: int = unsigned(15)
