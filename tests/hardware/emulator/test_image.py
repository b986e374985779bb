"""The card on disk: one holder, every programmed cell kept, and a kill at any write is a power cut."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hardware.emulator import image as module
from hardware.emulator.flash import Flash, Outcome, Power, PowerLost
from hardware.emulator.image import CardFacts, CardImage
from hardware.emulator.journal import Journal
from hardware.emulator.layout import Layout
from support import tally
from wallet_core.errors import ConfigurationError, ReaderBusyError, StorageError

LAYOUT = Layout(payload_size=8, positions=3, cell_size=16)
SPARE = LAYOUT.cells  # a cell that the journal does not use
FACTS = CardFacts("visitor card", bytes(range(8)), 7, LAYOUT.cells + 1, 16)


def create(directory: Path) -> CardImage:
    image = CardImage.create(directory, FACTS, rng=Random(1))
    image.flash.power_on()
    Journal(image.flash, LAYOUT).format((0).to_bytes(8))
    return image


def load(image: CardImage) -> tuple[Journal, int]:
    image.flash.power_on()
    journal = Journal(image.flash, LAYOUT)
    return journal, int.from_bytes(journal.load())


def reopen(directory: Path) -> int:
    with CardImage.open(directory, rng=Random(2)) as image:
        return load(image)[1]


def test_what_was_programmed_is_there_when_the_card_is_opened_again(tmp_path: Path) -> None:
    with create(tmp_path / "card") as image:
        journal, _ = load(image)
        journal.commit((41).to_bytes(8))
        journal.commit((42).to_bytes(8))
        content = image.flash.snapshot()
    assert not image.flash.powered
    with CardImage.open(tmp_path / "card", rng=Random(1)) as again:
        assert again.facts == FACTS
        assert again.flash.snapshot() == content
        assert load(again)[1] == 42
    assert (tmp_path / "card" / module.FLASH_FILE).stat().st_size == FACTS.cells * 16


def test_the_directory_is_private_and_says_what_it_is(tmp_path: Path) -> None:
    create(tmp_path / "card").close()
    assert (tmp_path / "card").stat().st_mode & 0o077 == 0
    for file in (tmp_path / "card").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    facts = json.loads((tmp_path / "card" / module.CARD_FILE).read_text())
    assert facts["serial"] == "0001020304050607"
    assert "debug, insecure" in facts["notice"]


def test_unstable_cells_stay_unstable_on_disk_until_they_are_programmed(tmp_path: Path) -> None:
    with create(tmp_path) as image:
        image.flash.program(SPARE, b"a" * 16)
        image.flash.supply(Power(0, Outcome.UNSTABLE))
        with pytest.raises(PowerLost):
            image.flash.program(SPARE, b"b" * 16)
    with CardImage.open(tmp_path, rng=Random(1)) as image:
        assert image.flash.unstable() == {SPARE: (b"a" * 16, b"b" * 16)}
        image.flash.power_on()
        assert len({image.flash.read(SPARE * 16, 16) for _ in range(50)}) > 2
        image.flash.program(SPARE, b"c" * 16)
    with CardImage.open(tmp_path, rng=Random(1)) as image:
        assert image.flash.unstable() == {}
        assert image.flash.wear(SPARE) == 3


def test_one_card_is_held_once(tmp_path: Path) -> None:
    with create(tmp_path):
        for _ in range(2):
            with pytest.raises(ReaderBusyError):
                CardImage.open(tmp_path, rng=Random(1))
        with pytest.raises(ReaderBusyError):
            CardImage.create(tmp_path, FACTS, rng=Random(1))
        other = subprocess.run(
            [sys.executable, "-c", WRITER, str(tmp_path)], check=False, stderr=subprocess.PIPE, timeout=60
        )
        assert other.returncode == 1
        assert b"ReaderBusyError" in other.stderr
    reopen(tmp_path)


def test_a_card_is_not_made_over_another_and_a_refusal_holds_nothing(tmp_path: Path) -> None:
    create(tmp_path).close()
    with pytest.raises(ConfigurationError):
        CardImage.create(tmp_path, FACTS, rng=Random(1))
    assert reopen(tmp_path) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (module.CARD_FILE, b""),
        (module.CARD_FILE, b"[]"),
        (module.CARD_FILE, FACTS.to_json().replace("0001", "", 1).encode()),
        (module.CARD_FILE, FACTS.to_json().replace('"cells": ', '"cells": -', 1).encode()),
        (module.FLASH_FILE, b"short"),
        (module.WEAR_FILE, b""),
        (module.UNSTABLE_FILE, b"[]"),
        (module.UNSTABLE_FILE, b'{"0": ["zz"]}'),
        (module.UNSTABLE_FILE, b'{"0": ["00"]}'),
        (module.FLASH_FILE, None),
        (module.CARD_FILE, None),
    ],
)
def test_a_damaged_image_is_refused_and_let_go(tmp_path: Path, name: str, content: bytes | None) -> None:
    create(tmp_path).close()
    good = (tmp_path / name).read_bytes()
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            CardImage.open(tmp_path, rng=Random(1))
    (tmp_path / name).write_bytes(good)
    assert reopen(tmp_path) == 0


def test_a_full_disk_is_a_storage_error_and_the_cell_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    image = create(tmp_path)
    journal, _ = load(image)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match="No space left"):
            journal.commit((1).to_bytes(8))
        with pytest.raises(PowerLost):
            image.flash.read(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda descriptor, data, offset: len(data) - 1)
        image.flash.power_on()
        with pytest.raises(StorageError, match="only"):
            Journal(image.flash, LAYOUT).load()
    assert load(image)[1] == 0
    image.close()
    assert reopen(tmp_path) == 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError):
            CardImage.create(tmp_path / "other", FACTS, rng=Random(1))
    create(tmp_path / "other").close()


def test_a_durable_card_syncs_each_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path).close()
    synced: list[int] = []
    real: Callable[[int], None] = os.fdatasync

    def sync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    for durable, count in ((False, 0), (True, LAYOUT.positions + LAYOUT.payload_cells)):
        with CardImage.open(tmp_path, rng=Random(1), durable=durable) as image:
            load(image)
            assert len(synced) == count


class Killed(BaseException):
    """The process ends here."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """From the `number`-th write to the disk on, nothing reaches it."""
    calls = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] > number:
                raise Killed
            return real(*arguments, **named)

        return call

    monkeypatch.setattr(os, "pwrite", dying(os.pwrite))
    monkeypatch.setattr(Path, "replace", dying(Path.replace))
    return monkeypatch


@pytest.mark.parametrize("cell", [None, LAYOUT.first_cell(2), LAYOUT.seal_cell(2)])
def test_a_kill_between_any_two_writes_is_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: int | None
) -> None:
    """With a cell that is unstable already where the commit will go, and without one."""
    kills = wrong = 0
    done = False
    while not done:
        directory = tmp_path / str(kills)
        with create(directory) as image:
            journal, _ = load(image)
            if cell is not None:
                spoil(image.flash, cell)
                journal, _ = load(image)
            with monkeypatch.context() as patch:
                killed_at(kills, patch)
                try:
                    journal.commit((1).to_bytes(8))
                    done = True
                except Killed:
                    kills += 1
        answers = {reopen(directory) for _ in range(3)}
        wrong += len(answers) != 1 or not answers <= ({1} if done else {0, 1})
    tally.record("power cuts", total=kills, wrong=wrong)
    assert wrong == 0
    assert kills >= 2 * LAYOUT.record_cells


def spoil(flash: Flash, cell: int) -> None:
    flash.supply(Power(0, Outcome.UNSTABLE))
    with pytest.raises(PowerLost):
        flash.program(cell, bytes(16))


WRITER = """
import sys
from pathlib import Path
from random import Random
from hardware.emulator.image import CardImage
from hardware.emulator.journal import Journal
from hardware.emulator.layout import Layout

