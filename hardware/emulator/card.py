"""The emulated card as a reader sees it: flash, applet, card OS and fault plan behind `CardLike`."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

from hardware.apdu import CommandApdu
from hardware.card_like import CardTorn
from hardware.commands import name_of
from hardware.emulator import faults
from hardware.emulator.card_os import CardOs
from hardware.emulator.faults import FaultPlan, Tear
from hardware.emulator.flash import Flash, Power, PowerLost
from hardware.emulator.memory import CardMemory
from hardware.emulator.vault import RandomFor, Vault
from hardware.exchange import CHAINING_BIT
from hardware.instructions import Ins
from wallet_core.errors import CodecError, EcnyError


def _atr(historical: bytes) -> bytes:
    """T=0 and T=1 offered (ISO/IEC 7816-3, clause 8.2), so that TCK, the exclusive or of all after TS, is there."""
    body = bytes((0x80 | len(historical), 0x80, 0x01)) + historical
    check = 0
    for byte in body:
        check ^= byte
    return b"\x3b" + body + bytes((check,))


# Category 80: compact-TLV objects (ISO/IEC 7816-4, clause 12.1.1): card service data (application selection by full DF
# name), card capabilities (the same; command chaining, extended length), pre-issuing data "ECNYW".
ATR: Final = _atr(bytes.fromhex("80 31 80 73 80 00 C0 65") + b"ECNYW")


class Faults(Protocol):
    """Where a fault plan waits."""

    def armed(self) -> FaultPlan | None: ...
    def take(self) -> FaultPlan | None: ...


class PlannedFaults:
    """Plans in memory, one after the other: for tests, and for a card that nothing happens to."""

    def __init__(self, *plans: FaultPlan) -> None:
        self.plans = list(plans)

    def armed(self) -> FaultPlan | None:
        return self.plans[0] if self.plans else None

    def take(self) -> FaultPlan | None:
        return self.plans.pop(0) if self.plans else None


class ImageFaults:
    """The plan in the directory of a card image (`hardware.emulator.faults`)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def armed(self) -> FaultPlan | None:
        return faults.armed(self._directory)

    def take(self) -> FaultPlan | None:
        return faults.take(self._directory)


def fitting(plans: Faults, command: bytes, exchange: int) -> FaultPlan | None:
    """The plan that waits for this command, the `exchange`-th since power-up; it stays armed until it strikes."""
    plan = plans.armed()
    if plan is None:
        return None
    try:
        apdu = CommandApdu.from_bytes(command)
    except CodecError:
        return None
    if apdu.cla & CHAINING_BIT and plan.exchange is None:
        return None  # a command is the whole chain: its last piece
    names = {name_of(apdu)}
    if apdu.ins in set(Ins):
        names.add(Ins(apdu.ins).name.replace("_", " "))
    return plan if any(plan.fits(name, apdu.ins, exchange) for name in names) else None


class EmulatedCard:
    """A `CardLike` on `flash`. `randomness` gives the random source of each power session; `plans` tears it."""

    def __init__(self, flash: Flash, randomness: RandomFor, plans: Faults | None = None) -> None:
        self.flash = flash
        self.torn_by: FaultPlan | None = None
        """The plan that took the power last, if a plan did."""
        self._randomness = randomness
        self._plans = plans if plans is not None else PlannedFaults()
        self._vault: Vault | None = None
        self._os: CardOs | None = None
        self._exchanges = 0

    def power_on(self, power: Power | None = None) -> bytes:
        """As `CardLike.power_on`; `power` is a budget of cell writes for recovery and session (tests).

        Raises StorageError when the memory holds no card that can start.
        """
        self.power_off()
        try:
            self.flash.power_on(power)
            self._vault = Vault(CardMemory(self.flash), self._randomness)
        except PowerLost as lost:
            self.power_off()
            raise CardTorn("power lost while the card recovered") from lost
        except EcnyError:
            self.power_off()
            raise
        self._os = CardOs(self._vault)
        self._exchanges = 0
        self.torn_by = None
        return ATR

    def power_off(self) -> None:
        self.flash.power_off()
        self._os = self._vault = None

    def transmit(self, command: bytes) -> bytes:
        if self._os is None:
            raise CardTorn("the card has no power")
        self._exchanges += 1
        plan = fitting(self._plans, command, self._exchanges)
        if plan is not None and plan.tear is Tear.BEFORE:
            self._tear()
        if plan is not None and plan.tear is Tear.DURING:
            self._plans.take()
            self.torn_by = plan
            self.flash.supply(Power(plan.at, plan.outcome))
        begun = self.flash.programmed
        try:
            answer = self._os.process(command)
        except PowerLost as lost:
            self.power_off()
            raise CardTorn("power lost in the middle of a command") from lost
        except EcnyError:
            self.power_off()
            raise
        if plan is None:
            return answer
        committed = self.flash.programmed > begun
        if plan.tear is Tear.ANSWER or (plan.tear is Tear.AFTER_COMMIT and committed):
            self._tear()
        if plan.tear is Tear.DURING:  # the command wrote fewer cells than the plan counts
            self.torn_by = None
            self.flash.supply(Power())
        return answer

    @property
    def vault(self) -> Vault | None:
        """The inside of the card while it has power: for tests and tools that look at the emulator itself."""
        return self._vault

    @property
    def signatures(self) -> int:
        """Signatures that the card made since its power-up; 0 without power."""
        return self._vault.signatures if self._vault else 0

    def _tear(self) -> None:
        plan = self._plans.take()
        self.power_off()
        self.torn_by = plan
        raise CardTorn("torn by the fault plan")
