"""`ecny server till close-request`: the operator says for a dead till that a sale will not be credited."""

from __future__ import annotations

from pathlib import Path

import click

from server.cli_desk import octets, open_parts
from server.settings import system_clock
from wallet_core.cli import Context, common_options, write_file


@click.command("close-request")
@click.argument("till")
@click.argument("request_hash")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the signed Closing to this file.")
@common_options
def close_request_command(ctx: Context, till: str, request_hash: str, out: Path | None) -> None:
    """Close one Request of a dead till that will not be credited: its card gets the value back with its next report."""
    till_id, request = octets("TILL", till), octets("REQUEST_HASH", request_hash)
    with open_parts(ctx) as parts:
        closing = parts.closings.close(till_id, request, system_clock())
    facts = {"till": till, "request": request_hash, "closing": closing.hex()}
    if out is not None:
        write_file(out, closing)
        facts["file"] = str(out)
    ctx.emit(facts, f"closed: request {request_hash[:8]} of till {till[:8]} will not be credited")
