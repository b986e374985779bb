"""Reports and what they are answered with: grants, reversal orders, the policy; dead tills and closings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.problems import Problem
from server.risk.settings import RiskSettings
from server.risk.standing import move_to
from server.storage.records_risk import PurseStatus
from support.enrolled import CARD, SAM, enrol, evidence, hash_of, load, paid_load, pays, pays_till, report
from support.keys import FOREIGN_CARD, NOW, TILL
from support.operator_world import Bank, TillDouble, World
from support.purses import UNLIMITED, Purse
from wallet_core.errors import BadSignatureError, CodecError, MismatchError, OutOfRangeError, PurseRefusal, Refused
from wallet_core.messages import (
    Closing,
    DepositStatus,
    Grant,
    Policy,
    RefusalStatus,
    Report,
    ReversalOrder,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.ending import SlotLine, pack_entries, pack_slots
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, SlotState

S = DepositStatus


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=200_000)
    yield made
    made.close()


@pytest.fixture
def card(bank: Bank) -> Purse:
    return enrol(bank, "card", loaded=10_000)


@pytest.fixture
def till(bank: Bank) -> TillDouble:
    return bank.till("t")


def problem(action: Callable[[], object]) -> Problem:
    with pytest.raises(Problem) as caught:
        action()
    return caught.value


def declare(bank: Bank, party: bytes, status: PurseStatus) -> None:
    with bank.parts.storage.writing() as tx:
        move_to(tx, party, status, "a test", now=NOW)


def grant_of(answered_grant: bytes, bank: Bank) -> Grant:
    return parse(Grant, answered_grant).verify(bank.world.operator.public)


def pending(purse: Purse) -> int:
    return sum(slot.state is SlotState.PENDING for slot in purse.state.slots)


def sound(bank: Bank) -> None:
    assert bank.ledger().faults == ()


class TestGrants:
    def test_a_card_goes_on_after_its_sales_are_deposited(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        vouchers = [pays_till(card, till, 100)[0] for _ in range(SLOT_COUNT)]
        with pytest.raises(PurseRefusal) as full:
            pays_till(card, till, 100)
        assert full.value.reason is Refused.SLOTS_FULL
        bank.settle(till.batch(vouchers))
        grant = grant_of(report(bank, card).grant, bank)
        assert (grant.n_acked, grant.out_acked, grant.in_acked) == (17, 1_600, 10_000)
        assert grant.slot_outcomes == dict.fromkeys(range(1, 17), SlotState.COLLECTED)
        assert (card.state.exposure, card.state.payments_since_grant, pending(card)) == (0, 0, 0)
        assert bank.settle(till.batch([pays_till(card, till, 100)[0]])).credited == 100

    def test_what_is_only_reported_is_acknowledged_and_stays_pending(
        self, bank: Bank, card: Purse, till: TillDouble
    ) -> None:
        pays_till(card, till, 700)
        grant = grant_of(report(bank, card).grant, bank)
        assert (grant.n_acked, grant.out_acked, grant.slot_outcomes) == (2, 700, {})
        assert (card.state.exposure, pending(card)) == (0, 1)

    def test_the_same_report_gets_the_same_bytes_until_the_books_know_more(
        self, bank: Bank, card: Purse, till: TillDouble
    ) -> None:
        voucher, _ = pays_till(card, till, 700)
        first = report(bank, card, taken=False)
        assert report(bank, card, taken=False) == first
        bank.settle(till.batch([voucher]))
        later = report(bank, card, taken=False)
        assert grant_of(later.grant, bank).slot_outcomes == {1: SlotState.COLLECTED}
        assert report(bank, card, taken=False) == later
        for answered in (later, first, later):
            card.grant(answered.grant)
        assert pending(card) == 0

    def test_an_old_report_takes_nothing_back(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        old = card.report()
        bank.settle(till.batch([pays_till(card, till, 700)[0]]))
        report(bank, card)
        after = card.state
        card.grant(bank.parts.reports.report(old, [], [], NOW).grant)
        assert card.state == after

    def test_final_entries_of_a_payee_may_go(self, bank: Bank) -> None:
        sam = enrol(bank, "sam", SAM)
        payer = enrol(bank, "payer", loaded=50_000)
        for number in range(TABLE_SIZE - 1):
            sam.collect(pays(payer, sam, 10 + number), CARD)
        sam.refuse(hash_of(sam.ask(payer, 5)))
        with pytest.raises(PurseRefusal):
            sam.ask(payer, 5)
        report(bank, payer)
        grant = grant_of(report(bank, sam).grant, bank)
        assert grant.closed_entries == frozenset(range(1, TABLE_SIZE + 1))
        assert grant.in_acked == sum(10 + number for number in range(TABLE_SIZE - 1))
        assert sam.ask(payer, 5)

    def test_inflow_is_acknowledged_when_its_voucher_is_here(self, bank: Bank, card: Purse) -> None:
        """A staged purse spends what the operator has seen."""
        staged = enrol(bank, "staged", loaded=100, policy=UNLIMITED)
        voucher = pays(card, staged, 900)
        staged.collect(voucher, CARD)
        assert grant_of(report(bank, staged).grant, bank).in_acked == 100
        with pytest.raises(PurseRefusal):
            pays(staged, card, 500)
        evidence(bank, voucher)
        assert grant_of(report(bank, staged).grant, bank).in_acked == 1_000
        assert pays(staged, card, 500)

    def test_a_newer_policy_comes_before_the_grant(self, bank: Bank) -> None:
        old = enrol(bank, "old", loaded=100, policy=dataclasses.replace(UNLIMITED, version=0))
        answered = report(bank, old, taken=False)
        policy = parse(Policy, answered.policy or b"").verify(bank.world.operator.public)
        assert policy == bank.world.keyring.policy.message
        with pytest.raises(PurseRefusal) as refused:
            old.grant(answered.grant)
        assert refused.value.reason is Refused.POLICY_OLD
        old.policy = dataclasses.replace(old.policy, version=policy.version)
        assert report(bank, old).policy is None

    @pytest.mark.parametrize("status", [PurseStatus.FROZEN, PurseStatus.REVOKED, PurseStatus.REPLACED])
    def test_no_new_limits_for_who_is_not_in_good_standing(
        self, bank: Bank, card: Purse, till: TillDouble, status: PurseStatus
    ) -> None:
        voucher, _ = pays_till(card, till, 700)
        bank.settle(till.batch([voucher]))
        declare(bank, card.id, status)
        report(bank, card)
        assert (card.state.exposure, card.state.payments_since_grant, pending(card)) == (700, 1, 0)

    def test_counters_that_nobody_has_seen_are_not_acknowledged(self, bank: Bank, card: Purse) -> None:
        """Only a broken card leaves one out."""
        pays(card, enrol(bank, "sam", SAM), 5)
        honest = parse(Report, card.report()).message
        lie = dataclasses.replace(honest, next_n=9, total_out=900)
        raw = Signed.sign(lie, card.party.key).to_bytes()
        grant = grant_of(bank.parts.reports.report(raw, [], [], NOW).grant, bank)
        assert (grant.n_acked, grant.out_acked) == (1, 0)


class TestWhatAReportSays:
    def test_entries_count_as_receipts_and_refusals(self, bank: Bank, card: Purse) -> None:
        sam = enrol(bank, "sam", SAM)
        collected = pays(card, sam, 300)
        refused = pays(card, sam, 200)
        sam.collect(collected, CARD)
        sam.refuse(parse(Voucher, refused).message.request_hash)
        bank.parts.reports.report(sam.report(), [], [], NOW)
        evidence(bank, collected, refused)
        shadows = bank.ledger().facts()["card_shadows"]
        assert (shadows[card.id.hex()], shadows[sam.id.hex()], bank.ledger().in_flight) == (9_700, 300, 0)
        grant = grant_of(report(bank, card, taken=False).grant, bank)
        assert grant.slot_outcomes == {1: SlotState.COLLECTED}

    def test_a_load_is_collected_by_report(self, bank: Bank, card: Purse) -> None:
        voucher = paid_load(bank, card, 500, "k")
        receipt = card.collect(voucher, card.party.certificate.subject_class.OPERATOR_PURSE)
        report(bank, card)
        assert (bank.ledger().in_flight, bank.parts.loads.pending(card.id)) == (0, [])
        for _ in range(2):
            bank.parts.loads.collected(receipt, NOW)
        assert (bank.ledger().cards, bank.ledger().in_flight) == (10_500, 0)
        sound(bank)

    def test_a_voucher_and_a_report_that_names_another_are_a_proof(
        self, bank: Bank, card: Purse, till: TillDouble
    ) -> None:
        clone = dataclasses.replace(card)
        bank.settle(till.batch([pays_till(clone, till, 5)[0]]))
        pays_till(card, till, 6)
        bank.parts.reports.report(card.report(), [], [], NOW)
        with bank.parts.storage.reading() as tx:
            standing = tx.standing(card.id)
        assert standing is not None
        assert standing.status is PurseStatus.REVOKED
        assert bank.ledger().evidence == 1

    def test_the_same_when_the_report_comes_first(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        clone = dataclasses.replace(card)
        voucher, _ = pays_till(clone, till, 5)
        pays_till(card, till, 6)
        raw = card.report()
        bank.parts.reports.report(raw, [], [], NOW)
        bank.settle(till.batch([voucher]))
        with bank.parts.storage.reading() as tx:
            found = tx.contradicted_slots()
        assert [(one.n, one.voucher_hash, one.second) for one in found] == [(1, parse(Voucher, voucher).hash, raw)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"slots": pack_slots([SlotLine(1, 4, bytes(32))])},
            {"slots": pack_slots([SlotLine(1, 0, bytes(32))])},
            {"slots": pack_slots([SlotLine(2**32 - 1, 1, bytes(32))])},
            {"entries": pack_entries([])[:-37] + b"\0\0\0\1\7" + bytes(32)},
        ],
    )
    def test_lines_that_no_purse_can_have(self, bank: Bank, card: Purse, changes: dict[str, bytes]) -> None:
        message = dataclasses.replace(parse(Report, card.report()).message, **changes)  # type: ignore[arg-type]
        self.refused(bank, Signed.sign(message, card.party.key).to_bytes(), OutOfRangeError)

    def test_not_believed(self, bank: Bank, card: Purse) -> None:
        raw = card.report()
        message = parse(Report, raw).message
        self.refused(bank, raw[:-1], CodecError)
        self.refused(bank, raw[:-1] + bytes((raw[-1] ^ 1,)), BadSignatureError)
        self.refused(bank, Signed.sign(message, bank.world.operator).to_bytes(), BadSignatureError)
        foreign = dataclasses.replace(message, purse=FOREIGN_CARD.id)
        self.refused(bank, Signed.sign(foreign, FOREIGN_CARD.key).to_bytes(), BadSignatureError)
        epoch = dataclasses.replace(message, epoch=2)
        self.refused(bank, Signed.sign(epoch, card.party.key).to_bytes(), BadSignatureError)
        till = dataclasses.replace(message, purse=TILL.id)
        self.refused(bank, Signed.sign(till, TILL.key).to_bytes(), BadSignatureError)

    def refused(self, bank: Bank, raw: bytes, error: type[Exception]) -> None:
        before = bank.ledger()
        with pytest.raises(error):
            bank.parts.reports.report(raw, [], [], NOW)
        assert bank.ledger() == before


class TestOrders:
    def test_after_the_tills_refusal(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, request_hash = pays_till(card, till, 700)
        assert report(bank, card).orders == ()
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        answered = report(bank, card)
        order = parse(ReversalOrder, answered.orders[0]).verify(bank.world.operator.public)
        assert (order.n, order.voucher_hash) == (1, parse(Voucher, voucher).hash)
        assert (card.state.balance, card.state.total_reversed) == (10_000, 700)
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)
        assert grant_of(report(bank, card).grant, bank).slot_outcomes == {1: SlotState.REVERSED}
        assert not [slot for slot in card.state.slots if slot.voucher]
        assert (bank.ledger().cards, bank.ledger().wallets) == (10_000, 0)
        sound(bank)

    def test_again_while_the_slot_is_shown_pending(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        _, request_hash = pays_till(card, till, 700)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        old = card.report()
        first = report(bank, card, taken=False)
        assert report(bank, card, taken=False).orders == first.orders != ()
        report(bank, card)
        assert report(bank, card).orders == ()
        assert bank.parts.reports.report(old, [], [], NOW).orders == ()  # a later report has shown it reversed

    def test_not_after_the_deposit(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, request_hash = pays_till(card, till, 700)
        bank.settle(till.batch([voucher]))
        answer = bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert answer.refusal_statuses == (RefusalStatus.AFTER_DEPOSIT,)
        answered = report(bank, card)
        assert answered.orders == ()
        assert grant_of(answered.grant, bank).slot_outcomes == {1: SlotState.COLLECTED}

    def test_a_refusal_of_something_that_waits_for_review(self, bank: Bank, till: TillDouble) -> None:
        """Its inflow is late: the voucher is not credited, then refused, then given back."""
        card = enrol(bank, "late", policy=UNLIMITED)
        card.endow(500)
        voucher, request_hash = pays_till(card, till, 500)
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REVIEW,)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        with bank.parts.storage.writing() as tx:  # as a look at the card would find it
            tx.set_standing(card.id, PurseStatus.ACTIVE, "", now=NOW)
        assert len(report(bank, card).orders) == 1
        load(bank, card, 500, "inflow")
        assert bank.ledger().wallets == 0
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)

    def test_a_refusal_of_a_purse_that_did_not_reach_the_payer(self, bank: Bank, card: Purse) -> None:
        sam = enrol(bank, "sam", SAM)
        voucher = pays(card, sam, 700)
        refusal = sam.refuse(parse(Voucher, voucher).message.request_hash)
        assert report(bank, card).orders == ()
        evidence(bank, refusal)
        assert len(report(bank, card).orders) == 1
        assert (card.state.balance, bank.ledger().cards, bank.ledger().in_flight) == (10_000, 10_000, 0)

    def test_without_the_voucher_nobody_knows_what_it_was_for(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        _, request_hash = pays_till(card, till, 700)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        assert bank.parts.reports.report(card.report(), [], [], NOW).orders == ()
        assert len(report(bank, card).orders) == 1

    @pytest.mark.parametrize("status", [PurseStatus.FROZEN, PurseStatus.REVOKED])
    def test_none_for_a_card_that_is_not_in_good_standing(
        self, bank: Bank, card: Purse, till: TillDouble, status: PurseStatus
    ) -> None:
        _, request_hash = pays_till(card, till, 700)
        bank.settle(till.batch([], [till.refusal(request_hash)]))
        given = report(bank, card, taken=False)
        declare(bank, card.id, status)
        assert len(given.orders) == 1
        assert report(bank, card, taken=False).orders == ()

    def test_a_destroyed_purse_pays_back_after_expiry_and_grace(self, bank: Bank, card: Purse) -> None:
        sam = enrol(bank, "sam", SAM)
        voucher = pays(card, sam, 700)
        receipt = sam.collect(voucher, CARD)  # and then it is destroyed, with the Receipt
        late = sam.party.certificate.expires + RiskSettings.of_policy(UNLIMITED).grace_s
        for at, status in ((NOW, None), (NOW, PurseStatus.REVOKED), (late - 1, None)):
            if status is not None:
                declare(bank, sam.id, status)
            assert bank.parts.reports.report(card.report(), [voucher], [], at).orders == ()
        answered = bank.parts.reports.report(card.report(), [voucher], [], late)
        assert len(answered.orders) == 1
        assert (bank.ledger().cards, bank.ledger().in_flight) == (10_000, 0)
        # the Receipt turns up, and the card is shown it before the order: the order is void
        card.acknowledge(receipt, sam.party)
        bank.parts.reports.report(card.report(), [receipt], [], late)
        with pytest.raises(PurseRefusal) as refused:
            card.reverse(answered.orders[0])
        assert refused.value.reason is Refused.OUTCOME_FINAL
        shadows = bank.ledger().facts()["card_shadows"]
        assert (shadows[card.id.hex()], shadows[sam.id.hex()]) == (9_300, 700)
        sound(bank)

    def test_a_receipt_after_the_order_changes_nothing(self, bank: Bank, card: Purse) -> None:
        sam = enrol(bank, "sam", SAM)
        voucher = pays(card, sam, 700)
        receipt = sam.collect(voucher, CARD)
        declare(bank, sam.id, PurseStatus.REVOKED)
        late = sam.party.certificate.expires + RiskSettings.of_policy(UNLIMITED).grace_s
        card.reverse(bank.parts.reports.report(card.report(), [voucher], [], late).orders[0])
        evidence(bank, receipt)
        bank.parts.reports.report(card.report(), [], [], late)
        shadows = bank.ledger().facts()["card_shadows"]
        assert (shadows[card.id.hex()], shadows[sam.id.hex()]) == (10_000, 0)


class TestDeadTills:
    def test_its_sales_come_from_the_cards(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, _ = pays_till(card, till, 700)
        report(bank, card)
        assert bank.wallet(till) == 0
        declare(bank, till.id, PurseStatus.DEAD)
        assert grant_of(report(bank, card).grant, bank).slot_outcomes == {1: SlotState.COLLECTED}
        assert (bank.wallet(till), bank.ledger().cards) == (700, 9_300)
        answer = bank.settle(till.batch([voucher]))  # it was not so dead after all
        assert (answer.voucher_statuses, bank.wallet(till)) == ((S.SETTLED,), 700)
        sound(bank)

    def test_what_was_deposited_is_not_credited_again(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, _ = pays_till(card, till, 700)
        bank.settle(till.batch([voucher]))
        declare(bank, till.id, PurseStatus.DEAD)
        for _ in range(2):
            report(bank, card)
            assert evidence(bank, voucher) == ["recorded"]
        assert bank.wallet(till) == 700

    def test_a_closed_request_is_given_back(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, request_hash = pays_till(card, till, 700)
        closings = bank.parts.closings
        assert problem(lambda: closings.close(till.id, request_hash, NOW)).problem == "not-due"
        declare(bank, till.id, PurseStatus.DEAD)
        raw = closings.close(till.id, request_hash, NOW)
        closing = parse(Closing, raw).verify(bank.world.operator.public)
        assert (closing.payee, closing.request_hash) == (till.id, request_hash)
        assert closings.close(till.id, request_hash, NOW + 1) == raw
        assert len(report(bank, card).orders) == 1
        assert (card.state.balance, bank.wallet(till)) == (10_000, 0)
        assert bank.settle(till.batch([voucher])).voucher_statuses == (S.REFUSED_BEFORE,)
        sound(bank)

    def test_what_is_credited_is_not_closed(self, bank: Bank, card: Purse, till: TillDouble) -> None:
        voucher, request_hash = pays_till(card, till, 700)
        _, other = pays_till(card, till, 5)
        bank.settle(till.batch([voucher]))
        declare(bank, till.id, PurseStatus.DEAD)
        closings = bank.parts.closings
        assert problem(lambda: closings.close(till.id, request_hash, NOW)).problem == "settled"
        assert problem(lambda: closings.close(b"\1" * 32, request_hash, NOW)).problem == "not-found"
        assert closings.close(till.id, other, NOW)


def test_another_purse_cannot_report_for_one(bank: Bank, card: Purse) -> None:
    other = enrol(bank, "other", loaded=5)
    answered = report(bank, other, taken=False)
    with pytest.raises(PurseRefusal):
        card.grant(answered.grant)
    with pytest.raises(MismatchError):
        bank.parts.unloads.pay_out(*_unload_of(bank, other, card), NOW)


def _unload_of(bank: Bank, owner: Purse, payer: Purse) -> tuple[str, bytes]:
    """An unload asked of `owner`, and a voucher of `payer` for something else."""
    begun = bank.parts.unloads.begin(b"\1" * 32, owner.id, 1, owner.state.next_n, 5, NOW)
    return begun.unload, pays(payer, enrol(bank, "sam", SAM), 5)
