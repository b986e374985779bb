"""A lost card: frozen, reckoned line by line from whatever is known of it, refunded once, replaced; late vouchers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.problems import Problem
from server.risk.lost import Reckoning, charge_residual
from server.risk.settings import DAY, RiskSettings
from server.storage.records_risk import PurseStatus
from support.enrolled import SAM, enrol, evidence, load, paid_load, pays, pays_till, report
from support.keys import NOW, key
from support.operator_world import Bank, CardDouble, World, certification_request
from support.risk_world import balances
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import MismatchError
from wallet_core.messages import DepositStatus, Refusal, Signed, Voucher, parse
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

S = DepositStatus
OFFLINE = 100_000  # of the policy
LATER = NOW + 50 * 365 * DAY


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=10_000_000)
    yield made
    made.close()


def small(bank: Bank, offline_total: int) -> None:
    """The operator reckons with another offline limit than the default policy's."""
    bank.parts.desk.risk = replace(bank.parts.desk.risk, offline_total=offline_total)


def problem(action: Callable[[], object]) -> str:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value.problem


def line(reckoning: Reckoning, name: str) -> int:
    return dict(reckoning.lines)[name]


def spend(bank: Bank, card: CardDouble, amount: int, name: str = "t") -> bytes:
    till = bank.till(name)
    voucher = card.voucher(till, amount)
    bank.settle(till.batch([voucher]))
    return voucher


class TestFrozen:
    @pytest.fixture(autouse=True)
    def _lost(self, bank: Bank) -> None:
        self.card, self.till = bank.card("lost", 90_000), bank.till("t")
        self.status = bank.parts.desk.freeze(self.card.id, NOW)

    def test_again_and_unknown(self, bank: Bank) -> None:
        assert [self.status, bank.parts.desk.freeze(self.card.id, NOW + 5)] == [PurseStatus.FROZEN] * 2
        (standing,) = bank.parts.desk.standings()
        assert (standing.id, standing.at) == (self.card.id, NOW)
        assert problem(lambda: bank.parts.desk.freeze(bytes(32), NOW)) == "not-found"

    def test_nothing_new_begins(self, bank: Bank) -> None:
        assert problem(lambda: bank.begin(self.card, 5, "later")) == "revoked"
        request = certification_request(self.card.key, CertificateClass.HARD_WALLET, self.card.serial)
        assert problem(lambda: bank.parts.cards.enrol(self.card.serial, request, NOW)) == "revoked"

    def test_what_was_paid_still_settles(self, bank: Bank) -> None:
        answer = bank.settle(self.till.batch([self.card.voucher(self.till, 90_000)]))
        assert answer.voucher_statuses == (S.SETTLED,)


def test_a_load_that_was_begun_is_paid_to_no_lost_card_and_one_that_was_paid_is_collected(bank: Bank) -> None:
    card = bank.card("lost")
    paid = bank.pay(card, 300, "paid")
    begun = bank.begin(card, 200, "begun")
    request = card.request_to(begun.payer, begun.epoch, begun.n, 200, begun.order_hash).to_bytes()
    bank.parts.desk.freeze(card.id, NOW)
    assert problem(lambda: bank.parts.loads.pay(begun.load, request, NOW)) == "revoked"
    bank.parts.loads.collected(card.receipt(paid), NOW)
    assert (bank.shadow(card), bank.ledger().conserved) == (300, True)


