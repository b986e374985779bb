"""merchant_pos.checkout over a card that loses answers: what is on disk, what is said, and in which order."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from merchant_pos import phrases
from merchant_pos.checkout import Outcome
from merchant_pos.decisions import Result
from merchant_pos.sales import Order, SaleState
from support.keys import (
    CARD,
    EXPIRES,
    FOREIGN_CARD,
    FOREIGN_OPERATOR,
    NOW,
    OPERATOR,
    OTHER_CARD,
    TILL,
    certify,
    key,
    party,
)
from support.samples import POLICY
from support.till import LOADED, PIN, FakeCard, FakeReader, Pins, ProcessDied, Till, revocation_list
from wallet_core.certificates import CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    CardError,
    ConfigurationError,
    ExpiredCertificateError,
    MismatchError,
    NoCardError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    StorageError,
    TruncatedError,
    UntrustedCertificateError,
)
from wallet_core.messages import Refusal, Request, RevocationReason, Signed, Voucher, parse
from wallet_core.purse.state import Lifecycle

ORDER = Order(6_800, "two bowls of noodles")


def signed_policy(**changes: Any) -> bytes:
    return Signed.sign(replace(POLICY, **changes), OPERATOR.key).to_bytes()


LARGE = Order(20_001, "a banquet")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    made = Till(tmp_path / "till.db")
    yield made
    made.journal.close()


def charge(till: Till, *cards: FakeCard | None, order: Order = ORDER, pins: Pins | None = None) -> Outcome:
    reader = FakeReader(till.clock, *cards)
    return till.checkout.charge(order, reader, pins or Pins(), tap_seconds=30, retap_seconds=30)


def resume(till: Till, *cards: FakeCard | None, seconds: float = 30) -> Outcome:
    return till.checkout.resume(FakeReader(till.clock, *cards), Pins(), retap_seconds=seconds)


# The straight way ---------------------------------------------------------------------------------------------------


def test_a_tap_pays_and_says_each_moment(till: Till) -> None:
    card = FakeCard()
    outcome = charge(till, card)
    assert outcome.result is Result.PAID
    assert outcome.left == LOADED - 6_800 == card.state.balance
    assert till.lines == ["TAP", "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]
    assert till.steps == ["card-read", "before-asked", "asked", "answered", "verified", "paid", "shown"]


def test_the_journal_has_voucher_and_request(till: Till) -> None:
    card = FakeCard()
    charge(till, card)
    (sale,) = till.journal.sales()
    assert (sale.state, sale.amount, sale.k) == (SaleState.PAID, 6_800, 1)
    assert sale.voucher == card.state.slots[0].voucher
    assert sale.voucher is not None
    assert sale.voucher_hash == parse(Voucher, sale.voucher).hash
    assert card.sent == [sale.request.to_payload()]


def test_paid_is_said_only_after_it_is_on_disk(till: Till) -> None:
    def said(line: str) -> None:
        if line.startswith(phrases.PAID):
            other = sqlite3.connect(till.path)
            seen.append(other.execute("SELECT state FROM sales").fetchone()[0])
            other.close()

    seen: list[str] = []
    till.checkout._notify = said
    charge(till, FakeCard())
    assert seen == ["PAID"]


def test_the_request_is_on_disk_before_the_card_is_asked(till: Till) -> None:
    class Spy(FakeCard):
        def pay(self, request: bytes) -> bytes:
            other = sqlite3.connect(till.path)
            seen.append(other.execute("SELECT state, request FROM sales").fetchone())
            other.close()
            return super().pay(request)

    seen: list[tuple[str, bytes]] = []
    card = Spy()
    charge(till, card)
    assert seen == [("ASKED", card.sent[0])]


def test_k_rises_and_a_known_card_is_not_read_again(till: Till) -> None:
    card = FakeCard()
    for _ in range(3):
        assert charge(till, card).result is Result.PAID
    assert [sale.k for sale in till.journal.sales()] == [1, 2, 3]
    assert (card.certificates_read, card.policies_read) == (1, 1)


def test_one_policy_is_for_all_cards_of_an_operator(till: Till) -> None:
    charge(till, FakeCard())
    other = FakeCard(OTHER_CARD)
    assert charge(till, other).result is Result.PAID
    assert (other.certificates_read, other.policies_read) == (1, 0)
    newer = FakeCard(limits=replace(POLICY, version=POLICY.version + 1))
    charge(till, newer)
    assert newer.policies_read == 1


def test_above_the_threshold_the_signed_request_and_certificates_go(till: Till) -> None:
    card = FakeCard()
    outcome = charge(till, card, order=LARGE, pins=Pins(PIN))
    assert outcome.result is Result.PAID
    signed = {parse(Request, sent).verify(TILL.key.public) for sent in card.sent}
    assert signed == {outcome.sale.request if outcome.sale else None}


def test_a_threshold_that_the_card_did_not_tell_is_found_out(till: Till) -> None:
    class Modest(FakeCard):
        def select(self):  # type: ignore[no-untyped-def]
            return replace(super().select(), payee_threshold=10**9)

    card = Modest()
    assert charge(till, card, order=LARGE, pins=Pins(PIN)).result is Result.PAID
    assert len({bytes(sent[:2]) for sent in card.sent}) == 2  # plain first, then signed


# Before anything is asked -------------------------------------------------------------------------------------------


def test_without_a_card_nothing_is_written(till: Till) -> None:
    with pytest.raises(NoCardError):
        charge(till, None)
    assert till.journal.sales() == []
    assert till.lines == ["TAP"]


def test_a_card_that_leaves_while_it_is_read_may_come_back(till: Till) -> None:
    card = FakeCard(select_faults=["x", "x"])
    assert charge(till, card).result is Result.PAID
    assert len(till.journal.sales()) == 1


def test_a_card_that_never_stays_was_asked_nothing(till: Till) -> None:
    with pytest.raises(NoCardError):
        charge(till, FakeCard(select_faults=["x"] * 1000))
    assert till.journal.sales() == []


@pytest.mark.parametrize(
    ("card", "error"),
    [
        (
            FakeCard(FOREIGN_CARD, operator=FOREIGN_OPERATOR),
            UntrustedCertificateError,
        ),
        (FakeCard(certificate_bytes=OTHER_CARD.certificate.to_bytes()), MismatchError),
        (
            FakeCard(
                certificate_bytes=certify(
                    key("operator"), CARD.key, CertificateClass.HARD_WALLET, expires=NOW
                ).to_bytes()
            ),
            ExpiredCertificateError,
        ),
        (
            FakeCard(
                certificate_bytes=certify(key("foreign operator"), CARD.key, CertificateClass.HARD_WALLET).to_bytes()
            ),
            UntrustedCertificateError,
        ),
        (
            FakeCard(certificate_bytes=replace(CARD.certificate, expires=EXPIRES - 1).to_bytes()),
            UntrustedCertificateError,
        ),
        (FakeCard(policy_bytes=Signed.sign(POLICY, FOREIGN_OPERATOR.key).to_bytes()), BadSignatureError),
        (FakeCard(policy_bytes=signed_policy(version=9)), MismatchError),
        (FakeCard(policy_bytes=signed_policy(purse_class=CertificateClass.MERCHANT_PURSE)), MismatchError),
        (FakeCard(policy_bytes=signed_policy()[:-1]), TruncatedError),
    ],
    ids=[
        *("foreign", "of another card", "expired", "foreign issuer", "altered"),
        *("policy of another", "policy of another version", "policy for others", "half a policy"),
    ],
)
def test_a_card_that_is_not_to_be_believed_is_asked_nothing(till: Till, card: FakeCard, error: type[Exception]) -> None:
    outcome = charge(till, card)
    assert (outcome.result, outcome.sale) == (Result.NOT_CHARGED, None)
    assert isinstance(outcome.why, error)
    assert till.lines[-1] == f"NOT CHARGED  {outcome.why.message}"
    assert card.sent == []
    assert till.journal.sales() == []


@pytest.mark.parametrize("purse_class", [CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE])
def test_a_card_of_another_operator_of_the_same_authority_is_asked_nothing(
    till: Till, purse_class: CertificateClass
) -> None:
    """The till's operator settles its own purses only: a sale to this card would be PAID here and REJECTED there."""
    second = party("second operator", CertificateClass.OPERATOR, "authority")
    card = FakeCard(party("its card", purse_class, "second operator"), operator=second)
    outcome = charge(till, card)
    assert (outcome.result, outcome.sale) == (Result.NOT_CHARGED, None)
    assert isinstance(outcome.why, UntrustedCertificateError)
    assert "Nothing was charged" in outcome.why.next_step
    assert till.lines == ["TAP", "NOT CHARGED  cards of another operator are not accepted here yet"]
    assert (card.sent, card.spent, card.policies_read, till.journal.sales()) == ([], 0, 0, [])
    assert till.journal.certificate(card.id) is None


