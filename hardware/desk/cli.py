"""`ecny card desk`: the emulated cards on a page."""

from __future__ import annotations

from typing import Any, Final

import click

from hardware.emulator import vpcd
from hardware.emulator.cli import parse_address
from wallet_core.cli import Context, common_options

NO_READER: Final = "none"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 takes a free one.")
@click.option(
    "--vpcd",
    "address",
    default=f"{vpcd.HOST}:{vpcd.PORT}",
    show_default=True,
    metavar="HOST:PORT",
    help="vsmartcard's virtual reader, whose second slot is one port above; none looks for no reader.",
)
@common_options
def desk(ctx: Context, port: int, address: str) -> None:
    """Emulated cards on a page of 127.0.0.1: tear, look inside, trace, replay. Debug, insecure: test money, test keys.

    Until SIGTERM or Ctrl-C. The cards are kept in the data directory, under desk/.
    """
    # Flask and the web server are loaded by who opens a desk, and not by everybody who reads a card.
    from hardware.desk.runner import serve
    from hardware.desk.slots import Address

    where = None if address == NO_READER else Address(*parse_address(address))

    def ready(facts: dict[str, Any]) -> None:
        ctx.emit(facts, f"{facts['notice']}\nthe card desk is open: {facts['url']}\n  → Ctrl-C closes it.")

    serve(ctx.data, port, where, ready)
