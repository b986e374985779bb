"""Power loss of till and server at 200 points of a recorded day, and the faults that this must find."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crash.plants import PLANTS
from crash.power import POINTS, Outcome, PowerLoss
from crash.recording import record
from crash.shop import SERVER, TILL, Plants
from merchant_pos.journal import Journal
from server.storage.sqlite import SqliteStorage
from support import tally
from support.keys import TILL as TILL_KEY

FULL = 2  # PRAGMA synchronous
FAULTS = [
    ({SERVER: "synchronous-off"}, ""),
    ({TILL: "synchronous-normal"}, "in the journal"),
    ({TILL: "names-not-synced"}, "the till"),
]


def lose_power(directory: Path, seed: str, *, every: int, sales: int = 10, plants: Plants | None = None) -> Outcome:
    day = record(directory / "day", seed, sales=sales, plants=plants or {})
    return PowerLoss(day, directory / "cuts", seed).run(every=every)


def test_power_loss_at_200_points(tmp_path: Path) -> None:
    outcome = lose_power(tmp_path, "slice", every=40)
    harm = [*outcome.harm.lost, *outcome.harm.doubled]
    tally.record("power cuts", sum(outcome.points.values()), wrong=len(harm))
    assert not harm
    assert sum(outcome.points.values()) == POINTS
    assert all(outcome.points[victim] >= POINTS // 6 for victim in ("till", "server", "both"))
    assert outcome.lived == POINTS // 40


@pytest.mark.parametrize(("plants", "words"), FAULTS, ids=lambda one: "-".join(one) if isinstance(one, dict) else "")
def test_a_disk_that_is_not_synced_is_found(tmp_path: Path, plants: Plants, words: str) -> None:
    assert set(plants.values()) <= set(PLANTS)
    outcome = lose_power(tmp_path, "slice", every=POINTS, sales=4, plants=plants)
    assert outcome.harm.lost
    assert words in outcome.harm.lost[0]


@pytest.mark.parametrize("make", [lambda path: Journal(path, till=TILL_KEY.id, now_ms=lambda: 0), SqliteStorage])
def test_every_commit_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Any]) -> None:
    """Each connection that journal and storage open has synchronous=FULL and write-ahead logging."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def watched(*args: Any, **more: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **more))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    made = make(tmp_path / "database")
    try:
        if isinstance(made, SqliteStorage):
            with made.reading():
                pass
        for connection in opened:
            assert connection.execute("PRAGMA synchronous").fetchone()[0] == FULL
            assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert len(opened) == (2 if isinstance(made, SqliteStorage) else 1)
    finally:
        made.close()
