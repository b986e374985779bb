"""`ecny card` as a user runs it: one data directory, and a real server behind it on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from structlog.testing import capture_logs
from werkzeug.serving import make_server

from hardware.cli import card
from hardware.taps import tap
from server.app import create_app
from support.cards import PIN, make_world
from support.operator_world import TOKEN, Bank, World


class Shell:
    """Runs `ecny card …` in one data directory, with a server behind it."""

    def __init__(self, data: Path, url: str, bank: Bank) -> None:
        self.data, self.url, self.bank = data, url, bank
        (data / "pin").write_text(f"{PIN}\n")
        (data / "token").write_text(f"{TOKEN}\n")

    def run(self, *words: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(
            card, [*words, "--data", str(self.data)], input=stdin, env={"ECNY_READER": "emulator", "ECNY_HOME": None}
        )
        assert result.exit_code == code, result.output
        for secret in (PIN, TOKEN):
            assert secret not in result.output
        return result

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def failed(self, *words: str, code: int) -> Any:
        """The error object of a command that fails."""
        return json.loads(self.run(*words, "--json", code=code).stderr)

    @property
    def server(self) -> list[str]:
        return ["--server", self.url, "--token-file", str(self.data / "token")]

    @property
    def pin(self) -> list[str]:
        return ["--pin-file", str(self.data / "pin")]

    def make_card(self, load: int = 0) -> None:
        self.run("new", "--seed", "cli")
        self.run("personalise", *self.server, *self.pin)
        if load:
            self.run("load", str(load), *self.server)

    def pay(self, amount: int) -> bytes:
        """What a till would do."""
        with tap("emulator", self.data) as wallet:
            return wallet.pay(make_world("cli").till_request(wallet.select(), amount).to_payload())


@contextmanager
def desk_shell(data: Path) -> Iterator[Shell]:
    (data / "server").mkdir()
    bank = Bank(World.make(data / "server"))
    http = make_server("127.0.0.1", 0, create_app(bank.settings, bank.parts), threaded=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        with capture_logs():  # the server's own, which go to its process's output elsewhere
            yield Shell(data, f"http://127.0.0.1:{http.server_port}", bank)
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        bank.parts.close()
