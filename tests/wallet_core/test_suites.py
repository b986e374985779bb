"""Suites: one number fixes algorithm, header and sizes; any other number is refused."""

from __future__ import annotations

import pytest

from wallet_core import codec
from wallet_core.errors import UnknownSuiteError
from wallet_core.suites import Suite, profile


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
