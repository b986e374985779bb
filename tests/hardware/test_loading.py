"""Personalising and loading over HTTP, with the real server in process: whatever goes wrong on the way, and whenever,
the same command again ends with the card loaded once and the books right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hardware.card_views import load_text
from hardware.emulator.faults import FaultPlan, Tear
from hardware.loading import Intents, load_card
from hardware.operator_client import LoadOrder, OperatorClient
from support.card_desk import AMOUNT, URL, Desk
from support.cards import blank_card, make_world, refused, signed_grant
from wallet_core.errors import (
    ConfigurationError,
    EcnyError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    ServerUnreachableError,
    SettlementError,
)
from wallet_core.messages import Request, parse


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def test_a_card_is_personalised_and_loaded(desk: Desk) -> None:
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)
    assert desk.load(1_000) == AMOUNT + 1_000
    assert desk.is_clean(AMOUNT + 1_000)
    assert [call.split("/")[-1] for call in desk.line.calls[1:6]] == ["loads", "loads", "request", "receipts", "loads"]


@pytest.mark.parametrize("kind", ["lost", "unanswered", "half", "500"])
def test_the_server_goes_away_at_each_call(desk: Desk, kind: str) -> None:
    """Four calls make a load; each goes wrong once, and the same command again finishes that very load."""
    balance = 0
    for call in range(1, 5):
        desk.line.calls.clear()
        desk.line.fault = (call, kind)
        with pytest.raises(ServerUnreachableError):
            desk.load(1_000)
        desk.line.fault = None
        balance += 1_000
        assert desk.load(1_000) == balance
        assert desk.is_clean(balance)


@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER])
@pytest.mark.parametrize("command", ["SELECT", "REQUEST", "COLLECT", "RESEND"])
def test_the_card_goes_away_in_each_command(desk: Desk, command: str, tear: Tear) -> None:
    if command in ("SELECT", "RESEND") and tear is Tear.AFTER_COMMIT:
        tear = Tear.ANSWER  # these commit nothing
    desk.hand.tap()
    desk.hand.plans.plans.append(FaultPlan(tear, command=command))
    with pytest.raises(OutcomeUnknownError):
        load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)


def test_the_card_goes_away_when_all_is_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credited, and its Receipt is handed in: what is left is to read the balance, and the load stays this one."""

    def hand_in_and_tear(receipt: bytes) -> None:
        OperatorClient.hand_in(desk.server, receipt)
        desk.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="SELECT"))

    desk.hand.tap()
    with monkeypatch.context() as patch:
        patch.setattr(desk.server, "hand_in", hand_in_and_tear)
        with pytest.raises(OutcomeUnknownError):
            load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    desk.hand.tap()
    done = load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    assert (done.own, done.after.balance) == (False, AMOUNT)
    assert "settled before" in load_text(done, AMOUNT)
    assert desk.is_clean(AMOUNT)


def test_an_interrupted_load_of_another_amount_is_finished_first(desk: Desk) -> None:
    desk.line.calls.clear()
    desk.line.fault = (3, "unanswered")
    with pytest.raises(ServerUnreachableError):
        desk.load(1_000)
    desk.line.fault = None
    assert desk.load(2_000) == 3_000
    assert desk.is_clean(3_000)