class TestReckoning:
    def test_line_by_line(self, bank: Bank) -> None:
        small(bank, 50_000)
        card = bank.card("lost", 90_000)
        spend(bank, card, 30_000)
        bank.parts.desk.freeze(card.id, NOW)
        found = bank.parts.desk.reckoning(card.id, NOW)
        assert dict(found.lines) == {
            "received, by the newest message of the card": 90_000,
            "got back by reversals": 0,
            "less paid": -30_000,
            "balance": 60_000,
            "offline limit": 50_000,
            "less paid since the last grant": -30_000,
            "less what it could still pay unseen": -20_000,
            "less refunded before": 0,
            "loads not collected, due with the rest": 0,
            "covered by the books": 60_000,
            "refundable now": 40_000,
            "the rest, after expiry and grace": 20_000,
        }
        expires = card.certificate.expires
        assert (found.refundable, found.later) == (40_000, 20_000)
        assert (found.due_at, found.sources) == (expires + bank.parts.desk.risk.grace_s, 2)  # a Receipt, a voucher

    def test_the_newest_voucher_counts_whatever_came_first(self, bank: Bank) -> None:
        small(bank, 50_000)
        card, till = bank.card("lost", 90_000), bank.till("t")
        first, second = card.voucher(till, 10_000), card.voucher(till, 20_000)
        bank.parts.desk.freeze(card.id, NOW)
        bank.settle(till.batch([second]))
        seen = bank.parts.desk.reckoning(card.id, NOW)
        assert (line(seen, "balance"), line(seen, "covered by the books")) == (60_000, 70_000)
        bank.settle(till.batch([first]))
        again = bank.parts.desk.reckoning(card.id, NOW)
        assert (again.refundable, again.later) == (seen.refundable, seen.later) == (40_000, 20_000)

    def test_never_more_than_the_books_cover(self, bank: Bank) -> None:
        """Who says more than was loaded has a broken card: its own totals are not believed beyond the books."""
        small(bank, 0)
        card = bank.card("lost", 10_000)
        card.total_in = 1_000_000
        spend(bank, card, 1_000)
        bank.parts.desk.freeze(card.id, NOW)
        found = bank.parts.desk.reckoning(card.id, NOW)
        assert (line(found, "balance"), found.refundable) == (999_000, 9_000)

    def test_a_block_that_is_none_of_its_is_left_out(self, bank: Bank) -> None:
        card, till = bank.card("lost", 10_000), bank.till("t")
        honest, card.audit_key = card.audit_key, bytes(16)
        voucher = card.voucher(till, 1_000)
        with pytest.raises(MismatchError):
            AuditData.open(honest, parse(Voucher, voucher).message.audit, 1)
        bank.settle(till.batch([voucher]))
        found = bank.parts.desk.reckoning(card.id, NOW)
        assert (found.sources, line(found, "less paid")) == (1, -1_000)  # only its amount counts

    def test_neither_lost_nor_blocked(self, bank: Bank) -> None:
        small(bank, 0)
        card = bank.card("fine", 10_000)
        found = bank.parts.desk.reckoning(card.id, NOW)
        assert (found.status, found.refundable, found.later) == (PurseStatus.ACTIVE, 0, 10_000)
        assert bank.parts.desk.refund(card.id, None, NOW)[1] == 0

    def test_of_a_double_spender_nothing_is_given_back(self, bank: Bank) -> None:
        small(bank, 0)
        card, till = bank.card("clone", 10_000), bank.till("t")
        bank.settle(till.batch([card.voucher(till, 5), card.voucher(till, 6, n=1)]))
        bank.parts.desk.freeze(card.id, NOW)
        found = bank.parts.desk.reckoning(card.id, LATER)
        assert (found.status, found.refundable, found.later) == (PurseStatus.REVOKED, 0, 0)

    def test_a_grant_renews_what_could_be_paid_unseen(self, bank: Bank) -> None:
        small(bank, 500)
        purse, till = enrol(bank, "lost", loaded=1_000), bank.till("t")
        voucher, _ = pays_till(purse, till, 300)
        bank.settle(till.batch([voucher]))
        before = bank.parts.desk.reckoning(purse.id, NOW)
        report(bank, purse)  # the grant acknowledges the 300: the card may pay 500 again
        after = bank.parts.desk.reckoning(purse.id, NOW)
        unseen = "less what it could still pay unseen"
        assert (line(before, "balance"), line(after, "balance")) == (700, 700)
        assert line(after, unseen) == -500

    def test_a_blocked_card_with_a_report_is_refunded_in_full_at_once(self, bank: Bank) -> None:
        purse, till = enrol(bank, "blocked", loaded=1_000), bank.till("t")
        voucher, _ = pays_till(purse, till, 300)
        bank.settle(till.batch([voucher]))
        purse.state = replace(purse.state, lifecycle=Lifecycle.BLOCKED)
        report(bank, purse)
        found = bank.parts.desk.reckoning(purse.id, NOW)
        assert (found.status, found.refundable, found.later) == (PurseStatus.ACTIVE, 700, 0)
        after, amount = bank.parts.desk.refund(purse.id, None, NOW)
        assert (amount, after.refundable, after.status) == (700, 0, PurseStatus.FROZEN)

    def test_a_sale_that_its_till_gave_up_comes_back_though_a_lost_card_gets_no_order(self, bank: Bank) -> None:
        purse, till = enrol(bank, "lost", loaded=1_000), bank.till("t")
        _, request_hash = pays_till(purse, till, 300)
        report(bank, purse)  # it shows the slot PENDING and brings the voucher
        bank.parts.desk.freeze(purse.id, NOW)
        small(bank, 0)
        assert bank.parts.desk.reckoning(purse.id, NOW).refundable == 700
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert report(bank, purse).orders == ()
        assert bank.parts.desk.refund(purse.id, None, NOW)[1] == 1_000
        assert (bank.ledger().redeemed, bank.ledger().cards, bank.ledger().conserved) == (1_000, 0, True)

    def test_and_to_a_blocked_card_that_was_refunded_before(self, bank: Bank) -> None:
        purse, till = enrol(bank, "blocked", loaded=1_000), bank.till("t")
        voucher, request_hash = pays_till(purse, till, 300)
        purse.state = replace(purse.state, lifecycle=Lifecycle.BLOCKED)
        report(bank, purse)
        assert bank.parts.desk.refund(purse.id, None, NOW)[1] == 700
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert [bank.parts.desk.refund(purse.id, None, NOW)[1] for _ in range(2)] == [300, 0]
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)
        assert (bank.ledger().redeemed, bank.ledger().cards, bank.ledger().conserved) == (1_000, 0, True)

    def test_what_came_back_by_an_order_before_is_not_counted_twice(self, bank: Bank) -> None:
        purse, till = enrol(bank, "lost", loaded=1_000), bank.till("t")
        _, request_hash = pays_till(purse, till, 300)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert len(report(bank, purse).orders) == 1
        report(bank, purse)
        bank.parts.desk.freeze(purse.id, NOW)
        found = bank.parts.desk.reckoning(purse.id, NOW)
        assert (line(found, "got back by reversals"), line(found, "balance")) == (300, 1_000)

    def test_a_merchants_purse_by_the_offline_limit_of_its_own_policy(self, bank: Bank) -> None:
        card, lost = enrol(bank, "card", loaded=90_000), enrol(bank, "sam", SAM)
        load(bank, card, 90_000, "more")
        for amount in (90_000, 90_000):
            voucher = pays(card, lost, amount)
            evidence(bank, voucher, lost.collect(voucher, CertificateClass.HARD_WALLET))
        report(bank, lost)
        bank.parts.desk.freeze(lost.id, NOW)
        found = bank.parts.desk.reckoning(lost.id, NOW)
        assert (line(found, "offline limit"), found.refundable, found.later) == (10_000_000, 0, 180_000)