def test_a_renewed_certificate_is_read_from_the_card(till: Till) -> None:
    old = certify(key("operator"), CARD.key, CertificateClass.HARD_WALLET, expires=NOW + 100)
    card = FakeCard(certificate_bytes=old.to_bytes())
    charge(till, card)
    till.clock.seconds += 200
    assert isinstance(charge(till, card).why, ExpiredCertificateError)
    card.certificate_bytes = CARD.certificate.to_bytes()
    assert charge(till, card).result is Result.PAID


def test_an_expired_certificate_does_not_stop_the_finishing(till: Till) -> None:
    old = certify(key("operator"), CARD.key, CertificateClass.HARD_WALLET, expires=NOW + 100)
    card = FakeCard(certificate_bytes=old.to_bytes(), faults=["after"])
    assert charge(till, card, None).result is Result.TAP_AGAIN
    till.clock.seconds += 200
    assert resume(till, card).result is Result.PAID


@pytest.mark.parametrize("lifecycle", [Lifecycle.PERSONALISED, Lifecycle.BLOCKED, Lifecycle.TERMINATED])
def test_a_card_that_is_not_active_is_refused_by_the_till(till: Till, lifecycle: Lifecycle) -> None:
    card = FakeCard()
    card.state = replace(card.state, lifecycle=lifecycle)
    assert charge(till, card).result is Result.NOT_CHARGED
    assert till.journal.sales() == []


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "amount", "reason"),
    [
        (FakeCard(), 50_001, Refused.TRANSFER_LIMIT),
        (FakeCard(), 2**53 - 1, Refused.TRANSFER_LIMIT),
        (FakeCard(limits=replace(POLICY, payee_classes=0)), 1, Refused.PAYEE_CLASS),
    ],
)
def test_what_the_policy_forbids_is_not_even_asked(till: Till, card: FakeCard, amount: int, reason: Refused) -> None:
    outcome = charge(till, card, order=Order(amount, "too much"))
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is reason
    assert (card.sent, till.journal.sales()) == ([], [])


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (FakeCard(limits=replace(POLICY, offline_total=6_799)), Refused.OFFLINE_TOTAL),
        (FakeCard(limits=replace(POLICY, offline_count=0)), Refused.OFFLINE_COUNT),
        (FakeCard(state=replace(FakeCard().state, total_in=100, in_acked=100)), Refused.INSUFFICIENT),
        (FakeCard(state=replace(FakeCard().state, in_acked=0)), Refused.INSUFFICIENT),
        (FakeCard(state=replace(FakeCard().state, pin_tries=0)), Refused.PIN_BLOCKED),
    ],
)
def test_what_only_the_card_can_count_the_card_refuses(till: Till, card: FakeCard, reason: Refused) -> None:
    outcome = charge(till, card)
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is reason
    assert card.spent == 0
    (sale,) = till.journal.sales()
    assert (sale.state, sale.reason) == (SaleState.REFUSED, reason.name)


