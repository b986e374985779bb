"""The chart of accounts: who can own value, and which of them may be below zero (docs/spec/ledger.md)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class AccountKind(IntEnum):
    """Kinds of accounts; all balances are in fen, and all of them together sum to zero."""

    ISSUANCE = 1  # what the authority has issued, as a negative number
    OPERATOR_PURSE = 2  # value in the operator's purse
    LOAD_IN_FLIGHT = 3  # paid by the operator's purse to a card whose Receipt has not come
    CARD = 4  # the card's shadow: loads with a Receipt less settled vouchers; below zero while a Receipt is late
    WALLET = 5  # a merchant's
    REDEEMED = 6  # given back to the authority
    LOSS = 7  # what the operator has paid for others, as a negative number

    @property
    def may_be_negative(self) -> bool:
        return self in (AccountKind.ISSUANCE, AccountKind.CARD, AccountKind.LOSS)


class TransferKind(IntEnum):
    """Why value moved. With its reference (a hash, 32 bytes) each transfer happens once."""

    ISSUANCE = 1  # reference: H(Issuance)
    LOAD = 2  # H(Voucher) of the operator's purse
    LOAD_COLLECTED = 3  # H(Voucher): the card's Receipt has come
    DEPOSIT = 4  # H(DepositBatch), netted for each card
    LOAD_REVERSED = 10  # H(Voucher): the card has refused the Request of this load
    UNLOADED = 11  # H(Voucher): a purse has paid the operator's
    REVIEW_SETTLED = 20  # H(Voucher): one that waited is credited
    DEAD_TILL = 21  # H(Voucher): brought by a card's report, for a till that can no longer deposit
    LOSS_MOVED = 22  # a hash of card and count: what `loss` bears for a card changes without a voucher
    LOST_REFUND = 23  # a hash of card and count: value of a lost card to its holder
    RESIDUAL = 24  # H(Voucher): a destroyed purse's residual pays back what it never collected
    PURSE_PAID = 25  # H(Voucher) between two purses
    PURSE_COLLECTED = 26  # the same: the payee has collected
    PURSE_REFUSED = 27  # the same: the payee has refused, whatever it said before
    PURSE_RECLAIMED = 28  # the same: RESIDUAL was void, the payee had collected


CREDITING = (TransferKind.DEPOSIT, TransferKind.REVIEW_SETTLED, TransferKind.DEAD_TILL)
"""Kinds that credit a merchant's wallet with vouchers."""

_PREFIX = {
    AccountKind.ISSUANCE: "issuance",
    AccountKind.OPERATOR_PURSE: "purse",
    AccountKind.LOAD_IN_FLIGHT: "flight",
    AccountKind.CARD: "card",
    AccountKind.WALLET: "wallet",
    AccountKind.REDEEMED: "redeemed",
    AccountKind.LOSS: "loss",
}


@dataclass(frozen=True, slots=True)
class Account:
    """`number`: the ledger's own; `owner`: a purse id or merchant id in hexadecimal, empty for the operator's own."""

    number: int
    kind: AccountKind
    owner: str
    balance: int

    @property
    def name(self) -> str:
        """Such as ``card/4f1c…``, ``wallet/9a2b…``, ``issuance``."""
        prefix = _PREFIX[self.kind]
        return f"{prefix}/{self.owner}" if self.owner else prefix
