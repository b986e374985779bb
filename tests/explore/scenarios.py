"""The three scopes: who takes part, what they may begin and which faults happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explore.invariants import in_flight
from explore.market import Budgets, Market, Plan, View
from explore.purses import Purses
from explore.scripts import Reader
from explore.servers import Servers
from explore.tills import Bench, Tills
from explore.worlds import LOAD, Chip, beginning
from hardware.driver import HardWallet
from hardware.emulator.flash import Outcome
from hardware.emulator.memory import CARD_LAYOUT
from hardware.exchange import CardConnection
from merchant_pos.cards import Wallet
from merchant_pos.sales import Order

SALE = 6_800  # fen


@dataclass(frozen=True)
class Profile:
    """How much of a scope is searched; the default is all of it. `stride`: cells between two cuts that are tried."""

    outcomes: Sequence[Outcome] = tuple(Outcome)
    stride: int = 1
    faults: int | None = None
    cuts: int | None = None


FULL = Profile()
QUICK = Profile(outcomes=(Outcome.PARTIAL, Outcome.UNSTABLE), stride=3, cuts=1)


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


def _shop_home(view: View) -> bool:
    return not (view.till.open or view.till.waiting) and not any(
        in_flight((one,), view.server) for purse in view.purses for one in purse
    )


def shop(profile: Profile = FULL) -> Market:
    """Scope (a)."""
    start = beginning()
    return Market(
        tills=Tills(start.identity, {"tap": _tap, "sync": _sync}),
        servers=Servers(start.world, start.database),
        purses=(_purses(start.payer, profile),),
        plans=(Plan("tap", (0,), _may_tap), Plan("sync", (), _may_sync)),
        budgets=Budgets(
            faults=1 if profile.faults is None else profile.faults,
            cuts=(2 if profile.cuts is None else profile.cuts,),
            of_purse=(0,),
        ),
        outside=LOAD,
        home=_shop_home,
    )


BOUNDED = frozenset({"c"})
"""Searched until the time is up."""

SCOPES: dict[str, Callable[[Profile], Market]] = {"a": shop}
