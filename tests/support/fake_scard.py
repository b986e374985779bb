"""pyscard's `smartcard.scard` as a test wants it: readers, cards, and any error at any call.

Numbers are those of pcsc-lite's winscard.h. Like the real one it gives rubbish for the values of a call that failed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

NO_CARD: Final = 0x8010000C
NO_READERS: Final = 0x8010002E
NO_SERVICE: Final = 0x8010001D
TIMEOUT: Final = 0x8010000A
UNKNOWN_READER: Final = 0x80100009
RUBBISH: Final = [0xAA] * 300

EMPTY: Final = 0x10
PRESENT: Final = 0x20
UNAVAILABLE: Final = 0x08


@dataclass
class FakeScard:
    """`fail["SCardTransmit"]` is a list of results for the next calls (0: as usual); the last one stays when
    `for_ever`.
    """

    readers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    answer: bytes = b"\x90\x00"
    protocol: int = 2
    fail: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    for_ever: bool = False
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    SCARD_SCOPE_USER = 0
    SCARD_SHARE_EXCLUSIVE = 1
    SCARD_PROTOCOL_T0 = 1
    SCARD_PROTOCOL_T1 = 2
    SCARD_PCI_T0 = "T=0"
    SCARD_PCI_T1 = "T=1"
    SCARD_UNPOWER_CARD = 2
    SCARD_STATE_UNAWARE = 0x00
    SCARD_STATE_CHANGED = 0x02
    SCARD_STATE_UNKNOWN = 0x04
    SCARD_STATE_UNAVAILABLE = UNAVAILABLE
    SCARD_STATE_EMPTY = EMPTY
    SCARD_STATE_PRESENT = PRESENT
    SCARD_STATE_EXCLUSIVE = 0x80
    SCARD_STATE_INUSE = 0x100

    def names(self) -> list[str]:
        """The functions called, in order."""
        return [call[0] for call in self.calls]

    def _result(self, name: str, *arguments: Any) -> int:
        self.calls.append((name, *arguments))
        planned = self.fail[name]
        if not planned:
            return 0
        return planned[0] if self.for_ever and len(planned) == 1 else planned.pop(0)

    def SCardEstablishContext(self, scope: int) -> list[Any]:
        return [self._result("SCardEstablishContext"), 77]

    def SCardReleaseContext(self, context: int) -> int:
        return self._result("SCardReleaseContext")

    def SCardListReaders(self, context: int, groups: list[str]) -> list[Any]:
        result = self._result("SCardListReaders")
        return [result or (0 if self.readers else NO_READERS), list(self.readers)]

    def SCardGetStatusChange(self, context: int, timeout: int, states: list[tuple[str, int]]) -> list[Any]:
        name, known = states[0]
        result = self._result("SCardGetStatusChange", known, timeout)
        if not result and name not in self.readers:
            result = UNKNOWN_READER
        flags, atr = self.readers.get(name, (0, b""))
        if not result and known == flags:
            result = TIMEOUT
        return [result, [(name, flags | 0x02, list(atr))]]

    def SCardConnect(self, context: int, reader: str, mode: int, protocols: int) -> list[Any]:
        return [self._result("SCardConnect", reader, mode, protocols), 5, self.protocol]

    def SCardReconnect(self, card: int, mode: int, protocols: int, how: int) -> list[Any]:
        return [self._result("SCardReconnect", how), self.protocol]

    def SCardStatus(self, card: int) -> list[Any]:
        return [self._result("SCardStatus"), "", 0, self.protocol, list(b"\x3b\x00")]

    def SCardTransmit(self, card: int, protocol: str, command: list[int]) -> list[Any]:
        result = self._result("SCardTransmit", protocol, bytes(command))
        return [result, RUBBISH if result else list(self.answer)]

    def SCardDisconnect(self, card: int, how: int) -> int:
        return self._result("SCardDisconnect", how)
