"""States of one component, each kept once under the hash of its content and known by a small number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Generic, TypeVar

V = TypeVar("V")

DIGEST_SIZE = 16  # bytes; of 10^7 states two have the same hash with a probability below 10^-24


def digest(parts: Iterable[bytes]) -> bytes:
    """A hash of a list of byte strings: no two lists run together."""
    hasher = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        hasher.update(len(part).to_bytes(4))
        hasher.update(part)
    return hasher.digest()


class Store(Generic[V]):
    """Content hash → number (from 0, in the order of arrival) → what was seen first with this content."""

    def __init__(self) -> None:
        self.digests: list[bytes] = []
        self.values: list[V] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, content: bytes, value: V) -> int:
        """The number of this content; `value` is kept if it is new."""
        number = self._numbers.get(content)
        if number is None:
            number = self._numbers[content] = len(self.values)
            self.digests.append(content)
            self.values.append(value)
        return number

    def find(self, content: bytes) -> int | None:
        return self._numbers.get(content)

    def __len__(self) -> int:
        return len(self.values)
