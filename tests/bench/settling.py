"""`settle_inproc` and `settle_http`: the settlement service on a real database, in process and behind HTTP, against
nothing but verifying on the same cores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.ceiling import Ceiling, cores
from bench.operation import Operation, set_up
from bench.rounds import interleave
from bench.server_process import Line, ServerProcess
from bench.sizes import Sizes
from bench.vouchers import Batch, Tills
from server.app import Parts
from wallet_core.keys import PublicKey
from wallet_core.messages import DepositAnswer, DepositStatus, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE

Send = Callable[[bytes], bytes]
"""Hands one batch in and returns the answer's bytes; one for each till."""


class Round:
    """Settles a round's batches with one sender for each till, and believes no answer that it has not verified."""

    def __init__(self, tills: Tills, sizes: Sizes, senders: Sequence[Send], operator: PublicKey) -> None:
        self._tills = tills
        self._sizes = sizes
        self._senders = senders
        self._operator = operator
        self.vouchers = 0
        self.credited = 0

    def per_second(self, _round: int = 0) -> float:
        """Vouchers settled per second, from the first batch handed in to the last answer verified."""
        work = self._tills.next_batches(self._sizes.batches, self._sizes.vouchers)
        start_line = threading.Barrier(len(work) + 1)
        with ThreadPoolExecutor(len(work)) as pool:
            running = [
                pool.submit(self._till, send, batches, start_line)
                for send, batches in zip(self._senders, work, strict=True)
            ]
            start_line.wait()
            start = time.perf_counter()
            for till in running:
                till.result()
            elapsed = time.perf_counter() - start
        batches = [batch for of_till in work for batch in of_till]
        self.vouchers += sum(batch.vouchers for batch in batches)
        self.credited += sum(batch.amount for batch in batches)
        return self._sizes.round_vouchers / elapsed

    def _till(self, send: Send, batches: Sequence[Batch], start_line: threading.Barrier) -> None:
        start_line.wait()
        for batch in batches:
            self.check(send(batch.raw), batch, self._operator)

    @staticmethod
    def check(raw: bytes, batch: Batch, operator: PublicKey) -> None:
        """Raises RuntimeError unless the operator says that every voucher is SETTLED and credits their whole sum."""
        answer = parse(DepositAnswer, raw, max_size=MAX_ANSWER_SIZE).verify(operator)
        if (answer.number, answer.batch_hash, answer.credited) != (batch.number, batch.hash, batch.amount):
            raise RuntimeError(f"batch {batch.number}: credited {answer.credited} of {batch.amount} fen")
        if answer.voucher_statuses != (DepositStatus.SETTLED,) * batch.vouchers:
            raise RuntimeError(f"batch {batch.number}: not every voucher is SETTLED")


def compare(sizes: Sizes, operation: Operation, tills: Tills, senders: Sequence[Send]) -> tuple[Round, dict[str, Any]]:
    """Warm up, then rounds of settling between rounds of verifying; the figures of both."""
    candidate = Round(tills, sizes, senders, operation.settings.keyring.operator.public)
    with Ceiling(*tills.signatures(sizes.round_vouchers)) as ceiling:
        candidate.per_second()
        found = interleave(candidate.per_second, ceiling.per_second, sizes.settle)
    return candidate, {
        **found.facts(),
        "per_s": round(found.candidate),
        "ceiling_per_s": round(found.control),
        "vouchers": candidate.vouchers,
        "batch": sizes.vouchers,
        "cards": sizes.cards,
        "tills": sizes.tills,
    }


def settle_inproc(sizes: Sizes, directory: Path) -> dict[str, Any]:
    """`directory`: empty, on the disk to be measured."""
    operation = set_up(directory, tills=sizes.tills, cards=sizes.cards)
    settings = replace(operation.settings, workers=cores())
    parts = Parts.of(settings)
    try:
        senders: list[Send] = [lambda raw: parts.settlement.settle(raw, settings.clock())] * sizes.tills
        with Tills(sizes.tills, operation.certificates) as tills:
            candidate, figures = compare(sizes, operation, tills, senders)
        operation.check_books(candidate.credited)
    finally:
        parts.close()
    return {**figures, "workers": settings.workers}


def settle_http(sizes: Sizes, directory: Path) -> dict[str, Any]:
    """The same through a real `ecny server run` on the loopback interface, one connection kept alive for each till."""
    operation = set_up(directory, tills=sizes.tills, cards=sizes.cards)
    with ServerProcess(operation.data, workers=cores()) as server, ExitStack() as lines:
        senders: list[Send] = [lines.enter_context(Line(server.address)).deposit for _ in range(sizes.tills)]
        with Tills(sizes.tills, operation.certificates) as tills:
            candidate, figures = compare(sizes, operation, tills, senders)
    operation.check_books(candidate.credited)
    return {**figures, "workers": cores()}
