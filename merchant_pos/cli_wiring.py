"""What the till's commands share: directory, journal, locks, readers, PINs, crash points. It decides nothing."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from merchant_pos import phrases
from merchant_pos.checkout import Checkout
from merchant_pos.identity import JOURNAL_FILE, Identity, load_identity
from merchant_pos.journal import Journal
from merchant_pos.ports import PayerCard, PinEntry, PurseSource, Step, SystemClock, no_step
from merchant_pos.sam_desk import SamDesk
from merchant_pos.succession import require_not_succeeded
from wallet_core.cli import Context, make_directory, read_secret
from wallet_core.errors import ReaderBusyError, StorageError

CRASH_VARIABLE: Final = "ECNY_CRASH_AT"

reader_option = click.option(
    "--reader", envvar="ECNY_READER", default="auto", show_default=True, help="Which card reader."
)
sam_option = click.option("--sam", envvar="ECNY_SAM", help="The reader with the merchant's SAM.")
pin_option = click.option(
    "--pin-file", type=click.Path(path_type=Path, allow_dash=True), help="The payer's PIN; - reads standard input."
)
tap_option = click.option(
    "--tap-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Wait for a card."
)
retap_option = click.option(
    "--retap-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Wait for the same card."
)
timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0.1), default=30.0, show_default=True, help="Seconds a try."
)


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


def till_directory(data: Path) -> Path:
    return data / "till"


@contextmanager
def open_journal(ctx: Context, identity: Identity) -> Iterator[Journal]:
    journal = Journal(till_directory(ctx.data) / JOURNAL_FILE, till=identity.id, now_ms=SystemClock().now_ms)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def alone(directory: Path, name: str) -> Iterator[None]:
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
def open_desk(ctx: Context) -> Iterator[tuple[Checkout, SamDesk]]:
    """The till's own checkout and the desk with its SAM, on one journal, alone."""
    directory = till_directory(ctx.data)
    identity = load_identity(directory)
    step = crash_hook()
    with alone(directory, "checkout"), open_journal(ctx, identity) as journal:
        require_not_succeeded(journal)
        desk = SamDesk(journal=journal, identity=identity, clock=SystemClock(), notify=ctx.say, step=step)

        def afterwards(card: PayerCard, purse: bytes) -> None:
            desk.afterwards(card, purse)

        checkout = Checkout(
            journal=journal,
            identity=identity,
            clock=SystemClock(),
            notify=ctx.say,
            step=step,
            afterwards=afterwards,
        )
        yield checkout, desk


def open_source(ctx: Context, reader: str) -> PurseSource:
    from merchant_pos.cards import open_source as source

    return source(reader, ctx.data, SystemClock())


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


def pins(pin_file: Path | None) -> PinEntry:
    """Read before the sale: a file that cannot be read must not stop it half-way."""
    return FilePin(read_secret(pin_file)) if pin_file is not None else PromptedPin()
