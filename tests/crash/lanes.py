"""What goes on in the shop, one command after the other in each lane: selling, syncing, loading cards.

A lane knows its next command and what its end means; it never waits. What a kill interrupted is put right by `recover`
in the way the people there would: look, resume, try again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from crash.books import Acknowledged, Facts
from crash.forge import KILLED, Child
from crash.shop import UNREACHABLE, Card, Shop, ShopError
from wallet_core.errors import ExitCode
from wallet_core.money import fen

FIRST_LOAD = 40_000  # fen
LOADS_EACH = 4  # loads of a card at the desk before it goes to the counter
FULL = 80_000  # fen on a card that gets no further load
_TRIES = 12

Watched = Callable[[Callable[[], Child]], Child]
"""Runs a command that a kill may still hit, to its end."""


class Lane(Protocol):
    """`start`: the next command, or None while there is nothing to do; `ended`: whether the lane goes on."""

    def start(self) -> Child | None: ...
    def ended(self, child: Child) -> bool: ...


class Checkout:
    """The counter: one sale after the other, with the cards that the desk has loaded."""

    def __init__(self, shop: Shop, desk: Desk, told: Acknowledged, rng: random.Random, name: str) -> None:
        self._shop, self._desk, self._told, self._rng, self._name = shop, desk, told, rng, name
        self._card: Card | None = None
        self._order, self._amount, self._orders = "", 0, 0

    def take_up(self, card: Card, order: str, amount: int) -> None:
        """This sale was under way: to be recovered."""
        self._card, self._order, self._amount = card, order, amount

    def start(self) -> Child | None:
        if self._card is None:
            if not self._desk.ready:
                return None
            self._card = self._desk.ready.pop(0)
        if not self._order:
            self._orders += 1
            self._order = f"{self._name}-{self._orders}"
            # Now and then above the limits from which the card wants its PIN and the till's certificate.
            self._amount = (
                self._rng.randint(20_001, 22_000) if self._rng.random() < 0.1 else self._rng.randint(1, 1_500)
            )
        return self._shop.till_starts("charge", _rmb(self._amount), "--order", self._order, *self._place)

    @property
    def _place(self) -> tuple[str, ...]:
        if self._card is None:
            raise ShopError("no card lies on the counter")
        pin = ("--pin-file", str(self._shop.pin), "--retap-seconds", "5")
        return ("--reader", self._card.reader, *pin)

    def ended(self, child: Child) -> bool:
        """PAID that was shown is a promise, whatever became of the process then."""
        if "PAID" in child.out:
            self._told.paid[self._order] = self._amount
        if child.code == 0:
            self._order = ""
            return True
        if child.code == ExitCode.CARD_REFUSED and self._card is not None:
            self._desk.returned.append(self._card)  # NOT CHARGED: its slots or limits are used up until it was online
            self._card, self._order = None, ""
            return True
        if child.code != KILLED:
            raise ShopError(f"a charge ended with {child.code}: {child.err}")
        return False

    def recover(self, watched: Watched) -> None:
        """Look; resume what is open; what the journal has not got was never asked: charge it."""
        for _ in range(_TRIES):
            open_sale = self._look()
            if open_sale is not None:
                self.ended(watched(lambda: self._shop.till_starts("resume", *self._place)))
            elif not self._order:
                return
            elif (state := self._state()) is None:
                self.ended(watched(self._again))
            else:
                if state != "REFUSED":
                    self._told.paid[self._order] = self._amount  # the cashier hands the goods over now
                self._order = ""
        raise ShopError(f"order {self._order} comes to no end")

    def _again(self) -> Child:
        child = self.start()
        if child is None:
            raise ShopError("no card to charge again")
        return child

    def _look(self) -> Facts | None:
        facts: Facts = self._shop.must(self._shop.till("status", "--json")).facts
        found: Facts | None = facts["open"]
        return found

    def _state(self) -> str | None:
        sales = self._shop.must(self._shop.till("history", "--json")).facts["sales"]
        states = [str(sale["state"]) for sale in sales if sale["order"] == self._order]
        return states[-1] if states else None


class Outbox:
    """The till's syncs, in batches of a few vouchers."""

    def __init__(self, shop: Shop, rng: random.Random) -> None:
        self._shop, self._rng = shop, rng

    def start(self) -> Child:
        size = str(self._rng.randint(1, 4))
        return self._shop.till_starts("sync", "--batch-size", size, "--attempts", "1", "--timeout", "20", "--json")

    def ended(self, child: Child) -> bool:
        if child.code not in (0, KILLED, UNREACHABLE):
            raise ShopError(f"a sync ended with {child.code}: {child.err}")
        return child.code == 0

    def recover(self, watched: Watched) -> None:
        for _ in range(_TRIES):
            if self.ended(watched(self.start)):
                return
        raise ShopError("the till cannot sync")


