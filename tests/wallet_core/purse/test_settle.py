"""ACKNOWLEDGE, REVERSE, REPORT and GRANT: one final outcome for each voucher, verified here, whatever is sent again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import pytest

from support.keys import CARD, FOREIGN_OPERATOR, MERCHANT_PURSE, OPERATOR, OPERATOR_PURSE, OTHER_CARD, TILL, Party
from support.purses import UNLIMITED, Purse, grant_for, order_for
from support.samples import digest
from wallet_core.certificates import CertificateClass
from wallet_core.errors import OutOfRangeError, PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import Grant, Receipt, Refusal, Report, Request, Signed, SpendMode, Voucher, parse
from wallet_core.messages.ending import (
    EntryLine,
    Outcome,
    SlotLine,
    pack_closed,
    pack_entries,
    pack_outcomes,
    pack_slots,
)
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import settle
from wallet_core.purse.state import (
    SLOT_COUNT,
    TABLE_SIZE,
    Entry,
    EntryState,
    Lifecycle,
    PurseState,
    Slot,
    SlotState,
)
from wallet_core.suites import Suite

SALE = 700
PENDING, COLLECTED, REVERSED = SlotState.PENDING, SlotState.COLLECTED, SlotState.REVERSED
COUNTED = ("next_n", "total_out", "out_acked", "n_acked", "unverified", "exposure", "payments_since_grant", "total_in")


@pytest.fixture
def card() -> Purse:
    """RMB 100.00, all of it acknowledged."""
    purse = Purse(CARD, UNLIMITED)
    purse.endow(10_000)
    return purse


@pytest.fixture
def shop() -> Purse:
    """A merchant's purse that can refund from the start."""
    purse = Purse(MERCHANT_PURSE, replace(UNLIMITED, mode=SpendMode.INTERMITTENT))
    purse.endow(5_000)
    return purse


def paid(card: Purse, shop: Purse, amount: int = SALE) -> tuple[bytes, bytes]:
    """Request and voucher of one payment."""
    request = shop.ask(card, amount)
    return request, card.pay(request)


def receipt_of(shop: Purse, voucher: bytes) -> bytes:
    return shop.collect(voucher, CertificateClass.HARD_WALLET)


def refusal_of(shop: Purse, request: bytes) -> bytes:
    return shop.refuse(parse(Request, request).hash)


def refused(purse: Purse, call: Callable[..., None], *arguments: Any) -> Refused:
    """The reason of a refusal that left no trace."""
    before = purse.state
    with pytest.raises(PurseRefusal) as caught:
        call(*arguments)
    assert purse.state is before
    return caught.value.reason


def again(purse: Purse, call: Callable[..., None], *arguments: Any) -> None:
    """The same command three times more: nothing changes, so nothing has to be written (I6)."""
    before = purse.state
    for _ in range(3):
        call(*arguments)
        assert purse.state is before


def changed(before: PurseState, after: PurseState) -> dict[str, Any]:
    """The fields that differ."""
    return {
        name: getattr(after, name)
        for name in PurseState.__dataclass_fields__
        if getattr(before, name) != getattr(after, name)
    }


# Receipt and Refusal of a purse


def test_a_receipt_collects_the_slot_and_nothing_else(card: Purse, shop: Purse) -> None:
    _, voucher = paid(card, shop)
    receipt, before = receipt_of(shop, voucher), card.state
    card.acknowledge(receipt, MERCHANT_PURSE)
    slot = replace(before.slots[0], state=COLLECTED)
    assert changed(before, card.state) == {"slots": (slot, *before.slots[1:])}
    again(card, card.acknowledge, receipt, MERCHANT_PURSE)


