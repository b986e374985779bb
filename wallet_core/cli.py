"""The `ecny` command: its root, what all commands share, and `ecny verify`. The only input and output of wallet_core.

Other packages plug their groups in by the entry-point group ``ecny.commands``; they are imported when first
used, so that `ecny verify` starts without a database or a card reader.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

import click

from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import ConfigurationError, EcnyError, ExitCode, PurseRefusal, StorageError, UsageError
from wallet_core.fraud import Culprit, FraudProof, check, is_proof
from wallet_core.inspection import open_message, verify
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.suites import Suite, parse_suite
from wallet_core.trust import TrustStore

ENTRY_POINT_GROUP = "ecny.commands"
_FRAUD_PROOF = "fraud-proof"
F = TypeVar("F", bound=Callable[..., Any])


def default_data_dir() -> Path:
    """ECNY_HOME, else the XDG data directory (XDG Base Directory Specification)."""
    home = os.environ.get("ECNY_HOME")
    if home:
        return Path(home)
    xdg = os.environ.get("XDG_DATA_HOME")
    return (Path(xdg) if xdg else Path.home() / ".local" / "share") / "ecny"


@dataclass(frozen=True)
class Context:
    """What every command gets: the data directory and how to print."""

    data: Path
    json: bool

    def emit(self, facts: dict[str, Any], text: str) -> None:
        """Print `facts` as one JSON object with --json, else `text`."""
        click.echo(json.dumps(facts, ensure_ascii=False, sort_keys=True) if self.json else text)

    def say(self, line: str) -> None:
        """A line for people while something goes on; silent with --json."""
        if not self.json:
            click.echo(line)


def common_options(command: F) -> F:
    """Give a command --data and --json and pass them as `ctx: Context`; turn EcnyErrors into exit codes."""

    @click.option(
        "--data", type=click.Path(path_type=Path, file_okay=False), help="Data directory (default ECNY_HOME)."
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
    @functools.wraps(command)
    def wrapper(*args: Any, data: Path | None, as_json: bool, **kwargs: Any) -> Any:
        root: dict[str, Any] = click.get_current_context().find_root().ensure_object(dict)
        as_json = as_json or bool(root.get("json"))
        context = Context(data or root.get("data") or default_data_dir(), as_json)
        try:
            return command(*args, ctx=context, **kwargs)
        except EcnyError as exc:
            report(exc, as_json=as_json)
            sys.exit(exc.exit_code)

    return wrapper  # type: ignore[return-value]


def suite_option(command: F) -> F:
    """Give a command --suite and pass it as `suite: Suite | None`: None where it is not given."""
    return click.option(
        "--suite",
        type=click.Choice([one.name.lower() for one in Suite]),
        callback=lambda _, __, name: None if name is None else parse_suite(name),
        help="Of the whole installation: es256 (default) or sm2. One that is there keeps its own.",
    )(command)


def report(error: EcnyError, *, as_json: bool) -> None:
    """Print an error on standard error: what is wrong, and what to do next."""
    if as_json:
        facts = {"error": error.code, "message": error.message, "next_step": error.next_step}
        if isinstance(error, PurseRefusal):
            facts["reason"] = error.reason.name
        click.echo(json.dumps(facts, ensure_ascii=False, sort_keys=True), err=True)
    else:
        click.echo(f"{error.code}: {error.message}\n  → {error.next_step}", err=True)


def read_bytes(path: Path, *, max_size: int = MAX_BATCH_SIZE) -> bytes:
    """A file's content, or standard input for ``-``; raises ConfigurationError or UsageError."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(max_size + 1)
        else:
            with path.open("rb") as file:
                content = file.read(max_size + 1)
    except OSError as exc:
        raise ConfigurationError(f"cannot read {path}: {exc.strerror}") from exc
    if len(content) > max_size:
        raise UsageError(f"{path} is longer than {max_size} bytes")
    return content


def read_secret(path: Path) -> str:
    """A PIN, code or token: the first line of a file or of standard input, never an argument; it is never printed."""
    try:
        return read_bytes(path, max_size=4096).decode().partition("\n")[0].strip()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not text") from None


def write_file(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a whole file or nothing (temporary file, fsync, rename); `secret` makes it readable by the owner only."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        make_directory(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_names(path.parent)
    except OSError as exc:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {exc.strerror}") from exc


def make_directory(path: Path, *, mode: int = 0o777) -> None:
    """A directory with those above it. What was missing has its name on disk when this returns: a file in a directory
    whose name a power loss takes away is lost too, however well it was synced. Raises OSError."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    for one in missing:
        _sync_names(one.parent)


def remove_file(path: Path) -> None:
    """A file that may be missing already; it does not come back after a power loss. Raises OSError."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        _sync_names(path.parent)


def _sync_names(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class PluginGroup(click.Group):
    """The root group: own commands first, then those that installed packages plug in."""

    @functools.cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._plugins})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in self._plugins:
            return own
        loaded: click.Command = self._plugins[cmd_name].load()
        return loaded


