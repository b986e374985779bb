"""ECNY-PER: from a blank card to an active one. What is stored is verified before it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.commands import (
    Activate,
    Deactivate,
    GenerateKeyPair,
    GetData,
    PersonaliseEnd,
    StoreData,
    Verify,
)
from hardware.conformance.bench import Bench, expect, same, word
from hardware.conformance.checks.transport import LENGTHS
from hardware.conformance.lab import PIN
from hardware.conformance.requirements import APDU, CDDL, TRANSFER, NotTried, Stage, requirement, untestable
from hardware.data_objects import Tag
from hardware.instructions import CERTIFICATE_SIZE, Command, Store
from hardware.personalisation import CardPapers
from hardware.pin import pin_block
from hardware.status_words import SW
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import Refused
from wallet_core.keys import PublicKey
from wallet_core.messages import CertificationRequest, parse

_STORE: Final = "STORE DATA"
_LIFE: Final = "Life cycle of a purse"
_TOP: Final = "Command–response pairs of the purse"
Send = Callable[[Command], ResponseApdu]


def papers(t: Bench, send: Send, *, epoch: int = 1) -> CardPapers:
    """The laboratory's papers for the key that the card shows."""
    return t.lab.card_papers(t.known_serial, asked(send, bytes(32)), epoch=epoch)


def asked(send: Send, challenge: bytes) -> CertificationRequest:
    return parse(CertificationRequest, word(send(GenerateKeyPair(challenge)), SW.OK, of="GENERATE")).message


def objects(papers: CardPapers) -> dict[Store, bytes]:
    """The six objects of STORE DATA, in the order in which they are stored."""
    return {
        Store.AUTHORITY_CERTIFICATE: papers.authority_certificate,
        Store.OPERATOR_CERTIFICATE: papers.operator_certificate,
        Store.PURSE_CERTIFICATE: papers.certificate,
        Store.POLICY: papers.policy,
        Store.PIN: pin_block(PIN),
        Store.AUDIT_KEY: papers.audit_key,
    }


def store(send: Send, content: dict[Store, bytes], *targets: Store) -> None:
    """These objects, each 9000."""
    for target in targets:
        word(send(StoreData(target, content[target])), SW.OK, of=f"STORE DATA {target.name}")


def refused(send: Send, target: Store, content: bytes, reason: Refused, what: str) -> None:
    word(send(StoreData(target, content)), reason, of=f"STORE DATA {target.name}, {what}")


def complete(t: Bench) -> None:
    """Whatever a blank card lacks, then PERSONALISE END; what is there already changes nothing."""
    t.tap()
    with t.channel() as send:
        store(send, objects(papers(t, send)), *Store)
        word(send(PersonaliseEnd()), SW.OK, of="PERSONALISE END")


def activate(t: Bench) -> None:
    t.tap()
    t.through_channel(Activate())


@requirement(
    "PER-01",
    "GENERATE KEY PAIR answers a CertificationRequest of the card's key over the challenge.",
    APDU,
    "Commands",
    stage=Stage.BLANK,
)
def key_pair(t: Bench) -> None:
    """Two challenges: each is in its answer, which the key in it has signed; the class is a purse's."""
    t.tap()
    with t.channel() as send:
        for challenge in (bytes(32), t.random(32)):
            signed = parse(CertificationRequest, word(send(GenerateKeyPair(challenge)), SW.OK, of="GENERATE"))
            message = signed.verify(signed.message.key)
            same(message.challenge, challenge, "challenge")
            own = (CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)
            expect(message.subject_class in own, f"class {message.subject_class} is none of a card")


@requirement("PER-02", "GENERATE KEY PAIR again gives the same key.", APDU, _TOP, stage=Stage.BLANK)
def same_key(t: Bench) -> None:
    """Twice in one channel, once after power-up."""
    t.tap()
    with t.channel() as send:
        first = asked(send, bytes(32)).key
        same(asked(send, bytes(32)).key, first, "key in one channel")
    t.tap()
    with t.channel() as send:
        same(asked(send, bytes(32)).key, first, "key after power-up")


