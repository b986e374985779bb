"""`ecny card new | emulate | fault`: emulated cards, for development and tests."""

from __future__ import annotations

import contextlib
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import click

from hardware.data_objects import SERIAL_SIZE
from hardware.emulator import faults, vpcd
from hardware.emulator.card import EmulatedCard, PlannedFaults
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Outcome
from hardware.emulator.in_reader import create_card, has_card, open_card
from hardware.emulator.issuer import make_ready
from hardware.emulator.profiles import (
    DEFAULT_READY,
    PROFILES,
    READY_PROFILES,
    find_profile,
    find_ready,
    seed_number,
    seed_serial,
)
from hardware.instructions import Ins
from hardware.javacard import in_reader as javacard
from hardware.javacard.card import JavaCard
from hardware.taps import card_directory
from wallet_core.cli import Context, common_options
from wallet_core.errors import ConfigurationError, NoCardError, UsageError

Card = EmulatedCard | JavaCard


@click.command()
@click.option("--serial", metavar="HEX16", help="Serial number, 16 hexadecimal digits; without it a random one.")
@click.option("--seed", metavar="TEXT", help="Makes the card's randomness repeatable: for tests.")
@click.option("--profile", default="hk-visitor", show_default=True, type=click.Choice(sorted(PROFILES)))
@click.option(
    "--card",
    "kind",
    default="emulator",
    show_default=True,
    type=click.Choice(["emulator", javacard.SCHEME]),
    help="The emulator, or the applet on a simulated Java Card (needs Java).",
)
@common_options
def new(ctx: Context, serial: str | None, seed: str | None, profile: str, kind: str) -> None:
    """Make a blank emulated card in the data directory. Its keys lie there in the clear: test money only."""
    number = secrets.randbits(128) if seed is None else seed_number(seed)
    directory, its_serial = card_directory(ctx.data), _serial(serial, seed)
    if javacard.has_card(directory):
        raise ConfigurationError(f"{directory} holds a card already", next_step="Choose another directory.")
    create = javacard.create_card if kind == javacard.SCHEME else create_card
    create(directory, find_profile(profile), its_serial, number)
    shown = {"directory": str(directory), "serial": its_serial.hex(), "profile": profile, "card": kind}
    what = "blank Java Card" if kind == javacard.SCHEME else "blank card"
    ctx.emit(shown, f"{what} {its_serial.hex()} ({profile}) in {directory}")


def _serial(text: str | None, seed: str | None) -> bytes:
    if text is None:
        if seed is None:
            return secrets.token_bytes(SERIAL_SIZE)
        return seed_serial(seed)
    try:
        serial = bytes.fromhex(text)
    except ValueError:
        serial = b""
    if len(serial) != SERIAL_SIZE:
        raise UsageError(f"a serial number has {2 * SERIAL_SIZE} hexadecimal digits")
    return serial


@click.command()
@click.option("--vpcd", "address", default=f"{vpcd.HOST}:{vpcd.PORT}", show_default=True, metavar="HOST:PORT")
@click.option(
    "--profile",
    type=click.Choice(list(READY_PROFILES)),
    help="Instead of the card of the data directory: a card in memory, ready to use.",
)
@click.option("--seed", metavar="TEXT", help="Which card of this profile: the same seed is the same card.")
@click.option(
    "--tear", metavar="WHERE@WHEN", help="Take the power once: before@3, write@PAY:2, after-commit@3, answer@COLLECT."
)
@click.option(
    "--reinsert-ms",
    type=click.IntRange(min=0),
    default=vpcd.REINSERT_MS,
    show_default=True,
    help="When the torn card comes back.",
)
@common_options
def emulate(
    ctx: Context, address: str, profile: str | None, seed: str | None, tear: str | None, reinsert_ms: int
) -> None:
    """Put the emulated card into vsmartcard's virtual reader, until SIGTERM or Ctrl-C.

    With --profile or --seed the card is made for this run: personalised with published test keys, loaded, and gone
    when the run ends.
    """
    host, port = parse_address(address)
    plan = FaultPlan.parse(tear, reinsert_ms=reinsert_ms) if tear is not None else None
    with contextlib.ExitStack() as held:
        if profile is None and seed is None:
            directory = card_directory(ctx.data)
            card = _open(directory, held)
            if plan:
                faults.arm(directory, plan)
        else:
            card = make_ready(
                find_ready(profile or DEFAULT_READY), seed or "1", plans=PlannedFaults(*filter(None, [plan]))
            )
        remote = held.enter_context(_remote())
        show = _Show(ctx, card, remote)
        # A plan says how long its card stays away; without one, as long as the reader needs to see it go.
        vpcd.serve(card, remote, connect=vpcd.connect_tcp(host, port), reinsert_ms=0, on_event=show)


