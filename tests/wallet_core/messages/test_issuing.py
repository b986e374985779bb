"""Proof of possession and issuance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.keys import CARD, TILL
from support.samples import CERTIFICATION_REQUEST, ISSUANCE
from wallet_core.errors import BadSignatureError, OutOfRangeError
from wallet_core.messages import CertificationRequest, Issuance, Signed
from wallet_core.money import MAX_MINOR_UNITS


def test_a_request_is_signed_by_the_key_that_it_carries() -> None:
    signed = Signed.sign(CERTIFICATION_REQUEST, CARD.key)
    assert signed.message.key == CARD.key.public
    assert signed.verify(signed.message.key) == CERTIFICATION_REQUEST


def test_nobody_asks_for_another_key() -> None:
    stolen = Signed.sign(CERTIFICATION_REQUEST, TILL.key)
    with pytest.raises(BadSignatureError):
        stolen.verify(stolen.message.key)


def test_a_key_off_the_curve_possesses_nothing() -> None:
    request = replace(CERTIFICATION_REQUEST, y=CERTIFICATION_REQUEST.x)
    with pytest.raises(BadSignatureError):
        Signed.sign(request, CARD.key).verify(request.key)


@pytest.mark.parametrize("subject_class", [6, 23])
def test_a_class_that_is_not_known(subject_class: int) -> None:
    payload = CERTIFICATION_REQUEST.to_payload()
    slot = next(slot for slot in CertificationRequest.layout().slots if slot.name == "subject_class")
    with pytest.raises(OutOfRangeError):
        CertificationRequest.from_payload(payload[: slot.start] + bytes((subject_class,)) + payload[slot.end :])


def test_issuance_at_its_limits() -> None:
    for amount in (0, 1, MAX_MINOR_UNITS):
        issuance = replace(ISSUANCE, amount=amount)
        assert Issuance.from_payload(issuance.to_payload()).amount == amount
    with pytest.raises(OutOfRangeError):
        replace(ISSUANCE, amount=MAX_MINOR_UNITS + 1).to_payload()
