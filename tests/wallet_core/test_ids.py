"""Ids: 32 bytes, 64 hexadecimal digits, nothing else."""

from __future__ import annotations

import pytest

from wallet_core import ids
from wallet_core.errors import OutOfRangeError, UsageError

ID = bytes(range(32))
HEX = ID.hex()
NO_ID = ["", "00", HEX[:-1], f"{HEX}0", f"{HEX}00", f" {HEX}", f"{HEX}\n", f"0x{HEX[2:]}", f"{HEX[:32]} {HEX[32:]}"]
NO_ID += [f"{HEX[:-1]}g", "٠" * 64, f"{HEX[:-2]}é0"]


def test_an_id_is_itself() -> None:
    assert ids.check_id(ID) == ID
    assert ids.parse_id(ID.hex()) == ID
    assert ids.parse_id(ID.hex().upper()) == ID
    assert ids.short(ID) == "00010203"


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_another_size(size: int) -> None:
    with pytest.raises(OutOfRangeError):
        ids.check_id(bytes(size))


@pytest.mark.parametrize("text", NO_ID)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(UsageError):
        ids.parse_id(text)


def test_the_last_counter_is_never_used() -> None:
    assert ids.COUNTER_MAX == 2**32 - 2
