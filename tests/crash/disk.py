"""A disk that promises no more than POSIX does: what was not synced may be there, not be there, or be there in parts.

`fsync` and `fdatasync` keep the content of a file, `fsync` of a directory keeps its names; a new file in a directory
that was not synced is lost with all it holds, synced or not. The unit of tearing is a sector. A write never harms bytes
beside it (SQLite calls that *powersafe overwrite*).

The model is fed with the records of `crash.recorder`, and at any moment gives the directory as it may be found after
the power has gone.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from crash.recorder import CREATE, MKDIR, RENAME, SAID, SENT, SYNC, TRUNCATE, UNKNOWN, UNLINK, WRITE, Record

SECTOR = 512  # bytes
_SHARED_MEMORY = "-shm"  # SQLite's index of its log: mapped, rebuilt at the first opening, its content means nothing


class Loss(Enum):
    """What becomes of that which was not synced when the power goes."""

    NOTHING = "all of it has reached the disk"  # also what kill −9 leaves
    EVERYTHING = "none of it"
    TAIL = "what came last is gone, one write is torn"
    SCATTERED = "some sectors and some names, in any order"


class ModelError(Exception):
    """The model does not know this call, or does not agree with the disk: its images prove nothing then."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Not synced yet: bytes at an offset, or (`data` is None) a new size."""

    number: int
    offset: int
    data: bytes | None


@dataclass
class _File:
    kept: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        _apply(self.now, change.offset, change.data)
        self.pending.append(change)

    def sync(self) -> None:
        self.kept, self.pending = bytes(self.now), []


@dataclass
class _Directory:
    """`pending`: names set (to a node) or removed (None) since the last sync; a rename is one change of two names."""

    kept: dict[str, _File | _Directory] = field(default_factory=dict)
    now: dict[str, _File | _Directory] = field(default_factory=dict)
    pending: list[tuple[int, dict[str, _File | _Directory | None]]] = field(default_factory=list)

    def change(self, number: int, names: dict[str, _File | _Directory | None]) -> None:
        _rename(self.now, names)
        self.pending.append((number, names))

    def sync(self) -> None:
        self.kept, self.pending = dict(self.now), []


_Node = _File | _Directory


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    size = offset if data is None else offset + len(data)
    if len(content) < size:
        content += bytes(size - len(content))
    if data is None:
        del content[size:]
    else:
        content[offset:size] = data


