"""What ISO/IEC 14443 takes to carry bytes: frames of type A, delay times, chained blocks, waiting-time extensions.

All figures follow from the carrier fc = 13.56 MHz and the clauses of ISO/IEC 14443-3:2018 (frames, frame delay times,
activation) and 14443-4:2018 (RATS, PPS, blocks, FWT, S(WTX)). Sizes are bytes, times milliseconds.

    frame       start, 9 bits a byte (8 and odd parity), end; above 106 kbit/s the card's start is 32 subcarrier cycles
    I-block     PCB, information field, CRC (2): at most FSC bytes to the card, FSD from it
    chaining    every block but the last is acknowledged by an R-block (PCB, CRC)
    S(WTX)      4 bytes each way whenever the card computes past its frame waiting time
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from wallet_core.errors import OutOfRangeError

CARRIER_KHZ: Final = 13_560
DIVISORS: Final = {106: 1, 212: 2, 424: 4, 848: 8}
"""kbit/s → D: one bit lasts 128 / (D × fc)."""
FRAME_DELAY: Final = 1172 / CARRIER_KHZ
"""The least time between two frames, either way (14443-3, 6.2.1.1): about 0.086 ms."""
_SUBCARRIER_START: Final = 32 * 16 / CARRIER_KHZ
_BITS: Final = 9
_PROLOGUE_EPILOGUE: Final = 3  # PCB and CRC, without CID and NAD
_R_BLOCK: Final = 3
_WTX_BLOCK: Final = 4
_MAX_FSD: Final = 256
_MAX_FWI: Final = 14
_MAX_WTXM: Final = 59
_DATA_WAIT: Final = 4096 / CARRIER_KHZ  # FWT for FWI 0, and SFGT for SFGI 0


@dataclass(frozen=True, slots=True)
class Link:
    """One contactless link. `fsc`: bytes of a frame that the card takes, `fsd`: that the reader takes.

    `fwi`: the card's frame waiting time integer (FWT = 0.302 × 2^FWI ms).
    `wtxm`: how many times FWT one S(WTX) asks for. `cascade`: levels of the UID (2 for 7 bytes). `historical`: bytes
    of the ATS beyond TA, TB and TC. Raises OutOfRangeError for what no link has.
    """

    bitrate_kbps: int = 106
    fsc: int = 256
    fsd: int = 256
    fwi: int = 7
    wtxm: int = 1
    sfgi: int = 0
    cascade: int = 2
    historical: int = 10

    def __post_init__(self) -> None:
        if self.bitrate_kbps not in DIVISORS:
            raise OutOfRangeError(f"{self.bitrate_kbps} kbit/s is none of {', '.join(map(str, DIVISORS))}")
        if not (16 <= self.fsc <= _MAX_FSD and 16 <= self.fsd <= _MAX_FSD):
            raise OutOfRangeError("a frame has 16 to 256 bytes")
        if not (0 <= self.fwi <= _MAX_FWI and 0 <= self.sfgi <= _MAX_FWI and 1 <= self.wtxm <= _MAX_WTXM):
            raise OutOfRangeError("FWI and SFGI are 0 to 14, WTXM 1 to 59")
        if self.cascade not in (1, 2, 3):
            raise OutOfRangeError("a UID has 1 to 3 cascade levels")

    @property
    def fwt_ms(self) -> float:
        """How long the card may be silent before it must ask for more."""
        return _DATA_WAIT * (1 << self.fwi)


def frame_ms(size: int, bitrate_kbps: int, *, from_card: bool) -> float:
    """One standard frame of `size` bytes, CRC included."""
    bit = 128 / (DIVISORS[bitrate_kbps] * CARRIER_KHZ)
    start = _SUBCARRIER_START if from_card and bitrate_kbps != 106 else bit
    return start + size * _BITS * bit + bit


def activation_ms(link: Link) -> float:
    """REQA, anticollision and SELECT for each level, RATS, ATS, the start-up guard time, PPS: all at 106 kbit/s.

    Nothing before: how long the field stood and the reader polled is the reader's (`hardware.tap_model.taps`).
    """
    short_frame = 9 * 128 / CARRIER_KHZ  # start, 7 bits, end
    steps = [(short_frame, _at_106(2, from_card=True))]  # REQA, ATQA
    level = [
        (_at_106(2, from_card=False), _at_106(5, from_card=True)),  # ANTICOLLISION, UID part and BCC
        (_at_106(9, from_card=False), _at_106(3, from_card=True)),  # SELECT, SAK
    ]
    steps += level * link.cascade
    steps.append((_at_106(4, from_card=False), _at_106(5 + link.historical + 2, from_card=True)))  # RATS, ATS
    if link.bitrate_kbps != 106:
        steps.append((_at_106(5, from_card=False), _at_106(3, from_card=True)))  # PPS
    guard = _DATA_WAIT * (1 << link.sfgi)
    return sum(there + FRAME_DELAY + back + FRAME_DELAY for there, back in steps) + guard


def _at_106(size: int, *, from_card: bool) -> float:
    return frame_ms(size, 106, from_card=from_card)


def blocks(size: int, frame: int) -> int:
    """I-blocks that carry `size` bytes in frames of `frame` bytes; an empty field is a block, too."""
    return max(1, math.ceil(size / (frame - _PROLOGUE_EPILOGUE)))


def exchange_ms(link: Link, sent_bytes: int, received_bytes: int) -> float:
    """An APDU of `sent_bytes` and its answer on the line, without the card's own time: frames, delays, chaining."""
    return _chain_ms(link, sent_bytes, from_card=False) + _chain_ms(link, received_bytes, from_card=True)


def _chain_ms(link: Link, size: int, *, from_card: bool) -> float:
    """Blocks one way, each with the frame delay before it, and the R-blocks between them."""
    count = blocks(size, link.fsd if from_card else link.fsc)
    data = size + count * _PROLOGUE_EPILOGUE
    empty = frame_ms(0, link.bitrate_kbps, from_card=from_card)
    per_byte = frame_ms(1, link.bitrate_kbps, from_card=from_card) - empty
    acknowledged = frame_ms(_R_BLOCK, link.bitrate_kbps, from_card=not from_card) + FRAME_DELAY
    return count * (empty + FRAME_DELAY) + data * per_byte + (count - 1) * acknowledged


def extensions(link: Link, card_ms: float) -> int:
    """S(WTX) requests of a card that computes for `card_ms`: none within FWT, then one for each WTXM × FWT more."""
    over = card_ms - link.fwt_ms
    return math.ceil(over / (link.fwt_ms * link.wtxm)) if over > 0 else 0


def extension_ms(link: Link) -> float:
    """One S(WTX) request and its response on the line."""
    request = frame_ms(_WTX_BLOCK, link.bitrate_kbps, from_card=True)
    return request + frame_ms(_WTX_BLOCK, link.bitrate_kbps, from_card=False) + 2 * FRAME_DELAY