def test_not_charged_is_a_signed_refusal_on_disk_before_it_is_said(till: Till) -> None:
    card = FakeCard(state=replace(FakeCard().state, total_in=100, in_acked=100))
    outcome = charge(till, card)
    assert outcome.result is Result.NOT_CHARGED
    (sale,) = till.journal.sales()
    assert sale.refusal is not None
    refusal = parse(Refusal, sale.refusal).verify(TILL.key.public)
    assert (refusal.payee, refusal.k, refusal.request_hash) == (TILL.id, sale.k, sale.request.hash)
    assert till.lines[-1].startswith("NOT CHARGED")
    assert till.steps[-1] == "refused"


def test_after_not_charged_the_next_sale_has_a_new_request(till: Till) -> None:
    card = FakeCard(faults=[Refused.STALE])
    assert charge(till, card).result is Result.NOT_CHARGED
    assert charge(till, card).result is Result.PAID
    assert [sale.k for sale in till.journal.sales()] == [1, 2]
    assert card.spent == 6_800


@pytest.mark.parametrize("sw", [0x6400, 0x69FF])
def test_words_that_promise_untouched_memory_are_proof_at_first(till: Till, sw: int) -> None:
    outcome = charge(till, FakeCard(faults=[sw]))
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, CardError)


def test_a_worn_card_is_not_charged_for_its_command_was_not_done(till: Till) -> None:
    """apdu.md: 6581, the memory is worn out and the command was not done."""
    card = FakeCard(faults=[0x6581])
    outcome = charge(till, card)
    assert outcome.result is Result.NOT_CHARGED
    assert (till.journal.sales()[0].state, till.journal.sales()[0].reason) == (SaleState.REFUSED, "SW 6581")
    assert card.spent == 0


