"""The trust store beyond the golden chains: what it learns, remembers, and does not take from a stranger."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_AUTHORITY,
    FOREIGN_OPERATOR,
    MERCHANT_PURSE,
    NOT_BEFORE,
    NOW,
    OPERATOR,
    OPERATOR_PURSE,
    TILL,
    Party,
    certify,
    key,
    trust_store,
)
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    BadSignatureError,
    ExpiredCertificateError,
    TestKeyRefusedError,
    UntrustedCertificateError,
    VerificationError,
    WrongClassError,
)
from wallet_core.trust import TrustStore

DEVICES = (OPERATOR_PURSE, CARD, MERCHANT_PURSE, TILL)


def flipped(certificate: Certificate) -> Certificate:
    return replace(certificate, signature=bytes((certificate.signature[0] ^ 1,)) + certificate.signature[1:])


@pytest.mark.parametrize("party", [*DEVICES, OPERATOR, AUTHORITY], ids=lambda party: party.name)
def test_the_whole_family_is_believed(party: Party) -> None:
    store = trust_store()
    for _ in range(2):  # fresh, then remembered
        assert store.verify(party.certificate, now=NOW) is party.certificate
    assert store.verify(party.certificate, now=NOW, allowed=[party.certificate.subject_class]) is party.certificate


@pytest.mark.parametrize("party", DEVICES, ids=lambda party: party.name)
def test_a_class_that_may_not_do_this(party: Party) -> None:
    others = [one for one in CertificateClass if one is not party.certificate.subject_class]
    with pytest.raises(WrongClassError):
        trust_store().verify(party.certificate, now=NOW, allowed=iter(others))


@pytest.mark.parametrize(
    ("root", "error"),
    [
        (OPERATOR.certificate, UntrustedCertificateError),
        (CARD.certificate, UntrustedCertificateError),
        (certify(OPERATOR.key, AUTHORITY.key, CertificateClass.AUTHORITY), UntrustedCertificateError),
        (certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.OPERATOR), UntrustedCertificateError),
        (flipped(AUTHORITY.certificate), BadSignatureError),
    ],
    ids=["operator", "card", "not self-signed", "self-signed operator", "bad signature"],
)
def test_what_is_no_root(root: Certificate, error: type[VerificationError]) -> None:
    with pytest.raises(error):
        TrustStore(root, production=False)


@pytest.mark.parametrize(
    ("certificate", "error"),
    [
        (CARD.certificate, WrongClassError),
        (AUTHORITY.certificate, WrongClassError),
        (FOREIGN_OPERATOR.certificate, UntrustedCertificateError),
        (flipped(OPERATOR.certificate), UntrustedCertificateError),
        (replace(FOREIGN_OPERATOR.certificate, issuer=AUTHORITY.id), UntrustedCertificateError),
        (certify(OPERATOR.key, key("second operator"), CertificateClass.OPERATOR), UntrustedCertificateError),
        (certify(OPERATOR.key, OPERATOR.key, CertificateClass.OPERATOR), UntrustedCertificateError),
        (certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, test=False), UntrustedCertificateError),
        (certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.OPERATOR), UntrustedCertificateError),
    ],
    ids=[
        "card",
        "authority",
        "foreign",
        "flipped",
        "foreign, posing",
        "by operator",
        "by itself",
        "production under test",
        "the authority's key",
    ],
)
def test_what_is_not_learnt(certificate: Certificate, error: type[VerificationError]) -> None:
    store = trust_store()
    with pytest.raises(error):
        store.add_operator(certificate)
    assert store.operators == (OPERATOR.certificate,)
    assert store.verify(CARD.certificate, now=NOW) == CARD.certificate


def test_no_chain_is_longer_than_three() -> None:
    """An operator's operator is neither believed nor an issuer, whatever was verified before."""
    below = certify(OPERATOR.key, key("second operator"), CertificateClass.OPERATOR)
    device = certify(key("second operator"), CARD.key, CertificateClass.HARD_WALLET)
    store = trust_store()
    with pytest.raises(WrongClassError):
        store.verify(below, now=NOW)
    with pytest.raises(UntrustedCertificateError):
        store.add_operator(below)
    with pytest.raises(UntrustedCertificateError):
        store.verify(device, now=NOW)


