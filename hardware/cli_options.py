"""Options that the `ecny card` commands share."""

from __future__ import annotations

from pathlib import Path

import click

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
pin_option = click.option(
    "--pin-file",
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    help="The card's PIN; - reads standard input.",
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
