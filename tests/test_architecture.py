"""docs/ARCHITECTURE.md holds: who may import whom, no circles, wallet_core without input or output, small modules."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tree import PACKAGES, ROOT, modules, source_files

MAY_IMPORT = {
    "wallet_core": set(),
    "hardware": {"wallet_core"},
    "server": {"wallet_core"},
    "merchant_pos": {"wallet_core", "hardware"},
}
# What reaches outside the process: files, sockets, other processes, the clock, chance.
OUTSIDE = {
    *(
        "asyncio",
        "ctypes",
        "fcntl",
        "glob",
        "http",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "random",
    ),
    *("secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "sqlite3", "subprocess", "sys"),
    *("tempfile", "threading", "time", "urllib", "click", "flask", "httpx", "requests", "rich", "smartcard"),
    *("sqlite_utils", "structlog", "waitress"),
}
FOREIGN_FUNCTIONS = {"wallet_core.libcrypto": {"ctypes"}}  # arithmetic and signatures, as pyca/cryptography does them
OUTSIDE_CALLS = {"open", "print", "input", "breakpoint"}
MODULE_LINES = 400
FUNCTION_LINES = 70

MODULES = modules()


def imports(name: str, path: Path) -> Iterator[str]:
    """Each module that `name` imports anywhere in its text, function bodies and type-checking blocks included.

    Our own modules are named to the module: ``from server import ledger`` is `server.ledger`.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            for alias in node.names:
                full = f"{origin}.{alias.name}"
                yield full if full in MODULES else origin


def folders() -> set[str]:
    return {f"{path.parent}/" for path in source_files() if path.parent != Path()}


def folder_rows() -> dict[str, str]:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| `([^`]+/)` \| (.*?) *\|$", text, re.MULTILINE))


def test_every_package_is_held_to_a_rule() -> None:
    assert set(MAY_IMPORT) == set(PACKAGES) == {name.split(".")[0] for name in MODULES}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_it_may(package: str) -> None:
    others = set(PACKAGES) - {package} - MAY_IMPORT[package]
    others |= {"support", "demo", "bench", "tests"}
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules(package).items()
        for imported in imports(name, path)
        if imported.split(".")[0] in others
    ]
    assert not wrong


def test_no_module_circle() -> None:
    graph = {name: {i for i in imports(name, path) if i in MODULES} - {name} for name, path in MODULES.items()}
    assert any(graph.values())
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("circle: " + " imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("name", sorted(set(modules("wallet_core")) - {"wallet_core.cli"}))
def test_wallet_core_does_no_input_or_output(name: str) -> None:
    path = MODULES[name]
    found = {imported for imported in imports(name, path) if imported.split(".")[0] in OUTSIDE}
    found -= FOREIGN_FUNCTIONS.get(name, set())
    found |= {imported for imported in imports(name, path) if imported == "wallet_core.cli"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OUTSIDE_CALLS:
            found.add(f"{node.func.id}() in line {node.lineno}")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"now", "today", "utcnow"}
        ):
            found.add(f"the clock in line {node.lineno}")
    assert not found


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_has_one_idea(name: str) -> None:
    text = MODULES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length < FUNCTION_LINES, f"{node.name} in line {node.lineno} has {length} lines"


def test_every_folder_has_its_sentence() -> None:
    """A folder of tests that mirrors a source folder has the sentence of that one."""
    rows = folder_rows()
    missing = sorted(folder for folder in folders() - set(rows) if folder.removeprefix("tests/") not in rows)
    assert not missing, "no row in docs/ARCHITECTURE.md"
    assert all(re.search(r"\w+ .*\w.*\.$", sentence) for sentence in rows.values())


def test_every_row_names_a_folder() -> None:
    """An empty folder is none: git does not keep it."""
    kept = {f"{parent}/" for path in source_files() for parent in path.parents}
    assert not sorted(set(folder_rows()) - kept)
