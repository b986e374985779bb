"""Vouchers by fixed offsets: one unpack, one comparison of all constant runs, one hash. The hot path of a deposit.

A signed Voucher has one length, and everything between its fields is constant (`Voucher.layout()`), so that *the
constants are equal* means *canonical*. What does not pass is given to the general parser, which names the fault.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from wallet_core.cose import Sign1, bstr, sig_structure
from wallet_core.errors import BadSignatureError, CodecError, UnknownSuiteError
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages import DepositStatus, Voucher, parse
from wallet_core.messages.layout import Kind
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite, profile

_LAYOUT = Voucher.layout()
_NUMBERS = {(Kind.UNSIGNED, 4): "I", (Kind.MONEY, 8): "Q", (Kind.SMALL, 1): "B"}
_PLACE = {slot.name: 2 * at + 1 for at, slot in enumerate(_LAYOUT.slots)} | {"signature": 2 * len(_LAYOUT.slots) + 1}


@dataclass(frozen=True, slots=True)
class _Form:
    """A signed Voucher of one suite: unpacker, constants (every second value), where the payload is, what is hashed."""

    suite: int
    unpacker: struct.Struct
    constants: tuple[bytes, ...]
    start: int
    end: int
    hashed_before: bytes
    digest: Callable[[bytes], bytes]


def _form(suite: Suite) -> _Form:
    known, blank = profile(suite), bytes(_LAYOUT.size)
    envelope = Sign1(known.protected, blank, b"").to_bytes()
    start = envelope.index(blank, len(known.protected))
    head, codes, constants = envelope[:start], ">", list[bytes]()
    for slot in _LAYOUT.slots:
        constant, head = head + slot.before, b""
        kind = _NUMBERS.get((slot.spec.kind, slot.spec.size), f"{slot.spec.size}s")
        codes += f"{len(constant)}s{kind}"
        constants.append(constant)
    signature_head = bstr(bytes(known.signature_size))[: -known.signature_size]
    codes += f"{len(signature_head)}s{known.signature_size}s"
    constants.append(signature_head)
    hashed_before = sig_structure(known.protected, blank)[: -len(blank)]
    return _Form(
        int(suite), struct.Struct(codes), tuple(constants), start, start + len(blank), hashed_before, known.digest
    )


_FORMS: Final = {form.unpacker.size: form for form in map(_form, Suite)}
_AT_SUITE, _AT_N, _AT_AMOUNT = _PLACE["suite"], _PLACE["n"], _PLACE["amount"]

SIZE: Final = _form(Suite.ES256).unpacker.size
"""Bytes of a signed Voucher of suite ES256."""

# Where the fields are among the values of `read`.
AT_SUITE: Final = _AT_SUITE
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
    form = _FORMS.get(len(item))
    if form is None:
        return None
    values = form.unpacker.unpack(item)
    if (
        values[::2] != form.constants
        or values[_AT_SUITE] != form.suite
        or not 1 <= values[_AT_AMOUNT] <= MAX_MINOR_UNITS
        or not 1 <= values[_AT_N] <= COUNTER_MAX
    ):
        return None
    return values


def hash_of(item: bytes) -> bytes:
    """H(Voucher) of an item that `read` has accepted."""
    form = _FORMS[len(item)]
    return form.digest(form.hashed_before + item[form.start : form.end])


def signed_digest_of(item: bytes, identity: bytes) -> bytes:
    """What the signature of an item that `read` has accepted covers: with `identity`, Z of an SM2 key, in front."""
    form = _FORMS[len(item)]
    return form.digest(identity + form.hashed_before + item[form.start : form.end])


def fault_of(item: bytes) -> DepositStatus:
    """The status of an item that `read` has not accepted, by the general parser."""
    try:
        parse(Voucher, item)
    except UnknownSuiteError:
        return DepositStatus.UNKNOWN_SUITE
    except (CodecError, BadSignatureError):
        return DepositStatus.MALFORMED
    return DepositStatus.MALFORMED  # well-formed, with an amount or counter that no purse can have signed
