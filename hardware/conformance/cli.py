"""`ecny card conform`: examine a card in any reader against the numbered requirements."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

import hardware.conformance.checks as _registered  # noqa: F401  # importing it registers every check
from hardware.cli_options import milliseconds, reader_option, wait_option
from hardware.conformance import report, signed_report
from hardware.conformance.requirements import in_order
from hardware.conformance.runner import Examination, Finding, Verdict, chosen, examine
from hardware.taps import open_reader
from wallet_core.cli import Context, common_options, read_bytes, write_file
from wallet_core.errors import ExitCode, UsageError
from wallet_core.ids import parse_id
from wallet_core.keys import SoftwareKey

_KINDS: Final = (".xml", ".json", ".cose")


@click.command()
@click.option("--only", multiple=True, metavar="ID", help="This requirement (ECNY-PAY-04) or area (PAY); repeatable.")
@click.option("--destructive", is_flag=True, help="Also use up the PIN, block the card and terminate it, for good.")
@click.option("--list", "only_list", is_flag=True, help="Print the requirements; no card is needed.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the findings to FILE.xml (JUnit), FILE.json or FILE.cose (signed with --lab-key); repeatable.",
)
@click.option("--lab-key", type=click.Path(path_type=Path), help="The laboratory's key (PEM) for a signed report.")
@click.option("--verify", "to_verify", type=click.Path(path_type=Path), help="Verify such a signed report instead.")
@click.option("--lab", default="", metavar="ID", help="Who must have signed it: thumbprint of the laboratory's key.")
@reader_option
@wait_option
@common_options
def conform(
    ctx: Context,
    only: tuple[str, ...],
    destructive: bool,
    only_list: bool,
    reports: tuple[Path, ...],
    lab_key: Path | None,
    to_verify: Path | None,
    lab: str,
    reader: str,
    wait_seconds: float,
) -> None:
    """Examine a test card against the specification; exit code 13 when something is wrong.

    It CONFORMS when all that can be tried was tried, on a blank card with --destructive, and nothing failed; NO FAULT
    FOUND is said of a part.

    A BLANK card is personalised under the laboratory's published test keys, which cannot be undone: it stays an
    active card of the laboratory, and may be examined again. A card that anyone else has personalised is only looked
    at (SELECT, GET DATA, unknown commands): nothing on it changes. A production card is refused. With --destructive
    a card of the laboratory ends terminated.
    """
    if only_list:
        wanted = in_order(chosen(only))
        ctx.emit({"requirements": [report.requirement_facts(one) for one in wanted]}, report.listing(wanted))
        return
    if to_verify is not None:
        _verify(ctx, to_verify, lab)
        return
    key = _check_reports(reports, lab_key)
    with contextlib.closing(open_reader(reader, ctx.data, wait_ms=milliseconds(wait_seconds))) as transport:
        found = examine(
            transport,
            random=secrets.token_bytes,
            only=only,
            destructive=destructive,
            told=lambda one: _tell(ctx, one),
        )
    for path in reports:
        write_file(path, _written(found, path, key))
    ctx.emit(report.facts(found), report.summary(found))
    if not found.conclusion.is_good:
        sys.exit(ExitCode.VERDICT_NEGATIVE)


def _tell(ctx: Context, one: Finding) -> None:
    """A failure is told at once: a card may hang at the next requirement."""
    if one.verdict is Verdict.FAILED:
        ctx.say(f"{one.requirement.id} failed: {one.why}")


def _check_reports(reports: tuple[Path, ...], lab_key: Path | None) -> SoftwareKey | None:
    """The laboratory's key, if a report wants it; before any card is touched. Raises UsageError."""
    for path in reports:
        if path.suffix not in _KINDS:
            raise UsageError(f"a report is one of {', '.join(_KINDS)}, not {path.name}")
    if any(path.suffix == ".cose" for path in reports) != (lab_key is not None):
        raise UsageError("a signed report wants --lab-key, and nothing else does")
    return SoftwareKey.from_pem(read_bytes(lab_key)) if lab_key is not None else None


def _written(found: Examination, path: Path, key: SoftwareKey | None) -> bytes:
    if path.suffix == ".xml":
        return report.junit(found)
    if path.suffix == ".cose" and key is not None:
        software = f"ecny-wallet {version('ecny-wallet')}"
        return signed_report.sign(found, key, made_at=int(time.time()), software=software)
    return report.to_json(found)


def _verify(ctx: Context, path: Path, lab: str) -> None:
    """Exit code 0 for a report that verifies and finds no fault, 13 for any other."""
    content = read_bytes(path, max_size=signed_report.MAX_SIZE)
    found = signed_report.verify(content, parse_id(lab) if lab else None)
    counts = {one.value: sum(given is one for given, _ in found.verdicts.values()) for one in Verdict}
    failed = {name: why for name, (given, why) in found.verdicts.items() if given is Verdict.FAILED}
    facts = {
        "notice": found.notice,
        "verdict": found.conclusion.value,
        "lab": found.lab.hex(),
        "made_at": found.made_at,
        "software": found.software,
        "reader": found.reader,
        "serial": found.serial.hex(),
        "begun": found.begun,
        "ended": found.ended,
        "counts": counts,
        "failed": failed,
    }
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.made_at))
    lines = [
        f"signed by laboratory {found.lab.hex()} at {when}: {found.software}",
        f"  card {found.serial.hex()} in {found.reader}: {found.begun}, then {found.ended}",
        *(f"  {name} failed: {why}" for name, why in failed.items()),
        f"{found.conclusion.value.upper()}: " + ", ".join(f"{count} {name}" for name, count in counts.items()),
        found.notice,
    ]
    ctx.emit(facts, "\n".join(lines))
    if not found.conclusion.is_good:
        sys.exit(ExitCode.VERDICT_NEGATIVE)
