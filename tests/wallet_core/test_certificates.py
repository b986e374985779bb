"""Certificates: one layout of 227 bytes; cut, flipped, re-labelled and re-signed ones are refused or are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.keys import AUTHORITY, CARD, EXPIRES, NOT_BEFORE, OPERATOR, PARTIES, TILL, Party, certify
from support.samples import SAMPLES
from wallet_core import codec
from wallet_core.certificates import ISSUER_OF, PAYLOAD_SIZE, Certificate, CertificateClass
from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError, CodecError, OutOfRangeError, WrongTypeError
from wallet_core.ids import COUNTER_MAX

DATA = CARD.certificate.to_bytes()
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("party", PARTIES, ids=lambda party: party.name)
def test_there_and_back(party: Party) -> None:
    data = party.certificate.to_bytes()
    assert len(data) == 227
    read = Certificate.from_bytes(data)
    assert read == party.certificate
    assert read.to_bytes() == data
    assert read.subject == party.id
    assert read.hash == party.certificate.hash
    issuer = AUTHORITY if read.issuer == AUTHORITY.id else OPERATOR
    read.verify_signature(issuer.key.public)


def test_it_is_a_cwt() -> None:
    """RFC 8392 with a confirmation key (RFC 8747, clause 3.2) and typ (RFC 9596)."""
    envelope = Sign1.from_bytes(DATA, max_size=300)
    assert codec.decode(envelope.protected, max_size=300) == {1: -7, 4: OPERATOR.id, 16: 61}
    assert len(envelope.payload) == PAYLOAD_SIZE == 113
    public = CARD.key.public
    assert codec.decode(envelope.payload, max_size=300) == {
        4: EXPIRES,
        5: NOT_BEFORE,
        8: {1: {1: 2, -1: 1, -2: public.x, -3: public.y}},
        -70001: 3,
        -70002: 1,
        -70003: bytes((0, 0, 0, 1)),
    }


def test_cut_at_every_byte() -> None:
    for end in range(len(DATA)):
        with pytest.raises(CodecError):
            Certificate.from_bytes(DATA[:end])


@pytest.mark.parametrize("more", [b"\0", bytes(300), DATA])
def test_longer(more: bytes) -> None:
    with pytest.raises(CodecError):
        Certificate.from_bytes(DATA + more)


def test_each_bit_counts() -> None:
    """A flipped bit is refused by the codec, or the certificate is another one and its signature fails."""
    outcomes = {"codec": 0, "signature": 0}
    for bit in range(8 * len(DATA)):
        changed = bytearray(DATA)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            read = Certificate.from_bytes(bytes(changed))
        except CodecError:
            outcomes["codec"] += 1
            continue
        assert read.to_bytes() == bytes(changed)
        with pytest.raises(BadSignatureError):
            read.verify_signature(OPERATOR.key.public)
        outcomes["signature"] += 1
    variable = 32 + 4 + 4 + 64 + 4 + 64  # issuer, dates, key, epoch, signature
    assert outcomes["signature"] <= 8 * (variable + 2)
    assert outcomes["signature"] > 8 * 32 * 5
    assert sum(outcomes.values()) == 8 * 227


def test_every_value_of_the_class_byte() -> None:
    at = DATA.index(bytes.fromhex("3a00011170")) + 5
    accepted = []
    for value in range(256):
        try:
            accepted.append(Certificate.from_bytes(DATA[:at] + bytes((value,)) + DATA[at + 1 :]).subject_class)
        except CodecError:
            continue
    assert accepted == list(CertificateClass)


def test_the_other_form_of_the_signature_is_the_same_certificate() -> None:
    s = int.from_bytes(CARD.certificate.signature[32:], "big")
    other = replace(CARD.certificate, signature=CARD.certificate.signature[:32] + (ORDER - s).to_bytes(32, "big"))
    assert other.to_bytes() != DATA
    assert other.hash == CARD.certificate.hash
    Certificate.from_bytes(other.to_bytes()).verify_signature(OPERATOR.key.public)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_message_is_no_certificate(sample: Any) -> None:
    data = sample.signed.to_bytes()
    with pytest.raises(CodecError) as caught:
        Certificate.from_bytes(data)
    if len(data) <= 512:
        assert isinstance(caught.value, WrongTypeError)


def test_signed_by_another_key() -> None:
    with pytest.raises(BadSignatureError):
        CARD.certificate.verify_signature(AUTHORITY.key.public)
    forged = replace(CARD.certificate, signature=TILL.certificate.signature)
    with pytest.raises(BadSignatureError):
        forged.verify_signature(OPERATOR.key.public)
    with pytest.raises(BadSignatureError):
        replace(CARD.certificate, signature=b"").verify_signature(OPERATOR.key.public)


def test_a_signer_whom_the_certificate_does_not_name() -> None:
    """The authority really signed this, but it says that the operator did."""
    bare = replace(CARD.certificate, signature=b"")
    signed = bare.to_bytes()
    structure = Sign1.from_bytes(signed, max_size=512).signed_bytes
    posing = replace(bare, signature=AUTHORITY.key.sign(structure))
    AUTHORITY.key.public.verify(posing.signature, structure)
    with pytest.raises(BadSignatureError):
        posing.verify_signature(AUTHORITY.key.public)


def unsigned(**changes: Any) -> Certificate:
    return replace(CARD.certificate, signature=b"", **changes)


@pytest.mark.parametrize(
    "certificate",
    [
        unsigned(issuer=AUTHORITY.id),
        unsigned(issuer=OPERATOR.id[:-1]),
        unsigned(issuer=b""),
        unsigned(not_before=65535),
        unsigned(not_before=0),
        unsigned(not_before=-1),
        unsigned(not_before=EXPIRES),
        unsigned(not_before=EXPIRES + 1),
        unsigned(expires=2**32),
        unsigned(epoch=-1),
        unsigned(epoch=COUNTER_MAX + 1),
    ],
)
def test_what_nobody_signs(certificate: Certificate) -> None:
    with pytest.raises(OutOfRangeError):
        certificate.signed_by(OPERATOR.key)


def test_limits_of_dates_and_epoch() -> None:
    wide = certify(
        OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, not_before=2**16, expires=2**32 - 1, epoch=COUNTER_MAX
    )
    assert Certificate.from_bytes(wide.to_bytes()) == wide


def test_signing_leaves_the_unsigned_one_alone() -> None:
    bare = unsigned()
    signed = bare.signed_by(OPERATOR.key)
    assert bare.signature == b""
    assert signed == CARD.certificate
    assert bare.hash == signed.hash


def test_who_certifies_whom() -> None:
    assert set(ISSUER_OF) == set(CertificateClass)
    assert {one for one in CertificateClass if ISSUER_OF[one] is CertificateClass.AUTHORITY} == {
        CertificateClass.AUTHORITY,
        CertificateClass.OPERATOR,
    }
    assert set(ISSUER_OF.values()) == {CertificateClass.AUTHORITY, CertificateClass.OPERATOR}


def test_what_is_a_purse() -> None:
    assert {one.name for one in CertificateClass if one.is_purse} == {"OPERATOR_PURSE", "HARD_WALLET", "MERCHANT_PURSE"}
