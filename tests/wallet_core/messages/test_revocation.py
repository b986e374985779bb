"""The revocation list: one encoding, whatever the order in which its entries were learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.keys import OPERATOR, TILL
from support.samples import REVOCATIONS, digest
from wallet_core import codec
from wallet_core.errors import CodecError, OutOfRangeError, OversizedError, TruncatedError, UnknownLabelError
from wallet_core.messages import RevocationList, RevocationReason, Signed, parse
from wallet_core.messages.revocation import MAX_ENTRIES, MAX_LIST_SIZE

ids = st.binary(min_size=32, max_size=32)
CONTENT: dict[int, Any] = codec.decode(REVOCATIONS.to_payload(), max_size=1024)


@given(st.dictionaries(ids, st.sampled_from(RevocationReason), max_size=20))
def test_there_and_back(entries: dict[bytes, RevocationReason]) -> None:
    listed = replace(REVOCATIONS, entries=entries)
    read = RevocationList.from_payload(listed.to_payload())
    assert read == listed
    assert list(read.entries) == sorted(entries)
    assert all(type(reason) is RevocationReason for reason in read.entries.values())


def test_one_list_one_encoding() -> None:
    entries = [(digest(name), reason) for name, reason in zip("abcd", RevocationReason, strict=True)]
    assert len({replace(REVOCATIONS, entries=dict(order)).to_payload() for order in permutations(entries)}) == 1


def test_what_is_not_listed() -> None:
    assert isinstance(REVOCATIONS.entries, Mapping)
    assert REVOCATIONS.entries.get(OPERATOR.id) is None
    assert REVOCATIONS.entries[TILL.id] is RevocationReason.DEAD


@pytest.mark.parametrize(
    "changes",
    [
        {"serial": 0},
        {"serial": 2**32},
        {"at": -1},
        {"at": 2**32},
        {"operator": bytes(31)},
        {"entries": {bytes(33): RevocationReason.DEAD}},
        {"entries": dict.fromkeys((i.to_bytes(32, "big") for i in range(MAX_ENTRIES + 1)), RevocationReason.FROZEN)},
    ],
    ids=["serial 0", "serial", "before 1970", "after 2106", "operator", "id", "too many"],
)
def test_what_is_never_made(changes: dict[str, Any]) -> None:
    with pytest.raises(OutOfRangeError):
        replace(REVOCATIONS, **changes).to_payload()


def entry(number: int, reason: Any = 1) -> list[Any]:
    return [number.to_bytes(32, "big"), reason]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({5: [entry(2), entry(1)]}, OutOfRangeError),
        ({5: [entry(1), entry(1)]}, OutOfRangeError),
        ({5: [entry(1, 1), entry(1, 2)]}, OutOfRangeError),
        ({5: [entry(1, 0)]}, UnknownLabelError),
        ({5: [entry(1, 5)]}, UnknownLabelError),
        ({5: [entry(1, True)]}, OutOfRangeError),
        ({5: [entry(1, 1.0)]}, OutOfRangeError),
        ({5: [entry(1, b"\1")]}, OutOfRangeError),
        ({5: [entry(1)[:1]]}, OutOfRangeError),
        ({5: [[*entry(1), 0]]}, OutOfRangeError),
        ({5: [[b"id", 1]]}, OutOfRangeError),
        ({5: [b""]}, OutOfRangeError),
        ({5: {}}, OutOfRangeError),
        ({3: bytes(4)}, OutOfRangeError),
        ({3: 1}, OutOfRangeError),
        ({4: bytes(3)}, OutOfRangeError),
        ({2: bytes(31)}, OutOfRangeError),
        ({6: 0}, UnknownLabelError),
    ],
    ids=str,
)
def test_what_is_refused(changes: dict[int, Any], error: type[CodecError]) -> None:
    with pytest.raises(error):
        RevocationList.from_payload(codec.encode({**CONTENT, **changes}))


def test_a_label_that_is_missing() -> None:
    for label in (1, 2, 3, 4, 5):
        with pytest.raises(TruncatedError):
            RevocationList.from_payload(codec.encode({k: v for k, v in CONTENT.items() if k != label}))


def test_the_fullest_list_is_read() -> None:
    everyone = dict.fromkeys((i.to_bytes(32, "big") for i in range(MAX_ENTRIES)), RevocationReason.REVOKED)
    data = Signed.sign(replace(REVOCATIONS, entries=everyone), OPERATOR.key).to_bytes()
    assert parse(RevocationList, data, max_size=MAX_LIST_SIZE).message.entries == everyone
    with pytest.raises(OversizedError):
        parse(RevocationList, bytes(MAX_LIST_SIZE + 1), max_size=MAX_LIST_SIZE)
