"""The documentation holds together: links resolve, quoted commands exist, the three editions are in step."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from bench import pages
from bench.taps import tap_modelled
from support.tree import PACKAGES, ROOT, source_files
from wallet_core.cli import root as ecny

PAGES = [path for path in source_files() if path.suffix == ".md"]
EDITIONS = [Path("README.md"), Path("README.zh-Hans.md"), Path("README.zh-Hant.md")]
PICTURES = [path for path in source_files() if path.suffix == ".svg"]
COMMON = {"--data", "--json", "--help", "-h", "--version"}
MAKE_VARIABLES = {
    "SUITE",
    "LOAD",
    "SALES",
    "READER",
    "CARD",
    "EXPLORE_SECONDS",
    "TRACE",
    "SEED",
    "PAYMENTS",
    "RUNS",
    "PYTHON",
    "CI",
}
SVG = "{http://www.w3.org/2000/svg}"


def by_name(path: Path) -> str:
    return str(path)


@cache
def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(path: Path) -> list[str]:
    """The contents of the fenced code blocks."""
    return re.findall(r"^```[^\n]*\n(.*?)^```$", text(path), re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """The page without its fenced code blocks."""
    return re.sub(r"^```[^\n]*\n.*?^```$", "", text(path), flags=re.MULTILINE | re.DOTALL)


def links(path: Path) -> list[str]:
    """Targets of links and images that stay in the repository."""
    found = re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(path)))
    found += re.findall(r"<(?:img|source)[^>]*\ssrc(?:set)?=\"([^\"]+)\"", prose(path))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def headings(path: Path) -> list[tuple[int, str]]:
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.*)$", prose(path), re.MULTILINE)]


def anchors(path: Path) -> set[str]:
    """As forges make them: lower case, no punctuation, hyphens for spaces."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(path)}


def quoted(path: Path, program: str) -> Iterator[list[str]]:
    """Each command line of `program` on the page, in words, without the program; from blocks and inline code."""
    lines = [line for block in blocks(path) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(path))
    for line in lines:
        bare = re.sub(r"^(\$ |sudo |[A-Z_]+=\S* |\.venv/bin/)*", "", line.strip())
        if bare.startswith(f"{program} "):
            words = shlex.split(bare.replace("…", ""), comments=True)
            yield words[1 : next((at for at, word in enumerate(words) if word in {"|", "&&", ";", ">"}), len(words))]


def options(command: click.Command) -> set[str]:
    return {name for parameter in command.params if isinstance(parameter, click.Option) for name in parameter.opts}


def fault_of(words: list[str]) -> str | None:
    """What is wrong with this command line, by click's own tree; None when it can be typed."""
    command: click.Command = ecny
    context = click.Context(ecny)
    for at, word in enumerate(words):
        if word.startswith("-") and word != "-":
            if word.partition("=")[0] not in options(command) | COMMON:
                return f"{' '.join(words[:at])} has no option {word}"
        elif isinstance(command, click.Group):
            below = command.get_command(context, word)
            if below is None:
                return f"no command {' '.join(words[: at + 1])}"
            command = below
    return None


def commands(group: click.Group, prefix: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_there_are_pages() -> None:
    assert {*EDITIONS, Path("docs/README.md"), Path("docs/glossary.md")} <= set(PAGES)
    assert PICTURES


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_relative_links_and_images_resolve(page: Path) -> None:
    wrong = []
    for target in links(page):
        name, _, anchor = target.partition("#")
        there = (ROOT / page).parent / name if name else ROOT / page
        if not there.exists() or (anchor and anchor not in anchors(there.resolve().relative_to(ROOT))):
            wrong.append(target)
    assert not wrong


def test_every_page_of_docs_can_be_reached_from_its_index() -> None:
    reached, todo = set[Path](), [Path("docs/README.md")]
    while todo:
        page = todo.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [((ROOT / page).parent / target.partition("#")[0]).resolve() for target in links(page)]
        todo += [target.relative_to(ROOT) for target in targets if target.suffix == ".md" and target.exists()]
    assert not sorted(str(page) for page in PAGES if page.parts[0] == "docs" and page not in reached)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_quoted_ecny_commands_exist(page: Path) -> None:
    assert not [fault for fault in map(fault_of, quoted(page, "ecny")) if fault]


def test_a_command_that_does_not_exist_is_found() -> None:
    assert fault_of(["verify", "FILE", "--trust", "DIR"]) is None
    assert fault_of(["verify", "--force"]) == "verify has no option --force"
    assert fault_of(["verifi", "FILE"]) == "no command verifi"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_quoted_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text(Path("Makefile")), re.MULTILINE))
    words = [word for line in quoted(page, "make") for word in line]
    assert {word.partition("=")[0] for word in words if "=" in word} <= MAKE_VARIABLES
    assert {word for word in words if "=" not in word} <= targets


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_quoted_environment_variables_are_read_somewhere(page: Path) -> None:
    code = "".join(text(path) for path in source_files() if path.suffix == ".py" and path.parts[0] in PACKAGES)
    assert {name for name in re.findall(r"\bECNY_[A-Z_]+", text(page)) if f'"{name}"' not in code} == set()