def test_a_refusal_gives_the_value_back_and_no_counter(card: Purse, shop: Purse) -> None:
    """Rule 14: what bounds the exposure is not given back with the value."""
    request, voucher = paid(card, shop)
    refusal, before = refusal_of(shop, request), card.state
    card.acknowledge_refusal(refusal, MERCHANT_PURSE)
    slot = replace(before.slots[0], state=REVERSED)
    assert changed(before, card.state) == {"slots": (slot, *before.slots[1:]), "total_reversed": SALE}
    assert card.state.balance == 10_000
    assert [getattr(card.state, name) for name in COUNTED] == [getattr(before, name) for name in COUNTED]
    again(card, card.acknowledge_refusal, refusal, MERCHANT_PURSE)
    assert card.pay(request) == voucher, "it can still be shown"
    with pytest.raises(PurseRefusal):
        receipt_of(shop, voucher)


def test_reversed_value_can_be_spent_again_while_the_limits_have_room(card: Purse, shop: Purse) -> None:
    """Staged purses too: reversed value has been acknowledged before it was paid."""
    card.policy = replace(UNLIMITED, offline_total=15_000, offline_count=3)
    assert card.policy.mode is SpendMode.STAGED
    for number in range(3):
        request, _ = paid(card, shop, 5_000)
        card.acknowledge_refusal(refusal_of(shop, request), MERCHANT_PURSE)
        assert (card.state.balance, card.state.exposure) == (10_000, 5_000 * (number + 1))
    request = shop.ask(card, 1)
    assert refused(card, card.pay, request) is Refused.OFFLINE_TOTAL
    card.policy = replace(card.policy, offline_total=10**9)
    assert refused(card, card.pay, request) is Refused.OFFLINE_COUNT


@pytest.mark.parametrize("payee", [CARD, OPERATOR_PURSE, MERCHANT_PURSE], ids=lambda party: party.name)
@pytest.mark.parametrize("outcome", [Receipt, Refusal])
def test_every_class_of_purse_decides_for_itself(payee: Party, outcome: type[Any]) -> None:
    payer = Purse(OTHER_CARD, UNLIMITED)
    payer.endow(SALE)
    other = Purse(payee, UNLIMITED)
    request = other.ask(payer, SALE, verified=True)
    voucher = payer.pay(request)
    if outcome is Receipt:
        payer.acknowledge(receipt_of(other, voucher), payee)
    else:
        payer.acknowledge_refusal(refusal_of(other, request), payee)
    assert payer.state.balance == (0 if outcome is Receipt else SALE)


def outcomes_by(payee: Party, voucher: bytes) -> tuple[bytes, bytes]:
    """Receipt and Refusal for this voucher, signed by `payee` whatever it is."""
    message = parse(Voucher, voucher).message
    receipt = Receipt(
        suite=Suite.ES256,
        payee=payee.id,
        k=message.k,
        voucher_hash=message.hash,
        total_in=message.amount,
        total_out=0,
        total_reversed=0,
    )
    refusal = Refusal(suite=Suite.ES256, payee=payee.id, k=message.k, request_hash=message.request_hash)
    return Signed.sign(receipt, payee.key).to_bytes(), Signed.sign(refusal, payee.key).to_bytes()


@pytest.mark.parametrize("payee", [TILL, OPERATOR], ids=lambda party: party.name)
def test_who_has_no_purse_does_not_decide(card: Purse, payee: Party) -> None:
    """An account payee's Refusal may be a lie after its deposit: its operator decides, by an order."""
    voucher = card.pay(Signed.sign(request_by(card, payee), payee.key).to_bytes())
    receipt, refusal = outcomes_by(payee, voucher)
    assert refused(card, card.acknowledge, receipt, payee) is Refused.CERTIFICATE
    assert refused(card, card.acknowledge_refusal, refusal, payee) is Refused.CERTIFICATE
    card.reverse(order_for(voucher))
    assert card.state.balance == 10_000
    # What changes nothing is no lie that helps, and it needs no certificate.
    again(card, card.acknowledge_refusal, refusal, payee)
    assert refused(card, card.acknowledge, receipt, payee) is Refused.CERTIFICATE


