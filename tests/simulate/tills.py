"""A till of the city: the real checkout, journal and sync, in a process that dies where the schedule says.

What is not committed to its journal dies with it. A till may also be set back to an old copy of its disk; the server
then refuses its next batch, and the merchant enrols it again with a new key, in a directory of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random

from merchant_pos.cards import Wallet
from merchant_pos.checkout import Checkout, Outcome
from merchant_pos.client import HttpServer
from merchant_pos.decisions import Result
from merchant_pos.enrolment import enrol
from merchant_pos.identity import JOURNAL_FILE, Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import PinEntry
from merchant_pos.sales import Order, Sale
from merchant_pos.succession import Predecessor
from merchant_pos.sync import Sync
from simulate.bank import ADDRESS
from simulate.cards import Card, CityError
from simulate.chances import SYNC_STEPS, TAP_STEPS, CardFault, Weather
from simulate.clock import CityClock
from simulate.network import Wire
from simulate.streams import Streams
from wallet_core.errors import (
    CodecError,
    EcnyError,
    NoCardError,
    ServerUnreachableError,
    SettlementError,
    TransportError,
    VerificationError,
)

_BATCH = 200
_TRIES = 40


class TillDied(BaseException):
    """Stands for SIGKILL: nothing inside the till's process may catch it."""


class Served(Enum):
    """What the holder of a card sees when it is taken off the reader."""

    PAID = "PAID"
    NOT_CHARGED = "NOT CHARGED"
    TAP_AGAIN = "TAP THE SAME CARD AGAIN"
    NOT_READ = "the card could not be read, and nothing was asked"
    DARK = "the till has gone dark"


@dataclass(frozen=True, slots=True)
class Service:
    """`why`: the error behind it, where there is one; `sale`: what the journal says of it."""

    served: Served
    sale: Sale | None = None
    why: EcnyError | None = None


_SERVED = {
    Result.PAID: Served.PAID,
    Result.NOT_CHARGED: Served.NOT_CHARGED,
    Result.TAP_AGAIN: Served.TAP_AGAIN,
}