class Desk:
    """The card desk: makes, personalises and loads one card after the other, and brings those that were `returned`
    online; `ready` are those to pay with."""

    def __init__(self, shop: Shop, told: Acknowledged, rng: random.Random) -> None:
        self._shop, self._told, self._rng = shop, told, rng
        self.ready: list[Card] = []
        self.returned: list[Card] = []
        self._card: Card | None = None
        self._loads = 0
        self._amount = 0  # of the load under way
        self._killed = self._reports = False

    def take_up(self, card: Card, amount: int) -> None:
        """Loading `amount` fen, or personalising (0), was under way when the desk died: to be recovered."""
        self._card, self._amount, self._killed = card, amount, True

    def start(self) -> Child | None:
        if self.has_nothing_to_do:
            return None
        if self._card is None and self.returned:
            self._card, self._reports = self.returned.pop(0), True
        elif self._card is None:
            self._card, self._loads = self._shop.take_blank_card(), 0
        if self._reports:
            # With its PIN a card also hands in its vouchers, deposited or not.
            pin = ("--pin-file", str(self._shop.pin)) if self._rng.random() < 0.5 else ()
            return self._shop.desk_starts(self._card, "report", *pin)
        if not self._card.purse:
            return self._shop.desk_starts(self._card, "personalise", "--pin-file", str(self._shop.pin))
        self._amount = self._amount or (self._rng.randint(100, 3_000) if self._loads else FIRST_LOAD)
        return self._shop.desk_starts(self._card, "load", str(self._amount))

    def ended(self, child: Child) -> bool:
        card = self._card
        if card is None or child.code not in (0, KILLED, UNREACHABLE):
            raise ShopError(f"the desk's {child.words[1]} ended with {child.code}: {child.err}")
        self._killed = child.code == KILLED
        if child.code:
            return False
        if child.words[1] == "personalise":
            card.purse = child.facts["purse"]
        elif child.words[1] == "report":
            self._finished(card)
        else:
            self._loaded(card)
        return True

    def _finished(self, card: Card) -> None:
        self.ready.append(card)
        self._card, self._reports = None, False

    def _loaded(self, card: Card) -> None:
        self._told.loaded[card.purse] += self._amount
        card.balance += self._amount
        self._amount, self._loads = 0, self._loads + 1
        if self._loads >= LOADS_EACH or card.balance >= FULL:
            self._finished(card)

    @property
    def has_nothing_to_do(self) -> bool:
        return self._card is None and (len(self.ready) >= 2 or not (self.returned or self._shop.blank))

    @property
    def under_way(self) -> bool:
        """Whether something was begun and not seen to its end."""
        return self._card is not None and (self._killed or self._reports or self._amount > 0)

    def recover(self, watched: Watched) -> None:
        """The same command again; a desk that was killed itself looks first."""
        for _ in range(_TRIES):
            card = self._card
            if card is None or not self.under_way:
                return
            if self._killed:
                self._killed = False
                self._look(card)
                continue
            again = self.start
            self.ended(watched(lambda again=again: _there(again())))  # type: ignore[misc]
        raise ShopError("the desk cannot finish")

    def _look(self, card: Card) -> None:
        """What became of the command whose end nobody saw: a load that is not under way any more has ended. A report is
        simply done again."""
        if not card.purse:
            facts = self._shop.info(card)
            card.purse = facts["purse"] if facts["lifecycle"] == "active" else ""
        elif self._amount and self._has_ended(card):
            self._loaded(card)

    def _has_ended(self, card: Card) -> bool:
        loaded = card.balance + self._amount
        return not self._shop.has_intent(card) and self._shop.info(card)["balance"] == loaded


def _there(child: Child | None) -> Child:
    if child is None:
        raise ShopError("nothing to do at the desk")
    return child


def _rmb(amount: int) -> str:
    return str(fen(amount)).removeprefix("RMB ").replace(",", "")
