"""`ecny pos`: the till on the command line. It wires keys, journal, reader and server together and decides nothing."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from merchant_pos import phrases, views
from merchant_pos.checkout import Checkout, Outcome
from merchant_pos.decisions import Result
from merchant_pos.identity import JOURNAL_FILE, Identity, load_identity
from merchant_pos.journal import Journal
from merchant_pos.ports import CardSource, PinEntry, Step, SystemClock, no_step
from merchant_pos.sales import Order
from wallet_core.certificates import Certificate
from wallet_core.cli import Context, common_options, make_directory, read_bytes, read_secret, report
from wallet_core.errors import (
    EcnyError,
    OutcomeUnknownError,
    OutOfRangeError,
    ReaderBusyError,
    StorageError,
    UsageError,
)
from wallet_core.money import Money, fen

CRASH_VARIABLE = "ECNY_CRASH_AT"
_ORDER_BYTES = 8

_reader = click.option("--reader", envvar="ECNY_READER", default="auto", show_default=True, help="Which card reader.")
_pin_file = click.option(
    "--pin-file", type=click.Path(path_type=Path, allow_dash=True), help="The card's PIN; - reads standard input."
)
_retap = click.option(
    "--retap-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Wait for the same card."
)


@click.group()
def pos() -> None:
    """The till: charge cards offline, settle when the server is there."""


@pos.command()
@click.option("--server", "url", required=True, help="The operator's settlement server, such as http://127.0.0.1:8080")
@click.option(
    "--code-file", required=True, type=click.Path(path_type=Path, allow_dash=True), help="The one-time code, or -."
)
@click.option("--authority", type=click.Path(path_type=Path), help="The authority's certificate, to believe no other.")
@click.option("--production", is_flag=True, help="Refuse test keys.")
@common_options
def enrol(ctx: Context, url: str, code_file: Path, authority: Path | None, production: bool) -> None:
    """Make the till's key and get it certified with a one-time code."""
    from merchant_pos import enrolment
    from merchant_pos.client import HttpServer

    pinned = Certificate.from_bytes(read_bytes(authority)) if authority else None
    directory = _directory(ctx)
    clock = SystemClock()
    with HttpServer(url) as server, _alone(directory, "checkout"):
        identity = enrolment.enrol(
            directory,
            server,
            read_secret(code_file),
            production=production,
            pinned_authority=pinned,
            entropy=os.urandom,
            now=clock.now_ms() // 1000,
            step=crash_hook(),
        )
    ctx.emit(views.identity_facts(identity), views.identity_text(identity))


@pos.command()
@click.argument("amount")
@click.option("--order", "reference", help="Your reference of this order (default: a random one).")
@click.option("--tap-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Wait for a card.")
@_reader
@_pin_file
@_retap
@common_options
def charge(
    ctx: Context,
    amount: str,
    reference: str | None,
    tap_seconds: float,
    reader: str,
    pin_file: Path | None,
    retap_seconds: float,
) -> None:
    """Charge AMOUNT (such as 68.00) to the card that is tapped."""
    money = Money.parse(amount)
    if money.minor < 1:
        raise UsageError("the amount is 0", next_step="Charge 0.01 or more.")
    order = Order(money.minor, reference if reference is not None else os.urandom(_ORDER_BYTES).hex())
    pins = _pins(pin_file)
    with _checkout(ctx) as checkout:
        checkout.require_nothing_open()
        outcome = checkout.charge(
            order, _source(ctx, reader), pins, tap_seconds=tap_seconds, retap_seconds=retap_seconds
        )
    _conclude(ctx, outcome)


@pos.command()
@_reader
@_pin_file
@_retap
@common_options
def resume(ctx: Context, reader: str, pin_file: Path | None, retap_seconds: float) -> None:
    """Finish the open sale: tap the same card again."""
    pins = _pins(pin_file)
    with _checkout(ctx) as checkout:
        if checkout.open_sale() is None:
            ctx.emit({"result": None, "sale": None}, phrases.NOTHING_OPEN)
            return
        outcome = checkout.resume(_source(ctx, reader), pins, retap_seconds=retap_seconds)
    _conclude(ctx, outcome)


@pos.command()
@click.option("--yes", is_flag=True, help="I have read the warning.")
@common_options
def cancel(ctx: Context, yes: bool) -> None:
    """Give the open sale up for good."""
    with _checkout(ctx) as checkout:
        if checkout.open_sale() is None:
            ctx.emit({"result": None, "sale": None}, phrases.NOTHING_OPEN)
            return
        click.echo(phrases.CANCEL_WARNING, err=True)
        if not yes and not (sys.stdin.isatty() and click.confirm("Cancel it?", err=True)):
            raise UsageError("the sale is still open", next_step="Cancel it with --yes once you have read the warning.")
        sale = checkout.cancel()
    if sale is not None:
        ctx.emit({"result": phrases.CANCELLED, "sale": views.sale_facts(sale)}, phrases.CANCELLED)


@pos.command()
@common_options
def status(ctx: Context) -> None:
    """What is open, what waits to be sent, what is settled."""
    identity = load_identity(_directory(ctx))
    with _journal(ctx, identity) as journal:
        facts = views.status_facts(identity, journal)
    ctx.emit(facts, views.status_text(facts))


