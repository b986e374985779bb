"""Command and response APDUs, short and extended (ISO/IEC 7816-4:2020, clauses 5.1 and 5.2).

    case   body                          short            extended
    1      none                          1                (same bytes)
    2      Le                            2S  Le           2E  00 Le Le
    3      Lc data                       3S  Lc data      3E  00 Lc Lc data
    4      Lc data Le                    4S  Lc data Le   4E  00 Lc Lc data Le Le

Nc is the number of bytes in the command data field, Ne the largest number of bytes expected in the response data
field. An Le field of zeros means the maximum: Ne = 256 (short) or 65,536 (extended).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wallet_core.errors import NotCanonicalError, OutOfRangeError, OversizedError, TruncatedError

HEADER: Final = 4
"""Bytes of CLA, INS, P1 and P2."""
MAX_SHORT_NC: Final = 255
MAX_SHORT_NE: Final = 256
MAX_EXTENDED_NC: Final = 65_535
MAX_EXTENDED_NE: Final = 65_536
MAX_COMMAND: Final = HEADER + 3 + MAX_EXTENDED_NC + 2
"""Longest command APDU, case 4E, in bytes."""
MAX_RESPONSE: Final = MAX_EXTENDED_NE + 2
"""Longest response APDU, status word included, in bytes."""


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """One command: header, command data field (Nc = `len(data)`) and Ne (0: no response data field is expected).

    Raises OutOfRangeError when a header byte is not a byte, or Nc or Ne is beyond what the extended form can say.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    ne: int = 0

    def __post_init__(self) -> None:
        if (self.cla | self.ins | self.p1 | self.p2) & ~0xFF:
            raise OutOfRangeError("CLA, INS, P1 and P2 are one byte each")
        if len(self.data) > MAX_EXTENDED_NC:
            raise OutOfRangeError(f"a command carries at most {MAX_EXTENDED_NC} bytes of data, not {len(self.data)}")
        if not 0 <= self.ne <= MAX_EXTENDED_NE:
            raise OutOfRangeError(f"Ne is 0..{MAX_EXTENDED_NE}, not {self.ne}")

    @property
    def fits_short(self) -> bool:
        """Whether the short form can say Nc and Ne."""
        return len(self.data) <= MAX_SHORT_NC and self.ne <= MAX_SHORT_NE

    @property
    def header(self) -> bytes:
        return bytes((self.cla, self.ins, self.p1, self.p2))

    def to_bytes(self, extended: bool | None = None) -> bytes:
        """Encodes the command; `extended=None` takes the short form where it fits.

        Raises OutOfRangeError when `extended=False` and Nc or Ne do not fit.
        """
        if extended is None:
            extended = not self.fits_short
        if extended:
            return self._extended()
        if not self.fits_short:
            raise OutOfRangeError(f"Nc {len(self.data)} and Ne {self.ne} do not fit a short APDU")
        lc = bytes((len(self.data),)) + self.data if self.data else b""
        le = bytes((self.ne & 0xFF,)) if self.ne else b""
        return self.header + lc + le

    def _extended(self) -> bytes:
        if not self.data and not self.ne:
            return self.header
        lc = b"\0" + len(self.data).to_bytes(2, "big") + self.data if self.data else b""
        le = (self.ne & 0xFFFF).to_bytes(2, "big") if self.ne else b""
        # In case 2E the Le field has three bytes, in case 4E the Lc field already carries the leading zero.
        return self.header + (lc or b"\0") + le

    @classmethod
    def from_bytes(cls, raw: bytes) -> CommandApdu:
        """Parses a command APDU of any case.

        Raises TruncatedError (ends too soon), OversizedError (bytes left over) or NotCanonicalError (extended Lc of 0).
        """
        if len(raw) < HEADER:
            raise TruncatedError(f"a command APDU has at least {HEADER} bytes, not {len(raw)}")
        head, body = raw[:HEADER], raw[HEADER:]
        if not body:
            data, ne = b"", 0
        elif len(body) == 1:
            data, ne = b"", body[0] or MAX_SHORT_NE
        elif body[0]:
            data, ne = _split(body[1:], body[0], le_size=1)
        elif len(body) == 2:
            raise TruncatedError("an extended Le or Lc field has three bytes")
        else:
            length = int.from_bytes(body[1:3], "big")
            if len(body) == 3:
                data, ne = b"", length or MAX_EXTENDED_NE
            elif not length:
                raise NotCanonicalError("an extended Lc field says 0")
            else:
                data, ne = _split(body[3:], length, le_size=2)
        return cls(head[0], head[1], head[2], head[3], data, ne)


def _split(rest: bytes, nc: int, le_size: int) -> tuple[bytes, int]:
    """Takes Nc bytes of data and the Le field, if there is one, from what follows Lc."""
    if len(rest) < nc:
        raise TruncatedError(f"Lc says {nc} bytes of data, {len(rest)} follow")
    tail = rest[nc:]
    if not tail:
        return rest, 0
    if len(tail) < le_size:
        raise TruncatedError(f"an Le field of {le_size} bytes ends after {len(tail)}")
    if len(tail) > le_size:
        raise OversizedError(f"{len(tail) - le_size} bytes follow the Le field")
    return rest[:nc], int.from_bytes(tail, "big") or 1 << (8 * le_size)


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """One response: the response data field and the status word SW1-SW2 (0x6000..0x9FFF, ISO/IEC 7816-4 clause 5.6).

    Raises OutOfRangeError for another status word or more than 65,536 bytes of data.
    """

    data: bytes
    sw: int

    def __post_init__(self) -> None:
        if not 0x6000 <= self.sw <= 0x9FFF:
            raise OutOfRangeError(f"{self.sw:04X} is no status word: SW1 is 6X or 9X")
        if len(self.data) > MAX_EXTENDED_NE:
            raise OutOfRangeError(f"a response carries at most {MAX_EXTENDED_NE} bytes of data, not {len(self.data)}")

    @property
    def sw1(self) -> int:
        return self.sw >> 8

    @property
    def sw2(self) -> int:
        return self.sw & 0xFF

    def to_bytes(self) -> bytes:
        return self.data + self.sw.to_bytes(2, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> ResponseApdu:
        """Parses data and status word; raises TruncatedError below 2 bytes and OversizedError above 65,538."""
        if len(raw) < 2:
            raise TruncatedError(f"a response APDU has at least 2 bytes, not {len(raw)}")
        if len(raw) > MAX_RESPONSE:
            raise OversizedError(f"a response APDU has at most {MAX_RESPONSE} bytes, not {len(raw)}")
        return cls(raw[:-2], int.from_bytes(raw[-2:], "big"))
