"""Compiles `recorder.c` and reads its log: every call on the disk and every word said, in one exact order."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("recorder.c")
_HEAD = struct.Struct("<6I2Q")
_MAGIC = 0x31434552

CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR = "c", "w", "t", "f", "r", "u", "m"
SAID, SENT, UNKNOWN = "o", "s", "!"


@dataclass(frozen=True, slots=True)
class Record:
    """One call. `end`: bytes of the log up to and with it.

    op: CREATE, WRITE, TRUNCATE (to `offset` bytes), SYNC (file or directory), RENAME (`path` to `other`), UNLINK,
    MKDIR, SAID (to standard output), SENT (over a socket; `inode` is our port, `offset` the other side's), UNKNOWN.
    """

    op: str
    pid: int
    path: str
    other: str
    inode: int
    offset: int
    data: bytes
    end: int


def compiled(directory: Path) -> Path:
    """The shared library for LD_PRELOAD, made with gcc."""
    directory.mkdir(parents=True, exist_ok=True)
    library = directory / "recorder.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def variables(root: Path, log: Path) -> dict[str, str]:
    """What a recorded process needs in its environment, besides LD_PRELOAD."""
    return {"RECORD_ROOT": str(root.resolve()), "RECORD_LOG": str(log)}


def read(log: Path, start: int = 0) -> list[Record]:
    """The records from byte `start` of the log. Raises ValueError for a damaged one."""
    data = log.read_bytes()
    found, at = [], start
    while at < len(data):
        magic, op, pid, *sizes, inode, offset = _HEAD.unpack_from(data, at)
        if magic != _MAGIC:
            raise ValueError(f"no record at byte {at} of the log")
        at += _HEAD.size
        parts = []
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        path, other, content = parts
        found.append(Record(chr(op), pid, path.decode(), other.decode(), inode, offset, content, at))
    return found
