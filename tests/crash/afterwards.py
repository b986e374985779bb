"""After the power has come back: till, desk and server start on what is left, and people finish what they were at.

That is recorded too, and the power goes once more at drawn points of it: what was promised before the first loss, and
what has been promised since, must outlive the second.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

from crash.books import Harm, compare
from crash.disk import Disk, Loss
from crash.forge import Child
from crash.lanes import Checkout, Desk, Outbox
from crash.moment import Answer, Moment, Words, server_keeps, till_keeps
from crash.recorder import read
from crash.recording import RecordedForge
from crash.shop import Card, Shop, ShopError
from merchant_pos.identity import is_enrolled

MACHINES = {"till": ("counter", "desk"), "server": ("server",), "both": ("counter", "desk", "server")}
_LOSSES = (Loss.EVERYTHING, Loss.TAIL, Loss.SCATTERED, Loss.NOTHING)
_WEIGHTS = (4, 3, 4, 1)
CUTS_AGAIN = 2


def cut(disk: Disk, to: Path, rng: random.Random) -> str:
    """The image in `to` after a loss of power that is drawn; says which machine and how."""
    machine, loss = rng.choice([*MACHINES]), rng.choices(_LOSSES, _WEIGHTS)[0]
    losing = MACHINES[machine]
    disk.write(to, lambda name: loss if name in losing else Loss.NOTHING, rng)
    return f"{machine} without power, {loss.name}"


def look(data: Path, moment: Moment, answers: list[Answer]) -> Harm:
    """Open what is left by the real code: everything shown or answered is there, and the books are sound."""
    harm = till_keeps(data / "counter", moment)
    harm.add(server_keeps(data / "server", answers))
    return harm


class Afterwards:
    """Life on the image in `work`, by a forge that records it. `port`: the server's."""

    def __init__(self, forge: RecordedForge, work: Path, port: int, rng: random.Random) -> None:
        self._forge, self._work, self._port, self._rng = forge, work, port, rng

    def live(self, moment: Moment, answers: list[Answer]) -> Harm:
        """What life finds or does, and what a second loss of power does to it."""
        promised, before, start = deepcopy(moment), Disk(self._work), self._forge.log.stat().st_size
        try:
            harm = self._live(moment)
        except ShopError as exc:
            return Harm(lost=[f"life does not go on: {exc}"])
        harm.add(self._cut_again(before, start, promised, answers))
        return harm

    def _live(self, moment: Moment) -> Harm:
        with Shop(self._forge, self._work, port=self._port) as shop:
            shop.start_server()
            if not is_enrolled(shop.counter / "till"):
                enrolled = shop.enrol()
                if enrolled.code:
                    return Harm(lost=[f"the till's enrolment: {enrolled.err}"])
            self._people(shop, moment)
            return compare(shop.witnesses(), moment.told)

    def _people(self, shop: Shop, moment: Moment) -> None:
        """They finish what was under way, and sell once more."""
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

    def _cut_again(self, disk: Disk, start: int, promised: Moment, answers: list[Answer]) -> Harm:
        records = read(self._forge.log, start)
        begun = [one for one in self._forge.begun if one.at >= start]
        again, words, harm = self._work.with_name(f"{self._work.name}-again"), Words(), Harm()
        points = sorted(self._rng.choices(range(1, len(records) + 1), k=CUTS_AGAIN))
        for number, record in enumerate(records, 1):
            disk.take(record)
            words.take(record, self._port)
            if number not in points:
                continue
            where = f"after call {number} of the recovery, {cut(disk, again, self._rng)}"
            found = look(again, promised, answers + words.answers())
            found.add(till_keeps(again / "counter", Moment.of(begun, record.end, words)))
            harm.add(found.named(where))
        return harm


def _to_its_end(start: Callable[[], Child | None]) -> Child:
    child = start()
    if child is None:
        raise ShopError("nothing to start")
    child.wait()
    return child
