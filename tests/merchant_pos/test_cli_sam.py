"""`ecny pos` with the merchant's SAM as its users see it: lines, JSON, exit codes, over emulated purses on disk."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hardware.emulator.faults import FaultPlan, Tear, arm
from merchant_pos import phrases
from merchant_pos.identity import load_identity
from merchant_pos.sales import SaleState
from merchant_pos.transfers import TransferState
from support.keys import CARD, EXPIRES, NOT_BEFORE, OPERATOR, TILL, certify, key
from support.till import LOADED, PIN, revocation_list
from support.till_http import operator_server
from support.till_process import KILLED, TillProcess, make_card, open_wallet
from support.till_zygote import Zygote
from wallet_core.certificates import CertificateClass
from wallet_core.messages import Report, RevocationReason, Signed, parse
from wallet_core.messages.ending import Grant, pack_closed, pack_outcomes
from wallet_core.suites import Suite

MakeTill = Callable[..., TillProcess]


@pytest.fixture
def till(make_till: MakeTill) -> TillProcess:
    made = make_till()
    made.add_sam()
    return made


# A sale -------------------------------------------------------------------------------------------------------------


def test_a_sale_into_the_sam_prints_each_moment(till: TillProcess) -> None:
    done = till.run("charge", "68.00", *till.sam_reader, "--order", "table 7")
    assert (done.code, done.err) == (0, "")
    assert done.lines == ["TAP", "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]
    assert till.transfers()[0].plan.order == "table 7"
    history = till.run("history")
    assert "sale to the SAM" in history.out
    assert "PAID (in the SAM)" in history.out


def test_the_sams_reader_may_come_from_the_environment(till: TillProcess) -> None:
    assert till.run("charge", "1.00", ECNY_SAM=till.sam_reader[1]).code == 0
    assert till.held_by("sam") == (100, 0)


def test_with_json_there_is_one_object(till: TillProcess) -> None:
    done = till.run("charge", "68", "--json", *till.sam_reader)
    assert len(done.lines) == 1
    sale = done.facts["sale"]
    assert (done.facts["result"], sale["kind"], sale["state"], sale["left"]) == ("PAID", "SALE", "PAID", 43_200)
    rows = till.run("history", "--json").facts["sales"]
    assert [row["k"] for row in rows] == [1]
    assert rows[0]["voucher_hash"] == sale["voucher_hash"]


def test_a_refusal_is_exit_code_7_and_frees_the_sam(till: TillProcess) -> None:
    done = till.run("charge", "200.01", "--json", *till.sam_reader)
    assert (done.code, done.facts["result"], json.loads(done.err)["reason"]) == (7, "NOT CHARGED", "PIN_REQUIRED")
    assert till.held_by("sam") == (0, 0)
    with_pin = till.run("charge", "200.01", *till.sam_reader, "--pin-file", str(till.pin_file))
    assert with_pin.code == 0, with_pin.err
    assert PIN not in with_pin.out + with_pin.err


def test_without_the_sam_the_exit_code_is_5_and_nothing_was_asked(till: TillProcess) -> None:
    done = till.run("charge", "1.00", "--sam", "emulator:/nowhere", "--tap-seconds", "0")
    assert done.code == 5
    assert "SAM" in done.err
    assert till.transfers() == []


def test_one_reader_for_both_is_exit_code_4(till: TillProcess) -> None:
    done = till.run("charge", "1.00", "--sam", f"emulator:{till.data / 'card'}")
    assert done.code == 4
    assert till.transfers() == []


def test_a_sam_that_does_not_take_the_voucher_is_outcome_open_and_exit_code_8(till: TillProcess) -> None:
    arm(till.data / "sam", FaultPlan(Tear.BEFORE, command="COLLECT"))
    done = till.run("charge", "68.00", *till.sam_reader, "--retap-seconds", "0")
    assert done.code == 8
    assert phrases.OUTCOME_OPEN in done.err
    assert not any(word in done.out for word in (phrases.PAID, phrases.NOT_CHARGED))
    status = till.run("status")
    assert phrases.OUTCOME_OPEN in status.out
    assert "resume --sam READER" in status.out
    assert not till.run("status", "--json").facts["green"]
    assert till.run("resume").code == 2  # the reader with the SAM has to be named
    resumed = till.run("resume", *till.sam_reader)
    assert (resumed.code, resumed.lines[-1]) == (0, "PAID  RMB 68.00   RMB 432.00 left")


def test_an_open_sale_stops_the_next_and_is_resumed(till: TillProcess) -> None:
    arm(till.data / "card", FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    assert till.run("charge", "68.00", *till.sam_reader, "--retap-seconds", "0").code == 8
    for words in (("charge", "1.00"), ("charge", "1.00", *till.sam_reader)):
        stopped = till.run(*words)
        assert stopped.code == 8
        assert "resume --sam" in stopped.err
    assert "resume --sam READER" in till.run("status").out
    assert till.run("resume", *till.sam_reader).code == 0
    assert [one.state for one in till.transfers()] == [TransferState.PAID]


def test_cancel_wants_the_warning_read_and_the_sam(till: TillProcess) -> None:
    arm(till.data / "card", FaultPlan(Tear.AFTER_COMMIT, command="PAY"))
    assert till.run("charge", "68.00", *till.sam_reader, "--retap-seconds", "0").code == 8
    assert till.run("cancel", "--yes").code == 2
    unread = till.run("cancel", *till.sam_reader)
    assert (unread.code, phrases.CANCEL_WARNING in unread.err) == (2, True)
    done = till.run("cancel", "--yes", "--json", *till.sam_reader)
    assert (done.code, done.facts["result"], done.facts["sale"]["state"]) == (0, phrases.CANCELLED, "REFUSED")
    assert till.held_by("card") == (LOADED, 0)  # the card was still there: it has its value back
    assert till.run("cancel", "--yes").lines == [phrases.NOTHING_OPEN]
    assert till.run("cancel", "--yes", "--sale", "1", *till.sam_reader).code == 2


# A refund -----------------------------------------------------------------------------------------------------------


def test_a_refund_prints_what_the_card_holds(till: TillProcess) -> None:
    assert till.run("charge", "68.00", *till.sam_reader).code == 0
    done = till.run("refund", "1", "18.00", *till.sam_reader)
    assert (done.code, done.lines) == (0, ["TAP", "CARD READ", "REFUNDED  RMB 18.00   RMB 450.00 on the card"])
    facts = till.run("refund", "1", "--json", *till.sam_reader).facts
    assert (facts["result"], facts["sale"]["amount"], facts["sale"]["refund_of"] is not None) == (
        "REFUNDED",
        5_000,
        True,
    )
    assert till.run("refund", "1", *till.sam_reader).code == 2
    assert "REFUNDED" in till.run("history").out
    assert (till.held_by("card"), till.held_by("sam")) == ((LOADED, 0), (0, 0))


def test_a_refund_of_a_sale_to_the_till_is_refused_for_another_card(till: TillProcess) -> None:
    make_card(till.data / "other", 2)
    assert till.run("charge", "10.00", *till.sam_reader).code == 0
    assert till.run("charge", "5.00").code == 0
    other = ("--reader", f"emulator:{till.data / 'other'}")
    refused = till.run("refund", "2", *other, *till.sam_reader)
    assert refused.code == 13
    assert refused.lines[-1] == "NOT REFUNDED  this card did not pay that sale"
    assert till.run("refund", "2", "--any-card", *other, *till.sam_reader).code == 0
    assert till.held_by("other") == (LOADED + 500, 0)


def test_a_refund_wants_its_sam_and_a_paid_sale(till: TillProcess) -> None:
    assert till.run("refund", "1").code == 2
    assert till.run("refund", "1", *till.sam_reader).code == 2
    assert till.run("refund", "0", *till.sam_reader).code == 2


def test_a_sam_without_value_is_exit_code_7(till: TillProcess) -> None:
    assert till.run("charge", "5.00").code == 0
    done = till.run("refund", "1", "--json", *till.sam_reader)
    assert (done.code, done.facts["result"], json.loads(done.err)["reason"]) == (7, "NOT REFUNDED", "INSUFFICIENT")
    assert till.held_by("card") == (LOADED - 500, 0)


# Online -------------------------------------------------------------------------------------------------------------


def test_sync_fetches_the_list_and_a_listed_card_is_exit_code_13(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        wallet = open_wallet(till.data / "card")
        listed = wallet.select().purse_id
        wallet.close()
        server.revocations = revocation_list({listed: RevocationReason.FROZEN}, serial=5).to_bytes()
        assert till.run("charge", "1.00").code == 0
        assert till.run("sync", "--json").facts["revocation_list"] == 5
        assert till.run("status", "--json").facts["revocation_list"] == 5
        done = till.run("charge", "1.00", "--json")
        assert (done.code, done.facts) == (13, {"result": "NOT CHARGED", "sale": None})
        assert "reported lost" in json.loads(done.err)["message"]
        server.revocations = revocation_list({}, serial=4).to_bytes()
        assert till.run("sync").code == 13
        assert till.run("charge", "1.00").code == 13


def test_a_refused_deposit_keeps_no_revocation_back(make_till: MakeTill) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        assert till.run("charge", "1.00").code == 0
        server.revocations = revocation_list({CARD.id: RevocationReason.REVOKED}, serial=2).to_bytes()
        server.faults = [server._problem(409, "batch-number-used")]
        done = till.run("sync")
        assert (done.code, "--succeeds" in done.err) == (9, True)
        assert till.run("status", "--json").facts["revocation_list"] == 2


def test_a_renewed_operators_certificate_is_taken(make_till: MakeTill) -> None:
    """The till has one that has run out; killed before or after it is written down, the next sync has it."""
    with operator_server() as server:
        till = make_till(server.url)
        soon = certify(key("authority"), OPERATOR.key, CertificateClass.OPERATOR, expires=NOT_BEFORE + 1)
        (till.data / "till" / "operator.cert").write_bytes(soon.to_bytes())
        assert till.run("sync", crash_at="renewed").code == KILLED
        assert load_identity(till.data / "till").operator.expires == EXPIRES
        assert till.run("sync", "--json").facts["renewed"] is None
        assert till.run("charge", "1.00").code == 0


@pytest.mark.parametrize("step", ["reported", "granted", ""])
def test_a_report_that_is_killed_is_made_again(make_till: MakeTill, step: str) -> None:
    with operator_server() as server:
        till = make_till(server.url)
        assert till.run("charge", "68.00").code == 0

        def grant(asked: dict[str, object]) -> dict[str, object]:
            asks.append(len(list(asked["vouchers"])))  # type: ignore[call-overload]
            report = parse(Report, bytes.fromhex(str(asked["report"])))
            message = Grant(
                suite=Suite.ES256,
                purse=report.message.purse,
                epoch=report.message.epoch,
                n_acked=report.message.next_n,
                policy_version=1,
                out_acked=report.message.total_out,
                in_acked=report.message.total_in,
                outcomes=pack_outcomes([]),
                closed=pack_closed([]),
                report_hash=report.hash,
            )
            return {"grant": Signed.sign(message, OPERATOR.key).to_bytes().hex(), "orders": [], "policy": None}

        asks: list[int] = []
        server.report = grant
        server.revocations = revocation_list({}).to_bytes()
        if step:
            assert till.run("report", crash_at=step).code == KILLED
        done = till.run("report", "--json")
        assert done.code == 0, done.err
        assert set(asks) == {1}, "the voucher to this till goes along without a PIN"
        wallet = open_wallet(till.data / "card")
        assert (wallet.totals().out_acked, wallet.select().balance) == (6_800, LOADED - 6_800)
        wallet.close()


# A till that takes over ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["", "key-saved", "enrolled", "inherited"])
def test_a_till_takes_over_whatever_it_is_killed_at(make_till: MakeTill, zygote: Zygote, step: str) -> None:
    with operator_server() as server:
        old = make_till(server.url)
        assert old.run("charge", "68.00").code == 0
        new = TillProcess(old.data.parent / "new", zygote, None)
        words = ("enrol", "--server", server.url, "--code-file", "-", "--succeeds", str(old.data))
        if step:
            assert new.run(*words, stdin="ONE-TIME-CODE\n", crash_at=step).code == KILLED
            assert new.run("status").code == 10
        done = new.run(*words, "--json", stdin="ONE-TIME-CODE\n")
        assert done.code == 0, done.err
        assert done.facts["inherited"]["sales"] == (0 if step == "inherited" else 1)
        assert server.succeeded == {done.facts["till"]: TILL.id.hex()}
        history = new.run("history", "--json").facts
        assert [(row["k"], row["state"]) for row in history["inherited"]] == [(1, "PAID")]
        assert f"till {TILL.id.hex()[:8]}" in new.run("history").out
        assert new.run("status", "--json").facts["waiting"] == {"count": 1, "amount": 6_800}
        for words in (("charge", "1.00"), ("sync",)):
            assert old.run(*words).code == 10
        assert [sale.state for sale in old.sales()] == [SaleState.PAID]


def test_a_till_does_not_succeed_itself(make_till: MakeTill) -> None:
    till = make_till()
    words = ("enrol", "--server", "http://127.0.0.1:9", "--code-file", "-", "--succeeds", str(till.data))
    assert till.run(*words, stdin="ONE-TIME-CODE\n").code == 2
