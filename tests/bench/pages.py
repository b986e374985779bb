"""Writes the modelled tables and pictures into docs/ again; a test finds them as they are made here.

PYTHONPATH=tests .venv/bin/python tests/bench/pages.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bench import relay_tables, tap_picture, tap_tables

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGES: Final = (
    DOCS / "benchmarks.md",
    DOCS / "explanation" / "how-long-a-tap-takes.md",
    DOCS / "explanation" / "relay.md",
)
TABLES: Final[Mapping[str, Callable[[], str]]] = {**tap_tables.TABLES, **relay_tables.TABLES}
PICTURES: Final[Mapping[Path, Callable[[], str]]] = {
    DOCS / "pictures" / "tap-time.svg": tap_picture.picture,
    DOCS / "pictures" / "relay.svg": relay_tables.picture,
}
_MARKED = re.compile(r"(<!-- made by tests/bench/pages\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def remade(page: str) -> str:
    """The page with each of its marked tables made anew. Raises KeyError for a table that nobody makes."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[3]}", page)


def tables_of(page: str) -> list[str]:
    """Names of the marked tables of a page."""
    return [name for _, name, _ in _MARKED.findall(page)]


def main() -> None:
    for path in PAGES:
        path.write_text(remade(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path, make in PICTURES.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
