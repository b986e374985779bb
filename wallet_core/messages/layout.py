"""Fixed layouts: every card-visible message has one length and constant offsets.

A card compares constants and copies fields; so does this module. A payload is a CBOR map with labels 0..23 in rising
order, whose values are small integers (one byte) or byte strings of fixed size. Everything between the fields is
constant, so that *all bytes equal the template outside the fields* means *canonical*: no parser,
nothing to disagree on.
Only when that comparison fails is the payload decoded generally, to name what is wrong.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Self

from wallet_core import codec
from wallet_core.cose import bstr, payload_hash, sig_structure
from wallet_core.errors import (
    CodecError,
    NotCanonicalError,
    OutOfRangeError,
    OversizedError,
    TruncatedError,
    UnknownLabelError,
    WrongTypeError,
)
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite, profile

TYPE_LABEL = 0
SUITE_LABEL = 1
_META = "layout"


class MessageType(IntEnum):
    """Label 0 of every payload: inside what is signed, so that no message can be taken for another."""

    REQUEST = 1
    VOUCHER = 2
    RECEIPT = 3
    REFUSAL = 4
    REVERSAL_ORDER = 5
    REPORT = 6
    GRANT = 7
    POLICY = 8
    ISSUANCE = 9
    DEPOSIT_BATCH = 10
    DEPOSIT_ANSWER = 11
    CERTIFICATION_REQUEST = 12
    REVOCATION_LIST = 13
    CLOSING = 14
    FRAUD_PROOF = 15


class Kind(IntEnum):
    OCTETS = 1  # byte string, kept as bytes
    UNSIGNED = 2  # big-endian number in a byte string of fixed size
    MONEY = 3  # the same, 8 bytes, at most 2**53 - 1
    SMALL = 4  # CBOR unsigned integer 0..23, one byte


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field: its label, its size in bytes (content only), its kind; `least` and `most` of a number."""

    label: int
    size: int
    kind: Kind
    least: int = 0
    most: int = 23


def octets(label: int, size: int) -> Any:
    return dataclasses.field(metadata={_META: FieldSpec(label, size, Kind.OCTETS)})


def unsigned(label: int, size: int = 4) -> Any:
    return dataclasses.field(metadata={_META: FieldSpec(label, size, Kind.UNSIGNED, most=256**size - 1)})


def money(label: int) -> Any:
    return dataclasses.field(metadata={_META: FieldSpec(label, 8, Kind.MONEY, most=MAX_MINOR_UNITS)})


def small(label: int, *, least: int = 0, most: int = 23) -> Any:
    return dataclasses.field(metadata={_META: FieldSpec(label, 1, Kind.SMALL, least, most)})


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a field's content lies: payload[start:end]; `before` is the constant run in front of it."""

    name: str
    spec: FieldSpec
    start: int
    end: int
    before: bytes


class Layout:
    """Offsets of one message type, computed once from the labels of its dataclass."""

    def __init__(self, message_type: MessageType, fields: list[tuple[str, FieldSpec]]) -> None:
        labels = [spec.label for _, spec in fields]
        if labels != sorted(set(labels)) or labels[0] != SUITE_LABEL or labels[-1] > 23:
            raise TypeError("labels rise from 1 to at most 23")
        constant = bytes((0xA0 | (len(fields) + 1), TYPE_LABEL, message_type))
        self.slots: list[Slot] = []
        at = 0
        for name, spec in fields:
            constant += bytes((spec.label,)) + self._head(spec)
            start = at + len(constant)
            self.slots.append(Slot(name, spec, start, start + spec.size, constant))
            at, constant = start + spec.size, b""
        self.message_type = message_type
        self.size = at

    @staticmethod
    def _head(spec: FieldSpec) -> bytes:
        return b"" if spec.kind is Kind.SMALL else bstr(bytes(spec.size))[: -spec.size]

    def pack(self, values: dict[str, Any]) -> bytes:
        parts: list[bytes] = []
        for slot in self.slots:
            parts.append(slot.before)
            parts.append(_pack_field(slot, values[slot.name]))
        return b"".join(parts)

    def unpack(self, payload: bytes) -> dict[str, Any]:
        """Field values; raises the CodecError that names what is wrong with `payload`."""
        if len(payload) != self.size:
            raise self.diagnose(payload)
        values: dict[str, Any] = {}
        at = 0
        for slot in self.slots:
            content = payload[slot.start : slot.end]
            if payload[at : slot.start] != slot.before or (slot.spec.kind is Kind.SMALL and content[0] > 23):
                raise self.diagnose(payload)
            values[slot.name] = _unpack_field(slot, content)
            at = slot.end
        return values

    def diagnose(self, payload: bytes) -> CodecError:
        """Name the fault of a payload that does not fit the template."""
        try:
            value = codec.decode(payload, max_size=max(2 * self.size, 4096))
        except CodecError as exc:
            return exc
        if not isinstance(value, dict):
            return WrongTypeError("the payload is not a map")
        if type(value.get(TYPE_LABEL)) is not int or value[TYPE_LABEL] != self.message_type:  # True equals 1
            return WrongTypeError(f"type {value.get(TYPE_LABEL)!r}, expected {self.message_type.value}")
        known = {TYPE_LABEL} | {slot.spec.label for slot in self.slots}
        unknown = sorted((label for label in value if label not in known), key=repr)
        if unknown:
            return UnknownLabelError(f"label {unknown[0]!r} is not part of this message")
        missing = sorted(known - set(value))
        if missing:
            return TruncatedError(f"label {missing[0]} is missing")
        for slot in self.slots:
            fault = _content_fault(slot, value[slot.spec.label])
            if fault is not None:
                return fault
        return NotCanonicalError("the payload does not fit its fixed layout")


