"""`ecny card readers | apdu | trace`: the tools of whoever looks after cards and readers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import click

from hardware.apdu import ResponseApdu
from hardware.card_views import info_facts
from hardware.cli_options import reader_option
from hardware.emulator.in_reader import SCHEME, has_card
from hardware.javacard import in_reader as javacard
from hardware.status_words import describe
from hardware.taps import card_directory, open_reader, tap
from hardware.transports.base import Transport
from hardware.transports.pcsc import list_readers
from hardware.transports.tracing import TracingTransport
from wallet_core.cli import Context, common_options, read_bytes
from wallet_core.errors import CardError, CodecError, ConfigurationError, NoServiceError, StorageError, UsageError

_MAX_INPUT: Final = 1 << 20


@click.command()
@common_options
def readers(ctx: Context) -> None:
    """The readers that --reader can name."""
    found: list[dict[str, Any]] = []
    directory = card_directory(ctx.data)
    for kind, there in ((SCHEME, has_card(directory)), (javacard.SCHEME, javacard.has_card(directory))):
        if there:
            found.append({"name": f"{kind}:{directory}", "kind": kind, "card": True, "in_use": False})
    why = ""
    try:
        found += [
            {"name": one.name, "kind": "pcsc", "card": one.has_card, "in_use": one.in_use} for one in list_readers()
        ]
    except (NoServiceError, ConfigurationError) as missing:
        if not found:
            raise
        why = missing.message
    lines = [
        f"{one['name']}  {'card' if one['card'] else 'no card'}{', in use' if one['in_use'] else ''}" for one in found
    ]
    if why:
        lines.append(f"no PC/SC readers: {why}")
    ctx.emit({"readers": found, "pcsc": why or "ok"}, "\n".join(lines) or "no reader")


@click.command()
@click.argument("apdus", metavar="HEX…", nargs=-1, required=True)
@click.option("--expect-sw", metavar="SW", help="Status word that each must answer; x stands for any digit.")
@reader_option
@common_options
def apdu(ctx: Context, apdus: tuple[str, ...], expect_sw: str | None, reader: str) -> None:
    """Send command APDUs as they are, in one tap; - reads them from standard input, one a line."""
    raw = [_parse_hex(text) for text in _lines(apdus)]
    if expect_sw is not None and (len(expect_sw) != 4 or not set(expect_sw.lower()) <= set("0123456789abcdefx")):
        raise UsageError("a status word has four hexadecimal digits", next_step="Write it like 9000 or 61xx.")
    answers = []
    with contextlib.closing(TracingTransport(open_reader(reader, ctx.data), sink=ctx.say)) as transport:
        for command in raw:
            answer = ResponseApdu.from_bytes(transport.transmit(command))
            answers.append({"data": answer.data.hex(), "sw": f"{answer.sw:04x}", "meaning": describe(answer.sw)})
            if expect_sw is not None and not _fits(answer.sw, expect_sw):
                raise CardError(answer.sw, f"the card answered {answer.sw:04X}, not {expect_sw}: {describe(answer.sw)}")
    ctx.emit({"answers": answers}, f"{len(answers)} answered")


def _lines(apdus: tuple[str, ...]) -> list[str]:
    if apdus != ("-",):
        return list(apdus)
    text = read_bytes(Path("-"), max_size=_MAX_INPUT).decode("ascii", "replace")
    return [line for line in text.splitlines() if line.strip()]


def _parse_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:  # not quoted: it may hold a PIN
        raise UsageError("an APDU is written in hexadecimal digits") from None


def _fits(sw: int, pattern: str) -> bool:
    return all(want in ("x", got) for want, got in zip(pattern.lower(), f"{sw:04x}", strict=True))


@click.command()
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), help="Write the exchanges there too, as JSON."
)
@click.option("--show", type=click.Path(path_type=Path, dir_okay=False), help="Show such a record instead of a card.")
@reader_option
@common_options
def trace(ctx: Context, record: Path | None, show: Path | None, reader: str) -> None:
    """Read all that the card tells anyone and show each exchange, without secrets."""
    if show is not None:
        entries = _recorded(show)
        ctx.emit({"record": entries}, "\n".join(_entry_text(one) for one in entries))
        return
    with _stream(record) as stream:

        def wrap(transport: Transport) -> Transport:
            return TracingTransport(transport, sink=ctx.say, record=stream)

        with tap(reader, ctx.data, wrap=wrap) as wallet:
            facts = info_facts(wallet)
            meter = wallet.connection.meter
    total = {"exchanges": meter.exchanges, "bytes": meter.bytes_total, "ms": round(meter.time_ms, 3)}
    ctx.emit(
        {"card": facts, **total}, f"{meter.exchanges} exchanges, {meter.bytes_total} bytes, {meter.time_ms:.1f} ms"
    )


@contextlib.contextmanager
def _stream(record: Path | None) -> Iterator[TextIO | None]:
    if record is None:
        yield None
        return
    try:
        stream = record.open("w", encoding="utf-8")
    except OSError as exc:
        raise StorageError(f"cannot write {record}: {exc.strerror}") from exc
    with stream:
        yield stream


def _recorded(path: Path) -> list[dict[str, Any]]:
    """The entries of a record; raises CodecError."""
    entries = []
    for number, line in enumerate(read_bytes(path).decode("utf-8", "replace").splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError as exc:
            raise CodecError(f"line {number} of the record is not JSON") from exc
        if not isinstance(entry, dict) or "event" not in entry:
            raise CodecError(f"line {number} of the record is no record of an exchange")
        entries.append(entry)
    return entries


def _entry_text(entry: dict[str, Any]) -> str:
    if entry["event"] != "exchange":
        return f"--- {entry['event']}  {entry.get('reader', '')} {entry.get('atr', '')}".rstrip()
    hidden = f" [{entry['hidden']} bytes hidden]" if entry.get("hidden") else ""
    answer = entry.get("response") or f"no answer: {entry.get('error', 'unknown')}"
    took = f"({entry.get('ms', 0)} ms) {entry.get('meaning', '')}".rstrip()
    return f"A>> {entry.get('command', '')}{hidden}\nA<< {answer} {took}"
