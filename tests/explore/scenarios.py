"""The three scopes: who takes part, what they may begin and which faults happen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from explore.desks import carry_report
from explore.invariants import in_flight
from explore.market import Budgets, Market, Plan, View
from explore.purses import Purses
from explore.scripts import Reader
from explore.servers import Servers
from explore.tills import Activity, Bench, Tills
from explore.worlds import LOAD, Chip, beginning
from hardware.driver import HardWallet
from hardware.emulator.flash import Outcome
from hardware.emulator.memory import CARD_LAYOUT
from hardware.exchange import CardConnection
from hardware.purse_transfer import finish, give_up, transfer
from merchant_pos.cards import Wallet
from merchant_pos.sales import Order
from merchant_pos.sam_sale import charge
from wallet_core.messages import Request, parse
from wallet_core.purse.state import EntryState, SlotState

SALE = 6_800  # fen


@dataclass(frozen=True)
class Profile:
    """How much of a scope is searched; the default is all of it.

    `outcomes`, `stride`: of the cuts that are tried, and cells between two of them; `faults` (`pair_faults` in scope
    (b)), `cuts`, `needless`: the budgets of `market.Budgets`, None for those of the scope.
    """

    outcomes: Sequence[Outcome] = tuple(Outcome)
    stride: int = 1
    faults: int | None = None
    pair_faults: int = 1
    cuts: int | None = None
    needless: int | None = None


FULL = Profile()
QUICK = Profile(outcomes=(Outcome.PARTIAL, Outcome.UNSTABLE), stride=3, pair_faults=0, cuts=1, needless=0)


def _purses(chip: Chip, profile: Profile) -> Purses:
    return Purses(
        chip.name, chip.memory, CARD_LAYOUT.cells, chip.seed, outcomes=profile.outcomes, stride=profile.stride
    )


def wallet(bench: Bench, purse: int) -> HardWallet:
    """The real driver of the purse in reader `purse`."""
    return HardWallet(CardConnection(Reader(bench.script, purse)))


# Scope (a): one card pays at one till, which deposits


def _tap(bench: Bench) -> str:
    outcome = bench.checkout().tap(Wallet(wallet(bench, 0)), Order(SALE, "two bowls of noodles"), bench.pins())
    return outcome.result.value


def _sync(bench: Bench) -> str:
    report = bench.sync().run(attempts=1)
    return f"{report.settled} settled, {report.refusals} refused"


def _may_tap(view: View) -> bool:
    return view.till.open or not view.till.sales


def _may_sync(view: View) -> bool:
    return view.till.waiting


def _cancel(bench: Bench) -> str:
    return "nothing open" if bench.checkout().cancel() is None else "cancelled"


def _report(bench: Bench) -> str:
    return carry_report(bench.script, wallet(bench, 0), [bench.identity.id])


def _may_cancel(view: View) -> bool:
    return view.till.open


def _must_report(view: View) -> bool:
    """Whether a report would end a slot, or free one that has ended."""
    settled = {voucher_hash for voucher_hash, _ in view.server.settled}
    return any(
        slot.state is not SlotState.PENDING or slot.voucher_hash in settled or slot.request_hash in view.server.refused
        for facts in view.purses[0]
        for slot in facts.slots
    )


def _may_report(view: View) -> bool:
    return any(facts.slots for facts in view.purses[0])


def _shop_home(view: View) -> bool:
    busy = view.till.open or view.till.waiting
    return not busy and not any(in_flight((one,), view.server, view.heard) for one in view.purses[0])


def shop(profile: Profile = FULL) -> Market:
    """Scope (a)."""
    start = beginning()
    return Market(
        tills=Tills(start.identity, {"tap": _tap, "sync": _sync, "cancel": _cancel, "report": _report}),
        servers=Servers(start.world, start.database),
        purses=(_purses(start.payer, profile),),
        plans=(
            Plan("tap", (0,), _may_tap),
            Plan("sync", (), _may_sync),
            Plan("cancel", (), _may_cancel),
            Plan("report", (0,), _must_report, _may_report),
        ),
        budgets=Budgets(
            faults=1 if profile.faults is None else profile.faults,
            cuts=(2 if profile.cuts is None else profile.cuts,),
            of_purse=(0,),
            needless=1 if profile.needless is None else profile.needless,
        ),
        outside=LOAD,
        home=_shop_home,
    )


# Scope (b): a card pays a merchant's purse over two readers, and nobody is online

PAYER, PAYEE = 0, 1
ORDER = hashlib.sha256(b"a pot of tea").digest()


def _transfer(bench: Bench) -> str:
    done = transfer(wallet(bench, PAYER), wallet(bench, PAYEE), SALE, ORDER)
    return "acknowledged" if done.acknowledged else "collected"


def _finish(bench: Bench) -> str:
    done = finish(wallet(bench, PAYER), wallet(bench, PAYEE))
    return f"{len(done.transferred)} collected, {len(done.given_up)} given up"


def _give_up(bench: Bench) -> str:
    payer, payee = wallet(bench, PAYER), wallet(bench, PAYEE)
    payee.select()
    asked = payee.open_requests()
    return (
        f"{give_up(payer, payee, parse(Request, asked[0]).hash).returned} returned" if asked else "nothing to give up"
    )


def _entries(view: View, purse: int, *states: EntryState) -> bool:
    """Whether the purse may have an entry in one of these states."""
    return any(entry.state in states for facts in view.purses[purse] for entry in facts.entries)


def _pending(view: View) -> bool:
    return any(slot.state is SlotState.PENDING for facts in view.purses[PAYER] for slot in facts.slots)


def _may_transfer(view: View) -> bool:
    untouched = all(facts.next_n == 1 for facts in view.purses[PAYER])
    return (untouched or _pending(view)) and not _entries(view, PAYEE, EntryState.REFUSED)


def _may_finish(view: View) -> bool:
    return _pending(view) or _entries(view, PAYEE, EntryState.OPEN)


def _may_give_up(view: View) -> bool:
    return _entries(view, PAYEE, EntryState.OPEN)


def _pair_home(view: View) -> bool:
    return not _pending(view) and not _entries(view, PAYEE, EntryState.OPEN)


def pair(profile: Profile = FULL) -> Market:
    """Scope (b)."""
    start = beginning()
    both = (PAYER, PAYEE)
    cuts = 1 if profile.cuts is None else profile.cuts
    return Market(
        tills=Tills(start.identity, {"transfer": _transfer, "finish": _finish, "give up": _give_up}),
        servers=Servers(start.world, start.database),
        purses=(_purses(start.payer, profile), _purses(start.sam, profile)),
        plans=(
            Plan("transfer", both, _may_transfer),
            Plan("finish", both, _may_finish),
            Plan("give up", both, _may_give_up),
        ),
        budgets=Budgets(faults=profile.pair_faults, cuts=(cuts, cuts), of_purse=(0, 1)),
        outside=LOAD,
        home=_pair_home,
    )


BOUNDED = frozenset({"c"})
"""Searched until the time is up."""

# Scope (b) again, with the merchant's till between card and purse instead of a terminal that keeps nothing


class Slot:
    """A reader of the till: the purse that is in it has power at first, and is powered afresh when asked for again."""

    def __init__(self, bench: Bench, purse: int) -> None:
        self._bench = bench
        self._purse = purse
        self._fresh = True

    def card(self, _timeout_s: float) -> Wallet:
        reader = Reader(self._bench.script, self._purse)
        if not self._fresh:
            reader.reset()
        self._fresh = False
        return Wallet(HardWallet(CardConnection(reader)))


SHORTLY = 0.01  # seconds of the clock of the model: one try


def _sell(bench: Bench) -> str:
    asked = (bench.sam_desk(), Order(SALE, "a pot of tea"), Slot(bench, PAYER), Slot(bench, PAYEE), bench.pins())
    return charge(*asked, tap_seconds=0.0, retap_seconds=0.0).result.value


def _resume(bench: Bench) -> str:
    outcome = bench.sam_desk().resume(Slot(bench, PAYER), Slot(bench, PAYEE), bench.pins(), SHORTLY)
    return "nothing open" if outcome is None else outcome.result.value


def _cancel_sam(bench: Bench) -> str:
    desk = bench.sam_desk()
    transfer = desk.to_cancel(None)
    if transfer is None:
        return "nothing open"
    return desk.cancel(transfer, Slot(bench, PAYER), Slot(bench, PAYEE), 0.0).result.value


def _next_tap(bench: Bench) -> str:
    """What the till does at the end of each tap, for any later sale."""
    card = Slot(bench, PAYER).card(0.0)
    bench.sam_desk().afterwards(card, card.select().purse)
    return "done"


def _may_hear(view: View) -> bool:
    """The card has not heard how its payment ended, and the till knows."""
    return _pending(view) and any(one.state in ("PAID", "REFUSED") for one in view.till.transfers)


def _unfinished(view: View) -> bool:
    return any(one.state not in ("PAID", "REFUSED", "DROPPED") for one in view.till.transfers)


def _may_resume(view: View) -> bool:
    """A sale whose Request the SAM has refused unheard stays HELD however often it is resumed: cancel ends that."""
    return _unfinished(view) and not _entries(view, PAYEE, EntryState.REFUSED)


def _may_sell(view: View) -> bool:
    return not view.till.transfers


def _may_cancel_sam(view: View) -> bool:
    return any(one.state in ("ASKED", "UNKNOWN", "HELD") for one in view.till.transfers)


def _counter_home(view: View) -> bool:
    return not _unfinished(view) and not any(
        in_flight(purses, view.server, view.heard) for purses in product(*view.purses)
    )


def counter(profile: Profile = FULL) -> Market:
    """Scope (b), part 2."""
    start = beginning()
    both = (PAYER, PAYEE)
    cuts = 1 if profile.cuts is None else profile.cuts
    return Market(
        tills=Tills(
            start.identity,
            {"sell": _sell, "resume": _resume, "cancel": _cancel_sam, "next tap": _next_tap},
        ),
        servers=Servers(start.world, start.database),
        purses=(_purses(start.payer, profile), _purses(start.sam, profile)),
        plans=(
            Plan("sell", both, _may_sell),
            Plan("resume", both, _may_resume, _unfinished),
            Plan("cancel", both, _may_cancel_sam),
            Plan("next tap", (PAYER,), _may_hear),
        ),
        budgets=Budgets(
            faults=0,
            cuts=(cuts, cuts),
            of_purse=(0, 1),
            needless=1 if profile.needless is None else profile.needless,
        ),
        outside=LOAD,
        home=_counter_home,
    )


# Scope (c): a card and a merchant's purse pay each other, go online when they like, and more goes wrong

BACK = hashlib.sha256(b"a pot of tea, taken back").digest()
RETURNED = 2_500  # fen


def _refund(bench: Bench) -> str:
    done = transfer(wallet(bench, PAYEE), wallet(bench, PAYER), RETURNED, BACK)
    return "acknowledged" if done.acknowledged else "collected"


def _finish_back(bench: Bench) -> str:
    done = finish(wallet(bench, PAYEE), wallet(bench, PAYER))
    return f"{len(done.transferred)} collected, {len(done.given_up)} given up"


def _report_of(purse: int, other: int) -> Activity:
    start = beginning()
    chips = (start.payer, start.sam)

    def report(bench: Bench) -> str:
        return carry_report(bench.script, wallet(bench, purse), [chips[other].purse], [chips[other].certificate])

    return report


def _slots(view: View, purse: int) -> bool:
    return any(facts.slots for facts in view.purses[purse])


def _may_refund(view: View) -> bool:
    """Out of what the merchant's purse has received, once."""
    return all(facts.balance >= RETURNED and facts.next_n == 1 for facts in view.purses[PAYEE])


