"""`ecny doctor`: what this machine has and lacks, from Python to a card in a reader.

Each check gives a finding; the first one that failed decides the exit code (docs/spec/statuses.md): 10 configuration,
3 no PC/SC service, 4 no reader. Nothing is changed and no card is touched.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import Final

import click

from wallet_core.cli import Context as CommandContext
from wallet_core.cli import common_options
from wallet_core.errors import ConfigurationError, EcnyError, ExitCode, NoReaderError
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite

from .transports.pcsc import VIRTUAL_PREFIX, list_readers
from .transports.scard import load

DISTRIBUTION: Final = "ecny-wallet"
LEAST_PYTHON: Final = (3, 11)
LEAST_FREE: Final = 64 << 20
"""Bytes: what the journals of a busy day take."""
OLDEST_NOW: Final = 1_767_225_600
"""2026-01-01T00:00:00Z, seconds: a clock before this software existed is wrong."""
NEWEST_NOW: Final = 4_102_444_800
"""2100-01-01T00:00:00Z, seconds: nor is it that late."""
DRIVERS: Final = Path("/usr/lib/pcsc/drivers")


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, but worth knowing
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `exit_code` is 0 unless it failed."""

    check: str
    verdict: Verdict
    detail: str
    next_step: str = ""
    exit_code: ExitCode = ExitCode.OK

    def facts(self) -> dict[str, str]:
        return {"check": self.check, "verdict": self.verdict, "detail": self.detail, "next_step": self.next_step}


def _ok(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.OK, detail)


def _note(check: str, detail: str, next_step: str) -> Finding:
    return Finding(check, Verdict.NOTE, detail, next_step)


def _failed(check: str, detail: str, next_step: str, exit_code: ExitCode = ExitCode.CONFIGURATION) -> Finding:
    return Finding(check, Verdict.FAILED, detail, next_step, exit_code)


def _from_error(check: str, error: EcnyError) -> Finding:
    return _failed(check, error.message, error.next_step, error.exit_code)


def examine(
    data: Path,
    *,
    with_pcsc: bool = True,
    clock: Callable[[], float] = time.time,
    drivers: Path = DRIVERS,
) -> Iterator[Finding]:
    """Runs all checks in order. `clock` tells seconds since 1970, UTC; `with_pcsc=False` leaves readers out."""
    yield check_python(sys.version_info[:3])
    yield check_packages()
    yield check_suites()
    yield check_data_directory(data)
    yield check_clock(data, clock())
    if with_pcsc:
        yield from check_pcsc(drivers)


def check_python(version: tuple[int, ...]) -> Finding:
    shown = ".".join(map(str, version))
    if version[:2] < LEAST_PYTHON:
        least = ".".join(map(str, LEAST_PYTHON))
        return _failed("python", f"{shown} is older than {least}", f"Install Python {least} or newer.")
    return _ok("python", shown)


def check_suites() -> Finding:
    """Each suite makes a key and a signature that it verifies; only an installation of suite sm2 needs that one."""
    able: list[str] = []
    for suite in Suite:
        try:
            key = SoftwareKey.from_secret(bytes(32), suite)
            key.public.verify(key.sign(b""), b"")
        except ConfigurationError as exc:
            return _note("suites", f"{', '.join(able)}; {exc.message}", exc.next_step)
        able.append(suite.name.lower())
    return _ok("suites", ", ".join(able))


def check_packages(distribution: str = DISTRIBUTION) -> Finding:
    """What the installed distribution asks for, except extras, is there in a version that is new enough."""
    again = "Install again: make up, or pip install ecny-wallet."
    try:
        wanted = [line for line in metadata.requires(distribution) or () if "extra ==" not in line]
    except metadata.PackageNotFoundError:
        return _failed("packages", f"{distribution} is not installed", again)
    wrong = [why for line in wanted if (why := _lacks(line)) is not None]
    if wrong:
        return _failed("packages", "; ".join(wrong), again)
    return _ok("packages", f"{distribution} {metadata.version(distribution)} and {len(wanted)} packages")


