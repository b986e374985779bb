"""Over all values and all bytes: one value, one encoding; whatever is refused is refused with our own errors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import cbor2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.samples import SAMPLES, Sample
from wallet_core import codec, messages
from wallet_core.certificates import Certificate
from wallet_core.cose import Sign1, bstr
from wallet_core.errors import CodecError, UsageError
from wallet_core.inspection import open_message
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.messages.layout import FixedMessage, Kind
from wallet_core.money import MAX_MINOR_UNITS, Money, fen

LIMIT = 4096
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 23), inner, max_size=5),
    max_leaves=8,
)
FIXED = [sample for sample in SAMPLES if isinstance(sample.message, FixedMessage)]
MESSAGES = [sample.signed.to_bytes() for sample in SAMPLES]
KINDS = [getattr(messages, type(sample.message).__name__) for sample in SAMPLES]


@given(PLAIN)
def test_there_and_back(value: Any) -> None:
    data = codec.encode(value)
    assert codec.decode(data, max_size=LIMIT) == value
    assert codec.encode(codec.decode(data, max_size=LIMIT)) == data


@given(st.binary(max_size=64))
@example(b"")
@example(b"\xf9\x7e\x00")
@example(b"\xc2\x41\x01")
def test_any_bytes_are_the_one_encoding_or_refused(data: bytes) -> None:
    try:
        value = codec.decode(data, max_size=LIMIT)
    except CodecError:
        return
    assert cbor2.dumps(value, canonical=True) == data


@given(PLAIN, st.data())
def test_a_changed_encoding_is_another_value_or_refused(value: Any, data: st.DataObject) -> None:
    good = codec.encode(value)
    at = data.draw(st.integers(0, len(good) - 1))
    changed = good[:at] + bytes((good[at] ^ data.draw(st.integers(1, 255)),)) + good[at + 1 :]
    try:
        other = codec.decode(changed, max_size=LIMIT)
    except CodecError:
        return
    assert codec.encode(other) == changed != good


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=80))
def test_an_envelope_there_and_back(protected: bytes, payload: bytes, signature: bytes) -> None:
    envelope = Sign1(protected, payload, signature)
    assert Sign1.from_bytes(envelope.to_bytes(), max_size=LIMIT) == envelope
    assert bstr(payload) == cbor2.dumps(payload)


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A good message with a few bytes overwritten, removed or put in."""
    data = bytearray(draw(st.sampled_from(MESSAGES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = at + draw(st.integers(0, 4))
        data[at:end] = draw(st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=400)
@given(mutilated() | st.binary(max_size=400))
def test_what_is_not_a_message_is_a_codec_error(data: bytes) -> None:
    """Nothing else comes out of a parser; and what is accepted has no second encoding."""
    for kind in KINDS:
        try:
            signed = messages.parse(kind, data, max_size=MAX_BATCH_SIZE)
        except CodecError:
            continue
        assert signed.to_bytes() == data
    with suppress(CodecError):
        assert Certificate.from_bytes(data).to_bytes() == data
    with suppress(CodecError):
        assert open_message(data).content.to_bytes() == data


def values_of(sample: Sample) -> st.SearchStrategy[dict[str, Any]]:
    """Values inside the limits of every field but the suite."""
    strategies: dict[str, st.SearchStrategy[Any]] = {}
    for slot in sample.message.layout().slots:
        spec = slot.spec
        if spec.kind is Kind.OCTETS:
            strategies[slot.name] = st.binary(min_size=spec.size, max_size=spec.size)
        elif spec.kind is Kind.SMALL:
            strategies[slot.name] = st.integers(spec.least, spec.most)
        else:
            strategies[slot.name] = st.integers(0, MAX_MINOR_UNITS if spec.kind is Kind.MONEY else 256**spec.size - 1)
    return st.fixed_dictionaries({name: one for name, one in strategies.items() if name != "suite"})


@given(st.sampled_from(FIXED).flatmap(lambda sample: st.tuples(st.just(sample), values_of(sample))))
def test_every_fixed_message_there_and_back(drawn: tuple[Sample, dict[str, Any]]) -> None:
    sample, values = drawn
    message = replace(sample.message, **values)
    payload = message.to_payload()
    assert len(payload) == message.layout().size
    assert type(message).from_payload(payload) == message
    assert codec.encode(codec.decode(payload, max_size=LIMIT)) == payload
    assert {field.name for field in fields(message)} == {*values, "suite"}


@given(st.integers(0, MAX_MINOR_UNITS))
def test_money_is_read_as_it_is_written(minor: int) -> None:
    assert Money.parse(f"{minor // 100}.{minor % 100:02d}") == fen(minor)
    assert Money.parse(str(fen(minor)).removeprefix("RMB ").replace(",", "")) == fen(minor)


@given(st.text(max_size=20))
@example("68.00")
@example("1e5")
@example("١")
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        amount = Money.parse(text)
    except UsageError:
        return
    whole, _, part = text.strip().partition(".")
    assert amount.minor == int(whole) * 100 + int(part.ljust(2, "0"))
