"""A purse as a component: the real emulated card, run from any of its memories, each of its steps computed once.

A purse is *off* (a flash image and nothing else) or *on*: an image, the readings of its unstable cells so far, and the
commands since it was powered. What a step gives was computed by the real flash, journal, applet and card OS; the memo
only saves doing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from explore.cells import Chip, CutPlace, Image, Programmed
from explore.facts import PurseFacts, purse_facts
from explore.interning import Store, digest
from hardware.card_like import CardTorn
from hardware.emulator.card import EmulatedCard
from hardware.emulator.flash import Outcome
from hardware.emulator.profiles import seeded
from hardware.emulator.vault import RandomBytes, Vault
from wallet_core.errors import EcnyError
from wallet_core.keys import PublicKey

Choices = tuple[int, ...]
OK = b"\x90\x00"


@dataclass(frozen=True, slots=True)
class Power:
    """A purse with power: how it came to be what it is, so that it can be so again, and its memory now."""

    start: Image
    choices: Choices
    commands: tuple[bytes, ...]
    now: Image


PurseValue = Image | Power
Logs = list[tuple[Choices, list[Programmed]]]


class Wake(NamedTuple):
    """One power-up: the readings, the purse with power (None: it is dead), and what is wrong with that."""

    choices: Choices
    on: int | None
    wrong: str


class Cut(NamedTuple):
    """A power cut: the readings before it, its place, the purse without power, and what is wrong with that."""

    choices: Choices
    place: CutPlace
    off: int
    wrong: str


class Ran(NamedTuple):
    """One command: the readings during it, the purse after it, its answer (response APDU), and what is wrong."""

    choices: Choices
    on: int
    answer: bytes
    wrong: str


@dataclass
class _Drawn:
    """Counts what a power session draws from its random source: a part of its state."""

    source: Callable[[int], RandomBytes]
    session: int = 0
    sizes: list[int] = field(default_factory=list)

    def __call__(self, session: int) -> RandomBytes:
        self.session, self.sizes = session, []
        draw = self.source(session)

        def drawn(size: int) -> bytes:
            self.sizes.append(size)
            return draw(size)

        return drawn


class Purses:
    """All states of one purse. `base`: its memory at the beginning; `seed`: of its randomness; `name` for people.

    `outcomes` and `stride` say which cuts are tried: all of them, unless a quick run wants less.
    """

    def __init__(
        self,
        name: str,
        base: bytes,
        cells: int,
        seed: int,
        *,
        outcomes: Sequence[Outcome] = tuple(Outcome),
        stride: int = 1,
    ) -> None:
        self.name = name
        self.store: Store[PurseValue] = Store()
        self.executed = 0
        """Power-ups and commands that were really run."""
        self._outcomes = tuple(outcomes)
        self._stride = stride
        self._chip = Chip(base, cells)
        self._drawn = _Drawn(seeded(seed))
        self._card = EmulatedCard(self._chip, self._drawn)
        self._live: int | None = None
        self._wakes: dict[int, tuple[Wake, ...]] = {}
        self._wake_logs: dict[int, Logs] = {}
        self._wake_cuts: dict[int, tuple[Cut, ...]] = {}
        self._ran: dict[tuple[int, bytes], tuple[Ran, ...]] = {}
        self._run_logs: dict[tuple[int, bytes], Logs] = {}
        self._run_cuts: dict[tuple[int, bytes], tuple[Cut, ...]] = {}
        self._facts: dict[bytes, tuple[PurseFacts, ...]] = {}
        self._facts_of: dict[int, tuple[PurseFacts, ...]] = {}
        self.first = self.off_state(Image())
        self.key = self._read_key()

    # States

    def off_state(self, image: Image) -> int:
        return self.store.add(digest((b"off", image.hash)), image)

    def is_on(self, state: int) -> bool:
        return isinstance(self.store.values[state], Power)

    def off(self, state: int) -> int:
        """The power goes between two cells, or has gone already."""
        value = self.store.values[state]
        return self.off_state(value.now) if isinstance(value, Power) else state

    # Power

    def wake(self, state: int) -> tuple[Wake, ...]:
        """Power for an off purse, with every reading of its unstable cells; the power stays."""
        found = self._wakes.get(state)
        if found is None:
            logs: Logs = []
            found = self._wakes[state] = tuple(self._every_wake(self._image(state), logs))
            self._wake_logs[state] = logs
        return found

    def _every_wake(self, image: Image, logs: Logs) -> Iterator[Wake]:
        for choices in self._every_power_up(image):
            if self._card.vault is None:
                yield Wake(choices, None, f"I3: the {self.name} is dead")
                continue
            logs.append((self._taken(), list(self._chip.log)))
            shown, made = self._shown(), self._here(image, ())
            yield Wake(choices, made, self._settled(made, shown))

    def _every_power_up(self, image: Image) -> Iterator[Choices]:
        """The real card after each power-up that this image can have; without a vault where it does not start."""
        choices: Choices | None = ()
        while choices is not None:
            self._live = None
            self._chip.become(image, choices)
            self.executed += 1
            with suppress(EcnyError, CardTorn):
                self._card.power_on()
            tape = self._chip.tape
            yield choices
            choices = tape.following()

    def wake_cuts(self, state: int) -> tuple[Cut, ...]:
        """Power for an off purse that goes again while it recovers."""
        found = self._wake_cuts.get(state)
        if found is None:
            self.wake(state)
            found = self._cuts(self._image(state), self._wake_logs[state], set(self.facts(state)))
            self._wake_cuts[state] = found
        return found

    # Commands

    def run(self, state: int, command: bytes) -> tuple[Ran, ...]:
        """A command APDU to a purse that is on, with every reading of unstable cells that it makes."""
        found = self._ran.get((state, command))
        if found is None:
            logs: Logs = []
            found = self._ran[state, command] = tuple(self._every_run(state, command, logs))
            self._run_logs[state, command] = logs
        return found

    def _every_run(self, state: int, command: bytes, logs: Logs) -> Iterator[Ran]:
        power = self._power(state)
        read = len(power.choices)
        choices: Choices | None = power.choices
        while choices is not None:
            self._revive(state, power, choices)
            begun = len(self._chip.log)
            self.executed += 1
            answer = self._card.transmit(command)
            logs.append((self._taken(), self._chip.log[begun:]))
            following = self._chip.tape.following()
            shown, after = self._shown(), self._here(power.start, (*power.commands, command))
            wrong = self._settled(after, shown) or self._repeated(state, after, command, answer)
            yield Ran(choices[read:], after, answer, wrong)
            choices = following if following is not None and len(following) > read else None

    def _settled(self, on: int, shown: PurseFacts) -> str:
        """I7: what a purse with power goes by is what it will be at every later power-up, and nothing else."""
        if self.facts(on) == (shown,):
            return ""
        return f"I7: the {self.name} goes by a state that its memory does not hold for good"

    def _repeated(self, before: int, after: int, command: bytes, answer: bytes) -> str:
        """I6: a command that did something does it once, and answers the same when it comes again."""
        power = self._power(after)
        if answer[-2:] != OK or self._power(before).now == power.now:
            return ""
        known = self.facts(after)
        self._revive(after, power, power.choices)
        self.executed += 1
        again = self._card.transmit(command)
        if again != answer:
            return f"I6: the {self.name} answers a repeated command with {again[-2:].hex()} and other bytes"
        if (self._shown(),) != known:
            return f"I6: a repeated command has changed the {self.name}"
        return ""

    def run_cuts(self, state: int, command: bytes) -> tuple[Cut, ...]:
        """A command in the middle of which the power goes."""
        found = self._run_cuts.get((state, command))
        if found is None:
            allowed = set(self.facts(state))
            for ran in self.run(state, command):
                allowed |= set(self.facts(ran.on))
            power = self._power(state)
            found = self._run_cuts[state, command] = self._cuts(power.now, self._run_logs[state, command], allowed)
        return found

    def _cuts(self, image: Image, logs: Logs, allowed: set[PurseFacts]) -> tuple[Cut, ...]:
        """Each memory that a cut leaves once; I7: it reads as the state before or the one after, and as no other."""
        self._live = None
        found: dict[int, Cut] = {}
        for choices, log in logs:
            for place, left in self._chip.cuts(image, log, self._outcomes, self._stride):
                off = self.off_state(left)
                if off not in found:
                    found[off] = Cut(choices, place, off, "")
        for off, cut in found.items():
            if not set(self.facts(off)) <= allowed:
                wrong = f"I7: a cut of the {self.name} leaves neither the state before nor the one after"
                found[off] = cut._replace(wrong=wrong)
        return tuple(found.values())

    # Facts

    def facts(self, state: int) -> tuple[PurseFacts, ...]:
        """What the purse may be at its next power-up: one set of facts, or those before and after a torn commit."""
        known = self._facts_of.get(state)
        if known is not None:
            return known
        value = self.store.values[state]
        image = value.now if isinstance(value, Power) else value
        key = image.hash
        found = self._facts.get(key)
        if found is None:
            read = {self._shown(): None for _ in self._every_power_up(image) if self._card.vault is not None}
            found = self._facts[key] = tuple(read)
            self._live = None
        self._facts_of[state] = found
        return found

    def _read_key(self) -> PublicKey:
        """The purse's public key."""
        self._card.power_on()
        key = self._vault().key().public
        self._card.power_off()
        return key

    def _shown(self) -> PurseFacts:
        """The facts of the real card as it is now, from its RAM."""
        vault = self._vault()
        policy = vault.policy
        limits = (policy.balance_limit, policy.offline_total) if policy else (0, 0)
        return purse_facts(vault.state, vault.purse_id, vault.key().public, *limits)

    # Inside

    def _image(self, state: int) -> Image:
        value = self.store.values[state]
        if isinstance(value, Power):
            raise TypeError("this purse has power")
        return value

    def _power(self, state: int) -> Power:
        value = self.store.values[state]
        if not isinstance(value, Power):
            raise TypeError("this purse has no power")
        return value

    def _vault(self) -> Vault:
        vault = self._card.vault
        if vault is None:
            raise TypeError("this purse has no power")
        return vault

    def _taken(self) -> Choices:
        """The readings that were made, in full: the tape reads option 0 where nothing was chosen."""
        tape = self._chip.tape
        return (*tape.choices, *(0 for _ in tape.widths[len(tape.choices) :]))[: len(tape.widths)]

    def _revive(self, state: int, power: Power, choices: Choices) -> None:
        """The real card in this very state, ready for the next command."""
        if self._live != state or choices != power.choices:
            self._chip.become(power.start, choices)
            self._card.power_on()
            for command in power.commands:
                self._card.transmit(command)
        self._live = None

    def _here(self, start: Image, commands: tuple[bytes, ...]) -> int:
        """The number of the state that the real card is in now."""
        now = self._chip.image()
        here = Power(start, self._taken(), commands, now)
        made = self.store.add(self._fingerprint(now), here)
        self._live = made if self._power(made) == here else None
        return made

    def _fingerprint(self, now: Image) -> bytes:
        """Memory and everything volatile: what the card OS holds, the applet's RAM, where the random source stands."""
        vault, os = self._vault(), self._card._os
        state = vault.state
        held = [repr(part) for part in (os._selected, os._chain, os._initialised, os._mute)] if os else []
        ram = (repr(vault.pin_verified), repr(self._drawn.session), repr(self._drawn.sizes), *held)
        contents = [bytes([slot.state]) + slot.n.to_bytes(4) + slot.voucher for slot in state.slots if slot.state]
        contents += [bytes([one.state]) + one.request + one.answer for one in state.table if one.state]
        return digest(
            (
                b"on",
                now.hash,
                *(one.encode() for one in ram),
                os._rest if os else b"",
                vault.record.to_bytes(),
                *contents,
            )
        )
