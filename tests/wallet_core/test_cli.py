"""The `ecny` command: verdicts, exit codes, JSON on both streams, files written whole or not at all."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from support.keys import AUTHORITY, CARD, FOREIGN_AUTHORITY, FOREIGN_OPERATOR, OPERATOR, TILL, Party
from support.samples import REQUEST, SAMPLES, VOUCHER, Sample
from wallet_core import cli
from wallet_core.cli import Context, common_options, default_data_dir, read_bytes, read_secret, write_file
from wallet_core.errors import (
    ConfigurationError,
    EcnyError,
    ExitCode,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    StorageError,
    UsageError,
)
from wallet_core.fraud import make
from wallet_core.messages import Signed

SECOND = replace(VOUCHER, amount=1, request_hash=replace(REQUEST, amount=1).hash)
DOUBLE_SPEND = make([Signed.sign(one, CARD.key) for one in (VOUCHER, SECOND)], [CARD.certificate, OPERATOR.certificate])
ECNY = Path(sys.executable).parent / "ecny"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The trust of a test set-up, certificates of two devices, and a voucher."""
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "authority.cert").write_bytes(AUTHORITY.certificate.to_bytes())
    (trust / "operator.cert").write_bytes(OPERATOR.certificate.to_bytes())
    (trust / "notes.txt").write_text("no certificate")
    for party in (CARD, TILL):
        (tmp_path / f"{party.name}.cert").write_bytes(party.certificate.to_bytes())
    (tmp_path / "voucher").write_bytes(Signed.sign(VOUCHER, CARD.key).to_bytes())
    return tmp_path


def ecny(*arguments: str | Path, stdin: bytes | None = None) -> Any:
    return CliRunner().invoke(cli.root, [str(argument) for argument in arguments], input=stdin)


def verify(folder: Path, file: str | Path, *more: str | Path, stdin: bytes | None = None) -> Any:
    name = file if file == "-" else folder / file
    return ecny("verify", name, "--trust", folder / "trust", *more, stdin=stdin)


def trust(folder: Path) -> tuple[str, Path]:
    return "--trust", folder / "trust"