@pytest.mark.parametrize("issuer", [CARD, TILL, OPERATOR_PURSE], ids=lambda party: party.name)
def test_a_device_certifies_nobody(issuer: Party) -> None:
    store = trust_store()
    store.verify(issuer.certificate, now=NOW)
    with pytest.raises(UntrustedCertificateError):
        store.verify(certify(issuer.key, key("somebody"), CertificateClass.HARD_WALLET), now=NOW)


@pytest.mark.parametrize("subject_class", list(CertificateClass), ids=lambda one: one.name)
def test_nothing_unsigned_about_the_authoritys_key_is_believed(subject_class: CertificateClass) -> None:
    """The authority's public key is known to all: a certificate that claims it proves nothing by itself."""
    for issuer in (AUTHORITY.id, OPERATOR.id, TILL.id):
        posing = Certificate(
            issuer=issuer,
            key=AUTHORITY.key.public,
            subject_class=subject_class,
            not_before=NOT_BEFORE,
            expires=EXPIRES - 7,
            test=True,
            epoch=1,
            signature=AUTHORITY.certificate.signature,
        )
        with pytest.raises(VerificationError):
            trust_store().verify(posing, now=NOW)


def test_the_authoritys_own_certificate_is_checked_too() -> None:
    with pytest.raises(UntrustedCertificateError):
        trust_store().verify(flipped(AUTHORITY.certificate), now=NOW)


def test_dates_are_checked_every_time() -> None:
    store = trust_store()
    store.verify(CARD.certificate, now=NOW)
    for moment in (NOT_BEFORE - 1, EXPIRES, 0, 2**40):
        with pytest.raises(ExpiredCertificateError):
            store.verify(CARD.certificate, now=moment)
    assert store.verify(CARD.certificate, now=EXPIRES - 1) == CARD.certificate


def test_a_renewed_operator_replaces_the_old_one() -> None:
    store = TrustStore(AUTHORITY.certificate, production=False)
    store.add_operator(certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, expires=NOW))
    with pytest.raises(ExpiredCertificateError):
        store.verify(CARD.certificate, now=NOW)
    store.add_operator(OPERATOR.certificate)
    assert store.operators == (OPERATOR.certificate,)
    assert store.verify(CARD.certificate, now=NOW) == CARD.certificate


def test_a_remembered_certificate_is_remembered_by_its_bytes() -> None:
    """A signature that was good once vouches for no other claims and no other signature."""
    store = trust_store()
    store.verify(CARD.certificate, now=NOW)
    for changed in (
        flipped(CARD.certificate),
        replace(CARD.certificate, epoch=2),
        replace(CARD.certificate, subject_class=CertificateClass.OPERATOR_PURSE),
        replace(CARD.certificate, key=TILL.key.public),
    ):
        with pytest.raises(UntrustedCertificateError):
            store.verify(changed, now=NOW)


def test_forgetting_changes_no_verdict() -> None:
    store = trust_store()
    store.verify(CARD.certificate, now=NOW)
    store.forget()
    assert store.verify(CARD.certificate, now=NOW) == CARD.certificate
    with pytest.raises(UntrustedCertificateError):
        store.verify(flipped(CARD.certificate), now=NOW)


def test_production_refuses_test_keys_anywhere() -> None:
    root = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, test=False)
    operator = certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, test=False)
    card = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, test=False)
    with pytest.raises(TestKeyRefusedError):
        TrustStore(AUTHORITY.certificate, production=True)
    store = TrustStore(root, production=True)
    with pytest.raises(TestKeyRefusedError):
        store.add_operator(OPERATOR.certificate)
    store.add_operator(operator)
    assert store.verify(card, now=NOW) == card
    for test_key in (CARD, TILL):
        with pytest.raises(TestKeyRefusedError):
            store.verify(test_key.certificate, now=NOW)


def test_a_foreign_authority_is_nobody() -> None:
    foreign = TrustStore(FOREIGN_AUTHORITY.certificate, production=False)
    foreign.add_operator(FOREIGN_OPERATOR.certificate)
    for party in (*DEVICES, OPERATOR, AUTHORITY):
        with pytest.raises(UntrustedCertificateError):
            foreign.verify(party.certificate, now=NOW)
