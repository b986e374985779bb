"""The strict codec: one value, one encoding; everything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from wallet_core import codec
from wallet_core.errors import CodecError, NotCanonicalError, OversizedError, TruncatedError

# Values with their deterministic encoding (RFC 8949, appendix A and clause 4.2.1).
GOOD: list[tuple[str, Any]] = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("18ff", 255),
    ("190100", 256),
    ("1a00010000", 65536),
    ("1b0000000100000000", 2**32),
    ("20", -1),
    ("3a00011170", -70001),
    ("40", b""),
    ("4401020304", b"\1\2\3\4"),
    ("6161", "a"),
    ("80", []),
    ("820102", [1, 2]),
    ("a0", {}),
    ("a20102182003", {1: 2, 32: 3}),
    ("a201020304", {1: 2, 3: 4}),
    ("f4", False),
    ("f5", True),
    ("f6", None),
]

NOT_CANONICAL = {
    "0 in two bytes": "1800",
    "23 in two bytes": "1817",
    "255 in three bytes": "1900ff",
    "65535 in five bytes": "1a0000ffff",
    "2^32 - 1 in nine bytes": "1b00000000ffffffff",
    "-1 in two bytes": "3800",
    "byte string length in two bytes": "580101",
    "byte string length in three bytes": "59000101",
    "text length in two bytes": "780161",
    "array length in two bytes": "980101",
    "map length in two bytes": "b8010102",
    "byte string in chunks": "5f4101ff",
    "empty byte string in no chunks": "5fff",
    "text in chunks": "7f6161ff",
    "array without length": "9f01ff",
    "map without length": "bf0102ff",
    "key twice": "a201020103",
    "key twice, same value": "a201020102",
    "keys not in order": "a203040102",
    "key in two bytes": "a1180102",
    "value in two bytes": "a1011802",
    "double where a half does": "fb3ff0000000000000",
    "single where a half does": "fa3f800000",
    "nested": "8281a1180102f6",
    "bignum that fits": "c24101",
    "cut after an indefinite head": "9f01",
    "tag of a date": "c001",
    "string reference": "d9010081d81900",
    "shared value": "82d81c8100d81d00",
    "nested six deep": "8181818181" + "8100",
}

# Initial bytes of every head that wants more bytes.
CUT = ["18", "19", "1900", "1a000000", "1b00000000000000", "41", "58", "5803", "42ff", "61", "81", "8201", "a1", "a101"]
CUT += ["f9", "f93c", "fb00000000000000", "5b7fffffffffffffff", "9b7fffffffffffffff", "bb7fffffffffffffff", ""]

NOT_CBOR = ["ff", "1c", "1f", "3e", "5c", "5f6161ff", "7c", "7f4101ff", "9c", "bc", "bf01ff", "fc", "62c328", "f81f"]
NOT_CBOR += ["c001", "a1a00102", "d81c01", "d81d00", "81" * 500 + "01"]


@pytest.mark.parametrize(("encoded", "value"), GOOD)
def test_one_value_one_encoding(encoded: str, value: Any) -> None:
    data = bytes.fromhex(encoded)
    assert codec.encode(value) == data
    decoded = codec.decode(data, max_size=len(data))
    assert decoded == value
    assert type(decoded) is type(value)


@pytest.mark.parametrize("encoded", NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_another_encoding(encoded: str) -> None:
    with pytest.raises(NotCanonicalError):
        codec.decode(bytes.fromhex(encoded), max_size=64)


@pytest.mark.parametrize("encoded", CUT)
def test_an_end_too_soon(encoded: str) -> None:
    with pytest.raises(TruncatedError):
        codec.decode(bytes.fromhex(encoded), max_size=64)


@pytest.mark.parametrize(("encoded", "value"), GOOD)
@pytest.mark.parametrize("more", ["00", "f6", "ff", "a0"])
def test_bytes_after_the_end(encoded: str, value: Any, more: str) -> None:
    with pytest.raises(OversizedError):
        codec.decode(bytes.fromhex(encoded + more), max_size=64)


def test_size_is_checked_before_anything_else() -> None:
    codec.decode(b"\x40", max_size=1)
    with pytest.raises(OversizedError):
        codec.decode(b"\xff\xff", max_size=1)


@pytest.mark.parametrize("encoded", NOT_CBOR, ids=lambda text: text[:16])
def test_what_is_not_cbor(encoded: str) -> None:
    with pytest.raises(CodecError):
        codec.decode(bytes.fromhex(encoded), max_size=1024)


def test_a_length_that_nobody_can_hold_is_refused_without_holding_it() -> None:
    for head in ("5b", "7b", "9b", "bb"):
        for length in ("00000000ffffffff", "7fffffffffffffff", "ffffffffffffffff"):
            with pytest.raises(CodecError):
                codec.decode(bytes.fromhex(head + length), max_size=64)


def test_shared_values_do_not_unfold() -> None:
    """Thirty levels of *the same twice* are a few hundred bytes, and gigabytes once unfolded (tags 28 and 29)."""
    bomb = bytes.fromhex("d81c8100")
    for level in range(30):
        bomb = bytes.fromhex("d81c82") + bomb + bytes.fromhex("d81d") + codec.encode(level)
    with pytest.raises(NotCanonicalError):
        codec.decode(bomb, max_size=1024)


@pytest.mark.parametrize("containers", range(8))
@pytest.mark.parametrize("head", ["81", "a100"])
def test_how_deep_an_item_may_lie(containers: int, head: str) -> None:
    """Messages nest three deep (claims, cnf, COSE_Key); one level more is the limit."""
    data = bytes.fromhex(head) * containers + b"\x00"
    if containers < 5:
        assert codec.encode(codec.decode(data, max_size=64)) == data
        return
    with pytest.raises(NotCanonicalError):
        codec.decode(data, max_size=64)