@requirement(
    "PER-03", "The trust anchor is a self-signed authority certificate: 69EB.", APDU, _STORE, stage=Stage.BLANK
)
def anchor(t: Bench) -> None:
    """An operator's certificate, and an authority's with a bit of its signature changed."""
    _not_begun(t)
    right = t.lab.authority.certificate.to_bytes()
    with t.channel() as send:
        refused(
            send, Store.AUTHORITY_CERTIFICATE, t.lab.operator.certificate.to_bytes(), Refused.CERTIFICATE, "operator"
        )
        damaged = right[:-1] + bytes((right[-1] ^ 1,))
        refused(send, Store.AUTHORITY_CERTIFICATE, damaged, Refused.CERTIFICATE, "damaged")


def _not_begun(t: Bench) -> None:
    t.tap()
    if t.do(GetData(Tag.AUTHORITY_CERTIFICATE)).sw == SW.OK:
        raise NotTried("the card has a trust anchor from an earlier run")


@requirement("PER-04", "What an object is verified against comes before it: 6985.", APDU, _STORE, stage=Stage.BLANK)
def order(t: Bench) -> None:
    """Operator and policy on a card without a trust anchor."""
    _not_begun(t)
    with t.channel() as send:
        content = objects(papers(t, send))
        for target in (Store.OPERATOR_CERTIFICATE, Store.PURSE_CERTIFICATE, Store.POLICY):
            refused(send, target, content[target], Refused.WRONG_STATE, "too early")


@requirement(
    "PER-05",
    "The trust anchor is stored only once: 6985; the same bytes again are 9000.",
    APDU,
    _STORE,
    stage=Stage.BLANK,
)
def anchor_once(t: Bench) -> None:
    """The laboratory's authority twice, then another."""
    t.tap()
    right, other = t.lab.authority.certificate, t.lab.foreign_authority.certificate
    with t.channel() as send:
        for _ in range(2):
            word(send(StoreData(Store.AUTHORITY_CERTIFICATE, right.to_bytes())), SW.OK, of="STORE DATA")
        refused(send, Store.AUTHORITY_CERTIFICATE, other.to_bytes(), Refused.WRONG_STATE, "another authority")
    same(t.ok(GetData(Tag.AUTHORITY_CERTIFICATE)), right.to_bytes(), "7F23")


@requirement(
    "PER-06", "The operator certificate is verified against the trust anchor: 69EB.", APDU, _STORE, stage=Stage.BLANK
)
def operator(t: Bench) -> None:
    """A foreign operator, a SAM's certificate, the right one with a bit of its signature changed."""
    t.tap()
    right = t.lab.operator.certificate.to_bytes()
    with t.channel() as send:
        store(send, objects(papers(t, send)), Store.AUTHORITY_CERTIFICATE)
        target = Store.OPERATOR_CERTIFICATE
        refused(send, target, t.lab.foreign_operator.certificate.to_bytes(), Refused.CERTIFICATE, "foreign")
        refused(send, target, t.lab.sam.certificate.to_bytes(), Refused.CERTIFICATE, "a SAM's")
        refused(send, target, right[:-1] + bytes((right[-1] ^ 1,)), Refused.CERTIFICATE, "damaged")


@requirement(
    "PER-07",
    "The purse certificate certifies the card's own key, as a hard wallet or merchant purse: 69EB.",
    APDU,
    _STORE,
    stage=Stage.BLANK,
)
def own_certificate(t: Bench) -> None:
    """Another key; this key as a till; this key under an operator that the card has not."""
    t.tap()
    with t.channel() as send:
        content, key = objects(papers(t, send)), asked(send, bytes(32)).key
        store(send, content, Store.AUTHORITY_CERTIFICATE, Store.OPERATOR_CERTIFICATE)
        target = Store.PURSE_CERTIFICATE
        as_till = _unsigned(t, key, CertificateClass.TILL).signed_by(t.lab.operator.key)
        foreign = replace(_unsigned(t, key, CertificateClass.HARD_WALLET), issuer=t.lab.second_operator.id)
        refused(send, target, t.lab.card.certificate.to_bytes(), Refused.CERTIFICATE, "another key")
        refused(send, target, as_till.to_bytes(), Refused.CERTIFICATE, "a till")
        by_another = foreign.signed_by(t.lab.second_operator.key).to_bytes()
        refused(send, target, by_another, Refused.CERTIFICATE, "another operator")


def _unsigned(t: Bench, key: PublicKey, subject_class: CertificateClass) -> Certificate:
    own = t.lab.card.certificate
    return replace(own, key=key, subject_class=subject_class, signature=b"")


