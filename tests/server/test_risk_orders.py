"""I9: the same messages give the same balances in any order, double-spenders and two-tongued payees included.

Cloned cards pay tills and a merchant's purse under counters that are used already; the purse collects, refuses, or says
both, and spends. Every till's batches come in the order of its own chain; everything else in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.enrolment.policy_profiles import DEFAULT_PROFILE, policy
from server.problems import Problem
from server.risk.losses import is_proved
from server.risk.settings import RiskSettings
from support.keys import NOW, OPERATOR
from support.operator_world import Bank, CardDouble, TillDouble
from support.risk_world import SamDouble, balances, bank_in_memory, evidence, pay_all_reviews, sam
from wallet_core.messages import Voucher, parse

TILLS, SAM = 2, 2  # payees 0 and 1 are tills, 2 is the purse
LOADED = (300, 100)


@dataclass(frozen=True)
class Payment:
    """`payer`: 0 and 1 are cards, 2 is the merchant's purse; `said`: what a purse payee says of it."""

    payer: int
    payee: int
    n: int
    amount: int
    refused: bool
    said: str


@dataclass(frozen=True)
class Story:
    """`batches`: for each till, which of its vouchers go into one batch; `order`: a choice at each step."""

    payments: tuple[Payment, ...]
    batch_size: int
    orders: tuple[tuple[int, ...], tuple[int, ...]]


PAYMENTS = st.builds(
    Payment,
    payer=st.integers(0, 2),
    payee=st.integers(0, 2),
    n=st.integers(1, 3),
    amount=st.sampled_from([1, 40, 90, 100, 250]),
    refused=st.sampled_from([False, False, True]),
    said=st.sampled_from(["", "receipt", "refusal", "both"]),
).filter(lambda one: not one.payer == one.payee == SAM)
ORDER = st.lists(st.integers(0, 60), min_size=40, max_size=40).map(tuple)
STORIES = st.builds(
    Story,
    payments=st.lists(PAYMENTS, min_size=2, max_size=8).map(tuple),
    batch_size=st.integers(1, 3),
    orders=st.tuples(ORDER, ORDER),
)


class Stage:
    """The messages of a story, as queues: within a queue the order is its owner's."""

    def __init__(self, bank: Bank, story: Story) -> None:
        self.cards: list[CardDouble] = [bank.card(f"card {i}", LOADED[i]) for i in range(len(LOADED))]
        self.tills: list[TillDouble] = [bank.till(f"till {i}") for i in range(TILLS)]
        self.sam: SamDouble = sam(bank, "sam")
        self.cards.append(self.sam.card)
        deposits: list[list[tuple[bytes, bool]]] = [[] for _ in range(TILLS)]
        self.queues: list[list[tuple[str, bytes]]] = []
        for number, one in enumerate(story.payments):
            payee = self.sam if one.payee == SAM else self.tills[one.payee]
            voucher = self.cards[one.payer].voucher(payee, one.amount, n=one.n, order=str(number))
            if one.payee == SAM:
                self.queues.append([("evidence", voucher)])
                self.queues += [[("evidence", answer)] for answer in self.answers(one.said, voucher)]
            else:
                deposits[one.payee].append((voucher, one.refused))
        for till, items in zip(self.tills, deposits, strict=True):
            self.queues.append([("batch", raw) for raw in self.batches(till, items, story.batch_size)])

    def answers(self, said: str, voucher: bytes) -> list[bytes]:
        receipt, refusal = self.sam.receipt(voucher), self.sam.refuse(voucher)
        return {"": [], "receipt": [receipt], "refusal": [refusal], "both": [receipt, refusal]}[said]

    @staticmethod
    def batches(till: TillDouble, items: list[tuple[bytes, bool]], size: int) -> list[bytes]:
        made = []
        for at in range(0, len(items), size):
            part = items[at : at + size]
            refusals = [till.refusal(parse(Voucher, voucher).message.request_hash) for voucher, no in part if no]
            made.append(till.batch([voucher for voucher, _ in part], refusals))
        return made


def play(story: Story, order: tuple[int, ...]) -> tuple[dict[str, int], list[bool]]:
    """The balances at the end, when the operator has paid what waits, and whose fraud is proved."""
    with stage_of(story, order) as (bank, stage):
        pay_all_reviews(bank)
        with bank.parts.storage.reading() as tx:
            purses = [tx.purse(card.id) for card in stage.cards]
            proved = [is_proved(tx, purse.number) for purse in purses if purse is not None]
        return balances(bank), proved


@contextmanager
def stage_of(story: Story, order: tuple[int, ...], **changes: Any) -> Iterator[tuple[Bank, Stage]]:
    """Everything has arrived, in this order."""
    with bank_in_memory(issued=10_000, **changes) as bank:
        stage = Stage(bank, story)
        queues, step = [list(queue) for queue in stage.queues if queue], 0
        while queues:
            queue = queues[order[step % len(order)] % len(queues)]
            kind, raw = queue.pop(0)
            if kind == "batch":
                bank.settle(raw)
            else:
                evidence(bank, raw)
            queues, step = [one for one in queues if one], step + 1
        yield bank, stage


@settings(max_examples=30, deadline=None)
@given(story=STORIES)
def test_any_order_ends_with_the_same_balances(story: Story) -> None:
    assert play(story, story.orders[0]) == play(story, story.orders[1])


CAP = 95


@settings(max_examples=20, deadline=None)
@given(story=STORIES)
def test_at_the_cap_the_order_decides_who_is_paid_but_never_how_much_is_lost(story: Story) -> None:
    """Also when the operator pays what waits. Purses are left out: one that refuses what it has spent has no cap."""
    tills_only = tuple(one for one in story.payments if SAM not in (one.payer, one.payee))
    risk = replace(RiskSettings.of_policy(policy(DEFAULT_PROFILE, OPERATOR.id)), review_cap=CAP)
    for order in story.orders:
        with stage_of(replace(story, payments=tills_only), order, risk=risk) as (bank, stage):
            for one in bank.parts.desk.reviews():
                with suppress(Problem):  # beyond the cap, or credited meanwhile
                    bank.parts.desk.pay_review(one.voucher_hash, NOW)
            with bank.parts.storage.reading() as tx:
                purses = [tx.purse(card.id) for card in stage.cards]
                lost = [tx.deficit(purse.number).lost for purse in purses if purse is not None]
            assert max(lost) <= CAP
            assert -balances(bank).get("loss", 0) == sum(lost)
            shadows = [bank.shadow(card) for card in stage.cards]
            assert min(shadows) >= 0
