"""`ecny pos`: the till on the command line. It wires keys, journal, readers and server together and decides nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from merchant_pos import phrases, views
from merchant_pos.checkout import Outcome
from merchant_pos.cli_office import OFFICE
from merchant_pos.cli_wiring import (
    CRASH_VARIABLE,
    FilePin,
    PromptedPin,
    crash_hook,
    open_desk,
    open_source,
    pin_option,
    pins,
    reader_option,
    retap_option,
    sam_option,
    tap_option,
)
from merchant_pos.decisions import Result
from merchant_pos.sales import Order
from merchant_pos.transfers import Kind
from merchant_pos.two_purses import TransferOutcome
from wallet_core.cli import Context, common_options, report
from wallet_core.errors import EcnyError, OutcomeUnknownError, OutOfRangeError, UsageError
from wallet_core.money import Money, fen

__all__ = ["CRASH_VARIABLE", "FilePin", "PromptedPin", "crash_hook", "pos"]

_ORDER_BYTES = 8
_NEEDS_SAM = "Name the reader with the SAM: --sam READER."


@click.group()
def pos() -> None:
    """The till: charge cards offline, settle when the server is there."""


for command in OFFICE:
    pos.add_command(command)


@pos.command()
@click.argument("amount")
@click.option("--order", "reference", help="Your reference of this order (default: a random one).")
@tap_option
@reader_option
@sam_option
@pin_option
@retap_option
@common_options
def charge(
    ctx: Context,
    amount: str,
    reference: str | None,
    tap_seconds: float,
    reader: str,
    sam: str | None,
    pin_file: Path | None,
    retap_seconds: float,
) -> None:
    """Charge AMOUNT (such as 68.00) to the card that is tapped; with --sam, into the merchant's SAM."""
    order = Order(_amount(amount), reference if reference is not None else os.urandom(_ORDER_BYTES).hex())
    entry = pins(pin_file)
    with open_desk(ctx) as (checkout, desk):
        checkout.require_nothing_open()
        cards = open_source(ctx, reader)
        outcome: Outcome | TransferOutcome
        if sam is None:
            outcome = checkout.charge(order, cards, entry, tap_seconds=tap_seconds, retap_seconds=retap_seconds)
        else:
            from merchant_pos import sam_sale

            outcome = sam_sale.charge(
                *(desk, order, cards, open_source(ctx, sam), entry),
                tap_seconds=tap_seconds,
                retap_seconds=retap_seconds,
            )
    _conclude(ctx, outcome)


@pos.command()
@click.argument("sale_k", metavar="SALE_K", type=click.IntRange(min=1))
@click.argument("amount", required=False)
@click.option("--any-card", is_flag=True, help="Also to another card than the one that paid.")
@tap_option
@reader_option
@sam_option
@pin_option
@retap_option
@common_options
def refund(
    ctx: Context,
    sale_k: int,
    amount: str | None,
    any_card: bool,
    tap_seconds: float,
    reader: str,
    sam: str | None,
    pin_file: Path | None,
    retap_seconds: float,
) -> None:
    """Pay AMOUNT of sale SALE_K back to its card, out of the SAM; without AMOUNT all that is left of it."""
    from merchant_pos import refund as refunds

    if sam is None:
        raise UsageError("a refund is paid by the merchant's SAM", next_step=_NEEDS_SAM)
    wanted = _amount(amount) if amount is not None else None
    entry = pins(pin_file)
    with open_desk(ctx) as (_, desk):
        outcome = refunds.give_back(
            *(desk, refunds.original(desk.journal, sale_k), wanted, open_source(ctx, reader), open_source(ctx, sam)),
            entry,
            any_card=any_card,
            tap_seconds=tap_seconds,
            retap_seconds=retap_seconds,
        )
    _conclude(ctx, outcome)


@pos.command()
@reader_option
@sam_option
@pin_option
@retap_option
@common_options
def resume(ctx: Context, reader: str, sam: str | None, pin_file: Path | None, retap_seconds: float) -> None:
    """Finish the open sale: tap the same card again; with --sam also what the SAM has to do."""
    entry = pins(pin_file)
    with open_desk(ctx) as (checkout, desk):
        outcome: Outcome | TransferOutcome | None = None
        if checkout.open_sale() is not None:
            outcome = checkout.resume(open_source(ctx, reader), entry, retap_seconds=retap_seconds)
        elif desk.journal.undecided() or desk.journal.open_transfer() is not None:
            if sam is None:
                raise UsageError("what is open is the SAM's", next_step=_NEEDS_SAM)
            outcome = desk.resume(open_source(ctx, reader), open_source(ctx, sam), entry, retap_seconds)
    if outcome is None:
        ctx.emit({"result": None, "sale": None}, phrases.NOTHING_OPEN)
    else:
        _conclude(ctx, outcome)


