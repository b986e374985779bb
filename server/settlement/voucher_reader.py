"""Vouchers by fixed offsets: one unpack, one comparison of all constant runs, one hash. The hot path of a deposit.

A signed Voucher has one length, and everything between its fields is constant (`Voucher.layout()`), so that *the
constants are equal* means *canonical*. What does not pass is given to the general parser, which names the fault.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

from wallet_core.cose import Sign1, bstr, sig_structure
from wallet_core.errors import BadSignatureError, CodecError, UnknownSuiteError
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import DepositStatus, Voucher, parse
from wallet_core.messages.layout import Kind
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite, profile

_LAYOUT = Voucher.layout()
_PROFILE = profile(Suite.ES256)
_NUMBERS = {(Kind.UNSIGNED, 4): "I", (Kind.MONEY, 8): "Q", (Kind.SMALL, 1): "B"}


def _template() -> tuple[struct.Struct, tuple[bytes, ...], dict[str, int], int]:
    """Unpacker, constants (every second value), where each field is among the values, where the payload begins."""
    blank = bytes(_LAYOUT.size)
    envelope = Sign1(_PROFILE.protected, blank, b"").to_bytes()
    start = envelope.index(blank, len(_PROFILE.protected))
    head, codes, constants, place = envelope[:start], ">", list[bytes](), dict[str, int]()
    for slot in _LAYOUT.slots:
        constant, head = head + slot.before, b""
        kind = _NUMBERS.get((slot.spec.kind, slot.spec.size), f"{slot.spec.size}s")
        codes += f"{len(constant)}s{kind}"
        place[slot.name] = 2 * len(constants) + 1
        constants.append(constant)
    signature_head = bstr(bytes(_PROFILE.signature_size))[: -_PROFILE.signature_size]
    codes += f"{len(signature_head)}s{_PROFILE.signature_size}s"
    place["signature"] = 2 * len(constants) + 1
    constants.append(signature_head)
    return struct.Struct(codes), tuple(constants), place, start


_UNPACKER, _CONSTANTS, _PLACE, _PAYLOAD_START = _template()
_PAYLOAD_END = _PAYLOAD_START + _LAYOUT.size
_HASHED_BEFORE = sig_structure(_PROFILE.protected, bytes(_LAYOUT.size))[: -_LAYOUT.size]
_SUITE = int(Suite.ES256)
_AT_SUITE, _AT_N, _AT_AMOUNT = _PLACE["suite"], _PLACE["n"], _PLACE["amount"]

SIZE: Final = _UNPACKER.size
"""Bytes of a signed Voucher."""

# Where the fields are among the values of `read`.
AT_PAYER: Final = _PLACE["payer"]
AT_EPOCH: Final = _PLACE["epoch"]
AT_N: Final = _AT_N
AT_PAYEE: Final = _PLACE["payee"]
AT_AMOUNT: Final = _AT_AMOUNT
AT_REQUEST_HASH: Final = _PLACE["request_hash"]
AT_SIGNATURE: Final = _PLACE["signature"]

Values = tuple[Any, ...]
"""Bytes and numbers, as the unpacker's codes say; constants at even places."""


def read(item: bytes) -> Values | None:
    """The values of a signed Voucher, constants and fields in turn; None when it is not one in its one encoding.

    Amount and counter are inside their limits (1 to 2**53 - 1 fen, 1 to 2**32 - 2); the signature is not looked at.
    """
    if len(item) != SIZE:
        return None
    values = _UNPACKER.unpack(item)
    if (
        values[::2] != _CONSTANTS
        or values[_AT_SUITE] != _SUITE
        or not 1 <= values[_AT_AMOUNT] <= MAX_MINOR_UNITS
        or not 1 <= values[_AT_N] <= COUNTER_MAX
    ):
        return None
    return values


def hash_of(item: bytes) -> bytes:
    """H(Voucher) of an item that `read` has accepted."""
    return hashlib.sha256(_HASHED_BEFORE + item[_PAYLOAD_START:_PAYLOAD_END]).digest()


def fault_of(item: bytes) -> DepositStatus:
    """The status of an item that `read` has not accepted, by the general parser."""
    try:
        parse(Voucher, item)
    except UnknownSuiteError:
        return DepositStatus.UNKNOWN_SUITE
    except (CodecError, BadSignatureError):
        return DepositStatus.MALFORMED
    return DepositStatus.MALFORMED  # well-formed, with an amount or counter that no purse can have signed
