"""`ecny server till close-request`: the operator says for a dead till that a sale will not be credited."""

from __future__ import annotations

from pathlib import Path

import click

from server.app import Parts
from server.settings import Settings, system_clock
from wallet_core.cli import Context, common_options, write_file
from wallet_core.errors import UsageError
from wallet_core.ids import HASH_SIZE, ID_SIZE

DIRECTORY = "server"


@click.command("close-request")
@click.argument("till")
@click.argument("request_hash")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the signed Closing to this file.")
@common_options
def close_request_command(ctx: Context, till: str, request_hash: str, out: Path | None) -> None:
    """Close one Request of a dead till that will not be credited: its card gets the value back with its next report."""
    till_id, request = _octets("TILL", till, ID_SIZE), _octets("REQUEST_HASH", request_hash, HASH_SIZE)
    parts = Parts.of(Settings.of_directory(ctx.data / DIRECTORY))
    try:
        closing = parts.closings.close(till_id, request, system_clock())
    finally:
        parts.close()
    facts = {"till": till, "request": request_hash, "closing": closing.hex()}
    if out is not None:
        write_file(out, closing)
        facts["file"] = str(out)
    ctx.emit(facts, f"closed: request {request_hash[:8]} of till {till[:8]} will not be credited")


def _octets(name: str, text: str, size: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise UsageError(f"{name} is {2 * size} hexadecimal digits")
    return value