def _rename(names: dict[str, _Node], changes: dict[str, _Node | None]) -> None:
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Disk:
    """Begins as the directory `root` is now, all of it synced; `take` the records of what was done to it since then."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._files: dict[int, _File] = {}  # by inode number
        self._taken = 0
        self._top = self._load(self._root)

    def copy(self) -> Disk:
        """Another one of the same state."""
        return copy.deepcopy(self)

    def _load(self, path: Path) -> _Directory:
        found = _Directory()
        for entry in sorted(path.iterdir()):
            if entry.is_dir():
                found.now[entry.name] = self._load(entry)
            else:
                content = entry.read_bytes()
                file = found.now[entry.name] = _File(content, bytearray(content))
                self._files[entry.stat().st_ino] = file
        found.sync()
        return found

    def take(self, record: Record) -> None:
        """Raises ModelError for a call that the model does not know."""
        self._taken += 1
        if record.op in (SAID, SENT):
            return
        if record.op == WRITE:
            self._file(record).change(_Change(self._taken, record.offset, record.data))
        elif record.op == TRUNCATE:
            self._file(record).change(_Change(self._taken, record.offset, None))
        elif record.op == SYNC:
            (self._files.get(record.inode) or self._directory(record.path)).sync()
        elif record.op == CREATE:
            self._files[record.inode] = made = _File()
            self._name(record.path, made)
        elif record.op == MKDIR:
            self._name(record.path, _Directory())
        elif record.op == UNLINK:
            self._name(record.path, None)
        elif record.op == RENAME:
            self._move(record)
        else:
            raise ModelError(f"unknown call {record.op!r} ({UNKNOWN!r} is none that the model has) on {record.path}")

    def _file(self, record: Record) -> _File:
        try:
            return self._files[record.inode]
        except KeyError:
            raise ModelError(f"a file that nobody made: {record.path}") from None

    def _place(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name

    def _directory(self, path: str) -> _Directory:
        node: _Node = self._top
        for name in Path(path).relative_to(self._root).parts:
            node = node.now[name] if isinstance(node, _Directory) else node
        if not isinstance(node, _Directory):
            raise ModelError(f"{path} is no directory")
        return node

    def _name(self, path: str, node: _Node | None) -> None:
        directory, name = self._place(path)
        directory.change(self._taken, {name: node})

    def _move(self, record: Record) -> None:
        directory, name = self._place(record.path)
        onto, other = self._place(record.other)
        if directory is not onto:
            raise ModelError(f"a rename between directories: {record.path}")
        directory.change(self._taken, {name: None, other: directory.now[name]})

    # Images ---------------------------------------------------------------------------------------------------------

    def agrees(self) -> list[str]:
        """Where the model and the real directory differ: nowhere, if every call was recorded."""
        return sorted(_differences(self._top, self._root))

    def write(self, to: Path, loses: Callable[[str], Loss], rng: random.Random) -> None:
        """The image in `to` (made anew). `loses`: what happens to a part of the root, by its first name."""
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        latest = self._taken - rng.randrange(12)  # for Loss.TAIL: what came after this is gone
        for name, node in _survivors(self._top, loses("."), latest, rng).items():
            _write(node, to / name, loses(name), latest, rng)


def _differences(node: _Node, path: Path) -> Iterator[str]:
    if isinstance(node, _File):
        if not path.name.endswith(_SHARED_MEMORY) and path.read_bytes() != node.now:
            yield str(path)
        return
    there = {entry.name for entry in os.scandir(path)}
    yield from (f"{path}/{name}" for name in there ^ node.now.keys())
    for name in there & node.now.keys():
        yield from _differences(node.now[name], path / name)


def _survivors(directory: _Directory, loss: Loss, latest: int, rng: random.Random) -> dict[str, _Node]:
    names = dict(directory.kept)
    for number, changes in directory.pending:
        if _stays(number, loss, latest, rng):
            _rename(names, changes)
    return names


def _stays(number: int, loss: Loss, latest: int, rng: random.Random) -> bool:
    if loss is Loss.SCATTERED:
        return rng.random() < 0.5
    return loss is Loss.NOTHING or (loss is Loss.TAIL and number <= latest)


def _write(node: _Node, path: Path, loss: Loss, latest: int, rng: random.Random) -> None:
    if isinstance(node, _Directory):
        path.mkdir(mode=0o700)
        for name, below in _survivors(node, loss, latest, rng).items():
            _write(below, path / name, loss, latest, rng)
        return
    content = bytearray(node.kept)
    for change in node.pending:
        if change.data is None or loss in (Loss.NOTHING, Loss.EVERYTHING):
            if _stays(change.number, loss, latest, rng):
                _apply(content, change.offset, change.data)
            continue
        for offset, sector in _sectors(change.offset, change.data):
            # The write that was under way when the power went is torn: of its sectors any may have been written.
            torn = loss is Loss.TAIL and change.number == latest + 1 and rng.random() < 0.5
            if torn or _stays(change.number, loss, latest, rng):
                _apply(content, offset, sector)
    if path.name.endswith(_SHARED_MEMORY) and loss is not Loss.NOTHING:
        content[:] = rng.randbytes(len(content))
    path.write_bytes(content)
    path.chmod(0o600)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a write that lie in one sector each."""
    at = 0
    while at < len(data):
        size = min(len(data) - at, SECTOR - (offset + at) % SECTOR)
        yield offset + at, data[at : at + size]
        at += size
