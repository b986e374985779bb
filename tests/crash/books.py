"""The books after a kill: what cards, till and server say of the same money, against what was acknowledged.

All witnesses are asked by the real commands with --json, once everything that was interrupted has been finished as a
cashier would. *Lost*: acknowledged (or debited) and gone. *Doubled*: counted more often than it happened. Amounts in
fen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

Facts = dict[str, Any]
PAID_STATES = ("PAID", "SENT", "SETTLED", "REJECTED")


@dataclass
class Acknowledged:
    """What somebody was told. `paid`: order reference → amount, PAID was shown; `loaded`: card id → sum of its loads;
    `settled`: hashes of vouchers for which the till had a verified answer at an earlier look."""

    paid: dict[str, int] = field(default_factory=dict)
    loaded: Counter[str] = field(default_factory=Counter)
    settled: set[str] = field(default_factory=set)


@dataclass
class Harm:
    """In words, one entry for each thing that is lost or doubled."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled)

    def add(self, other: Harm) -> None:
        self.lost += other.lost
        self.doubled += other.doubled

    def named(self, where: str) -> Harm:
        """The same, each with where it was found."""
        return Harm([f"{where}: {one}" for one in self.lost], [f"{where}: {one}" for one in self.doubled])

    def differ(self, what: str, found: int, expected: int) -> None:
        """`found` fen (or pieces) are there of `expected` ones."""
        if found < expected:
            self.lost.append(f"{what}: {found} instead of {expected}")
        if found > expected:
            self.doubled.append(f"{what}: {found} instead of {expected}")


@dataclass(frozen=True)
class Witnesses:
    """`cards`: `ecny card info` of each, with its `vouchers`; `sales`: `ecny pos history`; `ledger`: `ecny server
    ledger`."""

    cards: list[Facts]
    sales: list[Facts]
    ledger: Facts


def compare(seen: Witnesses, told: Acknowledged) -> Harm:
    """Everything is finished and settled: each fen has one place."""
    harm = Harm()
    paid = [sale for sale in seen.sales if sale["state"] in PAID_STATES]
    _orders(harm, paid, told)
    _cards(harm, seen.cards, paid, told)
    _settled(harm, paid, seen.ledger, told)
    _ledger(harm, seen, paid, told)
    told.settled |= {sale["voucher_hash"] for sale in paid if sale["state"] == "SETTLED"}
    return harm


def _orders(harm: Harm, paid: list[Facts], told: Acknowledged) -> None:
    """An order that was shown PAID is in the journal, and no order is there twice."""
    amounts = defaultdict(list)
    for sale in paid:
        amounts[sale["order"]].append(sale["amount"])
    for order, amount in told.paid.items():
        harm.differ(f"order {order} in the journal", sum(amounts[order]), amount)
    harm.doubled += [f"order {order} is paid {len(found)} times" for order, found in amounts.items() if len(found) > 1]


def _cards(harm: Harm, cards: list[Facts], paid: list[Facts], told: Acknowledged) -> None:
    """Each debit of a card is a paid sale of the same amount; its balance is what was loaded less what it paid."""
    sales = {sale["request_hash"]: sale for sale in paid}
    taken: Counter[str] = Counter()
    for sale in paid:
        taken[sale["payer"]] += sale["amount"]
    for card in cards:
        purse = card["purse"]
        harm.differ(f"loads of card {purse[:8]}", card["total_in"], told.loaded[purse])
        spent = card["total_out"] - card["total_reversed"]
        harm.differ(f"balance of card {purse[:8]}", card["balance"], told.loaded[purse] - spent)
        harm.differ(f"sales with card {purse[:8]}", taken[purse], spent)
        for voucher in card["vouchers"]:
            name = f"voucher {voucher['n']} of card {purse[:8]}"
            debited = 0 if voucher["state"] == "reversed" else voucher["amount"]
            harm.differ(name, sales.get(voucher["request_hash"], {"amount": 0})["amount"], debited)


def _settled(harm: Harm, paid: list[Facts], ledger: Facts, told: Acknowledged) -> None:
    """Each paid voucher is settled once, under its own hash and amount."""
    credited: Counter[str] = Counter()
    for entry in ledger["settled"]:
        credited[entry["hash"]] += entry["amount"]
    hashes = {sale["voucher_hash"]: sale["amount"] for sale in paid}
    for voucher, amount in hashes.items():
        harm.differ(f"credit of voucher {voucher[:8]}", credited[voucher], amount)
    harm.doubled += [f"credit of a voucher {one[:8]} that no till has" for one in credited if one not in hashes]
    harm.lost += [f"the answer for voucher {one[:8]}" for one in told.settled - _with_answer(paid)]
    harm.lost += [f"sale {sale['k']} is rejected: {sale['status']}" for sale in paid if sale["state"] == "REJECTED"]


def _with_answer(paid: list[Facts]) -> set[str]:
    return {sale["voucher_hash"] for sale in paid if sale["state"] == "SETTLED"}


def _ledger(harm: Harm, seen: Witnesses, paid: list[Facts], told: Acknowledged) -> None:
    """Wallets, shadows and the operator's purse are what the other witnesses say, and the ledger's own checks hold."""
    ledger, loaded = seen.ledger, sum(told.loaded.values())
    harm.differ("wallets", ledger["wallets"], sum(sale["amount"] for sale in paid))
    harm.differ("operator's purse", ledger["operator_purses"], ledger["issued"] - loaded)
    harm.differ("loads in flight", ledger["in_flight"], 0)
    for card in seen.cards:
        shadow = ledger["card_shadows"].get(card["purse"], 0)
        harm.differ(f"shadow of card {card['purse'][:8]}", shadow, card["balance"])
    held = sum(ledger[name] for name in ("operator_purses", "in_flight", "cards", "wallets", "redeemed"))
    harm.differ("money in the ledger", held, ledger["issued"] + ledger["loss"])
    harm.lost += [f"the ledger says: {fault}" for fault in ledger["faults"]]
