"""What an ATR says about the length of APDUs (ISO/IEC 7816-3 clause 8.2, ISO/IEC 7816-4 clause 12.1.1).

A hint only: a card may say nothing, and contactless readers make the ATR up. Nothing but the length of APDUs follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_COMPACT_TLV: Final = (0x00, 0x80)
"""Category indicators that announce compact-TLV data objects; after 0x00 three bytes of status end the list."""
_CARD_CAPABILITIES: Final = 0x7


@dataclass(frozen=True, slots=True)
class CardCapabilities:
    """What the card says that it understands (third software function table); a silent card: chaining, short APDUs."""

    chaining: bool = True
    extended: bool = False


def historical_bytes(atr: bytes) -> bytes:
    """The historical bytes (0..15) of an ATR; empty when there are none or the ATR ends too soon."""
    if len(atr) < 2:
        return b""
    count, announced, at = atr[1] & 0x0F, atr[1] >> 4, 2
    while announced:
        at += (announced & 0x7).bit_count()  # TAi, TBi, TCi
        if not announced & 0x8:
            break
        announced = atr[at] >> 4 if at < len(atr) else 0  # TDi announces the next group
        at += 1
    found = atr[at : at + count]
    return found if len(found) == count else b""


def card_capabilities(atr: bytes) -> CardCapabilities:
    """Reads the card capabilities object out of the historical bytes, if there is one."""
    history = historical_bytes(atr)
    if not history or history[0] not in _COMPACT_TLV:
        return CardCapabilities()
    objects = history[1:] if history[0] == 0x80 else history[1:-3]
    while objects:
        tag, length = objects[0] >> 4, objects[0] & 0x0F
        value, objects = objects[1 : 1 + length], objects[1 + length :]
        if tag == _CARD_CAPABILITIES and len(value) == 3:
            return CardCapabilities(chaining=bool(value[2] & 0x80), extended=bool(value[2] & 0x40))
    return CardCapabilities()
