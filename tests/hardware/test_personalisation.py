"""Personalisation from the operator's desk: own key, one way, and finished whatever interrupts it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from hardware.card_like import CardLike
from hardware.data_objects import Tag
from hardware.emulator.faults import FaultPlan, Tear
from hardware.exchange import CardConnection
from hardware.instructions import Ins
from hardware.personalisation import CardPapers, OtherPinError, block, personalise, terminate
from hardware.secure_channel import StaticKeys
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from support.cards import PIN, SERIAL, CardInHand, World, blank_card, make_world, personalised_card, refused
from support.keys import certify
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    ConfigurationError,
    MismatchError,
    OutcomeUnknownError,
    PurseRefusal,
    Refused,
    UsageError,
)
from wallet_core.messages import CertificationRequest, Request, Signed, parse
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

CHALLENGE = bytes(range(8))


@pytest.fixture
def world() -> World:
    return make_world("personalisation")


@pytest.fixture
def hand(world: World) -> CardInHand:
    """A blank card."""
    return blank_card(world)


def keys(serial: bytes) -> StaticKeys:
    return transport_keys(TEST_BATCH_KEY, serial, production=False)


def run(hand: CardInHand, pin: str = PIN) -> None:
    personalise(hand.wallet, keys, CHALLENGE, hand.world.papers, pin)


class Listening:
    """A card whose answers are kept."""

    def __init__(self, card: CardLike) -> None:
        self.card = card
        self.answers = b""

    def power_on(self) -> bytes:
        return self.card.power_on()

    def power_off(self) -> None:
        self.card.power_off()

    def transmit(self, command: bytes) -> bytes:
        answer = self.card.transmit(command)
        self.answers += answer
        return answer


def test_a_blank_card_becomes_an_active_one_with_its_own_key(world: World, hand: CardInHand) -> None:
    fci = hand.wallet.select()
    assert (fci.lifecycle, fci.purse_id, fci.policy_version) == (Lifecycle.BLANK, bytes(32), 0)
    hand.connection.close()
    ear = Listening(hand.card)
    hand.wallet.connection = CardConnection(InProcessTransport(ear))
    run(hand)
    after = hand.wallet.select()
    certificate = Certificate.from_bytes(hand.wallet.certificate())
    assert (after.lifecycle, after.purse_id, after.epoch) == (Lifecycle.ACTIVE, certificate.subject, 1)
    assert certificate.subject_class is CertificateClass.HARD_WALLET
    vault = hand.card.vault
    assert vault is not None
    scalar = vault.memory.scalar()
    assert vault.key().to_scalar() == scalar
    assert scalar not in ear.answers


def test_two_cards_have_two_keys_and_a_seed_has_one(world: World) -> None:
    one, same, other = (personalised_card(world, serial) for serial in (SERIAL, SERIAL, bytes(8)))
    assert one.wallet.certificate() == same.wallet.certificate()
    assert one.wallet.certificate() != other.wallet.certificate()


def test_an_active_card_is_not_personalised_again(hand: CardInHand) -> None:
    run(hand)
    before = hand.flash.snapshot()
    with pytest.raises(PurseRefusal) as caught:
        run(hand)
    assert caught.value.reason is Refused.WRONG_STATE
    assert hand.flash.snapshot() == before


def test_a_pin_that_is_none_is_told_before_anything_is_done(hand: CardInHand) -> None:
    before = hand.flash.snapshot()
    with pytest.raises(UsageError):
        run(hand, "123")
    assert hand.flash.snapshot() == before


def interrupted(hand: CardInHand, command: str) -> None:
    hand.plans.plans.append(FaultPlan(Tear.BEFORE, command=command))
    with pytest.raises(OutcomeUnknownError):
        run(hand)
    hand.tap()


@pytest.mark.parametrize("command", ["STORE DATA", "SET STATE", "ACTIVATE"])
def test_the_same_pin_again_finishes_an_interrupted_personalisation(hand: CardInHand, command: str) -> None:
    interrupted(hand, command)
    run(hand)
    hand.wallet.verify_pin(PIN)
    assert hand.wallet.select().pin_tries == 3


def test_another_pin_takes_the_place_of_the_first_while_the_card_is_blank(hand: CardInHand) -> None:
    interrupted(hand, "PERSONALISE END")
    run(hand, "135790")
    hand.wallet.verify_pin("135790")


def test_another_pin_after_that_is_not_silently_ignored(hand: CardInHand) -> None:
    interrupted(hand, "ACTIVATE")
    with pytest.raises(OtherPinError) as caught:
        run(hand, "135790")
    assert "135790" not in caught.value.message + caught.value.next_step
    fci = hand.tap()
    assert (fci.lifecycle, fci.pin_tries) == (Lifecycle.ACTIVE, 2)
    hand.wallet.verify_pin(PIN)
    assert hand.wallet.select().pin_tries == 3


def test_an_operator_without_the_transport_keys_gets_nowhere(world: World, hand: CardInHand) -> None:
    before = hand.flash.snapshot()
    with pytest.raises(BadSignatureError):
        personalise(hand.wallet, lambda _: keys(bytes(8)), CHALLENGE, world.papers, PIN)
    assert hand.flash.snapshot() == before


class Relay(Listening):
    """Between card and host: answers GENERATE KEY PAIR in the card's place, and knows no transport key."""

    def __init__(self, card: CardLike, forge: Callable[[bytes], bytes], level: int | None = None) -> None:
        super().__init__(card)
        self._forge, self._level = forge, level

    def transmit(self, command: bytes) -> bytes:
        if command[1] == Ins.EXTERNAL_AUTHENTICATE and self._level is not None:
            command = command[:2] + bytes((self._level,)) + command[3:]
        answer = super().transmit(command)
        return self._forge(answer) if command[1] == Ins.GENERATE_KEY_PAIR else answer


