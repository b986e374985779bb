"""`ecny card transfer | report | refuse`: a transfer between two cards, and the way back online."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hardware.card_views import report_facts, report_text, transfer_facts, transfer_text
from hardware.cli_options import (
    amount_argument,
    milliseconds,
    parse_id,
    pin_file_option,
    reader_option,
    server_option,
    wait_option,
)
from hardware.taps import tap
from wallet_core.cli import Context, common_options, read_secret
from wallet_core.errors import CardError, OutcomeUnknownError, TransportError
from wallet_core.ids import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGAIN = "Put both cards back and run the same command again: the amount moves once."
_REPORT_AGAIN = "Put the card back and run the same command again: nothing is done twice."


@contextlib.contextmanager
def _again(next_step: str) -> Iterator[None]:
    try:
        yield
    except OutcomeUnknownError as exc:
        raise OutcomeUnknownError(exc.message, next_step=next_step) from exc


@click.command()
@amount_argument
@click.option("--from", "payer", required=True, metavar="READER", help="The reader with the card that pays.")
@click.option("--to", "payee", required=True, metavar="READER", help="The reader with the card that is paid.")
@click.option("--order", default="", help="Your reference: the same amount under the same one moves once.")
@pin_file_option(required=False, what="The paying card's PIN, where it wants it; - reads standard input.")
@wait_option
@common_options
def transfer(
    ctx: Context, amount: int, payer: str, payee: str, order: str, pin_file: Path | None, wait_seconds: float
) -> None:
    """Move AMOUNT_FEN fen from one card to another, both offline; what is open between them is finished first."""
    import hashlib

    from hardware.purse_transfer import transfer as move

    pin = None if pin_file is None else read_secret(pin_file)
    order_hash = hashlib.sha256(order.encode()).digest() if order else None
    wait_ms = milliseconds(wait_seconds)
    with tap(payer, ctx.data, wait_ms=wait_ms) as source, tap(payee, ctx.data, wait_ms=wait_ms) as target:
        with _again(_AGAIN):
            done = move(source, target, amount, order_hash, ask_pin=lambda: pin)
        try:
            left = target.select()
        except (TransportError, CardError):  # it has moved: a card that is taken away now is no reason to move it again
            left = None
    facts = transfer_facts(done, left)
    ctx.emit(facts, transfer_text(done, left))


@click.command()
@server_option
@pin_file_option(required=False, what="The card's PIN: every voucher is handed in; - reads standard input.")
@reader_option
@wait_option
@common_options
def report(ctx: Context, url: str, pin_file: Path | None, reader: str, wait_seconds: float) -> None:
    """Bring the card online: its limits count anew, slots become free, what was refused comes back."""
    from hardware.operator_client import OperatorClient
    from hardware.reporting import report_purse

    pin = None if pin_file is None else read_secret(pin_file)
    with (
        OperatorClient(url) as server,
        tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet,
        _again(_REPORT_AGAIN),
    ):
        done = report_purse(wallet, server, pin)
    ctx.emit(report_facts(done), report_text(done))


@click.command()
@click.option("--request", "request_hash", metavar="HASH", help="H(Request), where several are open.")
@server_option
@reader_option
@wait_option
@common_options
def refuse(ctx: Context, request_hash: str | None, url: str, reader: str, wait_seconds: float) -> None:
    """Give up a Request that this card has open, for good, and hand in its Refusal: who paid it gets the value back."""
    from hardware.operator_client import OperatorClient
    from hardware.reporting import abandon

    named = None if request_hash is None else parse_id(request_hash, HASH_SIZE, "--request")
    with (
        OperatorClient(url) as server,
        tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet,
        _again(_REPORT_AGAIN),
    ):
        done = abandon(wallet, server, named)
    given_up = None if done.request_hash is None else done.request_hash.hex()
    lines = [f"refused {given_up[:8]}" if given_up else "no Request is open"]
    lines += [f"  Refusal handed in: {status}" for status in done.statuses]
    ctx.emit({"refused": given_up, "statuses": list(done.statuses)}, "\n".join(lines))
