"""The emulated card on disk: a directory that one process holds, its cells written through as they are programmed.

    card.json      public facts: profile, serial number, seed, geometry; says that it is a debugging aid
    flash.bin      the memory as it is, cell after cell; made at full size, so that programming needs no new disk space
    unstable.json  the cells whose programming was cut short, with what they may read as
    wear.bin       4 bytes a cell: how often it was programmed
    lock           held with flock while a process has the card
    fault.json     an armed fault plan (hardware.emulator.faults)

A cell reaches `flash.bin` with one aligned write before the emulator goes on, so `kill -9` is a power cut: each cell is
old or new. (With `durable` it also survives the machine's own power cut, at the price of an fdatasync for each cell.)
The directory holds the card's private key in the clear: it is for test money only.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from hardware.emulator.flash import BLANK, CELL_SIZE, Flash, Reader
from wallet_core.errors import ConfigurationError, ReaderBusyError, StorageError

CARD_FILE = "card.json"
FLASH_FILE = "flash.bin"
UNSTABLE_FILE = "unstable.json"
WEAR_FILE = "wear.bin"
LOCK_FILE = "lock"

NOTICE = "debug, insecure: an emulated card for test money; its private key lies here in the clear"
SERIAL_SIZE = 8

_WEAR = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What anyone may know of an emulated card. serial: 8 bytes; seed: of all its randomness; sizes: cells, bytes."""

    profile: str
    serial: bytes
    seed: int
    cells: int
    cell_size: int = CELL_SIZE

    def __post_init__(self) -> None:
        if len(self.serial) != SERIAL_SIZE:
            raise ConfigurationError(f"a serial number is {SERIAL_SIZE} bytes, not {len(self.serial)}")
        if self.cells < 1 or self.cell_size < 1:
            raise ConfigurationError(f"a flash of {self.cells} cells of {self.cell_size} bytes cannot be")

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "serial": self.serial.hex(), "notice": NOTICE}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> CardFacts:
        """Raises `ConfigurationError`."""
        try:
            fields = json.loads(text)
            return cls(
                profile=str(fields["profile"]),
                serial=bytes.fromhex(fields["serial"]),
                seed=int(fields["seed"]),
                cells=int(fields["cells"]),
                cell_size=int(fields["cell_size"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{CARD_FILE} does not describe a card: {error}") from error


class CardImage:
    """An open card image; `flash` is its memory, without power. Made by `create` and `open`; a context manager.

    While it is open no other process and no other `CardImage` can hold the card.
    """

    def __init__(
        self, directory: Path, facts: CardFacts, *, rng: Random, durable: bool, reader: Reader | None, stack: ExitStack
    ) -> None:
        self.directory = directory
        self.facts = facts
        self._durable = durable
        self._flash_file = self._open_file(FLASH_FILE, facts.cells * facts.cell_size, stack)
        self._wear_file = self._open_file(WEAR_FILE, facts.cells * _WEAR.size, stack)
        self._unstable = _load_unstable(directory / UNSTABLE_FILE)
        wear = struct.unpack(f">{facts.cells}I", os.pread(self._wear_file, facts.cells * _WEAR.size, 0))
        data = os.pread(self._flash_file, facts.cells * facts.cell_size, 0)
        self.flash = Flash(
            facts.cells,
            cell_size=facts.cell_size,
            rng=rng,
            reader=reader,
            keeper=self,
            data=data,
            unstable=self._unstable,
            wear=wear,
        )
        self._held = stack.pop_all()  # nothing above raised: from here `close` closes

    @classmethod
    def create(
        cls, directory: Path, facts: CardFacts, *, rng: Random, durable: bool = False, reader: Reader | None = None
    ) -> CardImage:
        """A new card with blank memory, which the factory then formats.

        Raises `ConfigurationError` if a card lies there already, `ReaderBusyError`, `StorageError`.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{directory} cannot be made: {error.strerror}") from error
        with ExitStack() as stack:
            _hold(directory, stack)
            if (directory / CARD_FILE).exists():
                raise ConfigurationError(f"{directory} holds a card already", next_step="Choose another directory.")
            _replace(directory / FLASH_FILE, bytes([BLANK]) * (facts.cells * facts.cell_size))
            _replace(directory / WEAR_FILE, bytes(facts.cells * _WEAR.size))
            _replace(directory / UNSTABLE_FILE, b"{}\n")
            # Last: a directory without it is no card, so a creation that was cut short can be repeated.
            _replace(directory / CARD_FILE, facts.to_json().encode())
            return cls(directory, facts, rng=rng, durable=durable, reader=reader, stack=stack)

    @classmethod
    def open(cls, directory: Path, *, rng: Random, durable: bool = False, reader: Reader | None = None) -> CardImage:
        """Raises `ConfigurationError` (no card there, or a damaged one), `ReaderBusyError`, `StorageError`."""
        if not (directory / CARD_FILE).is_file():
            raise ConfigurationError(f"{directory} holds no card image")
        with ExitStack() as stack:
            _hold(directory, stack)
            facts = CardFacts.from_json(_content(directory / CARD_FILE))
            return cls(directory, facts, rng=rng, durable=durable, reader=reader, stack=stack)

    def close(self) -> None:
        """Take the power and let go of the card. May be repeated."""
        self.flash.power_off()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def keep(self, index: int, data: bytes, candidates: tuple[bytes, ...], wear: int) -> None:
        """Write one programmed cell through (the `Keeper` of the flash).

        The order makes a kill between any two steps one of a cut's outcomes: a cell listed as unstable is read from its
        candidates whatever flash.bin says, so it is listed before and struck off after its bytes are written.
        """
        try:
            _pwrite(self._wear_file, _WEAR.pack(wear), index * _WEAR.size)
            if candidates and self._unstable.get(index) != candidates:
                self._list_unstable({**self._unstable, index: candidates})
            _pwrite(self._flash_file, data, index * self.facts.cell_size)
            if self._durable:
                os.fdatasync(self._flash_file)
            if not candidates and index in self._unstable:
                self._list_unstable({key: one for key, one in self._unstable.items() if key != index})
        except OSError as error:
            raise StorageError(f"the card image cannot be written: {error.strerror}") from error

    def _list_unstable(self, unstable: dict[int, tuple[bytes, ...]]) -> None:
        text = json.dumps({str(index): [one.hex() for one in unstable[index]] for index in sorted(unstable)}, indent=2)
        _replace(self.directory / UNSTABLE_FILE, text.encode() + b"\n", durable=self._durable)
        self._unstable = unstable

    def _open_file(self, name: str, size: int, stack: ExitStack) -> int:
        path = self.directory / name
        try:
            descriptor = os.open(path, os.O_RDWR)
            stack.callback(os.close, descriptor)
            found = os.fstat(descriptor).st_size
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be opened: {error.strerror}") from error
        if found != size:
            raise ConfigurationError(f"{path} has {found} bytes instead of {size}")
        return descriptor


def _hold(directory: Path, stack: ExitStack) -> None:
    """Hold the card until `stack` closes. Raises `ReaderBusyError` at once if somebody else does."""
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ReaderBusyError(f"another program holds the card of {directory}") from error
    except OSError as error:
        raise StorageError(f"{directory} cannot be locked: {error.strerror}") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _load_unstable(path: Path) -> dict[int, tuple[bytes, ...]]:
    try:
        fields = json.loads(_content(path))
        return {int(index): tuple(bytes.fromhex(one) for one in candidates) for index, candidates in fields.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} does not list unstable cells: {error}") from error


def _pwrite(descriptor: int, data: bytes, offset: int) -> None:
    """One write or none: part of a cell (a disk that fills up) is reported like none. Raises OSError."""
    written = os.pwrite(descriptor, data, offset)
    if written != len(data):
        raise OSError(0, f"only {written} of {len(data)} bytes")


def _replace(path: Path, data: bytes, *, durable: bool = True) -> None:
    """The whole new file or the old one. Raises `StorageError`."""
    beside = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
