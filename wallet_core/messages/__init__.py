"""The messages of docs/spec/messages.cddl."""

from wallet_core.messages.deposit import DepositAnswer, DepositBatch, DepositStatus, RefusalStatus
from wallet_core.messages.ending import Closing, Grant, Report, ReversalOrder
from wallet_core.messages.issuing import CertificationRequest, Issuance
from wallet_core.messages.layout import FixedMessage, MessageType
from wallet_core.messages.policy import Policy, SpendMode
from wallet_core.messages.revocation import RevocationList, RevocationReason
from wallet_core.messages.signed import Signed, parse
from wallet_core.messages.transfer import Receipt, Refusal, Request, Voucher

__all__ = [
    "CertificationRequest",
    "Closing",
    "DepositAnswer",
    "DepositBatch",
    "DepositStatus",
    "FixedMessage",
    "Grant",
    "Issuance",
    "MessageType",
    "Policy",
    "Receipt",
    "Refusal",
    "RefusalStatus",
    "Report",
    "Request",
    "ReversalOrder",
    "RevocationList",
    "RevocationReason",
    "Signed",
    "SpendMode",
    "Voucher",
    "parse",
]