class TestRefund:
    @pytest.fixture(autouse=True)
    def _lost(self, bank: Bank) -> None:
        small(bank, 50_000)
        self.card = bank.card("lost", 90_000)
        spend(bank, self.card, 30_000)
        bank.parts.desk.freeze(self.card.id, NOW)

    def test_to_the_holder_once(self, bank: Bank) -> None:
        after, amount = bank.parts.desk.refund(self.card.id, None, NOW)
        assert (amount, after.refundable, after.later) == (40_000, 0, 20_000)
        assert bank.parts.desk.refund(self.card.id, None, NOW + 5)[1] == 0
        report = bank.ledger()
        assert (report.redeemed, bank.shadow(self.card), report.loss, report.conserved) == (40_000, 20_000, 0, True)

    def test_the_rest_after_expiry_and_grace(self, bank: Bank) -> None:
        bank.parts.desk.refund(self.card.id, None, NOW)
        due_at = bank.parts.desk.reckoning(self.card.id, NOW).due_at
        assert bank.parts.desk.refund(self.card.id, None, due_at - 1)[1] == 0
        assert bank.parts.desk.refund(self.card.id, None, due_at)[1] == 20_000
        assert bank.parts.desk.refund(self.card.id, None, due_at + DAY)[1] == 0
        assert (bank.ledger().redeemed, bank.shadow(self.card)) == (60_000, 0)

    def test_as_a_load_of_the_replacement(self, bank: Bank) -> None:
        new = bank.card("new")
        bank.parts.desk.replace(self.card.id, new.id, NOW)
        before = bank.ledger().operator_purses
        assert bank.parts.desk.refund(self.card.id, new.id, NOW)[1] == 40_000
        assert bank.ledger().operator_purses == before + 40_000
        bank.load(new, 40_000, "refund")
        assert (bank.ledger().operator_purses, bank.shadow(new), bank.ledger().redeemed) == (before, 40_000, 0)
        assert bank.ledger().conserved

    def test_late_vouchers_settle_while_they_are_covered(self, bank: Bank) -> None:
        bank.parts.desk.refund(self.card.id, None, NOW)
        till = bank.till("late")
        covered, beyond = self.card.voucher(till, 20_000), self.card.voucher(till, 5_000)
        assert bank.settle(till.batch([covered])).voucher_statuses == (S.SETTLED,)
        assert bank.settle(till.batch([beyond])).voucher_statuses == (S.REVIEW,)
        (standing,) = bank.parts.desk.standings()
        assert standing.status is PurseStatus.FROZEN  # it was the operator who refunded too early
        (review,) = bank.parts.desk.reviews()
        assert bank.parts.desk.pay_review(review.voucher_hash, NOW) == 5_000
        report = bank.ledger()
        assert (bank.wallet(till), report.loss, report.conserved) == (25_000, 5_000, True)

    def test_not_to_itself_nor_to_a_card_in_bad_standing(self, bank: Bank) -> None:
        other = bank.card("other")
        bank.parts.desk.freeze(other.id, NOW)
        for to in (self.card.id, other.id):
            assert problem(lambda to=to: bank.parts.desk.refund(self.card.id, to, NOW)) == "revoked"
        assert problem(lambda: bank.parts.desk.refund(self.card.id, bytes(32), NOW)) == "not-found"


