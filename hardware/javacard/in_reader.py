"""The Java Card of a directory in a reader of this process: `javacard:DIR`.

    javacard.json  public facts: profile, serial number, seed; says that it is a debugging aid
    javacard.bin   the card's persistent memory, written by its own process after each command that changed it
    memory.json    what the applet has taken of the chip so far (`MemoryReport`)
    lock           held with flock while a process has the card
    fault.json     an armed fault plan (hardware.emulator.faults)

The card's process lives as long as the reader is open: opening it is a tap, as with the emulator. The directory holds
the card's private key in the clear: it is for test money only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

from hardware.data_objects import SERIAL_SIZE
from hardware.emulator.card import ImageFaults
from hardware.emulator.image import LOCK_FILE, NOTICE
from hardware.emulator.in_reader import has_card as has_emulated_card
from hardware.emulator.profiles import CardProfile, find_profile
from hardware.javacard.card import JavaCard
from hardware.javacard.parts import command_line
from hardware.javacard.process import JavaCardProcess, MemoryReport
from hardware.readers import Options, register
from hardware.transports.in_process import InProcessTransport
from wallet_core.errors import ConfigurationError, EcnyError, NoCardError, ReaderBusyError, StorageError, UsageError

SCHEME: Final = "javacard"
FACTS_FILE: Final = "javacard.json"
MEMORY_FILE: Final = "javacard.bin"
REPORT_FILE: Final = "memory.json"


def has_card(directory: Path) -> bool:
    """Whether a Java Card lies there."""
    return (directory / FACTS_FILE).is_file()


def create_card(directory: Path, profile: CardProfile, serial: bytes, seed: int) -> None:
    """Make a blank card in `directory`; `seed` gives all its randomness. Its applet is installed when it is opened.

    Raises ConfigurationError when there is a card already or for a production profile, JavaMissingError, StorageError.
    """
    if len(serial) != SERIAL_SIZE:
        raise UsageError(f"a serial number has {SERIAL_SIZE} bytes")
    if profile.production:
        raise ConfigurationError(
            "a simulated card cannot be a production card", next_step="Take a profile of a test card."
        )
    if has_card(directory) or has_emulated_card(directory):
        raise ConfigurationError(f"{directory} holds a card already", next_step="Choose another directory.")
    command_line()
    facts = {"profile": profile.name, "serial": serial.hex(), "seed": seed, "notice": NOTICE}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        (directory / FACTS_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{directory} cannot hold a card: {error.strerror}") from error


class JavaCardImage:
    """The card of a directory, running, held until `close`. No other process can hold it meanwhile.

    Raises NoCardError, ReaderBusyError, ConfigurationError, JavaMissingError.
    """

    def __init__(self, directory: Path) -> None:
        if not has_card(directory):
            raise NoCardError(f"{directory} holds no Java Card", next_step="Make one: `ecny card new --card javacard`.")
        profile, serial, seed = _facts(directory)
        self._directory = directory
        self._lock = _hold(directory)
        try:
            self._process = JavaCardProcess(
                serial=serial, seed=seed, subject_class=profile.subject_class, image=directory / MEMORY_FILE
            )
        except BaseException:
            os.close(self._lock)
            raise
        self.card = JavaCard(self._process, ImageFaults(directory))

    def close(self) -> None:
        """Ends the card's process and lets the directory go. May be repeated."""
        if self._lock < 0:
            return
        with contextlib.suppress(EcnyError, OSError):  # figures for people: no card is lost with them
            _keep_report(self._directory, self._process.report())
        self._process.close()
        os.close(self._lock)
        self._lock = -1


class JavaCardTransport(InProcessTransport):
    """The Java Card of a directory in a reader of this process; `close` lets it go."""

    def __init__(self, directory: Path) -> None:
        self._image = JavaCardImage(directory)
        self.card = self._image.card
        try:
            super().__init__(self.card, f"javacard {directory}")
        except BaseException:
            self._image.close()
            raise

    def close(self) -> None:
        super().close()
        self._image.close()


def memory_report(directory: Path) -> MemoryReport | None:
    """What the applet of the card that lies there has taken of its chip; None before the card was used."""
    try:
        return MemoryReport(**json.loads((directory / REPORT_FILE).read_bytes()))
    except (OSError, TypeError, ValueError):
        return None


def _keep_report(directory: Path, report: MemoryReport) -> None:
    before = memory_report(directory)
    told = report if before is None else report.after(before)
    (directory / REPORT_FILE).write_text(json.dumps(asdict(told)) + "\n", encoding="utf-8")


def _facts(directory: Path) -> tuple[CardProfile, bytes, str]:
    try:
        fields = json.loads((directory / FACTS_FILE).read_bytes())
        return find_profile(str(fields["profile"])), bytes.fromhex(fields["serial"]), str(fields["seed"])
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"{FACTS_FILE} does not describe a card: {error}") from error


def _hold(directory: Path) -> int:
    """Takes the lock at once or not at all; the descriptor holds it."""
    try:
        lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StorageError(f"{directory} cannot be locked: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ReaderBusyError(f"another program holds the card of {directory}") from error
    return lock


def _open(rest: str, _: Options) -> JavaCardTransport:
    return JavaCardTransport(Path(rest))


register(SCHEME, _open)
