"""Money: a whole number of minor units and its currency. No float, no negative, no multiplication."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import total_ordering

from wallet_core.errors import OutOfRangeError, UsageError

MAX_MINOR_UNITS = 2**53 - 1  # every JSON reader keeps such a number exact
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,13})(?:\.([0-9]{1,2}))?", re.ASCII)


class Currency(Enum):
    """Currencies by ISO 4217 code; the value is the prefix shown to people."""

    CNY = "RMB"

    @property
    def prefix(self) -> str:
        return self.value


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount of `minor` units (fen for CNY), 0 to 2**53 - 1."""

    minor: int
    currency: Currency = Currency.CNY

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise OutOfRangeError(f"money is a whole number of minor units, not {type(self.minor).__name__}")
        if not 0 <= self.minor <= MAX_MINOR_UNITS:
            raise OutOfRangeError(f"{self.minor} is outside 0 to {MAX_MINOR_UNITS}")

    @classmethod
    def parse(cls, text: str, currency: Currency = Currency.CNY) -> Money:
        """Read a decimal such as ``68`` or ``68.00``; raises UsageError for a sign, a third decimal, too much."""
        match = _DECIMAL.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is not an amount", next_step="Write it like 68.00, at most two decimals.")
        whole, cents = match.group(1), (match.group(2) or "").ljust(2, "0")
        minor = int(whole) * 100 + int(cents)
        if minor > MAX_MINOR_UNITS:
            raise UsageError(f"{text!r} is more than can be counted", next_step="Give a smaller amount.")
        return cls(minor, currency)

    def __str__(self) -> str:
        return f"{self.currency.prefix} {self.minor // 100:,}.{self.minor % 100:02d}"

    def _same(self, other: Money) -> None:
        if self.currency is not other.currency:
            raise OutOfRangeError(f"{self.currency.name} and {other.currency.name} do not add up")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.minor < other.minor


def fen(value: int) -> Money:
    """`value` fen of RMB."""
    return Money(value, Currency.CNY)
