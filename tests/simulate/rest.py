"""A district comes to rest, and is judged: what was begun is finished, everybody is online, no message is under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from merchant_pos.identity import JOURNAL_FILE
from simulate.accounting import Sums
from simulate.adversaries import CrookedTill
from simulate.bank import DATABASE
from simulate.cards import CityError
from simulate.clock import DAY, MINUTE
from simulate.district import District, Sample
from simulate.findings import findings, losses_beyond
from simulate.promises import broken_promises, of_operator, uncredited
from simulate.stalls import Stall
from simulate.statehash import state_hash
from simulate.tills import Till
from simulate.visitors import Visitor

_ROUNDS: Final = 60
_YEARS: Final = 4


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of one district. `found` of its `frauds`, and `false`: charges against who did nothing.

    `worst`: the largest difference (fen) of a checkpoint on the way; `unkept`: promises, in words; `state`: 32 bytes;
    `deaths`: of tills, of the server; `merchants_loss`: fen that honest merchants were not credited for broken cards.
    """

    payments: int
    sums: Sums
    worst: int
    frauds: int
    found: int
    false: int
    unkept: tuple[str, ...]
    state: bytes
    samples: tuple[Sample, ...]
    deaths: tuple[int, int]
    merchants_loss: int
    reversed: int
    """Fen that came back to holders of honest cards."""
    cards: int

    @property
    def difference(self) -> int:
        """Fen; the larger of the end's and of any checkpoint's."""
        return self.sums.difference or self.worst

    @property
    def well(self) -> bool:
        return not (self.difference or self.unkept or self.false) and self.found == self.frauds


def come_to_rest(district: District) -> None:
    """No more faults, no more sales; late messages arrive, open sales and loads are finished, everything is settled."""
    district.weather.calm()
    district.quota = 0
    for till in district.all_tills:
        till.wire.online = True
    while district.agenda.step():
        pass
    for visitor in district.visitors:
        _finish_load(district, visitor)
    for till in list(district.tills):
        _finish_sale(district, till)
    for till in list(district.tills):
        _settle(district, till)
    for till in [till for till in district.tills if till.set_back]:
        district.replace(till)  # what it has forgotten, only the cards still know
        _settle(district, district.tills[-1])
    for visitor in district.visitors:
        if visitor.honest and visitor.lost and not visitor.frozen:
            district.freeze(visitor)
    for till in district.all_tills:
        if till.replaced:
            district.declare_dead(till)
    for stall in district.stalls:
        _close(district, stall)
    for visitor in district.visitors:
        if visitor.honest and not visitor.lost:
            failure = district.desk.report(visitor.card)
            visitor.is_home = failure is None
            if failure is not None and visitor.card.flash.endurance is None:
                district.unkept.append(f"the card of {visitor.name} cannot be brought online: {failure}")
    district.look()
    district.clock.ms += _YEARS * 365 * DAY  # beyond expiry and grace: what is left of lost cards is due
    for visitor in district.visitors:
        district.refund(visitor)
    district.check()


def _finish_load(district: District, visitor: Visitor) -> None:
    """A load that was begun is done again until it is done; a lost card stays away, and one that refuses is left."""
    if visitor.lost:
        return
    for _ in range(_ROUNDS):
        if not district.desk.is_open(visitor.card):
            return
        if district.desk.load(visitor.card, 1) is None:
            return
    # The card refuses for good (worn, full): what is in flight stays in flight, and is counted there.


def _finish_sale(district: District, till: Till) -> None:
    """The card comes back, or the cashier gives the sale up."""
    for _ in range(_ROUNDS):
        sale = till.open_sale()
        if sale is None:
            return
        holders = [v for v in district.visitors if v.card.id == sale.request.payer and not v.lost]
        for visitor in holders:
            if till.open_sale() is not None:
                visitor.tap(till)
        if till.open_sale() is not None:
            till.cancel()
    raise CityError("a sale cannot be brought to an end")


def _settle(district: District, till: Till) -> None:
    for _ in range(_ROUNDS):
        district.clock.ms += MINUTE
        done = till.sync()
        if till.replaced:
            return
        if done and (isinstance(till, CrookedTill) or not _waits(till)):
            return
    raise CityError("a till cannot bring its sales to the server")


def _close(district: District, stall: Stall) -> None:
    """Everybody who was at the stall comes once more; then it goes online."""
    lost = {visitor.card.id for visitor in district.visitors if visitor.lost}
    for card in stall.partners.values():
        if card.id not in lost:
            stall.finish(card)
    for _ in range(_ROUNDS):
        if stall.go_online(show=True):
            return
    raise CityError("a stall cannot bring its sales to the server")


def _waits(till: Till) -> bool:
    return bool(till.journal.unanswered() or till.journal.unsent_refusals())


def judge(district: District) -> Judgement:
    """To be asked at rest, once: it closes the district's disks."""
    honest = district.honest_cards
    broken = district.truth.broken
    sums = district.count()
    tills = district.all_tills
    holders = [visitor for visitor in district.visitors if visitor.honest]
    unkept = district.unkept + broken_promises(holders, tills, broken, district.accountant)
    unkept += district.operator.ledger().faults
    frauds = district.truth.frauds()
    with district.operator.parts.storage.reading() as tx:
        found = findings(tx, district.operator.papers.keyring.trust(), [till.id for till in tills])
        cap = district.operator.settings.ready_to_lose.review_cap
        unkept += losses_beyond(tx, broken, cap, sums.loss)
        unkept += of_operator(tx, holders, district.accountant.collected)
    # A till that was set back may refuse in good faith what it has forgotten to have sold.
    forgetful = {till.id for till in tills if till.set_back}
    known = {fraud.party for fraud in frauds} | broken | district.truth.crooked | forgetful
    deaths = (sum(till.deaths for till in district.all_tills), district.operator.deaths)
    merchants_loss = uncredited(tills)
    district.close()
    databases = [district.directory / DATABASE, *(till.directory / JOURNAL_FILE for till in district.all_tills)]
    cards = [*(v.card for v in district.visitors), *(stall.sam for stall in district.stalls), *district.strangers]
    return Judgement(
        payments=district.payments,
        sums=sums,
        worst=district.worst,
        frauds=len(frauds),
        found=len(frauds & found),
        false=sum(fraud.party not in known for fraud in found),
        unkept=tuple(unkept),
        state=state_hash(databases, cards),
        samples=tuple(district.samples),
        deaths=deaths,
        merchants_loss=merchants_loss,
        reversed=sum(card.state().total_reversed for card in honest),
        cards=len(district.visitors),
    )
