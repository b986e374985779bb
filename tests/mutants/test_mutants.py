"""A slice of `make mutants`: every patch applies, every invariant has one, and the runner can tell noticed from not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants.catalogue import INVARIANTS, CatalogueError, Mutant, catalogue, read
from mutants.copies import DoesNotApplyError, apply, copy_tree
from mutants.run import silent, try_mutant

QUICK = "pytest tests/wallet_core/purse/test_spend.py::test_what_a_debit_changes"
HARMLESS = """\
Breaks: I4
Fault: none at all
Caught-by: {detector}
--- a/wallet_core/purse/spend.py
+++ b/wallet_core/purse/spend.py
@@ -1 +1,2 @@
+# nothing is wrong here
 \"\"\"The payer's side: PAY and RESEND as pure decisions.
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_tree(tmp_path_factory.mktemp("mutants") / "tree")


def written(folder: Path, text: str) -> Mutant:
    patch = folder / "harmless.patch"
    patch.write_text(text, encoding="utf-8")
    return read(patch)


def test_every_patch_applies(tree: Path) -> None:
    for mutant in catalogue():
        apply(mutant, tree, dry=True)


def test_every_invariant_has_a_planted_fault() -> None:
    assert {mutant.breaks for mutant in catalogue()} == set(INVARIANTS)


def test_a_planted_fault_is_caught(tmp_path: Path) -> None:
    mutant = next(one for one in catalogue() if one.name == "counter-stands")
    assert silent(mutant.detectors, tmp_path) == []
    assert try_mutant(mutant, tmp_path) == ""


def test_what_changes_nothing_is_not_caught(tmp_path: Path) -> None:
    assert try_mutant(written(tmp_path, HARMLESS.format(detector=QUICK)), tmp_path) == f"not noticed by {QUICK}"


def test_a_detector_that_is_not_there_notices_nothing(tmp_path: Path) -> None:
    text = HARMLESS.format(detector="pytest tests/wallet_core/purse/test_no_such_file.py")
    assert "exit 4" in try_mutant(written(tmp_path, text), tmp_path)


def test_a_patch_whose_place_is_gone_does_not_apply(tmp_path: Path, tree: Path) -> None:
    text = HARMLESS.format(detector=QUICK).replace("The payer's side", "Another side")
    with pytest.raises(DoesNotApplyError, match="harmless"):
        apply(written(tmp_path, text), tree, dry=True)


@pytest.mark.parametrize(
    "text",
    ["Breaks: I4\nFault: x\n--- a/x\n", "Breaks: I10\nFault: x\nCaught-by: pytest x\n--- a/x\n", "Fault\n--- a/x\n"],
)
def test_a_head_that_does_not_say_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(CatalogueError):
        written(tmp_path, text)


def test_a_detector_that_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no detector"):
        written(tmp_path, HARMLESS.format(detector="hope"))