def test_the_operators_purse_moves_on_in_between(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another card is loaded between our begin and our Request: the card refuses it and asks with the next counter."""
    begin = desk.server.begin_load

    def begin_and_be_overtaken(card: bytes, amount: int, key: str) -> LoadOrder:
        order = begin(card, amount, key)
        desk.bank.card("somebody else", loaded=500)
        return order

    monkeypatch.setattr(desk.server, "begin_load", begin_and_be_overtaken)
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)
    assert desk.wallet.select().free_entries == 6, "one refused, one collected"


def test_a_request_that_was_paid_late_is_collected(desk: Desk) -> None:
    """The purse moved on, the second Request got no answer, and the server pays it after the desk has gone."""
    card = desk.hand.tap().purse_id
    intent = desk.intents.begin(card, AMOUNT)
    order = desk.server.begin_load(card, AMOUNT, intent.key)
    desk.bank.card("somebody else", loaded=500)
    first = desk.wallet.request(order.payer, order.epoch, 1, AMOUNT, order.order_hash)
    desk.wallet.refuse(parse(Request, first).hash)
    second = desk.wallet.request(order.payer, order.epoch, 2, AMOUNT, order.order_hash)
    desk.line.calls.clear()
    desk.line.fault = (1, "unanswered")
    with pytest.raises(ServerUnreachableError):
        desk.server.pay_load(order.load, second)
    desk.line.fault = None
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)


def test_a_load_that_another_desk_finished(desk: Desk) -> None:
    """The load was paid and receipted elsewhere, and only our note of it is left: nothing is loaded twice."""
    card = desk.hand.tap().purse_id
    intent = desk.intents.begin(card, AMOUNT)
    elsewhere = Intents(desk.directory / "elsewhere", lambda: intent.key)
    load_card(desk.wallet, desk.server, elsewhere, AMOUNT)
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)


def interrupted_elsewhere(desk: Desk, amount: int) -> None:
    """Another desk's load is paid, and its card was taken away before COLLECT."""
    elsewhere = Intents(desk.directory / "elsewhere", lambda: f"elsewhere-{next(desk.keys)}")
    desk.hand.tap()
    desk.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="COLLECT"))
    with pytest.raises(OutcomeUnknownError):
        load_card(desk.wallet, desk.server, elsewhere, amount)
    desk.hand.tap()


def test_another_desks_load_of_the_same_amount_is_not_ours(desk: Desk) -> None:
    """It may be the one that was meant: it is finished, said, and nothing is loaded on top of it."""
    interrupted_elsewhere(desk, 1_000)
    done = load_card(desk.wallet, desk.server, desk.intents, 1_000)
    assert (done.own, done.elsewhere, done.after.balance) == (False, (1_000,), 1_000)
    assert "nothing more was loaded" in load_text(done, 1_000)
    assert desk.is_clean(1_000)
    again = load_card(desk.wallet, desk.server, desk.intents, 1_000)
    assert (again.own, again.elsewhere, again.after.balance) == (True, (), 2_000)


def test_another_desks_load_of_another_amount_is_finished_and_said(desk: Desk) -> None:
    interrupted_elsewhere(desk, 1_000)
    done = load_card(desk.wallet, desk.server, desk.intents, 2_000)
    assert (done.own, done.elsewhere, done.after.balance) == (True, (1_000,), 3_000)
    assert "begun at another desk" in load_text(done, 2_000)
    assert desk.is_clean(3_000)


def test_our_own_interrupted_load_of_the_same_amount_is_this_one(desk: Desk) -> None:
    desk.hand.tap()
    desk.hand.plans.plans.append(FaultPlan(Tear.AFTER_COMMIT, command="COLLECT"))
    with pytest.raises(OutcomeUnknownError):
        load_card(desk.wallet, desk.server, desk.intents, 1_000)
    desk.hand.tap()
    done = load_card(desk.wallet, desk.server, desk.intents, 1_000)
    assert (done.own, done.elsewhere, done.after.balance) == (True, (), 1_000)
    assert load_text(done, 1_000).count("\n") == 0


@pytest.mark.parametrize("ours", [True, False])
def test_a_paid_load_that_the_card_has_refused_goes_back(desk: Desk, ours: bool) -> None:
    """The holder gave the Request up at another terminal: the Refusal is handed in, and the load is made anew."""
    if ours:
        desk.hand.tap()
        desk.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="COLLECT"))
        with pytest.raises(OutcomeUnknownError):
            load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
        desk.hand.tap()
    else:
        interrupted_elsewhere(desk, AMOUNT)
    [asked] = desk.wallet.open_requests()
    desk.wallet.refuse(parse(Request, asked).hash)
    for _ in range(2):
        desk.line.calls.clear()
        desk.line.fault = (2, "unanswered")
        with pytest.raises(ServerUnreachableError):
            load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
        assert desk.line.calls[1].endswith(("evidence", "loads"))
    desk.line.fault = None
    done = load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    if done.after.balance == 0:  # settled while nobody listened: said, and the next run loads
        assert not done.own
        assert "settled before" in load_text(done, AMOUNT)
        done = load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    assert (done.own, done.after.balance) == (True, AMOUNT)
    assert desk.is_clean(AMOUNT)


