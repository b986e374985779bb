"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import time
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.backends.openssl.backend import backend

from bench.ceiling import cores

COMMITS = 200


def describe(directory: Path) -> dict[str, str | int | float]:
    """Processor, system, libraries, and what a durable commit costs in `directory`."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "system": _system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "openssl": backend.openssl_version_text(),
        "sqlite": sqlite3.sqlite_version,
        "filesystem": _filesystem(directory),
        "commit_ms": round(_commit_ms(directory), 3),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    """The model as the kernel names it; virtual machines often hide more than they tell."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())


def _filesystem(directory: Path) -> str:
    """The type of the longest mount point above `directory`."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, point, found, *_ = line.split()
        if directory.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _commit_ms(directory: Path) -> float:
    """Median of small commits, WAL and synchronous=FULL as the server has them."""
    path = directory / "commit.db"
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS probe (number INTEGER)")
        times = []
        for number in range(COMMITS):
            start = time.perf_counter()
            connection.execute("INSERT INTO probe VALUES (?)", [number])
            times.append(time.perf_counter() - start)
    finally:
        connection.close()
        path.unlink()
    return statistics.median(times) * 1000
