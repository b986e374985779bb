"""`ecny card transfer | report | refuse | block | terminate` as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hardware.cli import card
from support.card_shell import Shell, desk_shell
from support.keys import NOW
from wallet_core.errors import ExitCode
from wallet_core.messages import Voucher, parse

LOADED = 50_000


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with desk_shell(tmp_path) as made:
        made.make_card(load=LOADED)
        yield made


@pytest.fixture
def sam(shell: Shell, tmp_path: Path) -> Shell:
    """A merchant's SAM in a data directory of its own, enrolled with its merchant."""
    data = tmp_path / "sam"
    data.mkdir()
    other = Shell(data, shell.url, shell.bank)
    merchant = shell.bank.parts.tills.add_merchant("Tea House", NOW).merchant
    other.run("new", "--seed", "sam", "--profile", "merchant-sam")
    other.run("personalise", *other.server, *other.pin, "--merchant", merchant)
    return other


def wallet_of(sam: Shell) -> int:
    """Fen in the merchant's wallet at the operator."""
    return sum(one.balance for one in sam.bank.ledger().accounts if one.name.startswith("wallet/"))


def both(sam: Shell) -> list[str]:
    return ["--from", "emulator", "--to", f"emulator:{sam.data / 'card'}"]


def balances(shell: Shell, sam: Shell) -> tuple[int, int]:
    return shell.ask("info")["balance"], sam.ask("info")["balance"]


def test_a_transfer_and_its_refund(shell: Shell, sam: Shell) -> None:
    done = shell.ask("transfer", "6800", *both(sam))
    assert (done["amount"], done["acknowledged"], done["payee_balance"], done["n"]) == (6_800, True, 6_800, 1)
    assert done["payee"] == sam.ask("info")["purse"]
    back = ["--from", f"emulator:{sam.data / 'card'}", "--to", "emulator"]
    assert "moved RMB 8.00" in shell.run("transfer", "800", *back).stdout
    assert balances(shell, sam) == (LOADED - 6_000, 6_000)


@pytest.mark.parametrize("side", ["card", "sam"])
@pytest.mark.parametrize("tear", ["before", "after-commit"])
def test_a_torn_transfer_is_finished_by_the_same_command(shell: Shell, sam: Shell, side: str, tear: str) -> None:
    torn, command = (shell, "PAY") if side == "card" else (sam, "COLLECT")
    torn.run("fault", "--tear", tear, "--command", command)
    error = shell.failed("transfer", "500", *both(sam), code=ExitCode.OUTCOME_UNKNOWN)
    assert "moves once" in error["next_step"]
    assert shell.ask("transfer", "500", *both(sam))["acknowledged"]
    assert balances(shell, sam) == (LOADED - 500, 500)


def test_a_transfer_under_one_order_moves_once(shell: Shell, sam: Shell) -> None:
    for _ in range(2):
        shell.run("transfer", "500", *both(sam), "--order", "invoice 7")
    shell.run("transfer", "500", *both(sam), "--order", "invoice 8")
    assert balances(shell, sam) == (LOADED - 1_000, 1_000)


def test_a_lost_acknowledgement_is_said(shell: Shell, sam: Shell) -> None:
    shell.run("fault", "--tear", "before", "--command", "ACKNOWLEDGE")
    assert "has not heard it yet" in shell.run("transfer", "500", *both(sam)).stdout
    assert balances(shell, sam) == (LOADED - 500, 500)


def test_the_paid_card_is_taken_away_at_each_exchange(shell: Shell, sam: Shell) -> None:
    """The same command again, without any order, as long as it says so: each amount moves once, and only once."""
    gone_at_the_end = exchange = 0
    waits = False
    while not waits:
        exchange += 1
        sam.run("fault", "--tear", "before", "--exchange", str(exchange))
        first = CliRunner().invoke(card, ["transfer", "100", *both(sam), "--data", str(shell.data), "--json"])
        if first.exit_code:
            assert first.exit_code == ExitCode.OUTCOME_UNKNOWN
            shell.run("transfer", "100", *both(sam))
        else:
            gone_at_the_end += json.loads(first.stdout)["payee_balance"] is None
        waits = json.loads(sam.run("fault", "--clear", "--json").stdout)["cleared"]
        assert balances(shell, sam) == (LOADED - 100 * exchange, 100 * exchange)
        shell.run("report", "--server", shell.url, *shell.pin)
        sam.run("report", "--server", shell.url)
    assert gone_at_the_end == 1


def test_a_transfer_that_wants_the_pin(shell: Shell, sam: Shell) -> None:
    error = shell.failed("transfer", "30000", *both(sam), code=ExitCode.CARD_REFUSED)
    assert error["reason"] == "PIN_REQUIRED"
    assert shell.ask("transfer", "30000", *both(sam), *shell.pin)["amount"] == 30_000
    assert balances(shell, sam) == (LOADED - 30_000, 30_000)


def test_a_card_does_not_pay_a_card_by_this_policy(shell: Shell, tmp_path: Path) -> None:
    data = tmp_path / "other"
    data.mkdir()
    other = Shell(data, shell.url, shell.bank)
    other.run("new", "--seed", "other")
    other.run("personalise", *other.server, *other.pin)
    assert shell.failed("transfer", "1", *both(other), code=ExitCode.CARD_REFUSED)["reason"] == "PAYEE_CLASS"
    assert balances(shell, other) == (LOADED, 0)


def test_one_reader_is_not_two(shell: Shell) -> None:
    shell.failed("transfer", "1", "--from", "emulator", "--to", "emulator", code=ExitCode.NO_READER)


