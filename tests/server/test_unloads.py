"""Unloads: what a purse is proved to have received is paid out once, to its merchant or out of the system."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.problems import Problem
from server.risk.standing import move_to
from server.storage.records_risk import PurseStatus
from support.enrolled import CARD, INTERMITTENT, SAM, enrol, evidence, load, pays, report
from support.keys import NOW, OPERATOR_PURSE
from support.operator_world import Bank, World
from support.purses import Purse
from wallet_core.errors import BadSignatureError, CodecError, MismatchError, WrongClassError
from wallet_core.messages import Grant, Receipt, Request, Signed, Voucher, parse
from wallet_core.purse.state import SlotState


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=200_000)
    yield made
    made.close()


@pytest.fixture
def merchant(bank: Bank) -> str:
    return bank.parts.tills.add_merchant("Shop", NOW).merchant


@pytest.fixture
def card(bank: Bank) -> Purse:
    return enrol(bank, "card", loaded=10_000)


def problem(action: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value


def begin(bank: Bank, purse: Purse, amount: int, key: str = "k") -> tuple[str, bytes]:
    digest = bank.world.keyring.idempotency_digest(key)
    begun = bank.parts.unloads.begin(digest, purse.id, 1, purse.state.next_n, amount, NOW)
    return begun.unload, begun.request


def unload(bank: Bank, purse: Purse, amount: int, key: str = "k") -> bytes:
    name, request = begin(bank, purse, amount, key)
    return bank.parts.unloads.pay_out(name, purse.pay(request, payee=OPERATOR_PURSE), NOW)


class TestAMerchantsPurse:
    def test_its_takings_come_home(self, bank: Bank, card: Purse, merchant: str) -> None:
        sam = enrol(bank, "sam", SAM, merchant=merchant)
        vouchers = [pays(card, sam, amount) for amount in (300, 200)]
        receipts = [sam.collect(voucher, CARD) for voucher in vouchers]
        evidence(bank, *vouchers, *receipts)
        receipt = unload(bank, sam, 500)
        sam.acknowledge(receipt, OPERATOR_PURSE)
        facts = bank.ledger().facts()
        assert {"name": f"wallet/{merchant}", "balance": 500} in facts["accounts"]
        assert (facts["card_shadows"][sam.id.hex()], facts["redeemed"], facts["faults"]) == (0, 0, [])
        grant = parse(Grant, report(bank, sam).grant).message
        assert grant.slot_outcomes == {1: SlotState.COLLECTED}

    def test_what_is_not_proved_waits_for_its_proof(self, bank: Bank, card: Purse, merchant: str) -> None:
        sam = enrol(bank, "sam", SAM, merchant=merchant)
        voucher = pays(card, sam, 300)
        receipt = sam.collect(voucher, CARD)
        name, request = begin(bank, sam, 300)
        paid = sam.pay(request, payee=OPERATOR_PURSE)
        assert problem(lambda: bank.parts.unloads.pay_out(name, paid, NOW)).problem == "not-covered"
        assert bank.ledger().wallets == 0
        evidence(bank, voucher, receipt)
        assert bank.ledger().wallets == 300  # without another word
        answer = parse(Receipt, bank.parts.unloads.pay_out(name, paid, NOW)).verify(OPERATOR_PURSE.key.public)
        assert answer.voucher_hash == parse(Voucher, paid).hash
        assert bank.ledger().wallets == 300
        assert bank.ledger().faults == ()

    def test_what_is_only_in_flight_to_it_covers_none(self, bank: Bank, card: Purse, merchant: str) -> None:
        """It may refuse that afterwards; then `loss` would have paid it out."""
        other, sam = enrol(bank, "other", loaded=300), enrol(bank, "sam", SAM, merchant=merchant)
        taken, held = pays(other, sam, 300), pays(card, sam, 300)
        receipt = sam.collect(taken, CARD)
        evidence(bank, held)
        assert problem(lambda: unload(bank, sam, 300)).problem == "not-covered"
        evidence(bank, sam.refuse(parse(Voucher, held).message.request_hash))
        assert (bank.ledger().wallets, bank.ledger().loss) == (0, 0)
        evidence(bank, taken, receipt)
        assert (bank.ledger().wallets, bank.ledger().loss, bank.ledger().faults) == (300, 0, ())

    def test_a_report_brings_everything_at_once(self, bank: Bank, card: Purse, merchant: str) -> None:
        sam = enrol(bank, "sam", SAM, merchant=merchant)
        taken = pays(card, sam, 300)
        sam.collect(taken, CARD)
        _, request = begin(bank, sam, 300)
        sam.pay(request, payee=OPERATOR_PURSE)
        grant = parse(Grant, report(bank, sam, [taken]).grant).message
        assert (grant.slot_outcomes, grant.in_acked, grant.out_acked) == ({1: SlotState.COLLECTED}, 300, 300)
        assert (bank.ledger().wallets, sam.state.balance) == (300, 0)

    def test_enrolled_for_a_merchant_once(self, bank: Bank, merchant: str) -> None:
        enrol(bank, "sam", SAM, merchant=merchant)
        enrol(bank, "sam", SAM, merchant=merchant)
        assert problem(lambda: enrol(bank, "sam", SAM)).problem == "idempotency-mismatch"
        assert problem(lambda: enrol(bank, "new", SAM, merchant="nobody")).problem == "not-found"
        with pytest.raises(WrongClassError):
            enrol(bank, "card", CARD, merchant=merchant)


class TestACard:
    def test_its_value_leaves_the_system(self, bank: Bank, card: Purse) -> None:
        unload(bank, card, 4_000)
        ledger = bank.ledger()
        assert (ledger.redeemed, ledger.cards, ledger.faults) == (4_000, 6_000, ())

    def test_the_same_voucher_again(self, bank: Bank, card: Purse) -> None:
        name, request = begin(bank, card, 4_000)
        voucher = card.pay(request, payee=OPERATOR_PURSE)
        first = bank.parts.unloads.pay_out(name, voucher, NOW)
        assert bank.parts.unloads.pay_out(name, voucher, NOW + 5) == first
        assert evidence(bank, voucher) == ["recorded"]
        assert bank.ledger().redeemed == 4_000

    def test_the_same_key_again(self, bank: Bank, card: Purse) -> None:
        first = begin(bank, card, 4_000)
        assert begin(bank, card, 4_000) == first
        assert problem(lambda: begin(bank, card, 5)).problem == "idempotency-mismatch"
        other = parse(Request, begin(bank, card, 4_000, "other")[1]).message
        assert (parse(Request, first[1]).message.k, other.k) == (1, 2)

    def test_after_its_certificate_has_expired(self, bank: Bank, card: Purse) -> None:
        late = card.party.certificate.expires
        begun = bank.parts.unloads.begin(b"\1" * 32, card.id, 1, 1, 10_000, late)
        assert bank.parts.unloads.pay_out(begun.unload, card.pay(begun.request, payee=OPERATOR_PURSE), late)
        assert bank.ledger().redeemed == 10_000

    def test_more_than_it_has_received_is_not_paid_out(self, bank: Bank) -> None:
        minting = enrol(bank, "minting", loaded=100)
        minting.endow(900)
        assert problem(lambda: unload(bank, minting, 1_000)).problem == "not-covered"
        load(bank, minting, 899, "more")
        assert bank.ledger().redeemed == 0
        load(bank, minting, 1, "enough")
        report(bank, minting)
        assert bank.ledger().redeemed == 1_000

    def test_two_vouchers_for_one_counter_pay_out_one(self, bank: Bank, card: Purse) -> None:
        clone = dataclasses.replace(card)
        name, request = begin(bank, card, 4_000)
        other_name, other = begin(bank, card, 5_000, "other")
        first = card.pay(request, payee=OPERATOR_PURSE)
        second = clone.pay(other, payee=OPERATOR_PURSE)
        assert bank.parts.unloads.pay_out(name, first, NOW)
        for _ in range(2):
            assert problem(lambda: bank.parts.unloads.pay_out(other_name, second, NOW)).problem == "not-covered"
        assert (bank.ledger().redeemed, bank.ledger().evidence, bank.ledger().faults) == (4_000, 1, ())
        assert problem(lambda: begin(bank, card, 1, "third")).problem == "revoked"

    @pytest.mark.parametrize("status", [PurseStatus.FROZEN, PurseStatus.REPLACED])
    def test_none_begins_for_a_lost_card(self, bank: Bank, card: Purse, status: PurseStatus) -> None:
        with bank.parts.storage.writing() as tx:
            move_to(tx, card.id, status, "a test", now=NOW)
        assert problem(lambda: begin(bank, card, 5)).problem == "revoked"


class TestRefused:
    def test_a_request_that_no_purse_can_answer(self, bank: Bank, card: Purse) -> None:
        unloads = bank.parts.unloads
        for amount, n in ((0, 1), (-1, 1), (2**53, 1), (5, 0), (5, 2**32 - 1)):
            assert problem(lambda a=amount, n=n: unloads.begin(b"k", card.id, 1, n, a, NOW)).problem == "limit"
        assert problem(lambda: unloads.begin(b"k", b"\1" * 32, 1, 1, 5, NOW)).problem == "not-found"
        with pytest.raises(MismatchError):
            unloads.begin(b"k", card.id, 2, 1, 5, NOW)

    def test_a_voucher_that_does_not_answer(self, bank: Bank, card: Purse) -> None:
        name, request = begin(bank, card, 4_000)
        voucher = card.pay(request, payee=OPERATOR_PURSE)
        message = parse(Voucher, voucher).message
        pay_out = bank.parts.unloads.pay_out
        assert problem(lambda: pay_out("00" * 16, voucher, NOW)).problem == "not-found"
        with pytest.raises(CodecError):
            pay_out(name, voucher[:-1], NOW)
        with pytest.raises(BadSignatureError):
            pay_out(name, Signed.sign(message, bank.world.operator).to_bytes(), NOW)
        for changes in ({"amount": 3_999}, {"n": 2}, {"k": 9}, {"request_hash": bytes(32)}, {"payee": bytes(32)}):
            lie = dataclasses.replace(message, **changes)  # type: ignore[arg-type]
            with pytest.raises(MismatchError):
                pay_out(name, Signed.sign(lie, card.party.key).to_bytes(), NOW)
        assert bank.ledger().redeemed == 0


def test_the_policy_of_a_merchants_purse(bank: Bank) -> None:
    policies = bank.world.keyring.policies()
    policy = policies[SAM].verify(bank.world.operator.public)
    assert policy.mode == INTERMITTENT.mode
    assert (policy.purse_class, policy.payee_threshold) == (SAM, 0)
    assert bank.world.keyring.policies()[SAM] == policies[SAM]
    assert policies[CARD] == bank.world.keyring.policy
