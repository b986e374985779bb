"""Many signatures at once: inline and by worker processes, the same verdicts, also when workers die or hang."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from server.settlement import pool
from server.settlement.pool import ProcessVerifier, verifier
from server.settlement.signatures import BAD, GOOD, PIECE_SIZE, Checker, InlineVerifier, piece
from server.settlement.worker import frame, read_frame, serve
from support.keys import CARD, OTHER_CARD


def pieces(count: int, bad: frozenset[int] = frozenset()) -> list[bytes]:
    """`count` checks by two cards; those at `bad` do not hold."""
    made = []
    for at in range(count):
        party = (CARD, OTHER_CARD)[at % 2]
        message = f"message {at}".encode()
        signature = party.key.sign(message if at not in bad else b"something else")
        made.append(piece(party.key.public.x + party.key.public.y, hashlib.sha256(message).digest(), signature))
    return made


def expected(count: int, bad: frozenset[int] = frozenset()) -> bytes:
    return bytes(BAD if at in bad else GOOD for at in range(count))


@pytest.fixture(scope="module")
def workers() -> Iterator[ProcessVerifier]:
    made = ProcessVerifier(2)
    yield made
    made.close()


SOME = frozenset({0, 5, 39, 99})


def test_inline() -> None:
    assert InlineVerifier().submit(pieces(100, SOME)).result() == expected(100, SOME)
    assert InlineVerifier().submit([]).result() == b""


def test_a_point_off_the_curve_and_numbers_out_of_range_are_bad() -> None:
    good = pieces(1)[0]
    off = b"\1" * 64 + good[64:]
    zero, large = good[:96] + bytes(64), good[:96] + b"\xff" * 64
    assert Checker().check(b"".join((good, off, zero, large))) == bytes((GOOD, BAD, BAD, BAD))


def test_parsed_keys_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.settlement.signatures.MAX_KEYS", 1)
    checker = Checker()
    assert checker.check(b"".join(pieces(6, SOME))) == expected(6, SOME)
    assert len(checker._keys) == 1


def test_workers_say_the_same(workers: ProcessVerifier) -> None:
    assert workers.submit(pieces(100, SOME)).result() == expected(100, SOME)
    assert len(workers.pids) == 2


def test_a_few_signatures_start_no_process() -> None:
    idle = ProcessVerifier(2)
    assert idle.submit(pieces(pool.INLINE_BELOW - 1)).result() == expected(pool.INLINE_BELOW - 1)
    assert idle.pids == ()
    idle.close()


def test_from_several_threads(workers: ProcessVerifier) -> None:
    results: list[bytes] = []

    def submit() -> None:
        results.append(workers.submit(pieces(64, SOME)).result())

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected(64, SOME)] * 4


def test_a_killed_worker_costs_nothing_but_time(workers: ProcessVerifier) -> None:
    workers.start()
    before = workers.pids
    os.kill(before[0], signal.SIGKILL)
    assert workers.submit(pieces(100, SOME)).result() == expected(100, SOME)
    os.kill(before[1], signal.SIGKILL)
    assert workers.submit(pieces(100, SOME)).result() == expected(100, SOME)
    assert workers.submit(pieces(100, SOME)).result() == expected(100, SOME)
    assert len(workers.pids) == 2
    assert not set(workers.pids) & set(before)


def test_killed_while_it_has_work(workers: ProcessVerifier) -> None:
    workers.start()
    for pid in workers.pids:
        os.kill(pid, signal.SIGSTOP)
    under_way = workers.submit(pieces(100, SOME))
    for pid in workers.pids:
        os.kill(pid, signal.SIGKILL)
    assert under_way.result() == expected(100, SOME)


def test_a_worker_that_hangs_is_given_up(workers: ProcessVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "WAIT_S", 0.05)
    workers.start()
    for pid in workers.pids:
        os.kill(pid, signal.SIGSTOP)
    assert workers.submit(pieces(100, SOME)).result() == expected(100, SOME)


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("server.settlement.pool.subprocess.Popen", refuse)
    poor = ProcessVerifier(2)
    assert poor.submit(pieces(100, SOME)).result() == expected(100, SOME)
    poor.close()


def test_closed_it_still_checks_but_starts_nothing() -> None:
    closed = ProcessVerifier(1)
    closed.start()
    (pid,) = closed.pids
    closed.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert closed.submit(pieces(100, SOME)).result() == expected(100, SOME)
    assert closed.pids == ()


def test_no_workers_means_inline() -> None:
    assert isinstance(verifier(0), InlineVerifier)
    assert isinstance(verifier(1), ProcessVerifier)


def test_frames() -> None:
    stream = io.BytesIO(frame(b"abc") + frame(b"") + frame(b"torn")[:-1])
    assert [read_frame(stream) for _ in range(3)] == [b"abc", b"", None]


def test_the_worker_answers_frames_until_its_input_ends() -> None:
    data = pieces(3, frozenset({1}))
    source, sink = io.BytesIO(frame(b"".join(data)) + frame(data[0])), io.BytesIO()
    serve(source, sink)
    assert sink.getvalue() == frame(bytes((GOOD, BAD, GOOD))) + frame(bytes((GOOD,)))
    assert len(data[0]) == PIECE_SIZE
