"""A district of the city: one operator, its merchants' tills, a stream of visitors, and the dishonest among them.

It runs until its payments are made, comes to rest, and is then judged. Districts share the authority and nothing else,
so that they may be played in any order and by any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from simulate.accounting import Accountant, Sums
from simulate.adversaries import CrookedTill, cloned, minting
from simulate.bank import Operator, Papers
from simulate.cards import Card
from simulate.chances import Chances, Weather
from simulate.clock import HOUR, MINUTE, Agenda, CityClock
from simulate.desk import Desk
from simulate.network import Wire
from simulate.stalls import SAM_PROFILE, Stall
from simulate.strangers import foreign_card, try_till
from simulate.streams import Streams
from simulate.tills import Till
from simulate.truth import Truth
from simulate.visitors import Visitor
from wallet_core.certificates import Certificate

VISITORS: Final = 40  # at a time; fewer where there is little to do
MERCHANTS: Final = 5
TILLS_EACH: Final = 2
CROOKED: Final = 2
STALLS: Final = 2
_STALL_MS: Final = 6 * HOUR
SAMPLE_MS: Final = HOUR
_ROUND_MS: Final = 30 * MINUTE  # between two looks of a cashier at a till
_SYNC_MS: Final = 4 * HOUR
_PATIENCE_MS: Final = (20 * MINUTE, 18 * HOUR)  # of a cashier, with an open sale
_OFFLINE_MS: Final = (4 * HOUR, 72 * HOUR)
_BY_THE_BOOK: Final = 0.5
_AWAY_MS: Final = (2 * HOUR, 30 * HOUR)  # between a backup of a till and its return


@dataclass(frozen=True, slots=True)
class Sample:
    """Fen that are nobody's for the moment, `ms` after the beginning: loads under way, payments not settled."""

    ms: int
    in_flight: int
    unsettled: int


