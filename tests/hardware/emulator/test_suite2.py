"""A card of suite 2: the same life in SM2, its own lengths, and nothing of another suite."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hardware.apdu import CommandApdu
from hardware.channel_opening import open_channel
from hardware.commands import Collect, GenerateKeyPair, GenerateSm2KeyPair, Pay, PayVerified
from hardware.instructions import signed_size
from hardware.personalisation import personalise
from hardware.status_words import SW
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import LOAD, PIN, CardInHand, blank_card, make_world, personalised_card
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CardError, MismatchError, PurseRefusal, Refused
from wallet_core.messages import CertificationRequest, Receipt, Report, Request, Signed, Voucher, parse
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite, profile

STRONG = make_world("suite 2", Suite.SM2)
WEAK = make_world("suite 2's neighbour")


@pytest.fixture
def hand() -> CardInHand:
    return personalised_card(STRONG, load=LOAD)


def refused(hand: CardInHand, command: Pay | PayVerified | Collect) -> int:
    """The status word; the card's totals are as they were."""
    before = hand.wallet.totals()
    word = hand.connection.send(command.to_apdu()).sw
    assert hand.wallet.totals() == before
    return word


def test_it_is_personalised_loaded_and_pays(hand: CardInHand) -> None:
    fci = hand.wallet.select()
    assert (fci.lifecycle, fci.balance) == (Lifecycle.ACTIVE, LOAD)
    own = Certificate.from_bytes(hand.wallet.certificate())
    assert (own.suite, own.subject) == (Suite.SM2, fci.purse_id)
    assert hand.wallet.policy().message.least_suite == Suite.SM2
    raw = hand.wallet.run(Pay(STRONG.till_request(fci, 6_800).to_payload()))
    assert len(raw) == signed_size(Voucher, Suite.SM2) == signed_size(Voucher) + 4
    voucher = parse(Voucher, raw).verify(own.key)
    audit = AuditData.open(STRONG.audit_key(hand.serial), voucher.audit, voucher.n, Suite.SM2)
    assert (audit.total_out, audit.total_in) == (6_800, LOAD)


def test_it_verifies_the_payee_itself(hand: CardInHand) -> None:
    request = STRONG.till_request(hand.wallet.select(), 30_000)
    hand.wallet.verify_pin(PIN)
    voucher = hand.wallet.run(PayVerified(*STRONG.signed_by_till(request)))
    assert parse(Voucher, voucher).message.request_hash == request.hash
    stranger = replace(STRONG.till, key=STRONG.key("stranger"))
    next_one = STRONG.till_request(hand.wallet.select(), 30_000, k=2)
    assert refused(hand, PayVerified(*STRONG.signed_by(stranger, next_one))) == Refused.SIGNATURE


def test_it_stands_after_the_power_was_off(hand: CardInHand) -> None:
    request = STRONG.till_request(hand.wallet.select(), 100).to_payload()
    paid = hand.wallet.run(Pay(request))
    asked = hand.wallet.request(STRONG.operator_purse.id, 1, 2, 500, bytes(32))
    hand.tap()
    assert hand.wallet.run(Pay(request)) == paid
    assert hand.wallet.request(STRONG.operator_purse.id, 1, 2, 500, bytes(32)) == asked
    parse(Receipt, hand.wallet.collect(*STRONG.voucher_for(asked))).verify(
        Certificate.from_bytes(hand.wallet.certificate()).key
    )


def test_report_and_grant(hand: CardInHand) -> None:
    hand.wallet.run(Pay(STRONG.till_request(hand.wallet.select(), 100).to_payload()))
    report = hand.wallet.report()
    assert parse(Report, report).message.suite is Suite.SM2
    hand.wallet.grant(STRONG.grant_for(report, [1]))
    assert hand.wallet.totals().out_acked == 100


def test_a_request_of_suite_1_is_below_its_least(hand: CardInHand) -> None:
    """Before counter, slots, limits and PIN are looked at."""
    request = STRONG.till_request(hand.wallet.select(), 10**9, suite=Suite.ES256, n=77)
    assert refused(hand, Pay(request.to_payload())) == Refused.SUITE


@pytest.mark.parametrize("least", [Suite.ES256, Suite.SM2])
def test_whatever_its_policy_says_it_signs_in_its_own_suite(least: Suite) -> None:
    hand = personalised_card(STRONG, load=LOAD, least_suite=least)
    request = STRONG.till_request(hand.wallet.select(), 100, suite=Suite.ES256)
    assert refused(hand, Pay(request.to_payload())) == Refused.SUITE


def test_messages_with_the_lengths_of_suite_1_are_none_here(hand: CardInHand) -> None:
    weak = WEAK.till_request(hand.wallet.select(), 100)
    assert refused(hand, PayVerified(*WEAK.signed_by_till(weak))) == SW.WRONG_LENGTH
    asked = hand.wallet.request(STRONG.operator_purse.id, 1, 2, 500, bytes(32))
    message = replace(parse(Request, asked).message, suite=Suite.ES256)
    voucher = WEAK.voucher_for(Signed.sign(message, WEAK.key("card")).to_bytes())
    assert refused(hand, Collect(*voucher)) == SW.WRONG_LENGTH