def forged_request(world: World) -> bytes:
    """What a software key signs for itself over the challenge that any host would send to this card."""
    key = world.key("of the relay")
    request = CertificationRequest(
        suite=Suite.ES256,
        x=key.public.x,
        y=key.public.y,
        subject_class=CertificateClass.HARD_WALLET,
        challenge=hashlib.sha256(SERIAL).digest(),
    )
    return Signed.sign(request, key).to_bytes()


FORGERIES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "plain": lambda forged, _: forged + b"\x90\x00",
    "with the card's R-MAC": lambda forged, answer: forged + answer[-10:],
    "padded": lambda forged, answer: forged.ljust(192, b"\0") + answer[-10:],
    "no data": lambda _, __: b"\x90\x00",
    "a warning": lambda forged, _: forged + b"\x62\x00",
    "an error word with data": lambda forged, _: forged + b"\x6a\x80",
}


@pytest.mark.parametrize("level", [None, 0x03, 0x01])
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_relay_gets_no_key_of_its_own_certified(
    world: World, hand: CardInHand, forgery: str, level: int | None
) -> None:
    asked: list[bytes] = []

    def ask(serial: bytes, request: bytes) -> CardPapers:
        asked.append(request)
        return world.papers(serial, request)

    hand.connection.close()
    forged = forged_request(world)
    relay = Relay(hand.card, lambda answer: FORGERIES[forgery](forged, answer), level)
    hand.wallet.connection = CardConnection(InProcessTransport(relay))
    with pytest.raises(BadSignatureError):
        personalise(hand.wallet, keys, CHALLENGE, ask, PIN)
    assert asked == [], "the operator was never asked"
    assert hand.wallet.select().lifecycle is Lifecycle.BLANK


