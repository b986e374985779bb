"""Everything that looks random in the city, drawn from one seed: a stream, a key or bytes for each name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random

from wallet_core.keys import SoftwareKey


class Streams:
    """A tree of streams. What one name gives never depends on what was drawn from another."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def under(self, *names: object) -> Streams:
        """The branch of these names."""
        return Streams("/".join((self._seed, *map(str, names))))

    def digest(self, *names: object) -> bytes:
        """32 bytes."""
        return hashlib.sha256("/".join((self._seed, *map(str, names))).encode()).digest()

    def number(self, *names: object) -> int:
        """63 bits."""
        return int.from_bytes(self.digest(*names)[:8]) >> 1

    def rng(self, *names: object) -> Random:
        return Random(self.digest(*names))

    def key(self, *names: object) -> SoftwareKey:
        return SoftwareKey.from_secret(self.digest("key", *names))

    def entropy(self, *names: object) -> Callable[[int], bytes]:
        """`entropy(n)`: the next n bytes of this stream."""
        return self.rng("entropy", *names).randbytes
