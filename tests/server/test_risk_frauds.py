"""Fraud: proofs that anyone can check, who is revoked and who is not, what waits, what it costs at most."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from server.problems import Problem
from server.risk.loss_bound import loss_bound
from server.risk.settings import DAY, RiskSettings
from server.storage.records_risk import PurseStatus
from support.enrolled import SAM, enrol, evidence, load, pays, pays_till, report
from support.keys import NOW, OPERATOR, Party, certify, key
from support.operator_world import Bank, CardDouble, World
from support.risk_world import balances, pay_all_reviews, sam
from wallet_core import fraud
from wallet_core.certificates import CertificateClass
from wallet_core.errors import ConfigurationError
from wallet_core.messages import (
    DepositStatus,
    Request,
    RevocationList,
    RevocationReason,
    Signed,
    SpendMode,
    Voucher,
    parse,
)
from wallet_core.messages.revocation import MAX_LIST_SIZE
from wallet_core.suites import Suite

S = DepositStatus


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


def revocations(bank: Bank) -> RevocationList:
    return parse(RevocationList, bank.parts.revocations.signed(), max_size=MAX_LIST_SIZE).verify(OPERATOR.key.public)


def status(bank: Bank, party: bytes) -> PurseStatus:
    with bank.parts.storage.reading() as tx:
        found = tx.standing(party)
    return found.status if found is not None else PurseStatus.ACTIVE


def stranger(bank: Bank, name: str) -> CardDouble:
    """Certified by this operator, but not in its books."""
    own = key(name)
    return CardDouble(own, certify(bank.world.operator, own, CertificateClass.HARD_WALLET), bytes(8), bytes(16))


class TestTheRevocationList:
    def test_empty(self, bank: Bank) -> None:
        found = revocations(bank)
        assert (found.serial, found.operator, dict(found.entries)) == (1, OPERATOR.id, {})

    def test_the_same_bytes_until_something_changes(self, bank: Bank) -> None:
        card, other, till = bank.card("a"), bank.card("b"), bank.till("t")
        first = bank.parts.revocations.signed()
        assert bank.parts.revocations.signed() == first
        bank.parts.desk.freeze(card.id, NOW)
        second = bank.parts.revocations.signed()
        bank.parts.desk.freeze(card.id, NOW + 9)
        assert bank.parts.revocations.signed() == second != first
        bank.parts.desk.declare_dead(till.id, NOW + 1)
        bank.parts.desk.freeze(other.id, NOW + 2)
        bank.parts.desk.replace(other.id, bank.card("c").id, NOW + 3)
        found = revocations(bank)
        assert (found.serial, found.at) == (5, NOW + 3)
        assert dict(found.entries) == {
            card.id: RevocationReason.FROZEN,
            till.id: RevocationReason.DEAD,
            other.id: RevocationReason.REPLACED,
        }


class TestDoubleSpending:
    def test_the_proof_convicts_with_public_keys_only(self, bank: Bank) -> None:
        card, till, other = bank.card("clone", 1_000), bank.till("t"), bank.till("u")
        bank.settle(till.batch([card.voucher(till, 5)]))
        assert status(bank, card.id) is PurseStatus.ACTIVE
        bank.settle(other.batch([card.voucher(other, 6, n=1)]))
        assert status(bank, card.id) is PurseStatus.REVOKED
        (found,) = bank.parts.desk.frauds(NOW).proofs
        assert found.file is not None
        culprit = fraud.check(fraud.FraudProof.from_bytes(found.file), bank.world.keyring.trust())
        assert (culprit.id, culprit.kind) == (card.id, fraud.FraudKind.DOUBLE_SPEND)

    def test_a_deposit_that_contradicts_a_report_is_found(self, bank: Bank) -> None:
        """The card has reported one voucher; the till deposits another one with its counter."""
        purse, till = enrol(bank, "clone", loaded=1_000), bank.till("t")
        before = purse.state
        pays_till(purse, till, 300)
        bank.parts.reports.report(purse.report(), [], [], NOW)
        purse.state = before  # a copy of the card pays somebody else
        second, _ = pays_till(purse, till, 200)
        bank.settle(till.batch([second]))
        (found,) = bank.parts.desk.frauds(NOW).proofs
        assert found.file is not None
        culprit = fraud.check(fraud.FraudProof.from_bytes(found.file), bank.world.keyring.trust())
        assert (culprit.id, culprit.kind) == (purse.id, fraud.FraudKind.DOUBLE_SPEND)
        assert status(bank, purse.id) is PurseStatus.REVOKED

    def test_the_smaller_hash_is_charged_to_the_card(self, bank: Bank) -> None:
        card, till = bank.card("clone", 100), bank.till("t")
        vouchers = sorted([card.voucher(till, 60), card.voucher(till, 25, n=1)], key=parse_hash)
        for one in reversed(vouchers):  # the larger hash first: it has to give way
            bank.settle(till.batch([one]))
        primary = parse_voucher(vouchers[0]).amount
        assert (bank.wallet(till), bank.shadow(card), bank.ledger().loss) == (85, 100 - primary, 85 - primary)

    def test_what_is_beyond_the_cap_waits_and_never_costs_more(self, bank: Bank) -> None:
        card, till = bank.card("clone", 90_000), bank.till("t")
        vouchers = [card.voucher(till, 40_000, n=1, order=str(i)) for i in range(6)]
        answers = [bank.settle(till.batch([one])).voucher_statuses[0] for one in vouchers]
        assert answers == [S.SETTLED] * 3 + [S.EQUIVOCATION] * 3  # one the card's own, two from loss: cap 100,000
        assert (bank.ledger().loss, bank.wallet(till), bank.ledger().conserved) == (80_000, 120_000, True)
        small = card.voucher(till, 20_000, n=1, order="small")
        assert bank.settle(till.batch([small])).voucher_statuses == (S.SETTLED,)
        assert bank.ledger().loss == 100_000
        (hash_of_one, *_) = [one.voucher_hash for one in bank.parts.desk.reviews()]
        with pytest.raises(Problem) as caught:
            bank.parts.desk.pay_review(hash_of_one, NOW)
        assert caught.value.problem == "limit"
        (overspent,) = bank.parts.desk.frauds(NOW).overspent
        assert (overspent.payer, overspent.spent, overspent.overspent) == (card.id, 260_000, 170_000)

    def test_what_comes_from_a_purse_and_a_till_under_one_counter(self, bank: Bank) -> None:
        card, till, merchants = bank.card("clone", 1_000), bank.till("t"), sam(bank, "sam")
        bank.settle(till.batch([card.voucher(till, 300)]))
        second = card.voucher(merchants, 200, n=1)
        assert evidence(bank, second) == ["recorded"]
        books = balances(bank)
        assert books[f"flight/{merchants.id.hex()}"] == 200
        assert -books["loss"] in (200, 300)
        assert books[f"card/{card.id.hex()}"] == 1_000 - 500 - books["loss"]
        assert status(bank, card.id) is PurseStatus.REVOKED


class TestOverspending:
    def test_a_hard_wallet_of_ours_is_revoked(self, bank: Bank) -> None:
        card, till = bank.card("minting", 100), bank.till("t")
        assert bank.settle(till.batch([card.voucher(till, 101)])).voucher_statuses == (S.REVIEW,)
        assert status(bank, card.id) is PurseStatus.REVOKED
        frauds = bank.parts.desk.frauds(NOW)
        assert [(one.payer, one.spent, one.received, one.overspent) for one in frauds.overspent] == [
            (card.id, 101, 100, 1)
        ]
        assert frauds.proofs == ()

    def test_one_that_may_have_received_more_is_not(self, bank: Bank) -> None:
        card, till = stranger(bank, "unknown"), bank.till("t")
        bank.settle(till.batch([card.voucher(till, 101)], certificates=[card.certificate.to_bytes()]))
        assert status(bank, card.id) is PurseStatus.ACTIVE
        assert [one.overspent for one in bank.parts.desk.frauds(NOW).overspent] == [101]
        bank.pay(card, 101, "explains it")
        assert bank.parts.desk.frauds(NOW).overspent == ()
        assert (bank.wallet(till), bank.parts.desk.reviews()) == (101, [])

    def test_nor_one_whose_payment_to_a_purse_may_have_been_refused(self, bank: Bank) -> None:
        """It pays a purse, is refused, and spends the value again before anybody hears of the Refusal."""
        card, till, merchants = enrol(bank, "card", loaded=300), bank.till("t"), enrol(bank, "sam", SAM)
        voucher = pays(card, merchants, 300)
        refusal = merchants.refuse(parse_voucher(voucher).request_hash)
        card.acknowledge_refusal(refusal, merchants.party)
        again, _ = pays_till(card, till, 300)
        evidence(bank, voucher)
        assert bank.settle(till.batch([again])).voucher_statuses == (S.REVIEW,)
        assert status(bank, card.id) is PurseStatus.ACTIVE
        evidence(bank, refusal)
        assert (bank.wallet(till), bank.parts.desk.frauds(NOW).overspent) == (300, ())
        assert bank.ledger().conserved

    def test_nor_one_to_which_a_dishonest_payee_has_shown_a_refusal_and_the_server_a_receipt(self, bank: Bank) -> None:
        card, till, bad = enrol(bank, "card", loaded=300), bank.till("t"), sam(bank, "bad")
        party = Party("bad", bad.key, bad.card.certificate)
        asked = Request(
            suite=Suite.ES256,
            payer=card.id,
            epoch=1,
            n=card.state.next_n,
            payee=bad.id,
            k=1,
            amount=300,
            order_hash=bytes(32),
        )
        voucher = card.pay(Signed.sign(asked, bad.key).to_bytes(), payee=party)
        refusal = bad.refuse(voucher)
        evidence(bank, voucher, bad.receipt(voucher))
        card.acknowledge_refusal(refusal, party)
        again, _ = pays_till(card, till, 300)
        assert bank.settle(till.batch([again])).voucher_statuses == (S.REVIEW,)
        assert status(bank, card.id) is PurseStatus.ACTIVE
        assert [one.overspent for one in bank.parts.desk.frauds(NOW).overspent] == [300]
        evidence(bank, refusal)  # the card brings what it was shown: now it is the payee who is proved dishonest
        assert (status(bank, card.id), status(bank, bad.id)) == (PurseStatus.ACTIVE, PurseStatus.REVOKED)
        assert (bank.wallet(till), bank.ledger().loss, bank.ledger().conserved) == (300, 0, True)

    def test_an_intermittent_card_waits_for_what_another_purse_paid_it(self, tmp_path: Path) -> None:
        world = World.make(tmp_path)
        policy = replace(world.keyring.policy.message, mode=SpendMode.INTERMITTENT)
        with_late = RiskSettings.of_policy(policy)
        assert with_late.late_inflow
        bank = Bank(world, risk=with_late)
        card, till = bank.card("a", 100), bank.till("t")
        bank.settle(till.batch([card.voucher(till, 150)]))
        assert status(bank, card.id) is PurseStatus.ACTIVE
        bank.close()

    def test_an_allowance(self, tmp_path: Path) -> None:
        world = World.make(tmp_path)
        risk = replace(RiskSettings.of_policy(world.keyring.policy.message), allowance=60)
        bank = Bank(world, risk=risk)
        card, till = stranger(bank, "a"), bank.till("t")
        brought = [card.certificate.to_bytes()]
        answer = bank.settle(till.batch([card.voucher(till, 50), card.voucher(till, 20)], certificates=brought))
        assert answer.voucher_statuses == (S.SETTLED, S.REVIEW)
        assert bank.ledger().loss == 50
        bank.pay(card, 80, "late")  # what was paid in advance comes back, and the other one is covered
        assert (bank.ledger().loss, bank.wallet(till), bank.shadow(card)) == (0, 70, -70)
        assert bank.ledger().conserved
        bank.close()

    def test_the_operator_pays_and_inflow_brings_it_back(self, bank: Bank) -> None:
        card, till = stranger(bank, "a"), bank.till("t")
        bank.settle(till.batch([card.voucher(till, 70)], certificates=[card.certificate.to_bytes()]))
        assert pay_all_reviews(bank) == 70
        assert (bank.wallet(till), bank.ledger().loss) == (70, 70)
        bank.pay(card, 50, "part")
        assert bank.ledger().loss == 20
        bank.pay(card, 50, "rest")
        assert (bank.ledger().loss, bank.shadow(card), bank.ledger().conserved) == (0, -70, True)

    def test_what_was_refused_is_not_paid(self, bank: Bank) -> None:
        card, till = stranger(bank, "a"), bank.till("t")
        voucher = card.voucher(till, 70)
        bank.settle(till.batch([voucher], certificates=[card.certificate.to_bytes()]))
        bank.settle(till.batch([], [till.refusal(parse_voucher(voucher).request_hash)]))
        bank.pay(card, 100, "late")
        assert (bank.wallet(till), bank.parts.desk.reviews()) == (0, [])
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_a_purses_receipt_that_came_before_its_voucher_was_covered(self, bank: Bank) -> None:
        card, merchants = stranger(bank, "a"), sam(bank, "sam")
        till = bank.till("t")
        bank.settle(till.batch([card.voucher(till, 10)], certificates=[card.certificate.to_bytes()]))
        voucher = card.voucher(merchants, 70)
        evidence(bank, voucher, merchants.receipt(voucher))
        assert f"card/{merchants.id.hex()}" not in balances(bank)
        bank.pay(card, 100, "late")
        assert balances(bank)[f"card/{merchants.id.hex()}"] == 70


class TestSettings:
    def policy(self, bank: Bank) -> RiskSettings:
        return RiskSettings.of_policy(bank.world.keyring.policy.message)

    def test_the_bound_line_by_line(self, bank: Bank) -> None:
        bound = loss_bound(replace(self.policy(bank), taps_per_day=3, deposit_delay_s=DAY, revocation_delay_s=DAY // 2))
        assert [number for _, number, _ in bound.lines] == [3, 50_000, 129_600, 5, 250_000, 100_000, 150_000]
        assert bound.minted == bound.operator + bound.merchants

    def test_a_small_bound_is_all_the_operators(self, bank: Bank) -> None:
        bound = loss_bound(replace(self.policy(bank), taps_per_day=1, deposit_delay_s=DAY, revocation_delay_s=0))
        assert (bound.minted, bound.operator, bound.merchants) == (50_000, 50_000, 0)

    def test_from_a_file(self, bank: Bank, tmp_path: Path) -> None:
        policy = bank.world.keyring.policy.message
        assert RiskSettings.of_directory(policy, tmp_path) == self.policy(bank)
        (tmp_path / "risk.json").write_text(json.dumps({"review_cap": 7, "grace_s": 8}))
        changed = RiskSettings.of_directory(policy, tmp_path)
        assert changed == replace(self.policy(bank), review_cap=7, grace_s=8)

    @pytest.mark.parametrize("text", ["", "[]", '{"other": 1}', '{"grace_s": -1}', '{"grace_s": true}'])
    def test_a_file_that_is_none(self, bank: Bank, tmp_path: Path, text: str) -> None:
        (tmp_path / "risk.json").write_text(text)
        with pytest.raises(ConfigurationError):
            RiskSettings.of_directory(bank.world.keyring.policy.message, tmp_path)


def test_a_standing_only_gets_worse(bank: Bank) -> None:
    card, till = bank.card("a", 100), bank.till("t")
    bank.settle(till.batch([card.voucher(till, 5), card.voucher(till, 6, n=1)]))
    assert bank.parts.desk.freeze(card.id, NOW) is PurseStatus.REVOKED


def test_a_frozen_card_finishes_what_it_began_but_gets_no_orders(bank: Bank) -> None:
    purse, till = enrol(bank, "card", loaded=500), bank.till("t")
    voucher, _ = pays_till(purse, till, 300)
    _, refused = pays_till(purse, till, 100)
    bank.settle(till.batch([], [till.refusal(refused)]))
    bank.parts.desk.freeze(purse.id, NOW)
    assert report(bank, purse).orders == ()
    assert bank.settle(till.batch([voucher])).credited == 300
    with pytest.raises(Problem, match="frozen"):
        load(bank, purse, 5, "more")


def parse_voucher(raw: bytes) -> Voucher:
    return parse(Voucher, raw).message


def parse_hash(raw: bytes) -> bytes:
    return parse(Voucher, raw).hash
