"""A card brought online, with the real server: slots become free, what was refused comes back, and it may be done again
after anything."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hardware.card_views import report_facts, report_text
from hardware.commands import Deactivate
from hardware.emulator.faults import FaultPlan, Tear
from hardware.loading import load_card
from hardware.operator_client import OperatorClient
from hardware.reporting import Reported, abandon, report_purse
from support.card_desk import URL, Desk
from support.cards import PIN, record_of, secured, signed_grant
from support.keys import NOW
from support.operator_world import TillDouble
from wallet_core.errors import OutcomeUnknownError, PurseRefusal, Refused, ServerUnreachableError, UsageError
from wallet_core.messages import Request, Signed, Voucher, parse
from wallet_core.purse.state import SLOT_COUNT, EntryState, SlotState
from wallet_core.suites import Suite

LOADED, SALE = 50_000, 100


class Shop(Desk):
    """A desk with a till next to it, whose sales are deposited when the test says so."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.till: TillDouble = self.bank.till("shop")
        self.load(LOADED)

    def sell(self, amount: int = SALE) -> bytes:
        """One tap; the signed voucher."""
        fci = self.wallet.select()
        self.till.next_k += 1
        request = Request(
            suite=Suite.ES256,
            payer=fci.purse_id,
            epoch=fci.epoch,
            n=fci.next_n,
            payee=self.till.id,
            k=self.till.next_k,
            amount=amount,
            order_hash=bytes(32),
        )
        return self.wallet.pay(request.to_payload())

    def deposit(self, *vouchers: bytes) -> None:
        self.bank.settle(self.till.batch(vouchers, certificates=[self.wallet.certificate()]))

    def refuse(self, voucher: bytes) -> None:
        asked = parse(Voucher, voucher).message
        self.bank.settle(self.till.batch([], [self.till.refusal(asked.request_hash, asked.k)]))

    def report(self, pin: str | None = PIN) -> Reported:
        self.hand.tap()
        return report_purse(self.wallet, self.server, pin)

    def grant(self, collected: Iterable[int] = (), **changes: Any) -> bytes:
        """The operator's grant, made without its books."""
        return signed_grant(self.bank.world.operator, self.wallet.report(), collected, **changes)

    def grant_server(self, policy: bytes | None, least: int) -> OperatorClient:
        """A server that wants this policy, and knows nothing of any outcome."""

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/v1/revocations":
                return self.line.handle_request(request)
            report = bytes.fromhex(json.loads(request.content)["report"])
            grant = signed_grant(self.bank.world.operator, report, policy_version=least)
            found = {"grant": grant.hex(), "orders": [], "policy": policy and policy.hex()}
            return httpx.Response(200, json=found)

        return OperatorClient(URL, transport=httpx.MockTransport(answer))

    @property
    def slots(self) -> list[SlotState]:
        return [slot.state for slot in record_of(self.hand).purse.slots if slot.state is not SlotState.FREE]

    @property
    def entries(self) -> list[EntryState]:
        return [one.state for one in record_of(self.hand).purse.table if one.state is not EntryState.FREE]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_a_full_card_works_again_after_a_report(shop: Shop) -> None:
    sold = [shop.sell() for _ in range(SLOT_COUNT)]
    with pytest.raises(PurseRefusal) as caught:
        shop.sell()
    assert caught.value.reason is Refused.SLOTS_FULL
    done = shop.report()
    assert (done.pending, done.after.out_acked) == (SLOT_COUNT, SLOT_COUNT * SALE), "in the books, not yet settled"
    with pytest.raises(PurseRefusal):
        shop.sell()
    shop.deposit(*sold)
    done = shop.report()
    assert (done.pending, shop.slots, shop.entries) == (0, [], [])
    shop.sell()
    assert shop.hand.tap().balance == LOADED - (SLOT_COUNT + 1) * SALE
    assert shop.bank.ledger().conserved


def test_a_full_table_of_requests_works_again(shop: Shop) -> None:
    for _ in range(7):
        shop.load(1_000)
    with pytest.raises(PurseRefusal) as caught:
        shop.load(1_000)
    assert caught.value.reason is Refused.SLOTS_FULL
    shop.report()
    assert shop.load(1_000) == LOADED + 8_000
    assert shop.is_clean(LOADED + 8_000)


def test_what_the_till_refused_comes_back_and_makes_room(shop: Shop) -> None:
    kept, refused = shop.sell(), shop.sell()
    shop.deposit(kept)
    shop.refuse(refused)
    done = shop.report()
    assert (done.orders, done.void, done.pending) == (1, 0, 0)
    assert shop.slots == [], "the second round has freed what the order has reversed"
    assert shop.hand.tap().balance == LOADED - SALE
    assert "came back: RMB 1.00" in report_text(done)
    again = shop.report()
    assert (again.orders, again.before, again.after) == (0, again.after, done.after)


def test_an_order_that_comes_too_late_is_void(shop: Shop) -> None:
    """The slot got its other outcome between the report and the order: the purse refuses, and that is said."""
    refused = shop.sell()
    shop.refuse(refused)

    class Late(OperatorClient):
        def report(self, *args: bytes, **kwargs: object) -> object:  # type: ignore[override]
            answer = super().report(*args, **kwargs)  # type: ignore[arg-type]
            if answer.orders:
                shop.wallet.grant(shop.grant(collected=[1]))
            return answer

    shop.server = Late(URL, transport=shop.line)
    done = shop.report()
    assert (done.orders, done.void) == (0, 1)
    assert "too late" in report_text(done)


