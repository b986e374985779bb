"""The messages that move value (docs/spec/transfer.md). Labels 2 to 7 are the same six fields in Request and Voucher,
so that a card copies them as one run of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from wallet_core.audit import SEALED_SIZE
from wallet_core.ids import HASH_SIZE, ID_SIZE
from wallet_core.messages.layout import FixedMessage, MessageType, money, octets, unsigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(FixedMessage):
    """By the payee: asks one payer for one amount (fen) at the payer's next counter `n`.

    Signed where the payer verifies it: always by a purse payee, by a till above the policy's payee threshold.
    """

    TYPE: ClassVar[MessageType] = MessageType.REQUEST
    payer: bytes = octets(2, ID_SIZE)
    epoch: int = unsigned(3)
    n: int = unsigned(4)
    payee: bytes = octets(5, ID_SIZE)
    k: int = unsigned(6)
    amount: int = money(7)
    order_hash: bytes = octets(8, HASH_SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher(FixedMessage):
    """By the payer: the value itself, answering exactly one Request."""

    TYPE: ClassVar[MessageType] = MessageType.VOUCHER
    payer: bytes = octets(2, ID_SIZE)
    epoch: int = unsigned(3)
    n: int = unsigned(4)
    payee: bytes = octets(5, ID_SIZE)
    k: int = unsigned(6)
    amount: int = money(7)
    request_hash: bytes = octets(9, HASH_SIZE)
    policy_version: int = unsigned(10)
    audit: bytes = octets(11, SEALED_SIZE)

    @classmethod
    def answering(cls, request: Request, policy_version: int, audit: bytes) -> Voucher:
        """The voucher of `request`: labels 2 to 7 as they are there, and its hash. `audit`: the sealed block."""
        return cls(
            suite=request.suite,
            payer=request.payer,
            epoch=request.epoch,
            n=request.n,
            payee=request.payee,
            k=request.k,
            amount=request.amount,
            request_hash=request.hash,
            policy_version=policy_version,
            audit=audit,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt(FixedMessage):
    """By the payee: the voucher is credited; with the payee's totals (fen) after it."""

    TYPE: ClassVar[MessageType] = MessageType.RECEIPT
    payee: bytes = octets(5, ID_SIZE)
    k: int = unsigned(6)
    voucher_hash: bytes = octets(12, HASH_SIZE)
    total_in: int = money(13)
    total_out: int = money(14)
    total_reversed: int = money(15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(FixedMessage):
    """By the payee: the Request with this hash was refused and will never be credited."""

    TYPE: ClassVar[MessageType] = MessageType.REFUSAL
    payee: bytes = octets(5, ID_SIZE)
    k: int = unsigned(6)
    request_hash: bytes = octets(9, HASH_SIZE)
