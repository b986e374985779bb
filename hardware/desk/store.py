"""The cards of a desk on disk, so that they are there again tomorrow: `DATA/desk`, one process at a time.

    lock                   held with flock while a desk has the directory
    token                  the token of the desk that runs, for programs of this user
    cards/ID.json          origin, face, chosen latency; the debug notice
    cards/ID.flash         the flash: test keys in the clear
    snapshots/ID/NAME.json and .flash   likewise, as they were

A card is written after each exchange that changed it and before anybody is told of that exchange.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hardware.emulator.image import NOTICE
from wallet_core.errors import ConfigurationError, ReaderBusyError, StorageError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}", re.ASCII)


def is_name(text: str) -> bool:
    """Whether a card or snapshot can be called so: lower-case letters, digits, hyphens; 48 at most."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Kept:
    """A card or a snapshot as it lies on disk: JSON facts and the flash."""

    facts: dict[str, Any]
    flash: bytes


class Store:
    """Raises ReaderBusyError when another desk has the directory, StorageError, ConfigurationError (damaged files)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(f"{directory} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ReaderBusyError(
                f"another desk has {directory}", next_step="Use its page, or another --data directory."
            ) from error
        self._lock: int | None = lock

    def close(self) -> None:
        """Let the directory go. May be repeated."""
        if self._lock is None:
            return
        with suppress(OSError):
            (self._directory / "token").unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def write_token(self, token: str) -> Path:
        """For curl and scripts of this user; readable by nobody else."""
        path = self._directory / "token"
        _write(path, token.encode() + b"\n")
        return path

    # Cards

    def cards(self) -> Iterator[tuple[str, Kept]]:
        yield from _all(self._directory / "cards")

    def save_card(self, name: str, kept: Kept) -> None:
        _save(self._directory / "cards", name, kept)

    def remove_card(self, name: str) -> None:
        _remove(self._directory / "cards", name)
        for snapshot in list(self.snapshots(name)):
            self.remove_snapshot(name, snapshot)

    # Snapshots

    def snapshots(self, card: str) -> dict[str, Kept]:
        """Oldest first."""
        return dict(sorted(_all(self._directory / "snapshots" / card), key=lambda one: one[1].facts.get("at_ms", 0)))

    def save_snapshot(self, card: str, name: str, kept: Kept) -> None:
        _save(self._directory / "snapshots" / card, name, kept)

    def remove_snapshot(self, card: str, name: str) -> None:
        _remove(self._directory / "snapshots" / card, name)


def _all(directory: Path) -> Iterator[tuple[str, Kept]]:
    for path in sorted(directory.glob("*.json")):
        if is_name(path.stem):
            try:
                facts = json.loads(path.read_bytes())
                if not isinstance(facts, dict):
                    raise ValueError("not an object")
                yield path.stem, Kept(facts, path.with_suffix(".flash").read_bytes())
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"{path} is not a card of this desk: {error}", next_step="Move it away and start the desk again."
                ) from error


def _save(directory: Path, name: str, kept: Kept) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory} cannot be made: {error.strerror}") from error
    _write(directory / f"{name}.flash", kept.flash)
    text = json.dumps({"notice": NOTICE, **kept.facts}, indent=2)
    _write(directory / f"{name}.json", text.encode() + b"\n")


def _remove(directory: Path, name: str) -> None:
    try:
        for suffix in (".json", ".flash"):  # without its .json it is no card any more
            (directory / f"{name}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{directory / name} cannot be removed: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    """The whole new file or the old one; for this user only."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
