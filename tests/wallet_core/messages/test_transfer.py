"""Request, Voucher, Receipt, Refusal: their hashes, and the run of bytes that a card copies."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from typing import Any

import cbor2
import pytest

from support.keys import CARD, TILL
from support.samples import LOAD_RECEIPT, REFUSAL, REQUEST, VOUCHER
from wallet_core.messages import Signed
from wallet_core.messages.layout import FixedMessage

ALL = [REQUEST, VOUCHER, LOAD_RECEIPT, REFUSAL]


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_the_hash_is_sha_256_of_the_sig_structure(message: FixedMessage) -> None:
    structure = cbor2.dumps(["Signature1", bytes.fromhex("a10126"), b"", message.to_payload()])
    assert message.signed_bytes == structure
    assert message.hash == hashlib.sha256(structure).digest()
    assert Signed.sign(message, CARD.key).hash == Signed.sign(message, TILL.key).hash == message.hash


@pytest.mark.parametrize("message", ALL, ids=lambda message: type(message).__name__)
def test_every_field_is_in_the_hash(message: Any) -> None:
    hashes = {message.hash}
    names = [field.name for field in fields(message) if field.name != "suite"]
    for name in names:
        value = getattr(message, name)
        other = value[:-1] + bytes((value[-1] ^ 1,)) if isinstance(value, bytes) else value + 1
        hashes.add(replace(message, **{name: other}).hash)
    assert len(hashes) == len(names) + 1


def test_labels_2_to_7_are_one_run_in_request_and_voucher() -> None:
    """Their labels and heads included, and at the same offset: a card copies them in one go."""

    def run(message: FixedMessage) -> tuple[int, bytes]:
        slots = [slot for slot in message.layout().slots if 2 <= slot.spec.label <= 7]
        start = slots[0].start - len(slots[0].before)
        return start, message.to_payload()[start : slots[-1].end]

    assert run(REQUEST) == run(VOUCHER)
    assert len(run(REQUEST)[1]) == 2 * (3 + 32) + 3 * (2 + 4) + (2 + 8)  # ids, numbers, amount


def test_a_voucher_names_its_request() -> None:
    assert VOUCHER.request_hash == REQUEST.hash
    assert len({REQUEST.hash, VOUCHER.hash, REFUSAL.hash, LOAD_RECEIPT.hash}) == 4