class TestALoadThatALostCardHasNotCollected:
    """100 fen collected, 500 more paid to it; then it is lost."""

    @pytest.fixture(autouse=True)
    def _lost(self, bank: Bank) -> None:
        small(bank, 0)
        self.card = enrol(bank, "card", loaded=100)
        self.voucher = paid_load(bank, self.card, 500, "l")
        bank.parts.desk.freeze(self.card.id, NOW)

    def refund(self, bank: Bank, now: int) -> int:
        return bank.parts.desk.refund(self.card.id, None, now)[1]

    def assert_given_back_once(self, bank: Bank, amount: int = 600) -> None:
        found, books = bank.ledger(), balances(bank)
        assert (found.redeemed, found.loss, found.in_flight, found.conserved) == (amount, 0, 0, True)
        assert f"card/{self.card.id.hex()}" not in books, books
        assert self.refund(bank, LATER) == 0

    def test_comes_back_with_the_rest(self, bank: Bank) -> None:
        due_at = bank.parts.desk.reckoning(self.card.id, NOW).due_at
        assert [self.refund(bank, now) for now in (due_at - 1, due_at, due_at)] == [100, 500, 0]
        self.assert_given_back_once(bank)
        assert bank.parts.loads.pending(self.card.id) == []

    def test_is_a_line_of_its_own(self, bank: Bank) -> None:
        found = bank.parts.desk.reckoning(self.card.id, NOW)
        assert (line(found, "loads not collected, due with the rest"), found.refundable, found.later) == (500, 100, 500)

    def test_a_receipt_afterwards_gives_nothing_more(self, bank: Bank) -> None:
        assert self.refund(bank, LATER) == 600
        receipt = self.card.collect(self.voucher, CertificateClass.OPERATOR_PURSE)
        bank.parts.loads.collected(receipt, LATER)
        assert evidence(bank, receipt) == ["recorded"]
        assert line(bank.parts.desk.reckoning(self.card.id, LATER), "balance") == 600
        self.assert_given_back_once(bank)

    def test_nor_does_a_refusal(self, bank: Bank) -> None:
        before = bank.ledger().operator_purses
        assert self.refund(bank, LATER) == 600
        assert evidence(bank, self.card.refuse(parse(Voucher, self.voucher).message.request_hash)) == ["recorded"]
        assert bank.ledger().operator_purses == before
        self.assert_given_back_once(bank)

    def test_what_was_refused_before_is_the_operators_again(self, bank: Bank) -> None:
        evidence(bank, self.card.refuse(parse(Voucher, self.voucher).message.request_hash))
        assert self.refund(bank, LATER) == 100
        self.assert_given_back_once(bank, 100)

    def test_what_a_later_message_shows_as_collected_counts_once(self, bank: Bank) -> None:
        """Its Receipt was lost; it has paid 50 of it, and its report names the total."""
        till = bank.till("t")
        self.card.collect(self.voucher, CertificateClass.OPERATOR_PURSE)
        paid, _ = pays_till(self.card, till, 50)
        bank.settle(till.batch([paid]))
        report(bank, self.card, taken=False)
        found = bank.parts.desk.reckoning(self.card.id, LATER)
        assert (line(found, "balance"), line(found, "loads not collected, due with the rest")) == (550, 0)
        assert self.refund(bank, LATER) == 550
        self.assert_given_back_once(bank, 550)

    def test_what_a_till_refuses_after_it_still_comes_back(self, bank: Bank) -> None:
        other, till = enrol(bank, "other", loaded=400), bank.till("t")
        _, request_hash = pays_till(other, till, 300)
        paid_load(bank, other, 500, "more")
        report(bank, other)
        bank.parts.desk.freeze(other.id, NOW)
        assert bank.parts.desk.refund(other.id, None, LATER)[1] == 600
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert [bank.parts.desk.refund(other.id, None, LATER)[1] for _ in range(2)] == [300, 0]
        assert (bank.ledger().redeemed, bank.ledger().loss, bank.ledger().conserved) == (900, 0, True)

    def test_who_signs_both_keeps_nothing_whatever_comes_first(self, bank: Bank) -> None:
        seen = []
        for name, order in (("a", 1), ("b", -1)):
            double = bank.card(name)
            voucher = bank.pay(double, 500, name)
            bank.parts.desk.freeze(double.id, NOW)
            assert bank.parts.desk.refund(double.id, None, LATER)[1] == 500
            asked = parse(Voucher, voucher).message
            refused = Refusal(suite=Suite.ES256, payee=double.id, k=asked.k, request_hash=asked.request_hash)
            refusal = Signed.sign(refused, double.key).to_bytes()
            for message in (double.receipt(voucher), refusal)[::order]:
                evidence(bank, message)
            seen.append((balances(bank).get(f"card/{double.id.hex()}", 0), bank.parts.desk.standings()[-1].status))
        assert seen == [(0, PurseStatus.REVOKED)] * 2
        assert (bank.ledger().loss, bank.ledger().conserved) == (1_000, True)