def _content_fault(slot: Slot, content: Any) -> CodecError | None:
    if slot.spec.kind is Kind.SMALL:
        if type(content) is not int or not slot.spec.least <= content <= slot.spec.most:
            return OutOfRangeError(f"{slot.name} is not a number from {slot.spec.least} to {slot.spec.most}")
    elif not isinstance(content, bytes):
        return OutOfRangeError(f"{slot.name} is not a byte string")
    elif len(content) < slot.spec.size:
        return TruncatedError(f"{slot.name} has {len(content)} bytes, not {slot.spec.size}")
    elif len(content) > slot.spec.size:
        return OversizedError(f"{slot.name} has {len(content)} bytes, not {slot.spec.size}")
    return None


def _pack_field(slot: Slot, value: Any) -> bytes:
    spec = slot.spec
    if spec.kind is Kind.OCTETS:
        if not isinstance(value, bytes) or len(value) != spec.size:
            raise OutOfRangeError(f"{slot.name} has {spec.size} bytes")
        return value
    if not isinstance(value, int) or isinstance(value, bool) or not spec.least <= value <= spec.most:
        raise OutOfRangeError(f"{slot.name} is outside {spec.least} to {spec.most}")
    return int(value).to_bytes(spec.size, "big")


def _unpack_field(slot: Slot, content: bytes) -> Any:
    if slot.spec.kind is Kind.OCTETS:
        return content
    value = int.from_bytes(content, "big")
    if slot.spec.kind is Kind.MONEY and value > MAX_MINOR_UNITS:
        raise OutOfRangeError(f"{slot.name} is above {MAX_MINOR_UNITS}")
    if slot.spec.kind is Kind.SMALL and not slot.spec.least <= value <= slot.spec.most:
        raise OutOfRangeError(f"{slot.name} is outside {slot.spec.least} to {slot.spec.most}")
    return value


@dataclass(frozen=True, slots=True)
class FixedMessage:
    """Base of the fixed-layout messages: a frozen dataclass whose fields carry labels."""

    TYPE: ClassVar[MessageType]
    suite: Suite = small(SUITE_LABEL)  # noqa: RUF009  (it returns a dataclass field)

    @classmethod
    def layout(cls) -> Layout:
        cached = _LAYOUTS.get(cls)
        if cached is None:
            fields = sorted(
                ((f.name, f.metadata[_META]) for f in dataclasses.fields(cls)), key=lambda item: item[1].label
            )
            cached = _LAYOUTS[cls] = Layout(cls.TYPE, fields)
        return cached

    def to_payload(self) -> bytes:
        """The one encoding of this message; raises OutOfRangeError for a field outside its limits."""
        return self.layout().pack({slot.name: getattr(self, slot.name) for slot in self.layout().slots})

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Parse a payload; raises a CodecError that names the fault."""
        values = cls.layout().unpack(payload)
        values["suite"] = profile(values["suite"]).suite
        return cls(**values)

    @property
    def signed_bytes(self) -> bytes:
        """The Sig_structure: what a signature covers."""
        return sig_structure(profile(self.suite).protected, self.to_payload())

    @property
    def hash(self) -> bytes:
        """H(x), 32 bytes: over the Sig_structure, the same with or without a signature."""
        return payload_hash(profile(self.suite).protected, self.to_payload())


_LAYOUTS: dict[type, Layout] = {}
