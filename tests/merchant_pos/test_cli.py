"""`ecny pos` as its users see it: lines, JSON, exit codes, over an emulated card on disk and a real HTTP server."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable

import pytest

from hardware.emulator.faults import FaultPlan, Tear, arm
from merchant_pos import phrases
from merchant_pos.cli import crash_hook, pos
from merchant_pos.ports import no_step
from merchant_pos.sales import SaleState
from support.keys import AUTHORITY, FOREIGN_AUTHORITY, FOREIGN_OPERATOR, TILL, Party, certify, party
from support.till import PIN
from support.till_http import operator_server
from support.till_process import TillProcess, make_card
from support.tree import ROOT
from wallet_core.certificates import CertificateClass

MakeTill = Callable[..., TillProcess]
RESULTS = (phrases.PAID, phrases.NOT_CHARGED, phrases.TAP_AGAIN)


def tear(till: TillProcess, where: Tear = Tear.AFTER_COMMIT) -> None:
    arm(till.data / "card", FaultPlan(where, command="PAY"))


# charge -------------------------------------------------------------------------------------------------------------


def test_a_sale_prints_each_moment(make_till: MakeTill) -> None:
    done = make_till().run("charge", "68.00")
    assert (done.code, done.err) == (0, "")
    assert done.lines == ["TAP", "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]


def test_a_torn_sale_asks_for_the_same_card_and_charges_once(make_till: MakeTill) -> None:
    till = make_till()
    assert till.run("charge", "68.00").code == 0
    tear(till)
    done = till.run("charge", "36.00", "--order", "table 7")
    assert done.code == 0
    assert done.lines == ["TAP", "CARD READ", phrases.TAP_AGAIN, "CARD READ", "PAID  RMB 36.00   RMB 396.00 left"]
    assert sorted(till.debits().values()) == [3_600, 6_800]
    assert till.sales()[1].order == "table 7"


def test_with_json_there_is_one_object(make_till: MakeTill) -> None:
    done = make_till().run("charge", "68", "--json")
    facts = done.facts
    assert (facts["result"], facts["sale"]["state"], facts["sale"]["amount"]) == ("PAID", "PAID", 6_800)
    assert facts["sale"]["left"] == 43_200
    assert len(done.lines) == 1


@pytest.mark.parametrize("amount", ["0", "0.00", "-1", "1.001", "1e3", "", "68,00", "９", "99999999999999999"])
def test_an_amount_that_is_none_is_a_usage_error(make_till: MakeTill, amount: str) -> None:
    till = make_till()
    assert till.run("charge", "--", amount).code == 2
    assert till.sales() == []


def test_a_refusal_of_the_card_is_not_charged_with_exit_code_7(make_till: MakeTill) -> None:
    till = make_till()
    done = till.run("charge", "200.01", "--json")
    assert done.code == 7
    assert (done.facts["result"], done.facts["sale"]["state"]) == ("NOT CHARGED", "REFUSED")
    assert json.loads(done.err)["reason"] == "PIN_REQUIRED"
    assert till.debits() == {}
    text = till.run("charge", "200.01")
    assert text.lines[:2] == ["TAP", "CARD READ"]
    assert text.lines[2].startswith("NOT CHARGED")
    assert [sale.k for sale in till.sales()] == [1, 2]


def test_what_the_policy_forbids_is_not_charged_and_not_asked(make_till: MakeTill) -> None:
    till = make_till()
    done = till.run("charge", "500.01", "--json")
    assert done.code == 7
    assert done.facts == {"result": "NOT CHARGED", "sale": None}
    assert json.loads(done.err)["reason"] == "TRANSFER_LIMIT"
    assert till.run("charge", "500.01").lines == ["TAP", "NOT CHARGED  more than RMB 500.00 in one payment"]
    assert till.sales() == []


SECOND_OPERATOR = party("second operator", CertificateClass.OPERATOR, "authority")


@pytest.mark.parametrize(
    ("authority", "operator"), [(AUTHORITY, SECOND_OPERATOR), (FOREIGN_AUTHORITY, FOREIGN_OPERATOR)]
)
def test_a_card_of_another_operator_is_exit_code_13_and_not_charged(
    make_till: MakeTill, authority: Party, operator: Party
) -> None:
    till = make_till()
    files = till.data / "till"
    (files / "authority.cert").write_bytes(authority.certificate.to_bytes())
    (files / "operator.cert").write_bytes(operator.certificate.to_bytes())
    (files / "till.cert").write_bytes(certify(operator.key, TILL.key, CertificateClass.TILL).to_bytes())
    done = till.run("charge", "1.00", "--json")
    assert done.code == 13
    assert (done.facts["result"], json.loads(done.err)["error"]) == ("NOT CHARGED", "untrusted-certificate")
    assert (till.sales(), till.debits()) == ([], {})


def test_the_results_exclude_each_other() -> None:
    assert len(set(RESULTS)) == 3
    assert not any(one.startswith(other) for one in RESULTS for other in RESULTS if one != other)


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_the_pin_comes_from_a_file_or_standard_input(make_till: MakeTill, source: str) -> None:
    till = make_till()
    file = str(till.pin_file) if source == "file" else "-"
    done = till.run("charge", "200.01", "--pin-file", file, stdin=f"{PIN}\n")
    assert done.code == 0, done.err
    assert PIN not in done.out + done.err


def test_without_a_pin_a_large_sale_is_not_charged(make_till: MakeTill) -> None:
    till = make_till()
    done = till.run("charge", "200.01", "--json")
    assert done.code == 7
    assert json.loads(done.err)["reason"] == "PIN_REQUIRED"


@pytest.mark.parametrize("pin", ["000000", "not a pin", ""])
def test_a_wrong_pin_of_a_file_is_tried_once(make_till: MakeTill, pin: str) -> None:
    till = make_till()
    till.pin_file.write_text(pin + "\n")
    done = till.run("charge", "200.01", "--pin-file", str(till.pin_file))
    assert done.code == 7
    assert till.debits() == {}
    till.pin_file.write_text(PIN + "\n")
    assert till.run("charge", "200.01", "--pin-file", str(till.pin_file)).code == 0


def test_a_pin_file_that_is_not_there_stops_before_the_sale(make_till: MakeTill) -> None:
    till = make_till()
    assert till.run("charge", "1.00", "--pin-file", str(till.data / "nowhere")).code == 10
    assert till.sales() == []


def test_without_a_card_the_exit_code_is_5(make_till: MakeTill) -> None:
    till = make_till()
    done = till.run("charge", "1.00", "--reader", "emulator:/nowhere", "--tap-seconds", "0")
    assert done.code == 5
    assert done.lines == ["TAP"]


def test_the_reader_may_come_from_the_environment(make_till: MakeTill) -> None:
    till = make_till()
    other = till.data / "other"
    make_card(other, 2)
    assert till.run("charge", "1.00", ECNY_READER=f"emulator:{other}").code == 0
    assert till.debits() == {}


def test_a_till_that_is_not_enrolled_is_a_configuration_error(make_till: MakeTill) -> None:
    till = make_till(None)
    for command in (["charge", "1.00"], ["resume"], ["cancel", "--yes"], ["status"], ["sync"], ["history"]):
        done = till.run(*command, "--json")
        assert done.code == 10
        assert json.loads(done.err)["error"] == "configuration"


# resume and cancel --------------------------------------------------------------------------------------------------


def test_no_second_tap_is_exit_code_8_and_blocks_the_next_sale(make_till: MakeTill) -> None:
    till = make_till()
    tear(till)
    done = till.run("charge", "68.00", "--retap-seconds", "0")
    assert done.code == 8
    assert done.lines == ["TAP", "CARD READ", phrases.TAP_AGAIN]
    assert "ecny pos resume" in done.err
    again = till.run("charge", "1.00", "--json")
    assert again.code == 8
    assert json.loads(again.err)["error"] == "outcome-unknown"
    status = till.run("status", "--json").facts
    assert (status["open"]["state"], status["open"]["amount"], status["green"]) == ("UNKNOWN", 6_800, False)
    assert phrases.TAP_AGAIN in till.run("status").out


def test_another_card_does_not_finish_the_sale(make_till: MakeTill) -> None:
    till = make_till()
    tear(till)
    till.run("charge", "68.00", "--retap-seconds", "0")
    make_card(till.data / "other", 2)
    done = till.run("resume", "--reader", f"emulator:{till.data / 'other'}", "--retap-seconds", "0.1")
    assert done.code == 8
    assert phrases.ANOTHER_CARD in done.lines
    done = till.run("resume")
    assert done.code == 0
    assert done.lines == [phrases.TAP_AGAIN, "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]


def test_nothing_to_resume_or_cancel(make_till: MakeTill) -> None:
    till = make_till()
    for command in (["resume"], ["cancel"]):
        assert (till.run(*command).code, till.run(*command).lines) == (0, [phrases.NOTHING_OPEN])
        assert till.run(*command, "--json").facts == {"result": None, "sale": None}


def test_cancel_warns_and_wants_a_yes(make_till: MakeTill) -> None:
    till = make_till()
    tear(till)
    till.run("charge", "68.00", "--retap-seconds", "0")
    done = till.run("cancel")
    assert done.code == 2
    assert "reversal at its operator" in done.err
    assert till.sales()[0].state is SaleState.UNKNOWN
    done = till.run("cancel", "--yes")
    assert (done.code, done.lines) == (0, [phrases.CANCELLED])
    assert "reversal at its operator" in done.err
    assert till.run("history", "--json").facts["sales"][0]["shown_as"] == "CANCELLED"
    assert till.run("charge", "1.00").code == 0


# enrol, sync, status, history ---------------------------------------------------------------------------------------


def test_from_enrolment_to_settlement(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(None)
        code_file = till.data / "code"
        code_file.write_text("ONE-TIME-CODE\n")
        authority = till.data / "authority.cert"
        authority.write_bytes(AUTHORITY.certificate.to_bytes())
        words = ["enrol", "--server", server.url, "--code-file", str(code_file), "--authority", str(authority)]
        done = till.run(*words, "--json")
        assert done.code == 0, done.err
        assert done.facts["merchant_name"] == "Luohu Tea House"
        assert stat.S_IMODE((till.data / "till" / "till.key").stat().st_mode) == 0o600
        assert till.run(*words).code == 10  # once only


def test_another_authority_or_production_enrols_nothing(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(None)
        authority = till.data / "authority.cert"
        authority.write_bytes(FOREIGN_AUTHORITY.certificate.to_bytes())
        words = ["enrol", "--server", server.url, "--code-file", "-"]
        for more, error in ((["--authority", str(authority)], "mismatch"), (["--production"], "test-key-refused")):
            done = till.run(*words, *more, "--json", stdin="ONE-TIME-CODE\n")
            assert done.code == 13
            assert json.loads(done.err)["error"] == error
        assert till.run("status").code == 10


def test_status_is_green_only_when_nothing_waits(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        assert till.run("status", "--json").facts["green"] is True
        till.run("charge", "68.00")
        waiting = till.run("status", "--json").facts
        assert (waiting["green"], waiting["waiting"]) == (False, {"count": 1, "amount": 6_800})
        assert "NOT GREEN  1 paid, RMB 68.00, not settled yet" in till.run("status").lines
        assert till.run("sync").lines == ["settled  1, RMB 68.00, in 1 batch"]
        assert phrases.GREEN in till.run("status").lines
        assert till.run("sync").lines == [phrases.NOTHING_QUEUED]


def test_refusals_are_not_green_until_told(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        till.run("charge", "200.01")
        facts = till.run("status", "--json").facts
        assert (facts["green"], facts["waiting_refusals"]) == (False, 1)
        assert till.run("sync", "--json").facts["refusals"] == 1
        assert till.run("status", "--json").facts["green"] is True


def test_history_tells_every_sale(make_till: MakeTill) -> None:
    till = make_till()
    till.run("charge", "68.00")
    till.run("charge", "200.01")
    sales = till.run("history", "--json").facts["sales"]
    keys = {"k", "state", "amount", "payer", "epoch", "n", "voucher_hash", "request_hash", "status", "reason", "batch"}
    assert all(keys <= set(sale) for sale in sales)
    assert [(sale["k"], sale["n"], sale["state"], sale["amount"]) for sale in sales] == [
        (1, 1, "PAID", 6_800),
        (2, 2, "REFUSED", 20_001),
    ]
    assert len(bytes.fromhex(sales[0]["voucher_hash"])) == 32
    assert sales[1]["voucher_hash"] is None
    text = till.run("history").lines
    assert "RMB 68.00" in text[0]
    assert "NOT CHARGED" in text[1]
    assert "PIN_REQUIRED" in text[1]


def test_history_and_status_of_a_new_till(make_till: MakeTill) -> None:
    till = make_till()
    assert till.run("history").lines == [phrases.NO_SALES]
    assert phrases.GREEN in till.run("status").lines


def test_a_server_that_is_away_is_exit_code_12_and_the_work_stays(make_till: MakeTill) -> None:
    till = make_till()  # port 9 of the loopback interface: nobody listens
    till.run("charge", "68.00")
    done = till.run("sync", "--attempts", "1", "--json")
    assert done.code == 12
    assert json.loads(done.err)["error"] == "server-unreachable"
    facts = till.run("status", "--json").facts
    assert facts["waiting"]["count"] == 1
    assert facts["batches_unanswered"][0]["attempts"] == 1
    assert "batch 1: 1 tries, server-unreachable" in till.run("status").out


def test_sync_goes_on_after_a_fault(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        till.run("charge", "68.00")
        server.faults = ["half"]
        done = till.run("sync", "--attempts", "2")
        assert done.code == 0, done.err
        assert done.lines[0].startswith("batch 1 again in 0.")
        assert len({body for _, _, body in server.posts}) == 1


# Two at once --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "command"), [("checkout", ["charge", "1.00"]), ("sync", ["sync"])])
def test_a_second_process_waits_its_turn(make_till: MakeTill, name: str, command: list[str]) -> None:
    import fcntl

    till = make_till()
    with (till.data / "till" / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = till.run(*command, "--json")
        assert done.code == 4
        assert json.loads(done.err)["error"] == "reader-busy"
        assert till.run("status").code == 0


# The hook, the help -------------------------------------------------------------------------------------------------


def test_without_the_variable_there_is_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECNY_CRASH_AT", raising=False)
    assert crash_hook() is no_step


def test_the_hook_is_read_in_one_place() -> None:
    readers = [path.name for path in (ROOT / "merchant_pos").glob("*.py") if "ECNY_CRASH_AT" in path.read_text()]
    assert readers == ["cli_wiring.py"]


def test_every_command_says_what_it_does_and_takes_no_secret() -> None:
    sells, office = {"charge", "refund", "resume", "cancel"}, {"enrol", "status", "sync", "history", "report"}
    assert set(pos.commands) == sells | office
    for command in pos.commands.values():
        assert command.help
        assert not {parameter.name for parameter in command.params} & {"pin", "code", "token"}