class TestReplaced:
    def enrol(self, bank: Bank, name: str, replaces: bytes) -> CardDouble:
        own, serial = key(f"card {name}"), name.encode().ljust(8, b"-")
        request = certification_request(own, CertificateClass.HARD_WALLET, serial)
        made = bank.parts.cards.enrol(serial, request, NOW, replaces=replaces)
        return CardDouble(own, Certificate.from_bytes(made.certificate), serial, made.audit_key)

    def test_by_enrolment_nothing_of_the_state_passes_on(self, bank: Bank) -> None:
        old = bank.card("old", 500)
        new = self.enrol(bank, "new", old.id)
        assert [one.status for one in bank.parts.desk.standings()] == [PurseStatus.REPLACED]
        assert (bank.shadow(old), bank.shadow(new)) == (500, 0)
        assert self.enrol(bank, "new", old.id).id == new.id
        assert problem(lambda: bank.begin(old, 5, "x")) == "revoked"
        bank.load(new, 100, "y")

    def test_what_cannot_be(self, bank: Bank) -> None:
        old, other = bank.card("old"), bank.card("other")
        self.enrol(bank, "new", old.id)
        assert problem(lambda: self.enrol(bank, "newer", old.id)) == "idempotency-mismatch"
        assert problem(lambda: self.enrol(bank, "new", other.id)) == "idempotency-mismatch"
        assert problem(lambda: self.enrol(bank, "third", bytes(32))) == "not-found"
        assert problem(lambda: bank.parts.desk.replace(other.id, old.id, NOW)) == "revoked"
        assert problem(lambda: bank.parts.desk.replace(other.id, other.id, NOW)) == "not-found"

    def test_a_double_spender_is_not_replaced(self, bank: Bank) -> None:
        card, till = bank.card("clone", 100), bank.till("t")
        bank.settle(till.batch([card.voucher(till, 5), card.voucher(till, 6, n=1)]))
        assert problem(lambda: self.enrol(bank, "new", card.id)) == "revoked"


