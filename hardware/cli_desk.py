"""`ecny card personalise | load`: the operator's card desk, with the settlement server over HTTP."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from hardware.card_views import load_text
from hardware.cli_options import milliseconds, pin_option, reader_option, server_option, token_option, wait_option
from hardware.taps import tap
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from wallet_core.cli import Context, common_options, read_secret
from wallet_core.errors import ConfigurationError, OutcomeUnknownError
from wallet_core.ids import short
from wallet_core.money import MAX_MINOR_UNITS

INTENTS_DIRECTORY = "loads"


@click.command()
@server_option
@token_option
@pin_option
@click.option(
    "--batch-key-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The card maker's key of this batch, 64 hexadecimal digits; without it the published one of test cards.",
)
@reader_option
@wait_option
@common_options
def personalise(
    ctx: Context,
    url: str,
    token_file: Path,
    pin_file: Path,
    batch_key_file: Path | None,
    reader: str,
    wait_seconds: float,
) -> None:
    """Make a blank card an active one: it makes its own key, the operator certifies it, the rest goes in encrypted."""
    from hardware.operator_client import OperatorClient
    from hardware.personalisation import personalise as run

    pin, token = read_secret(pin_file), read_secret(token_file)
    batch_key = _batch_key(batch_key_file)
    with OperatorClient(url, token) as server, tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        fci = run(
            wallet,
            lambda serial: transport_keys(batch_key, serial, production=batch_key_file is not None),
            secrets.token_bytes(8),
            server.certify,
            pin,
        )
        serial = wallet.serial()
    facts = {"purse": fci.purse_id.hex(), "serial": serial.hex(), "lifecycle": fci.lifecycle.name.lower()}
    ctx.emit(facts, f"card {short(fci.purse_id)} is active (serial {serial.hex()})")


def _batch_key(path: Path | None) -> bytes:
    if path is None:
        return TEST_BATCH_KEY
    try:
        return bytes.fromhex(read_secret(path))
    except ValueError:
        raise ConfigurationError("a batch key is written as 64 hexadecimal digits") from None


@click.command()
@click.argument("amount", metavar="AMOUNT_FEN", type=click.IntRange(1, MAX_MINOR_UNITS))
@server_option
@token_option
@reader_option
@wait_option
@common_options
def load(ctx: Context, amount: int, url: str, token_file: Path, reader: str, wait_seconds: float) -> None:
    """Load AMOUNT_FEN fen onto the card; when interrupted, run it again: the amount is loaded once."""
    from hardware.loading import Intents, load_card
    from hardware.operator_client import OperatorClient

    token = read_secret(token_file)
    intents = Intents(ctx.data / INTENTS_DIRECTORY, lambda: secrets.token_hex(16))
    with OperatorClient(url, token) as server, tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        try:
            done = load_card(wallet, server, intents, amount)
        except OutcomeUnknownError as exc:
            raise OutcomeUnknownError(exc.message, next_step="Run the same command again: it is loaded once.") from exc
    facts = {
        "purse": done.after.purse_id.hex(),
        "loaded": done.after.balance - done.before.balance,
        "own": done.own,
        "elsewhere": list(done.elsewhere),
        "balance": done.after.balance,
        "returned": done.returned,
        "refused": done.stuck,
    }
    ctx.emit(facts, load_text(done, amount))
