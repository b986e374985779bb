"""`ecny authority` and `ecny server` as a user types them: what they print, --json, exit codes, and no secret."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from server.storage.sqlite import SqliteStorage
from wallet_core.cli import root


class Ecny:
    """Runs commands in one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._runner = CliRunner()

    def run(self, *words: str | Path, code: int = 0) -> Result:
        done = self._runner.invoke(root, ["--data", str(self.data), *map(str, words)])
        assert done.exit_code == code, done.output + done.stderr
        return done

    def ask(self, *words: str | Path, code: int = 0) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.run(*words, "--json", code=code).stdout)
        return facts

    def refused(self, *words: str | Path, code: int) -> dict[str, Any]:
        """The error object of a failing command; nothing on standard output."""
        done = self.run(*words, "--json", code=code)
        assert done.stdout == ""
        facts: dict[str, Any] = json.loads(done.stderr)
        return facts


@pytest.fixture
def ecny(tmp_path: Path) -> Ecny:
    return Ecny(tmp_path)


@pytest.fixture
def installed(ecny: Ecny) -> Ecny:
    data = ecny.data
    ecny.run("authority", "init")
    ecny.run("server", "init")
    ecny.run("authority", "certify", "--request", data / "server" / "operator.request", "--out", data / "operator.cert")
    root_certificate = data / "authority" / "authority.cert"
    ecny.run("server", "install", "--certificate", data / "operator.cert", "--authority", root_certificate)
    return ecny


def issue(ecny: Ecny, amount: int) -> Path:
    purse = ecny.ask("server", "ledger")["operator_purse_ids"][0]
    ecny.run("authority", "issue", "--to", purse, "--amount", str(amount), "--out", ecny.data / "issuance.cose")
    return ecny.data / "issuance.cose"


def test_the_set_up_and_its_books(installed: Ecny) -> None:
    file = issue(installed, 50_000)
    assert installed.ask("server", "issuance", file) == {
        "amount": 50_000,
        "purse": installed.ask("server", "ledger")["operator_purse_ids"][0],
        "serial": 1,
    }
    installed.run("server", "issuance", file)
    ledger = installed.ask("server", "ledger")
    assert (ledger["issued"], ledger["operator_purses"], ledger["sum"]) == (50_000, 50_000, 0)
    assert ledger["conserved"]
    printed = installed.run("server", "ledger").stdout
    assert "issued                    50,000 fen" in printed
    assert printed.splitlines()[-1] == "conserved: every transfer sums to zero"


def test_every_step_can_be_repeated(installed: Ecny) -> None:
    data = installed.data
    before = installed.ask("server", "ledger")
    authority = installed.ask("authority", "init")["authority"]
    installed.run("server", "init")
    again = data / "again.cert"
    installed.run("authority", "certify", "--request", data / "server" / "operator.request", "--out", again)
    assert again.read_bytes() == (data / "operator.cert").read_bytes()
    facts = installed.ask(
        "server", "install", "--certificate", again, "--authority", data / "authority" / "authority.cert"
    )
    assert facts["purse"] == before["operator_purse_ids"][0]
    assert installed.ask("server", "ledger") == before
    assert installed.ask("authority", "init")["authority"] == authority


def test_a_merchant_gets_a_code(installed: Ecny) -> None:
    printed = installed.run("server", "merchant", "add", "羅湖茶室").stdout
    assert "one-time code" in printed
    out = installed.data / "code"
    facts = installed.ask("server", "merchant", "add", "Tea House", "--code-out", out)
    assert facts == {"merchant": facts["merchant"], "name": "Tea House", "code_file": str(out)}
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(out.read_text().strip()) == 27
    assert out.read_text().strip() not in installed.run("server", "ledger").output


@pytest.mark.parametrize(
    "words",
    [
        ("server", "ledger"),
        ("server", "run", "--port", "0"),
        ("server", "merchant", "add", "x"),
        ("server", "issuance", "/dev/null"),
        ("server", "install", "--certificate", "/dev/null", "--authority", "/dev/null"),
        ("authority", "certify", "--request", "/dev/null", "--out", "/dev/null"),
        ("authority", "issue", "--to", "00" * 32, "--amount", "5", "--out", "/dev/null"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_before_the_set_up(ecny: Ecny, words: tuple[str, ...]) -> None:
    assert ecny.refused(*words, code=10)["error"] == "configuration"
    assert not list(ecny.data.glob("**/server.db"))


def test_wrong_arguments(installed: Ecny) -> None:
    words = ("authority", "issue", "--to", "zz", "--amount", "5", "--out", "x")
    assert installed.refused(*words, code=2)["error"] == "usage"
    assert installed.refused("server", "merchant", "add", " ", code=2)["error"] == "usage"
    installed.run("authority", "issue", "--to", "00" * 32, "--amount", "0", "--out", "x", code=2)
    installed.run("server", "run", "--port", "70000", code=2)


def test_what_does_not_verify_has_its_exit_code(installed: Ecny) -> None:
    file = issue(installed, 5)
    damaged = installed.data / "damaged.cose"
    damaged.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert installed.refused("server", "issuance", damaged, code=13)["error"] == "bad-signature"
    damaged.write_bytes(b"rubbish")
    assert installed.refused("server", "issuance", damaged, code=13)["error"] == "not-canonical"
    assert installed.ask("server", "ledger")["issued"] == 0


def test_the_second_issuance_first(installed: Ecny) -> None:
    first = issue(installed, 5).read_bytes()
    second = issue(installed, 7)
    assert installed.refused("server", "issuance", second, code=13)["error"] == "mismatch"
    (installed.data / "first").write_bytes(first)
    installed.run("server", "issuance", installed.data / "first")
    installed.run("server", "issuance", second)
    assert installed.ask("server", "ledger")["issued"] == 12


def test_broken_books_have_their_exit_code(installed: Ecny) -> None:
    storage = SqliteStorage(installed.data / "server" / "server.db")
    with storage.writing() as tx:
        tx._connection.execute("UPDATE account SET balance = 7 WHERE kind = 6")  # type: ignore[attr-defined]
    storage.close()
    ledger = installed.ask("server", "ledger", code=11)
    assert not ledger["conserved"]
    assert ledger["sum"] == 7
    assert "WRONG: all balances sum to 7, not 0" in installed.run("server", "ledger", code=11).stdout


def test_no_secret_is_printed(installed: Ecny) -> None:
    printed = "".join(
        installed.run(*words).output
        for words in (("authority", "init"), ("server", "init"), ("server", "ledger"), ("server", "ledger", "--json"))
    )
    server = installed.data / "server"
    for name in ("admin.token", "master.key"):
        assert (server / name).read_text().strip() not in printed
    assert "PRIVATE KEY" not in printed
