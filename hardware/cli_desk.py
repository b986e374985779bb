"""`ecny card personalise | load | unload | block | terminate`: the operator's card desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from hardware.card_views import load_text
from hardware.cli_options import (
    amount_argument,
    batch_key_option,
    milliseconds,
    parse_id,
    pin_file_option,
    pin_option,
    reader_option,
    server_option,
    token_option,
    wait_option,
)
from hardware.driver import HardWallet
from hardware.secure_channel import StaticKeys
from hardware.taps import tap
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from wallet_core.cli import Context, common_options, read_secret
from wallet_core.errors import ConfigurationError, OutcomeUnknownError
from wallet_core.ids import ID_SIZE, short
from wallet_core.money import fen
from wallet_core.purse.state import Lifecycle

INTENTS_DIRECTORY = "loads"
Step = Callable[[HardWallet, Callable[[bytes], StaticKeys], bytes], None]


@click.command()
@server_option
@token_option
@pin_option
@batch_key_option
@click.option("--merchant", default="", metavar="ID", help="Of a merchant's SAM: whose it is.")
@click.option("--replaces", default="", metavar="ID", help="The id of the lost or broken card whose place it takes.")
@reader_option
@wait_option
@common_options
def personalise(
    ctx: Context,
    url: str,
    token_file: Path,
    pin_file: Path,
    batch_key_file: Path | None,
    merchant: str,
    replaces: str,
    reader: str,
    wait_seconds: float,
) -> None:
    """Make a blank card an active one: it makes its own key, the operator certifies it, the rest goes in encrypted."""
    from hardware.operator_client import OperatorClient
    from hardware.personalisation import personalise as run

    pin, token = read_secret(pin_file), read_secret(token_file)
    keys_for = _keys_for(batch_key_file)
    old = parse_id(replaces, ID_SIZE, "--replaces") if replaces else b""
    with OperatorClient(url, token) as server, tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        certify = partial(server.certify, merchant=merchant, replaces=old)
        fci = run(wallet, keys_for, secrets.token_bytes(8), certify, pin, suite=server.suite())
        serial = wallet.serial()
    facts = {"purse": fci.purse_id.hex(), "serial": serial.hex(), "lifecycle": fci.lifecycle.name.lower()}
    ctx.emit(facts, f"card {short(fci.purse_id)} is active (serial {serial.hex()})")


def _keys_for(path: Path | None) -> Callable[[bytes], StaticKeys]:
    """The transport keys of a card by its serial number, from the card maker's key of its batch."""
    try:
        batch_key = TEST_BATCH_KEY if path is None else bytes.fromhex(read_secret(path))
    except ValueError:
        raise ConfigurationError("a batch key is written as 64 hexadecimal digits") from None
    return lambda serial: transport_keys(batch_key, serial, production=path is not None)


@click.command()
@amount_argument
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


@click.command()
@amount_argument
@server_option
@token_option
@pin_file_option(required=False, what="The card's PIN, where it wants it; - reads standard input.")
@reader_option
@wait_option
@common_options
def unload(
    ctx: Context, amount: int, url: str, token_file: Path, pin_file: Path | None, reader: str, wait_seconds: float
) -> None:
    """Pay AMOUNT_FEN fen out of the card; when interrupted, run it again: the amount is paid out once."""
    from hardware.operator_client import OperatorClient
    from hardware.unloading import unload_purse

    token = read_secret(token_file)
    pin = None if pin_file is None else read_secret(pin_file)
    with OperatorClient(url, token) as server, tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        try:
            done = unload_purse(wallet, server, amount, ask_pin=lambda: pin)
        except OutcomeUnknownError as exc:
            raise OutcomeUnknownError(
                exc.message, next_step="Run the same command again: it is paid out once."
            ) from exc
    facts = {
        "amount": done.amount,
        "finished": list(done.finished),
        "receipt": None if done.receipt is None else done.receipt.hex(),
        "acknowledged": done.acknowledged,
    }
    lines = [f"paid out {fen(done.amount)}"]
    if done.receipt is None:
        lines = [
            f"the card has paid {fen(done.amount)}, and it is paid out when the card's report shows what it received"
        ]
        lines += ["  → Run `ecny card report --pin-file`; do not unload this amount again."]
    lines += [f"  and {fen(one)} of an interrupted unload" for one in done.finished]
    if done.receipt is not None and not done.acknowledged:
        lines.append("  the card has not heard it yet: it does with its next report")
    ctx.emit(facts, "\n".join(lines))


@click.command()
@batch_key_option
@reader_option
@wait_option
@common_options
def block(ctx: Context, batch_key_file: Path | None, reader: str, wait_seconds: float) -> None:
    """Active → blocked, for good: no new payments; what was paid or asked for can still be finished and reported."""
    from hardware.personalisation import block as run

    _step(ctx, run, Lifecycle.BLOCKED, batch_key_file, reader, wait_seconds)


@click.command()
@batch_key_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@reader_option
@wait_option
@common_options
def terminate(ctx: Context, batch_key_file: Path | None, yes: bool, reader: str, wait_seconds: float) -> None:
    """Any state → terminated, for good: the card says nothing of value any more. Report and block it first."""
    from hardware.personalisation import terminate as run

    if not yes:
        click.confirm(
            "A terminated card shows no voucher and takes no value back, for good. Terminate it?", abort=True, err=True
        )
    _step(ctx, run, Lifecycle.TERMINATED, batch_key_file, reader, wait_seconds)


def _step(
    ctx: Context, run: Step, target: Lifecycle, batch_key_file: Path | None, reader: str, wait_seconds: float
) -> None:
    keys_for = _keys_for(batch_key_file)
    with tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        fci = wallet.select()
        if fci.lifecycle is not target:  # done before, and the answer was lost: a terminated card opens no channel
            run(wallet, keys_for, secrets.token_bytes(8))
            fci = wallet.select()
    ctx.emit(
        {"purse": fci.purse_id.hex(), "lifecycle": fci.lifecycle.name.lower(), "balance": fci.balance},
        f"card {short(fci.purse_id)} is {fci.lifecycle.name.lower()}, balance {fen(fci.balance)}",
    )
