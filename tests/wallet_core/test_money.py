"""Money is a whole number of fen; text becomes money in one way only."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from wallet_core import money
from wallet_core.errors import OutOfRangeError, UsageError
from wallet_core.money import MAX_MINOR_UNITS, Currency, Money, fen

NO_AMOUNT = ["", " ", ".", ".5", "5.", "-1", "+1", "1.234", "1,000", "1 000", "1e3", "0x10", "01", "00.10", "RMB 5"]
NO_AMOUNT += ["nan", "inf", "٣", "１", "¥5", "1_000", "90071992547409.92", "999999999999999", "1" * 400, "1\x00"]


class Foreign(Enum):
    """A currency of tomorrow: there is only one today."""

    XXX = "XXX"


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0", 0),
        ("0.00", 0),
        ("0.01", 1),
        ("68", 6800),
        ("68.0", 6800),
        ("68.5", 6850),
        ("68.05", 6805),
        (" 68.00 \n", 6800),
        ("90071992547409.91", MAX_MINOR_UNITS),
    ],
)
def test_reading(text: str, minor: int) -> None:
    assert Money.parse(text) == fen(minor)


@pytest.mark.parametrize("text", NO_AMOUNT)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UsageError):
        Money.parse(text)


@pytest.mark.parametrize("minor", [-1, MAX_MINOR_UNITS + 1, 2**63])
def test_outside_its_limits(minor: int) -> None:
    with pytest.raises(OutOfRangeError):
        fen(minor)


@pytest.mark.parametrize("minor", [1.0, "1", True, None, 1j])
def test_only_whole_numbers(minor: Any) -> None:
    with pytest.raises(OutOfRangeError):
        fen(minor)


def test_sums() -> None:
    assert fen(432_00) + fen(68_00) == fen(500_00)
    assert fen(500_00) - fen(68_00) == fen(432_00)
    assert fen(MAX_MINOR_UNITS - 1) + fen(1) == fen(MAX_MINOR_UNITS)


def test_never_negative_and_never_too_much() -> None:
    with pytest.raises(OutOfRangeError):
        fen(1) - fen(2)
    with pytest.raises(OutOfRangeError):
        fen(MAX_MINOR_UNITS) + fen(1)


@pytest.mark.parametrize("operation", ["__mul__", "__truediv__", "__floordiv__", "__neg__", "__float__", "__int__"])
def test_there_is_no_arithmetic_beyond_sums(operation: str) -> None:
    assert not hasattr(fen(1), operation)


def test_order() -> None:
    assert fen(1) < fen(2) <= fen(2) < fen(3)
    assert fen(3) > fen(2) >= fen(2)
    assert sorted([fen(3), fen(1), fen(2)]) == [fen(1), fen(2), fen(3)]


def test_currencies_do_not_mix() -> None:
    other = Money(1, Foreign.XXX)  # type: ignore[arg-type]
    assert other != fen(1)
    for mixed in (lambda: fen(1) + other, lambda: fen(1) - other, lambda: fen(1) < other, lambda: other >= fen(1)):
        with pytest.raises(OutOfRangeError):
            mixed()


@pytest.mark.parametrize(
    ("minor", "text"),
    [(0, "RMB 0.00"), (5, "RMB 0.05"), (43200, "RMB 432.00"), (123456789, "RMB 1,234,567.89")],
)
def test_as_people_see_it(minor: int, text: str) -> None:
    assert str(fen(minor)) == text
    assert Currency.CNY.prefix == "RMB"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        fen(1).minor = 2  # type: ignore[misc]


def test_every_json_reader_keeps_the_greatest_amount_exact() -> None:
    assert int(float(MAX_MINOR_UNITS)) == MAX_MINOR_UNITS
    assert int(float(MAX_MINOR_UNITS + 2)) != MAX_MINOR_UNITS + 2
    assert money.MAX_MINOR_UNITS == 2**53 - 1
