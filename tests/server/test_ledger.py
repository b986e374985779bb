"""The books: each kind of transfer, the report, and that every fault is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.ledger import books
from server.ledger.accounts import Account, AccountKind
from server.ledger.report import LedgerReport, read_ledger
from server.storage.records import LedgerCheck
from support.keys import NOW
from support.operator_world import Bank, World
from wallet_core.errors import StorageError


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=50_000)
    yield made
    made.close()


def test_the_story_of_the_demo(bank: Bank) -> None:
    card, till = bank.card("visitor", 50_000), bank.till("t")
    bank.settle(till.batch([card.voucher(till, 6_800), card.voucher(till, 3_600)]))
    facts = bank.ledger().facts()
    names = ("issued", "operator_purses", "in_flight", "cards", "wallets", "redeemed", "loss", "sum")
    assert [facts[name] for name in names] == [50_000, 0, 0, 39_600, 10_400, 0, 0, 0]
    assert (facts["conserved"], facts["faults"]) == (True, [])
    assert facts["card_shadows"] == {card.id.hex(): 39_600}
    assert facts["operator_purse_ids"] == [bank.world.keyring.purse_certificate.subject.hex()]
    assert [(v["payer"], v["epoch"], v["n"], v["amount"], v["merchant"]) for v in facts["settled"]] == [
        (card.id.hex(), 1, 1, 6_800, till.merchant),
        (card.id.hex(), 1, 2, 3_600, till.merchant),
    ]
    assert {"name": f"wallet/{till.merchant}", "balance": 10_400} in facts["accounts"]
    assert {"name": "issuance", "balance": -50_000} in facts["accounts"]


def test_an_empty_deposit_posts_nothing(bank: Bank) -> None:
    with bank.parts.storage.writing() as tx:
        before = read_ledger(tx)
        books.deposit(tx, bytes(32), {}, 1, now=NOW)
        assert read_ledger(tx) == before


@pytest.mark.parametrize("cards", [{4: 5, 1: 3}, {4: 5}])
def test_a_deposit_sums_to_zero(bank: Bank, cards: dict[int, int]) -> None:
    till = bank.till("t")
    with bank.parts.storage.writing() as tx:
        wallet = tx.account(AccountKind.WALLET, till.merchant).number
        books.deposit(tx, b"\1" * 32, cards, wallet, now=NOW)
        assert tx.account(AccountKind.WALLET, till.merchant).balance == sum(cards.values())
        assert tx.recount().total == 0


def test_an_account_cannot_pay_itself(bank: Bank) -> None:
    """Two entries of one account would be one: the transfer no longer sums to zero."""
    with pytest.raises(StorageError, match="sum to zero"), bank.parts.storage.writing() as tx:
        books.load(tx, bytes(32), 4, 4, 5, now=NOW)


SOUND = LedgerReport(
    accounts=(
        Account(1, AccountKind.ISSUANCE, "", -100),
        Account(2, AccountKind.OPERATOR_PURSE, "ab", 40),
        Account(3, AccountKind.LOAD_IN_FLIGHT, "cd", 30),
        Account(4, AccountKind.CARD, "cd", -10),
        Account(5, AccountKind.WALLET, "m", 45),
        Account(6, AccountKind.REDEEMED, "", 5),
        Account(7, AccountKind.LOSS, "", -10),
    ),
    settled=(),
    check=LedgerCheck(0, 0, 0, 0),
    evidence=0,
)


def test_a_sound_report() -> None:
    assert SOUND.conserved
    assert (SOUND.issued, SOUND.loss, SOUND.redeemed) == (100, 10, 5)
    names = ["issuance", "purse/ab", "flight/cd", "card/cd", "wallet/m", "redeemed", "loss"]
    assert [account.name for account in SOUND.accounts] == names


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(LedgerCheck)])
def test_each_check_counts(name: str) -> None:
    broken = dataclasses.replace(SOUND, check=dataclasses.replace(SOUND.check, **{name: 1}))
    assert len(broken.faults) == 1
    assert not broken.conserved


def test_value_that_is_missing_or_below_zero_is_a_fault() -> None:
    changed = (*SOUND.accounts[:4], dataclasses.replace(SOUND.accounts[4], balance=-1), *SOUND.accounts[5:])
    faults = dataclasses.replace(SOUND, accounts=changed).faults
    assert faults == ("below zero: wallet/m", "issued 100 and lost 10, but 64 is there")


@pytest.mark.parametrize("kind", AccountKind)
def test_only_what_others_owe_may_be_negative(kind: AccountKind) -> None:
    assert kind.may_be_negative == (kind in {AccountKind.ISSUANCE, AccountKind.CARD, AccountKind.LOSS})