layout = Layout(payload_size=8, positions=3, cell_size=16)
image = CardImage.open(Path(sys.argv[1]), rng=Random(1))
image.flash.power_on()
journal = Journal(image.flash, layout)
number = int.from_bytes(journal.load())
while True:
    print(number, flush=True)
    number += 1
    journal.commit(number.to_bytes(8))
"""


def kill_after(directory: Path, answers: int, program: str = WRITER) -> int:
    """Kill a writer once it has given so many answers; the last answer that it gave, the ones on their way included."""
    command = [sys.executable, "-c", program, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        if writer.stdout is None or writer.stderr is None:
            raise RuntimeError("a writer without pipes")
        said = [line for _ in range(answers) if (line := writer.stdout.readline())]
        writer.send_signal(signal.SIGKILL)  # nothing happens if it has ended
        said += writer.stdout.readlines()
        ended = writer.wait()
        if ended != -signal.SIGKILL or len(said) < answers:
            raise RuntimeError(f"the writer ended by itself ({ended}): {writer.stderr.read().decode()}")
    return int(said[-1])


def test_a_killed_emulator_has_kept_all_that_it_answered(tmp_path: Path) -> None:
    create(tmp_path).close()
    last = 0
    for rounds in range(4):
        answered = kill_after(tmp_path, 10 + 37 * rounds)
        kept = reopen(tmp_path)
        wrong = kept not in (answered, answered + 1) or kept <= last
        tally.record("power cuts", total=1, wrong=wrong)
        assert not wrong
        last = kept


@pytest.mark.parametrize("answers", [0, 3])
def test_a_writer_that_ends_by_itself_is_told_with_its_reason_and_is_no_kill(tmp_path: Path, answers: int) -> None:
    """Its pipe is then empty or short of answers: not a power cut, and no answer to compare the card with."""
    program = f"print(*range({answers}), sep='\\n'); raise SystemExit('the card did not open')"
    with pytest.raises(RuntimeError, match=r"by itself \(1\): the card did not open"):
        kill_after(tmp_path, 4, program)
