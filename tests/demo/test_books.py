"""The demo's own check of the books must be able to fail."""

from __future__ import annotations

from typing import Any

import pytest

from demo.books import compare

PAYER = "ab" * 32


def witnesses() -> dict[str, Any]:
    """Card, slots, journal and ledger after the default story."""
    vouchers = [
        {"payer": PAYER, "epoch": 1, "n": 1, "amount": 6800},
        {"payer": PAYER, "epoch": 1, "n": 2, "amount": 3600},
    ]
    return {
        "card": {"purse": PAYER, "balance": 39600},
        "slots": [dict(v) for v in vouchers],
        "sales": [{**v, "voucher_hash": "00"} for v in vouchers],
        "ledger": {
            "issued": 50000,
            "wallets": 10400,
            "redeemed": 0,
            "sum": 0,
            "conserved": True,
            "card_shadows": {PAYER: 39600},
            "settled": [dict(v) for v in vouchers],
        },
    }


def test_books_that_agree_have_no_fault() -> None:
    books = compare(**witnesses())
    assert books.faults == ()
    assert books.line == "conserved: issued 50000 = cards 39600 + wallets 10400 + in flight 0 + redeemed 0 (fen)"


def test_an_unsent_voucher_is_in_flight_once_though_card_and_till_both_know_it() -> None:
    seen = witnesses()
    seen["ledger"]["settled"].pop()
    seen["ledger"]["wallets"] = 6800
    seen["ledger"]["card_shadows"][PAYER] = 43200
    books = compare(**seen)
    assert (books.in_flight, books.faults) == (3600, ())


def test_a_debit_that_only_the_card_knows_is_in_flight() -> None:
    seen = witnesses()
    seen["sales"].pop()
    seen["ledger"]["settled"].pop()
    seen["ledger"]["wallets"] = 6800
    seen["ledger"]["card_shadows"][PAYER] = 43200
    assert compare(**seen).in_flight == 3600


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda s: s["card"].update(balance=39601), "issued 50000, found 50001"),
        (lambda s: s["ledger"].update(wallets=10300), "issued 50000, found 49900"),
        (lambda s: s["ledger"]["card_shadows"].update({PAYER: 1}), "shadow of the card is 1"),
        (lambda s: s["ledger"].update(sum=1), "sums to 1"),
        (lambda s: s["ledger"].update(conserved=False), "own check"),
        (lambda s: s["ledger"]["settled"].append(s["ledger"]["settled"][0]), "credited twice"),
        (lambda s: s["slots"][0].update(amount=1), "disagree"),
        (lambda s: (s["slots"].pop(), s["sales"].pop()), "know None"),
    ],
)
def test_each_disagreement_is_named(spoil: Any, fault: str) -> None:
    seen = witnesses()
    spoil(seen)
    assert any(fault in text for text in compare(**seen).faults)
