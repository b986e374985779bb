"""Page, clauses and checks say the same, in both directions."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import hardware.conformance.checks as _registered  # noqa: F401  # importing it registers every check
from conformance import page
from hardware.conformance.report import area_name
from hardware.conformance.requirements import Requirement, registered
from hardware.data_objects import FCI_SIZES, Tag
from hardware.instructions import Ins
from support.tree import ROOT
from wallet_core.errors import Refused

EVERY = registered()
SPEC = ROOT / "docs" / "spec"


def test_the_page_has_the_requirements_of_the_code_and_no_other() -> None:
    assert page.PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2] == page.tables()


def test_each_row_is_one_requirement() -> None:
    rows = page.rows(page.PAGE.read_text(encoding="utf-8"))
    assert sorted(row[0] for row in rows) == sorted(one.id for one in EVERY)
    assert all(cell for row in rows for cell in row)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.id)
def test_a_requirement_has_a_check_or_a_reason_and_its_clause_exists(one: Requirement) -> None:
    assert re.fullmatch(r"ECNY-[A-Z]{3}-\d{2}", one.id)
    assert area_name(one.area)
    assert (one.check is None) == bool(one.untestable)
    assert one.how.endswith(".")
    assert one.text.endswith(".")
    assert "|" not in one.text + one.how
    text = (SPEC / one.page).read_text(encoding="utf-8")
    if one.page.endswith(".md"):
        assert one.heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    else:
        assert re.search(rf"^{re.escape(one.heading)}(<[a-z]+>)? =", text, re.MULTILINE)


def test_no_sentence_is_there_twice() -> None:
    assert not [text for text, count in Counter(one.text for one in EVERY).items() if count > 1]
    checks = [one.check for one in EVERY if one.check]
    assert len(checks) == len(set(checks))


def test_numbers_run_without_a_gap() -> None:
    for code in {one.area for one in EVERY}:
        numbers = sorted(int(one.id[-2:]) for one in EVERY if one.area == code)
        assert numbers == list(range(1, len(numbers) + 1)), code


def test_every_section_about_a_card_is_cited() -> None:
    """Sections of apdu.md, but for the one on how a till uses the commands."""
    text = (SPEC / "apdu.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^#+ (.*)$", text, re.MULTILINE)) - {"How the till uses it"}
    assert headings == {one.heading for one in EVERY if one.page == "apdu.md"}


def _code() -> str:
    folder = ROOT / "hardware" / "conformance" / "checks"
    return "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


@pytest.mark.parametrize("reason", [one for one in Refused if one is not Refused.COUNTERS_EXHAUSTED])
def test_every_reason_is_expected_by_some_check(reason: Refused) -> None:
    """All but the one that ECNY-PAY-30 lists as untestable."""
    assert f"Refused.{reason.name}" in _code()


def test_every_word_of_the_page_of_statuses_is_expected_by_some_check() -> None:
    """Beside the reasons. 6581 is untestable, 6F00 is an internal error: no requirement asks for one."""
    from hardware.status_words import SW

    text = (SPEC / "statuses.md").read_text(encoding="utf-8")
    sentence = text[text.index("Other status words:") :].partition("\n\n")[0]
    listed = {SW(int(word, 16)) for word in re.findall(r"`([0-9A-F]{4})`", sentence)}
    missing = {word.name for word in listed if f"SW.{word.name}" not in _code()} - {Refused(r).name for r in Refused}
    assert missing <= {"MEMORY_FAILURE", "NO_PRECISE_DIAGNOSIS", "WRONG_DATA"}


def test_every_instruction_object_and_tag_is_tried() -> None:
    told = " ".join(f"{one.text} {one.how}" for one in EVERY)
    names = {one.name.replace("_", " ") for one in Ins} - {"SET STATE", "GENERATE KEY PAIR"}
    assert not [name for name in names if name not in told]
    assert not [f"{tag:04X}" for tag in Tag if f"{tag:04X}" not in told]
    assert not [f"{tag:02X}" for tag in list(FCI_SIZES) if f"{tag:02X}" not in told]