def test_a_voucher_is_verified(folder: Path) -> None:
    done = verify(folder, "voucher", "--signer", folder / "card.cert")
    assert (done.exit_code, done.stderr) == (ExitCode.OK, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "verified  Voucher"
    assert lines[1].split() == ["hash", VOUCHER.hash.hex()]
    assert "  amount  6800" in lines


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_every_message_as_json(folder: Path, sample: Sample) -> None:
    (folder / "message").write_bytes(sample.signed.to_bytes())
    (folder / "signer.cert").write_bytes(sample.signer.certificate.to_bytes())
    done = verify(folder, "message", "--signer", folder / "signer.cert", "--json")
    assert (done.exit_code, done.stderr) == (ExitCode.OK, "")
    facts = json.loads(done.stdout)
    assert facts["verdict"] == "verified"
    assert facts["type"] == type(sample.message).__name__
    assert facts["hash"] == sample.signed.hash.hex()
    assert facts["fields"]["suite"] == 1


@pytest.mark.parametrize("party", [AUTHORITY, OPERATOR, CARD, TILL], ids=lambda party: party.name)
def test_a_certificate_from_standard_input(folder: Path, party: Party) -> None:
    done = verify(folder, "-", stdin=party.certificate.to_bytes())
    assert done.exit_code == ExitCode.OK
    assert party.id.hex() in done.stdout


def refused(done: Any, code: str, exit_code: ExitCode = ExitCode.VERDICT_NEGATIVE) -> str:
    assert (done.exit_code, done.stdout) == (exit_code, "")
    first, second = done.stderr.splitlines()
    assert first.startswith(f"{code}: ")
    assert second.startswith("  → ")
    return str(first.partition(": ")[2])


def test_verdicts_that_are_negative(folder: Path) -> None:
    good = (folder / "voucher").read_bytes()
    signer = ("--signer", folder / "card.cert")
    refused(verify(folder, "-", *signer, stdin=good[:-1]), "truncated")
    refused(verify(folder, "-", *signer, stdin=good + b"\0"), "oversized")
    refused(verify(folder, "-", *signer, stdin=b"rubbish"), "not-canonical")
    refused(verify(folder, "-", *signer, stdin=good[:-1] + bytes((good[-1] ^ 1,))), "bad-signature")
    refused(verify(folder, "voucher"), "mismatch")
    refused(verify(folder, "voucher", "--signer", folder / "till.cert"), "mismatch")
    refused(verify(folder, "voucher", *signer, "--production"), "test-key-refused")
    refused(verify(folder, "voucher", "--signer", folder / "voucher"), "wrong-type")
    foreign = folder / "foreign"
    foreign.mkdir()
    (foreign / "a.cert").write_bytes(FOREIGN_AUTHORITY.certificate.to_bytes())
    (foreign / "b.cert").write_bytes(FOREIGN_OPERATOR.certificate.to_bytes())
    refused(ecny("verify", folder / "voucher", *signer, "--trust", foreign), "untrusted-certificate")


def test_what_to_trust_is_needed_and_is_one_authority(folder: Path) -> None:
    file, authority = folder / "voucher", folder / "trust" / "authority.cert"
    refused(ecny("verify", file), "usage", ExitCode.USAGE)
    (folder / "empty").mkdir()
    refused(ecny("verify", file, "--trust", folder / "empty"), "configuration", ExitCode.CONFIGURATION)
    twice = ecny("verify", file, "--trust", authority, "--trust", folder / "trust")
    assert "2 authority certificates" in refused(twice, "configuration", ExitCode.CONFIGURATION)
    refused(ecny("verify", file, "--trust", folder / "nowhere"), "configuration", ExitCode.CONFIGURATION)
    files = ("--trust", authority, "--trust", folder / "trust" / "operator.cert")
    assert ecny("verify", file, *files, "--signer", folder / "card.cert").exit_code == ExitCode.OK


def test_a_proof_of_fraud(folder: Path) -> None:
    """With the authority's certificate and nothing else; with the word or without."""
    (folder / "proof").write_bytes(DOUBLE_SPEND.to_bytes())
    authority = ("--trust", folder / "trust" / "authority.cert")
    for words in (["fraud-proof"], []):
        done = ecny("verify", *words, folder / "proof", *authority)
        assert (done.exit_code, done.stderr) == (ExitCode.OK, "")
        lines = done.stdout.splitlines()
        assert lines[0] == "proved  DOUBLE_SPEND"
        assert [line.split()[:2] for line in lines[1:3]] == [["culprit", CARD.id.hex()], ["class", "HARD_WALLET"]]
        assert "6800 fen" in lines[3]
        assert [line.split() for line in lines[4:]] == [["Voucher", one.hash.hex()] for one in DOUBLE_SPEND.messages]
    facts = json.loads(ecny("verify", "fraud-proof", folder / "proof", *authority, "--json").stdout)
    assert facts == {
        "verdict": "proved",
        "type": "FraudProof",
        "kind": "DOUBLE_SPEND",
        "culprit": CARD.id.hex(),
        "class": "HARD_WALLET",
        "what": lines[3].split("what")[1].strip(),
        "messages": [{"type": "Voucher", "hash": one.hash.hex()} for one in DOUBLE_SPEND.messages],
    }


def test_a_proof_that_proves_nothing(folder: Path) -> None:
    data = DOUBLE_SPEND.to_bytes()
    first = DOUBLE_SPEND.messages[0]
    same = replace(DOUBLE_SPEND, messages=(first, first)).to_bytes()
    for words in (["fraud-proof"], []):
        assert "one message" in refused(ecny("verify", *words, "-", *trust(folder), stdin=same), "mismatch")
        refused(ecny("verify", *words, "-", *trust(folder), stdin=data[:-1]), "truncated")
        changed = data[:-300] + bytes((data[-300] ^ 1,)) + data[-299:]
        assert ecny("verify", *words, "-", *trust(folder), stdin=changed).exit_code == ExitCode.VERDICT_NEGATIVE
        refused(ecny("verify", *words, "-", *trust(folder), "--production", stdin=data), "test-key-refused")
        refused(ecny("verify", *words, "-", stdin=data), "usage", ExitCode.USAGE)
    as_json = ecny("verify", "fraud-proof", "-", *trust(folder), "--json", stdin=same)
    assert (as_json.exit_code, as_json.stdout) == (ExitCode.VERDICT_NEGATIVE, "")
    assert json.loads(as_json.stderr)["error"] == "mismatch"


def test_only_a_proof_is_a_proof(folder: Path) -> None:
    """Each message is good for itself; asked for a proof of fraud, none of them is one."""
    for name in ("voucher", "card.cert"):
        assert ecny("verify", folder / name, *trust(folder), "--signer", folder / "card.cert").exit_code == ExitCode.OK
        done = ecny("verify", "fraud-proof", folder / name, *trust(folder))
        assert (done.exit_code, done.stdout) == (ExitCode.VERDICT_NEGATIVE, "")
    refused(ecny("verify", "fraud-proofs", folder / "voucher", *trust(folder)), "usage", ExitCode.USAGE)
    with_word = ecny("verify", "fraud-proof", folder / "voucher", folder / "voucher", *trust(folder))
    refused(with_word, "usage", ExitCode.USAGE)


def test_a_file_with_the_name_of_the_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "fraud-proof").write_bytes((folder / "voucher").read_bytes())
    monkeypatch.chdir(folder)
    assert ecny("verify", "fraud-proof", "--trust", "trust", "--signer", "card.cert").exit_code == ExitCode.OK


