"""A card between two suites: what is stored before its key pair is made binds it as the key pair does."""

from __future__ import annotations

import pytest

from hardware.channel_opening import open_channel
from hardware.commands import GenerateKeyPair, GenerateSm2KeyPair, StoreData
from hardware.instructions import Store
from hardware.status_words import SW
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import CardInHand, blank_card, make_world
from wallet_core.errors import CardError, PurseRefusal, Refused
from wallet_core.messages import CertificationRequest, parse
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

STRONG = make_world("suite 2", Suite.SM2)
WEAK = make_world("suite 2's neighbour")
OBJECTS = (
    (Store.AUTHORITY_CERTIFICATE, WEAK.authority.certificate.to_bytes()),
    (Store.OPERATOR_CERTIFICATE, WEAK.operator.certificate.to_bytes()),
    (Store.POLICY, WEAK.signed_policy()),
)


def keyed(hand: CardInHand) -> CardInHand:
    """A blank card with its channel open."""
    hand.wallet.select()
    keys = transport_keys(TEST_BATCH_KEY, hand.serial, production=False)
    hand.connection.secure(open_channel(hand.connection.send, keys, bytes(8)))
    return hand


@pytest.mark.parametrize("stored", [1, 2, 3])
def test_objects_of_suite_1_keep_a_card_from_suite_2(stored: int) -> None:
    """Else it would read them by the lengths of suite 2 from then on: a card that never starts again."""
    hand = keyed(blank_card(STRONG))
    for target, content in OBJECTS[:stored]:
        hand.wallet.run(StoreData(target, content))
    with pytest.raises(PurseRefusal) as caught:
        hand.wallet.run(GenerateSm2KeyPair(bytes(32)))
    assert caught.value.reason is Refused.WRONG_STATE
    assert hand.tap().lifecycle is Lifecycle.BLANK
    made = parse(CertificationRequest, keyed(hand).wallet.run(GenerateKeyPair(bytes(32)))).message
    assert made.suite is Suite.ES256
    assert hand.tap().lifecycle is Lifecycle.BLANK
    assert parse(CertificationRequest, keyed(hand).wallet.run(GenerateKeyPair(bytes(32)))).message.key == made.key


def test_a_pin_and_an_audit_key_are_of_no_suite() -> None:
    hand = keyed(blank_card(STRONG))
    hand.wallet.run(StoreData(Store.AUDIT_KEY, bytes(16)))
    assert parse(CertificationRequest, hand.wallet.run(GenerateSm2KeyPair(bytes(32)))).message.suite is Suite.SM2
    assert hand.tap().lifecycle is Lifecycle.BLANK


def test_objects_of_suite_1_are_none_once_the_key_is_of_suite_2() -> None:
    hand = keyed(blank_card(STRONG))
    hand.wallet.run(GenerateSm2KeyPair(bytes(32)))
    for target, content in OBJECTS:
        with pytest.raises(CardError) as caught:
            hand.wallet.run(StoreData(target, content))
        assert caught.value.sw == SW.WRONG_LENGTH
    assert hand.tap().lifecycle is Lifecycle.BLANK