def _open(directory: Path, held: contextlib.ExitStack) -> Card:
    """The card of this directory, whichever of the two it is, until `held` closes."""
    if javacard.has_card(directory):
        return held.enter_context(contextlib.closing(javacard.JavaCardImage(directory))).card
    image, card = open_card(directory)
    held.enter_context(contextlib.closing(image))
    return card


class _Show:
    """Prints what happens to the card, and brings a torn one back when its plan says so."""

    def __init__(self, ctx: Context, card: Card, remote: vpcd.Remote) -> None:
        self._ctx, self._card, self._remote = ctx, card, remote

    def __call__(self, event: vpcd.Event) -> None:
        if event.kind in _QUIET:
            return
        self._ctx.emit({"event": event.kind.value}, event.kind.value)
        plan = self._card.torn_by
        if event.kind is vpcd.EventKind.TORN and plan is not None and plan.reinsert_ms:
            self._remote.eject()
            back = threading.Timer(plan.reinsert_ms / 1000, self._remote.insert)
            back.daemon = True
            back.start()


_QUIET = frozenset({vpcd.EventKind.EXCHANGE, vpcd.EventKind.POWERED, vpcd.EventKind.UNPOWERED})


@contextlib.contextmanager
def _remote() -> Iterator[vpcd.Remote]:
    """A remote that SIGTERM and SIGINT stop."""
    remote = vpcd.Remote()
    before = {one: signal.signal(one, lambda *_: remote.stop()) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield remote
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        remote.close()


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT; raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise UsageError(f"{text!r} is not HOST:PORT")
    return host, int(port)


@click.command()
@click.option("--tear", type=click.Choice([one.value for one in Tear]), help="Where in the command the power goes.")
@click.option("--command", "name", metavar="NAME", help="In which command, such as PAY or COLLECT.")
@click.option("--exchange", type=click.IntRange(min=1), help="Or: in which exchange after power-up.")
@click.option(
    "--at", "cell", type=click.IntRange(min=0), default=0, show_default=True, help="During: after so many cells."
)
@click.option(
    "--outcome",
    type=click.Choice([one.name.lower() for one in Outcome]),
    default="unstable",
    show_default=True,
    help="During: what the interrupted cell holds.",
)
@click.option(
    "--reinsert-ms", type=click.IntRange(min=0), default=0, show_default=True, help="When the card comes back."
)
@click.option("--clear", is_flag=True, help="Forget a plan that has not struck.")
@common_options
def fault(
    ctx: Context,
    tear: str | None,
    name: str | None,
    exchange: int | None,
    cell: int,
    outcome: str,
    reinsert_ms: int,
    clear: bool,
) -> None:
    """Arm one power cut for the emulated card; the first command that fits consumes it."""
    directory = card_directory(ctx.data)
    if not has_card(directory) and not javacard.has_card(directory):
        raise NoCardError(f"{directory} holds no card image", next_step="Make a card with `ecny card new`.")
    if clear:
        waited = faults.take(directory) is not None
        ctx.emit({"cleared": waited}, "the plan is gone" if waited else "no plan was armed")
        return
    if tear is None or (name is None) == (exchange is None):
        raise UsageError("say --tear, and one of --command and --exchange")
    known = [one.name.replace("_", " ") for one in Ins]
    if name is not None and name.upper() not in known:
        raise UsageError(f"no command {name!r}", next_step=f"Take one of {', '.join(known)}.")
    plan = FaultPlan(
        Tear(tear),
        command=name.upper() if name else None,
        exchange=exchange,
        at=cell,
        outcome=Outcome[outcome.upper()],
        reinsert_ms=reinsert_ms,
    )
    faults.arm(directory, plan)
    ctx.emit({"armed": True}, f"armed: {plan.tear.value} {plan.command or f'exchange {plan.exchange}'}")