def request_by(card: Purse, payee: Party, **changes: Any) -> Request:
    request = Request(
        suite=Suite.ES256,
        payer=card.id,
        epoch=card.state.epoch,
        n=card.state.next_n,
        payee=payee.id,
        k=1,
        amount=SALE,
        order_hash=digest("order"),
    )
    return replace(request, **changes)


def test_only_the_payee_answers_for_its_voucher(card: Purse, shop: Purse) -> None:
    _, voucher = paid(card, shop)
    for receipt, refusal, party in (
        (*outcomes_by(OTHER_CARD, voucher), OTHER_CARD),
        (*outcomes_by(OPERATOR_PURSE, voucher), OPERATOR_PURSE),
        (*outcomes_by(CARD, voucher), CARD),
    ):
        assert refused(card, card.acknowledge, receipt, party) is Refused.WRONG_PURSE
        assert refused(card, card.acknowledge_refusal, refusal, party) is Refused.WRONG_PURSE


def test_what_does_not_verify_frees_nothing(card: Purse, shop: Purse) -> None:
    request, voucher = paid(card, shop)
    good = parse(Receipt, receipt_of(shop, voucher))
    denial = Refusal(suite=Suite.ES256, payee=shop.id, k=1, request_hash=parse(Request, request).hash)
    for message, acknowledge in ((good.message, card.acknowledge), (denial, card.acknowledge_refusal)):
        for forged, party, reason in (
            (Signed(message, bytes(64)), MERCHANT_PURSE, Refused.SIGNATURE),
            (Signed.sign(message, OTHER_CARD.key), MERCHANT_PURSE, Refused.SIGNATURE),
            (Signed.sign(message, OTHER_CARD.key), OTHER_CARD, Refused.CERTIFICATE),
            (Signed.sign(message, MERCHANT_PURSE.key), OTHER_CARD, Refused.CERTIFICATE),
        ):
            assert refused(card, acknowledge, forged.to_bytes(), party) is reason
    assert card.state.slots[0].state is PENDING


@pytest.mark.parametrize("first", ["receipt", "refusal", "order"])
@pytest.mark.parametrize("second", ["receipt", "refusal", "order"])
def test_the_first_outcome_is_the_last(card: Purse, shop: Purse, first: str, second: str) -> None:
    """I2, also against a payee with a broken secure element that signs both, and an operator that orders wrongly."""
    _, voucher = paid(card, shop)
    receipt, refusal = outcomes_by(MERCHANT_PURSE, voucher)
    commands: dict[str, Callable[[], None]] = {
        "receipt": lambda: card.acknowledge(receipt, MERCHANT_PURSE),
        "refusal": lambda: card.acknowledge_refusal(refusal, MERCHANT_PURSE),
        "order": lambda: card.reverse(order_for(voucher)),
    }
    commands[first]()
    assert card.state.slots[0].state is (COLLECTED if first == "receipt" else REVERSED)
    if (first == "receipt") is (second == "receipt"):
        again(card, commands[second])
    else:
        assert refused(card, commands[second]) is Refused.OUTCOME_FINAL
    assert card.state.total_reversed == (0 if first == "receipt" else SALE)


def test_an_outcome_of_what_is_not_there(card: Purse, shop: Purse) -> None:
    _, voucher = paid(card, shop)
    other = replace(parse(Voucher, voucher).message, amount=SALE + 1, request_hash=digest("another request"))
    receipt, refusal = outcomes_by(MERCHANT_PURSE, Signed(other, bytes(64)).to_bytes())
    assert refused(card, card.acknowledge, receipt, MERCHANT_PURSE) is Refused.NOT_FOUND
    assert refused(card, card.acknowledge_refusal, refusal, MERCHANT_PURSE) is Refused.NOT_FOUND
    empty = Purse(CARD)
    for one, acknowledge in zip(
        outcomes_by(MERCHANT_PURSE, voucher), (empty.acknowledge, empty.acknowledge_refusal), strict=True
    ):
        assert refused(empty, acknowledge, one, MERCHANT_PURSE) is Refused.NOT_FOUND


