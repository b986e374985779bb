"""A card that only answers what it is told: for tests of what lies between a host and a card.

80 E0   echoes its data
80 E1   echoes its data the long way round: 61xx, then GET RESPONSE in pieces of at most Ne
80 E2   counts in persistent memory and answers the count (4 bytes): shows what reached the card
80 E3   answers 01 when selected since power-up, else 00
00 A4   selects
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.card_like import CardLike, CardTorn
from hardware.emulator.vpcd import Event, EventKind, Remote, serve
from hardware.status_words import SW
from support.pcscd import PrivatePcscd

# As a PC/SC reader makes them up for contactless cards: T=0 and T=1, card capabilities with chaining and extended
# length.
ATR = bytes.fromhex("3B85800180730000C037")
ATR_T0 = bytes.fromhex("3B021450")

SELECT = CommandApdu(0x00, 0xA4, 0x04, 0x00)
COUNT = CommandApdu(0x80, 0xE2, 0, 0, ne=4)
IS_SELECTED = CommandApdu(0x80, 0xE3, 0, 0, ne=1)


def echo(data: bytes, *, ne: int = 256) -> CommandApdu:
    return CommandApdu(0x80, 0xE0, 0, 0, data, ne)


def echo_long(data: bytes, *, ne: int = 256) -> CommandApdu:
    return CommandApdu(0x80, 0xE1, 0, 0, data, ne)


class EchoCard:
    """`tear_at`: loses power at its n-th command from now (1: the next), before or after it has done its work."""

    def __init__(self, atr: bytes = ATR) -> None:
        self.atr = atr
        self.count = 0  # persistent
        self.powered = False
        self.power_ups = 0
        self.commands: list[bytes] = []
        self.tear_power_on = False
        self.answer_with: bytes | None = None
        self._tear_in = 0
        self._after_work = False
        self._selected = False
        self._rest = b""

    def tear_at(self, command: int = 1, *, after_work: bool = True) -> None:
        self._tear_in, self._after_work = command, after_work

    def power_on(self) -> bytes:
        if self.tear_power_on:
            self.tear_power_on = False
            raise CardTorn
        self.powered = True
        self.power_ups += 1
        return self.atr

    def power_off(self) -> None:
        self.powered, self._selected, self._rest = False, False, b""

    def transmit(self, command: bytes) -> bytes:
        if not self.powered:
            raise AssertionError("a command reached a card without power")
        self.commands.append(command)
        torn = self._tear_in == 1
        self._tear_in = max(0, self._tear_in - 1)
        if torn and not self._after_work:
            raise CardTorn
        answer = self._do(CommandApdu.from_bytes(command)).to_bytes()
        if torn:
            raise CardTorn
        if self.answer_with is not None:
            answer, self.answer_with = self.answer_with, None
        return answer

    def _do(self, command: CommandApdu) -> ResponseApdu:
        if command.ins == SELECT.ins:
            self._selected = True
            return ResponseApdu(b"", SW.OK)
        if command.ins == 0xE0:
            return ResponseApdu(command.data, SW.OK)
        if command.ins == 0xE1:
            self._rest = command.data
            return self._announce(b"")
        if command.ins == 0xC0:
            part, self._rest = self._rest[: command.ne], self._rest[command.ne :]
            return self._announce(part)
        if command.ins == COUNT.ins:
            self.count += 1
            return ResponseApdu(self.count.to_bytes(4, "big"), SW.OK)
        if command.ins == IS_SELECTED.ins:
            return ResponseApdu(bytes((self._selected,)), SW.OK)
        return ResponseApdu(b"", SW.INS_NOT_SUPPORTED)

    def _announce(self, part: bytes) -> ResponseApdu:
        return ResponseApdu(part, 0x6100 | min(len(self._rest), 256) & 0xFF if self._rest else SW.OK)


class CardInReader:
    """Keeps a card in a virtual reader of a private pcscd, in a thread of its own, until the block is left."""

    def __init__(
        self,
        card: CardLike,
        stack: PrivatePcscd,
        slot: int = 0,
        *,
        reinsert_ms: int | None = None,
        inserted: bool = True,
    ) -> None:
        self.card = card
        self.remote = Remote(inserted=inserted)
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(stack, slot, reinsert_ms), name="card")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remote.stop()
        self._thread.join(10)
        if self._thread.is_alive():
            raise AssertionError("the card's thread did not end")
        self.remote.close()
        if self._failure is not None and error is None:
            raise self._failure

    def wait_for(self, kind: EventKind, times: int = 1, timeout: float = 10) -> None:
        """Waits until that many events of this kind have happened since the card was made."""
        with self._changed:
            seen = self._changed.wait_for(lambda: self.seen(kind) >= times, timeout)
        if not seen:
            raise AssertionError(f"no {kind} ({times}) among {[event.kind.value for event in self.events]}")

    def seen(self, kind: EventKind) -> int:
        return sum(event.kind is kind for event in self.events)

    def _serve(self, stack: PrivatePcscd, slot: int, reinsert_ms: int | None) -> None:
        try:
            serve(
                self.card,
                self.remote,
                connect=lambda: stack.connect_vpcd(slot),
                reinsert_ms=reinsert_ms,
                on_event=self._heard,
            )
        except BaseException as failure:  # noqa: BLE001  # raised again by the test that left the block
            self._failure = failure

    def _heard(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()


class InReader(CardInReader):
    """The same with an `EchoCard`, which a test can tell what to do."""

    def __init__(
        self,
        card: EchoCard,
        stack: PrivatePcscd,
        slot: int = 0,
        *,
        reinsert_ms: int | None = None,
        inserted: bool = True,
    ) -> None:
        super().__init__(card, stack, slot, reinsert_ms=reinsert_ms, inserted=inserted)
        self.card: EchoCard = card