def _lacks(requirement: str) -> str | None:
    """Why a requirement such as `cbor2>=6` is not met; None when it is. Only the least version is looked at."""
    name = re.split(r"[\s<>=!~;\[(]", requirement, maxsplit=1)[0]
    installed = _version(name)
    if installed is None:
        return f"{name} is missing"
    least = re.search(r">=\s*([\d.]+)", requirement)
    if least is not None and _numbers(installed) < _numbers(least[1]):
        return f"{name} {installed} is older than {least[1]}"
    return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+", maxsplit=1)[0])[:3])


def check_data_directory(data: Path) -> Finding:
    """Exists or can be made, is ours alone, and its disk has room."""
    parent = next(path for path in (data, *data.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        return _failed("data", f"{parent} cannot be written", "Choose another directory with --data or ECNY_HOME.")
    free = shutil.disk_usage(parent).free
    if free < LEAST_FREE:
        return _failed("data", f"{parent}: only {free >> 20} MiB are free", "Free disk space.", ExitCode.STORAGE)
    if parent != data:
        return _ok("data", f"{data} does not exist yet and will be made")
    mode = stat.S_IMODE(data.stat().st_mode)
    if mode & 0o022:
        return _failed("data", f"{data} can be written by others ({mode:04o})", f"Run: chmod 700 {data}")
    if mode & 0o055:
        return _note("data", f"{data} can be read by others ({mode:04o})", f"Run: chmod 700 {data}")
    return _ok("data", str(data))


def check_clock(data: Path, now: float) -> Finding:
    """The clock is of this century, and not behind what was written here before: certificates have dates."""
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    advice = "Set the clock (timedatectl set-ntp true)."
    if not OLDEST_NOW <= now < NEWEST_NOW:
        return _failed("clock", f"it is not {shown}", advice)
    newest = max((path.stat().st_mtime for path in data.glob("*")), default=0.0) if data.is_dir() else 0.0
    if newest > now + 60:
        return _failed("clock", f"{shown} is {newest - now:.0f} s behind the newest file in {data}", advice)
    return _ok("clock", shown)


def check_pcsc(drivers: Path = DRIVERS) -> Iterator[Finding]:
    """pyscard, the service, the readers and the virtual reader; without pyscard or the service, no more."""
    try:
        load()
    except ConfigurationError as error:
        yield _from_error("pyscard", error)
        return
    yield _ok("pyscard", _version("pyscard") or "installed")
    try:
        readers = list_readers()
    except EcnyError as error:
        yield _from_error("pcscd", error)
        return
    yield _ok("pcscd", os.environ.get("PCSCLITE_CSOCK_NAME", "answers"))
    if readers:
        words = [f"{one.name} ({'card' if one.has_card else 'no card'})" for one in readers]
        yield _ok("readers", ", ".join(words))
    else:
        yield _from_error("readers", NoReaderError("the PC/SC service knows no reader"))
    yield _check_vpcd(drivers, any(one.is_virtual for one in readers))


def _check_vpcd(drivers: Path, is_served: bool) -> Finding:
    if is_served:
        return _ok("vpcd", f"{VIRTUAL_PREFIX} is there")
    if any(drivers.glob("**/libifdvpcd.so")):
        return _note("vpcd", "installed, but pcscd does not serve it", "Restart pcscd to use the virtual reader.")
    return _note("vpcd", "not installed", "Install vsmartcard-vpcd to show the emulator to other programs.")


@click.command()
@click.option("--without-pcsc", is_flag=True, help="Leave card readers out: the emulator in process needs none.")
@common_options
def doctor(ctx: CommandContext, without_pcsc: bool) -> None:
    """Check this machine: Python, packages, data directory, clock, PC/SC service, readers."""
    findings = list(examine(ctx.data, with_pcsc=not without_pcsc))
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<6}  {finding.check:<8}  {finding.detail}")
        if finding.next_step:
            lines.append(f"{'':<18}→ {finding.next_step}")
    exit_code = next((finding.exit_code for finding in findings if finding.exit_code), ExitCode.OK)
    facts = {"ok": exit_code == ExitCode.OK, "checks": [finding.facts() for finding in findings]}
    ctx.emit(facts, "\n".join(lines))
    sys.exit(exit_code)
