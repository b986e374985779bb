"""Historical bytes and card capabilities out of an ATR, and out of what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.atr import CardCapabilities, card_capabilities, historical_bytes

SILENT = CardCapabilities(chaining=True, extended=False)


@pytest.mark.parametrize(
    ("atr", "history", "capabilities"),
    [
        # Built by hand after ISO/IEC 7816-3 clause 8.2 and 7816-4 clause 12.1.1.
        ("3B00", "", SILENT),
        ("3B0280C1", "80C1", SILENT),
        ("3B85800180730000C0A1", "80730000C0", CardCapabilities(chaining=True, extended=True)),
        ("3B8580018073000040A1", "8073000040", CardCapabilities(chaining=False, extended=True)),
        ("3B08007300008000009000", "0073000080000090"[:16], CardCapabilities(chaining=True, extended=False)),
        ("3BF51100FF8131FE45" + "8073000040" + "00", "8073000040", CardCapabilities(chaining=False, extended=True)),
        ("3B0480720000", "80720000", SILENT),
        ("3B05FF730000C0", "FF730000C0", SILENT),
    ],
)
def test_capabilities(atr: str, history: str, capabilities: CardCapabilities) -> None:
    raw = bytes.fromhex(atr)
    assert historical_bytes(raw).hex().upper() == history
    assert card_capabilities(raw) == capabilities


@pytest.mark.parametrize("atr", ["", "3B", "3B05", "3B8F80", "3BFF", "3B8580018073"])
def test_an_atr_that_ends_too_soon_says_nothing(atr: str) -> None:
    assert card_capabilities(bytes.fromhex(atr)) == SILENT


@given(st.binary(max_size=40))
def test_any_bytes_are_read_without_an_error(atr: bytes) -> None:
    assert len(historical_bytes(atr)) in {0, atr[1] & 0x0F if len(atr) > 1 else 0}
