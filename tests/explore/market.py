"""The model that is searched: purses, terminals, the network and the server as one state, and every step from it.

A state is a tuple of numbers: terminal, server, network, each purse, then the faults that may still happen. Steps that
cost a fault: a power cut at any cell, a message lost, repeated or swapped with another, a process killed. All other
steps are what happens when nothing goes wrong, in every order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from explore.facts import Heard, PurseFacts, ServerFacts, TillFacts, heard
from explore.interning import Store, digest
from explore.invariants import broken
from explore.networks import Networks
from explore.purses import Purses
from explore.scripts import SERVER, Call, Reply, Response
from explore.servers import Asked, Servers
from explore.tills import Tills, Went

State = tuple[int, ...]
TILL, SERVER_AT, NET, PURSES = 0, 1, 2, 3
Label = tuple[Any, ...]


class View(NamedTuple):
    """What decides which activity may begin: facts of each purse (before or after a torn commit), till and server."""

    purses: tuple[tuple[PurseFacts, ...], ...]
    till: TillFacts
    server: ServerFacts
    heard: tuple[Heard, ...]


@dataclass(frozen=True)
class Plan:
    """An activity of a terminal: the purses in its readers, whether it makes sense now, and whether somebody might do
    it without need, which is done a limited number of times."""

    activity: str
    uses: tuple[int, ...]
    enabled: Callable[[View], bool]
    needless: Callable[[View], bool] = lambda _: False


@dataclass(frozen=True)
class Budgets:
    """`faults`: of messages and processes; `cuts`: power cuts, and for each purse which of these budgets it uses up;
    `needless`: activities that nothing calls for."""

    faults: int
    cuts: tuple[int, ...]
    of_purse: tuple[int, ...]
    needless: int = 0


class Step(NamedTuple):
    """One step: what happens, the state after it, and an invariant of one device that it breaks (or nothing)."""

    label: Label
    state: State
    wrong: str


class Market:
    """One scenario. `home` says whether all value is where it belongs and nothing is left to do."""

    def __init__(
        self,
        *,
        tills: Tills,
        servers: Servers,
        purses: Sequence[Purses],
        plans: Sequence[Plan],
        budgets: Budgets,
        outside: int,
        home: Callable[[View], bool],
    ) -> None:
        self.tills = tills
        self.servers = servers
        self.purses = tuple(purses)
        self.nets = Networks(purse.key for purse in self.purses)
        self._plans = tuple(plans)
        self._budgets = budgets
        self._outside = outside
        self._home = home
        self._faults = PURSES + len(self.purses)
        self._checked: dict[State, tuple[str, bool]] = {}
        self._enabled: dict[State, tuple[tuple[Plan, bool], ...]] = {}
        firsts = [purse.first for purse in self.purses]
        self.first: State = (
            tills.first,
            servers.first,
            self.nets.first,
            *firsts,
            budgets.faults,
            *budgets.cuts,
            budgets.needless,
        )

    # What a state is

    @property
    def stores(self) -> tuple[Store[Any], ...]:
        return (self.tills.store, self.servers.store, self.nets.store, *(purse.store for purse in self.purses))

    @property
    def executed(self) -> int:
        """Runs of real code: power-ups, commands, requests, stretches of a terminal's program."""
        return self.tills.executed + self.servers.executed + sum(purse.executed for purse in self.purses)

    def key(self, state: State) -> bytes:
        """The hash of a state, the same in every process."""
        parts = [store.digests[number] for store, number in zip(self.stores, state, strict=False)]
        return digest((*parts, bytes(state[self._faults :])))

    def check(self, state: State) -> tuple[str, bool]:
        """The invariant that does not hold (or nothing), and whether all value is home."""
        key = state[: self._faults]
        found = self._checked.get(key)
        if found is None:
            view = self.view(state)
            wrong = broken(view.purses, view.till, view.server, view.heard, self._outside)
            idle = self.tills.call(state[TILL]) is None
            found = self._checked[key] = (wrong, idle and self._home(view))
        return found

    def view(self, state: State) -> View:
        said = (heard(message, self.nets.keys) for message in self.nets[state[NET]].heard)
        return View(
            tuple(purse.facts(number) for purse, number in zip(self.purses, state[PURSES:], strict=False)),
            self.tills.facts(state[TILL]),
            self.servers.facts(state[SERVER_AT]),
            tuple(one for one in said if one is not None),
        )

    # Steps

    def steps(self, state: State) -> Iterator[Step]:
        call = self.tills.call(state[TILL])
        if call is None:
            yield from self._begin(state)
        elif self.nets[state[NET]].air is not None:
            yield from self._arrive(state, call)
        elif call.to == SERVER:
            yield from self._serve(state, call)
        elif call.data == b"":
            yield from self._power(state, call)
        else:
            yield from self._command(state, call)
        if call is not None and state[self._faults]:
            yield Step(("the process is killed",), self._idle(self._fault(state), self.tills.die(state[TILL])), "")
        yield from self._deliver_held(state)

    def _begin(self, state: State) -> Iterator[Step]:
        for plan, needed in self._plans_for(state):
            if not needed and not state[-1]:
                continue
            begun = state if needed else (*state[:-1], state[-1] - 1)
            wakes = [self.purses[at].wake(state[PURSES + at]) for at in plan.uses]
            for one in product(*wakes):
                wrong = next((wake.wrong for wake in one if wake.wrong), "")
                label = (plan.activity, *(wake.choices for wake in one))
                if any(wake.on is None for wake in one):
                    yield Step(label, begun, wrong)
                    continue
                powered = begun
                for at, wake in zip(plan.uses, one, strict=True):
                    powered = self._with(powered, PURSES + at, wake.on or 0)
                yield from self._go(powered, label, self.tills.begin(state[TILL], plan.activity), wrong)
            for at in plan.uses:
                yield from self._wake_cuts(begun, at, plan.activity)

    def _plans_for(self, state: State) -> tuple[tuple[Plan, bool], ...]:
        """What may begin, and whether it is needed."""
        key = state[: self._faults]
        found = self._enabled.get(key)
        if found is None:
            view = self.view(state)
            able = [(plan, plan.enabled(view)) for plan in self._plans]
            found = self._enabled[key] = tuple(one for one in able if one[1] or one[0].needless(view))
        return found

    def _wake_cuts(self, state: State, at: int, why: str) -> Iterator[Step]:
        """The power goes while the purse recovers: nobody has asked it for anything."""
        cuts = self._cut_budget(at)
        if state[cuts]:
            for cut in self.purses[at].wake_cuts(state[PURSES + at]):
                off = self._with(self._with(state, cuts, state[cuts] - 1), PURSES + at, cut.off)
                label = ("power cut at wake", self.purses[at].name, why, cut.place.cell, cut.place.outcome.name)
                yield Step((*label, cut.choices), off, cut.wrong)

    def _power(self, state: State, call: Call) -> Iterator[Step]:
        """The program wants its card powered afresh."""
        purse, at = self.purses[call.to], PURSES + call.to
        off = self._with(state, at, purse.off(state[at]))
        for wake in purse.wake(off[at]):
            reply = b"" if wake.on is not None else None
            powered = off if wake.on is None else self._with(off, at, wake.on)
            yield from self._resume(powered, ("power", purse.name, wake.choices), reply, wake.wrong)
        cuts = self._cut_budget(call.to)
        if state[cuts]:
            for cut in purse.wake_cuts(off[at]):
                gone = self._with(self._with(off, cuts, state[cuts] - 1), at, cut.off)
                label = ("power cut at wake", purse.name, cut.place.cell, cut.place.outcome.name, cut.choices)
                yield from self._resume(gone, label, None, cut.wrong)

    def _command(self, state: State, call: Call) -> Iterator[Step]:
        """A command on its way to a purse that has power."""
        if not isinstance(call.data, bytes):
            raise TypeError("a card takes bytes")
        purse, at, net = self.purses[call.to], PURSES + call.to, state[NET]
        for ran in purse.run(state[at], call.data):
            done = self._with(self._with(state, at, ran.on), NET, self.nets.answered(net, call, ran.answer))
            yield Step(("command", purse.name, ran.choices), done, ran.wrong)
            if state[self._faults]:
                copied = self._with(self._fault(done), NET, self.nets.hold(done[NET], call))
                yield Step(("command, and a copy is kept", purse.name, ran.choices), copied, ran.wrong)
                for twice in purse.run(ran.on, call.data):
                    again = self._with(self._fault(done), at, twice.on)
                    again = self._with(again, NET, self.nets.answered(done[NET], call, twice.answer))
                    yield Step(("command comes twice", purse.name, ran.choices, twice.choices), again, twice.wrong)
        cuts = self._cut_budget(call.to)
        if state[cuts]:
            for cut in purse.run_cuts(state[at], call.data):
                torn = self._with(self._with(state, cuts, state[cuts] - 1), at, cut.off)
                label = ("power cut", purse.name, cut.place.cell, cut.place.outcome.name, cut.choices)
                yield from self._resume(torn, label, None, cut.wrong)
        if state[self._faults]:
            gone = self._fault(self._with(state, at, purse.off(state[at])))
            yield from self._resume(gone, ("command is lost", purse.name), None)
            held = self._with(gone, NET, self.nets.hold(net, call))
            yield from self._resume(held, ("command is held back", purse.name), None)

    def _serve(self, state: State, call: Call) -> Iterator[Step]:
        """A request on its way to the server."""
        if not isinstance(call.data, Asked):
            raise TypeError("a server takes requests")
        done, wrong = self._handle(state, call, call.data)
        yield Step(("request",), done, wrong)
        if state[self._faults]:
            less = self._fault(done)
            yield Step(("request, and a copy is kept",), self._with(less, NET, self.nets.hold(less[NET], call)), wrong)
            gone = self._fault(state)
            yield from self._resume(gone, ("request is lost",), None)
            held = self._with(gone, NET, self.nets.hold(gone[NET], call))
            yield from self._resume(held, ("request is held back",), None)

    def _handle(self, state: State, call: Call, asked: Asked) -> tuple[State, str]:
        handled = self.servers.handle(state[SERVER_AT], asked)
        reply = Response(handled.status, handled.content_type, handled.body)
        done = self._with(state, SERVER_AT, handled.state)
        return self._with(done, NET, self.nets.answered(done[NET], call, reply)), handled.wrong

    def _arrive(self, state: State, call: Call) -> Iterator[Step]:
        """An answer on its way to the terminal."""
        net = self.nets[state[NET]]
        if net.air is None:
            return
        arrived = self._with(state, NET, self.nets.arrived(state[NET]))
        yield from self._resume(arrived, ("answer",), net.air[1])
        if state[self._faults]:
            off = self._fault(arrived)
            if call.to != SERVER:
                off = self._with(off, PURSES + call.to, self.purses[call.to].off(state[PURSES + call.to]))
            yield from self._resume(off, ("answer is lost",), None)
            if net.last is not None and net.last[0] == net.air[0] and net.last != net.air:
                yield from self._resume(self._fault(arrived), ("the answer before comes instead",), net.last[1])

    def _deliver_held(self, state: State) -> Iterator[Step]:
        """A copy that a relay has kept comes now; its answer goes nowhere."""
        for call in self.nets[state[NET]].held:
            released = self._with(state, NET, self.nets.release(state[NET], call))
            if isinstance(call.data, Asked):
                handled = self.servers.handle(state[SERVER_AT], call.data)
                yield Step(("kept request",), self._with(released, SERVER_AT, handled.state), handled.wrong)
            elif self.purses[call.to].is_on(state[PURSES + call.to]):
                at = PURSES + call.to
                for ran in self.purses[call.to].run(state[at], call.data):
                    done = self._with(released, NET, self.nets.overheard(released[NET], ran.answer))
                    label = ("kept command", self.purses[call.to].name, ran.choices)
                    yield Step(label, self._with(done, at, ran.on), ran.wrong)

    # Pieces

    def _resume(self, state: State, label: Label, reply: Reply, wrong: str = "") -> Iterator[Step]:
        yield from self._go(state, label, self.tills.resume(state[TILL], reply), wrong)

    def _go(self, state: State, label: Label, went: Went, wrong: str = "") -> Iterator[Step]:
        if went.call is None:
            yield Step((*label, went.ended), self._idle(state, went.state), wrong)
        else:
            yield Step(label, self._with(state, TILL, went.state), wrong)
        if state[self._faults]:
            for number, death in enumerate(went.deaths):
                yield Step((*label, "killed", number), self._idle(self._fault(state), death), wrong)

    def _idle(self, state: State, till: int) -> State:
        """The terminal has ended: its readers are empty."""
        changed = list(state)
        changed[TILL], changed[NET] = till, self.nets.idle(state[NET])
        for at, purse in enumerate(self.purses, PURSES):
            changed[at] = purse.off(state[at])
        return tuple(changed)

    def _fault(self, state: State) -> State:
        return self._with(state, self._faults, state[self._faults] - 1)

    def _cut_budget(self, purse: int) -> int:
        return self._faults + 1 + self._budgets.of_purse[purse]

    @staticmethod
    def _with(state: State, at: int, number: int) -> State:
        return (*state[:at], number, *state[at + 1 :])
