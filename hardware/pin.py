"""The PIN block that a card is given: ISO 9564-1 format 2, 8 bytes, `2L dd … FF`.

Format 2 carries no account number and no randomness: it is made for the short way into a card, never for a network.
"""

from __future__ import annotations

from typing import Final

from wallet_core.errors import OutOfRangeError, UsageError

PIN_BLOCK_SIZE: Final = 8
MIN_DIGITS: Final = 4
MAX_DIGITS: Final = 12
_FORMAT: Final = 0x20
_FILLER: Final = "f"


def pin_block(pin: str) -> bytes:
    """The block of a PIN of 4 to 12 decimal digits; raises UsageError, which never quotes the PIN."""
    if not (pin.isascii() and pin.isdecimal() and MIN_DIGITS <= len(pin) <= MAX_DIGITS):
        raise UsageError(
            f"a PIN has {MIN_DIGITS} to {MAX_DIGITS} digits", next_step="Write the PIN into a file, alone."
        )
    return bytes((_FORMAT | len(pin),)) + bytes.fromhex(pin.ljust(2 * (PIN_BLOCK_SIZE - 1), _FILLER))


def check_pin_block(block: bytes) -> bytes:
    """Return `block` if it is a PIN block of format 2; raises OutOfRangeError. What is no PIN cannot be a guess."""
    digits = block[0] & 0x0F if block else 0
    text = block[1:].hex()
    fits = (
        len(block) == PIN_BLOCK_SIZE
        and block[0] & 0xF0 == _FORMAT
        and MIN_DIGITS <= digits <= MAX_DIGITS
        and text[:digits].isdecimal()
        and not text[digits:].strip(_FILLER)
    )
    if not fits:
        raise OutOfRangeError("not a PIN block of ISO 9564-1 format 2")
    return block
