"""Suites: one number fixes algorithm, header and sizes; any other number is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support import keys, suite2
from support.keys import NOW
from support.purses import OPEN_POLICY
from support.samples import VOUCHER, Sample
from wallet_core import codec
from wallet_core.certificates import CertificateClass
from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError, PurseRefusal, Refused, UnknownSuiteError, UsageError
from wallet_core.inspection import open_message, verify
from wallet_core.messages import Signed
from wallet_core.purse import receive
from wallet_core.purse.state import Lifecycle, PurseState
from wallet_core.suites import Suite, parse_suite, profile, profile_of


@pytest.mark.parametrize("suite", list(Suite))
def test_a_profile_is_consistent(suite: Suite) -> None:
    found = profile(suite)
    assert found.suite is suite
    assert codec.decode(found.protected, max_size=16) == {1: found.cose_alg}
    assert found.signature_size == 2 * found.coordinate_size


@pytest.mark.parametrize("number", [0, 3, 23, -1, 255])
def test_an_unknown_number(number: int) -> None:
    with pytest.raises(UnknownSuiteError):
        profile(number)


def test_numbers_are_for_ever() -> None:
    assert [(suite.name, suite.value) for suite in Suite] == [("ES256", 1), ("SM2", 2)]
    assert profile(1).protected == bytes.fromhex("a10126")
    assert profile(2).protected == bytes.fromhex("a1013a00010001")


@pytest.mark.parametrize("number", [1, 2])
def test_a_header_names_its_suite(number: int) -> None:
    assert profile_of(profile(number).protected).suite == number
    assert profile_of(b"\xa3" + profile(number).protected[1:] + b"\x04\x41\x00").suite == number


@pytest.mark.parametrize("name", ["es256", "SM2", "sm2", "ES256"])
def test_people_write_it_in_any_case(name: str) -> None:
    assert parse_suite(name).name == name.upper()


@pytest.mark.parametrize("name", ["", "sm3", "p-256", "1"])
def test_a_name_that_is_no_suite(name: str) -> None:
    with pytest.raises(UsageError):
        parse_suite(name)


@pytest.mark.parametrize("sample", suite2.SAMPLES, ids=lambda sample: sample.name)
def test_a_message_of_suite_2_is_opened_and_verified(sample: Sample) -> None:
    """As `ecny verify` does it, with the authority, the operator and the signer's certificate."""
    opened = open_message(sample.signed.to_bytes())
    assert (opened.fields["suite"], opened.hash) == (2, sample.signed.hash)
    signer = suite2.CARD.certificate if sample.name in ("grant", "reversal order") else sample.signer.certificate
    verify(opened, suite2.trust_store(), signer, now=NOW)


def test_a_key_signs_and_certifies_its_own_suite_only() -> None:
    with pytest.raises(BadSignatureError):
        Signed.sign(suite2.VOUCHER, keys.CARD.key)
    with pytest.raises(UnknownSuiteError):
        keys.certify(keys.OPERATOR.key, suite2.CARD.key, CertificateClass.HARD_WALLET)


def test_sm2_over_what_says_es256_is_no_signature() -> None:
    """The right key has signed just these bytes, which name another scheme: nobody may take them."""
    message = Signed(VOUCHER, suite2.CARD.key.sign(VOUCHER.signed_bytes))
    with pytest.raises(BadSignatureError, match="another suite"):
        message.verify(suite2.CARD.key.public)
    bare = replace(keys.CARD.certificate, issuer=suite2.OPERATOR.id)
    signed = Sign1.from_bytes(bare.to_bytes(), max_size=512).signed_bytes
    with pytest.raises(BadSignatureError):
        replace(bare, signature=suite2.OPERATOR.key.sign(signed)).verify_signature(suite2.OPERATOR.key.public)


def test_a_voucher_of_suite_1_does_not_answer_a_request_of_suite_2() -> None:
    """In the purse's own decision too, whatever checked it before."""
    policy = replace(OPEN_POLICY, suite=Suite.SM2)
    purse = PurseState(lifecycle=Lifecycle.ACTIVE)
    asked = receive.request(
        purse,
        suite2.CARD.id,
        policy,
        suite=Suite.SM2,
        payer=suite2.OPERATOR_PURSE.id,
        epoch=1,
        n=1,
        amount=100,
        order_hash=bytes(32),
    )
    assert isinstance(asked, receive.NewRequest)
    state = asked.commit(Signed.sign(asked.request, suite2.CARD.key).to_bytes())
    good = replace(suite2.LOAD_VOUCHER, k=1, amount=100, request_hash=asked.request.hash)
    classes: dict[str, Any] = {
        "own_class": CertificateClass.HARD_WALLET,
        "payer_class": CertificateClass.OPERATOR_PURSE,
    }
    with pytest.raises(PurseRefusal) as caught:
        receive.collect(state, suite2.CARD.id, replace(good, suite=Suite.ES256), **classes)
    assert caught.value.reason is Refused.REQUEST_CLOSED
    assert isinstance(receive.collect(state, suite2.CARD.id, good, **classes), receive.Credit)
