"""docs/spec/statuses.md and the code list the same statuses, with the same values, in the same order of precedence."""

from __future__ import annotations

import re
from enum import IntEnum

import pytest

from merchant_pos.sales import SaleState
from support.tree import ROOT
from wallet_core.errors import ExitCode, Refused
from wallet_core.messages import DepositStatus, RefusalStatus

PAGE = (ROOT / "docs" / "spec" / "statuses.md").read_text(encoding="utf-8")


def table(title: str) -> list[list[str]]:
    """The rows of the table under a heading, without its head."""
    section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"no section {title}"
    rows = [line for line in section[1].splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_reasons_of_a_purse() -> None:
    """The order is that of precedence: tests/wallet_core/purse/test_precedence.py holds the purse to it."""
    assert [(int(row[0], 16), row[1]) for row in table("Reasons of a purse")] == [(r.value, r.name) for r in Refused]


@pytest.mark.parametrize(
    ("title", "statuses"), [("Vouchers of a deposit", DepositStatus), ("Refusals of a deposit", RefusalStatus)]
)
def test_statuses_of_a_deposit(title: str, statuses: type[IntEnum]) -> None:
    """Rising numbers, and 0, the good end, last: nothing before it applied."""
    rows = [(int(row[0]), row[1]) for row in table(title)]
    assert rows == [*((s.value, s.name) for s in sorted(statuses) if s), (0, statuses(0).name)]


def test_states_of_a_sale() -> None:
    assert [row[0] for row in table("A sale at the till")] == [state.name for state in SaleState]


def test_exit_codes() -> None:
    assert [int(row[0]) for row in table("Exit codes")] == [code.value for code in ExitCode]
    assert all(re.fullmatch(r"[a-z].*", row[1]) for row in table("Exit codes"))


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_an_exit_code_means_what_its_name_says(code: ExitCode) -> None:
    """At least one word of the name is in the text, so that rows cannot be exchanged unseen."""
    words = {"OK": {"done"}, "USAGE": {"usage"}, "NO_SERVICE": {"service"}, "WRONG_APPLET": {"applet"}}
    expected = words.get(code.name, set(code.name.lower().split("_")) - {"no", "wrong"})
    (text,) = [row[1] for row in table("Exit codes") if int(row[0]) == code]
    assert expected & set(re.findall(r"[a-z]+", text))


def test_every_reason_says_what_it_means() -> None:
    assert all(len(row) == 4 and row[2] and row[3] for row in table("Reasons of a purse"))


def test_what_the_page_promises_about_status_words() -> None:
    """Those of a reason are listed once; the others of the page are none of them."""
    other = PAGE.split("Other status words:")[1].split("##")[0]
    words = {int(word, 16) for word in re.findall(r"`([0-9A-F]{4})`", other)}
    assert len(words) > 10
    assert not words & {reason.value for reason in Refused}