def test_a_refused_load_is_given_back_and_made_anew_at_once(desk: Desk) -> None:
    desk.hand.tap()
    desk.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="COLLECT"))
    with pytest.raises(OutcomeUnknownError):
        load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    desk.hand.tap()
    [asked] = desk.wallet.open_requests()
    desk.wallet.refuse(parse(Request, asked).hash)
    done = load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    assert (done.own, done.returned, done.stuck, done.after.balance) == (True, 1, 0, AMOUNT)
    assert "went back to the operator" in load_text(done, AMOUNT)
    assert desk.is_clean(AMOUNT)


def test_a_paid_load_that_the_card_has_forgotten_is_left_to_the_operator(desk: Desk) -> None:
    """Its Refusal was acknowledged by a grant before anybody handed it in: no Refusal is left to be handed in."""
    interrupted_elsewhere(desk, AMOUNT)
    [asked] = desk.wallet.open_requests()
    desk.wallet.refuse(parse(Request, asked).hash)
    desk.wallet.grant(signed_grant(desk.bank.world.operator, desk.wallet.report()))
    done = load_card(desk.wallet, desk.server, desk.intents, 1_000)
    assert (done.own, done.returned, done.stuck, done.after.balance) == (True, 0, 1, 1_000)
    assert "ask the operator" in load_text(done, 1_000)


def test_more_than_the_card_may_hold_is_refused_and_forgotten(desk: Desk) -> None:
    desk.load()
    with pytest.raises(PurseRefusal) as caught:
        desk.load(50_001)
    assert caught.value.reason is Refused.BALANCE_LIMIT
    assert desk.is_clean(AMOUNT)
    assert desk.load(50_000) == 100_000


