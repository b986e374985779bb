"""Personalisation on the card's side: what STORE DATA takes, in which order, and what it verifies."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from hardware.channel_opening import open_channel
from hardware.commands import Activate, Deactivate, GenerateKeyPair, PersonaliseEnd, StoreData
from hardware.data_objects import Tag
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT, FactoryData
from hardware.emulator.profiles import PROFILES, find_profile, manufacture
from hardware.instructions import Store
from hardware.personalisation import CardPapers
from hardware.pin import pin_block
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import PIN, SERIAL, CardInHand, World, blank_card, in_hand, make_world, personalised_card, refused
from support.keys import FOREIGN_AUTHORITY, FOREIGN_OPERATOR, certify
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import ConfigurationError, Refused, UsageError
from wallet_core.messages import CertificationRequest, parse
from wallet_core.purse.state import Lifecycle

CHALLENGE = bytes(range(32))


@pytest.fixture
def world() -> World:
    return make_world("setup")


@pytest.fixture
def hand(world: World) -> CardInHand:
    """A blank card with an open secure channel."""
    return opened(blank_card(world))


def opened(hand: CardInHand, batch_key: bytes = TEST_BATCH_KEY) -> CardInHand:
    hand.connection.plain()
    hand.wallet.select()
    keys = transport_keys(batch_key, hand.serial, production=False)
    hand.connection.secure(open_channel(hand.connection.send, keys, bytes(8)))
    return hand


def store(hand: CardInHand, target: Store, content: bytes) -> None:
    hand.wallet.run(StoreData(target, content))


def make_key(hand: CardInHand) -> CardPapers:
    return hand.world.papers(hand.serial, hand.wallet.run(GenerateKeyPair(CHALLENGE)))


def objects(papers: CardPapers) -> dict[Store, bytes]:
    return {
        Store.AUTHORITY_CERTIFICATE: papers.authority_certificate,
        Store.OPERATOR_CERTIFICATE: papers.operator_certificate,
        Store.PURSE_CERTIFICATE: papers.certificate,
        Store.POLICY: papers.policy,
        Store.PIN: pin_block(PIN),
        Store.AUDIT_KEY: papers.audit_key,
    }


def test_the_key_pair_is_made_once(hand: CardInHand) -> None:
    first = hand.wallet.run(GenerateKeyPair(CHALLENGE))
    snapshot = hand.flash.snapshot()
    assert hand.wallet.run(GenerateKeyPair(CHALLENGE)) == first
    other = parse(CertificationRequest, hand.wallet.run(GenerateKeyPair(bytes(32))))
    assert hand.flash.snapshot() == snapshot
    asked = parse(CertificationRequest, first)
    assert asked.verify(asked.message.key).challenge == CHALLENGE
    assert other.verify(asked.message.key).challenge == bytes(32)
    opened(hand)
    hand.connection.reset()
    opened(hand)
    assert hand.wallet.run(GenerateKeyPair(CHALLENGE)) == first


def test_personalise_end_wants_everything(world: World) -> None:
    for missing in (None, *Store):
        hand = opened(blank_card(world))
        papers = make_key(hand)
        for target, content in objects(papers).items():
            if target is missing:
                break  # what follows may need it
            store(hand, target, content)
        if missing is not None:
            with refused(hand, Refused.WRONG_STATE):
                hand.wallet.run(PersonaliseEnd())
            continue
        hand.wallet.run(PersonaliseEnd())
        snapshot = hand.flash.snapshot()
        hand.wallet.run(PersonaliseEnd())
        assert hand.flash.snapshot() == snapshot
        hand.wallet.run(Activate())
        with refused(hand, Refused.WRONG_STATE):
            hand.wallet.run(PersonaliseEnd())


def test_a_card_without_a_key_takes_no_certificate(world: World, hand: CardInHand) -> None:
    store(hand, Store.AUTHORITY_CERTIFICATE, world.authority.certificate.to_bytes())
    store(hand, Store.OPERATOR_CERTIFICATE, world.operator.certificate.to_bytes())
    card = world.party("card", CertificateClass.HARD_WALLET)
    with refused(hand, Refused.WRONG_STATE):
        store(hand, Store.PURSE_CERTIFICATE, card.certificate.to_bytes())


def test_each_object_rests_on_the_one_before(world: World, hand: CardInHand) -> None:
    papers = make_key(hand)
    for target, content in (
        (Store.OPERATOR_CERTIFICATE, papers.operator_certificate),
        (Store.PURSE_CERTIFICATE, papers.certificate),
        (Store.POLICY, papers.policy),
    ):
        with refused(hand, Refused.WRONG_STATE):
            store(hand, target, content)


def test_the_trust_anchor_is_stored_once(world: World, hand: CardInHand) -> None:
    own, foreign = world.authority.certificate.to_bytes(), FOREIGN_AUTHORITY.certificate.to_bytes()
    store(hand, Store.AUTHORITY_CERTIFICATE, own)
    snapshot = hand.flash.snapshot()
    store(hand, Store.AUTHORITY_CERTIFICATE, own)
    assert hand.flash.snapshot() == snapshot
    with refused(hand, Refused.WRONG_STATE):
        store(hand, Store.AUTHORITY_CERTIFICATE, foreign)


def broken(content: bytes) -> bytes:
    return content[:-1] + bytes((content[-1] ^ 1,))


def test_certificates_are_verified_before_they_are_stored(world: World, hand: CardInHand) -> None:
    papers = make_key(hand)
    own = Certificate.from_bytes(papers.certificate)
    operator = world.operator.certificate.to_bytes()
    for content in (operator, broken(papers.authority_certificate)):
        with refused(hand, Refused.CERTIFICATE):
            store(hand, Store.AUTHORITY_CERTIFICATE, content)
    store(hand, Store.AUTHORITY_CERTIFICATE, papers.authority_certificate)
    for content in (
        broken(operator),
        FOREIGN_OPERATOR.certificate.to_bytes(),
        papers.authority_certificate,
        papers.certificate,
    ):
        with refused(hand, Refused.CERTIFICATE):
            store(hand, Store.OPERATOR_CERTIFICATE, content)
    store(hand, Store.OPERATOR_CERTIFICATE, operator)
    stranger = world.party("stranger", CertificateClass.HARD_WALLET).certificate.to_bytes()
    vault = hand.card.vault
    assert vault is not None
    as_till = certify(world.operator.key, vault.key(), CertificateClass.TILL).to_bytes()
    foreign = certify(FOREIGN_OPERATOR.key, vault.key(), CertificateClass.HARD_WALLET).to_bytes()
    for content in (broken(papers.certificate), stranger, as_till, foreign):
        with refused(hand, Refused.CERTIFICATE):
            store(hand, Store.PURSE_CERTIFICATE, content)
    store(hand, Store.PURSE_CERTIFICATE, papers.certificate)
    assert own.subject == vault.purse_id
    with refused(hand, Refused.SIGNATURE):
        store(hand, Store.POLICY, broken(papers.policy))


def test_objects_may_be_replaced_while_blank(world: World, hand: CardInHand) -> None:
    """The server may answer a repeated personalisation with another audit key or policy: the last ones count."""
    for content in objects(make_key(hand)).items():
        store(hand, *content)
    store(hand, Store.POLICY, world.signed_policy(version=5))
    store(hand, Store.AUDIT_KEY, bytes(16))
    store(hand, Store.PIN, pin_block("1357"))
    hand.wallet.run(PersonaliseEnd())
    hand.wallet.run(Activate())
    hand.tap()
    assert hand.wallet.select().policy_version == 5
    hand.wallet.verify_pin("1357")


def test_objects_that_do_not_belong_together_end_nothing(world: World, hand: CardInHand) -> None:
    papers = make_key(hand)
    for content in objects(papers).items():
        store(hand, *content)
    other = world.key("other operator")
    store(hand, Store.OPERATOR_CERTIFICATE, certify(world.authority.key, other, CertificateClass.OPERATOR).to_bytes())
    with refused(hand, Refused.WRONG_STATE):
        hand.wallet.run(PersonaliseEnd())
    store(hand, Store.OPERATOR_CERTIFICATE, papers.operator_certificate)
    hand.wallet.run(PersonaliseEnd())


def test_a_policy_for_another_class_ends_nothing(world: World, hand: CardInHand) -> None:
    given = objects(make_key(hand))
    given[Store.POLICY] = world.signed_policy(purse_class=CertificateClass.MERCHANT_PURSE)
    for target in (Store.AUTHORITY_CERTIFICATE, Store.OPERATOR_CERTIFICATE, Store.POLICY):
        store(hand, target, given[target])
    for target in (Store.PURSE_CERTIFICATE, Store.PIN, Store.AUDIT_KEY):
        store(hand, target, given[target])
    with refused(hand, Refused.WRONG_STATE):
        hand.wallet.run(PersonaliseEnd())


def test_a_blank_card_pays_nothing_and_asks_nothing(world: World, hand: CardInHand) -> None:
    hand.connection.plain()
    commands: list[Callable[[], object]] = [
        lambda: hand.wallet.pay(world.till_request(hand.wallet.select(), 1).to_payload()),
        lambda: hand.wallet.request(world.till.id, 1, 1, 1, bytes(32)),
        lambda: hand.wallet.verify_pin(PIN),
        lambda: hand.wallet.refuse(bytes(32)),
        lambda: hand.wallet.resend(bytes(32)),
    ]
    for command in commands:
        with refused(hand, Refused.WRONG_STATE):
            command()
    for tag in (Tag.PURSE_CERTIFICATE, Tag.OPERATOR_CERTIFICATE, Tag.AUTHORITY_CERTIFICATE, Tag.POLICY):
        with refused(hand, Refused.NOT_FOUND):
            hand.wallet.data(tag)


def test_no_step_of_the_life_cycle_is_skipped(hand: CardInHand) -> None:
    for command in (Activate(), Deactivate()):
        with refused(hand, Refused.WRONG_STATE):
            hand.wallet.run(command)


def test_an_active_card_takes_no_objects_but_a_policy(world: World) -> None:
    hand = opened(personalised_card(world))
    vault = hand.card.vault
    assert vault is not None
    for target in Store:
        if target is not Store.POLICY:
            content = vault.memory.object(vault.record, target)
            assert content is not None
            with refused(hand, Refused.WRONG_STATE):
                store(hand, target, content)
    with refused(hand, Refused.WRONG_STATE):
        hand.wallet.run(GenerateKeyPair(CHALLENGE))
    store(hand, Store.POLICY, world.signed_policy(version=2))
    hand.connection.plain()
    assert hand.wallet.select().policy_version == 2


# The factory


def test_a_merchants_purse_is_personalised_as_one(world: World) -> None:
    hand = personalised_card(world, profile="merchant-sam")
    certificate = Certificate.from_bytes(hand.wallet.certificate())
    assert certificate.subject_class is CertificateClass.MERCHANT_PURSE
    assert hand.wallet.select().lifecycle is Lifecycle.ACTIVE


def test_a_production_card_is_not_made_with_the_published_key() -> None:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    with pytest.raises(ConfigurationError, match="published test batch key"):
        manufacture(flash, PROFILES["hk-visitor-production"], SERIAL)


def test_a_production_card_refuses_test_certificates(world: World) -> None:
    flash = Flash(CARD_LAYOUT.cells, rng=Random(1))
    batch_key = bytes(range(32))
    manufacture(flash, PROFILES["hk-visitor-production"], SERIAL, batch_key)
    hand = opened(in_hand(world, SERIAL, flash, 1), batch_key)
    with refused(hand, Refused.CERTIFICATE):
        store(hand, Store.AUTHORITY_CERTIFICATE, world.authority.certificate.to_bytes())
    real = certify(world.authority.key, world.authority.key, CertificateClass.AUTHORITY, test=False)
    store(hand, Store.AUTHORITY_CERTIFICATE, real.to_bytes())
    with refused(hand, Refused.CERTIFICATE):
        store(hand, Store.OPERATOR_CERTIFICATE, world.operator.certificate.to_bytes())


def test_a_profile_by_name() -> None:
    assert find_profile("hk-visitor").subject_class is CertificateClass.HARD_WALLET
    with pytest.raises(UsageError):
        find_profile("platinum")


def test_factory_data_keep_their_keys_to_themselves() -> None:
    keys = transport_keys(TEST_BATCH_KEY, SERIAL, production=False)
    data = FactoryData(SERIAL, CertificateClass.HARD_WALLET, False, keys)
    assert FactoryData.from_bytes(data.to_bytes()) == data
    assert keys.enc.hex() not in repr(data)
