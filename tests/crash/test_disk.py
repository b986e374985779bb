"""The model of the disk, and the recorder that feeds it: what is not synced may go, what is synced stays."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from crash.disk import SECTOR, Disk, Loss, ModelError
from crash.recorder import SAID, SYNC, WRITE, Record, compiled, read, variables


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("recorder"))


class Bench:
    """A directory in which recorded programs work."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.root, self.log, self._library = directory / "root", directory / "log", library
        (self.root / "there").mkdir(parents=True)
        (self.root / "there" / "old").write_bytes(b"old")
        self.disk = Disk(self.root)
        self._image = directory / "image"

    def do(self, program: str) -> list[Record]:
        """Run this Python program in `root/there`; the disk takes what it did."""
        done = subprocess.run(
            [sys.executable, "-S", "-c", "import os\n" + program],
            cwd=self.root / "there",
            env={**os.environ, "LD_PRELOAD": str(self._library), **variables(self.root, self.log)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.stderr
        records = read(self.log)
        for record in records:
            self.disk.take(record)
        return records

    def left(self, loss: Loss, seed: int = 0) -> dict[str, bytes]:
        """What lies in `there` after the power has gone."""
        self.disk.write(self._image, lambda _: loss, random.Random(seed))
        there = self._image / "there"
        return {str(path.relative_to(there)): path.read_bytes() for path in there.rglob("*") if path.is_file()}

    def all_left(self, loss: Loss) -> list[dict[str, bytes]]:
        return [self.left(loss, seed) for seed in range(60)]


@pytest.fixture
def bench(tmp_path: Path, library: Path) -> Bench:
    return Bench(tmp_path, library)


WRITE_NEW = "f = os.open('new', os.O_RDWR | os.O_CREAT)\nos.write(f, b'content')\n"
SYNC_NAMES = "d = os.open('.', os.O_RDONLY)\nos.fsync(d)\n"


def test_nothing_is_lost_but_with_the_power(bench: Bench) -> None:
    bench.do(WRITE_NEW + "os.pwrite(f, b'C', 0)\nos.ftruncate(f, 4)\nos.rename('old', 'older')\nos.mkdir('more')")
    assert bench.disk.agrees() == []
    assert bench.left(Loss.NOTHING) == {"new": b"Cont", "older": b"old"}
    assert bench.left(Loss.EVERYTHING) == {"old": b"old"}


def test_a_file_needs_its_name(bench: Bench) -> None:
    bench.do(WRITE_NEW + "os.fsync(f)")
    assert bench.left(Loss.EVERYTHING) == {"old": b"old"}


def test_a_name_needs_its_file(bench: Bench) -> None:
    bench.do(WRITE_NEW + SYNC_NAMES)
    assert bench.left(Loss.EVERYTHING) == {"old": b"old", "new": b""}


def test_what_is_synced_with_its_name_stays(bench: Bench) -> None:
    bench.do(WRITE_NEW + "os.fdatasync(f)\n" + SYNC_NAMES + "os.write(f, b' and more')")
    kept = [found["new"] for loss in Loss for found in bench.all_left(loss)]
    assert {b"content", b"content and more"} == set(kept)


def test_a_new_directory_needs_its_own_name(bench: Bench) -> None:
    bench.do("os.mkdir('d')\nos.chdir('d')\n" + WRITE_NEW + "os.fsync(f)\n" + SYNC_NAMES)
    assert "d/new" not in bench.left(Loss.EVERYTHING)
    assert bench.left(Loss.NOTHING)["d/new"] == b"content"


def test_a_removed_file_may_come_back(bench: Bench) -> None:
    bench.do("os.unlink('old')")
    assert bench.left(Loss.EVERYTHING) == {"old": b"old"}
    assert {"old" in found for found in bench.all_left(Loss.SCATTERED)} == {True, False}


def test_a_rename_is_whole(bench: Bench) -> None:
    bench.do(WRITE_NEW + "os.fsync(f)\n" + SYNC_NAMES + "os.rename('new', 'old')")
    found = [tuple(sorted(one.items())) for one in bench.all_left(Loss.SCATTERED)]
    assert set(found) == {(("new", b"content"), ("old", b"old")), (("old", b"content"),)}


def test_writes_are_torn_at_sectors(bench: Bench) -> None:
    bench.do(
        f"f = os.open('old', os.O_RDWR)\nos.ftruncate(f, {4 * SECTOR})\nos.fsync(f)\nos.write(f, b'x' * {4 * SECTOR})"
    )
    found = {bench.left(Loss.SCATTERED, seed)["old"] for seed in range(200)}
    assert len(found) == 16
    for content in found:
        sectors = [content[at : at + SECTOR] for at in range(0, len(content), SECTOR)]
        assert all(len(set(sector)) == 1 or sector.startswith(b"old\0") for sector in sectors)


def test_the_tail_goes_in_order(bench: Bench) -> None:
    bench.do("f = os.open('old', os.O_RDWR)\nfor one in range(20): os.pwrite(f, b'%02d' % one, 0)")
    found = {found["old"] for found in bench.all_left(Loss.TAIL)}
    assert {b"19d", b"12d"} <= found <= {b"%02dd" % one for one in range(8, 20)}


def test_words_and_syncs_are_in_their_order(bench: Bench) -> None:
    records = bench.do("f = os.open('old', os.O_RDWR)\nos.write(f, b'1')\nos.fsync(f)\nos.write(1, b'told')\n")
    assert [(one.op, one.data) for one in records] == [(WRITE, b"1"), (SYNC, b""), (SAID, b"told")]
    assert records[-1].end == bench.log.stat().st_size


@pytest.mark.parametrize(
    "program",
    ["os.link('old', 'other')", "f = os.open('old', os.O_RDWR)\nos.posix_fallocate(f, 0, 9)"],
    ids=["link", "fallocate"],
)
def test_an_unknown_call_is_not_missed(bench: Bench, program: str) -> None:
    with pytest.raises(ModelError, match="unknown call"):
        bench.do(program)


def test_a_call_that_was_not_recorded_is_seen(bench: Bench) -> None:
    bench.do(WRITE_NEW)
    (bench.root / "there" / "new").write_bytes(b"behind its back")
    (bench.root / "there" / "secret").write_bytes(b"")
    assert [Path(path).name for path in bench.disk.agrees()] == ["new", "secret"]


def test_a_damaged_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(40))
    with pytest.raises(ValueError, match="no record at byte 0"):
        read(tmp_path / "log")
