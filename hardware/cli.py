"""`ecny card`: hard wallets, real and emulated, on the command line."""

from __future__ import annotations

from pathlib import Path

import click

from hardware.card_views import info_facts, info_text, voucher_facts, vouchers_text
from hardware.cli_desk import block, load, personalise, terminate, unload
from hardware.cli_offline import refuse, report, transfer
from hardware.cli_options import milliseconds, pin_option, reader_option, wait_option
from hardware.cli_tap_time import tap_time
from hardware.cli_tools import apdu, readers, trace
from hardware.conformance.cli import conform
from hardware.desk.cli import desk
from hardware.emulator.cli import emulate, fault, new
from hardware.taps import tap
from wallet_core.cli import Context, common_options, read_secret


@click.group()
def card() -> None:
    """Hard wallets: make, personalise, load, look at. Test money."""


_DESK = (new, personalise, load, unload, transfer, report, refuse, block, terminate)
for _command in (*_DESK, readers, apdu, trace, tap_time, emulate, fault, desk, conform):
    card.add_command(_command)


@card.command()
@reader_option
@wait_option
@common_options
def info(ctx: Context, reader: str, wait_seconds: float) -> None:
    """What the card tells anyone: state, counters, balance, policy, slots."""
    with tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        facts = info_facts(wallet)
    ctx.emit(facts, info_text(facts))


@card.command()
@pin_option
@reader_option
@wait_option
@common_options
def vouchers(ctx: Context, pin_file: Path, reader: str, wait_seconds: float) -> None:
    """The vouchers in the card's slots, oldest first; whom it paid is for the holder of the PIN only."""
    pin = read_secret(pin_file)
    with tap(reader, ctx.data, wait_ms=milliseconds(wait_seconds)) as wallet:
        wallet.select()
        states = {slot.n: slot.state for slot in wallet.slots()}
        wallet.verify_pin(pin)
        found = [voucher_facts(one, states) for one in wallet.vouchers()]
    ctx.emit({"vouchers": found}, vouchers_text(found))
