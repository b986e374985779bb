"""Waiting for cards without a service and without time: what each state of things ends in."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.transports import scard
from hardware.transports.card_wait import RETRY_MS, SLICE_MS, ReaderWatch
from support.fake_scard import EMPTY, NO_SERVICE, PRESENT, UNAVAILABLE, FakeScard
from wallet_core.errors import ConfigurationError, NoCardError, NoReaderError, NoServiceError

NAME, ATR = "Virtual PCD 00 00", b"\x3b\x00"


class World:
    """A service whose every look and every pause takes the time that was allowed; things happen at set times (ms)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = 0
        self.scard = FakeScard(readers={NAME: (EMPTY, b"")})
        self.happenings: dict[int, Callable[[], None]] = {}
        self.cancelled = False
        look = self.scard.SCardGetStatusChange

        def status_change(context: int, timeout: int, states: list[tuple[str, int]]) -> list[object]:
            before = look(context, timeout, states)
            if before[0] != scard.TIMEOUT:
                return before
            self.pass_time(timeout)
            return look(context, 0, states)

        monkeypatch.setattr(self.scard, "SCardGetStatusChange", status_change)
        monkeypatch.setattr(scard, "load", lambda: self.scard)

    def at(self, ms: int, happening: Callable[[], None]) -> None:
        self.happenings[ms] = happening

    def pass_time(self, ms: float) -> None:
        self.now_ms += round(ms)
        for due in sorted(at for at in self.happenings if at <= self.now_ms):
            self.happenings.pop(due)()

    def reader(self, flags: int, atr: bytes = b"", events: int = 0) -> None:
        self.scard.readers[NAME] = (flags | events << 16, atr)

    def service(self, *results: int) -> None:
        """The next calls fail with these; from the last one on for ever, if it is not 0."""
        for function in ("SCardEstablishContext", "SCardGetStatusChange"):
            self.scard.fail[function] = list(results)
        self.scard.for_ever = bool(results)

    def watch(self) -> ReaderWatch:
        return ReaderWatch(
            NAME,
            clock_ns=lambda: self.now_ms * 1_000_000,
            pause=lambda seconds: self.pass_time(seconds * 1000),
            cancelled=lambda: self.cancelled,
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_card_that_is_there_is_seen_at_once_again_and_again(world: World) -> None:
    world.reader(PRESENT, ATR, events=1)
    with world.watch() as watch:
        assert [watch.wait_for_card(1_000) for _ in range(3)] == [ATR] * 3
    assert world.now_ms == 0
    assert world.scard.names()[-1] == "SCardReleaseContext"


def test_a_card_that_comes(world: World) -> None:
    world.at(600, lambda: world.reader(PRESENT, ATR, events=1))
    with world.watch() as watch:
        assert watch.wait_for_card(5_000) == ATR
    assert 600 <= world.now_ms < 600 + SLICE_MS


def test_a_card_that_does_not_come_or_does_not_answer(world: World) -> None:
    for flags in (EMPTY, PRESENT):
        world.reader(flags)  # present without an ATR: it is mute
        with world.watch() as watch, pytest.raises(NoCardError):
            watch.wait_for_card(1_000)
    assert world.now_ms == 2_000


def test_no_time_is_one_look(world: World) -> None:
    with world.watch() as watch:
        with pytest.raises(NoCardError):
            watch.wait_for_card(0)
        world.reader(PRESENT, ATR)
        assert watch.wait_for_card(0) == ATR
        assert not watch.wait_for_removal(0)
    assert world.now_ms == 0


def test_a_service_that_restarts_while_a_card_is_waited_for(world: World) -> None:
    world.at(300, lambda: world.service(NO_SERVICE))
    world.at(900, world.service)
    world.at(1_500, lambda: world.reader(PRESENT, ATR, events=1))
    with world.watch() as watch:
        assert watch.wait_for_card(5_000) == ATR
    assert 1_500 <= world.now_ms < 1_500 + SLICE_MS
    assert world.scard.names().count("SCardEstablishContext") > 2


def test_a_service_that_stays_away(world: World) -> None:
    world.service(NO_SERVICE)
    with world.watch() as watch:
        with pytest.raises(NoServiceError):
            watch.wait_for_card(1_000)
        with pytest.raises(NoServiceError):
            watch.wait_for_removal(1_000)
    assert world.now_ms == 2_000


@pytest.mark.parametrize("how", ["forgotten", "unavailable"])
def test_a_reader_that_is_unplugged(world: World, how: str) -> None:
    def unplug() -> None:
        if how == "forgotten":
            del world.scard.readers[NAME]
        else:
            world.reader(UNAVAILABLE)

    world.at(300, unplug)
    with world.watch() as watch:
        with pytest.raises(NoReaderError):
            watch.wait_for_card(1_000)
        assert world.now_ms == 1_000
        assert watch.wait_for_removal(1_000)
        assert world.now_ms == 1_000
        world.at(1_400, lambda: world.reader(PRESENT, ATR))
        assert watch.wait_for_card(1_000) == ATR
        assert world.now_ms < 1_400 + RETRY_MS + SLICE_MS


def test_a_card_that_goes(world: World) -> None:
    world.reader(PRESENT, ATR, events=1)
    world.at(600, lambda: world.reader(EMPTY, events=2))
    with world.watch() as watch:
        assert watch.wait_for_removal(5_000)
    assert 600 <= world.now_ms < 600 + SLICE_MS


def test_a_card_that_stays(world: World) -> None:
    world.reader(PRESENT, ATR, events=1)
    with world.watch() as watch:
        assert not watch.wait_for_removal(1_000)
    assert world.now_ms == 1_000


def test_a_card_that_was_swapped_between_two_looks_was_removed(world: World) -> None:
    world.reader(PRESENT, ATR, events=1)
    world.at(500, lambda: world.reader(PRESENT, ATR, events=3))
    with world.watch() as watch:
        assert watch.wait_for_removal(5_000)


def test_a_service_that_restarts_while_the_card_stays_counts_afresh(world: World) -> None:
    world.reader(PRESENT, ATR, events=9)

    def restart() -> None:
        world.service(NO_SERVICE)
        world.reader(PRESENT, ATR, events=1)

    world.at(300, restart)
    world.at(600, world.service)
    with world.watch() as watch:
        assert not watch.wait_for_removal(2_000)


def test_after_a_restart_between_two_looks_only_the_old_context_is_void(world: World) -> None:
    world.reader(PRESENT, ATR, events=9)

    def restart() -> None:
        world.scard.fail["SCardGetStatusChange"] = [NO_SERVICE]
        world.reader(PRESENT, ATR, events=1)

    with world.watch() as watch:
        world.at(300, restart)
        assert not watch.wait_for_removal(2_000)
        restart()
        assert watch.wait_for_card(0) == ATR
    assert world.scard.names().count("SCardEstablishContext") == 3


def test_a_wait_can_be_cancelled(world: World) -> None:
    def cancel() -> None:
        world.cancelled = True

    world.at(700, cancel)
    with world.watch() as watch, pytest.raises(NoCardError):
        watch.wait_for_card(60_000)
    assert world.now_ms <= 700 + SLICE_MS


def test_without_pyscard_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise ConfigurationError("pyscard is not usable")

    monkeypatch.setattr(scard, "load", load)
    with ReaderWatch(NAME) as watch, pytest.raises(ConfigurationError):
        watch.wait_for_card(60_000)
