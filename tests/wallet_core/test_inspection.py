"""Any message can be opened without being told its type; it is believed only with its signer's chain and class."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_CARD,
    FOREIGN_OPERATOR,
    FOREIGN_PARTIES,
    NOW,
    OPERATOR,
    OPERATOR_PURSE,
    PARTIES,
    TILL,
    Party,
    certify,
    party,
    trust_store,
)
from support.samples import (
    ANSWER,
    BATCH,
    CERTIFICATION_REQUEST,
    CLOSING,
    GRANT,
    ISSUANCE,
    ORDER,
    POLICY,
    REPORT,
    REVOCATIONS,
    SAMPLES,
    VOUCHER,
    Sample,
)
from support.vectors import vectors
from wallet_core import codec
from wallet_core.certificates import CertificateClass
from wallet_core.cose import Sign1
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    ExpiredCertificateError,
    MismatchError,
    TruncatedError,
    UntrustedCertificateError,
    WrongClassError,
    WrongTypeError,
)
from wallet_core.inspection import KINDS, open_message, verify
from wallet_core.messages import MessageType, Signed
from wallet_core.trust import TrustStore

every_message = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


@every_message
def test_opening(sample: Sample) -> None:
    opened = open_message(sample.signed.to_bytes())
    assert opened.name == type(sample.message).__name__
    assert opened.content == sample.signed
    assert opened.hash == sample.signed.hash
    assert list(opened.fields) == [field.name for field in fields(sample.message)]
    assert json.loads(json.dumps(opened.fields)) == opened.fields


@pytest.mark.parametrize("party", [*PARTIES, *FOREIGN_PARTIES], ids=lambda party: party.name)
def test_opening_a_certificate(party: Party) -> None:
    opened = open_message(party.certificate.to_bytes())
    assert opened.name == "Certificate"
    assert opened.content == party.certificate
    assert opened.fields["subject"] == party.id.hex()
    assert opened.fields["class"] == party.certificate.subject_class.name
    assert opened.fields["test"] is True


@every_message
def test_believing(sample: Sample) -> None:
    verify(open_message(sample.signed.to_bytes()), trust_store(), sample.signer.certificate, now=NOW)


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.name)
def test_believing_a_certificate(party: Party) -> None:
    verify(open_message(party.certificate.to_bytes()), trust_store(), None, now=NOW)


@pytest.mark.parametrize("message", [POLICY, ANSWER], ids=["policy", "answer"])
def test_the_store_knows_operator_and_authority(message: Any) -> None:
    verify(open_message(Signed.sign(message, OPERATOR.key).to_bytes()), trust_store(), None, now=NOW)
    verify(open_message(Signed.sign(ISSUANCE, AUTHORITY.key).to_bytes()), trust_store(), None, now=NOW)


@every_message
def test_another_signature(sample: Sample) -> None:
    forged = Signed.sign(sample.message, FOREIGN_CARD.key)
    with pytest.raises(BadSignatureError):
        verify(open_message(forged.to_bytes()), trust_store(), sample.signer.certificate, now=NOW)


def test_the_signers_certificate_is_needed() -> None:
    opened = open_message(Signed.sign(VOUCHER, CARD.key).to_bytes())
    for other in (None, TILL.certificate, FOREIGN_CARD.certificate):
        with pytest.raises(MismatchError) as caught:
            verify(opened, trust_store(), other, now=NOW)
        assert "--signer" in caught.value.next_step


@pytest.mark.parametrize(
    ("message", "signer"),
    [
        (replace(VOUCHER, payer=TILL.id), TILL),
        (replace(VOUCHER, payer=OPERATOR.id), OPERATOR),
        (replace(POLICY, operator=CARD.id), CARD),
        (replace(POLICY, operator=AUTHORITY.id), AUTHORITY),
        (replace(ISSUANCE, authority=OPERATOR.id), OPERATOR),
        (replace(BATCH, payee=CARD.id), CARD),
        (replace(ANSWER, operator=OPERATOR_PURSE.id), OPERATOR_PURSE),
        (replace(REPORT, purse=TILL.id), TILL),
        (replace(CLOSING, operator=TILL.id), TILL),
        (replace(REVOCATIONS, operator=AUTHORITY.id), AUTHORITY),
    ],
    ids=[
        "till pays",
        "operator pays",
        "card's policy",
        "authority's policy",
        "operator issues",
        "card deposits",
        "purse",
        "till reports",
        "till closes",
        "authority revokes",
    ],
)
def test_a_class_that_may_not_say_this(message: Any, signer: Party) -> None:
    signed = Signed.sign(message, signer.key)
    with pytest.raises(WrongClassError):
        verify(open_message(signed.to_bytes()), trust_store(), signer.certificate, now=NOW)


def test_a_foreign_signer() -> None:
    signed = Signed.sign(replace(VOUCHER, payer=FOREIGN_CARD.id), FOREIGN_CARD.key)
    with pytest.raises(UntrustedCertificateError):
        verify(open_message(signed.to_bytes()), trust_store(), FOREIGN_CARD.certificate, now=NOW)


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_voucher_of_another_epoch(epoch: int) -> None:
    """A purse that begins a new epoch counts anew: its old certificate says nothing about it."""
    signed = Signed.sign(replace(VOUCHER, epoch=epoch), CARD.key)
    with pytest.raises(MismatchError):
        verify(open_message(signed.to_bytes()), trust_store(), CARD.certificate, now=NOW)
    certified = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, epoch=epoch)
    verify(open_message(signed.to_bytes()), trust_store(), certified, now=NOW)


def test_an_expired_signer() -> None:
    expired = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, expires=NOW)
    opened = open_message(Signed.sign(VOUCHER, CARD.key).to_bytes())
    with pytest.raises(ExpiredCertificateError):
        verify(opened, trust_store(), expired, now=NOW)
    with pytest.raises(ExpiredCertificateError):
        verify(opened, trust_store(), CARD.certificate, now=EXPIRES)


def test_proof_of_possession() -> None:
    """A certification request needs no certificate: it is signed by the key that it carries."""
    verify(open_message(Signed.sign(CERTIFICATION_REQUEST, CARD.key).to_bytes()), trust_store(), None, now=NOW)
    with pytest.raises(BadSignatureError):
        verify(open_message(Signed.sign(CERTIFICATION_REQUEST, TILL.key).to_bytes()), trust_store(), None, now=NOW)


@every_message
def test_cut_at_every_byte(sample: Sample) -> None:
    data = sample.signed.to_bytes()
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            open_message(data[:end])


@pytest.mark.parametrize("payload", [{0: 15}, {0: 16}, {0: 0}, {0: None}, {0: "1"}, {}, {1: 1}, [], 0, None, ""])
def test_a_type_that_is_not_known(payload: Any) -> None:
    with pytest.raises(WrongTypeError):
        open_message(Sign1(bytes.fromhex("a10126"), codec.encode(payload), bytes(64)).to_bytes())


@pytest.mark.parametrize("protected", ["", "a0", "80", "00", "ff", "a2012610183d", "a10104"])
def test_a_header_that_is_not_known(protected: str) -> None:
    with pytest.raises(CodecError):
        open_message(Sign1(bytes.fromhex(protected), VOUCHER.to_payload(), bytes(64)).to_bytes())


@pytest.mark.parametrize(
    "vector", [v for v in vectors("negative.json") if v["stage"] == "parse"], ids=lambda vector: vector["name"]
)
def test_a_bad_message_is_not_opened_as_something_else(vector: dict[str, Any]) -> None:
    """What the receiver refuses, an inspector refuses too, unless it is a good message of another type."""
    data = bytes.fromhex(vector["cose"])
    try:
        opened = open_message(data)
    except CodecError:
        return
    assert vector["error"] == "wrong-type"
    assert opened.name != vector["read_as"]
    assert opened.content.to_bytes() == data


def test_every_type_of_this_version_can_be_opened() -> None:
    """A fraud proof alone is no signed message: wallet_core.fraud reads it."""
    assert set(KINDS) == set(MessageType) - {MessageType.FRAUD_PROOF}
    assert {type(sample.message) for sample in SAMPLES} == set(KINDS.values())


SECOND_OPERATOR = party("another operator", CertificateClass.OPERATOR, "authority")


@pytest.mark.parametrize("message", [ORDER, GRANT], ids=["order", "grant"])
def test_only_the_purses_own_operator_orders_and_grants(message: Any) -> None:
    """Neither names its signer: the issuer in the purse's certificate does."""
    good = open_message(Signed.sign(message, OPERATOR.key).to_bytes())
    for known in (None, CARD.certificate, OPERATOR.certificate):
        verify(good, trust_store(), known, now=NOW)
    forged = open_message(Signed.sign(message, SECOND_OPERATOR.key).to_bytes())
    store = trust_store()
    store.add_operator(SECOND_OPERATOR.certificate)
    verify(forged, store, None, now=NOW)  # by an operator: without the purse's certificate no more can be known
    with pytest.raises(BadSignatureError):
        verify(forged, store, CARD.certificate, now=NOW)
    for signer in (CARD, AUTHORITY, TILL):
        with pytest.raises(BadSignatureError):
            verify(
                open_message(Signed.sign(message, signer.key).to_bytes()), trust_store(), signer.certificate, now=NOW
            )


@pytest.mark.parametrize("message", [ORDER, GRANT], ids=["order", "grant"])
def test_an_order_without_an_operator_at_hand(message: Any) -> None:
    opened = open_message(Signed.sign(message, OPERATOR.key).to_bytes())
    store = TrustStore(AUTHORITY.certificate, production=False)
    for signer in (None, TILL.certificate):
        with pytest.raises(MismatchError) as caught:
            verify(opened, store, signer, now=NOW)
        assert "--trust" in caught.value.next_step
    verify(opened, store, OPERATOR.certificate, now=NOW)
    with pytest.raises(ExpiredCertificateError):
        verify(opened, trust_store(), None, now=EXPIRES)
    with pytest.raises(UntrustedCertificateError):
        verify(
            open_message(Signed.sign(message, FOREIGN_OPERATOR.key).to_bytes()),
            trust_store(),
            FOREIGN_OPERATOR.certificate,
            now=NOW,
        )


def test_a_report_of_another_epoch() -> None:
    signed = Signed.sign(replace(REPORT, epoch=2), CARD.key)
    with pytest.raises(MismatchError):
        verify(open_message(signed.to_bytes()), trust_store(), CARD.certificate, now=NOW)
