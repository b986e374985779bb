"""An offline refund: the merchant's SAM pays a card back, for a sale that this till has on disk.

The card's Request binds H(Voucher) of the sale by its order hash; what is refunded of one sale never exceeds it, by the
journal here (docs/spec/till.md, *A refund*). Interrupted, it is the same command again that finishes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from merchant_pos import phrases
from merchant_pos.decisions import Result, hold_to_policy
from merchant_pos.journal import Journal
from merchant_pos.ports import PinEntry, PurseSource
from merchant_pos.sales import SaleState
from merchant_pos.sam_desk import SamDesk
from merchant_pos.sam_sale import NOT_TO_BE_ASKED, not_asked
from merchant_pos.transfers import Kind, Plan, Transfer, TransferState, refund_order_hash
from merchant_pos.two_purses import Present, TransferOutcome
from wallet_core.certificates import CertificateClass
from wallet_core.errors import MismatchError, OutcomeUnknownError, PurseRefusal, Refused, UsageError
from wallet_core.ids import COUNTER_MAX
from wallet_core.money import fen


@dataclass(frozen=True, slots=True)
class Original:
    """The sale that is refunded: its number, what was paid (fen), by which card, and H(Voucher)."""

    k: int
    amount: int
    card: bytes
    voucher_hash: bytes


def original(journal: Journal, k: int) -> Original:
    """Sale `k` of this till; raises UsageError unless it is paid."""
    transfer = journal.transfer(k)
    if transfer is not None:
        if transfer.kind is Kind.SALE and transfer.state is TransferState.PAID and transfer.voucher_hash is not None:
            return Original(k, transfer.amount, transfer.card, transfer.voucher_hash)
    else:
        for sale in journal.sales():
            if sale.k == k and sale.state.is_paid and sale.voucher_hash is not None:
                if sale.state is SaleState.REJECTED:
                    raise UsageError(f"sale {k} was not credited: nothing of it can be refunded")
                return Original(k, sale.amount, sale.request.payer, sale.voucher_hash)
    raise UsageError(f"{k} is no paid sale of this till", next_step="See `ecny pos history`.")


def begun(journal: Journal, sale: Original, amount: int | None) -> Transfer | None:
    """The refund of this sale that was interrupted; raises UsageError where it is of another amount."""
    found = journal.open_refund(sale.voucher_hash)
    if found is not None and amount is not None and amount != found.amount:
        raise UsageError(
            f"a refund of {fen(found.amount)} of this sale has begun",
            next_step="Finish it first: run the command with that amount, or with none.",
        )
    return found


def give_back(
    desk: SamDesk,
    sale: Original,
    amount: int | None,
    cards: PurseSource,
    sams: PurseSource,
    pins: PinEntry,
    *,
    any_card: bool,
    tap_seconds: float,
    retap_seconds: float,
) -> TransferOutcome:
    """Refund `amount` fen of `sale` (None: what is left of it) to its card, or with `any_card` to whichever is tapped.

    One that was interrupted is finished instead. Raises UsageError beyond what was paid, and what a sale raises.
    """
    interrupted = begun(desk.journal, sale, amount)
    if interrupted is not None and interrupted.state is TransferState.PAID:
        desk.two.announce(interrupted)
        return TransferOutcome(Result.PAID, interrupted)
    if interrupted is not None:
        result = Result.TAP_AGAIN if interrupted.state.is_open else Result.OPEN
        return desk.finish(TransferOutcome(result, interrupted), cards, sams, pins, retap_seconds)
    desk.require_nothing_open()
    left = sale.amount - desk.journal.refunded(sale.voucher_hash)
    wanted = left if amount is None else amount
    if not 1 <= wanted <= left:
        raise UsageError(
            f"{fen(wanted)} of {fen(sale.amount)} cannot be refunded: {fen(left)} are left of sale {sale.k}",
            next_step="Refund no more than that.",
        )
    desk.notify(phrases.TAP)
    first = desk.first_tap(
        lambda card, sam: _tap(desk, sale, wanted, card, sam, pins, any_card=any_card), cards, sams, tap_seconds
    )
    return (
        first
        if first.result in (Result.PAID, Result.NOT_CHARGED)
        else desk.finish(first, cards, sams, pins, retap_seconds)
    )


def _tap(
    desk: SamDesk, sale: Original, amount: int, card: Present, sam: Present, pins: PinEntry, *, any_card: bool
) -> TransferOutcome:
    plan = Plan(
        kind=Kind.REFUND,
        payer=sam.shown.purse,
        epoch=sam.shown.epoch,
        n=sam.shown.next_n,
        payee=card.shown.purse,
        amount=amount,
        order=f"refund of sale {sale.k}",
        order_hash=refund_order_hash(sale.voucher_hash),
        original=sale.voucher_hash,
    )
    try:
        if sam.shown.next_n > COUNTER_MAX:
            raise PurseRefusal(Refused.COUNTERS_EXHAUSTED, next_step="Have the SAM replaced.")
        payer = desk.good_sam(sam)
        desk.good_card(card, sam)
        if card.shown.purse != sale.card and not any_card:
            raise MismatchError(
                "this card did not pay that sale",
                next_step="Take the card that paid. To refund another one all the same: --any-card.",
            )
        hold_to_policy(amount, desk.payers.policy(sam.purse, sam.shown, payer), CertificateClass.HARD_WALLET)
    except NOT_TO_BE_ASKED as exc:
        desk.notify(phrases.not_refunded(exc.message))
        return TransferOutcome(Result.NOT_CHARGED, None, exc)
    desk.notify(phrases.CARD_READ)
    desk.two.tidy(card)
    desk.step("before-asking")
    transfer = desk.journal.begin(plan, most=sale.amount)
    desk.step("asking")
    try:
        transfer = desk.two.request(transfer, card.purse)
    except OutcomeUnknownError:
        raise  # the card may have made a Request: it refuses it at its next tap, before it makes another
    except NOT_TO_BE_ASKED as exc:
        return not_asked(desk, transfer, exc)
    return desk.two.advance(transfer, sam, card, pins, asked_before=False)