class District:
    """`quota`: payments to be made; `directory`: an empty one for its disks; `paid` is called at each payment."""

    def __init__(
        self,
        seed: str,
        number: int,
        quota: int,
        directory: Path,
        chances: Chances,
        paid: Callable[[], None] = lambda: None,
    ) -> None:
        self.city = Streams(seed)
        self.streams = self.city.under("district", number)
        self.number = number
        self.directory = directory
        self.quota = quota
        self.payments = 0
        self.clock = CityClock()
        self.agenda = Agenda(self.clock)
        self.weather = Weather(chances)
        self.truth = Truth()
        self.samples: list[Sample] = []
        self.worst = 0
        """The largest difference that a checkpoint found, in fen."""
        self.all_tills: list[Till] = []
        self.tills: list[Till] = []
        """Those that sell."""
        self.visitors: list[Visitor] = []
        self.strangers: list[Card] = []
        self.unkept: list[str] = []
        """Promises that were not kept, in words."""
        self._paid = paid
        self._rng = self.streams.rng("schedule")
        self._booty: list[bytes] = []
        self.operator = Operator(
            Papers.make(self.city, number),
            directory,
            self.clock,
            self.weather,
            self.streams.under("operator"),
            self.streams.rng("server"),
        )
        self.operator.observers.append(self.truth.observe)
        self.accountant = Accountant(
            lambda: self.operator.parts.storage.reading(), self.operator.papers.keyring.purse_certificate.subject
        )
        self.desk = Desk(directory / "desk", self._wire("desk"), self.operator.token, self.streams.under("desk"))
        self.desk.look = self.accountant.look
        self.stalls: list[Stall] = []
        self._open_shops()
        for _ in range(min(VISITORS, 8 + quota // 10)):
            self._welcome()
        self.agenda.after(SAMPLE_MS, self._sample)

    @property
    def selling(self) -> bool:
        return self.payments < self.quota

    def run(self) -> None:
        """Until the quota is reached."""
        while self.selling and self.agenda.step():
            pass

    def close(self) -> None:
        for till in self.all_tills:
            till.close()
        self.desk.close()
        self.operator.close()

    def _wire(self, *names: object) -> Wire:
        return Wire(self.operator.deliver, self.weather, self.agenda, self.streams.rng("wire", *names))

    def _count_payment(self) -> None:
        self.payments += 1
        self._paid()

    # Merchants

    def _open_shops(self) -> None:
        for number in range(MERCHANTS):
            merchant = self.operator.add_merchant(f"Merchant {number}")
            for _ in range(TILLS_EACH):
                self._open_till(Till, merchant.merchant, self.operator.code(merchant.merchant))
        for number in range(CROOKED):
            merchant = self.operator.add_merchant(f"Dishonest merchant {number}")
            till = self._open_till(CrookedTill, merchant.merchant, merchant.code)
            if isinstance(till, CrookedTill):
                till.prepare(self.streams.rng("tricks", number), self._booty, self.truth.broken)
            self.truth.crooked.add(till.id)
        for number in range(STALLS):
            self._open_stall(number)

    def _open_stall(self, number: int) -> None:
        streams, merchant = self.streams.under("stall", number), self.operator.add_merchant(f"Stall {number}")
        sam = Card.make(streams, profile=SAM_PROFILE)
        self.desk.personalise(sam, merchant.merchant)
        stall = Stall(sam, self.desk, self.weather, streams.rng("life"), self._count_payment, self.accountant.look)
        self.stalls.append(stall)
        self.desk.payees.append(sam.id)
        self.agenda.after(self._rng.randrange(_STALL_MS), lambda: self._stall_online(stall))

    def _stall_online(self, stall: Stall) -> None:
        if self.selling:
            stall.go_online()
            self.agenda.after(self._rng.randrange(_STALL_MS), lambda: self._stall_online(stall))

    def _open_till(self, kind: type[Till], merchant: str, code: str, old: Till | None = None) -> Till:
        name = f"till-{len(self.all_tills)}"
        till = kind(
            self.directory / name,
            merchant,
            self._wire(name),
            self.clock,
            self.weather,
            self.streams.under(name),
            self._count_payment,
        )
        till.enrol(code, old)
        self.all_tills.append(till)
        self.desk.payees.append(till.id)
        self.tills.append(till)
        self.agenda.after(self._rng.randrange(_ROUND_MS), lambda: self._cashier(till))
        self.agenda.after(self._rng.randrange(_SYNC_MS), lambda: self._sync(till))
        return till

    def _cashier(self, till: Till) -> None:
        """Gives up a sale that has been open for too long; now and then the till goes offline or its disk is copied."""
        if till.replaced or not self.selling:
            return
        sale, chances = till.open_sale(), self.weather.chances
        if sale is not None and self.clock.ms - sale.asked_ms > self._rng.randrange(*_PATIENCE_MS):
            till.cancel()
        if till.wire.online and self._rng.random() < chances.till_offline / 24:
            till.wire.online = False
            self.agenda.after(self._rng.randrange(*_OFFLINE_MS), lambda: self._back_online(till))
        if not isinstance(till, CrookedTill) and self._rng.random() < chances.till_restored / 24:
            image = till.backup()
            self.agenda.after(self._rng.randrange(*_AWAY_MS), lambda: self._set_back(till, image))
        if not isinstance(till, CrookedTill) and self._rng.random() < chances.till_destroyed / 24:
            self._destroy(till)
            return
        self.agenda.after(_ROUND_MS, lambda: self._cashier(till))

    def _destroy(self, till: Till) -> None:
        """Its disk is gone, with what it had not sent. The merchant gets another till, and says so to the operator."""
        till.replaced = till.set_back = True
        self.tills.remove(till)
        self._open_till(Till, till.merchant, self.operator.code(till.merchant))
        self.agenda.after(self._rng.randrange(*_AWAY_MS), lambda: self.declare_dead(till))

    def declare_dead(self, till: Till) -> None:
        """Its operator collects for its merchant what cards' reports bring."""
        self.operator.parts.desk.declare_dead(till.id, self.clock.now())

    @staticmethod
    def _back_online(till: Till) -> None:
        till.wire.online = True

    def _set_back(self, till: Till, image: bytes) -> None:
        """Some merchants do by the book what is due then, some go on until the server no longer understands them."""
        if self.selling and till in self.tills:
            till.restore(image)
            if self._rng.random() < _BY_THE_BOOK:
                self.replace(till)

    def _sync(self, till: Till) -> None:
        if not self.selling or till not in self.tills:
            return
        done = till.sync()
        if till.replaced:
            self.replace(till)
            return
        self.agenda.after(self._rng.randrange(_SYNC_MS) if done else 5 * MINUTE, lambda: self._sync(till))

    def replace(self, till: Till) -> None:
        """The merchant enrols a new key for a till that was set back; the new one succeeds it."""
        till.replaced = True
        self.tills.remove(till)
        self._open_till(Till, till.merchant, self.operator.code(till.merchant), till)

    # Visitors

    def _welcome(self) -> None:
        number = len(self.visitors)
        streams, chances = self.streams.under("visitor", number), self.weather.chances
        rng, draw = streams.rng("life"), streams.rng("kind").random()
        worn = draw < chances.card_worn
        card = Card.make(streams, endurance=rng.randrange(24, 60) if worn else None)
        self.desk.personalise(card)
        visitor = self._settle_in(f"visitor-{number}", card, rng)
        if draw > 1 - chances.minting:
            minting(visitor, streams.rng("minting"))
        elif draw > 1 - chances.minting - chances.cloned:
            cloned(visitor, streams.rng("cloning"), lambda one: self._twin(one, streams))
        elif chances.stranger and draw < chances.card_worn + chances.stranger:
            self._stranger(streams.under("stranger"))
        if not visitor.honest:
            self.truth.broken.add(card.id)
        visitor.arrive()

    def _settle_in(self, name: str, card: Card, rng: Random) -> Visitor:
        visitor = Visitor(name, card, self, rng)
        self.visitors.append(visitor)
        wallet = card.tap()
        wallet.select()
        self.truth.keys[card.id] = Certificate.from_bytes(wallet.certificate()).key
        wallet.close()
        return visitor

    def _twin(self, visitor: Visitor, streams: Streams) -> None:
        """The other half of a cloned card gets a holder of its own."""
        twin = self._settle_in(f"{visitor.name}-twin", visitor.card.twin(streams.under("twin")), streams.rng("twin"))
        twin.honest = False
        twin.shop_only()
        twin.arrive()

    def _stranger(self, streams: Streams) -> None:
        """Somebody with a card of another operator tries every till once: nothing may be asked of that card."""
        card = foreign_card(Papers.make(self.city, self.number + 1_000_000), streams)
        self.strangers.append(card)
        for till in self.tills:
            self.agenda.after(self._rng.randrange(HOUR), partial(self._try, card, till))

    def _try(self, card: Card, till: Till) -> None:
        if not till.replaced and not try_till(card, till):
            self.unkept.append(f"till {till.id.hex()} asked a card of another operator")

    def report_loss(self, visitor: Visitor) -> None:
        """After a while the card is frozen, and what its last messages prove is given back, as far as it is due."""

        def freeze() -> None:
            if self.selling:
                self.freeze(visitor)
                self.agenda.after(self._rng.randrange(*_AWAY_MS), lambda: self.refund(visitor))

        self.agenda.after(self._rng.randrange(*_AWAY_MS), freeze)

    def freeze(self, visitor: Visitor) -> None:
        self.operator.parts.desk.freeze(visitor.card.id, self.clock.now())
        visitor.frozen = True

    def refund(self, visitor: Visitor) -> None:
        if visitor.frozen:
            self.operator.parts.desk.refund(visitor.card.id, None, self.clock.now())

    def gone(self, visitor: Visitor) -> None:
        if self.selling and not visitor.name.endswith("-twin"):
            self.agenda.after(self._rng.randrange(HOUR), self._welcome)

    # Looking on

    @property
    def honest_cards(self) -> list[Card]:
        """All purses whose secure element holds and whose value is in them."""
        holders = [visitor.card for visitor in self.visitors if visitor.honest and not visitor.frozen]
        return [*holders, *(stall.sam for stall in self.stalls)]

    @property
    def frozen_cards(self) -> list[Card]:
        return [visitor.card for visitor in self.visitors if visitor.honest and visitor.frozen]

    def _sample(self) -> None:
        """A checkpoint: invariant I1 in the middle of everything, and a point of the plot."""
        self.look()
        if self._rng.random() < self.weather.chances.purse_restored / 24:
            self.operator.open_epoch()
        if self.selling:
            self.agenda.after(SAMPLE_MS, self._sample)

    def count(self) -> Sums:
        return self.accountant.count(self.honest_cards, sorted(self.truth.broken), self.frozen_cards)

    def check(self) -> Sums:
        """Invariant I1, now."""
        sums = self.count()
        self.worst = max(self.worst, abs(sums.difference))
        return sums

    def look(self) -> None:
        """A check, and a point of the plot; the last one stands right behind the others, however long it took."""
        sums, ms = self.check(), self.clock.since_beginning
        if not self.selling and self.samples:
            ms = self.samples[-1].ms + SAMPLE_MS
        self.samples.append(Sample(ms, sums.in_flight, sums.unsettled))
