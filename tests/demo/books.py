"""Where the money is, from three witnesses: the card by APDU, the till's journal, the server's ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from demo.processes import Ecny
from demo.setting import Setting

VoucherKey = tuple[str, int, int]  # payer, epoch, n


@dataclass(frozen=True)
class Books:
    """All in fen. `faults`: every way in which the witnesses do not agree."""

    issued: int
    cards: int
    wallets: int
    in_flight: int
    redeemed: int
    faults: tuple[str, ...]

    @property
    def line(self) -> str:
        return (
            f"conserved: issued {self.issued} = cards {self.cards} + wallets {self.wallets} "
            f"+ in flight {self.in_flight} + redeemed {self.redeemed} (fen)"
        )


def read_books(ecny: Ecny, setting: Setting) -> Books:
    """Ask all three and compare."""
    card: dict[str, Any] = ecny.ask("card", "info")
    slots: list[dict[str, Any]] = ecny.ask("card", "vouchers", "--pin-file", setting.pin)["vouchers"]
    sales: list[dict[str, Any]] = ecny.ask("pos", "history")["sales"]
    ledger: dict[str, Any] = ecny.ask("server", "ledger")
    return compare(card, slots, sales, ledger)


def compare(
    card: dict[str, Any], slots: list[dict[str, Any]], sales: list[dict[str, Any]], ledger: dict[str, Any]
) -> Books:
    """*In flight*: debited by a card, not credited by the ledger; each voucher once, wherever it was seen."""
    faults: list[str] = []
    debited: dict[VoucherKey, int] = {}
    for seen in [*slots, *(sale for sale in sales if sale.get("voucher_hash"))]:
        key = (seen["payer"], seen["epoch"], seen["n"])
        if debited.setdefault(key, seen["amount"]) != seen["amount"]:
            faults.append(f"card and till disagree on the amount of voucher {key[2]}")
    credited = {(entry["payer"], entry["epoch"], entry["n"]): entry["amount"] for entry in ledger["settled"]}
    if len(credited) != len(ledger["settled"]):
        faults.append("a voucher is credited twice")
    faults += [
        f"the ledger credits voucher {key[2]} of {amount} fen, the card and till know {debited.get(key)}"
        for key, amount in credited.items()
        if debited.get(key) != amount
    ]
    in_flight = sum(amount for key, amount in debited.items() if key not in credited)
    books = Books(
        issued=ledger["issued"],
        cards=card["balance"],
        wallets=ledger["wallets"],
        in_flight=in_flight,
        redeemed=ledger["redeemed"],
        faults=tuple(faults),
    )
    return Books(**{**books.__dict__, "faults": books.faults + _ledger_faults(books, card, ledger)})


def _ledger_faults(books: Books, card: dict[str, Any], ledger: dict[str, Any]) -> tuple[str, ...]:
    faults = []
    found = books.cards + books.wallets + books.in_flight + books.redeemed
    if books.issued != found:
        faults.append(f"issued {books.issued}, found {found}")
    shadow = ledger["card_shadows"].get(card["purse"])
    if shadow != books.cards + books.in_flight:
        faults.append(f"the ledger's shadow of the card is {shadow}, the card shows {books.cards} + {books.in_flight}")
    if ledger["sum"] != 0:
        faults.append(f"the ledger sums to {ledger['sum']}, not 0")
    if not ledger["conserved"]:
        faults.append("the ledger's own check fails")
    return tuple(faults)