class Till:
    """One enrolled key with its journal. `paid` is called at each commit of PAID."""

    def __init__(
        self,
        directory: Path,
        merchant: str,
        wire: Wire,
        clock: CityClock,
        weather: Weather,
        streams: Streams,
        paid: Callable[[], None],
    ) -> None:
        self.directory = directory
        self.merchant = merchant
        self.wire = wire
        self.deaths = 0
        self.replaced = False
        """Its disk was set back and the server knows more of it than it does: it sells nothing any more."""
        self.set_back = False
        """Its disk was once put back to an earlier state: it may have forgotten sales."""
        self._clock = clock
        self._weather = weather
        self._streams = streams
        self._rng: Random = streams.rng("faults")
        self._paid = paid
        self._die_at = ""
        self.deposits = HttpServer(ADDRESS, transport=wire)

    def enrol(self, code: str, old: Till | None = None) -> None:
        """With the merchant's one-time code, again until the answer comes through; `old`: the till that it succeeds."""
        entropy = self._streams.entropy("key")
        predecessor = old.hand_in() if old is not None else None
        for _ in range(_TRIES):
            try:
                self.identity: Identity = enrol(
                    self.directory,
                    self.deposits,
                    code,
                    production=False,
                    pinned_authority=None,
                    entropy=entropy,
                    now=self._clock.now(),
                    step=lambda _: None,
                    succeeds=predecessor.identity.id if predecessor is not None else None,
                    before_enrolled=lambda identity: self._take_over(predecessor, identity),
                )
            except (SettlementError, CodecError, VerificationError):
                continue
            if predecessor is not None:
                predecessor.retire(self.identity)
                predecessor.close()
            self._start()
            return
        raise CityError("a till cannot be enrolled")

    def hand_in(self) -> Predecessor:
        """Give up what is open, and become somebody's predecessor."""
        self.checkout.cancel()
        return Predecessor(self.directory, self._clock.now_ms)

    def _take_over(self, predecessor: Predecessor | None, identity: Identity) -> None:
        if predecessor is None:
            return
        journal = Journal(self.directory / JOURNAL_FILE, till=identity.id, now_ms=self._clock.now_ms)
        try:
            predecessor.hand_over(identity, journal)
        finally:
            journal.close()

    @property
    def id(self) -> bytes:
        return self.identity.id

    def _start(self) -> None:
        self.journal = Journal(self.directory / JOURNAL_FILE, till=self.id, now_ms=self._clock.now_ms)
        self.checkout = Checkout(
            journal=self.journal, identity=self.identity, clock=self._clock, notify=_nobody, step=self._selling
        )
        self._sync = Sync(
            journal=self.journal,
            identity=self.identity,
            server=self.deposits,
            clock=self._clock,
            rng=self._streams.rng("jitter"),
            notify=_nobody,
            step=self._step,
        )

    def _selling(self, name: str) -> None:
        if name == "paid":
            self._paid()
        self._step(name)

    def _step(self, name: str) -> None:
        if name == self._die_at:
            self._die_at = ""
            raise TillDied(name)

    def _rise(self) -> None:
        """Another process opens the same journal."""
        self.deaths += 1
        self.journal.close()
        self._start()

    def close(self) -> None:
        self.journal.close()
        self.deposits.close()

    # Selling

    def open_sale(self) -> Sale | None:
        return self.journal.open_sale()

    def serve(self, card: Card, order: Order, pins: PinEntry, fault: CardFault) -> Service:
        """One tap: the open sale is finished if there is one, else `order` is sold."""
        self._die_at = self._weather.step(self._rng, self._weather.chances.till_dies_selling, TAP_STEPS)
        try:
            wallet = Wallet(card.tap(fault))
        except NoCardError as exc:
            return Service(Served.NOT_READ, None, exc)
        try:
            return self._tap(wallet, order, pins)
        except TillDied:
            self._rise()
            return Service(Served.DARK)
        finally:
            self._die_at = ""
            wallet.close()

    def _tap(self, wallet: Wallet, order: Order, pins: PinEntry) -> Service:
        try:
            outcome: Outcome = self.checkout.tap(wallet, order, pins)
        except TransportError as exc:
            return Service(Served.NOT_READ, None, exc)
        return Service(_SERVED[outcome.result], outcome.sale, outcome.why)

    def cancel(self) -> None:
        """The cashier gives the open sale up."""
        self._die_at = self._weather.step(self._rng, self._weather.chances.till_dies_selling, TAP_STEPS)
        try:
            self.checkout.cancel()
        except TillDied:
            self._rise()
        finally:
            self._die_at = ""

    # Settling

    def sync(self) -> bool:
        """Bring what waits to the server; whether all of it is answered."""
        if self.replaced:
            return True
        self._die_at = self._weather.step(self._rng, self._weather.chances.till_dies_syncing, SYNC_STEPS)
        try:
            self._sync.run(batch_size=_BATCH, attempts=1)
        except TillDied:
            self._rise()
            return False
        except (ServerUnreachableError, CodecError, VerificationError):
            return False
        except SettlementError:
            self.replaced = True  # another journal of this till exists: this one is kept, and used no more
        finally:
            self._die_at = ""
        return True

    # The disk

    def backup(self) -> bytes:
        """A copy of the journal as it is committed at this moment."""
        with sqlite3.connect(self.directory / JOURNAL_FILE) as live, sqlite3.connect(":memory:") as copy:
            live.backup(copy)
            image = copy.serialize()
        live.close()
        copy.close()
        return image

    def restore(self, image: bytes) -> None:
        """The disk is what it was at the backup: what came after is gone."""
        self.set_back = True
        self.journal.close()
        path = self.directory / JOURNAL_FILE
        path = self.directory / JOURNAL_FILE
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.write_bytes(image)
        self._start()


def _nobody(_: str) -> None:
    """There is nobody to read the till's display."""