def test_of_many_slots_the_right_one_ends(card: Purse, shop: Purse) -> None:
    payments = [paid(card, shop, amount) for amount in (100, 100, 200, 300)]
    card.acknowledge(receipt_of(shop, payments[2][1]), MERCHANT_PURSE)
    card.acknowledge_refusal(refusal_of(shop, payments[1][0]), MERCHANT_PURSE)
    card.reverse(order_for(payments[3][1]))
    assert [slot.state for slot in card.state.slots[:4]] == [PENDING, REVERSED, COLLECTED, REVERSED]
    assert card.state.total_reversed == 100 + 300


# Reversal orders


def test_an_order_gives_the_value_back(card: Purse, shop: Purse) -> None:
    _, voucher = paid(card, shop)
    order, before = order_for(voucher), card.state
    card.reverse(order)
    slot = replace(before.slots[0], state=REVERSED)
    assert changed(before, card.state) == {"slots": (slot, *before.slots[1:]), "total_reversed": SALE}
    again(card, card.reverse, order)
    again(card, card.reverse, order_for(voucher, report_hash=digest("a later report")))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payer": OTHER_CARD.id}, Refused.WRONG_PURSE),
        ({"epoch": 2}, Refused.WRONG_PURSE),
        ({"epoch": 0}, Refused.WRONG_PURSE),
        ({"n": 2}, Refused.NOT_FOUND),
        ({"n": 0}, Refused.NOT_FOUND),
        ({"voucher_hash": digest("another voucher")}, Refused.NOT_FOUND),
        ({"voucher_hash": bytes(32)}, Refused.NOT_FOUND),
    ],
    ids=str,
)
def test_an_order_for_something_else(card: Purse, shop: Purse, changes: dict[str, Any], reason: Refused) -> None:
    _, voucher = paid(card, shop)
    assert refused(card, card.reverse, order_for(voucher, **changes)) is reason


@pytest.mark.parametrize("by", [FOREIGN_OPERATOR, MERCHANT_PURSE, OPERATOR_PURSE, CARD], ids=lambda party: party.name)
def test_only_its_own_operator_orders(card: Purse, shop: Purse, by: Party) -> None:
    _, voucher = paid(card, shop)
    assert refused(card, card.reverse, order_for(voucher, by=by)) is Refused.SIGNATURE
    assert refused(card, card.grant, grant_for(card.report(), [1], by=by)) is Refused.SIGNATURE


def test_an_order_after_the_receipt_is_void(card: Purse, shop: Purse) -> None:
    """The report that it was made for is older than the Receipt: the slot decides, not the order."""
    _, voucher = paid(card, shop)
    order = order_for(voucher, report_hash=parse(Report, card.report()).hash)
    card.acknowledge(receipt_of(shop, voucher), MERCHANT_PURSE)
    assert refused(card, card.reverse, order) is Refused.OUTCOME_FINAL
    card.grant(grant_for(card.report()))
    assert refused(card, card.reverse, order) is Refused.NOT_FOUND


# Reports


