"""`ecny authority`: a root of trust for test set-ups; all it makes is marked as test, which production refuses."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from server.authority.authority import CERTIFICATE_FILE, Authority
from server.settings import system_clock
from wallet_core.cli import Context, common_options, read_bytes, suite_option, write_file
from wallet_core.ids import parse_id, short
from wallet_core.money import fen
from wallet_core.suites import Suite

DIRECTORY = "authority"
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def authority() -> None:
    """The central bank's part in a test set-up: certifies operators, issues test money."""


@authority.command()
@suite_option
@common_options
def init(ctx: Context, suite: Suite | None) -> None:
    """Make the root key and its certificate; one that is there is kept."""
    made = Authority.create(ctx.data / DIRECTORY, secrets.token_bytes, system_clock, suite)
    path = ctx.data / DIRECTORY / CERTIFICATE_FILE
    ctx.emit(
        {"authority": made.certificate.subject.hex(), "certificate": str(path), "test": made.certificate.test}
        | {"suite": made.certificate.suite.name.lower()},
        f"authority {short(made.certificate.subject)} (test)\n  certificate  {path}",
    )


@authority.command()
@click.option("--request", "request_file", type=_FILE, required=True, help="The operator's signed request.")
@click.option("--out", type=_FILE, required=True, help="Where to write its certificate.")
@common_options
def certify(ctx: Context, request_file: Path, out: Path) -> None:
    """Certify an operator for its signed request; the same key again gets the same certificate."""
    made = Authority(ctx.data / DIRECTORY).certify(read_bytes(request_file), system_clock)
    write_file(out, made.to_bytes())
    ctx.emit(
        {"operator": made.subject.hex(), "certificate": str(out), "expires": made.expires},
        f"certified operator {short(made.subject)}\n  certificate  {out}",
    )


@authority.command()
@click.option("--to", "purse", required=True, help="Id of the operator's purse, 64 hexadecimal digits.")
@click.option("--amount", type=click.IntRange(min=1), required=True, help="Fen.")
@click.option("--out", type=_FILE, required=True, help="Where to write the Issuance.")
@common_options
def issue(ctx: Context, purse: str, amount: int, out: Path) -> None:
    """Issue test money into an operator's purse. Each call issues anew."""
    signed = Authority(ctx.data / DIRECTORY).issue(parse_id(purse), amount)
    write_file(out, signed.to_bytes())
    serial = signed.message.serial
    ctx.emit(
        {"purse": purse, "amount": amount, "serial": serial, "hash": signed.hash.hex(), "issuance": str(out)},
        f"issued {fen(amount)} ({amount} fen) to purse {purse[:8]}, number {serial}\n  issuance  {out}",
    )
