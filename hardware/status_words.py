"""Status words: what a card's two last bytes mean (ISO/IEC 7816-4:2020, clause 5.6, tables 5 to 7).

The words with which a purse refuses are `wallet_core.errors.Refused`: their meaning is written there and nowhere else.
A promise holds for every card of this project: a word 64xx or 69xx, and every word in `Refused`, means that the card's
persistent memory is as it was before the command.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from wallet_core.errors import Refused


class SW(IntEnum):
    """Words of ISO/IEC 7816-4 and GlobalPlatform in use here; what a purse refuses with has Refused's value."""

    OK = 0x9000
    END_OF_DATA = 0x6282
    AUTHENTICATION_FAILED = 0x6300  # GlobalPlatform Card Specification 2.3.1, EXTERNAL AUTHENTICATE
    UNCHANGED_ERROR = 0x6400
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CHANNEL_NOT_SUPPORTED = 0x6881
    SECURE_MESSAGING_NOT_SUPPORTED = 0x6882
    LAST_COMMAND_OF_CHAIN_EXPECTED = 0x6883
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_STATUS_NOT_SATISFIED = Refused.PIN_REQUIRED.value
    METHOD_BLOCKED = Refused.PIN_BLOCKED.value
    REFERENCE_DATA_NOT_USABLE = 0x6984
    CONDITIONS_NOT_SATISFIED = Refused.WRONG_STATE.value
    COMMAND_NOT_ALLOWED = 0x6986
    SECURE_MESSAGING_OBJECT_WRONG = 0x6988
    APPLET_SELECT_FAILED = 0x6999
    WRONG_DATA = Refused.MALFORMED.value
    FUNCTION_NOT_SUPPORTED = 0x6A81
    FILE_NOT_FOUND = 0x6A82
    RECORD_NOT_FOUND = 0x6A83
    NO_SPACE = Refused.SLOTS_FULL.value
    INCORRECT_P1P2 = 0x6A86
    REFERENCE_NOT_FOUND = Refused.NOT_FOUND.value
    WRONG_P1P2 = 0x6B00
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    NO_PRECISE_DIAGNOSIS = 0x6F00


_WORDS: Final[dict[int, str]] = {
    SW.OK: "success",
    SW.END_OF_DATA: "end of data reached before Ne bytes",
    SW.AUTHENTICATION_FAILED: "authentication failed",
    SW.UNCHANGED_ERROR: "execution error, memory unchanged",
    SW.MEMORY_FAILURE: "memory failure",
    SW.WRONG_LENGTH: "wrong length",
    SW.CHANNEL_NOT_SUPPORTED: "logical channel not supported",
    SW.SECURE_MESSAGING_NOT_SUPPORTED: "secure messaging not supported",
    SW.LAST_COMMAND_OF_CHAIN_EXPECTED: "last command of the chain expected",
    SW.CHAINING_NOT_SUPPORTED: "command chaining not supported",
    SW.REFERENCE_DATA_NOT_USABLE: "reference data not usable",
    SW.COMMAND_NOT_ALLOWED: "command not allowed",
    SW.SECURE_MESSAGING_OBJECT_WRONG: "secure messaging data incorrect",
    SW.APPLET_SELECT_FAILED: "applet selection failed",
    SW.FUNCTION_NOT_SUPPORTED: "function not supported",
    SW.FILE_NOT_FOUND: "file or application not found",
    SW.RECORD_NOT_FOUND: "record not found",
    SW.INCORRECT_P1P2: "incorrect P1 or P2",
    SW.WRONG_P1P2: "wrong P1 or P2",
    SW.INS_NOT_SUPPORTED: "instruction not supported",
    SW.CLA_NOT_SUPPORTED: "class not supported",
    SW.NO_PRECISE_DIAGNOSIS: "no precise diagnosis",
}

_SW1_WORDS: Final[dict[int, str]] = {
    0x62: "warning, memory unchanged",
    0x63: "warning, memory changed",
    0x64: "execution error, memory unchanged",
    0x65: "execution error, memory changed",
    0x66: "security issue",
    0x67: "wrong length",
    0x68: "function in CLA not supported",
    0x69: "command not allowed",
    0x6A: "wrong parameters",
    0x6B: "wrong P1 or P2",
    0x6D: "instruction not supported",
    0x6E: "class not supported",
    0x6F: "no precise diagnosis",
}


def bytes_left(sw: int) -> int | None:
    """61xx: how many bytes GET RESPONSE can still fetch (1..256; 6100 means 256 or more). None for any other word."""
    return (sw & 0xFF) or 256 if sw >> 8 == 0x61 else None


def tries_left(sw: int) -> int | None:
    """63Cx: how many tries of the PIN are left (0..15). None for any other word."""
    return sw & 0x0F if sw & 0xFFF0 == 0x63C0 else None


def exact_length(sw: int) -> int | None:
    """6Cxx: the Ne with which the same command must be sent again (1..256). None for any other word."""
    return (sw & 0xFF) or 256 if sw >> 8 == 0x6C else None


def refusal(sw: int) -> Refused | None:
    """The purse's reason, if this word is one of its refusals."""
    try:
        return Refused(sw)
    except ValueError:
        return None


def memory_unchanged(sw: int) -> bool:
    """Whether this word promises persistent memory as it was before the command: 64xx, 69xx and every refusal."""
    return sw >> 8 in {0x64, 0x69} or refusal(sw) is not None


def describe(sw: int) -> str:
    """The meaning of a status word in a few words, for traces and messages; never empty."""
    reason = refusal(sw)
    if reason is not None:
        return "refused: " + reason.name.lower().replace("_", " ")
    if (left := bytes_left(sw)) is not None:
        return f"{left} bytes available"
    if (tries := tries_left(sw)) is not None:
        return f"wrong PIN, {tries or 'no'} {'try' if tries == 1 else 'tries'} left"
    if (exact := exact_length(sw)) is not None:
        return f"wrong Le, {exact} bytes are exact"
    if sw in _WORDS:
        return _WORDS[sw]
    return _SW1_WORDS.get(sw >> 8, "unknown status word")
