"""Fixed layouts: constant offsets, one encoding, and the name of what is wrong."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from support.samples import SAMPLES, Sample
from wallet_core import codec
from wallet_core.errors import (
    CodecError,
    NotCanonicalError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    WrongTypeError,
)
from wallet_core.messages.layout import FieldSpec, FixedMessage, Kind, Layout, MessageType
from wallet_core.money import MAX_MINOR_UNITS

FIXED = [sample for sample in SAMPLES if isinstance(sample.message, FixedMessage)]
CASES = [(sample, slot) for sample in FIXED for slot in sample.message.layout().slots if slot.name != "suite"]
every_message = pytest.mark.parametrize("sample", FIXED, ids=lambda sample: sample.name)
every_field = pytest.mark.parametrize(
    ("sample", "slot"), CASES, ids=[f"{sample.name}-{slot.name}" for sample, slot in CASES]
)


def content(sample: Sample) -> dict[int, Any]:
    found: dict[int, Any] = codec.decode(sample.message.to_payload(), max_size=1024)
    return found


@every_message
def test_the_payload_is_deterministic_cbor(sample: Sample) -> None:
    payload = sample.message.to_payload()
    assert codec.encode(content(sample)) == payload
    assert list(content(sample)) == sorted(content(sample))
    assert len(payload) == sample.message.layout().size
    assert type(sample.message).from_payload(payload) == sample.message


@every_message
def test_offsets_are_where_the_fields_are(sample: Sample) -> None:
    payload, layout = sample.message.to_payload(), sample.message.layout()
    assert layout.slots[-1].end == layout.size
    for slot in layout.slots:
        value = getattr(sample.message, slot.name)
        expected = value if isinstance(value, bytes) else int(value).to_bytes(slot.spec.size, "big")
        assert payload[slot.start : slot.end] == expected
    for before, after in pairwise(layout.slots):
        assert payload[before.end : after.start] == after.before


@every_message
def test_each_constant_byte_counts(sample: Sample) -> None:
    """Whatever stands between the fields, another byte there is refused (every value of every such byte)."""
    payload, layout = sample.message.to_payload(), sample.message.layout()
    fields = {at for slot in layout.slots for at in range(slot.start, slot.end)}
    for at in set(range(len(payload))) - fields:
        for value in set(range(256)) - {payload[at]}:
            with pytest.raises(CodecError):
                type(sample.message).from_payload(payload[:at] + bytes((value,)) + payload[at + 1 :])


@every_message
def test_labels(sample: Sample) -> None:
    good = content(sample)
    for label in (23, 24, -1, "payer", b"", None):
        with pytest.raises(UnknownLabelError):
            type(sample.message).from_payload(codec.encode({**good, label: 0}))
    for label in good:
        rest = {key: value for key, value in good.items() if key != label}
        with pytest.raises(WrongTypeError if label == 0 else TruncatedError):
            type(sample.message).from_payload(codec.encode(rest))
        moved = {23 if key == label else key: value for key, value in good.items()}
        with pytest.raises(WrongTypeError if label == 0 else UnknownLabelError):
            type(sample.message).from_payload(codec.encode(moved))


@every_message
@pytest.mark.parametrize("payload", [0, [], [1, 1], None, "request", b"", 1.5, True])
def test_a_payload_that_is_no_map(sample: Sample, payload: Any) -> None:
    with pytest.raises(WrongTypeError):
        type(sample.message).from_payload(codec.encode(payload))


@every_message
@pytest.mark.parametrize("number", [0, *MessageType, 16, 23, 24, -1, 1.0, True, "1", b"\1", None])
def test_a_type_that_is_not_this_one(sample: Sample, number: Any) -> None:
    if number is sample.message.TYPE:
        assert type(sample.message).from_payload(codec.encode({**content(sample), 0: int(number)})) == sample.message
        return
    number = int(number) if isinstance(number, MessageType) else number
    with pytest.raises(WrongTypeError):
        type(sample.message).from_payload(codec.encode({**content(sample), 0: number}))


@every_message
def test_other_encodings_of_the_same_map(sample: Sample) -> None:
    payload, good = sample.message.to_payload(), content(sample)
    count = bytes((0xB8, len(good)))
    backwards = b"".join(codec.encode(label) + codec.encode(good[label]) for label in reversed(good))
    twice = bytes((payload[0] + 1,)) + payload[1:] + codec.encode(max(good)) + codec.encode(good[max(good)])
    for other in (count + payload[1:], b"\xbf" + payload[1:] + b"\xff", payload[:1] + backwards, twice):
        with pytest.raises(NotCanonicalError):
            type(sample.message).from_payload(other)


@every_field
def test_a_field_of_another_size_or_kind(sample: Sample, slot: Any) -> None:
    kind, good, label = type(sample.message), content(sample), slot.spec.label
    others: list[Any]
    if slot.spec.kind is Kind.SMALL:
        others = [24, -1, 256, 1.0, True, b"", ""]
        wrong: list[tuple[Any, type[CodecError]]] = [(other, OutOfRangeError) for other in others]
    else:
        size = slot.spec.size
        wrong = [(bytes(size - 1), TruncatedError), (b"", TruncatedError), (bytes(size + 1), OversizedError)]
        others = ["a" * size, 0, None, [bytes(size)], {}, False]
        wrong += [(other, OutOfRangeError) for other in others]
    for value, error in wrong:
        with pytest.raises(error):
            kind.from_payload(codec.encode({**good, label: value}))


@every_field
def test_limits_of_a_field(sample: Sample, slot: Any) -> None:
    spec = slot.spec
    if spec.kind is Kind.OCTETS:
        inside: list[Any] = [bytes(spec.size), b"\xff" * spec.size]
        outside: list[Any] = [bytes(spec.size - 1), bytes(spec.size + 1), b"", 0, "0" * spec.size, None]
    else:
        most = {Kind.UNSIGNED: 256**spec.size - 1, Kind.MONEY: MAX_MINOR_UNITS, Kind.SMALL: spec.most}[spec.kind]
        inside = [spec.least, most]
        outside = [spec.least - 1, most + 1, 2**64, True, 1.0, "1", b"\1", None]
    for value in inside:
        changed = replace(sample.message, **{slot.name: value})
        assert type(changed).from_payload(changed.to_payload()) == changed
    for value in outside:
        with pytest.raises(OutOfRangeError):
            replace(sample.message, **{slot.name: value}).to_payload()


@pytest.mark.parametrize(
    ("sample", "slot"),
    [case for case in CASES if case[1].spec.kind is Kind.MONEY],
    ids=[f"{sample.name}-{slot.name}" for sample, slot in CASES if slot.spec.kind is Kind.MONEY],
)
@pytest.mark.parametrize("amount", [MAX_MINOR_UNITS + 1, 2**63, 2**64 - 1])
def test_money_above_its_limit_on_the_wire(sample: Sample, slot: Any, amount: int) -> None:
    payload = sample.message.to_payload()
    with pytest.raises(OutOfRangeError):
        type(sample.message).from_payload(payload[: slot.start] + amount.to_bytes(8, "big") + payload[slot.end :])


@pytest.mark.parametrize("labels", [[0, 1], [2, 3], [1, 1], [1, 3, 2], [1, 24]])
def test_labels_that_make_no_layout(labels: list[int]) -> None:
    with pytest.raises(TypeError):
        Layout(MessageType.REQUEST, [(f"field{label}", FieldSpec(label, 4, Kind.UNSIGNED)) for label in labels])


def test_every_number_of_a_type_is_small() -> None:
    """One byte of CBOR, so that it is one byte in every template."""
    assert all(1 <= number <= 23 for number in MessageType)
    assert len({number.value for number in MessageType}) == len(list(MessageType))