@requirement(
    "PER-08", "The policy is the operator's, and for this class of purse: 69EA, 69EC.", APDU, _STORE, stage=Stage.BLANK
)
def policy(t: Bench) -> None:
    """A policy that another key has signed; one of another operator; one for another class of purse."""
    t.tap()
    with t.channel() as send:
        content = objects(papers(t, send))
        own = CertificateClass(asked(send, bytes(32)).subject_class)
        before = (Store.AUTHORITY_CERTIFICATE, Store.OPERATOR_CERTIFICATE, Store.PURSE_CERTIFICATE)
        store(send, content, *before)
        right, lab = t.lab.policy(own), t.lab
        refused(send, Store.POLICY, lab.second_operator.sign(right), Refused.SIGNATURE, "forged")
        other = lab.second_operator.sign(replace(right, operator=lab.second_operator.id))
        refused(send, Store.POLICY, other, Refused.WRONG_PURSE, "another operator")
        tills = lab.operator.sign(replace(right, purse_class=CertificateClass.TILL))
        refused(send, Store.POLICY, tills, Refused.WRONG_PURSE, "another class")


@requirement("PER-09", "A PIN that is no block of format 2 is 6A80.", APDU, "VERIFY", stage=Stage.BLANK)
def pin(t: Bench) -> None:
    """Format 1 and three digits, through STORE DATA."""
    t.tap()
    with t.channel() as send:
        for block in (b"\x16" + pin_block(PIN)[1:], bytes.fromhex("23123FFFFFFFFFFF")):
            refused(send, Store.PIN, block, Refused.MALFORMED, "no PIN")


@requirement("PER-10", "PERSONALISE END wants all six objects: 6985.", APDU, _STORE, stage=Stage.BLANK)
def incomplete(t: Bench) -> None:
    """PERSONALISE END before the audit key is stored."""
    t.tap()
    with t.channel() as send:
        content = objects(papers(t, send))
        for target in list(Store)[:-1]:
            store(send, content, target)
            word(send(PersonaliseEnd()), Refused.WRONG_STATE, of=f"PERSONALISE END after {target.name}")
    same(t.fci().lifecycle, 0, "C0")


@requirement(
    "PER-11", "While the card is blank an object but the trust anchor may be replaced.", APDU, _STORE, stage=Stage.BLANK
)
def replaced(t: Bench) -> None:
    """Operator certificate, PIN and audit key replaced, and replaced again by the right ones."""
    t.tap()
    renewed = t.lab.variant(t.lab.operator, t.lab.authority, expires=3_000_000_000).certificate.to_bytes()
    with t.channel() as send:
        content = objects(papers(t, send))
        store(send, content, Store.AUTHORITY_CERTIFICATE, Store.OPERATOR_CERTIFICATE)
        word(send(StoreData(Store.OPERATOR_CERTIFICATE, renewed)), SW.OK, of="STORE DATA of a renewed operator")
        word(send(StoreData(Store.PIN, pin_block("1111"))), SW.OK, of="STORE DATA of another PIN")
        word(send(StoreData(Store.AUDIT_KEY, bytes(16))), SW.OK, of="STORE DATA of another audit key")
        store(send, content, Store.OPERATOR_CERTIFICATE, Store.PIN, Store.AUDIT_KEY)
    same(t.ok(GetData(Tag.OPERATOR_CERTIFICATE)), content[Store.OPERATOR_CERTIFICATE], "7F22")


@requirement("PER-12", "The epoch of the purse certificate becomes the purse's.", APDU, _STORE, stage=Stage.BLANK)
def epoch(t: Bench) -> None:
    """Certificates of epoch 7, then of epoch 1: C2 of SELECT."""
    for wanted in (7, 1):
        t.tap()
        with t.channel() as send:
            content = objects(papers(t, send, epoch=wanted))
            store(send, content, *(Store(number) for number in (1, 2, 3)))
        same(t.fci().epoch, wanted, "C2")


@requirement(
    "PER-13",
    "PERSONALISE END verifies once more that the objects belong together: 6985.",
    APDU,
    _STORE,
    stage=Stage.BLANK,
)
def belong_together(t: Bench) -> None:
    """All six, then the operator certificate replaced by another operator's: 6985."""
    t.tap()
    with t.channel() as send:
        content = objects(papers(t, send))
        store(send, content, *Store)
        other = t.lab.second_operator.certificate.to_bytes()
        word(send(StoreData(Store.OPERATOR_CERTIFICATE, other)), SW.OK, of="STORE DATA of another operator")
        ended = send(PersonaliseEnd())
        if ended.sw != SW.OK:
            store(send, content, Store.OPERATOR_CERTIFICATE)
    word(ended, Refused.WRONG_STATE, of="PERSONALISE END")