@pos.command()
@click.option("--yes", is_flag=True, help="I have read the warning.")
@click.option("--sale", "k", type=click.IntRange(min=1), help="Which of the SAM's that it has not taken.")
@reader_option
@sam_option
@retap_option
@common_options
def cancel(ctx: Context, yes: bool, k: int | None, reader: str, sam: str | None, retap_seconds: float) -> None:
    """Give the open sale up for good; with --sam one of the SAM's, which refuses it first."""
    with open_desk(ctx) as (checkout, desk):
        sale = checkout.open_sale() if k is None else None
        transfer = desk.to_cancel(k) if sale is None else None
        if sale is None and transfer is None:
            ctx.emit({"result": None, "sale": None}, phrases.NOTHING_OPEN)
            return
        if transfer is not None and sam is None:
            raise UsageError("what is open is the SAM's", next_step=_NEEDS_SAM)
        refunding = transfer is not None and transfer.kind is Kind.REFUND
        click.echo(phrases.CANCEL_REFUND_WARNING if refunding else phrases.CANCEL_WARNING, err=True)
        if not yes and not (sys.stdin.isatty() and click.confirm("Cancel it?", err=True)):
            raise UsageError("the sale is still open", next_step="Cancel it with --yes once you have read the warning.")
        if transfer is not None and sam is not None:
            outcome = desk.cancel(transfer, open_source(ctx, reader), open_source(ctx, sam), retap_seconds)
        else:
            sale = checkout.cancel()
    if transfer is not None:
        _conclude_cancel(ctx, outcome)
    elif sale is not None:
        ctx.emit({"result": phrases.CANCELLED, "sale": views.sale_facts(sale)}, phrases.CANCELLED)


def _amount(text: str) -> int:
    money = Money.parse(text)
    if money.minor < 1:
        raise UsageError("the amount is 0", next_step="Charge 0.01 or more.")
    return money.minor


# Results ------------------------------------------------------------------------------------------------------------


def _conclude(ctx: Context, outcome: Outcome | TransferOutcome) -> None:
    """The result on standard output; what is wrong on standard error, with its exit code."""
    if ctx.json:
        ctx.emit(views.outcome_facts(outcome), "")
    error = _error(outcome) if isinstance(outcome, Outcome) else _transfer_error(outcome)
    if error is not None:
        report(error, as_json=ctx.json)
        sys.exit(error.exit_code)


def _conclude_cancel(ctx: Context, outcome: TransferOutcome) -> None:
    """CANCELLED is the payee's Refusal on disk; what the payee had taken already is PAID, and cancelled too late."""
    if outcome.result is Result.NOT_CHARGED and outcome.transfer is not None:
        facts = {"result": phrases.CANCELLED, "sale": views.transfer_facts(outcome.transfer)}
        ctx.emit(facts, phrases.CANCELLED)
        return
    _conclude(ctx, outcome)


def _error(outcome: Outcome) -> EcnyError | None:
    if outcome.result is Result.PAID:
        return None
    if outcome.result is Result.NOT_CHARGED:
        return outcome.why or OutOfRangeError("not charged")
    why = f" ({outcome.why.message})" if outcome.why is not None else ""
    sale = phrases.open_sale(outcome.sale.k, fen(outcome.sale.amount)) if outcome.sale else phrases.A_SALE_OPEN
    return OutcomeUnknownError(
        sale + why, next_step=f"{phrases.TAP_AGAIN}: `ecny pos resume`. It is charged at most once."
    )


def _transfer_error(outcome: TransferOutcome) -> EcnyError | None:
    if outcome.result is Result.PAID:
        return None
    if outcome.result is Result.NOT_CHARGED:
        return outcome.why or OutOfRangeError("not charged")
    transfer, why = outcome.transfer, outcome.why.message if outcome.why is not None else phrases.NOT_DECIDED
    if transfer is None:
        return OutcomeUnknownError(phrases.A_SALE_OPEN)
    kind, amount = transfer.kind.value, fen(transfer.amount)
    if outcome.result is Result.OPEN:
        return OutcomeUnknownError(
            phrases.outcome_open(kind, transfer.k, amount, why),
            next_step="Finish it: `ecny pos resume --sam READER`. No value is lost, and none moves twice.",
        )
    return OutcomeUnknownError(
        f"{phrases.open_transfer(kind, transfer.k, amount)} ({why})",
        next_step=f"{phrases.TAP_AGAIN}: `ecny pos resume --sam READER`. It is charged at most once.",
    )
