"""Options that the `ecny card` commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from wallet_core.errors import UsageError
from wallet_core.money import MAX_MINOR_UNITS

F = TypeVar("F", bound=Callable[..., Any])

reader_option = click.option(
    "--reader",
    envvar="ECNY_READER",
    default="auto",
    show_default=True,
    help="auto, emulator[:DIR], or a PC/SC reader by part of its name.",
)
wait_option = click.option(
    "--wait-seconds", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Wait for a card that long."
)
amount_argument = click.argument("amount", metavar="AMOUNT_FEN", type=click.IntRange(1, MAX_MINOR_UNITS))


def pin_file_option(*, required: bool, what: str) -> Callable[[F], F]:
    """`--pin-file`; `what` is its help."""
    path = click.Path(path_type=Path, allow_dash=True)
    return click.option("--pin-file", required=required, type=path, help=what)


pin_option = pin_file_option(required=True, what="The card's PIN; - reads standard input.")
batch_key_option = click.option(
    "--batch-key-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="The card maker's key of this batch, 64 hexadecimal digits; without it the published one of test cards.",
)
token_option = click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="The operator's token; - reads standard input.",
)
server_option = click.option(
    "--server", "url", required=True, help="The operator's settlement server, such as http://127.0.0.1:8080"
)


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def parse_id(text: str, size: int, option: str) -> bytes:
    """An id or hash of `size` bytes, as it is printed; raises UsageError."""
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise UsageError(f"{option} is written as {2 * size} hexadecimal digits")
    return value
