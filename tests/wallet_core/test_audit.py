"""The sealed audit block: 48 bytes that only the operator reads, bound to the voucher's counter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wallet_core.audit import KEY_SIZE, NONCE_SIZE, SEALED_SIZE, AuditData
from wallet_core.errors import MismatchError, OutOfRangeError
from wallet_core.money import MAX_MINOR_UNITS

KEY, NONCE = bytes(range(KEY_SIZE)), bytes(NONCE_SIZE)
DATA = AuditData(n=5, total_in=50_000, total_out=6_800, total_reversed=0, exposure=6_800)


@pytest.mark.parametrize(
    "data",
    [DATA, AuditData(0, 0, 0, 0, 0), AuditData(2**32 - 1, *(MAX_MINOR_UNITS,) * 4)],
)
def test_there_and_back(data: AuditData) -> None:
    sealed = data.seal(KEY, NONCE)
    assert len(sealed) == SEALED_SIZE
    assert AuditData.open(KEY, sealed, data.n) == data


@pytest.mark.parametrize("n", [0, 4, 6, 2**32 - 1])
def test_of_another_voucher(n: int) -> None:
    with pytest.raises(MismatchError):
        AuditData.open(KEY, DATA.seal(KEY, NONCE), n)


def test_under_another_key() -> None:
    with pytest.raises(MismatchError):
        AuditData.open(KEY[::-1], DATA.seal(KEY, NONCE), DATA.n)


def test_each_bit_of_the_first_block_counts() -> None:
    sealed = DATA.seal(KEY, NONCE)
    for bit in range(128):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MismatchError):
            AuditData.open(KEY, bytes(changed), DATA.n)


def test_equal_totals_look_different() -> None:
    """The first block is unique, and CBC carries the difference on."""
    one, two = DATA.seal(KEY, NONCE), DATA.seal(KEY, NONCE[:-1] + b"\1")
    three = replace(DATA, n=6).seal(KEY, NONCE)
    for at in range(0, SEALED_SIZE, 16):
        assert len({one[at : at + 16], two[at : at + 16], three[at : at + 16]}) == 3


@pytest.mark.parametrize(("key", "nonce"), [(15, 12), (17, 12), (32, 12), (0, 12), (16, 11), (16, 13), (16, 16)])
def test_sizes_when_sealing(key: int, nonce: int) -> None:
    with pytest.raises(OutOfRangeError):
        DATA.seal(bytes(key), bytes(nonce))


@pytest.mark.parametrize(("key", "sealed"), [(15, 48), (24, 48), (16, 0), (16, 47), (16, 49), (16, 64)])
def test_sizes_when_opening(key: int, sealed: int) -> None:
    with pytest.raises(OutOfRangeError):
        AuditData.open(bytes(key), bytes(sealed), 0)
