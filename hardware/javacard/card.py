"""A simulated Java Card under a fault plan: the emulator's own plans, carried out by the host or inside the card."""

from __future__ import annotations

from hardware.card_like import CardTorn
from hardware.emulator.card import Faults, PlannedFaults, fitting
from hardware.emulator.faults import FaultPlan, Tear
from hardware.javacard.process import JavaCardProcess


class JavaCard:
    """A `CardLike` on a running process; `plans` tear it.

    A plan's DURING counts persistent writes of the chip where the emulator counts cells; what a write that was cut
    leaves behind is the chip's own model (`PersistentMemory`), so the plan's `outcome` says nothing here.
    """

    def __init__(self, process: JavaCardProcess, plans: Faults | None = None) -> None:
        self.process = process
        self.torn_by: FaultPlan | None = None
        """The plan that took the power last, if a plan did."""
        self._plans = plans if plans is not None else PlannedFaults()
        self._exchanges = 0

    def power_on(self) -> bytes:
        self._exchanges = 0
        self.torn_by = None
        return self.process.reader.power_on()

    def power_off(self) -> None:
        self.process.reader.power_off()

    def transmit(self, command: bytes) -> bytes:
        self._exchanges += 1
        plan = fitting(self._plans, command, self._exchanges)
        if plan is None:
            return self.process.reader.transmit(command)
        if plan.tear is Tear.BEFORE:
            self._tear()
        if plan.tear is Tear.DURING:
            return self._interrupt(command)
        writes = self.process.report().writes
        answer = self.process.reader.transmit(command)
        if plan.tear is Tear.ANSWER or self.process.report().writes > writes:
            self._tear()
        return answer

    def _interrupt(self, command: bytes) -> bytes:
        """With power for the plan's writes only. The plan is spent, whether or not the command wrote so much."""
        plan = self._plans.take()
        self.torn_by = plan
        self.process.tear_at_write(plan.at + 1 if plan else 1)
        answer = self.process.reader.transmit(command)
        self.torn_by = None
        self.process.forget_tears()
        return answer

    def _tear(self) -> None:
        self.torn_by = self._plans.take()
        self.power_off()
        raise CardTorn("torn by the fault plan")
