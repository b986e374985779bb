"""Every message as a stranger may send it: cut at every byte, stretched, flipped, re-labelled, re-signed, mistaken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from support.keys import CARD, FOREIGN_CARD, TILL
from support.samples import BATCH, REQUEST, SAMPLES, VOUCHER, Sample
from wallet_core import cose
from wallet_core.cose import Sign1
from wallet_core.errors import (
    BadSignatureError,
    CodecError,
    OversizedError,
    TruncatedError,
    UnknownSuiteError,
    WrongTypeError,
)
from wallet_core.messages import Signed, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.messages.signed import MAX_FIXED_SIZE

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
every_message = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


def read(sample: Sample, data: bytes) -> Signed[Any]:
    signed: Signed[Any] = parse(type(sample.message), data, max_size=MAX_BATCH_SIZE)
    return signed


@every_message
def test_there_and_back(sample: Sample) -> None:
    data = sample.signed.to_bytes()
    signed = read(sample, data)
    assert signed == sample.signed
    assert signed.to_bytes() == data
    assert signed.verify(sample.signer.key.public) == sample.message
    assert signed.hash == Sign1.from_bytes(data, max_size=MAX_BATCH_SIZE).hash


@every_message
def test_cut_at_every_byte(sample: Sample) -> None:
    data = sample.signed.to_bytes()
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            read(sample, data[:end])


@every_message
def test_payload_cut_at_every_byte(sample: Sample) -> None:
    """The same inside an envelope whose lengths and signature fit what is left."""
    payload = sample.message.to_payload()
    for end in range(len(payload)):
        with pytest.raises(TruncatedError):
            type(sample.message).from_payload(payload[:end])


@every_message
@pytest.mark.parametrize("more", [b"\0", b"\xa0", bytes(100)])
def test_bytes_after_the_end(sample: Sample, more: bytes) -> None:
    with pytest.raises(OversizedError):
        read(sample, sample.signed.to_bytes() + more)
    with pytest.raises(OversizedError):
        type(sample.message).from_payload(sample.message.to_payload() + more)


@every_message
def test_each_bit_counts(sample: Sample) -> None:
    """A flipped bit is refused by the codec, or it is another message, whose signature fails."""
    data = sample.signed.to_bytes()
    refused = 0
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            signed = read(sample, bytes(changed))
        except CodecError:
            refused += 1
            continue
        assert signed.to_bytes() == bytes(changed), "one message, one encoding"
        with pytest.raises(BadSignatureError):
            signed.verify(sample.signer.key.public)
    assert 0 < refused < 8 * len(data)


@every_message
def test_it_is_no_other_message(sample: Sample) -> None:
    data = sample.signed.to_bytes()
    for other in SAMPLES:
        if other is not sample:
            with pytest.raises(WrongTypeError):
                read(other, data)


@every_message
def test_the_other_form_of_the_signature_is_the_same_message(sample: Sample) -> None:
    signed = sample.signed
    s = int.from_bytes(signed.signature[32:], "big")
    other = replace(signed, signature=signed.signature[:32] + (ORDER - s).to_bytes(32, "big"))
    again = read(sample, other.to_bytes())
    assert again.to_bytes() != signed.to_bytes()
    assert again.verify(sample.signer.key.public) == sample.message
    assert again.hash == signed.hash


@every_message
def test_another_signer(sample: Sample) -> None:
    forged = Signed.sign(sample.message, FOREIGN_CARD.key)
    with pytest.raises(BadSignatureError):
        read(sample, forged.to_bytes()).verify(sample.signer.key.public)
    assert forged.hash == sample.signed.hash


@every_message
@pytest.mark.parametrize(
    "protected", ["", "a0", "a10127", "a1013822", "a2012604420102", "a10226", "a1016145", "a1180126", "8126"]
)
def test_another_protected_header(sample: Sample, protected: str) -> None:
    head, payload = bytes.fromhex(protected), sample.message.to_payload()
    signature = sample.signer.key.sign(cose.sig_structure(head, payload))
    with pytest.raises(UnknownSuiteError):
        read(sample, Sign1(head, payload, signature).to_bytes())


@every_message
@pytest.mark.parametrize(
    ("size", "error"), [(0, TruncatedError), (1, TruncatedError), (63, TruncatedError), (65, OversizedError)]
)
def test_a_signature_of_another_size(sample: Sample, size: int, error: type[CodecError]) -> None:
    with pytest.raises(error):
        read(sample, replace(sample.signed, signature=bytes(size)).to_bytes())


@every_message
def test_the_suite_inside_the_payload(sample: Sample) -> None:
    payload = bytearray(sample.message.to_payload())
    assert bytes(payload[1:5]) == bytes((0, type(sample.message).TYPE, 1, 1))
    for number in (0, 2, 23):
        payload[4] = number
        with pytest.raises(UnknownSuiteError):
            read(sample, Sign1(bytes.fromhex("a10126"), bytes(payload), bytes(64)).to_bytes())


def test_a_fixed_message_has_a_small_limit() -> None:
    with pytest.raises(OversizedError):
        parse(type(VOUCHER), bytes(MAX_FIXED_SIZE + 1))
    padded = replace(BATCH, vouchers=BATCH.vouchers * 4)
    data = Signed.sign(padded, TILL.key).to_bytes()
    with pytest.raises(OversizedError):
        parse(type(BATCH), data)
    assert parse(type(BATCH), data, max_size=len(data)).message == padded


def test_nothing_signed_for_one_purpose_serves_another() -> None:
    """Request and Voucher share six fields; type and labels are under the signature."""
    request = Signed.sign(REQUEST, CARD.key)
    voucher = Signed(VOUCHER, request.signature)
    with pytest.raises(BadSignatureError):
        voucher.verify(CARD.key.public)
