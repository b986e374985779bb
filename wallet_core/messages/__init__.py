"""The messages of docs/spec/messages.cddl."""

from wallet_core.messages.deposit import DepositAnswer, DepositBatch, DepositStatus, RefusalStatus
from wallet_core.messages.issuing import CertificationRequest, Issuance
from wallet_core.messages.layout import FixedMessage, MessageType
from wallet_core.messages.policy import Policy, SpendMode
from wallet_core.messages.signed import Signed, parse
from wallet_core.messages.transfer import Receipt, Refusal, Request, Voucher

__all__ = [
    "CertificationRequest",
    "DepositAnswer",
    "DepositBatch",
    "DepositStatus",
    "FixedMessage",
    "Issuance",
    "MessageType",
    "Policy",
    "Receipt",
    "Refusal",
    "RefusalStatus",
    "Request",
    "Signed",
    "SpendMode",
    "Voucher",
    "parse",
]
