"""COSE_Sign1 envelopes: one shape; split at every byte, stretched, and with heads of every size."""

from __future__ import annotations

import hashlib

import cbor2
import pytest

from support.keys import CARD
from support.samples import SAMPLES, Sample
from wallet_core import cose
from wallet_core.cose import Sign1
from wallet_core.errors import CodecError, NotCanonicalError, OversizedError, TruncatedError, UnknownSuiteError

LIMIT = 200_000
SIGN1 = Sign1(b"\xa1\x01\x26", b"payload", bytes(64))


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65535, 65536, 100_000])
def test_byte_strings_of_every_head(size: int) -> None:
    data = bytes(size)
    assert cose.bstr(data) == cbor2.dumps(data)
    whole = Sign1(b"", data, b"")
    assert Sign1.from_bytes(whole.to_bytes(), max_size=LIMIT) == whole


def test_sig_structure_is_that_of_rfc_9052() -> None:
    expected = cbor2.dumps(["Signature1", SIGN1.protected, b"", SIGN1.payload])
    assert SIGN1.signed_bytes == cose.sig_structure(SIGN1.protected, SIGN1.payload) == expected
    assert SIGN1.hash == cose.payload_hash(SIGN1.protected, SIGN1.payload) == hashlib.sha256(expected).digest()


def test_the_hash_is_of_what_is_signed_only() -> None:
    assert Sign1(SIGN1.protected, SIGN1.payload, b"other").hash == SIGN1.hash
    assert Sign1(SIGN1.protected, b"payloae", SIGN1.signature).hash != SIGN1.hash
    assert Sign1(b"\xa2\x01\x26\x04\x40", SIGN1.payload, SIGN1.signature).hash != SIGN1.hash


@pytest.mark.parametrize("header", [b"", b"\xa0", b"\xa1\x01\x27", b"\xa1\x01\x3a\x00\x01\x00\x02", b"\xa1\x02\x26"])
def test_a_header_of_no_suite_has_no_hash(header: bytes) -> None:
    with pytest.raises(UnknownSuiteError):
        Sign1(header, SIGN1.payload, SIGN1.signature).hash  # noqa: B018


def test_it_is_a_tagged_array() -> None:
    tag = cbor2.loads(SIGN1.to_bytes())
    assert tag.tag == 18
    assert list(tag.value) == [SIGN1.protected, {}, SIGN1.payload, SIGN1.signature]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_cut_at_every_byte(sample: Sample) -> None:
    data = sample.signed.to_bytes()
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            Sign1.from_bytes(data[:end], max_size=LIMIT)


def test_a_certificate_cut_at_every_byte() -> None:
    data = CARD.certificate.to_bytes()
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            Sign1.from_bytes(data[:end], max_size=LIMIT)


@pytest.mark.parametrize("more", [b"\0", b"\xf6", b"\xff" * 40])
def test_bytes_after_the_end(more: bytes) -> None:
    with pytest.raises(OversizedError):
        Sign1.from_bytes(SIGN1.to_bytes() + more, max_size=LIMIT)


def test_size_limit() -> None:
    data = SIGN1.to_bytes()
    assert Sign1.from_bytes(data, max_size=len(data)) == SIGN1
    with pytest.raises(OversizedError):
        Sign1.from_bytes(data, max_size=len(data) - 1)


@pytest.mark.parametrize("at", range(5 + 1))
def test_every_other_initial_byte(at: int) -> None:
    """Tag, array head, and the heads of header, header map and payload: no other byte does."""
    positions = [0, 1, 2, 6, 7, 15]
    data = bytearray(SIGN1.to_bytes())
    for value in set(range(256)) - {data[positions[at]]}:
        changed = data.copy()
        changed[positions[at]] = value
        with pytest.raises(CodecError):
            Sign1.from_bytes(bytes(changed), max_size=LIMIT)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("43a10126", "5803a10126"),
        ("43a10126", "590003a10126"),
        ("43a10126", "5a00000003a10126"),
        ("43a10126", "5b0000000000000003a10126"),
        ("43a10126", "5f43a10126ff"),
        ("43a10126", "f6"),
        ("5840", "590040"),
        ("5840", "5a00000040"),
        ("a047", "a1010047"),
        ("a047", "bfff47"),
        ("a047", "b80047"),
        ("a047", "f647"),
        ("d284", "d29f"),
        ("d284", "d2980400"),
    ],
)
def test_another_encoding(old: str, new: str) -> None:
    data = SIGN1.to_bytes()
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    assert data.count(before) == 1
    with pytest.raises(NotCanonicalError):
        Sign1.from_bytes(data.replace(before, after), max_size=LIMIT)
