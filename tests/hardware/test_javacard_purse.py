"""The Java Card applet as any card: it pays and is paid by the emulated card, survives tears at writes, and fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.javacard.process import JavaCardProcess
from hardware.personalisation import block, personalise
from hardware.purse_transfer import transfer
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import LOAD, PIN, World, make_world, personalised_card
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CardError, OutcomeUnknownError, PurseRefusal, Refused
from wallet_core.keys import PublicKey
from wallet_core.messages import Refusal, Report, Request, SpendMode, Voucher, parse
from wallet_core.purse.state import Lifecycle, SlotState

SERIAL = bytes.fromhex("0A0B0C0D0E0F0102")
EVERY_PURSE = sum(1 << one for one in CertificateClass if one.is_purse) | 1 << CertificateClass.TILL
MOST_COMMIT, MOST_PERSISTENT, MOST_TRANSIENT = 96, 16 * 1024, 2560  # bytes


@dataclass
class JavaCard:
    """The card in its reader, active and loaded."""

    world: World
    process: JavaCardProcess
    wallet: HardWallet

    def tap(self) -> None:
        self.wallet.connection.reset()
        self.wallet.select()

    @property
    def key(self) -> PublicKey:
        return Certificate.from_bytes(self.wallet.certificate()).key

    def request(self, amount: int, order: str = "order") -> bytes:
        return self.world.till_request(self.wallet.select(), amount, order=order).to_payload()


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("java card")


@pytest.fixture(scope="module")
def loaded(world: World) -> Iterator[JavaCard]:
    with JavaCardProcess(serial=SERIAL) as process:
        wallet = HardWallet(CardConnection(process.transport()))
        personalise(
            wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            lambda serial, request: world.papers(
                serial, request, payee_classes=EVERY_PURSE, payer_classes=EVERY_PURSE, mode=SpendMode.INTERMITTENT
            ),
            PIN,
        )
        purse = world.operator_purse
        request = wallet.request(purse.id, 1, 1, LOAD, world.digest("load"))
        wallet.collect(*world.voucher_for(request))
        process.snapshot("loaded")
        yield JavaCard(world, process, wallet)


@pytest.fixture
def card(loaded: JavaCard) -> JavaCard:
    loaded.process.forget_tears()
    loaded.process.restore("loaded")
    loaded.tap()
    return loaded


def refused(act: Callable[[], object]) -> Refused:
    with pytest.raises(PurseRefusal) as caught:
        act()
    return caught.value.reason


def test_the_applet_and_the_emulated_card_pay_each_other(world: World, card: JavaCard) -> None:
    other = personalised_card(world, load=LOAD, payee_classes=EVERY_PURSE, payer_classes=EVERY_PURSE)
    there = transfer(card.wallet, other.wallet, 6_800)
    assert there.acknowledged
    back = transfer(other.wallet, card.wallet, 800)
    assert back.acknowledged
    assert (card.wallet.select().balance, other.wallet.select().balance) == (LOAD - 6_000, LOAD + 6_000)
    report = parse(Report, card.wallet.report()).message
    assert [line.state for line in report.slot_lines] == [SlotState.COLLECTED]


def test_a_payment_is_stored_and_answered_for_ever(card: JavaCard) -> None:
    request = card.request(100)
    voucher = card.wallet.pay(request)
    assert card.wallet.pay(request) == voucher
    assert card.wallet.resend_to(card.world.till.id) == (voucher,)
    card.tap()
    assert card.wallet.pay(request) == voucher
    assert refused(card.wallet.vouchers) is Refused.PIN_REQUIRED
    card.wallet.verify_pin(PIN)
    assert card.wallet.vouchers() == (voucher,)
    parse(Voucher, voucher).verify(card.key)


def test_endings_come_from_the_operator_too(card: JavaCard) -> None:
    voucher = card.wallet.pay(card.request(300))
    card.wallet.reverse(card.world.order_for(voucher, card.wallet.report()))
    kept = card.wallet.pay(card.request(200, "another"))
    assert card.wallet.select().balance == LOAD - 200
    card.wallet.grant(card.world.grant_for(card.wallet.report(), [parse(Voucher, kept).message.n]))
    fci = card.wallet.select()
    assert (fci.free_slots, fci.free_entries) == (16, 8)
    assert card.wallet.totals().out_acked == 500


def test_a_request_is_refused_once(card: JavaCard) -> None:
    asked = card.wallet.request(card.world.operator_purse.id, 1, 2, 500, bytes(32))
    assert card.wallet.open_requests() == (asked,)
    refusal = card.wallet.refuse(parse(Request, asked).hash)
    assert card.wallet.refuse(parse(Request, asked).hash) == refusal
    parse(Refusal, refusal).verify(card.key)
    assert refused(lambda: card.wallet.collect(*card.world.voucher_for(asked))) is Refused.REQUEST_CLOSED


def test_a_blocked_card_still_answers_what_is_stored(card: JavaCard) -> None:
    request = card.request(100)
    voucher = card.wallet.pay(request)
    keys = transport_keys(TEST_BATCH_KEY, SERIAL, production=False)
    block(card.wallet, lambda _: keys, bytes(8))
    assert card.wallet.select().lifecycle is Lifecycle.BLOCKED
    assert card.wallet.pay(request) == voucher
    assert refused(lambda: card.wallet.pay(card.request(100, "new"))) is Refused.WRONG_STATE


def test_a_tear_at_any_write_of_a_payment_leaves_it_undone_or_done(card: JavaCard) -> None:
    request = card.request(6_800)
    undone, n = 0, 0
    while True:
        n += 1
        card.process.restore("loaded")
        card.tap()
        card.process.tear_at_write(n)
        try:
            card.wallet.pay(request)
            break
        except OutcomeUnknownError:
            card.tap()
        balance = card.wallet.select().balance
        assert balance in (LOAD, LOAD - 6_800)
        undone += balance == LOAD
        voucher = card.wallet.pay(request)
        assert card.wallet.select().balance == LOAD - 6_800
        assert card.wallet.resend(parse(Voucher, voucher).message.request_hash) == voucher
    assert n > 3
    assert undone >= 1


def test_a_wrong_pin_costs_a_try_whenever_the_card_is_pulled(card: JavaCard) -> None:
    card.process.tear_before_answer()
    with pytest.raises(OutcomeUnknownError):
        card.wallet.verify_pin("000000")
    card.tap()
    assert card.wallet.select().pin_tries == 2
    with pytest.raises(CardError) as caught:
        card.wallet.verify_pin("000000")
    assert caught.value.sw == 0x63C1
    card.wallet.verify_pin(PIN)
    assert card.wallet.select().pin_tries == 3


def test_what_is_refused_leaves_no_trace(card: JavaCard) -> None:
    world = card.world
    before = card.process.memory_hash()
    request = world.till_request(card.wallet.select(), 100)
    signed, certificate, operator = world.signed_by_till(request)
    forged = signed[:-1] + bytes((signed[-1] ^ 1,))
    assert refused(lambda: card.wallet.pay_verified(forged, certificate, operator)) is Refused.SIGNATURE
    assert refused(lambda: card.wallet.pay_verified(signed, operator, operator)) is Refused.PAYEE_CLASS
    stranger = make_world("strangers")
    theirs = stranger.signed_by_till(request)
    assert refused(lambda: card.wallet.pay_verified(*theirs)) is Refused.CERTIFICATE
    assert refused(lambda: card.wallet.pay(card.request(10**9))) is Refused.PAYEE_UNVERIFIED
    assert card.process.memory_hash() == before


def test_it_fits_on_a_chip(card: JavaCard) -> None:
    card.wallet.pay(card.request(100))
    report = card.process.report()
    assert report.commit_high_water <= MOST_COMMIT
    assert report.persistent_bytes <= MOST_PERSISTENT
    assert report.transient_reset_bytes + report.transient_deselect_bytes <= MOST_TRANSIENT
    assert report.allocations == 0
