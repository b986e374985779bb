"""Tills that cheat, are restored from a backup, or are gone: nobody gains, each voucher counts once, none is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.problems import Problem
from server.storage.records_risk import PurseStatus
from support.enrolled import enrol, pays_till, report
from support.keys import NOW, key
from support.operator_world import Bank, TillDouble, World, certification_request
from support.risk_world import balances, bank_in_memory, evidence, sam
from wallet_core import fraud
from wallet_core.certificates import CertificateClass
from wallet_core.messages import DepositStatus, RefusalStatus, Voucher, parse

S, R = DepositStatus, RefusalStatus


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


def successor(bank: Bank, old: TillDouble, name: str, *, merchant: str = "") -> TillDouble:
    """A new key of the same merchant (or another one's) that takes the place of `old`."""
    code = bank.parts.tills.new_code(merchant or old.merchant, NOW)
    made = TillDouble(key(f"till {name}"))
    request = certification_request(made.key, CertificateClass.TILL, code.encode())
    made.merchant = bank.parts.tills.enrol(code, request, NOW, succeeds=old.id).merchant
    return made


def status(bank: Bank, party: bytes) -> PurseStatus:
    with bank.parts.storage.reading() as tx:
        found = tx.standing(party)
    return found.status if found is not None else PurseStatus.ACTIVE


def problem(action: Callable[[], object]) -> str:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value.problem


class TestNothingIsGained:
    """A till that refuses after PAID, or deposits after refusing: the merchant has the money, or the card has it."""

    @pytest.mark.parametrize("order", list(itertools.permutations(["deposit", "refuse", "report", "report again"])))
    def test_in_every_order(self, order: tuple[str, ...]) -> None:
        with bank_in_memory(issued=10_000) as bank:
            card, till = enrol(bank, "card", loaded=1_000), bank.till("t")
            voucher, request_hash = pays_till(card, till, 300)
            for event in order:
                if event == "deposit":
                    bank.settle(till.batch([voucher]))
                elif event == "refuse":
                    bank.settle(till.batch([], [till.refusal(request_hash)]))
                else:
                    report(bank, card)
            report(bank, card)
            refused = order.index("refuse") < order.index("deposit")
            assert (bank.wallet(till), card.state.balance) == ((0, 1_000) if refused else (300, 700))
            assert balances(bank)[f"card/{card.id.hex()}"] == card.state.balance
            assert "loss" not in balances(bank)

    @pytest.mark.parametrize("order", list(itertools.permutations(["voucher", "receipt", "refusal", "receipt"])))
    def test_a_purse_that_signs_both(self, order: tuple[str, ...]) -> None:
        with bank_in_memory(issued=10_000) as bank:
            card, merchants = bank.card("card", 1_000), sam(bank, "sam")
            voucher = card.voucher(merchants, 300)
            said = {"voucher": voucher, "receipt": merchants.receipt(voucher), "refusal": merchants.refuse(voucher)}
            for event in order:
                evidence(bank, said[event])
            books = balances(bank)
            assert books[f"card/{card.id.hex()}"] == 1_000
            assert {f"card/{merchants.id.hex()}", f"flight/{merchants.id.hex()}", "loss"}.isdisjoint(books)
            assert status(bank, merchants.id) is PurseStatus.REVOKED
            (proof,) = bank.parts.desk.frauds(NOW).proofs
            assert proof.file is not None
            culprit = fraud.check(fraud.FraudProof.from_bytes(proof.file), bank.world.keyring.trust())
            assert (culprit.id, culprit.kind) == (merchants.id, fraud.FraudKind.TWO_OUTCOMES)


class TestATillInAnothersPlace:
    @pytest.fixture(autouse=True)
    def _parties(self, bank: Bank) -> None:
        self.card, self.old = bank.card("a", 1_000), bank.till("old")

    def test_it_deposits_what_is_made_out_to_the_old_one(self, bank: Bank) -> None:
        first, second = self.card.voucher(self.old, 5), self.card.voucher(self.old, 6)
        bank.settle(self.old.batch([first]))
        new = successor(bank, self.old, "new")
        third = self.card.voucher(new, 7)
        answer = bank.settle(new.batch([first, second, third]))
        assert (answer.voucher_statuses, answer.credited) == ((S.SETTLED,) * 3, 13)
        assert (bank.wallet(self.old), bank.ledger().conserved) == (18, True)
        assert status(bank, self.old.id) is PurseStatus.REPLACED
        assert bank.settle(new.batch([second])).voucher_statuses == (S.SETTLED,)

    def test_whoever_deposits_first_it_is_once(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        new = successor(bank, self.old, "new")
        assert bank.settle(new.batch([voucher])).credited == 5
        late = bank.settle(self.old.batch([voucher]))  # the old device turns up: its batches are still taken
        assert (late.voucher_statuses, late.credited) == ((S.SETTLED,), 0)
        assert bank.wallet(new) == 5

    def test_of_two_that_took_its_place_one_cannot_refuse_what_the_other_has_deposited(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        one, two = successor(bank, self.old, "one"), successor(bank, self.old, "two")
        assert bank.settle(one.batch([voucher])).credited == 5
        refusal = self.old.refusal(parse(Voucher, voucher).message.request_hash)
        assert bank.settle(two.batch([], [refusal])).refusal_statuses == (RefusalStatus.AFTER_DEPOSIT,)

    def test_another_tills_vouchers_are_not_its_own(self, bank: Bank) -> None:
        new, other = successor(bank, self.old, "new"), bank.till("other")
        foreign, own = self.card.voucher(other, 5), self.card.voucher(new, 6)
        assert bank.settle(new.batch([foreign])).voucher_statuses == (S.WRONG_PAYEE,)
        assert bank.settle(self.old.batch([own])).voucher_statuses == (S.WRONG_PAYEE,)  # not the other way round

    def test_the_old_ones_refusals_count(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        request_hash = parse(Voucher, voucher).message.request_hash
        bank.settle(self.old.batch([], [self.old.refusal(request_hash)]))
        new = successor(bank, self.old, "new")
        assert bank.settle(new.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_it_hands_in_refusals_under_the_old_key_only(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        request_hash = parse(Voucher, voucher).message.request_hash
        new = successor(bank, self.old, "new")
        forged = TillDouble(new.key)
        forged_refusal = forged.refusal(request_hash).replace(new.id, self.old.id)
        answer = bank.settle(new.batch([], [forged_refusal]))
        assert answer.refusal_statuses == (R.BAD_SIGNATURE,)
        assert bank.settle(new.batch([], [self.old.refusal(request_hash)])).refusal_statuses == (R.RECORDED,)
        assert bank.settle(new.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)
        assert bank.settle(self.old.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_what_the_old_one_has_deposited_is_not_refused_by_the_new_one(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        request_hash = parse(Voucher, voucher).message.request_hash
        bank.settle(self.old.batch([voucher]))
        new = successor(bank, self.old, "new")
        answer = bank.settle(new.batch([], [self.old.refusal(request_hash)]))
        assert answer.refusal_statuses == (R.AFTER_DEPOSIT,)
        voucher = self.card.voucher(self.old, 7)
        bank.settle(new.batch([voucher]))
        refusal = self.old.refusal(parse(Voucher, voucher).message.request_hash)
        assert bank.settle(self.old.batch([], [refusal])).refusal_statuses == (R.AFTER_DEPOSIT,)
        assert bank.wallet(new) == 12

    def test_no_order_for_what_the_successor_has_deposited(self, bank: Bank) -> None:
        card = enrol(bank, "card", loaded=1_000)
        voucher, request_hash = pays_till(card, self.old, 300)
        new = successor(bank, self.old, "new")
        bank.settle(new.batch([voucher]))
        bank.settle(self.old.batch([], [self.old.refusal(request_hash)]))
        assert report(bank, card).orders == ()
        assert (bank.wallet(new), card.state.balance) == (300, 700)

    def test_a_line_of_three(self, bank: Bank) -> None:
        voucher = self.card.voucher(self.old, 5)
        second = successor(bank, self.old, "second")
        third = successor(bank, second, "third")
        later = self.card.voucher(second, 6)
        assert bank.settle(third.batch([voucher, later])).credited == 11

    def test_only_with_a_code_of_the_same_merchant(self, bank: Bank) -> None:
        stranger = bank.till("stranger")
        call = lambda: successor(bank, self.old, "new", merchant=stranger.merchant)  # noqa: E731
        assert problem(call) == "not-authorised"
        assert status(bank, self.old.id) is PurseStatus.ACTIVE

    def test_an_unknown_till_or_itself(self, bank: Bank) -> None:
        nobody = TillDouble(key("nobody"), merchant=self.old.merchant)
        assert problem(lambda: successor(bank, nobody, "new")) == "not-found"

    def test_again_and_otherwise(self, bank: Bank) -> None:
        code = bank.parts.tills.new_code(self.old.merchant, NOW)
        request = certification_request(key("till new"), CertificateClass.TILL, code.encode())
        first = bank.parts.tills.enrol(code, request, NOW, succeeds=self.old.id)
        assert bank.parts.tills.enrol(code, request, NOW, succeeds=self.old.id) == first
        assert bank.parts.tills.enrol(code, request, NOW) == first
        other = bank.till("other").id
        assert problem(lambda: bank.parts.tills.enrol(code, request, NOW, succeeds=other)) == "idempotency-mismatch"

    def test_the_old_key_is_not_enrolled_again(self, bank: Bank) -> None:
        code = bank.parts.tills.new_code(self.old.merchant, NOW)
        own = TillDouble(key("till mine"))
        request = certification_request(own.key, CertificateClass.TILL, code.encode())
        bank.parts.tills.enrol(code, request, NOW)
        own.merchant = self.old.merchant
        successor(bank, own, "new")
        assert problem(lambda: bank.parts.tills.enrol(code, request, NOW)) == "revoked"


class TestADeadTill:
    def test_its_merchant_gets_what_cards_bring(self, bank: Bank) -> None:
        card, till = enrol(bank, "card", loaded=1_000), bank.till("t")
        early, _ = pays_till(card, till, 300)
        report(bank, card)
        assert bank.wallet(till) == 0  # a living till deposits by itself
        late, _ = pays_till(card, till, 200)
        assert bank.parts.desk.declare_dead(till.id, NOW) == 1
        assert (bank.wallet(till), status(bank, till.id)) == (300, PurseStatus.DEAD)
        report(bank, card)
        assert (bank.wallet(till), bank.ledger().conserved) == (500, True)
        found = bank.settle(till.batch([early, late]))  # it was only at the repair shop
        assert (found.voucher_statuses, found.credited, bank.wallet(till)) == ((S.SETTLED,) * 2, 0, 500)

    def test_what_it_had_refused_stays_refused(self, bank: Bank) -> None:
        card, till = enrol(bank, "card", loaded=1_000), bank.till("t")
        _, request_hash = pays_till(card, till, 300)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        bank.parts.desk.declare_dead(till.id, NOW)
        report(bank, card)
        assert (bank.wallet(till), card.state.balance) == (0, 1_000)

    def test_again_and_unknown(self, bank: Bank) -> None:
        till = bank.till("t")
        assert [bank.parts.desk.declare_dead(till.id, NOW) for _ in range(2)] == [0, 0]
        assert problem(lambda: bank.parts.desk.declare_dead(bytes(32), NOW)) == "not-found"
