"""Which reader the story uses: the real PC/SC stack with vsmartcard's virtual reader, or the reader in process."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from demo.processes import DemoError
from support.pcscd import READERS, PrivatePcscd
from wallet_core.errors import EcnyError, ExitCode

CHOICES = ("auto", "pcsc", "inprocess")
CARDS = {"emulator": "emulator", "javacard": "Java Card applet on a simulated chip"}
"""CARD= and how the desk calls it."""
VPCD_ADDRESS = "127.0.0.1:35963"
STACK_HINT = "sudo apt-get install pcscd vsmartcard-vpcd gcc swig pkg-config libpcsclite-dev python3-dev"


@dataclass(frozen=True)
class Desk:
    """A reader on the counter.

    `inside`: words before the emulator's command so that it reaches the reader, None when the card is emulated in
    process; `environment`: what every `ecny` command needs to find the reader.
    """

    line: str
    inside: Sequence[str] | None = None
    environment: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def open_desk(choice: str, card: str) -> Iterator[Desk]:
    """The desk for READER=`choice` with the visitor's card CARD=`card`; `auto` takes PC/SC where all of it is present.

    Raises DemoError.
    """
    reason = _missing_stack()
    if choice == "pcsc" and reason is not None:
        raise DemoError(f"READER=pcsc: {reason}\n  → {STACK_HINT}", ExitCode.NO_SERVICE)
    if choice == "inprocess" or reason is not None:
        why = "" if choice == "inprocess" else f" (no PC/SC stack: {reason})"
        yield Desk(f"reader: in process, card: {CARDS[card]}{why}")
        return
    with _pcscd() as service:
        environment = {**service.environment(), "ECNY_READER": f"pcsc:{READERS[0]}"}
        yield Desk(f"reader: {READERS[0]} (PC/SC), card: {CARDS[card]}", service.inside, environment)


def _missing_stack() -> str | None:
    if importlib.util.find_spec("smartcard") is None:
        return "pyscard is not installed"
    return PrivatePcscd.missing()


@contextlib.contextmanager
def _pcscd() -> Iterator[PrivatePcscd]:
    try:
        service = PrivatePcscd().__enter__()
    except EcnyError as exc:
        raise DemoError(f"READER=pcsc: {exc.message}\n  → {exc.next_step}", ExitCode.NO_SERVICE) from exc
    try:
        yield service
    finally:
        service.close()
