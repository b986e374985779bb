"""The revocation list: whom nothing more may be asked of, and why; signed by the operator, its serial only rises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar, Self

from wallet_core import codec
from wallet_core.errors import OutOfRangeError, UnknownLabelError
from wallet_core.ids import ID_SIZE
from wallet_core.messages.deposit import decode_map, require_counter, require_octets
from wallet_core.messages.layout import SUITE_LABEL, TYPE_LABEL, MessageType
from wallet_core.suites import Suite, profile

MAX_ENTRIES = 100_000
MAX_LIST_SIZE = 4 * 1024 * 1024  # bytes, envelope included
_LAST_SECOND = 2**32 - 1


class RevocationReason(IntEnum):
    """Why. A revoked party finishes what it began; it begins nothing (docs/spec/transfer.md, rule 10)."""

    FROZEN = 1  # a card that its holder has lost
    REVOKED = 2  # proved to have broken the rules
    REPLACED = 3  # by a new key
    DEAD = 4  # a till that is gone: what cards hold for it is collected from their reports


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """By an operator: `entries` id → reason, as of `at` (seconds since 1970). A later list has a higher `serial`."""

    TYPE: ClassVar[MessageType] = MessageType.REVOCATION_LIST
    suite: Suite
    operator: bytes
    serial: int
    at: int
    entries: Mapping[bytes, RevocationReason] = field(default_factory=dict)

    def to_payload(self) -> bytes:
        """The one encoding, entries in the order of their ids; raises OutOfRangeError."""
        if len(self.entries) > MAX_ENTRIES:
            raise OutOfRangeError(f"{len(self.entries)} entries, at most {MAX_ENTRIES} are allowed")
        if not 0 <= self.at <= _LAST_SECOND:
            raise OutOfRangeError(f"at is outside 0 to {_LAST_SECOND}")
        return codec.encode(
            {
                TYPE_LABEL: int(self.TYPE),
                SUITE_LABEL: int(self.suite),
                2: require_octets("operator", self.operator, ID_SIZE),
                3: require_counter("serial", self.serial).to_bytes(4, "big"),
                4: self.at.to_bytes(4, "big"),
                5: [[require_octets("id", one, ID_SIZE), int(self.entries[one])] for one in sorted(self.entries)],
            }
        )

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Parse; raises a CodecError."""
        value = decode_map(payload, MAX_LIST_SIZE, cls.TYPE, range(6))
        return cls(
            suite=profile(value[SUITE_LABEL]).suite,
            operator=require_octets("operator", value[2], ID_SIZE),
            serial=require_counter("serial", int.from_bytes(require_octets("serial", value[3], 4), "big")),
            at=int.from_bytes(require_octets("at", value[4], 4), "big"),
            entries=_entries(value[5]),
        )


def _entries(value: Any) -> dict[bytes, RevocationReason]:
    if not isinstance(value, list) or len(value) > MAX_ENTRIES:
        raise OutOfRangeError(f"entries is not a list of at most {MAX_ENTRIES}")
    found: dict[bytes, RevocationReason] = {}
    last = b""
    for one in value:
        if not isinstance(one, list) or len(one) != 2 or type(one[1]) is not int:
            raise OutOfRangeError("an entry is an id and a reason")
        subject = require_octets("id", one[0], ID_SIZE)
        if subject <= last:
            raise OutOfRangeError("entries come in the rising order of their ids, each once")
        try:
            found[subject] = RevocationReason(one[1])
        except ValueError as exc:
            raise UnknownLabelError(str(exc)) from exc
        last = subject
    return found
