"""Signatures checked by worker processes, so that every core verifies while one thread writes.

Workers are plain child processes over pipes: no fork of a threaded server, no re-import of its main module, and they
end with it however it ends. They are started when the first large batch comes. A worker that dies costs nothing but
time: what it had is checked inline, and the next batch starts another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

import server
from server.settlement.signatures import PIECE_SIZE, InlineVerifier, Pending
from server.settlement.worker import frame, read_frame
from wallet_core.suites import Suite

MIN_CHUNK, MAX_CHUNK = 16, 128  # signatures; small enough to share out evenly, large enough to hide the pipe
INLINE_BELOW = 16  # signatures; not worth a process
WAIT_S = 60.0
STOP_S = 5.0


class _Ticket:
    """One chunk on its way; `verdicts` stays None when its worker died."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.verdicts: bytes | None = None
        self.done = threading.Event()

    def finish(self, verdicts: bytes | None) -> None:
        if verdicts is not None and len(verdicts) == len(self.data) // PIECE_SIZE:
            self.verdicts = verdicts
        self.done.set()


class _Worker:
    """A child process, its queue of tickets and the thread that reads its answers."""

    def __init__(self, suite: Suite) -> None:
        environment = dict(os.environ)
        root = str(Path(server.__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "server.settlement.worker", suite.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._sending = threading.Lock()
        self._state = threading.Lock()
        self._tickets: deque[_Ticket] = deque()
        self.alive = True
        self.load = 0  # bytes sent and not answered
        self._reader = threading.Thread(target=self._read, name="settlement-verdicts", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, ticket: _Ticket) -> None:
        with self._sending:
            with self._state:
                if not self.alive:
                    ticket.finish(None)
                    return
                self._tickets.append(ticket)
                self.load += len(ticket.data)
            stream = cast(BinaryIO, self._process.stdin)
            try:
                stream.write(frame(ticket.data))
                stream.flush()
            except OSError:
                self._give_up()

    def _read(self) -> None:
        stream = cast(BinaryIO, self._process.stdout)
        while (verdicts := read_frame(stream)) is not None:
            with self._state:
                if not self._tickets:
                    break
                ticket = self._tickets.popleft()
                self.load -= len(ticket.data)
            ticket.finish(verdicts)
        self._give_up()

    def _give_up(self) -> None:
        with self._state:
            self.alive = False
            lost, self._tickets = self._tickets, deque()
        for ticket in lost:
            ticket.finish(None)

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        with self._sending, suppress(OSError):
            cast(BinaryIO, self._process.stdin).close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        cast(BinaryIO, self._process.stdout).close()


class _Shared:
    """The chunks of one submission."""

    def __init__(self, sent: list[tuple[_Worker, _Ticket]], inline: InlineVerifier) -> None:
        self._sent = sent
        self._inline = inline

    def result(self) -> bytes:
        return b"".join(self._one(worker, ticket) for worker, ticket in self._sent)

    def _one(self, worker: _Worker, ticket: _Ticket) -> bytes:
        if not ticket.done.wait(WAIT_S):
            worker.kill()  # a stopped worker: its reader gives up what it had
        return ticket.verdicts if ticket.verdicts is not None else self._inline.submit([ticket.data]).result()


class ProcessVerifier:
    """`workers` processes (at least 1); close it, or the workers end with this process."""

    def __init__(self, workers: int, suite: Suite = Suite.ES256) -> None:
        self._suite = suite
        self._count = max(1, workers)
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._closed = False
        self._inline = InlineVerifier(suite)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that run now."""
        return tuple(worker.pid for worker in self._workers if worker.alive)

    def start(self) -> None:
        """Start missing workers now rather than with the first large batch."""
        with self._lock:
            self._ready()

    def submit(self, pieces: Sequence[bytes]) -> Pending:
        if len(pieces) < INLINE_BELOW:
            return self._inline.submit(pieces)
        size = min(MAX_CHUNK, max(MIN_CHUNK, -(-len(pieces) // (4 * self._count))))
        tickets = [_Ticket(b"".join(pieces[at : at + size])) for at in range(0, len(pieces), size)]
        sent = []
        for ticket in tickets:
            with self._lock:
                worker = self._next()
            if worker is None:
                return self._inline.submit(pieces)
            worker.send(ticket)
            sent.append((worker, ticket))
        return _Shared(sent, self._inline)

    def _next(self) -> _Worker | None:
        """The worker with the least to do; None when none can be started."""
        self._ready()
        return min((w for w in self._workers if w.alive), key=lambda w: w.load, default=None)

    def _ready(self) -> None:
        if self._closed or sum(worker.alive for worker in self._workers) == self._count:
            return
        for dead in [worker for worker in self._workers if not worker.alive]:
            dead.close()
            self._workers.remove(dead)
        with suppress(OSError):  # no process to be had: fewer workers, or none
            while len(self._workers) < self._count:
                self._workers.append(_Worker(self._suite))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            while self._workers:
                self._workers.pop().close()


def verifier(workers: int, suite: Suite = Suite.ES256) -> InlineVerifier | ProcessVerifier:
    """Of signatures of `suite`; `workers` = 0 checks in the calling thread."""
    return ProcessVerifier(workers, suite) if workers else InlineVerifier(suite)
