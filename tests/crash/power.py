"""Power loss: the disks of till and server cut back to what was synced, at many points of a recorded day.

At each point the machine of the till (with the desk), that of the server, or both lose their power; the disk then shows
what POSIX allows (`crash.disk.Loss`). The real code opens what is left. *Looked at*: all that was answered or shown is
there, and the books are sound. *Lived through*: till, desk and server also start again, people finish what was under
way, and the books are compared as after a kill.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crash.books import Harm, compare
from crash.disk import Disk, Loss
from crash.forge import Child, Forge
from crash.lanes import Checkout, Desk, Outbox
from crash.moment import Moment, Words, server_keeps, till_keeps
from crash.recorder import SAID, SENT, SYNC, Record
from crash.recording import Recording
from crash.shop import Card, Shop, ShopError
from merchant_pos.identity import is_enrolled

POINTS = 200
_VICTIMS = {"till": ("counter", "desk"), "server": ("server",), "both": ("counter", "desk", "server")}
_LOSSES = (Loss.EVERYTHING, Loss.TAIL, Loss.SCATTERED, Loss.NOTHING)
_WEIGHTS = (4, 3, 4, 1)


@dataclass
class Outcome:
    """`points`: by victim; `harm` in words, each with its point."""

    points: Counter[str] = field(default_factory=Counter)
    lived: int = 0
    harm: Harm = field(default_factory=Harm)


class PowerLoss:
    """Cuts of one recorded day. `work`: a directory for the images; `forge`: starts the processes that live on."""

    def __init__(self, day: Recording, forge: Forge, work: Path, seed: str) -> None:
        self._day, self._forge, self._work = day, forge, work
        self._rng = random.Random(seed)

    def run(self, *, every: int, points: int = POINTS, report: Callable[[Outcome], None] = lambda _: None) -> Outcome:
        """Look at all `points`, live through each `every`-th; the first harm ends it. `report` is told after each."""
        outcome, words, disk = Outcome(), Words(), self._day.disk.copy()
        chosen = self._chosen(points)
        for number, record in enumerate(self._day.records, 1):
            disk.take(record)
            words.take(record, self._day.port)
            for _ in range(chosen[number]):
                victim, loss = self._rng.choice([*_VICTIMS]), self._rng.choices(_LOSSES, _WEIGHTS)[0]
                self._image(disk, victim, loss)
                outcome.points[victim] += 1
                lives = sum(outcome.points.values()) % every == 0
                outcome.lived += lives
                harm = self._look(Moment.of(self._day.begun, record.end, words), words, lives=lives)
                outcome.harm.add(harm.named(f"after call {number}, {victim} without power, {loss.name}"))
                report(outcome)
                if harm:
                    return outcome
        shutil.rmtree(self._work)
        return outcome

    def _image(self, disk: Disk, victim: str, loss: Loss) -> None:
        losing = _VICTIMS[victim]
        disk.write(self._work, lambda name: loss if name in losing else Loss.NOTHING, self._rng)

    def _look(self, moment: Moment, words: Words, *, lives: bool) -> Harm:
        harm = till_keeps(self._work / "counter", moment)
        harm.add(server_keeps(self._work / "server", words.answers()))
        if not harm and lives:
            try:
                harm.add(self._live_through(moment))
            except ShopError as exc:
                harm.lost.append(f"life does not go on: {exc}")
        return harm

    def _chosen(self, points: int) -> Counter[int]:
        """Where to cut: after words, beside syncs and anywhere, in equal parts."""
        records = self._day.records
        words = [at for at, one in enumerate(records, 1) if self._is_promise(one)]
        syncs = [at for at, one in enumerate(records, 1) if one.op == SYNC]
        beside = sorted({near for at in syncs for near in (at - 1, at)} - {0})
        anywhere = range(1, len(records) + 1)
        parts = [points // 3, points // 3, points - 2 * (points // 3)]
        return Counter(
            at for places, size in zip((words, beside, anywhere), parts, strict=True) for at in self._draw(places, size)
        )

    def _is_promise(self, record: Record) -> bool:
        """PAID, an enrolment or a report of till or desk, or what the server has sent."""
        if record.op == SENT:
            return record.inode == self._day.port
        return record.op == SAID and any(word in record.data for word in (b"PAID", b"enrolled", b"{"))

    def _draw(self, places: Sequence[int], size: int) -> list[int]:
        whole, rest = divmod(size, len(places))
        return [*places] * whole + self._rng.sample(places, rest)

    # After the power has come back ----------------------------------------------------------------------------------

    def _live_through(self, moment: Moment) -> Harm:
        """Everything starts again on what is left; people finish what they were at, sell once more, and compare."""
        with Shop(self._forge, self._work, port=self._day.port) as shop:
            shop.start_server()
            if not is_enrolled(shop.counter / "till"):
                enrolled = shop.enrol()
                if enrolled.code:
                    return Harm(lost=[f"the till's enrolment: {enrolled.err}"])
            self._people(shop, moment)
            return compare(shop.witnesses(), moment.told)

    def _people(self, shop: Shop, moment: Moment) -> None:
        cards = {one.name: Card(one, moment.purses.get(one.name, "")) for one in (self._work / "cards").iterdir()}
        shop.cards = list(cards.values())
        for card in shop.cards:
            card.balance = moment.told.loaded[card.purse]
        desk = Desk(shop, moment.told, self._rng)
        checkout = Checkout(shop, desk, moment.told, self._rng, "after")
        if moment.sale is not None:
            number, order, amount = moment.sale
            checkout.take_up(cards[number], order, amount)
        if moment.load is not None:
            number, amount = moment.load
            desk.take_up(cards[number], amount)
        checkout.recover(_to_its_end)
        desk.recover(_to_its_end)
        desk.ready = [card for card in shop.cards if card.balance]
        if desk.ready:
            checkout.ended(_to_its_end(checkout.start))
            checkout.recover(_to_its_end)
        Outbox(shop, self._rng).recover(_to_its_end)


def _to_its_end(start: Callable[[], Child | None]) -> Child:
    child = start()
    if child is None:
        raise ShopError("nothing to start")
    child.wait()
    return child