def _may_finish_back(view: View) -> bool:
    return _entries(view, PAYER, EntryState.OPEN) or any(
        slot.state is SlotState.PENDING for facts in view.purses[PAYEE] for slot in facts.slots
    )


def _market_home(view: View) -> bool:
    still_open = _entries(view, PAYER, EntryState.OPEN) or _entries(view, PAYEE, EntryState.OPEN)
    return not still_open and not any(in_flight(purses, view.server, view.heard) for purses in product(*view.purses))


def market(profile: Profile = FULL) -> Market:
    """Scope (c)."""
    start = beginning()
    both = (PAYER, PAYEE)
    activities: dict[str, Activity] = {
        "transfer": _transfer,
        "finish": _finish,
        "give up": _give_up,
        "refund": _refund,
        "finish refund": _finish_back,
        "report card": _report_of(PAYER, PAYEE),
        "report SAM": _report_of(PAYEE, PAYER),
    }
    return Market(
        tills=Tills(start.identity, activities),
        servers=Servers(start.world, start.database),
        purses=(_purses(start.payer, profile), _purses(start.sam, profile)),
        plans=(
            Plan("transfer", both, _may_transfer),
            Plan("refund", both, _may_refund),
            Plan("finish", both, _may_finish),
            Plan("finish refund", both, _may_finish_back),
            Plan("give up", both, _may_give_up),
            Plan("report card", (PAYER,), lambda _: False, lambda view: _slots(view, PAYER)),
            Plan("report SAM", (PAYEE,), lambda _: False, lambda view: _entries(view, PAYEE, *EntryState)),
        ),
        budgets=Budgets(
            faults=2 if profile.faults is None else profile.faults,
            cuts=(2 if profile.cuts is None else profile.cuts,),
            of_purse=(0, 0),
            needless=2 if profile.needless is None else profile.needless,
        ),
        outside=LOAD,
        home=_market_home,
    )


SCOPES: dict[str, Callable[[Profile], Market]] = {"a": shop, "b": pair, "b2": counter, "c": market}