@requirement("PER-14", "No step of the life cycle is skipped: 6985.", TRANSFER, _LIFE, stage=Stage.BLANK)
def no_step_skipped(t: Bench) -> None:
    """ACTIVATE and DEACTIVATE on a blank card."""
    t.tap()
    with t.channel() as send:
        for command in (Activate(), Deactivate()):
            word(send(command), Refused.WRONG_STATE, of=command.NAME)
    same(t.fci().lifecycle, 0, "C0")


@requirement("PER-15", "A blank card pays, asks and verifies nothing: 6985.", APDU, "Commands", stage=Stage.BLANK)
def blank_refuses(t: Bench) -> None:
    """Every plain command of the purse but SELECT and GET DATA."""
    t.tap()
    _refuses_all(t)


def _refuses_all(t: Bench) -> None:
    """Every plain command of the purse, with as many zeros as it has bytes; VERIFY with a PIN."""
    for kind, size in LENGTHS:
        if kind is not Verify:
            command = CommandApdu(kind.CLA, kind.INS, kind.P1 or 0, kind.P2 or 0, bytes(size), 256 * kind.ANSWERS)
            word(t.connection.send(command), Refused.WRONG_STATE, of=kind.NAME)
    t.refused(Verify(pin_block(PIN)), Refused.WRONG_STATE)


@requirement(
    "PER-16",
    "PERSONALISE END makes a blank card a personalised one; again it is 9000.",
    APDU,
    "Commands",
    stage=Stage.PERSONALISED,
)
def personalised(t: Bench) -> None:
    """C0 is 1; PERSONALISE END once more."""
    t.tap()
    same(t.fci().lifecycle, 1, "C0")
    t.through_channel(PersonaliseEnd())
    same(t.fci().lifecycle, 1, "C0 afterwards")


@requirement(
    "PER-17",
    "A personalised card pays, asks and verifies nothing, and stores nothing: 6985.",
    APDU,
    "Commands",
    stage=Stage.PERSONALISED,
)
def personalised_refuses(t: Bench) -> None:
    """Every plain command of the purse; STORE DATA of a PIN, GENERATE KEY PAIR, DEACTIVATE through the channel."""
    t.tap()
    _refuses_all(t)
    with t.channel() as send:
        for command in (StoreData(Store.PIN, pin_block("1111")), GenerateKeyPair(bytes(32)), Deactivate()):
            word(send(command), Refused.WRONG_STATE, of=command.NAME)


@requirement("PER-18", "ACTIVATE makes a personalised card an active one; again it is 9000.", APDU, "Commands")
def active(t: Bench) -> None:
    """C0 is 2; ACTIVATE once more."""
    same(t.fci().lifecycle, 2, "C0")
    t.through_channel(Activate())
    same(t.fci().lifecycle, 2, "C0 afterwards")


@requirement("PER-19", "Commands of personalisation are 6985 outside their life-cycle state.", APDU, _STORE)
def too_late(t: Bench) -> None:
    """STORE DATA of every object but the policy, GENERATE KEY PAIR and PERSONALISE END on an active card."""
    certificate = bytes(CERTIFICATE_SIZE)
    contents = ((1, certificate), (2, certificate), (3, certificate), (5, pin_block("1111")), (6, bytes(16)))
    with t.channel() as send:
        for target, content in contents:
            refused(send, Store(target), content, Refused.WRONG_STATE, "on an active card")
        for command in (GenerateKeyPair(bytes(32)), PersonaliseEnd()):
            word(send(command), Refused.WRONG_STATE, of=command.NAME)


untestable(
    "PER-20",
    "A card of a production profile refuses keys with the test mark.",
    CDDL,
    "certificate-claims",
    "The suite examines test cards only, and has no certificates but those with the mark.",
)
untestable(
    "PER-21",
    "GENERATE KEY PAIR for suite 2 is answered by a card that has it, and is 6A86 from any other.",
    APDU,
    "Commands",
    "A card keeps the suite of its first key pair, and the laboratory's is suite 1: to ask would spoil the card.",
)