def test_a_mixed_message_of_the_right_length_is_malformed(hand: CardInHand) -> None:
    request = STRONG.till_request(hand.wallet.select(), 100)
    signed, *certificates = STRONG.signed_by_till(request)
    payload = replace(request, suite=Suite.ES256).to_payload()
    mixed = signed.replace(request.to_payload(), payload)
    assert len(mixed) == len(signed)
    assert refused(hand, PayVerified(mixed, *certificates)) == Refused.MALFORMED


def test_a_card_of_suite_1_knows_no_suite_2() -> None:
    hand = personalised_card(WEAK, load=LOAD)
    fci = hand.wallet.select()
    assert refused(hand, Pay(STRONG.till_request(fci, 100).to_payload())) == Refused.MALFORMED
    assert refused(hand, PayVerified(*STRONG.signed_by_till(STRONG.till_request(fci, 100)))) == SW.WRONG_LENGTH
    assert hand.wallet.run(Pay(WEAK.till_request(fci, 100).to_payload()))


def test_a_chain_of_another_authority_of_suite_2_is_not_believed(hand: CardInHand) -> None:
    other = make_world("another authority", Suite.SM2)
    request = STRONG.till_request(hand.wallet.select(), 100)
    assert refused(hand, PayVerified(*other.signed_by(other.till, replace(request, payee=other.till.id)))) == (
        Refused.CERTIFICATE
    )


def keyed(hand: CardInHand) -> CardInHand:
    """A blank card with its channel open."""
    hand.wallet.select()
    keys = transport_keys(TEST_BATCH_KEY, hand.serial, production=False)
    hand.connection.secure(open_channel(hand.connection.send, keys, bytes(8)))
    return hand


@pytest.mark.parametrize(
    ("first", "second"), [(GenerateKeyPair, GenerateSm2KeyPair), (GenerateSm2KeyPair, GenerateKeyPair)]
)
def test_a_card_has_one_key_pair_of_one_suite(
    first: type[GenerateKeyPair | GenerateSm2KeyPair], second: type[GenerateKeyPair | GenerateSm2KeyPair]
) -> None:
    hand = keyed(blank_card(STRONG))
    made = parse(CertificationRequest, hand.wallet.run(first(bytes(32)))).message
    assert made.suite is (Suite.SM2 if first is GenerateSm2KeyPair else Suite.ES256)
    with pytest.raises(PurseRefusal) as caught:
        hand.wallet.run(second(bytes(32)))
    assert caught.value.reason is Refused.WRONG_STATE
    assert parse(CertificationRequest, hand.wallet.run(first(bytes(32)))).message.key == made.key


@pytest.mark.parametrize("p2", [1, 3, 0xFF])
def test_no_other_suite_is_made(p2: int) -> None:
    hand = keyed(blank_card(STRONG))
    plain = GenerateKeyPair(bytes(32)).to_apdu()
    answer = hand.connection.send(CommandApdu(plain.cla, plain.ins, 0, p2, plain.data, plain.ne))
    assert answer.sw == SW.INCORRECT_P1P2


class _GenerateOther(GenerateSm2KeyPair):
    """A number that this card has not: as suite 2 is to a chip that has only ES256."""

    P2 = 3


def test_a_card_without_the_suite_is_not_personalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes in, and nothing is certified."""
    hand = blank_card(STRONG)
    monkeypatch.setattr("hardware.personalisation._GENERATE", {Suite.SM2: _GenerateOther})
    asked: list[bytes] = []

    def certify(serial: bytes, request: bytes) -> None:
        asked.append(request)

    with pytest.raises(CardError) as caught:
        personalise(
            hand.wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            certify,  # type: ignore[arg-type]
            PIN,
            suite=Suite.SM2,
        )
    assert (caught.value.sw, asked) == (SW.INCORRECT_P1P2, [])
    assert hand.wallet.select().lifecycle is Lifecycle.BLANK


def test_a_card_that_answers_in_another_suite_gets_no_papers(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = blank_card(STRONG)
    monkeypatch.setattr("hardware.personalisation._GENERATE", {Suite.SM2: GenerateKeyPair})
    monkeypatch.setattr("hardware.personalisation.profile", lambda _: profile(Suite.ES256))
    with pytest.raises(MismatchError, match="another suite"):
        personalise(
            hand.wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            lambda serial, request: STRONG.papers(serial, request),
            PIN,
            suite=Suite.SM2,
        )


def test_merchants_purses_pay_and_collect_in_suite_2() -> None:
    sam = personalised_card(STRONG, bytes(8), profile="merchant-sam", load=LOAD)
    card = personalised_card(STRONG, load=LOAD)
    shown = card.wallet.select()
    asked = sam.wallet.request(shown.purse_id, shown.epoch, shown.next_n, 500, bytes(32))
    papers = (sam.wallet.certificate(), STRONG.operator.certificate.to_bytes())
    voucher = card.wallet.run(PayVerified(asked, *papers))
    receipt = sam.wallet.collect(voucher, card.wallet.certificate(), STRONG.operator.certificate.to_bytes())
    card.wallet.acknowledge(receipt, *papers)
    assert Certificate.from_bytes(papers[0]).subject_class is CertificateClass.MERCHANT_PURSE
    assert sam.wallet.select().balance == LOAD + 500
    assert [slot.state.name for slot in card.wallet.slots() if slot.n] == ["COLLECTED"]