class TestADestroyedPurse:
    """An order takes a voucher back from its residual: after revocation, expiry and grace, and not if it was spent."""

    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card, self.sam = enrol(bank, "card", loaded=1_000), enrol(bank, "sam", SAM)
        self.voucher = pays(self.card, self.sam, 300)
        evidence(bank, self.voucher)
        self.risk = RiskSettings.of_policy(bank.world.keyring.policy.message)
        self.expires = self.sam.party.certificate.expires

    def charge(self, bank: Bank, now: int) -> None:
        message = parse(Voucher, self.voucher).message
        with bank.parts.storage.writing() as tx:
            payee, payer = tx.purse(self.sam.id), tx.purse(self.card.id)
            assert payee is not None
            assert payer is not None
            where = (payer, message.epoch, message.n, message.hash)
            charge_residual(tx, payee, *where, self.expires, self.risk, now)

    def test_only_when_it_is_due(self, bank: Bank) -> None:
        due = self.expires + self.risk.grace_s
        assert problem(lambda: self.charge(bank, due)) == "not-due"
        bank.parts.desk.freeze(self.sam.id, NOW)
        assert problem(lambda: self.charge(bank, due - 1)) == "not-due"
        for _ in range(2):
            self.charge(bank, due)
            books = balances(bank)
            assert books[f"card/{self.card.id.hex()}"] == 1_000
            assert f"flight/{self.sam.id.hex()}" not in books

    def test_not_what_it_has_spent(self, bank: Bank) -> None:
        till = bank.till("t")
        self.sam.collect(self.voucher, CertificateClass.HARD_WALLET)
        paid, _ = pays_till(self.sam, till, 300)
        bank.settle(till.batch([paid]))
        bank.parts.desk.freeze(self.sam.id, NOW)
        assert problem(lambda: self.charge(bank, self.expires + self.risk.grace_s)) == "not-due"

    def test_a_purse_that_is_loaded_counts_for_its_residual(self, bank: Bank) -> None:
        load(bank, self.sam, 300, "more")
        till = bank.till("t")
        paid, _ = pays_till(self.sam, till, 300)
        bank.settle(till.batch([paid]))
        bank.parts.desk.freeze(self.sam.id, NOW)
        self.charge(bank, self.expires + self.risk.grace_s)
        assert balances(bank)[f"card/{self.card.id.hex()}"] == 1_000