def test_a_receipt_that_the_server_refuses_is_no_reason_to_load_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has paid and the card is credited: the load stays this one until its Receipt is taken."""

    def refuses(_: bytes) -> None:
        raise SettlementError("not now", problem="not-found")

    card = desk.hand.tap().purse_id
    with monkeypatch.context() as patch:
        patch.setattr(desk.server, "hand_in", refuses)
        with pytest.raises(SettlementError):
            load_card(desk.wallet, desk.server, desk.intents, AMOUNT)
    assert desk.intents.open(card) is not None
    assert desk.load() == AMOUNT
    assert desk.is_clean(AMOUNT)


def test_what_the_server_refuses_leaves_nothing_open(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(SettlementError) as caught:
        desk.load(100_001)
    assert caught.value.problem == "limit"
    assert desk.is_clean(0)


def test_an_empty_purse_of_the_operator(tmp_path: Path) -> None:
    desk = Desk(tmp_path, issued=AMOUNT - 1)
    with pytest.raises(SettlementError) as caught:
        desk.load()
    assert caught.value.problem == "purse-empty"
    assert desk.is_clean(0)
    assert desk.load(AMOUNT - 1) == AMOUNT - 1
    desk.close()


def test_a_blank_card_is_not_loaded(desk: Desk) -> None:
    desk.hand = blank_card(make_world("desk"), bytes(8))
    with refused(desk.hand, Refused.WRONG_STATE):
        load_card(desk.wallet, desk.server, desk.intents, AMOUNT)


def test_a_wrong_token(desk: Desk) -> None:
    stranger = OperatorClient(URL, "no-token", transport=desk.line)
    with pytest.raises(SettlementError) as caught:
        load_card(desk.wallet, stranger, desk.intents, AMOUNT)
    assert caught.value.problem == "not-authorised"
    assert "no-token" not in caught.value.message
    assert desk.is_clean(0)


@pytest.mark.parametrize("kind", ["lost", "unanswered", "half", "500"])
def test_a_personalisation_without_an_answer_is_done_again(tmp_path: Path, kind: str) -> None:
    desk = Desk(tmp_path)
    desk.hand = blank_card(make_world("desk"), bytes(range(8)))
    desk.line.calls.clear()
    desk.line.fault = (1, kind)
    with pytest.raises(ServerUnreachableError):
        desk.personalise()
    desk.line.fault = None
    desk.personalise()
    assert desk.load() == AMOUNT
    desk.close()


@pytest.mark.parametrize("url", ["", "operator.test", "ftp://operator.test", "http://", "http://[::1", "http://a\nb"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigurationError):
        OperatorClient(url, "token")


def test_a_token_that_cannot_be_sent() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OperatorClient(URL, "secret\ntoken")
    assert "secret" not in str(caught.value)


ANSWERS: list[tuple[int, bytes]] = [
    (200, b""),
    (200, b"[]"),
    (200, b"{"),
    (200, b"{}"),
    (200, b'{"load": 1}'),
    (200, b'{"load": "a", "payer": "zz", "epoch": 1, "n": 1, "order_hash": ""}'),
    (200, b'{"load": "a", "payer": "' + b"00" * 31 + b'", "epoch": 1, "n": 1, "order_hash": ""}'),
    (200, b'{"load": "a", "payer": "' + b"00" * 32 + b'", "epoch": 1.5, "n": 1, "order_hash": ""}'),
    (200, b'{"x": "' + b"a" * 300_000 + b'"}'),
    (302, b""),
    (404, b"<html>another server</html>"),
    (409, b'{"type": "about:blank", "detail": "?"}'),
    (409, b'{"type": "urn:ecny:problem:stale-counter", "detail": "?"}'),
    (409, b'{"type": "urn:ecny:problem:in-progress", "detail": "?"}'),
    (503, b'{"type": "urn:ecny:problem:storage", "detail": "disk"}'),
]


@pytest.mark.parametrize(("status", "content"), ANSWERS)
def test_an_answer_of_no_use_is_no_answer(status: int, content: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    with OperatorClient(URL, transport=transport) as client, pytest.raises(ServerUnreachableError):
        client.begin_load(bytes(32), 1, "key")


@pytest.mark.parametrize("content", [b'{"loads": {}}', b'{"loads": [1]}', b'{"loads": [{"load": "a"}]}'])
def test_pending_loads_of_no_use(content: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    with OperatorClient(URL, transport=transport) as client, pytest.raises(ServerUnreachableError):
        client.pending_loads(bytes(32))


def test_a_problem_is_told_as_it_is() -> None:
    document = {"type": "urn:ecny:problem:limit", "title": "t", "detail": "too much", "next_step": "Load less."}
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json=document))
    with OperatorClient(URL, transport=transport) as client, pytest.raises(SettlementError) as caught:
        client.hand_in(b"")
    error = caught.value
    assert (error.problem, error.status, error.message, error.next_step) == ("limit", 422, "too much", "Load less.")
    assert not isinstance(error, ServerUnreachableError)


def test_intents_are_kept_and_checked(tmp_path: Path) -> None:
    intents = Intents(tmp_path, lambda: "key")
    card = bytes(32)
    assert intents.open(card) is None
    begun = intents.begin(card, 5)
    assert Intents(tmp_path, lambda: "other").open(card) == begun
    (tmp_path / f"{card.hex()}.json").write_text("{")
    with pytest.raises(ConfigurationError):
        intents.open(card)
    intents.end(card)
    intents.end(card)
    assert intents.open(card) is None
    (tmp_path / f"{card.hex()}.json").mkdir()
    for call in (lambda: intents.open(card), lambda: intents.end(card)):
        with pytest.raises(EcnyError):
            call()
