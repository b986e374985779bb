"""The comparison after a kill: sound books do no harm, and each way in which they can be wrong is seen."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from crash.books import Acknowledged, Facts, Witnesses, compare

A, B, CARD = "aa" * 32, "bb" * 32, "cc" * 32


def sale(k: int, voucher: str, amount: int, **changes: Any) -> Facts:
    facts = {"k": k, "state": "SETTLED", "order": f"order-{k}", "amount": amount, "payer": CARD, "status": "SETTLED"}
    return {**facts, "request_hash": f"{k:064x}", "voucher_hash": voucher, **changes}


def sound() -> tuple[Witnesses, Acknowledged]:
    """A card with 1000 fen loaded has paid 30 and 12."""
    vouchers = [
        {"n": k, "request_hash": f"{k:064x}", "amount": amount, "state": "pending"} for k, amount in ((1, 30), (2, 12))
    ]
    card = {"purse": CARD, "balance": 958, "total_in": 1000, "total_out": 42, "total_reversed": 0, "vouchers": vouchers}
    refused = sale(3, "", 5, state="REFUSED", voucher_hash=None)
    ledger = {
        "settled": [{"hash": A, "amount": 30}, {"hash": B, "amount": 12}],
        "wallets": 42,
        "operator_purses": 9000,
        "issued": 10_000,
        "in_flight": 0,
        "cards": 958,
        "redeemed": 0,
        "loss": 0,
        "card_shadows": {CARD: 958},
        "faults": [],
    }
    told = Acknowledged({"order-1": 30}, settled={A})
    told.loaded[CARD] = 1000
    return Witnesses([card], [sale(1, A, 30), sale(2, B, 12), refused], ledger), told


def test_sound_books_do_no_harm() -> None:
    seen, told = sound()
    assert not compare(seen, told)
    assert told.settled == {A, B}


Change = Callable[[Witnesses, Acknowledged], object]
LOST: dict[str, Change] = {
    "a PAID order": lambda seen, told: seen.sales.pop(0),
    "a debit without a sale": lambda seen, told: seen.sales[1].update(state="REFUSED"),
    "a load": lambda seen, told: told.loaded.update({CARD: 500}),
    "a credit": lambda seen, told: seen.ledger["settled"].pop(),
    "an answer": lambda seen, told: seen.sales[0].update(state="SENT"),
    "a voucher that is rejected": lambda seen, told: seen.sales[1].update(state="REJECTED", status="REVIEW"),
    "money of a wallet": lambda seen, told: seen.ledger.update(wallets=41),
    "money of a card": lambda seen, told: seen.cards[0].update(balance=957),
    "money of the operator": lambda seen, told: seen.ledger.update(operator_purses=8999),
    "a check of the ledger": lambda seen, told: seen.ledger["faults"].append("all balances sum to 1, not 0"),
}
DOUBLED: dict[str, Change] = {
    "an order": lambda seen, told: seen.sales[1].update(order="order-1"),
    "a sale without a debit": lambda seen, told: seen.sales[2].update(state="PAID", voucher_hash="dd" * 32),
    "a debit that was reversed": lambda seen, told: seen.cards[0]["vouchers"][0].update(state="reversed"),
    "a voucher": lambda seen, told: seen.ledger["settled"].append({"hash": A, "amount": 30}),
    "a credit without a sale": lambda seen, told: seen.ledger["settled"].append({"hash": "dd" * 32, "amount": 1}),
    "a load": lambda seen, told: seen.cards[0].update(total_in=1100, balance=1058),
    "a load in flight": lambda seen, told: seen.ledger.update(in_flight=100),
    "money of a wallet": lambda seen, told: seen.ledger.update(wallets=72),
    "a shadow": lambda seen, told: seen.ledger["card_shadows"].update({CARD: 1000}),
}


@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_is_seen(name: str) -> None:
    seen, told = copy.deepcopy(sound())
    LOST[name](seen, told)
    assert compare(seen, told).lost


@pytest.mark.parametrize("name", DOUBLED)
def test_what_is_doubled_is_seen(name: str) -> None:
    seen, told = copy.deepcopy(sound())
    DOUBLED[name](seen, told)
    assert compare(seen, told).doubled