def test_papers_that_do_not_fit_do_not_reach_the_card(world: World, hand: CardInHand) -> None:
    def other_key(serial: bytes, request: bytes) -> CardPapers:
        stranger = certify(world.operator.key, world.key("stranger"), CertificateClass.HARD_WALLET)
        return replace(world.papers(serial, request), certificate=stranger.to_bytes())

    def other_operator(serial: bytes, request: bytes) -> CardPapers:
        stranger = world.party("stranger", CertificateClass.OPERATOR)
        return replace(world.papers(serial, request), operator_certificate=stranger.certificate.to_bytes())

    for wrong in (other_key, other_operator):
        with pytest.raises((MismatchError, BadSignatureError)):
            personalise(hand.wallet, keys, CHALLENGE, wrong, PIN)
        assert hand.tap().lifecycle is Lifecycle.BLANK
        for tag in (Tag.AUTHORITY_CERTIFICATE, Tag.PURSE_CERTIFICATE):
            with refused(hand, Refused.NOT_FOUND):
                hand.wallet.data(tag)
    run(hand)


@pytest.mark.parametrize("tear", [Tear.BEFORE, Tear.ANSWER])
def test_an_interrupted_personalisation_is_done_again(world: World, tear: Tear) -> None:
    """The card is taken away at each exchange in turn; the same command again makes it active, with the same key."""
    exchange = 0
    finished = False
    while not finished:
        exchange += 1
        hand = blank_card(world)
        hand.plans.plans.append(FaultPlan(tear, exchange=exchange))
        hand.connection.reset()
        asked: list[bytes] = []

        def certify_once(serial: bytes, request: bytes, asked: list[bytes] = asked) -> CardPapers:
            asked.append(request)
            return world.papers(serial, request)

        try:
            personalise(hand.wallet, keys, CHALLENGE, certify_once, PIN)
            finished = True
        except OutcomeUnknownError:
            state = hand.tap().lifecycle
            if state is not Lifecycle.ACTIVE:
                personalise(hand.wallet, keys, CHALLENGE, certify_once, PIN)
        assert hand.tap().lifecycle is Lifecycle.ACTIVE
        assert len(set(asked)) == 1, "one key, one request"
        request = world.till_request(hand.wallet.select(), 0)
        with pytest.raises(PurseRefusal):
            hand.wallet.pay(request.to_payload())
        hand.wallet.verify_pin(PIN)
    assert exchange > 12


def test_a_server_that_fails_is_asked_again(world: World, hand: CardInHand) -> None:
    def unreachable(serial: bytes, request: bytes) -> CardPapers:
        raise ConfigurationError("no server")

    with pytest.raises(ConfigurationError):
        personalise(hand.wallet, keys, CHALLENGE, unreachable, PIN)
    run(hand)
    assert hand.wallet.select().lifecycle is Lifecycle.ACTIVE


def test_block_and_terminate_are_one_way(world: World, hand: CardInHand) -> None:
    run(hand)
    request = hand.wallet.request(world.operator_purse.id, 1, 1, 100, bytes(32))
    for _ in range(2):
        block(hand.wallet, keys, CHALLENGE)
        assert hand.tap().lifecycle is Lifecycle.BLOCKED
    hand.wallet.collect(*world.voucher_for(request))
    assert parse(Request, request).message.amount == hand.wallet.select().balance
    with pytest.raises(PurseRefusal):
        run(hand)
    terminate(hand.wallet, keys, CHALLENGE)
    assert hand.tap().lifecycle is Lifecycle.TERMINATED
    with pytest.raises(MismatchError):
        block(hand.wallet, keys, CHALLENGE)


def test_transport_keys_are_of_one_card() -> None:
    one, other = keys(SERIAL), keys(bytes(8))
    assert len({one.enc, one.mac, other.enc, other.mac}) == 4
    assert one == keys(SERIAL)
    assert TEST_BATCH_KEY.hex() not in repr(one)


def test_the_published_batch_key_makes_no_production_card() -> None:
    with pytest.raises(ConfigurationError, match="published test batch key"):
        transport_keys(TEST_BATCH_KEY, SERIAL, production=True)
    assert transport_keys(bytes(32), SERIAL, production=True).version == 1


@pytest.mark.parametrize(("batch_key", "serial"), [(bytes(31), SERIAL), (bytes(32), bytes(7)), (b"", b"")])
def test_a_batch_key_of_another_size(batch_key: bytes, serial: bytes) -> None:
    with pytest.raises(ConfigurationError):
        transport_keys(batch_key, serial, production=False)
