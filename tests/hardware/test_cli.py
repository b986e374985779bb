"""`ecny card` as a user runs it: what it prints, its exit codes, and that no secret is in either."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.data_objects import AID
from hardware.emulator import faults
from hardware.emulator.card import ATR
from hardware.emulator.faults import FaultPlan, Tear
from hardware.taps import tap
from support.card_shell import Shell, desk_shell
from support.cards import PIN
from wallet_core.errors import ExitCode, OutcomeUnknownError
from wallet_core.messages import Voucher, parse

SELECT = f"00A4040007{AID.hex()}00"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with desk_shell(tmp_path) as made:
        yield made


def test_from_a_blank_card_to_a_loaded_one(shell: Shell) -> None:
    assert "blank card" in shell.run("new", "--serial", "0123456789abcdef").stdout
    blank = shell.ask("info")
    assert (blank["lifecycle"], blank["serial"], blank["policy"]) == ("blank", "0123456789abcdef", None)
    assert "ecny card personalise" in shell.run("info").stdout
    made = shell.ask("personalise", *shell.server, *shell.pin)
    assert made["lifecycle"] == "active"
    assert shell.ask("load", "50000", *shell.server)["balance"] == 50_000
    assert "loaded RMB 10.00, balance RMB 510.00" in shell.run("load", "1000", *shell.server).stdout
    info = shell.ask("info")
    assert (info["purse"], info["balance"], info["next_n"], info["lifecycle"]) == (made["purse"], 51_000, 1, "active")
    assert info["policy"]["offline_count"] == 16
    assert "active  balance RMB 510.00" in shell.run("info").stdout


def test_vouchers_are_for_the_holder(shell: Shell) -> None:
    shell.make_card(load=50_000)
    assert shell.ask("vouchers", *shell.pin) == {"vouchers": []}
    voucher = shell.pay(6_800)
    [listed] = shell.ask("vouchers", *shell.pin)["vouchers"]
    assert (listed["n"], listed["amount"], listed["state"]) == (1, 6_800, "pending")
    assert listed["hash"] == parse(Voucher, voucher).hash.hex()
    assert listed["payer"] == shell.ask("info")["purse"]
    assert "RMB 68.00" in shell.run("vouchers", "--pin-file", "-", stdin=PIN).stdout
    (shell.data / "wrong").write_text("9999")
    error = shell.failed("vouchers", "--pin-file", str(shell.data / "wrong"), code=ExitCode.CARD_REFUSED)
    assert "2 tries left" in error["message"]
    assert "9999" not in str(error)


def test_a_seed_makes_the_same_card(shell: Shell, tmp_path: Path) -> None:
    shell.make_card()
    other = tmp_path / "other"
    other.mkdir()
    same = Shell(other, shell.url, shell.bank)
    same.run("new", "--seed", "cli")
    assert same.ask("info")["serial"] == shell.ask("info")["serial"]
    third = tmp_path / "third"
    third.mkdir()
    assert Shell(third, shell.url, shell.bank).ask("new")["serial"] != shell.ask("info")["serial"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["new", "--serial", "0123"], ExitCode.USAGE),
        (["new", "--serial", "x" * 16], ExitCode.USAGE),
        (["new", "--profile", "hk-visitor-production"], ExitCode.CONFIGURATION),
        (["info"], ExitCode.NO_CARD),
        (["info", "--reader", "emulator:"], ExitCode.USAGE),
        (["fault", "--tear", "before", "--command", "PAY"], ExitCode.NO_CARD),
        (["emulate"], ExitCode.NO_CARD),
    ],
)
def test_without_a_card(shell: Shell, words: list[str], code: ExitCode) -> None:
    assert set(shell.failed(*words, code=code)) >= {"error", "message", "next_step"}


def test_a_card_is_not_made_over_another(shell: Shell) -> None:
    shell.run("new")
    before = shell.ask("info")
    assert shell.failed("new", code=ExitCode.CONFIGURATION)["error"] == "configuration"
    assert shell.ask("info") == before


def test_errors_have_their_exit_codes(shell: Shell) -> None:
    shell.run("new", "--seed", "cli")
    nobody = ["--server", "http://127.0.0.1:9", "--token-file", str(shell.data / "token")]
    assert shell.failed("load", "1", *shell.server, code=ExitCode.CARD_REFUSED)["reason"] == "WRONG_STATE"
    shell.failed("personalise", *nobody, *shell.pin, code=ExitCode.SERVER_UNREACHABLE)
    (shell.data / "bad").write_text("not a batch key")
    bad = ["--batch-key-file", str(shell.data / "bad")]
    shell.failed("personalise", *shell.server, *shell.pin, *bad, code=ExitCode.CONFIGURATION)
    (shell.data / "bad").write_text("11" * 32)
    shell.failed("personalise", *shell.server, *shell.pin, *bad, code=ExitCode.VERDICT_NEGATIVE)
    (shell.data / "bad").write_text("12")
    shell.failed("personalise", *shell.server, "--pin-file", str(shell.data / "bad"), code=ExitCode.USAGE)
    shell.run("personalise", *shell.server, *shell.pin)
    assert shell.failed("load", "100001", *shell.server, code=ExitCode.SERVER_REFUSED)["error"] == "server-refused"
    shell.failed("load", "1", *nobody, code=ExitCode.SERVER_UNREACHABLE)
    shell.run("load", "0", *shell.server, code=ExitCode.USAGE)
    shell.run("load", "1", *shell.server)
    assert shell.ask("info")["balance"] == 1


def test_a_torn_load_is_finished_by_the_same_command(shell: Shell) -> None:
    shell.make_card()
    assert "armed: after-commit COLLECT" in shell.run("fault", "--tear", "after-commit", "--command", "collect").stdout
    error = shell.failed("load", "500", *shell.server, code=ExitCode.OUTCOME_UNKNOWN)
    assert "loaded once" in error["next_step"]
    assert shell.ask("load", "500", *shell.server)["balance"] == 500


def test_a_fault_is_armed_and_cleared(shell: Shell) -> None:
    shell.make_card(load=1_000)
    shell.run("fault", "--tear", "during", "--exchange", "2", "--at", "3", "--outcome", "partial", "--reinsert-ms", "9")
    plan = faults.armed(shell.data / "card")
    assert plan is not None
    assert (plan.tear, plan.exchange, plan.at, plan.outcome.name, plan.reinsert_ms) == (Tear.DURING, 2, 3, "PARTIAL", 9)
    with pytest.raises(OutcomeUnknownError):
        shell.pay(100)
    assert faults.armed(shell.data / "card") is None
    shell.pay(100)
    assert shell.ask("info")["balance"] == 900
    shell.run("fault", "--tear", "answer", "--command", "PAY")
    assert shell.ask("fault", "--clear") == {"cleared": True}
    assert "no plan" in shell.run("fault", "--clear").stdout
    for words in (["--tear", "before"], ["--command", "PAY"], ["--tear", "before", "--command", "PAYY"]):
        shell.failed("fault", *words, code=ExitCode.USAGE)


def test_apdu(shell: Shell) -> None:
    shell.make_card()
    result = shell.run("apdu", SELECT, "00CADF0400", "--expect-sw", "9000").stdout
    assert f"A>> 00A40400 07 {AID.hex().upper()} 00" in result
    assert "9000" in result
    assert [one["sw"] for one in shell.ask("apdu", SELECT, "80FF000000")["answers"]] == ["9000", "6d00"]
    shell.failed("apdu", "80FF000000", "--expect-sw", "9xxx", code=ExitCode.CARD_REFUSED)
    assert shell.run("apdu", "-", "--expect-sw", "9000", stdin=f"{SELECT}\n\n00CADF0300\n").stdout.endswith(
        "2 answered\n"
    )
    for words in (["zz"], [SELECT, "--expect-sw", "90"], [SELECT, "--expect-sw", "90g0"]):
        shell.failed("apdu", *words, code=ExitCode.USAGE)
    shell.failed("apdu", "00", code=ExitCode.VERDICT_NEGATIVE)
    block = "2624681 0FFFFFFFF".replace(" ", "")
    shown = shell.run("apdu", SELECT, f"0020000108{block}").stdout
    assert block not in shown
    assert "hidden" in shown


def test_trace_shows_and_records(shell: Shell) -> None:
    shell.make_card()
    record = shell.data / "trace.jsonl"
    live = shell.run("trace", "--record", str(record)).stdout
    assert live.count("A>>") == live.count("A<<") == 5
    assert "5 exchanges" in live
    shown = shell.run("trace", "--show", str(record)).stdout
    assert shown.count("A>>") == 5
    assert f"00A4040007{AID.hex().upper()}00" in shown
    assert len(shell.ask("trace", "--show", str(record))["record"]) == 7
    facts = shell.ask("trace")
    assert facts["exchanges"] == 5
    assert facts["card"] == shell.ask("info")
    record.write_text("{}\n")
    shell.failed("trace", "--show", str(record), code=ExitCode.VERDICT_NEGATIVE)
    record.write_text("{")
    shell.failed("trace", "--show", str(record), code=ExitCode.VERDICT_NEGATIVE)
    shell.failed("trace", "--record", str(shell.data / "no" / "where"), code=ExitCode.STORAGE)


def test_readers_lists_the_emulated_card(shell: Shell) -> None:
    shell.run("new")
    listed = shell.ask("readers")["readers"]
    assert listed[0] == {"name": f"emulator:{shell.data / 'card'}", "kind": "emulator", "card": True, "in_use": False}
    assert f"emulator:{shell.data / 'card'}  card" in shell.run("readers").stdout


def test_a_card_is_held_by_one_process(shell: Shell) -> None:
    shell.run("new")
    with tap("auto", shell.data) as wallet:
        wallet.select()
        assert shell.failed("info", code=ExitCode.NO_READER)["error"] == "reader-busy"
    shell.run("info")


class Vpcd:
    """The reader's end of vpcd's protocol."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.line = self.listener

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self) -> None:
        self.line, _ = self.listener.accept()
        self.line.settimeout(10)

    def send(self, body: bytes) -> None:
        self.line.sendall(len(body).to_bytes(2, "big") + body)

    def receive(self) -> bytes:
        """One message; empty when the card has closed."""
        head = self._exactly(2)
        return self._exactly(int.from_bytes(head, "big")) if head else b""

    def ask(self, body: bytes) -> bytes:
        self.send(body)
        return self.receive()

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = self.line.recv(size - len(got))
            if not part:
                return b""
            got += part
        return got

    def close(self) -> None:
        self.line.close()
        self.listener.close()