def test_the_command_line_page_has_every_command_with_its_options() -> None:
    page = text(Path("docs/spec/command-line.md"))
    rows = dict(re.findall(r"^\| `(ecny [a-z -]+?)[A-Z_…. ]*` \| (.*) \|$", page, re.MULTILINE))
    there = dict(commands(ecny, "ecny"))
    assert set(rows) == set(there)
    for name, command in there.items():
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", rows[name])) == {
            option for option in options(command) - COMMON if option.startswith("--")
        }, name


def test_the_editions_have_the_same_headings() -> None:
    levels = [[level for level, _ in headings(edition)] for edition in EDITIONS]
    assert levels[0] == levels[1] == levels[2]
    assert len(levels[0]) > 5


def test_the_editions_show_the_same_commands_and_output() -> None:
    shown = [[re.sub(r"\s+#.*", "", line) for block in blocks(e) for line in block.splitlines()] for e in EDITIONS]
    assert shown[0] == shown[1] == shown[2]


def test_the_editions_link_to_the_same_pages() -> None:
    targets = [sorted(re.sub(r"\.zh-Han[st]", "", target) for target in links(edition)) for edition in EDITIONS]
    assert targets[0] == targets[1] == targets[2]


def test_the_editions_state_the_same_figures() -> None:
    figures = [re.findall(r"\d[\d,.]*\d|\d", re.sub(r"\]\([^)]*\)", "", prose(edition))) for edition in EDITIONS]
    assert sorted(figures[0]) == sorted(figures[1]) == sorted(figures[2])


def test_the_figures_of_a_tap_are_those_of_the_code() -> None:
    """Pairs and bytes are counted, milliseconds modelled: the same on every machine."""
    figures = tap_modelled()
    known, rate = figures["scenes"]["known_card"]["typical_ms"], figures["kbps"]
    oldest, current = known[next(iter(known))], known[figures["chip"]]
    counted = [figures["known_card_exchanges"], figures["known_card_bytes"]]
    modelled = [rate, round(current[str(rate)]), round(oldest[str(rate)])]
    for edition in EDITIONS:
        rows = re.findall(r"^\| .*\b(?:539|424)\b.*$", text(edition), re.MULTILINE)
        shown = [[int(number) for number in re.findall(r"\d+", row)] for row in rows]
        assert shown == [counted, [*modelled, 2011]]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda path: path.name)
def test_the_tables_of_a_page_are_as_they_are_made(page: Path) -> None:
    """`tests/bench/pages.py` writes them again."""
    there = page.read_text(encoding="utf-8")
    assert pages.tables_of(there)
    assert there == pages.remade(there)


def test_every_table_that_is_made_is_on_a_page() -> None:
    shown = [name for page in pages.PAGES for name in pages.tables_of(page.read_text(encoding="utf-8"))]
    assert sorted(shown) == sorted(pages.TABLES)


@pytest.mark.parametrize("picture", pages.PICTURES, ids=lambda path: path.name)
def test_a_plotted_picture_is_as_it_is_made(picture: Path) -> None:
    assert picture.read_text(encoding="utf-8") == pages.PICTURES[picture]()


def test_glossary_terms_are_sorted_and_said_in_three_languages() -> None:
    rows = [line.strip("|").split("|") for line in text(Path("docs/glossary.md")).splitlines() if line.startswith("| ")]
    terms = [row[0].strip() for row in rows[1:]]
    assert terms == sorted(set(terms), key=str.casefold)
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in rows)


def test_every_decision_is_in_the_index_under_a_number_of_its_own() -> None:
    files = sorted(p.name for p in (ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    listed = re.findall(
        r"^\| (\d{4}) \| \[[^]]+\]\(((\d{4})-[^)]+)\) \|$", text(Path("docs/decisions/README.md")), re.M
    )
    assert [name for _, name, _ in listed] == files
    assert all(shown == number for shown, _, number in listed)
    assert len({name[:4] for name in files}) == len(files)


@pytest.mark.parametrize("page", [page for page in PAGES if "decisions" not in page.parts], ids=by_name)
def test_a_page_that_shows_amounts_says_test_money(page: Path) -> None:
    if re.search(r"RMB \d", text(page)):
        assert re.search(r"test money|测试货币|測試貨幣", text(page), re.IGNORECASE)


@pytest.mark.parametrize("picture", PICTURES, ids=by_name)
def test_a_picture_is_described_and_fits_light_and_dark(picture: Path) -> None:
    drawing = ET.fromstring(text(picture))
    assert drawing.tag == f"{SVG}svg"
    labels = (drawing.get("aria-labelledby") or "").split()
    described = {element.get("id"): element.text for element in drawing if element.tag in {f"{SVG}title", f"{SVG}desc"}}
    assert drawing.get("role") == "img"
    assert labels
    assert all((described.get(label) or "").strip() for label in labels)
    assert "prefers-color-scheme: dark" in text(picture)
    assert not [element for element in drawing.iter() if element.tag in {f"{SVG}script", f"{SVG}image"}]


def test_a_picture_in_another_language_is_the_same_drawing() -> None:
    translated = [picture for picture in PICTURES if ".zh-" in picture.name]
    assert translated
    for picture in translated:
        original = picture.with_name(re.sub(r"\.zh-Han[st]", "", picture.name))
        shapes = [
            [(e.tag, {k: v for k, v in e.attrib.items() if k != "lang"}) for e in ET.fromstring(text(p)).iter()]
            for p in (picture, original)
        ]
        assert shapes[0] == shapes[1]