def test_a_report(shell: Shell, sam: Shell) -> None:
    shell.run("transfer", "500", *both(sam))
    server = ["--server", shell.url]
    assert shell.ask("info")["free_slots"] == 15
    facts = shell.ask("report", *server, *shell.pin)
    assert (facts["balance"], facts["pending"], facts["vouchers"], facts["granted"]) == (LOADED - 500, 0, 1, True)
    assert shell.ask("info")["free_slots"] == 16
    assert "is online" in sam.run("report", *server).stdout
    assert sam.ask("info")["free_entries"] == 8
    shell.pay(100)
    assert "--pin-file" in shell.run("report", *server).stdout
    assert shell.ask("report", *server, *shell.pin)["pending"] == 1
    assert shell.bank.ledger().conserved


def test_a_torn_report_is_done_again(shell: Shell, sam: Shell) -> None:
    shell.run("transfer", "500", *both(sam))
    shell.run("fault", "--tear", "after-commit", "--command", "GRANT")
    error = shell.failed("report", "--server", shell.url, code=ExitCode.OUTCOME_UNKNOWN)
    assert "nothing is done twice" in error["next_step"]
    assert shell.ask("report", "--server", shell.url)["pending"] == 0


def test_a_report_without_a_server(shell: Shell) -> None:
    shell.failed("report", "--server", "http://127.0.0.1:9", code=ExitCode.SERVER_UNREACHABLE)
    shell.failed("refuse", "--server", "http://127.0.0.1:9", "--request", "00", code=ExitCode.USAGE)


def test_an_open_request_is_given_up(shell: Shell) -> None:
    shell.run("fault", "--tear", "before", "--command", "COLLECT")
    shell.failed("load", "500", *shell.server, code=ExitCode.OUTCOME_UNKNOWN)
    done = shell.ask("refuse", "--server", shell.url)
    assert done["statuses"] == ["recorded"]
    assert len(bytes.fromhex(done["refused"])) == 32
    again = shell.run("refuse", "--server", shell.url, "--request", done["refused"]).stdout
    assert again.splitlines() == [f"refused {done['refused'][:8]}", "  Refusal handed in: recorded"]
    assert "no Request is open" in shell.run("refuse", "--server", shell.url).stdout
    assert "settled before" in shell.run("load", "500", *shell.server).stdout
    assert shell.ask("load", "500", *shell.server)["balance"] == LOADED + 500
    assert shell.bank.ledger().conserved


def test_block_and_terminate(shell: Shell) -> None:
    shell.pay(100)
    for _ in range(2):  # again: nothing to do
        blocked = shell.ask("block")
        assert (blocked["lifecycle"], blocked["balance"]) == ("blocked", LOADED - 100)
    assert shell.failed("load", "1", *shell.server, code=ExitCode.CARD_REFUSED)["reason"] == "WRONG_STATE"
    [voucher] = shell.ask("vouchers", *shell.pin)["vouchers"]
    assert parse(Voucher, bytes.fromhex(voucher["voucher"])).message.amount == 100
    assert "Aborted" in shell.run("terminate", code=1, stdin="n\n").output
    assert shell.ask("info")["lifecycle"] == "blocked"
    assert "terminated" in shell.run("terminate", "--yes").stdout
    assert shell.ask("terminate", "--yes")["lifecycle"] == "terminated", "again: nothing to do"
    assert shell.failed("vouchers", *shell.pin, code=ExitCode.CARD_REFUSED)["reason"] == "WRONG_STATE"


def test_blocking_wants_the_transport_keys(shell: Shell) -> None:
    (shell.data / "bad").write_text("11" * 32)
    error = shell.failed("block", "--batch-key-file", str(shell.data / "bad"), code=ExitCode.VERDICT_NEGATIVE)
    assert "11" * 32 not in json.dumps(error)
    assert shell.ask("info")["lifecycle"] == "active"


def test_value_is_paid_out(shell: Shell, sam: Shell) -> None:
    """What a SAM took in is paid out once its operator has seen where it came from."""
    shell.run("transfer", "500", *both(sam))
    assert "paid out RMB 10.00" in shell.run("unload", "1000", *shell.server).stdout
    shell.run("fault", "--tear", "after-commit", "--command", "PAY")
    error = shell.failed("unload", "70", *shell.server, code=ExitCode.OUTCOME_UNKNOWN)
    assert "paid out once" in error["next_step"]
    assert shell.ask("unload", "70", *shell.server)["finished"] == []
    for _ in range(2):  # again: it is the same one, and it waits
        waits = sam.ask("unload", "400", *sam.server)
        assert (waits["amount"], waits["receipt"]) == (400, None)
    assert "do not unload this amount again" in sam.run("unload", "400", *sam.server).stdout
    assert wallet_of(sam) == 0
    shell.run("report", "--server", shell.url, *shell.pin)
    assert sam.ask("report", "--server", shell.url, *sam.pin)["pending"] == 0
    assert wallet_of(sam) == 400
    assert sam.ask("unload", "100", *sam.server)["acknowledged"]
    assert wallet_of(sam) == 500
    assert balances(shell, sam) == (LOADED - 1_570, 0)
    assert shell.bank.ledger().conserved


def test_a_replacement_names_the_card_whose_place_it_takes(shell: Shell, tmp_path: Path) -> None:
    old = shell.ask("info")["purse"]
    data = tmp_path / "new"
    data.mkdir()
    other = Shell(data, shell.url, shell.bank)
    other.run("new", "--seed", "new")
    other.failed("personalise", *other.server, *other.pin, "--replaces", "zz", code=ExitCode.USAGE)
    answer = other.run("personalise", *other.server, *other.pin, "--replaces", old)
    assert "is active" in answer.stdout