def test_emulate_puts_the_card_into_vpcd_and_back_after_a_tear(shell: Shell) -> None:
    shell.make_card(load=1_000)
    reader = Vpcd()
    words = ["card", "emulate", "--vpcd", reader.address, "--data", str(shell.data)]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("ecny"), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        reader.accept()
        assert process.stdout.readline() == "inserted\n"
        assert reader.ask(b"\x04") == ATR
        reader.send(b"\x01")
        assert reader.ask(bytes.fromhex(SELECT))[-2:] == b"\x90\x00"
        assert shell.failed("info", code=ExitCode.NO_READER)["error"] == "reader-busy"
        faults.arm(shell.data / "card", FaultPlan(Tear.ANSWER, command="GET DATA", reinsert_ms=50))
        assert reader.ask(bytes.fromhex("00CADF0400")) == b"", "torn: closed without an answer"
        assert process.stdout.readline() == "torn\n"
        reader.line.close()
        reader.accept()
        assert process.stdout.readline() == "inserted\n"
        assert reader.ask(bytes.fromhex("00CADF0400"))[-2:] == b"\x6d\x00", "power was lost, so nothing is selected"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout.read().splitlines()[-1] == "stopped"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        reader.close()
    assert shell.ask("info")["balance"] == 1_000


@pytest.mark.parametrize("address", ["35963", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:0", ":1", "h:70000"])
def test_what_is_no_address_of_vpcd(shell: Shell, address: str) -> None:
    shell.failed("emulate", "--vpcd", address, code=ExitCode.USAGE)
