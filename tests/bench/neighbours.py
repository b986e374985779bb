"""What other processes, the host of a virtual machine included, took of the processors while a round was played.

A busy neighbour bends ratios even when it is steady: whoever runs more threads gets the larger share of what is left.
Linux only (/proc); the kernel's own work for our files counts as a neighbour's, which is on the safe side.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_IDLE: Final = (3, 4, 8, 9)  # idle, iowait; guest times are counted in user time already
_PPID, _UTIME, _STIME = 1, 11, 12  # places behind the name in /proc/PID/stat


@dataclass(frozen=True, slots=True)
class Usage:
    """Seconds: wall clock, processor time of everybody, and of this process with all its descendants."""

    wall: float
    everybody: float
    ours: float

    def elsewhere_since(self, earlier: Usage) -> float:
        """Processors that others kept busy, on average: 0.1 is a tenth of one core."""
        wall = self.wall - earlier.wall
        others = (self.everybody - earlier.everybody) - (self.ours - earlier.ours)
        return max(0.0, others - 2 * _TICK_S) / wall


def usage() -> Usage:
    """As of now."""
    ticks = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    busy = sum(int(count) for place, count in enumerate(ticks) if place not in _IDLE)
    return Usage(time.monotonic(), busy * _TICK_S, _ours() * _TICK_S)


def _ours() -> int:
    """Ticks of this process and of all that descend from it and are alive."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[_PPID])
        ticks[pid] = int(fields[_UTIME]) + int(fields[_STIME])
    return sum(count for pid, count in ticks.items() if _descends(pid, parents))


def _descends(pid: int, parents: dict[int, int]) -> bool:
    own = os.getpid()
    while pid in parents:
        if pid == own:
            return True
        pid = parents[pid]
    return False
