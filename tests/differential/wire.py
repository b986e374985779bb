"""One command as bytes on the wire: short, extended or chained, whole or maimed."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hardware.apdu import MAX_SHORT_NC, CommandApdu
from hardware.exchange import CHAINING_BIT
from wallet_core.errors import CodecError

_EDGES = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x20, 0x33, 0x40, 0x7F, 0x80, 0x84, 0xC0, 0xFE, 0xFF)
_INSTRUCTIONS = bytes.fromhex("04 20 30 32 34 36 38 3A 3C 3E 40 44 46 50 82 A4 C0 CA E2 E6 00 FF")
_CLASSES = bytes.fromhex("00 80 84 04 10 90 94 14 88 81 40 60 C0 A0 E0 FF")


def encode(command: CommandApdu, rng: Random) -> list[bytes]:
    """The command in one of the forms that say the same."""
    kind = rng.random()
    if kind < 0.06 or (kind < 0.45 and len(command.data) > MAX_SHORT_NC):
        return chain(command, rng)
    if kind < 0.15 or len(command.data) > MAX_SHORT_NC:
        return [command.to_bytes(extended=True)]
    return [command.to_bytes(extended=None)]


def chain(command: CommandApdu, rng: Random) -> list[bytes]:
    """Command chaining (ISO/IEC 7816-4, clause 5.3.3), cut at any places."""
    data, pieces = command.data, []
    while len(data) > MAX_SHORT_NC or (data and rng.random() < 0.4):
        size = rng.choice((1, 16, 100, 200, 255, 255, 255))
        pieces.append(replace(command, cla=command.cla | CHAINING_BIT, data=data[:size], ne=0))
        data = data[size:]
    last = replace(command, data=data, ne=min(command.ne, 256))
    return [one.to_bytes(extended=False) for one in (*pieces, last)]


def maim(raw: bytes, rng: Random) -> bytes:
    """One wrong thing: in the header, in a length, in the data."""
    kind = rng.randrange(9)
    try:
        command = CommandApdu.from_bytes(raw)
    except CodecError:
        return raw
    if kind == 0:
        at = rng.randrange(4)
        values = (_CLASSES, _INSTRUCTIONS, bytes(_EDGES), bytes(_EDGES))[at]
        return raw[:at] + bytes((rng.choice(values),)) + raw[at + 1 :]
    if kind == 1:
        return flip(raw, rng)
    if kind == 2:
        return raw[: rng.randrange(len(raw) + 1)]
    if kind == 3:
        return raw + rng.randbytes(rng.randint(1, 3))
    data, ne = command.data, command.ne
    if kind == 4 and data:
        data = flip(data, rng)
    elif kind == 5 and data:
        data = data[: rng.choice((0, 1, len(data) - 1, rng.randrange(len(data))))]
    elif kind == 6:
        data += rng.randbytes(rng.choice((1, 2, 16, 227)))
    elif kind == 7 and data:
        at = rng.randrange(len(data))
        data = data[:at] + bytes((rng.choice(_EDGES),)) + data[at + 1 :]
    else:
        ne = rng.choice((0, 1, 7, 8, 64, 200, 255, 256, 257, 65_535, 65_536))
    return replace(command, data=data, ne=ne).to_bytes()


def flip(data: bytes, rng: Random) -> bytes:
    """One bit is another."""
    at = rng.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << rng.randrange(8),)) + data[at + 1 :]


def rubbish(rng: Random) -> bytes:
    """Bytes that nobody made: any, or behind a plausible header."""
    size = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 37, 80, 261, 300))
    if rng.random() < 0.02:
        size = rng.choice((1200, 4100, 4200))
        body = rng.randbytes(size)
        header = bytes((rng.choice(_CLASSES), rng.choice(_INSTRUCTIONS), 0, 0))
        return header + b"\0" + size.to_bytes(2, "big") + body
    if rng.random() < 0.5:
        return rng.randbytes(size)
    header = bytes((rng.choice(_CLASSES), rng.choice(_INSTRUCTIONS), rng.choice(_EDGES), rng.choice(_EDGES)))
    if rng.random() < 0.5:
        return header + rng.randbytes(rng.randrange(3))
    body = rng.randbytes(rng.randrange(256))
    return header + bytes((len(body),)) + body
