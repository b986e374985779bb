"""`ecny card emulate --profile --seed --tear`: a card out of a seed in the virtual reader, torn once where it says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from hardware.cli import card
from hardware.driver import HardWallet
from hardware.emulator.issuer import published_issuer
from hardware.emulator.profiles import find_ready, ready_serial
from hardware.exchange import CardConnection
from support.tally import record
from wallet_core.errors import ExitCode, NoCardError, OutcomeUnknownError

ECNY = Path(sys.executable).with_name("ecny")
PATIENCE_S = 30  # for a machine that has much else to do; nothing waits that long otherwise


class Reader:
    """vpcd's side of one insertion, as a `Transport`."""

    name = "played"

    def __init__(self, listener: socket.socket) -> None:
        self._line, _ = listener.accept()
        self._line.settimeout(PATIENCE_S)
        self._send(b"\1")
        self._send(b"\4")
        self.atr = self._receive()

    def transmit(self, command: bytes) -> bytes:
        self._send(command)
        try:
            return self._receive()
        except (ConnectionError, EOFError) as gone:
            raise OutcomeUnknownError("no answer came") from gone

    def reset(self) -> None:
        raise NoCardError("a new insertion is a new reader")

    def close(self) -> None:
        self._line.close()

    def _send(self, body: bytes) -> None:
        self._line.sendall(len(body).to_bytes(2, "big") + body)

    def _receive(self) -> bytes:
        size = int.from_bytes(self._exactly(2), "big")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        got = self._line.recv(size, socket.MSG_WAITALL)
        if len(got) != size:
            raise EOFError
        return got


@contextmanager
def emulating(listener: socket.socket, *words: str) -> Iterator[subprocess.Popen[str]]:
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    process = subprocess.Popen(
        [ECNY, "card", "emulate", "--vpcd", address, *words, "--json"], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.settimeout(PATIENCE_S)
        yield one


def test_after_the_commit_of_exchange_2_the_card_is_gone_and_comes_back_having_paid(listener: socket.socket) -> None:
    issuer = published_issuer()
    words = ("--profile", "hk-visitor", "--seed", "1", "--tear", "after-commit@2", "--reinsert-ms", "1")
    with emulating(listener, *words) as process:
        wallet = HardWallet(CardConnection(Reader(listener)))
        fci = wallet.select()
        request = issuer.till_request(fci, 6_800)
        with pytest.raises(OutcomeUnknownError):
            issuer.pay(wallet, fci, request)
        wallet.close()
        again = HardWallet(CardConnection(Reader(listener)))
        assert again.select().balance == 50_000 - 6_800
        assert again.resend(request.hash)
        assert again.serial() == ready_serial(find_ready("hk-visitor"), "1")
        again.close()
        told = [json.loads(process.stdout.readline())["event"] for _ in range(3)] if process.stdout else []
    assert told == ["inserted", "torn", "inserted"]
    record("power cuts", 1, wrong=0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tear", ""), "before, write, after-commit, answer"),
        (("--tear", "after-commit"), "before, write, after-commit, answer"),
        (("--tear", "during@3"), "before, write, after-commit, answer"),
        (("--tear", "before@PAYING"), "PAY"),
        (("--tear", "write@3:x"), "from 1"),
    ],
)
def test_a_tear_that_is_none_names_what_is_allowed(words: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(card, ["emulate", "--profile", "blank", *words])
    assert done.exit_code == ExitCode.USAGE
    assert says in done.stderr


def test_without_a_profile_it_is_the_card_of_the_data_directory(tmp_path: Path) -> None:
    done = CliRunner().invoke(card, ["emulate", "--data", str(tmp_path)])
    assert done.exit_code == ExitCode.NO_CARD