def test_a_report_says_everything_and_changes_nothing(card: Purse, shop: Purse) -> None:
    payments = [paid(card, shop, amount) for amount in (100, 200, 300)]
    card.acknowledge(receipt_of(shop, payments[1][1]), MERCHANT_PURSE)
    card.acknowledge_refusal(refusal_of(shop, payments[2][0]), MERCHANT_PURSE)
    asked = [card.ask(shop, amount) for amount in (10, 20, 30)]
    refunded = shop.pay(asked[0])
    card.collect(refunded, CertificateClass.MERCHANT_PURSE)
    card.refuse(parse(Request, asked[1]).hash)
    before = card.state
    report = parse(Report, card.report()).verify(CARD.key.public)
    assert card.state is before
    vouchers = [parse(Voucher, voucher).hash for _, voucher in payments]
    assert report == Report(
        suite=Suite.ES256,
        purse=CARD.id,
        epoch=1,
        next_n=4,
        next_k=4,
        policy_version=card.policy.version,
        total_in=10_010,
        total_out=600,
        total_reversed=300,
        out_acked=0,
        in_acked=10_000,
        slots=pack_slots(map(SlotLine, (1, 2, 3), (PENDING, COLLECTED, REVERSED), vouchers)),
        entries=pack_entries(
            [
                EntryLine(1, EntryState.COLLECTED, parse(Voucher, refunded).hash),
                EntryLine(2, EntryState.REFUSED, parse(Request, asked[1]).hash),
                EntryLine(3, EntryState.OPEN, parse(Request, asked[2]).hash),
            ]
        ),
        lifecycle=Lifecycle.ACTIVE,
    )
    assert report.balance == card.state.balance == 9_710


def test_lines_come_by_their_counters(card: Purse, shop: Purse) -> None:
    """Slots are reused in any order; a report does not show which one held what."""
    for amount in (1, 2, 3, 4):
        paid(card, shop, amount)
        card.ask(shop, amount)
    card.state = replace(card.state, slots=tuple(reversed(card.state.slots)), table=tuple(reversed(card.state.table)))
    report = parse(Report, card.report()).message
    assert [line.n for line in report.slot_lines] == [line.k for line in report.entry_lines] == [1, 2, 3, 4]
    assert report.slots[4 * 37 :] == bytes(12 * 37)


def test_a_full_purse_fits_a_report(card: Purse) -> None:
    limits = {"total_in": MAX_MINOR_UNITS, "total_out": MAX_MINOR_UNITS, "total_reversed": MAX_MINOR_UNITS}
    card.state = replace(
        card.state,
        slots=tuple(Slot(PENDING, COUNTER_MAX - i, voucher_hash=digest(f"{i}")) for i in range(SLOT_COUNT)),
        table=tuple(Entry(EntryState.OPEN, COUNTER_MAX - i, request_hash=digest(f"{i}")) for i in range(TABLE_SIZE)),
        next_n=COUNTER_MAX + 1,
        next_k=COUNTER_MAX + 1,
        lifecycle=Lifecycle.BLOCKED,
        **limits,
    )
    report = parse(Report, card.report()).message
    assert (len(report.slot_lines), len(report.entry_lines)) == (SLOT_COUNT, TABLE_SIZE)
    assert Lifecycle(report.lifecycle) is Lifecycle.BLOCKED
    with pytest.raises(OutOfRangeError):
        pack_slots([SlotLine(1, 1, bytes(32))] * (SLOT_COUNT + 1))


# Grants


@pytest.mark.parametrize(
    ("state", "outcome"), list(product(SlotState, [None, COLLECTED, REVERSED, PENDING, SlotState.FREE, 4, 255]))
)
def test_what_a_grant_does_to_a_slot(card: Purse, state: SlotState, outcome: int | None) -> None:
    """A slot is freed by its own outcome, or PENDING by *collected*; whatever else a grant says, it stays."""
    slot = Slot() if state is SlotState.FREE else Slot(state, 1, digest("r"), TILL.id, b"voucher", SALE, digest("v"))
    before = replace(card.state, next_n=2, total_out=SALE, slots=(slot, *card.state.slots[1:]))
    card.state = before
    outcomes = [] if outcome is None else [Outcome(1, outcome)]
    card.grant(grant_for(card.report(), outcomes=pack_outcomes(outcomes)))
    goes = state is not SlotState.FREE and outcome in (COLLECTED, state) and outcome in (COLLECTED, REVERSED)
    goes = goes and not (state is REVERSED and outcome == COLLECTED)
    assert card.state.slots[0] == (Slot() if goes else slot)
    assert card.state.slots[1:] == before.slots[1:]
    assert card.state.balance == before.balance, "a grant moves no value"


