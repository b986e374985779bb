"""What a tap would take over the air: bytes counted, times from a formula and from published figures of real cards.

ISO/IEC 14443-4 carries an APDU in blocks of at most 256 bytes, each with 3 bytes around it (PCB, CRC); all but the last
block of a chain are acknowledged by a block of 3 bytes. A byte takes 85, 42.5, 21.2 or 10.6 µs at 106, 212, 424 or
848 kbit/s (ISO/IEC 14443-3: start bit, 8 bits, parity, stop). Nothing here is measured on a chip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

US_PER_BYTE: Final = {106: 85.0, 212: 42.5, 424: 21.2, 848: 10.6}
"""kbit/s → microseconds for a byte."""
BLOCK_SIZE: Final = 256
AROUND: Final = 3
TURN_MS: Final = 0.2
"""Both turns of the line, for each block and its answer."""
ACTIVATION_MS: Final = 10.0
"""From the field to the first command."""


@dataclass(frozen=True, slots=True)
class Published:
    """Milliseconds that published measurements give: reader for each exchange, P-256 on Java Cards."""

    reader: float
    sign: float
    verify: float


FAST: Final = Published(reader=1, sign=145, verify=138)
TYPICAL: Final = Published(reader=2, sign=160, verify=183)
SLOW: Final = Published(reader=3, sign=175, verify=228)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over the line: sizes in bytes of each command and its answer, headers and status words included."""

    exchanges: tuple[tuple[int, int], ...]
    signatures: int
    verifications: int = 0

    @property
    def bytes_out(self) -> int:
        return sum(command for command, _ in self.exchanges)

    @property
    def bytes_in(self) -> int:
        return sum(answer for _, answer in self.exchanges)

    @property
    def blocks(self) -> int:
        """Blocks with data, both ways."""
        return sum(_blocks(size) for pair in self.exchanges for size in pair)

    @property
    def acknowledgements(self) -> int:
        return sum(_blocks(size) - 1 for pair in self.exchanges for size in pair)

    def air_ms(self, kbit: int) -> float:
        """Time on the line at `kbit` per second."""
        carried = self.bytes_out + self.bytes_in + AROUND * (self.blocks + self.acknowledgements)
        turns = len(self.exchanges) + self.acknowledgements
        return carried * US_PER_BYTE[kbit] / 1000 + turns * TURN_MS

    def tap_ms(self, kbit: int, published: Published) -> float:
        """From the field to the voucher: activation, line, reader and the card's cryptography."""
        crypto = self.signatures * published.sign + self.verifications * published.verify
        return ACTIVATION_MS + self.air_ms(kbit) + len(self.exchanges) * published.reader + crypto


def _blocks(size: int) -> int:
    return -(-size // (BLOCK_SIZE - AROUND))
