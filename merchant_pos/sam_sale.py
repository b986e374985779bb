"""A sale to the merchant's SAM: the card pays a purse, both sides offline.

The order that nothing may change: what the SAM will be asked for on disk → SAM REQUEST → Request on disk → card PAY →
voucher on disk → SAM COLLECT → Receipt on disk = PAID → PAID is shown → the card hears of it.
"""

from __future__ import annotations

from merchant_pos import phrases
from merchant_pos.decisions import PAYERS, Result, hold_to_policy, on_new_card
from merchant_pos.ports import PinEntry, PurseSource
from merchant_pos.sales import Order
from merchant_pos.sam_desk import SamDesk
from merchant_pos.transfers import Kind, Plan, Transfer
from merchant_pos.two_purses import Present, TransferOutcome
from wallet_core.certificates import CertificateClass
from wallet_core.errors import (
    CardError,
    CodecError,
    EcnyError,
    OutcomeUnknownError,
    PurseRefusal,
    VerificationError,
)

NOT_TO_BE_ASKED = (PurseRefusal, CardError, CodecError, VerificationError)


def charge(
    desk: SamDesk,
    order: Order,
    cards: PurseSource,
    sams: PurseSource,
    pins: PinEntry,
    *,
    tap_seconds: float,
    retap_seconds: float,
) -> TransferOutcome:
    """Sell `order` to the card that is tapped, into the SAM; once a card was asked, go on until there is a result or
    `retap_seconds` are over.

    Raises OutcomeUnknownError when an earlier sale is still open, NoCardError when no card came or the SAM is away,
    StorageError when the disk refuses: nothing was asked of a card then.
    """
    desk.require_nothing_open()
    desk.notify(phrases.TAP)
    first = desk.first_tap(lambda card, sam: _tap(desk, order, card, sam, pins), cards, sams, tap_seconds)
    return (
        first
        if first.result in (Result.PAID, Result.NOT_CHARGED)
        else desk.finish(first, cards, sams, pins, retap_seconds)
    )


def _tap(desk: SamDesk, order: Order, card: Present, sam: Present, pins: PinEntry) -> TransferOutcome:
    try:
        desk.good_sam(sam)
        on_new_card(order, card.shown)
        payer = desk.good_card(card, sam, PAYERS)
        hold_to_policy(order.amount, desk.payers.policy(card.purse, card.shown, payer), CertificateClass.MERCHANT_PURSE)
    except NOT_TO_BE_ASKED as exc:
        return not_asked(desk, None, exc)
    desk.notify(phrases.CARD_READ)
    desk.step("before-asking")
    transfer = desk.journal.begin(
        Plan(
            kind=Kind.SALE,
            payer=card.shown.purse,
            epoch=card.shown.epoch,
            n=card.shown.next_n,
            payee=sam.shown.purse,
            amount=order.amount,
            order=order.reference,
            order_hash=order.hash,
        )
    )
    desk.step("asking")
    try:
        transfer = desk.two.request(transfer, sam.purse)
    except OutcomeUnknownError:
        raise  # the SAM may have made a Request: it refuses it before it makes another (TwoPurses.tidy)
    except NOT_TO_BE_ASKED as exc:
        return not_asked(desk, transfer, exc)
    return desk.two.advance(transfer, card, sam, pins, asked_before=False)


def not_asked(desk: SamDesk, transfer: Transfer | None, why: EcnyError) -> TransferOutcome:
    """NOT CHARGED: no payer was asked for anything. A payee's reason promises that it has made no Request either."""
    refund = transfer is not None and transfer.kind is Kind.REFUND
    if transfer is not None and isinstance(why, PurseRefusal):
        transfer = desk.journal.dropped(transfer.k, why.reason.name)
    desk.notify(phrases.not_refunded(why.message) if refund else phrases.not_charged(why.message))
    return TransferOutcome(Result.NOT_CHARGED, transfer, why)
