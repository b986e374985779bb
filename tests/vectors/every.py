"""The same faults in every type of message: length, labels, suite, type, encoding, signature.

`negative.py` has what is peculiar to a type; this has what all of them share, so that no reader of a message is checked
less than another. One sample of each type (support.samples) is changed in one point and signed again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from negative import entry, envelope

from support.keys import FOREIGN_CARD, FOREIGN_OPERATOR
from support.samples import SAMPLES, Sample
from wallet_core import codec

UNKNOWN_SUITE, UNKNOWN_TYPE, UNKNOWN_LABEL = 23, 22, 23
TAKEN_FOR = {"Request": 2}  # the type that it claims to be; a request for all others


def vectors() -> list[dict[str, Any]]:
    return [vector for sample in SAMPLES for vector in (*_parse(sample), *_verify(sample))]


def _parse(sample: Sample) -> list[dict[str, Any]]:
    payload = sample.message.to_payload()
    content: dict[int, Any] = codec.decode(payload, max_size=4096)
    kind = type(sample.message).__name__
    good = sample.signed.to_bytes()
    last = max(content)
    # The type is one byte behind the map's head and label 0; written in two it means the same.
    wide = payload[:2] + b"\x18" + payload[2:]
    shapes: tuple[tuple[str, bytes, str, bool], ...] = (
        ("a byte less", good[:-1], "truncated", False),
        ("a byte more", good + b"\0", "oversized", False),
        ("without its tag", good[1:], "not-canonical", False),
    )
    payloads: tuple[tuple[str, bytes, str, bool], ...] = (
        ("last label missing", _without(content, last), "truncated", True),
        ("one label more", codec.encode({**content, UNKNOWN_LABEL: 0}), "unknown-label", True),
        ("type that is not known", codec.encode({**content, 0: UNKNOWN_TYPE}), "wrong-type", True),
        ("type of another message", codec.encode({**content, 0: TAKEN_FOR.get(kind, 1)}), "wrong-type", True),
        ("suite that nobody knows", codec.encode({**content, 1: UNKNOWN_SUITE}), "unknown-suite", True),
        ("type in two bytes", wide, "not-canonical", False),
        ("payload and a byte", payload + b"\0", "oversized", False),
        ("payload empty", b"", "truncated", True),
    )
    found = [entry(f"{sample.name}: {name}", kind, data, error, shape=shape) for name, data, error, shape in shapes]
    found += [
        entry(f"{sample.name}: {name}", kind, envelope(data, sample.signer), error, shape=shape)
        for name, data, error, shape in payloads
    ]
    return found


def _verify(sample: Sample) -> list[dict[str, Any]]:
    signed = sample.signed
    kind = type(sample.message).__name__
    flipped = replace(signed, signature=signed.signature[:-1] + bytes((signed.signature[-1] ^ 1,)))
    stranger = FOREIGN_OPERATOR if sample.signer.name in ("operator", "authority") else FOREIGN_CARD
    forged = envelope(sample.message.to_payload(), stranger)
    return [
        entry(f"{sample.name}: last bit flipped", kind, flipped.to_bytes(), "bad-signature", key=sample.signer),
        entry(f"{sample.name}: by a stranger", kind, forged, "bad-signature", key=sample.signer),
    ]


def _without(content: dict[int, Any], label: int) -> bytes:
    return codec.encode({key: value for key, value in content.items() if key != label})
