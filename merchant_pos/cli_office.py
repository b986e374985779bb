"""`ecny pos enrol | status | sync | history | report`: the till and its operator's server, and what is on disk."""

from __future__ import annotations

import os
import random
from contextlib import suppress
from pathlib import Path

import click

from merchant_pos import views
from merchant_pos.cli_wiring import (
    alone,
    crash_hook,
    open_journal,
    pin_option,
    reader_option,
    sam_option,
    tap_option,
    till_directory,
    timeout_option,
)
from merchant_pos.identity import JOURNAL_FILE, Identity, load_identity, renew_operator
from merchant_pos.journal import Journal
from merchant_pos.ports import SystemClock
from merchant_pos.succession import Inherited, Predecessor, require_not_succeeded
from wallet_core.certificates import Certificate
from wallet_core.cli import Context, common_options, read_bytes, read_secret
from wallet_core.errors import EcnyError, OutcomeUnknownError, ServerUnreachableError, UsageError


@click.command()
@click.option("--server", "url", required=True, help="The operator's settlement server, such as http://127.0.0.1:8080")
@click.option(
    "--code-file", required=True, type=click.Path(path_type=Path, allow_dash=True), help="The one-time code, or -."
)
@click.option("--authority", type=click.Path(path_type=Path), help="The authority's certificate, to believe no other.")
@click.option("--production", is_flag=True, help="Refuse test keys.")
@click.option(
    "--succeeds",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="OLD_DATA_DIR",
    help="Take over from the till in this data directory what it has not settled.",
)
@common_options
def enrol(
    ctx: Context, url: str, code_file: Path, authority: Path | None, production: bool, succeeds: Path | None
) -> None:
    """Make the till's key and get it certified with a one-time code."""
    pinned = Certificate.from_bytes(read_bytes(authority)) if authority else None
    if succeeds is None:
        identity, came = _enrol(ctx, url, code_file, pinned, production, None)
    else:
        old = till_directory(succeeds)
        if old.resolve() == till_directory(ctx.data).resolve():
            raise UsageError(
                "a till cannot succeed itself", next_step="Name another data directory for the new one: --data."
            )
        with alone(old, "checkout"), alone(old, "sync"):
            predecessor = Predecessor(old, SystemClock().now_ms)
            try:
                identity, came = _enrol(ctx, url, code_file, pinned, production, predecessor)
                predecessor.retire(identity)
            finally:
                predecessor.close()
    facts = views.identity_facts(identity) | views.inherited_facts(came)
    ctx.emit(facts, "\n".join((views.identity_text(identity), *views.inherited_lines(came))))


def _enrol(
    ctx: Context,
    url: str,
    code_file: Path,
    pinned: Certificate | None,
    production: bool,
    predecessor: Predecessor | None,
) -> tuple[Identity, Inherited | None]:
    """Enrol, and take over what the predecessor left before the new till counts as enrolled."""
    from merchant_pos import enrolment
    from merchant_pos.client import HttpServer

    directory, clock, step = till_directory(ctx.data), SystemClock(), crash_hook()
    came: list[Inherited] = []

    def take_over(identity: Identity) -> None:
        if predecessor is None:
            return
        journal = Journal(directory / JOURNAL_FILE, till=identity.id, now_ms=clock.now_ms)
        try:
            came.append(predecessor.hand_over(identity, journal))
        finally:
            journal.close()
        step("inherited")

    with HttpServer(url) as server, alone(directory, "checkout"):
        identity = enrolment.enrol(
            directory,
            server,
            read_secret(code_file),
            production=production,
            pinned_authority=pinned,
            entropy=os.urandom,
            now=clock.now_ms() // 1000,
            step=step,
            succeeds=predecessor.identity.id if predecessor is not None else None,
            before_enrolled=take_over,
            suite=pinned.suite if pinned is not None else server.suite(),
        )
    return identity, came[0] if came else None


@click.command()
@common_options
def status(ctx: Context) -> None:
    """What is open, what waits to be sent, what is settled."""
    identity = load_identity(till_directory(ctx.data))
    with open_journal(ctx, identity) as journal:
        facts = views.status_facts(identity, journal)
    ctx.emit(facts, views.status_text(facts))


@click.command()
@click.option("--batch-size", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Vouchers a batch.")
@click.option("--attempts", type=click.IntRange(min=1), default=5, show_default=True, help="Tries for each batch.")
@timeout_option
@common_options
def sync(ctx: Context, batch_size: int, attempts: int, timeout: float) -> None:
    """Send what is not settled yet to the server, and fetch whom it has revoked."""
    from merchant_pos.client import HttpServer
    from merchant_pos.sync import Sync
    from merchant_pos.upkeep import Upkeep

    directory = till_directory(ctx.data)
    identity = load_identity(directory)
    step = crash_hook()
    with (
        alone(directory, "sync"),
        open_journal(ctx, identity) as journal,
        HttpServer(identity.server, timeout_s=timeout) as server,
    ):
        require_not_succeeded(journal)
        clock = SystemClock()
        work = Sync(
            journal=journal,
            identity=identity,
            server=server,
            clock=clock,
            rng=random.Random(),  # noqa: S311 - spreads retries in time, nothing secret
            notify=ctx.say,
            step=step,
        )
        upkeep = Upkeep(journal=journal, identity=identity, server=server, clock=clock, step=step)
        try:
            done = work.run(batch_size=batch_size, attempts=attempts)
        except ServerUnreachableError:
            raise
        except EcnyError:
            with suppress(EcnyError):  # a deposit that is refused keeps no evidence and no revocation back
                upkeep.run()
            raise
        kept = upkeep.run()
        if kept.renewed is not None:
            renew_operator(directory, identity, kept.renewed)
            step("renewed")
    ctx.emit(views.report_facts(done) | views.upkeep_facts(kept), views.report_text(done, kept))


@click.command()
@common_options
def history(ctx: Context) -> None:
    """Every sale and refund, oldest first."""
    identity = load_identity(till_directory(ctx.data))
    with open_journal(ctx, identity) as journal:
        facts = views.history_facts(identity, journal)
        text = views.history_text(journal)
    ctx.emit(facts, text)


@click.command()
@reader_option
@sam_option
@pin_option
@tap_option
@timeout_option
@common_options
def report(
    ctx: Context, reader: str, sam: str | None, pin_file: Path | None, tap_seconds: float, timeout: float
) -> None:
    """Bring the card online, or with --sam the SAM: its report to the operator, grant and orders back."""
    from hardware.card_views import report_facts, report_text
    from hardware.taps import tap
    from merchant_pos.reporting import TillDesk
    from merchant_pos.reporting import report as run

    pin = read_secret(pin_file) if pin_file is not None else None
    directory = till_directory(ctx.data)
    identity = load_identity(directory)
    with (
        alone(directory, "checkout"),
        open_journal(ctx, identity) as journal,
        TillDesk(identity.server, journal=journal, timeout_s=timeout, step=crash_hook()) as desk,
        tap(sam or reader, ctx.data, wait_ms=int(tap_seconds * 1000)) as wallet,
    ):
        try:
            done = run(wallet, desk, identity, journal, pin)
        except OutcomeUnknownError as exc:
            again = "Put it back and run the same command again: nothing is done twice."
            raise OutcomeUnknownError(exc.message, next_step=again) from exc
    ctx.emit(report_facts(done), report_text(done))


OFFICE = (enrol, status, sync, history, report)