@pytest.mark.parametrize(("fault", "result"), [("before", Result.NOT_CHARGED), ("after", Result.PAID)])
def test_a_card_that_wore_out_after_a_lost_answer(till: Till, fault: str, result: Result) -> None:
    """It answers what it has stored without writing; one that says 6581 while it stands at n has stored nothing."""

    class Worn(FakeCard):
        asked = 0

        def pay(self, request: bytes) -> bytes:
            self.asked += 1
            if self.asked > 1 and self.state.next_n == Request.from_payload(request).n:
                raise CardError(0x6581)
            return super().pay(request)

    card = Worn(faults=[fault])
    assert charge(till, card).result is result
    assert card.spent == (6_800 if result is Result.PAID else 0)


def test_6581_of_a_card_whose_counter_has_passed_proves_nothing(till: Till) -> None:
    card = FakeCard(faults=["after"])
    charge(till, card, None)
    card.faults = [0x6581] * 1000
    assert resume(till, card).result is Result.TAP_AGAIN
    card.faults = []
    assert resume(till, card).result is Result.PAID


def test_a_blocked_card_that_has_passed_n_without_a_voucher_was_not_charged(till: Till) -> None:
    card = FakeCard(faults=["before"])
    charge(till, card, None)
    elsewhere = replace(card.state, next_n=card.state.next_n + 1, lifecycle=Lifecycle.BLOCKED)
    outcome = resume(till, FakeCard(state=elsewhere))
    assert outcome.result is Result.NOT_CHARGED
    assert till.journal.sales()[0].reason == "WRONG_STATE"


@pytest.mark.parametrize("state", [Lifecycle.BLOCKED, Lifecycle.TERMINATED])
def test_a_card_that_is_out_of_use_and_shows_no_vouchers_proves_nothing(till: Till, state: Lifecycle) -> None:
    class Mute(FakeCard):
        def resend(self, request_hash: bytes) -> bytes:
            raise OutcomeUnknownError("the card left the field")

    card = FakeCard(faults=["after"])
    charge(till, card, None)
    mute = Mute(state=replace(card.state, lifecycle=state), faults=[Refused.WRONG_STATE] * 1000)
    assert resume(till, mute).result is Result.TAP_AGAIN


def test_a_till_declared_dead_takes_no_passed_counter_for_a_proof(till: Till) -> None:
    """Its operator may have collected the voucher from the card's report, and a grant freed the slot since."""
    card = FakeCard(faults=["after"])
    charge(till, card, None)
    dead = revocation_list({TILL.id: RevocationReason.DEAD})
    till.journal.keep_revocations(dead.message, dead.to_bytes())
    freed = FakeCard(state=replace(card.state, slots=FakeCard().state.slots))
    outcome = resume(till, freed)
    assert (outcome.result, freed.spent) == (Result.TAP_AGAIN, 6_800)
    assert isinstance(outcome.why, ConfigurationError)


# Revocations --------------------------------------------------------------------------------------------------------


def test_a_listed_card_is_asked_nothing_and_its_open_sale_is_finished(till: Till) -> None:
    card = FakeCard(faults=["after"])
    charge(till, card, None)
    lost = revocation_list({card.id: RevocationReason.FROZEN})
    till.journal.keep_revocations(lost.message, lost.to_bytes())
    assert resume(till, card).result is Result.PAID  # rule 10: it has begun, so it is finished
    sent = len(card.sent)
    outcome = charge(till, card)
    assert (outcome.result, outcome.sale) == (Result.NOT_CHARGED, None)
    assert till.lines[-1] == "NOT CHARGED  this card is reported lost: nothing may be asked of it"
    assert len(card.sent) == sent
    assert charge(till, FakeCard(OTHER_CARD)).result is Result.PAID