@pytest.mark.parametrize(("state", "listed"), list(product(EntryState, [False, True])))
def test_what_a_grant_does_to_an_entry(card: Purse, state: EntryState, listed: bool) -> None:
    entry = Entry() if state is EntryState.FREE else Entry(state, 1, SALE, digest("r"), b"request", b"", b"answer")
    before = replace(card.state, next_k=2, table=(entry, *card.state.table[1:]))
    card.state = before
    card.grant(grant_for(card.report(), closed=pack_closed([1] if listed else [2])))
    goes = listed and state in (EntryState.COLLECTED, EntryState.REFUSED)
    assert card.state.table[0] == (Entry() if goes else entry)
    assert (card.state.balance, card.state.next_k) == (before.balance, 2)


def test_a_grant_makes_the_limits_count_anew(card: Purse, shop: Purse) -> None:
    card.policy = replace(UNLIMITED, offline_total=1_000, offline_count=2)
    for _ in range(2):
        paid(card, shop, 500)
    request = shop.ask(card, 500)
    assert refused(card, card.pay, request) is Refused.OFFLINE_TOTAL
    report, before = card.report(), card.state
    card.grant(grant_for(report))
    assert changed(before, card.state) == {"out_acked": 1_000, "n_acked": 3}
    again(card, card.grant, grant_for(report))
    card.pay(request)
    assert (card.state.exposure, card.state.payments_since_grant) == (500, 1)


def test_a_grant_acknowledges_what_was_received_offline(card: Purse, shop: Purse) -> None:
    """Staged: a refund can be spent once the operator has seen it."""
    refund = card.ask(shop, 3_000)
    card.collect(shop.pay(refund), CertificateClass.MERCHANT_PURSE)
    request = shop.ask(card, 12_000)
    assert refused(card, card.pay, request) is Refused.INSUFFICIENT
    card.grant(grant_for(card.report()))
    card.pay(request)
    assert card.state.balance == 1_000


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"out_acked": 301, "in_acked": 10_001, "n_acked": 4}, (300, 10_000, 3)),
        ({"out_acked": MAX_MINOR_UNITS, "in_acked": MAX_MINOR_UNITS, "n_acked": 2**32 - 1}, (300, 10_000, 3)),
        ({"out_acked": 299, "in_acked": 9_999, "n_acked": 2}, (299, 10_000, 2)),
        ({"out_acked": 0, "in_acked": 0, "n_acked": 0}, (0, 10_000, 1)),
    ],
    ids=["above by one", "above by all", "below by one", "nothing"],
)
def test_totals_never_pass_the_purses_own_nor_fall(
    card: Purse, shop: Purse, changes: dict[str, int], expected: tuple[int, int, int]
) -> None:
    for amount in (100, 200):
        paid(card, shop, amount)
    card.grant(grant_for(card.report(), **changes))
    state = card.state
    assert (state.out_acked, state.in_acked, state.n_acked) == expected
    assert state.exposure >= 0
    assert state.payments_since_grant >= 0


def test_old_grants_in_any_order_and_any_number(card: Purse, shop: Purse) -> None:
    """A replayed grant is harmless: whatever order, the same state, and no limit ever grows by it."""
    grants = []
    asked = [card.ask(shop, amount) for amount in (10, 20)]
    for number in range(3):
        _, voucher = paid(card, shop, 100)
        if number == 1:
            card.acknowledge(receipt_of(shop, voucher), MERCHANT_PURSE)
            card.collect(shop.pay(asked[0]), CertificateClass.MERCHANT_PURSE)
        if number == 2:
            card.refuse(parse(Request, asked[1]).hash)
        grants.append(grant_for(card.report(), [1] if number else []))
    start, ends = card.state, set()
    for order in permutations([*grants, grants[0]]):
        card.state = start
        for grant in order:
            before = card.state
            card.grant(grant)
            assert (before.out_acked, before.in_acked, before.n_acked) <= (
                card.state.out_acked,
                card.state.in_acked,
                card.state.n_acked,
            )
            assert card.state.balance == before.balance
        ends.add(repr(card.state))
        for grant in grants:
            again(card, card.grant, grant)
    assert len(ends) == 1
    assert [slot.n for slot in card.state.slots if slot.state is PENDING] == [3]
    assert (card.state.exposure, card.state.open_amount) == (0, 0)