@click.group(cls=PluginGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Data directory (default ECNY_HOME).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.version_option(package_name="ecny-wallet")
@click.pass_context
def root(ctx: click.Context, data: Path | None, as_json: bool) -> None:
    """Digital RMB wallet with offline hard wallets: an open reference with test money.

    Not affiliated with the People's Bank of China or any bank.
    """
    ctx.ensure_object(dict)["data"] = data
    ctx.obj["json"] = as_json


@root.command("verify")
@click.argument("words", nargs=-1, metavar="[fraud-proof] FILE")
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Certificate file, or a folder of *.cert; repeatable.",
)
@click.option(
    "--signer", type=click.Path(path_type=Path), help="The signer's certificate, where --trust has not got it."
)
@click.option("--production", is_flag=True, help="Refuse test keys.")
@common_options
def verify_command(
    ctx: Context, words: tuple[str, ...], trust: tuple[Path, ...], signer: Path | None, production: bool
) -> None:
    """Open a signed message, certificate or proof of fraud and say whether to believe it; exit code 13 when not.

    With the word fraud-proof, FILE must be such a proof: public keys suffice to check it.
    """
    wants_proof = len(words) == 2 and words[0] == _FRAUD_PROOF
    if len(words) != 1 + wants_proof:
        raise UsageError("verify takes one file", next_step=f"ecny verify [{_FRAUD_PROOF}] FILE --trust …")
    content = read_bytes(Path(words[-1]))
    if wants_proof or is_proof(content):
        proof = FraudProof.from_bytes(content)
        _show_verdict(ctx, proof, check(proof, _trust_store(trust, production=production)))
        return
    opened = open_message(content)
    store = _trust_store(trust, production=production)
    certificate = Certificate.from_bytes(read_bytes(signer)) if signer else None
    verify(opened, store, certificate, now=int(time.time()))
    facts = {"verdict": "verified", "type": opened.name, "hash": opened.hash.hex(), "fields": opened.fields}
    lines = [f"verified  {opened.name}", f"  hash  {opened.hash.hex()}"]
    lines += [f"  {name}  {value}" for name, value in opened.fields.items()]
    ctx.emit(facts, "\n".join(lines))


def _show_verdict(ctx: Context, proof: FraudProof, culprit: Culprit) -> None:
    evidence = [{"type": type(one.message).__name__, "hash": one.hash.hex()} for one in proof.messages]
    facts = {
        "verdict": "proved",
        "type": type(proof).__name__,
        "kind": culprit.kind.name,
        "culprit": culprit.id.hex(),
        "class": culprit.subject_class.name,
        "what": culprit.what,
        "messages": evidence,
    }
    lines = [f"proved  {facts['kind']}"]
    lines += [f"  {name}  {facts[name]}" for name in ("culprit", "class", "what")]
    lines += [f"  {one['type']}  {one['hash']}" for one in evidence]
    ctx.emit(facts, "\n".join(lines))


def _trust_store(paths: tuple[Path, ...], *, production: bool) -> TrustStore:
    if not paths:
        raise UsageError("nothing to trust", next_step="Pass --trust with the authority's certificate.")
    files = [file for path in paths for file in (sorted(path.glob("*.cert")) if path.is_dir() else [path])]
    certificates = [Certificate.from_bytes(read_bytes(file)) for file in files]
    roots = [c for c in certificates if c.subject_class is CertificateClass.AUTHORITY]
    if len(roots) != 1:
        raise ConfigurationError(f"{len(roots)} authority certificates among --trust, exactly one is needed")
    store = TrustStore(roots[0], production=production)
    for certificate in certificates:
        if certificate.subject_class is CertificateClass.OPERATOR:
            store.add_operator(certificate)
    return store


def main() -> None:
    """Entry point of `ecny`: every way out has a documented exit code (docs/spec/statuses.md)."""
    as_json = "--json" in sys.argv
    try:
        status = root.main(standalone_mode=False)
        sys.exit(status if isinstance(status, int) else ExitCode.OK)
    except EcnyError as exc:
        report(exc, as_json=as_json)
        sys.exit(exc.exit_code)
    except click.ClickException as exc:  # a wrong option or argument
        if as_json:
            report(UsageError(exc.format_message()), as_json=True)
        else:
            exc.show()
        sys.exit(ExitCode.USAGE)
    except click.Abort:  # click's name for Ctrl-C
        click.echo("interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as exc:
        if os.environ.get("ECNY_DEBUG"):
            raise
        # Its words may hold what nobody should see: only its class is shown.
        unknown = EcnyError(type(exc).__name__, next_step="Run again with ECNY_DEBUG=1 and report the trace.")
        report(unknown, as_json=as_json)
        sys.exit(unknown.exit_code)
