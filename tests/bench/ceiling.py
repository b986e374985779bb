"""The ceiling of settlement: nothing but P-256 verifications, as fast as the library goes, on the same cores.

One warm process for each core holds its share of the signatures with parsed keys, DER signatures and messages at hand,
so that nothing but verification is left to do: no parsing, no transport, no storage.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

# index of the point, r‖s (64 bytes), signed bytes
Item = tuple[int, bytes, bytes]

WARM_UP = 200


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _der(raw: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))


def _work(orders: Connection, points: Sequence[bytes], items: Sequence[Item]) -> None:
    """Verify all items each time a number comes; answer how many were good. A bad one ends the process."""
    keys = [ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point) for point in points]
    ready = [(keys[index], _der(raw), message) for index, raw, message in items]
    algorithm = ec.ECDSA(hashes.SHA256())
    for key, signature, message in ready[:WARM_UP]:
        key.verify(signature, message, algorithm)
    orders.send(len(ready))
    while orders.recv():
        for key, signature, message in ready:
            key.verify(signature, message, algorithm)
        orders.send(len(ready))


class Ceiling:
    """`points`: uncompressed public keys (65 bytes). Use as a context manager; the workers end with it."""

    def __init__(self, points: Sequence[bytes], items: Sequence[Item]) -> None:
        self._total = len(items)
        self._lines: list[Connection] = []
        self._workers: list[multiprocessing.process.BaseProcess] = []
        context = multiprocessing.get_context("spawn")
        for share in range(cores()):
            ours, theirs = context.Pipe()
            worker = context.Process(target=_work, args=(theirs, points, items[share :: cores()]), daemon=True)
            worker.start()
            theirs.close()
            self._lines.append(ours)
            self._workers.append(worker)

    def wait_until_warm(self) -> None:
        if sum(line.recv() for line in self._lines) != self._total:
            raise RuntimeError("the ceiling's workers do not hold all signatures")

    def per_second(self, _round: int = 0) -> float:
        """Verifications per second of one pass over all items."""
        start = time.perf_counter()
        for line in self._lines:
            line.send(1)
        done = sum(line.recv() for line in self._lines)
        elapsed = time.perf_counter() - start
        if done != self._total:
            raise RuntimeError("the ceiling did not verify everything")
        return self._total / elapsed

    def __enter__(self) -> Self:
        self.wait_until_warm()
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.send(0)
            line.close()
        for worker in self._workers:
            worker.join()
