"""Events are numbered, never lost or reordered for who comes back in time, and a gap is told to who does not."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from hardware.desk.events import MAX_STREAMS, EventLog, Gap, stream
from hardware.desk.problems import DeskProblem


def log(window: int = 100) -> EventLog:
    return EventLog("b", now_ms=itertools.count().__next__, window=window)


def told(text: str) -> tuple[str, str, dict[str, object]]:
    """id, event and data of one event as it is sent."""
    fields = dict(line.split(": ", 1) for line in text.strip().splitlines())
    return fields["id"], fields["event"], json.loads(fields["data"])


def take(source: Iterator[str], count: int) -> list[tuple[str, str, dict[str, object]]]:
    """The next events, comments and `retry` passed over."""
    events = (one for one in source if one.startswith("id:"))
    return [told(one) for one in itertools.islice(events, count)]


def test_numbers_rise_by_one_whoever_emits() -> None:
    events = log(window=5_000)
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda n: events.emit("x", n=n), range(1_000)))
    assert sorted(numbers) == list(range(1, 1_001))
    gap, kept = events.after(0)
    assert gap is None
    assert [one.number for one in kept] == list(range(1, 1_001))


def test_a_reader_that_comes_back_gets_each_event_once_and_in_order() -> None:
    events = log()
    for n in range(10):
        events.emit("x", n=n)
    first = take(stream(events, "b-2", 0.01), 3)
    again = take(stream(events, first[-1][0], 0.01), 5)
    assert [one[0] for one in first + again] == [f"b-{n}" for n in range(3, 11)]
    assert [one[2]["n"] for one in first + again] == list(range(2, 10))


def test_events_that_are_not_kept_any_more_are_a_gap() -> None:
    events = log(window=3)
    for n in range(10):
        events.emit("x", n=n)
    assert events.after(2) == (Gap(3, 7), events.after(7)[1])
    (gap, *rest) = take(stream(events, "b-2", 0.01), 4)
    assert gap == ("b-7", "gap", {"kind": "gap", "boot": "b", "first": 3, "last": 7})
    assert [one[0] for one in rest] == ["b-8", "b-9", "b-10"]


@pytest.mark.parametrize("position", ["other-3", "b-99"])
def test_another_boot_is_a_gap_and_goes_on_from_now(position: str) -> None:
    events = log()
    events.emit("x")
    source = stream(events, position, 0.01)
    assert take(source, 1) == [("b-1", "gap", {"kind": "gap", "boot": "b", "first": 0, "last": 0})]
    events.emit("y")
    assert take(source, 1)[0][:2] == ("b-2", "y")


@pytest.mark.parametrize("position", ["", "b", "b-", "b-x", "b-²", "b-" + "9" * 30])
def test_a_position_that_is_none_is_refused(position: str) -> None:
    with pytest.raises(DeskProblem) as caught:
        log().start_of(position)
    assert caught.value.name == "malformed"


def test_silence_is_filled_with_comments_and_closing_ends_the_stream() -> None:
    events = log()
    source = stream(events, None, 0.001)
    assert next(source) == "retry: 1000\n\n"
    assert next(source) == ": here\n\n"
    events.close()
    assert list(source) in ([], [": here\n\n"])


def test_a_reader_that_waits_is_woken() -> None:
    events = log()
    found: list[tuple[str, str, dict[str, object]]] = []
    reader = threading.Thread(target=lambda: found.extend(take(stream(events, None, 10), 1)))
    reader.start()
    while not found and reader.is_alive():  # emitted before the reader listens, an event is none of its
        events.emit("x")
        reader.join(0.01)
    reader.join(10)
    assert found[0][1] == "x"


def test_a_slow_reader_never_sees_less_without_being_told() -> None:
    """Read in pieces while others emit far beyond the window: numbers only rise, and what is missing is in a gap."""
    events = log(window=20)
    source = stream(events, "b-0", 0.001)
    seen, missing = 0, 0
    for burst in (5, 60, 1, 30, 19):
        for _ in range(burst):
            events.emit("x")
        while seen < events.newest:
            identity, kind, data = take(source, 1)[0]
            if kind == "gap":
                assert data["first"] == seen + 1
                missing += int(str(data["last"])) - seen
                seen = int(str(data["last"]))
            else:
                assert identity == f"b-{seen + 1}"
                seen += 1
    assert seen == 115
    assert missing == (60 - 20) + (30 - 20)


def test_there_are_so_many_seats_and_they_are_given_back() -> None:
    events = log()
    with events.seat():
        others = [events.seat() for _ in range(MAX_STREAMS - 1)]
        for seat in others:
            seat.__enter__()
        with pytest.raises(DeskProblem) as caught, events.seat():
            pass
        assert caught.value.name == "too-many-streams"
        for seat in others:
            seat.__exit__(None, None, None)
    with events.seat():
        pass
