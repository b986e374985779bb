"""The tables of docs/spec/conformance.md, as the registry has them.

`python tests/conformance/page.py` writes them into the page, between its first table heading and its end; the test
compares. What stands above the tables is written by hand.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final

import hardware.conformance.checks as _registered  # noqa: F401  # importing it registers every check
from hardware.conformance.report import area_name, link
from hardware.conformance.requirements import Requirement, in_order, registered
from support.tree import ROOT

PAGE: Final = ROOT / "docs" / "spec" / "conformance.md"
BEGIN: Final = "<!-- from here on the tables are those of the code: tests/conformance/page.py writes them -->\n"
_COLUMNS: Final = "| id | requirement | clause | stage | how it is tried |\n|---|---|---|---|---|\n"


def tables() -> str:
    """Every requirement, an area a table; the untestable ones in a table of their own at the end."""
    parts = []
    tried = [one for one in registered() if not one.untestable]
    for code, some in groupby(in_order(tried), key=lambda one: one.area):
        parts.append(f"\n## {code}: {area_name(code)}\n\n{_COLUMNS}{''.join(_row(one) for one in some)}")
    rest = "".join(_row(one) for one in in_order(registered()) if one.untestable)
    parts.append("\n## Untestable through a reader\n\n| id | requirement | clause | why |\n|---|---|---|---|\n" + rest)
    return "".join(parts)


def _row(one: Requirement) -> str:
    clause = f"[{one.page.partition('.')[0]}, *{one.heading}*]({link(one)})"
    stage = "" if one.untestable else f" {one.stage.name.lower()} |"
    return f"| {one.id} | {one.text} | {clause} |{stage} {one.how} |\n"


def rows(page: str) -> list[list[str]]:
    """The cells of each row of the tables, without their headings."""
    return [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in re.findall(r"^\| ECNY-.*$", page, re.MULTILINE)
    ]


if __name__ == "__main__":
    above = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(above + BEGIN + tables(), encoding="utf-8")