def test_a_revoked_till_begins_nothing(till: Till) -> None:
    dead = revocation_list({TILL.id: RevocationReason.DEAD})
    till.journal.keep_revocations(dead.message, dead.to_bytes())
    with pytest.raises(ConfigurationError, match="revoked this till"):
        charge(till, FakeCard())
    assert till.journal.sales() == []


@pytest.mark.parametrize("sw", [0x6F00, 0x6D00])
def test_words_that_promise_nothing_leave_the_sale_open(till: Till, sw: int) -> None:
    card = FakeCard(faults=[sw])
    assert charge(till, card).result is Result.PAID
    assert till.lines.count(phrases.TAP_AGAIN) == 1
    assert len(set(card.sent)) == 1
    assert card.spent == 6_800


# PIN ----------------------------------------------------------------------------------------------------------------


def test_the_pin_is_asked_for_when_the_card_wants_it(till: Till) -> None:
    pins = Pins(PIN)
    card = FakeCard()
    outcome = charge(till, card, order=LARGE, pins=pins)
    assert outcome.result is Result.PAID
    assert pins.asked == [3]
    assert len(card.sent) == 2
    assert len(set(card.sent)) == 1
    assert len(till.journal.sales()) == 1


def test_a_wrong_pin_can_be_typed_again_until_the_card_blocks(till: Till) -> None:
    pins = Pins("0000", "1111", PIN)
    assert charge(till, FakeCard(), order=LARGE, pins=pins).result is Result.PAID
    assert pins.asked == [3, 2, 1]
    assert till.lines.count("wrong PIN, 2 tries left") == 1
    assert till.lines.count("wrong PIN, 1 try left") == 1


def test_three_wrong_pins_block_and_charge_nothing(till: Till) -> None:
    card = FakeCard()
    outcome = charge(till, card, order=LARGE, pins=Pins("0000", "1111", "2222", PIN))
    assert outcome.result is Result.NOT_CHARGED
    assert isinstance(outcome.why, PurseRefusal)
    assert outcome.why.reason is Refused.PIN_BLOCKED
    assert card.spent == 0
    assert card.state.pin_tries == 0


def test_no_pin_is_not_charged(till: Till) -> None:
    card = FakeCard()
    outcome = charge(till, card, order=LARGE)
    assert outcome.result is Result.NOT_CHARGED
    assert till.journal.sales()[0].reason == "PIN_REQUIRED"
    assert card.state.pin_tries == 3


def test_no_pin_is_in_the_journal_or_on_the_screen(till: Till) -> None:
    charge(till, FakeCard(), order=LARGE, pins=Pins("135791", PIN))
    stored = b"".join(file.read_bytes() for file in till.path.parent.iterdir())
    for pin in ("135791", PIN):
        assert pin.encode() not in stored
        assert all(pin not in line for line in till.lines)


def test_a_card_swapped_while_the_pin_is_typed_gets_neither_pin_nor_request(till: Till) -> None:
    class Swapped(FakeCard):
        selects = 0

        def select(self):  # type: ignore[no-untyped-def]
            self.selects += 1
            shown = super().select()
            return shown if self.selects < 3 else replace(shown, purse=OTHER_CARD.id)

        def verify_pin(self, pin: str) -> None:
            raise AssertionError("the PIN went to another card")

    card = Swapped()
    assert charge(till, card, None, order=LARGE, pins=Pins(PIN)).result is Result.TAP_AGAIN
    assert len(card.sent) == 1
    assert card.spent == 0


# Lost answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["before", "after"])
def test_a_lost_answer_is_completed_by_the_same_card_and_charged_once(till: Till, fault: str) -> None:
    card = FakeCard(faults=[fault])
    outcome = charge(till, card)
    assert outcome.result is Result.PAID
    assert card.spent == 6_800
    assert outcome.left == LOADED - 6_800
    assert till.lines == [
        "TAP",
        "CARD READ",
        "TAP THE SAME CARD AGAIN",
        "CARD READ",
        "PAID  RMB 68.00   RMB 432.00 left",
    ]
    assert len(set(card.sent)) == 1