@pytest.mark.parametrize("kind", ["lost", "unanswered", "half", "500"])
def test_the_server_goes_away_at_each_call(shop: Shop, kind: str) -> None:
    for call in (1, 2):  # the report, and the one after the orders
        kept, refused = shop.sell(), shop.sell()
        shop.deposit(kept)
        shop.refuse(refused)
        shop.line.calls.clear()
        shop.line.fault = (call, kind)
        with pytest.raises(ServerUnreachableError):
            shop.report()
        shop.line.fault = None
        shop.report()
        assert shop.slots == []
        assert shop.hand.tap().balance == LOADED - call * SALE
    assert shop.bank.ledger().conserved


@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.ANSWER])
def test_the_card_goes_away_at_each_exchange(shop: Shop, tear: Tear) -> None:
    rounds = 0
    for exchange in range(1, 100):
        kept, refused = shop.sell(), shop.sell()
        shop.deposit(kept)
        shop.refuse(refused)
        shop.hand.tap()
        shop.hand.connection.reset()
        shop.hand.plans.plans.append(FaultPlan(tear, exchange=exchange))
        rounds += 1
        try:
            report_purse(shop.wallet, shop.server, PIN)
            break
        except OutcomeUnknownError:
            shop.report()
            assert shop.slots == []
            assert shop.hand.tap().balance == LOADED - rounds * SALE
    assert shop.hand.plans.plans, "the last one was not torn"
    assert rounds > 12
    assert shop.bank.ledger().conserved


def test_with_the_pin_the_operator_sees_every_voucher(shop: Shop) -> None:
    shop.sell()
    done = shop.report(None)
    assert (done.vouchers, done.pending) == (0, 1)
    assert "--pin-file" in report_text(done)
    shop.bank.parts.desk.declare_dead(shop.till.id, NOW)
    assert shop.report(None).vouchers == 1, "of a till that is gone they are asked for"
    assert shop.slots == []
    shop.sell()
    done = shop.report()
    assert (done.vouchers, done.pending) == (1, 0)
    assert shop.bank.ledger().conserved


def test_a_new_policy_goes_in_before_the_grant(shop: Shop) -> None:
    shop.sell()
    newer = shop.bank.world.keyring.policy.message
    policy = Signed.sign(replace(newer, version=newer.version + 1), shop.bank.world.operator)
    answered = shop.grant_server(policy=policy.to_bytes(), least=newer.version + 1)
    done = report_purse(shop.wallet, answered, None)
    assert (done.granted, done.after.policy_version) == (True, newer.version + 1)
    assert report_purse(shop.wallet, answered, None).after == done.after


def test_a_blocked_card_takes_no_new_policy_and_still_reports(shop: Shop) -> None:
    shop.sell()
    secured(shop.hand, Deactivate())
    newer = shop.bank.world.keyring.policy.message
    policy = Signed.sign(replace(newer, version=newer.version + 1), shop.bank.world.operator)
    done = report_purse(shop.wallet, shop.grant_server(policy=policy.to_bytes(), least=newer.version + 1), None)
    assert (done.granted, done.after.policy_version, done.pending) == (False, newer.version, 1)
    assert "refunds it" in report_text(done)
    assert report_facts(done)["granted"] is False


def test_a_grant_for_another_policy_is_an_error_on_an_active_card(shop: Shop) -> None:
    with pytest.raises(PurseRefusal) as caught:
        report_purse(shop.wallet, shop.grant_server(policy=None, least=9), None)
    assert caught.value.reason is Refused.POLICY_OLD


def test_a_request_is_given_up_and_its_refusal_handed_in(shop: Shop) -> None:
    shop.hand.plans.plans.append(FaultPlan(Tear.BEFORE, command="COLLECT"))
    with pytest.raises(OutcomeUnknownError):
        load_card(shop.wallet, shop.server, shop.intents, 1_000)
    shop.hand.tap()
    done = abandon(shop.wallet, shop.server)
    assert done.request_hash is not None
    assert done.statuses == ("recorded",)
    assert not shop.server.pending_loads(shop.wallet.select().purse_id), "the operator has its value back"
    assert abandon(shop.wallet, shop.server).request_hash is None
    assert abandon(shop.wallet, shop.server, done.request_hash) == done
    shop.report()
    assert abandon(shop.wallet, shop.server).statuses == ()
    assert shop.bank.ledger().conserved


def test_which_of_several_requests_is_given_up_must_be_said(shop: Shop) -> None:
    asked = [shop.wallet.request(bytes([n]) * 32, 1, 1, 100, bytes(32)) for n in (1, 2)]
    with pytest.raises(UsageError):
        abandon(shop.wallet, shop.server)
    second = parse(Request, asked[1]).hash
    assert abandon(shop.wallet, shop.server, second).request_hash == second
    assert [parse(Request, one).hash for one in shop.wallet.open_requests()] == [parse(Request, asked[0]).hash]
    with pytest.raises(PurseRefusal) as caught:
        abandon(shop.wallet, shop.server, bytes(32))
    assert caught.value.reason is Refused.REQUEST_CLOSED


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"grant": "zz", "orders": []}',
        b'{"grant": "00", "orders": {}}',
        b'{"grant": "00", "orders": [1]}',
        b'{"grant": "00", "orders": [], "policy": 1}',
        b'{"statuses": []}',
        b'{"statuses": [1]}',
        b'{"statuses": "a"}',
    ],
)
def test_an_answer_of_no_use(content: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=content))
    with OperatorClient(URL, transport=transport) as client:
        with pytest.raises(ServerUnreachableError):
            client.report(b"")
        with pytest.raises(ServerUnreachableError):
            client.evidence([b""], [])
        with pytest.raises(ServerUnreachableError):
            client.revocations()


def test_no_revocation_list_is_no_answer() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(503, content=b""))
    with OperatorClient(URL, transport=transport) as client, pytest.raises(ServerUnreachableError):
        client.revocations()