def test_an_old_grant_is_no_room_for_new_payments(card: Purse, shop: Purse) -> None:
    """I5: out - out_acked stays within the limit, whatever grants are replayed."""
    card.policy = replace(UNLIMITED, offline_total=1_000)
    old = grant_for(card.report())
    paid(card, shop, 600)
    middle = grant_for(card.report(), [1])
    paid(card, shop, 400)
    for grant in (old, middle, old, middle):
        card.grant(grant)
    assert card.state.exposure == 400
    assert refused(card, card.pay, shop.ask(card, 601)) is Refused.OFFLINE_TOTAL
    assert [slot.n for slot in card.state.slots if slot.state is PENDING] == [2]


def test_a_grant_for_a_counter_that_comes_later_does_no_harm(card: Purse, shop: Purse) -> None:
    """Only the operator could sign one; even then what it frees is a slot, and never value."""
    early = grant_for(card.report(), [1])
    again(card, card.grant, early)
    _, voucher = paid(card, shop)
    card.grant(early)
    assert card.state.slots[0] == Slot()
    assert card.state.balance == 10_000 - SALE
    receipt_of(shop, voucher)


def test_a_freed_slot_knows_nothing_any_more(card: Purse, shop: Purse) -> None:
    """What the grant acknowledged cannot be charged, reversed or shown again."""
    request, voucher = paid(card, shop)
    receipt = receipt_of(shop, voucher)
    card.grant(grant_for(card.report(), [1]))
    assert refused(card, card.pay, request) is Refused.STALE
    assert refused(card, card.acknowledge, receipt, MERCHANT_PURSE) is Refused.NOT_FOUND
    assert refused(card, card.reverse, order_for(voucher)) is Refused.NOT_FOUND
    assert refused(card, card.acknowledge_refusal, outcomes_by(shop.party, voucher)[1], shop.party) is Refused.NOT_FOUND
    assert card.state.balance == 10_000 - SALE


@pytest.mark.parametrize("final", [EntryState.COLLECTED, EntryState.REFUSED])
def test_a_freed_entry_is_closed(card: Purse, shop: Purse, final: EntryState) -> None:
    """Rule 5: what is not in the table is neither credited nor refused, for ever."""
    request = card.ask(shop, SALE)
    voucher = shop.pay(request)
    if final is EntryState.COLLECTED:
        card.collect(voucher, CertificateClass.MERCHANT_PURSE)
    else:
        card.refuse(parse(Request, request).hash)
    card.grant(grant_for(card.report()))
    assert card.state.table == PurseState().table
    before = card.state
    for call in (
        lambda: card.collect(voucher, CertificateClass.MERCHANT_PURSE),
        lambda: card.refuse(parse(Request, request).hash),
    ):
        with pytest.raises(PurseRefusal) as caught:
            call()
        assert caught.value.reason is Refused.REQUEST_CLOSED
    assert card.state is before
    assert parse(Request, card.ask(shop, SALE)).message.k == 2, "its counter is used"


