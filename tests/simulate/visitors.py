"""Visitors: people with a card who load it, pay with it, lose patience, PINs and cards, and leave.

A visitor whose sale is open comes back to that till, or walks on and pays elsewhere with the same card meanwhile, or
never comes back; then the cashier gives the sale up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from merchant_pos.sales import Order
from simulate.cards import Card
from simulate.chances import LOADING, PAYING, REPORTING, Weather
from simulate.clock import HOUR, MINUTE, SECOND, Agenda
from simulate.desk import Desk, Failure
from simulate.stalls import Stall
from simulate.tills import Served, Service, Till
from simulate.truth import Truth
from wallet_core.errors import PurseRefusal, Refused

_GAP_MS: Final = 20 * MINUTE  # between two things that a visitor does, about
_ONLINE_ONLY: Final = (Refused.SLOTS_FULL, Refused.OFFLINE_COUNT, Refused.OFFLINE_TOTAL)
_POOR: Final = (Refused.INSUFFICIENT,)
_SMALL, _LARGE, _LIMIT = (50, 3_500), (20_001, 45_000), 50_000  # fen
LOADS: Final = (20_000, 30_000, 50_000, 80_000)  # fen
_MOST_LOADS: Final = 40
_ONLINE: Final = 0.02  # of the acts: going online without need
_SHOWS: Final = 0.2
_AT_STALLS: Final = 0.05  # of the sales
_STAY: Final = (5, 90)  # payments of a visitor, from and to
PATIENCE: Final = 3  # failures of the same kind before a visitor gives up
_WAIT_MS: Final = 4 * HOUR  # until tills may have brought what the card has paid them


class Town(Protocol):
    """What a visitor finds in a district."""

    agenda: Agenda
    weather: Weather
    truth: Truth
    desk: Desk
    stalls: list[Stall]

    @property
    def tills(self) -> list[Till]: ...
    @property
    def selling(self) -> bool:
        """Whether the district still has payments to make."""
        ...

    def report_loss(self, visitor: Visitor) -> None:
        """This visitor has lost the card, and says so."""
        ...

    def gone(self, visitor: Visitor) -> None:
        """This visitor does nothing any more."""
        ...


@dataclass
class Fingers:
    """Types the PIN; a wrong one first with the chance given, as often as it is drawn."""

    pin_: str
    rng: Random
    chance: float

    def pin(self, tries_left: int) -> str | None:
        if tries_left and self.rng.random() < self.chance:
            return f"{(int(self.pin_) + 1) % 1_000_000:06}"
        return self.pin_


class Visitor:
    """One person with one card. `plan` is asked before each act: an adversary's way in."""

    def __init__(self, name: str, card: Card, town: Town, rng: Random) -> None:
        self.name = name
        self.card = card
        self.honest = True
        self.lost = False
        self.frozen = False
        """The operator knows that the card is lost: its holder has a claim, and the card is worth nothing more."""
        self.left = False
        self.is_home = False
        """The card has been online after everything had come to rest."""
        self.open_at: Till | None = None
        self.plan: Callable[[], None] = lambda: None
        self.payments = 0
        self._town = town
        self._rng = rng
        self._orders = 0
        self._loads = 0
        self._wants_load = True
        self._wants_report = False
        self._failures = 0
        self._rest_ms = 0
        self._stall: Stall | None = None
        self.visited: set[bytes] = set()
        """Ids of tills."""
        self._stay = rng.randint(*_STAY)

    def arrive(self) -> None:
        self._next(self._rng.randrange(_GAP_MS))

    def shop_only(self) -> None:
        """The card is loaded already, and never again."""
        self._wants_load, self._loads = False, _MOST_LOADS

    def _next(self, delay_ms: int) -> None:
        self._town.agenda.after(delay_ms, self.act)

    def _pause(self) -> int:
        return int(self._rng.uniform(0.2, 1.8) * _GAP_MS)

    # Acts

    def act(self) -> None:
        """One thing that this visitor does, and an entry for the next."""
        if self.left or not self._town.selling:
            return
        self.plan()
        if self._rng.random() < self._town.weather.chances.card_lost / 16:
            self.lose()
        elif self.payments >= self._stay:
            self._give_up()
        elif self._wants_report or self._rng.random() < _ONLINE:
            self._report()
        elif self._wants_load:
            self._load()
        else:
            self._shop()
        self._next(self._pause() + self._rest_ms)  # which is nothing, for one who has left
        self._rest_ms = 0

    def lose(self) -> None:
        """The card lies in the street; what it holds is still there."""
        self.lost = True
        self._town.report_loss(self)
        self._leave()

    def _leave(self) -> None:
        self.left = True
        self._town.gone(self)

    def _give_up(self) -> None:
        """Leaves, once no till waits for this card."""
        if self.open_at is None or self.open_at.replaced:
            self._leave()

    def _load(self) -> None:
        town = self._town
        if self._loads >= _MOST_LOADS and not town.desk.is_open(self.card):
            self._give_up()
            return
        amount = self._rng.choice(LOADS)
        if self.honest:
            failure = town.desk.load(self.card, amount, town.weather.card(self._rng, LOADING))
        else:
            failure = self._load_undisturbed(amount)
        if failure is None:
            self._loads += 1
            self._wants_load, self._failures = False, 0
        elif isinstance(failure, PurseRefusal):
            self._wants_load = False
            self._loads += 1
            self._wants_report = failure.reason is Refused.SLOTS_FULL
            if failure.reason not in (Refused.BALANCE_LIMIT, Refused.SLOTS_FULL):
                self._disappointed()
        else:
            self._disappointed()

    def _report(self) -> None:
        """At the operator's desk: limits count anew, and what is final makes room."""
        weather = self._town.weather
        relay = self._rng if self._rng.random() < weather.chances.old_grant else None
        failure = self._town.desk.report(
            self.card, weather.card(self._rng, REPORTING), show=self._rng.random() < _SHOWS, rng=relay
        )
        if failure is None:
            self._wants_report = False
            if self.card.state().free_slot() is None:
                self._rest_ms = _WAIT_MS  # nothing of it is settled yet
        self._disappointed()  # a card that goes online again and again, and cannot pay, is of no use

    def _load_undisturbed(self, amount: int) -> Failure | None:
        """A broken card's inflow has to be known for certain: nothing goes wrong at the desk of the truth."""
        wire, weather = self._town.desk.wire, self._town.weather
        chances = weather.chances
        weather.calm()
        online, wire.online = wire.online, True
        failure = self._town.desk.load(self.card, amount)
        weather.chances, wire.online = chances, online
        if failure is None:
            self._town.truth.inflow[self.card.id] += amount
        return failure

    def _disappointed(self) -> None:
        """A failure that may pass; a card that goes on failing is given up."""
        self._failures += 1
        if self._failures > 4 * PATIENCE:
            self._give_up()

    def _shop(self) -> None:
        if self.honest and self._rng.random() < _AT_STALLS:
            self._meet(self._stall or self._rng.choice(self._town.stalls))
            return
        till = self._rng.choice(self._town.tills)
        waiting = till.open_sale()
        busy = waiting is not None and waiting.request.payer != self.card.id
        if busy and self._rng.random() >= self._town.weather.chances.other_card:
            return  # with somebody else's sale
        self.tap(till)

    def _meet(self, stall: Stall) -> None:
        """Both offline: the card and the merchant's secure element."""
        failure = stall.meet(self.card)
        self._stall = stall if stall.is_under_way(self.card) else None
        if failure is None:
            self.payments += 1
            self._failures = 0
        elif isinstance(failure, PurseRefusal):
            self._on_reason(failure.reason)
        else:
            self._disappointed()

    def amount(self) -> int:
        """Fen of the next sale; one in forty is large, and then the PIN and the till's certificate are wanted."""
        draw = self._rng.random()
        if draw < 0.02:
            return self._rng.randint(*_LARGE)
        return self._rng.randint(*_SMALL) if draw < 0.999 else _LIMIT + 1

    def tap(self, till: Till) -> Service:
        """Hold the card to this till's reader."""
        self._orders += 1
        self.visited.add(till.id)
        order = Order(self.amount(), f"{self.name}-{self._orders}")
        chances = self._town.weather.chances
        service = till.serve(
            self.card,
            order,
            Fingers(self.card.pin, self._rng, chances.wrong_pin),
            self._town.weather.card(self._rng, PAYING),
        )
        self._look_at(till, service)
        return service

    def _look_at(self, till: Till, service: Service) -> None:
        waiting = till.open_sale()
        if waiting is not None and waiting.request.payer == self.card.id:
            self.open_at = till
            self._retap_or_walk(till)
            return
        if self.open_at is till:
            self.open_at = None
        if service.served is Served.PAID:
            self.payments += 1
            self._failures = 0
        elif service.served is Served.NOT_CHARGED:
            self._refused(service)
        elif service.served is Served.NOT_READ:
            self._disappointed()

    def _retap_or_walk(self, till: Till) -> None:
        walks = self._rng.random() < self._town.weather.chances.walks_away
        delay = self._rng.randrange(HOUR, 12 * HOUR) if walks else self._rng.randrange(5 * SECOND, MINUTE)
        self._town.agenda.after(delay, lambda: self.come_back(till))

    def come_back(self, till: Till) -> None:
        """To the till where this visitor's sale is open, if it still is and the card still is there."""
        waiting = till.open_sale()
        if waiting is None or waiting.request.payer != self.card.id:
            if self.open_at is till:
                self.open_at = None
            return
        if self.lost or till.replaced:
            return
        self._failures += 1
        if self._failures > 4 * PATIENCE:
            return  # the cashier gives it up
        self.tap(till)

    def _refused(self, service: Service) -> None:
        """NOT CHARGED: what a reasonable person does about it."""
        self._on_reason(service.why.reason if isinstance(service.why, PurseRefusal) else None)

    def _on_reason(self, reason: Refused | None) -> None:
        if reason in _POOR:
            self._wants_load = True
        elif reason in _ONLINE_ONLY:
            self.full()
        elif reason is Refused.TRANSFER_LIMIT or reason is Refused.STALE:
            return
        else:
            self._disappointed()

    def full(self) -> None:
        """No free slot, or the offline limits are reached: the card wants its operator."""
        self._wants_report = True