@pos.command()
@click.option("--batch-size", type=click.IntRange(1, 10_000), default=500, show_default=True, help="Vouchers a batch.")
@click.option("--attempts", type=click.IntRange(min=1), default=5, show_default=True, help="Tries for each batch.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds a try.")
@common_options
def sync(ctx: Context, batch_size: int, attempts: int, timeout: float) -> None:
    """Send what is not settled yet to the server."""
    from merchant_pos.client import HttpServer
    from merchant_pos.sync import Sync

    identity = load_identity(_directory(ctx))
    with (
        _alone(_directory(ctx), "sync"),
        _journal(ctx, identity) as journal,
        HttpServer(identity.server, timeout_s=timeout) as server,
    ):
        work = Sync(
            journal=journal,
            identity=identity,
            server=server,
            clock=SystemClock(),
            rng=random.Random(),  # noqa: S311 - spreads retries in time, nothing secret
            notify=ctx.say,
            step=crash_hook(),
        )
        done = work.run(batch_size=batch_size, attempts=attempts)
    ctx.emit(views.report_facts(done), views.report_text(done))


@pos.command()
@common_options
def history(ctx: Context) -> None:
    """Every sale, oldest first."""
    identity = load_identity(_directory(ctx))
    with _journal(ctx, identity) as journal:
        sales = journal.sales()
    facts = {"till": identity.id.hex(), "sales": [views.sale_facts(sale) for sale in sales]}
    ctx.emit(facts, views.history_text(sales))


# Wiring -------------------------------------------------------------------------------------------------------------


def crash_hook() -> Step:
    """For tests: ECNY_CRASH_AT=name or name:i ends this process by SIGKILL there, the i-th time (from 1).

    The only place that reads the variable; the names are in docs/spec/till.md, *Crash points*.
    """
    wanted = os.environ.get(CRASH_VARIABLE)
    if not wanted:
        return no_step
    name, _, times = wanted.partition(":")
    left = int(times or 1)

    def step(passed: str) -> None:
        nonlocal left
        left -= passed == name
        if left == 0 and passed == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return step


def _directory(ctx: Context) -> Path:
    return ctx.data / "till"


@contextmanager
def _journal(ctx: Context, identity: Identity) -> Iterator[Journal]:
    journal = Journal(_directory(ctx) / JOURNAL_FILE, till=identity.id, now_ms=SystemClock().now_ms)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def _alone(directory: Path, name: str) -> Iterator[None]:
    """One process at a time: two checkouts would share a reader, two syncs a batch. The lock ends with the process."""
    try:
        make_directory(directory, mode=0o700)
        descriptor = os.open(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise StorageError(f"cannot use {directory}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ReaderBusyError(
            f"another {name} of this till is under way", next_step="Let it end, or end it, then try again."
        ) from None
    finally:
        os.close(descriptor)


@contextmanager
def _checkout(ctx: Context) -> Iterator[Checkout]:
    identity = load_identity(_directory(ctx))
    with _alone(_directory(ctx), "checkout"), _journal(ctx, identity) as journal:
        yield Checkout(journal=journal, identity=identity, clock=SystemClock(), notify=ctx.say, step=crash_hook())


def _source(ctx: Context, reader: str) -> CardSource:
    from merchant_pos.cards import open_source

    return open_source(reader, ctx.data, SystemClock())


class FilePin:
    """The PIN of --pin-file, offered once: a wrong one must not use up the card's tries."""

    def __init__(self, pin: str) -> None:
        self._pin: str | None = pin

    def pin(self, tries_left: int) -> str | None:
        pin, self._pin = (self._pin if tries_left else None), None
        return pin


class PromptedPin:
    """Asks at the terminal, without an echo; nobody there or Ctrl-C is *no PIN*."""

    def pin(self, tries_left: int) -> str | None:
        if not sys.stdin.isatty():
            return None
        try:
            answer: str = click.prompt(
                f"{phrases.PIN_PROMPT} ({phrases.pin_tries(tries_left)})", hide_input=True, err=True
            )
        except click.Abort:
            return None
        return answer


def _pins(pin_file: Path | None) -> PinEntry:
    """Read before the sale: a file that cannot be read must not stop it half-way."""
    return FilePin(read_secret(pin_file)) if pin_file is not None else PromptedPin()


def _conclude(ctx: Context, outcome: Outcome) -> None:
    """The result on standard output; what is wrong on standard error, with its exit code."""
    facts = {"result": outcome.result.value, "sale": views.sale_facts(outcome.sale) if outcome.sale else None}
    if ctx.json:
        ctx.emit(facts, "")
    error = _error(outcome)
    if error is not None:
        report(error, as_json=ctx.json)
        sys.exit(error.exit_code)


def _error(outcome: Outcome) -> EcnyError | None:
    if outcome.result is Result.PAID:
        return None
    if outcome.result is Result.NOT_CHARGED:
        return outcome.why or OutOfRangeError("not charged")
    why = f" ({outcome.why.message})" if outcome.why is not None else ""
    sale = phrases.open_sale(outcome.sale.k, fen(outcome.sale.amount)) if outcome.sale else phrases.A_SALE_OPEN
    return OutcomeUnknownError(
        sale + why, next_step=f"{phrases.TAP_AGAIN}: `ecny pos resume`. It is charged at most once."
    )