def test_files_that_cannot_be_read(folder: Path) -> None:
    for name in ("nowhere", "trust"):
        refused(verify(folder, name), "configuration", ExitCode.CONFIGURATION)


def test_errors_as_json(folder: Path) -> None:
    for arguments in (("--json", "verify", folder / "nowhere"), ("verify", folder / "nowhere", "--json")):
        done = ecny(*arguments)
        assert (done.exit_code, done.stdout) == (ExitCode.CONFIGURATION, "")
        assert set(json.loads(done.stderr)) == {"error", "message", "next_step"}


def test_a_refusal_names_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    cli.report(PurseRefusal(Refused.STALE), as_json=True)
    assert json.loads(capsys.readouterr().err)["reason"] == "STALE"


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """main() in a process of its own, after `code` has added a command."""
    program = f"import sys, click\nfrom wallet_core import cli, errors\n{code}\nsys.argv[0] = 'ecny'\ncli.main()\n"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """main() here; the status that it ends with."""
    monkeypatch.setattr(sys, "argv", ["ecny", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command `act` that does what it is told."""

    def install(action: Any) -> None:
        @click.command("act")
        @common_options
        def act(ctx: Context) -> None:
            action(ctx)

        monkeypatch.setitem(cli.root.commands, "act", act)

    return install


def throw(error: BaseException) -> Any:
    def action(_: Context) -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 2),
        (OutcomeUnknownError("x"), 8),
        (StorageError("x"), 11),
        (EcnyError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ValueError("secret-4711"), 1),
        (click.UsageError("x"), 2),
        (SystemExit(5), 5),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("as_json", [False, True])
def test_every_way_out_has_its_status(
    raising: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    as_json: bool,
) -> None:
    monkeypatch.delenv("ECNY_DEBUG", raising=False)
    raising(throw(error))
    assert main(monkeypatch, "act", *(["--json"] if as_json else [])) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "secret-4711" not in shown.err
    if as_json and not isinstance(error, SystemExit | KeyboardInterrupt):
        assert set(json.loads(shown.err)) == {"error", "message", "next_step"}
    if isinstance(error, OutcomeUnknownError):
        assert "TAP THE SAME CARD AGAIN" in shown.err


def test_the_trace_is_there_for_those_who_ask(raising: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECNY_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["ecny", "act"])
    raising(throw(ValueError("details")))
    with pytest.raises(ValueError, match="details"):
        cli.main()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 2),
        (["nonsense"], 2),
        (["verify"], 2),
        (["verify", "--nonsense"], 2),
        (["verify", "a", "b"], 2),
        (["verify", "fraud-proof", "a", "b"], 2),
        (["--help"], 0),
        (["verify", "-h"], 0),
        (["--version"], 0),
    ],
)
def test_usage(monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int) -> None:
    assert main(monkeypatch, *arguments) == status


def test_wrong_usage_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(monkeypatch, "verify", "--json") == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert json.loads(shown.err)["error"] == "usage"


def test_the_installed_command() -> None:
    """In a process of its own: the version, and an exit code that a shell sees."""
    version = subprocess.run([ECNY, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (version.returncode, version.stderr) == (0, "")
    assert importlib.metadata.version("ecny-wallet") in version.stdout
    unread = subprocess.run([ECNY, "verify", "/nowhere"], capture_output=True, text=True, timeout=60, check=False)
    assert unread.returncode == ExitCode.CONFIGURATION
    assert "Traceback" not in unread.stderr


def test_ctrl_c_in_a_process_of_its_own() -> None:
    code = "import os, signal\n@cli.root.command('wait')\ndef wait(): os.kill(os.getpid(), signal.SIGINT)"
    done = run(code, "wait")
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


def test_verify_starts_without_database_or_reader() -> None:
    """Other packages are imported when their command is used, not before."""
    code = (
        "@cli.root.command('loaded')\ndef loaded():\n"
        "    heavy = ('flask', 'sqlite_utils', 'smartcard', 'httpx', 'hardware', 'server', 'merchant_pos')\n"
        "    print([name for name in heavy if name in sys.modules])"
    )
    done = run(code, "loaded")
    assert (done.returncode, done.stdout.strip()) == (0, "[]")


@pytest.mark.parametrize(
    ("home", "xdg", "expected"),
    [
        ("/a", "/b", "/a"),
        ("/a", "", "/a"),
        ("", "/b", "/b/ecny"),
        ("", "", "~/.local/share/ecny"),
    ],
)
def test_where_the_data_are(monkeypatch: pytest.MonkeyPatch, home: str, xdg: str, expected: str) -> None:
    monkeypatch.setenv("ECNY_HOME", home)
    monkeypatch.setenv("XDG_DATA_HOME", xdg)
    assert default_data_dir() == Path(expected).expanduser()


def test_context(raising: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def show(ctx: Context) -> None:
        ctx.say("working")
        ctx.emit({"b": "元", "a": str(ctx.data)}, f"data in {ctx.data}")

    raising(show)
    monkeypatch.setenv("ECNY_HOME", "/home")
    for arguments, data in (([], "/home"), (["act", "--data", "/own"], "/own"), (["--data", "/root", "act"], "/root")):
        assert main(monkeypatch, *(arguments or ["act"])) == 0
        assert capsys.readouterr().out == f"working\ndata in {data}\n"
        assert main(monkeypatch, "--json", *(arguments or ["act"])) == 0
        assert capsys.readouterr().out == f'{{"a": "{data}", "b": "元"}}\n'


def test_reading(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bytes(file, max_size=5) == b"12345"
    with pytest.raises(UsageError):
        read_bytes(file, max_size=4)
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigurationError):
            read_bytes(path)


@pytest.mark.parametrize(("content", "secret"), [(b"4711\n", "4711"), (b" 4711 \nmore", "4711"), (b"4711", "4711")])
def test_a_secret_is_the_first_line(tmp_path: Path, content: bytes, secret: str) -> None:
    file = tmp_path / "pin"
    file.write_bytes(content)
    assert read_secret(file) == secret


@pytest.mark.parametrize("content", [b"\xff\xfe4711", b"4711\xc3"])
def test_a_secret_that_is_no_text_is_not_quoted(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pin"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        read_secret(file)
    assert "4711" not in caught.value.message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("secret", [False, True])
def test_writing(tmp_path: Path, secret: bool) -> None:
    file = tmp_path / "new" / "file"
    for content in (b"one", b"another", b""):
        write_file(file, content, secret=secret)
        assert file.read_bytes() == content
    mode = stat.S_IMODE(file.stat().st_mode)
    assert mode & 0o077 == 0 if secret else mode & 0o600 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "open", "fdopen", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    file = tmp_path / "file"
    write_file(file, b"old")

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path if call == "replace" else os, call, full)
        with pytest.raises(StorageError) as caught:
            write_file(file, b"new")
    assert "No space left" in caught.value.message
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
