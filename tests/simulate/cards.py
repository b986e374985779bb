"""A card of the city: the emulator's applet on its flash, put into readers and torn out of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hardware.driver import HardWallet
from hardware.emulator.card import EmulatedCard, PlannedFaults
from hardware.emulator.flash import Flash, Power
from hardware.emulator.memory import CARD_LAYOUT, CardMemory
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.emulator.record import CardRecord
from hardware.exchange import CardConnection
from hardware.personalisation import Certify, personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from simulate.chances import NO_FAULT, CardFault
from simulate.streams import Streams
from wallet_core.errors import EcnyError, StorageError
from wallet_core.purse.state import Lifecycle, PurseState

VISITOR = "hk-visitor"
_TRIES = 40  # a personalisation that fails so often in a row is no accident


class CityError(Exception):
    """The city itself cannot go on: a mistake of the simulator, or a fault that no schedule explains."""


@dataclass(frozen=True, slots=True)
class _Starting:
    """A card whose next power-up has a budget of cells: it may be torn while it recovers."""

    card: EmulatedCard
    power: Power | None

    def power_on(self) -> bytes:
        return self.card.power_on(self.power)

    def power_off(self) -> None:
        self.card.power_off()

    def transmit(self, command: bytes) -> bytes:
        return self.card.transmit(command)


class Card:
    """One piece of plastic. `number` seeds its randomness; `endurance`: programmings of a cell, None for ever."""

    def __init__(self, serial: bytes, flash: Flash, number: int, pin: str) -> None:
        self.serial = serial
        self.flash = flash
        self.pin = pin
        self.id = b""
        self._plans = PlannedFaults()
        self.emulated = EmulatedCard(flash, seeded(number), self._plans)

    @classmethod
    def make(cls, streams: Streams, *, profile: str = VISITOR, endurance: int | None = None) -> Card:
        """A blank card as it leaves the factory."""
        serial = streams.digest("serial")[:8]
        flash = Flash(CARD_LAYOUT.cells, rng=streams.rng("flash"), endurance=endurance)
        manufacture(flash, PROFILES[profile], serial)
        return cls(serial, flash, streams.number("randomness"), f"{streams.number('pin') % 1_000_000:06}")

    def twin(self, streams: Streams) -> Card:
        """A copy of everything that is inside, key included: what no secure element may ever let happen."""
        flash = Flash(CARD_LAYOUT.cells, rng=streams.rng("flash"))
        flash.restore(self.flash.snapshot())
        made = Card(self.serial, flash, streams.number("randomness"), self.pin)
        made.id = self.id
        return made

    def tap(self, fault: CardFault = NO_FAULT) -> HardWallet:
        """Powered in a reader, not selected. Raises NoCardError when it is torn while it recovers."""
        self._plans.plans[:] = [fault.plan] if fault.plan else []
        transport = InProcessTransport(_Starting(self.emulated, fault.start), "reader")
        return HardWallet(CardConnection(transport))

    def personalise(self, certify: Certify, challenge: bytes) -> None:
        """At the operator's desk, again until it is active: answers of the server may be lost."""
        for _ in range(_TRIES):
            wallet = self.tap()
            try:
                fci = wallet.select()
                if fci.lifecycle is not Lifecycle.ACTIVE:
                    fci = personalise(
                        wallet,
                        lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
                        challenge,
                        certify,
                        self.pin,
                    )
            except EcnyError:
                continue
            finally:
                wallet.close()
            self.id = fci.purse_id
            return
        raise CityError("a card cannot be personalised")

    def rewrite(self, state: PurseState) -> None:
        """Put another state into the card, which only a broken secure element allows."""
        wallet = self.tap()
        vault = self.emulated.vault
        if vault is None:
            raise CityError("the card has no power")
        vault.commit_state(state)
        wallet.close()

    def look(self) -> CardRecord | None:
        """What the memory holds, read from a copy, so that looking changes nothing; None for a dead card.

        A cell that is unstable may read otherwise here than at the card's next power-up: either reading is a state that
        the card may choose, and the city's sums must hold in both.
        """
        copy = Flash(CARD_LAYOUT.cells, rng=Random(0), endurance=self.flash.endurance)
        copy.restore(self.flash.snapshot())
        copy.power_on()
        try:
            return CardMemory(copy).load()
        except StorageError:
            return None

    def state(self) -> PurseState:
        """The purse as `look` shows it; raises CityError for a dead card."""
        record = self.look()
        if record is None:
            raise CityError(f"the memory of card {self.serial.hex()} holds no state")
        return record.purse
