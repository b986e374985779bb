"""A policy's numbers: what is unknown is refused, never guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from support.samples import POLICY
from wallet_core.certificates import CertificateClass
from wallet_core.errors import OutOfRangeError
from wallet_core.messages import Policy, SpendMode


@pytest.mark.parametrize("mode", list(SpendMode))
@pytest.mark.parametrize("purse_class", list(CertificateClass))
def test_what_is_known(mode: SpendMode, purse_class: CertificateClass) -> None:
    policy = replace(POLICY, mode=mode, purse_class=purse_class)
    assert Policy.from_payload(policy.to_payload()) == policy


@pytest.mark.parametrize(
    ("policy", "field", "value"),
    [
        (replace(POLICY, mode=0), "mode", 0),
        (replace(POLICY, mode=3), "mode", 3),
        (replace(POLICY, mode=23), "mode", 23),
        (replace(POLICY, purse_class=6), "purse_class", 6),
        (replace(POLICY, least_suite=0), "least_suite", 0),
    ],
)
def test_what_is_not_known(policy: Policy, field: str, value: int) -> None:
    with pytest.raises(OutOfRangeError):
        policy.to_payload()
    slot = next(slot for slot in Policy.layout().slots if slot.name == field)
    payload = POLICY.to_payload()
    with pytest.raises(OutOfRangeError):
        Policy.from_payload(payload[: slot.start] + bytes((value,)) + payload[slot.end :])


def test_a_least_suite_of_the_future_can_be_read() -> None:
    """It refuses every Request of today, which is what it is for."""
    policy = replace(POLICY, least_suite=2)
    assert Policy.from_payload(policy.to_payload()).least_suite == 2
