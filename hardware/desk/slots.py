"""The readers of the desk: slots of vsmartcard's virtual reader where one is there, and of this process always.

A card in a slot can be talked to by the desk itself. While vpcd listens, any PC/SC program sees the same card; both
then share one card as two programs do in PC/SC's shared mode.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hardware.card_like import CardTorn
from hardware.desk.held import HeldCard
from hardware.emulator import vpcd
from hardware.emulator.card import ATR
from wallet_core.errors import EcnyError

SETTLE_S: Final = 3.0
"""How long an insertion or removal waits for the virtual reader."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where vpcd listens for the card of the first slot; that of the next is one port above."""

    host: str
    port: int


class Owner(Protocol):
    """The desk, as its slots see it. Each method takes the desk's lock."""

    changed: threading.Condition

    def reader_powers(self, slot: Slot, *, on: bool) -> None: ...
    def reader_sends(self, slot: Slot, command: bytes) -> bytes: ...
    def reader_says(self, slot: Slot) -> None: ...


class Slot:
    """One slot: at most one card. Its fields are read and changed under the desk's lock."""

    def __init__(self, number: int, owner: Owner, address: Address | None) -> None:
        self.number = number
        self.card: HeldCard | None = None
        self.attached = False
        """Whether the virtual reader has the card."""
        self.tried = False
        """Whether, since the last insertion, it is known if a virtual reader is there."""
        self._owner = owner
        self._remote = vpcd.Remote(inserted=False)
        self._connect: Callable[[], socket.socket] | None = None
        self._thread: threading.Thread | None = None
        if address is not None:
            self._connect = vpcd.connect_tcp(address.host, address.port + number)
            self._thread = threading.Thread(target=self._serve, name=f"slot {number}", daemon=True)

    @property
    def has_reader(self) -> bool:
        """Whether a virtual reader is looked for at all."""
        return self._thread is not None

    def start(self) -> None:
        if self._thread is not None:
            self._thread.start()

    def put_in(self, card: HeldCard) -> None:
        """The card lies in the slot. Then `settle`."""
        self.card = card
        card.slot = self.number
        self.tried = False
        self._remote.insert()

    def take_out(self) -> HeldCard | None:
        """The slot is empty. Whoever has taken the card's power waits for `let_go`."""
        card, self.card = self.card, None
        if card is not None:
            card.slot = None
        self._remote.eject()
        return card

    def settle(self) -> None:
        """Returns when the virtual reader has the card, or is not there. Gives the lock away meanwhile."""
        card = self.card
        if self._thread is not None:
            self._owner.changed.wait_for(lambda: self.tried or self.card is not card, SETTLE_S)

    def let_go(self) -> None:
        """Returns when the virtual reader has let go of what was taken out. Gives the lock away meanwhile."""
        self._owner.changed.wait_for(lambda: not self.attached, SETTLE_S)

    def stop(self) -> None:
        """Ends the attachment and its thread. Without the desk's lock."""
        self._remote.stop()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(SETTLE_S)
        self._remote.close()

    def facts(self) -> dict[str, Any]:
        via = "vpcd" if self.attached else "in process" if self.card else "empty"
        return {"reader": self.number, "card": self.card.id if self.card else None, "via": via}

    # The thread of the attachment

    def _serve(self) -> None:
        # A torn card is taken out by the desk before the attachment hears of it; `put_in` alone puts it back.
        vpcd.serve(_InSlot(self, self._owner), self._remote, connect=self._open, reinsert_ms=0, on_event=self._heard)

    def _open(self) -> socket.socket:
        if self._connect is None:
            raise ConnectionError
        try:
            return self._connect()
        except OSError:
            with self._owner.changed:
                self.tried = True
                self._owner.changed.notify_all()
            raise

    def _heard(self, event: vpcd.Event) -> None:
        if event.kind in (vpcd.EventKind.INSERTED, *_GONE):
            with self._owner.changed:
                self.attached = event.kind is vpcd.EventKind.INSERTED
                self.tried = True
                self._owner.reader_says(self)
                self._owner.changed.notify_all()


_GONE: Final = (vpcd.EventKind.EJECTED, vpcd.EventKind.LOST, vpcd.EventKind.TORN)


class _InSlot:
    """Whatever card lies in the slot, as a `CardLike`; what fails under it is a card that fell silent."""

    def __init__(self, slot: Slot, owner: Owner) -> None:
        self._slot, self._owner = slot, owner

    def power_on(self) -> bytes:
        with _silent():
            self._owner.reader_powers(self._slot, on=True)
        return ATR

    def power_off(self) -> None:
        with contextlib.suppress(EcnyError):
            self._owner.reader_powers(self._slot, on=False)

    def transmit(self, command: bytes) -> bytes:
        if self._slot.card is None:
            raise CardTorn("no card in this slot")
        with _silent():
            return self._owner.reader_sends(self._slot, command)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    try:
        yield
    except EcnyError as error:
        raise CardTorn(error.message) from error
