"""A process that checks signatures: frames in on standard input, verdicts out on standard output, ends with its input.

Its one argument is the suite. Frame: length in bytes (4, big-endian), then pieces. Answer: length (4), then one byte
for each piece. It holds no secret and no state but parsed public keys, and it ends by itself when the server that
started it is gone.
"""

from __future__ import annotations

import signal
import sys
from typing import BinaryIO

from server.settlement.signatures import Checker
from wallet_core.suites import Suite, parse_suite

HEAD_SIZE = 4


def frame(data: bytes) -> bytes:
    """`data` behind its length."""
    return len(data).to_bytes(HEAD_SIZE, "big") + data


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame's content; None when the stream ends, also in the middle of a frame."""
    head = stream.read(HEAD_SIZE)
    if len(head) < HEAD_SIZE:
        return None
    size = int.from_bytes(head, "big")
    data = stream.read(size)
    return data if len(data) == size else None


def serve(source: BinaryIO, sink: BinaryIO, suite: Suite = Suite.ES256) -> None:
    """Answer frames until the source ends."""
    checker = Checker(suite)
    while (data := read_frame(source)) is not None:
        sink.write(frame(checker.check(data)))
        sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle; it closes our input
    serve(sys.stdin.buffer, sys.stdout.buffer, parse_suite(sys.argv[1]))