def test_lost_again_and_again_is_charged_once(till: Till) -> None:
    card = FakeCard(faults=["after", "before", "after", "after"])
    assert charge(till, card).result is Result.PAID
    assert card.spent == 6_800
    assert len(set(card.sent)) == 1


def test_nobody_comes_back_and_the_sale_stays_open(till: Till) -> None:
    card = FakeCard(faults=["after"])
    started = till.clock.seconds
    outcome = charge(till, card, None)
    assert outcome.result is Result.TAP_AGAIN
    assert till.clock.seconds - started == pytest.approx(30, abs=1)
    sale = till.checkout.open_sale()
    assert sale is not None
    assert sale.state is SaleState.UNKNOWN
    with pytest.raises(OutcomeUnknownError, match=r"sale 1 of RMB 68\.00 is open"):
        charge(till, FakeCard(OTHER_CARD))


def test_another_card_is_told_so_and_sent_nothing(till: Till) -> None:
    card, other = FakeCard(faults=["after"]), FakeCard(OTHER_CARD)
    outcome = charge(till, card, other, other, card)
    assert outcome.result is Result.PAID
    assert (other.sent, other.certificates_read, other.spent) == ([], 0, 0)
    assert till.lines.count(phrases.ANOTHER_CARD) == 1


@pytest.mark.parametrize("bend", [lambda a: a[:-1] + bytes((a[-1] ^ 1,)), lambda a: a[:100], lambda _: b""])
def test_an_answer_that_is_not_the_voucher_leaves_the_sale_open(till: Till, bend: Callable[[bytes], bytes]) -> None:
    card = FakeCard(faults=["garbled"], garble=bend)
    assert charge(till, card).result is Result.PAID
    assert card.spent == 6_800
    assert till.lines.count(phrases.TAP_AGAIN) == 1


@pytest.mark.parametrize("what", ["wrong payee", "signed again"])
def test_a_relay_that_changes_vouchers_is_never_paid(till: Till, what: str) -> None:
    def bend(answer: bytes) -> bytes:
        voucher = parse(Voucher, answer).message
        if what == "wrong payee":
            return Signed.sign(replace(voucher, payee=OTHER_CARD.id), CARD.key).to_bytes()
        return Signed.sign(voucher, OTHER_CARD.key).to_bytes()

    card = FakeCard(faults=["garbled"] * 1000, garble=bend)
    assert charge(till, card).result is Result.TAP_AGAIN
    assert till.journal.sales()[0].state is SaleState.UNKNOWN
    assert not any(line.startswith(phrases.PAID) for line in till.lines)
    assert len(card.sent) < 40  # asked more and more slowly


def test_stale_after_a_lost_answer_is_not_charged_with_proof(till: Till) -> None:
    card = FakeCard(faults=["before"])
    assert charge(till, card, None).result is Result.TAP_AGAIN
    elsewhere = FakeCard(party=card.party, state=replace(card.state, next_n=card.state.next_n + 1))
    outcome = resume(till, elsewhere)
    assert outcome.result is Result.NOT_CHARGED
    assert till.journal.sales()[0].reason == "STALE"
    assert elsewhere.spent == 0


def test_a_refusal_that_is_no_proof_keeps_the_sale_open(till: Till) -> None:
    card = FakeCard(faults=["after", Refused.WRONG_STATE, 0x6985])
    assert charge(till, card).result is Result.PAID
    assert card.spent == 6_800


def test_a_wrong_card_technology_while_a_sale_is_open_does_no_harm(till: Till) -> None:
    class Bank(FakeCard):
        def select(self):  # type: ignore[no-untyped-def]
            raise CardError(0x6A82)

    card = FakeCard(faults=["after"])
    assert charge(till, card, Bank(), card).result is Result.PAID


def test_a_blocked_card_still_gives_its_voucher(till: Till) -> None:
    card = FakeCard(faults=["after"])
    charge(till, card, None)
    card.state = replace(card.state, lifecycle=Lifecycle.BLOCKED, pin_tries=0)
    assert resume(till, card).result is Result.PAID


