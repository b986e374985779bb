"""Status words: ranges, words, and the one source of the purse's own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.status_words import SW, bytes_left, describe, exact_length, memory_unchanged, refusal, tries_left
from support.tree import ROOT
from wallet_core.errors import Refused

ALL_WORDS = st.integers(0x6000, 0x9FFF)


@pytest.mark.parametrize(
    ("sw", "left", "tries", "exact"),
    [
        (0x9000, None, None, None),
        (0x6101, 1, None, None),
        (0x610E, 14, None, None),
        (0x6100, 256, None, None),
        (0x63C0, None, 0, None),
        (0x63CF, None, 15, None),
        (0x6300, None, None, None),
        (0x63D0, None, None, None),
        (0x6C01, None, None, 1),
        (0x6C00, None, None, 256),
    ],
)
def test_ranges(sw: int, left: int | None, tries: int | None, exact: int | None) -> None:
    assert (bytes_left(sw), tries_left(sw), exact_length(sw)) == (left, tries, exact)


@pytest.mark.parametrize("reason", Refused)
def test_a_refusal_has_the_purse_s_own_words(reason: Refused) -> None:
    assert refusal(reason.value) is reason
    assert describe(reason.value) == "refused: " + reason.name.lower().replace("_", " ")
    assert memory_unchanged(reason.value)


@given(ALL_WORDS)
def test_every_word_has_a_meaning(sw: int) -> None:
    assert describe(sw)
    assert memory_unchanged(sw) == (0x6400 <= sw <= 0x64FF or 0x6900 <= sw <= 0x69FF or sw in list(Refused))


@pytest.mark.parametrize(
    ("sw", "words"),
    [
        (0x9000, "success"),
        (0x610E, "14 bytes available"),
        (0x63C0, "wrong PIN, no tries left"),
        (0x63C1, "wrong PIN, 1 try left"),
        (0x63C2, "wrong PIN, 2 tries left"),
        (0x6C10, "wrong Le, 16 bytes are exact"),
        (0x6A82, "file or application not found"),
        (0x6F42, "no precise diagnosis"),
        (0x9123, "unknown status word"),
    ],
)
def test_words(sw: int, words: str) -> None:
    assert describe(sw) == words


def test_every_word_that_the_specification_lists_is_known() -> None:
    text = (ROOT / "docs" / "spec" / "statuses.md").read_text(encoding="utf-8")
    listed = {int(word, 16) for word in re.findall(r"`(6[0-9A-F]{3}|9000)`", text)}
    assert len(listed) > len(Refused)
    assert listed <= {*SW, *Refused}
