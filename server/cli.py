"""`ecny server`: set up an operator, run its settlement server, read its books."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path

import click

from server import logs
from server.cli_desk import DIRECTORY, open_parts
from server.installation import init as init_directory
from server.installation import install as install_directory
from server.installation import register_purse
from server.keyring import ADDRESS, ADMIN_TOKEN, DATABASE, OPERATOR_REQUEST, load_keyring
from server.ledger.report import LedgerReport, read_ledger
from server.load.issuance import take_in
from server.reports.cli import close_request_command
from server.risk.cli import COMMANDS, till_group
from server.runner import crash_point, serve
from server.settings import Settings, system_clock
from server.storage.sqlite import SqliteStorage
from wallet_core.cli import Context, common_options, read_bytes, suite_option, write_file
from wallet_core.errors import ConfigurationError, ExitCode
from wallet_core.ids import short
from wallet_core.money import fen
from wallet_core.suites import Suite

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def server() -> None:
    """The operator's settlement server (test money)."""


@server.command("init")
@suite_option
@common_options
def init_command(ctx: Context, suite: Suite | None) -> None:
    """Make the operator's keys and a request to the authority; what is there is kept."""
    directory = ctx.data / DIRECTORY
    init_directory(directory, secrets.token_bytes, suite)
    request, token = directory / OPERATOR_REQUEST, directory / ADMIN_TOKEN
    ctx.emit(
        {"request": str(request), "token_file": str(token)},
        f"operator key made\n  request for the authority  {request}\n  operator's token           {token}",
    )


@server.command("install")
@click.option("--certificate", type=_FILE, required=True, help="The operator's certificate from the authority.")
@click.option("--authority", type=_FILE, required=True, help="The authority's certificate.")
@common_options
def install_command(ctx: Context, certificate: Path, authority: Path) -> None:
    """Store the certificates, make the operator's purse, its policy and the database."""
    directory = ctx.data / DIRECTORY
    keyring = install_directory(directory, certificate, authority, secrets.token_bytes, system_clock)
    storage = SqliteStorage(directory / DATABASE)
    try:
        register_purse(storage, keyring)
    finally:
        storage.close()
    operator, purse = keyring.operator_certificate.subject, keyring.purse_certificate.subject
    ctx.emit(
        {"operator": operator.hex(), "purse": purse.hex(), "epoch": keyring.purse_certificate.epoch},
        f"installed operator {short(operator)}\n  purse  {purse.hex()}",
    )


@server.command("issuance")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@common_options
def issuance_command(ctx: Context, file: Path) -> None:
    """Take in an Issuance of the authority: value into the operator's purse. The same one again changes nothing."""
    directory = ctx.data / DIRECTORY
    keyring = load_keyring(directory)
    storage = SqliteStorage(directory / DATABASE)
    try:
        taken = take_in(storage, keyring.authority_certificate, read_bytes(file), now=system_clock())
    finally:
        storage.close()
    ctx.emit(
        {"purse": taken.purse.hex(), "serial": taken.serial, "amount": taken.amount},
        f"taken in: {fen(taken.amount)} ({taken.amount} fen), issuance {taken.serial}",
    )


@server.group("merchant")
def merchant_group() -> None:
    """Merchants and their enrolment codes."""


@merchant_group.command("add")
@click.argument("name")
@click.option("--code-out", type=_FILE, help="Write the one-time code to this file (owner only) and do not print it.")
@common_options
def merchant_add(ctx: Context, name: str, code_out: Path | None) -> None:
    """Sign a merchant up; its till enrols with the one-time code."""
    with open_parts(ctx) as parts:
        made = parts.tills.add_merchant(name, system_clock())
    facts: dict[str, object] = {"merchant": made.merchant, "name": name}
    if code_out is not None:
        write_file(code_out, made.code.encode() + b"\n", secret=True)
        ctx.emit(facts | {"code_file": str(code_out)}, f"merchant {made.merchant}  {name}\n  code in  {code_out}")
    else:
        ctx.emit(facts | {"code": made.code}, f"merchant {made.merchant}  {name}\n  one-time code  {made.code}")


@merchant_group.command("code")
@click.argument("merchant")
@click.option("--code-out", type=_FILE, help="Write the one-time code to this file (owner only) and do not print it.")
@common_options
def merchant_code(ctx: Context, merchant: str, code_out: Path | None) -> None:
    """Another one-time code, for the next till of a merchant, or one that takes another's place."""
    with open_parts(ctx) as parts:
        code = parts.tills.new_code(merchant, system_clock())
    if code_out is not None:
        write_file(code_out, code.encode() + b"\n", secret=True)
        ctx.emit({"merchant": merchant, "code_file": str(code_out)}, f"code in  {code_out}")
    else:
        ctx.emit({"merchant": merchant, "code": code}, f"one-time code  {code}")


@server.command("run")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8651, show_default=True, help="0 takes a free port.")
@click.option("--threads", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes that verify.")
@common_options
def run_command(ctx: Context, host: str, port: int, threads: int, workers: int) -> None:
    """Serve until SIGTERM or Ctrl-C. Logs go to standard error, one JSON object a line."""
    directory = ctx.data / DIRECTORY
    logs.configure()
    settings = replace(Settings.of_directory(directory), workers=workers, checkpoint=crash_point())

    def ready(url: str) -> None:
        write_file(directory / ADDRESS, url.encode() + b"\n")
        ctx.emit({"address": url}, f"listening on {url}")

    serve(settings, host, port, threads, ready)


@server.command("ledger")
@common_options
def ledger_command(ctx: Context) -> None:
    """The books: where all the money is; exit code 11 when a check fails."""
    database = ctx.data / DIRECTORY / DATABASE
    if not database.exists():
        raise ConfigurationError("there is no ledger here", next_step="Run `ecny server install` first.")
    storage = SqliteStorage(database)
    try:
        with storage.reading() as tx:
            report = read_ledger(tx)
    finally:
        storage.close()
    ctx.emit(report.facts(), _ledger_text(report))
    if not report.conserved:
        click.get_current_context().exit(ExitCode.STORAGE)


for command in COMMANDS:
    server.add_command(command)
till_group.add_command(close_request_command)


def _ledger_text(report: LedgerReport) -> str:
    """A table for people: totals, then each account that is not at 0."""
    totals = [
        ("issued", report.issued),
        ("operator purses", report.operator_purses),
        ("in flight", report.in_flight),
        ("cards (shadows)", report.cards),
        ("wallets", report.wallets),
        ("redeemed", report.redeemed),
        ("operator loss", report.loss),
    ]
    lines = [f"{name:<18}{amount:>14,} fen" for name, amount in totals]
    shown = [account for account in report.accounts if account.balance]
    lines += ["", *(f"  {account.name[:40]:<42}{account.balance:>14,} fen" for account in shown)]
    lines += [f"  {len(report.settled)} vouchers settled, {report.evidence} pairs of equivocating vouchers kept"]
    lines += [f"WRONG: {fault}" for fault in report.faults] or ["conserved: every transfer sums to zero"]
    return "\n".join(lines)