def test_full_slots_and_a_full_table_are_emptied(card: Purse, shop: Purse) -> None:
    shop.state = replace(shop.state, table=(Entry(),) * 40)  # what is tested here is the card
    for _ in range(SLOT_COUNT):
        paid(card, shop, 1)
    request = shop.ask(card, 1)
    assert refused(card, card.pay, request) is Refused.SLOTS_FULL
    asked = [card.ask(shop, 1, digest(f"{i}")) for i in range(TABLE_SIZE)]
    with pytest.raises(PurseRefusal) as caught:
        card.ask(shop, 2)
    assert caught.value.reason is Refused.SLOTS_FULL
    for one in asked[1:]:
        card.refuse(parse(Request, one).hash)
    card.grant(grant_for(card.report(), range(2, SLOT_COUNT + 1)))
    assert [slot.n for slot in card.state.slots if slot.state is not SlotState.FREE] == [1]
    assert [entry.k for entry in card.state.table if entry.state is not EntryState.FREE] == [1]
    card.pay(request)
    assert parse(Request, card.ask(shop, 2)).message.k == TABLE_SIZE + 1
    assert [slot.n for slot in card.state.slots[:2]] == [1, SLOT_COUNT + 1]


@pytest.mark.parametrize("needed", [2, 3, 4, 2**32 - 1])
def test_a_grant_may_want_a_newer_policy_first(card: Purse, shop: Purse, needed: int) -> None:
    paid(card, shop)
    card.policy = replace(card.policy, version=3)
    grant = grant_for(card.report(), [1], policy_version=needed)
    if needed > 3:
        assert refused(card, card.grant, grant) is Refused.POLICY_OLD
        card.policy = replace(card.policy, version=needed)
    card.grant(grant)
    assert card.state.slots[0] == Slot()


@pytest.mark.parametrize("changes", [{"purse": OTHER_CARD.id}, {"epoch": 0}, {"epoch": 2}], ids=str)
def test_a_grant_for_another_purse(card: Purse, shop: Purse, changes: dict[str, Any]) -> None:
    paid(card, shop)
    assert refused(card, card.grant, grant_for(card.report(), [1], **changes)) is Refused.WRONG_PURSE


# Life cycle


@pytest.mark.parametrize("lifecycle", list(Lifecycle))
def test_finishing_needs_a_purse_that_lives(card: Purse, shop: Purse, lifecycle: Lifecycle) -> None:
    """Rule 10: a blocked purse finishes all that it began."""
    payments = [paid(card, shop) for _ in range(4)]
    grant = grant_for(card.report(), [4])
    receipt, refusal = receipt_of(shop, payments[0][1]), refusal_of(shop, payments[1][0])
    card.state = replace(card.state, lifecycle=lifecycle)
    calls: list[tuple[Any, ...]] = [
        (card.acknowledge, receipt, MERCHANT_PURSE),
        (card.acknowledge_refusal, refusal, MERCHANT_PURSE),
        (card.reverse, order_for(payments[2][1])),
        (card.grant, grant),
        (card.report,),
    ]
    for call, *arguments in calls:
        if lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
            call(*arguments)
        else:
            assert refused(card, call, *arguments) is Refused.WRONG_STATE
    if lifecycle is Lifecycle.BLOCKED:
        assert [slot.state for slot in card.state.slots[:4]] == [COLLECTED, REVERSED, REVERSED, SlotState.FREE]


def test_what_has_its_outcome_is_not_verified_again(card: Purse, shop: Purse) -> None:
    """A card needs half a second for two verifications; a repetition costs none of them."""
    _, voucher = paid(card, shop)
    receipt = parse(Receipt, receipt_of(shop, voucher)).message
    card.acknowledge(receipt_of(shop, voucher), MERCHANT_PURSE)

    def never() -> None:
        raise PurseRefusal(Refused.SIGNATURE)

    after = settle.acknowledge(card.state, receipt, payee_class=CertificateClass.MERCHANT_PURSE, verify=never)
    assert after is card.state
    grant = parse(Grant, grant_for(card.report())).message
    with pytest.raises(PurseRefusal):  # a grant has no such sign: it is verified each time
        settle.apply_grant(card.state, card.id, grant, policy_version=3, verify=never)