# Restart and cancel -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["card-read", "before-asked"])
def test_dying_before_the_request_is_on_disk_leaves_nothing(till: Till, step: str) -> None:
    card = FakeCard()
    till.die_at = step
    with pytest.raises(ProcessDied):
        charge(till, card)
    till.restart()
    assert till.journal.sales() == []
    assert card.spent == 0


@pytest.mark.parametrize("step", ["asked", "answered", "verified"])
def test_dying_between_asked_and_paid_is_resumed_with_the_same_card(till: Till, step: str) -> None:
    card = FakeCard()
    till.die_at = step
    with pytest.raises(ProcessDied):
        charge(till, card)
    till.restart()
    assert till.journal.sales()[0].state is SaleState.ASKED
    other = FakeCard(OTHER_CARD)
    assert resume(till, other, card).result is Result.PAID
    assert other.sent == []
    assert card.spent == 6_800
    assert len(set(card.sent)) == 1


@pytest.mark.parametrize("step", ["paid", "shown"])
def test_dying_after_paid_is_paid(till: Till, step: str) -> None:
    card = FakeCard()
    till.die_at = step
    with pytest.raises(ProcessDied):
        charge(till, card)
    till.restart()
    assert till.checkout.open_sale() is None
    assert till.journal.sales()[0].state is SaleState.PAID
    assert card.spent == 6_800


def test_cancel_refuses_for_good_and_frees_the_till(till: Till) -> None:
    card = FakeCard(faults=["after"])
    charge(till, card, None)
    till.restart()
    sale = till.checkout.cancel()
    assert sale is not None
    assert (sale.state, sale.reason) == (SaleState.REFUSED, "CANCELLED")
    assert till.checkout.open_sale() is None
    assert till.checkout.cancel() is None
    outcome = charge(till, card)  # the card's n has moved on: a new Request, a second debit of the card
    assert outcome.result is Result.PAID
    assert card.spent == 2 * 6_800
    assert [s.state for s in till.journal.sales()] == [SaleState.REFUSED, SaleState.PAID]


def test_resume_without_an_open_sale(till: Till) -> None:
    with pytest.raises(OutcomeUnknownError):
        resume(till, FakeCard())


# A disk that refuses ------------------------------------------------------------------------------------------------


class FullDisk:
    """Makes one method of the journal fail as often as told."""

    def __init__(self, till: Till, method: str, times: int) -> None:
        self.left = times
        self.real = getattr(till.journal, method)
        setattr(till.journal, method, self)

    def __call__(self, *args: object) -> object:
        self.left -= 1
        if self.left >= 0:
            raise StorageError("the journal cannot be used: database or disk is full")
        return self.real(*args)


def test_a_full_disk_before_asking_asks_nothing(till: Till) -> None:
    card = FakeCard()
    FullDisk(till, "ask", 1)
    with pytest.raises(StorageError):
        charge(till, card)
    assert card.sent == []


def test_a_full_disk_at_paid_says_tap_again_and_completes_once_there_is_room(till: Till) -> None:
    card = FakeCard()
    FullDisk(till, "paid", 1)
    assert charge(till, card).result is Result.PAID
    assert till.lines[2:] == ["TAP THE SAME CARD AGAIN", "CARD READ", "PAID  RMB 68.00   RMB 432.00 left"]
    assert card.spent == 6_800


def test_a_disk_that_stays_full_never_says_paid(till: Till) -> None:
    card = FakeCard()
    FullDisk(till, "paid", 10**6)
    FullDisk(till, "mark_unknown", 10**6)
    outcome = charge(till, card)
    assert outcome.result is Result.TAP_AGAIN
    assert isinstance(outcome.why, StorageError)
    assert not any(line.startswith(phrases.PAID) for line in till.lines)
    till.restart()
    assert resume(till, card).result is Result.PAID
    assert card.spent == 6_800


def test_a_refusal_that_cannot_be_written_is_not_said(till: Till) -> None:
    card = FakeCard(limits=replace(POLICY, offline_count=0))
    FullDisk(till, "refused", 1)
    outcome = charge(till, card)
    assert outcome.result is Result.NOT_CHARGED
    assert till.lines.index(phrases.TAP_AGAIN) < till.lines.index(
        "NOT CHARGED  0 payments since the card was last online"
    )
