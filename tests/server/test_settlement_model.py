"""Deposits against a dict model: cards cheat, tills repeat, refuse and mix; the fast and the careful way agree.

The model knows nothing of databases, netting or batches in flight: it is the table of docs/spec/statuses.md in Python.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.settlement import service
from server.settlement.fast import NotPlain
from support.operator_world import Bank, CardDouble, TillDouble, World
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus, Voucher, parse

CARDS, TILLS = 2, 2
S, R = DepositStatus, RefusalStatus


class Model:
    """What should be: by (payer, n) the first genuine voucher and its state; Requests refused by a payee; fen."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, int], tuple[bytes, DepositStatus]] = {}
        self.settled_requests: set[tuple[bytes, bytes]] = set()
        self.refused: set[tuple[bytes, bytes]] = set()
        self.inflow: dict[bytes, int] = {}
        self.outflow: dict[bytes, int] = {}
        self.wallets: dict[bytes, int] = {}

    def refuse(self, payee: bytes, request_hash: bytes) -> RefusalStatus:
        if (payee, request_hash) not in self.refused and (payee, request_hash) in self.settled_requests:
            return R.AFTER_DEPOSIT
        self.refused.add((payee, request_hash))
        return R.RECORDED

    def deposit(self, payee: bytes, item: bytes, *, genuine: bool) -> DepositStatus:
        voucher = parse(Voucher, item).message
        key, first = (voucher.payer, voucher.n), self.known.get((voucher.payer, voucher.n))
        same = first is not None and first[0] == voucher.hash
        if voucher.payee != payee:
            return S.WRONG_PAYEE
        if not genuine and not same:
            return S.BAD_SIGNATURE
        if first == (voucher.hash, S.SETTLED):
            return S.SETTLED
        if (payee, voucher.request_hash) in self.refused:
            status = S.REFUSED_BEFORE
        elif first is not None and not same:
            return S.EQUIVOCATION
        elif self.outflow.get(voucher.payer, 0) + voucher.amount > self.inflow.get(voucher.payer, 0):
            status = S.REVIEW
        else:
            status = S.SETTLED
            self.outflow[voucher.payer] = self.outflow.get(voucher.payer, 0) + voucher.amount
            self.wallets[payee] = self.wallets.get(payee, 0) + voucher.amount
            self.settled_requests.add((payee, voucher.request_hash))
        if first is None or same:
            self.known[key] = (voucher.hash, status)
        return status


class Deposits(RuleBasedStateMachine):
    """Two banks get the same batches: one always decides carefully. Both must say what the model says."""

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # thousands of commits: durability is tested elsewhere
        self._directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        root = Path(self._directory.name)
        self.banks = []
        for name in ("usual", "careful"):
            (root / name).mkdir()
            self.banks.append(Bank(World.make(root / name)))
        self.model = Model()
        self.loads = 0
        self.made: list[tuple[int, bytes]] = []  # till, voucher
        self.cards: list[CardDouble] = []
        self.tills: list[TillDouble] = []
        for bank in self.banks:
            self.cards = [bank.card(f"card {i}") for i in range(CARDS)]
            self.tills = [bank.till(f"till {i}") for i in range(TILLS)]
        for i in range(CARDS):
            self.load(i, 300)

    def teardown(self) -> None:
        for bank in self.banks:
            bank.close()
        self._directory.cleanup()

    @rule(card=st.integers(0, CARDS - 1), amount=st.sampled_from([1, 50, 300]), collected=st.booleans())
    def load(self, card: int, amount: int, collected: bool = True) -> None:
        self.loads += 1
        before = self.cards[card].next_k
        for bank in self.banks:
            self.cards[card].next_k = before
            voucher = bank.pay(self.cards[card], amount, f"load {self.loads}")
            if collected:
                bank.parts.loads.collected(self.cards[card].receipt(voucher), 0)
        payer = self.cards[card].id
        self.model.inflow[payer] = self.model.inflow.get(payer, 0) + amount

    @rule(
        card=st.integers(0, CARDS - 1),
        till=st.integers(0, TILLS - 1),
        amount=st.sampled_from([1, 40, 100, 299]),
        cheat=st.none() | st.integers(1, 6),
    )
    def pay(self, card: int, till: int, amount: int, cheat: int | None) -> None:
        """A voucher under the next counter, or a second one under an old counter."""
        n = cheat if cheat is not None and cheat < self.cards[card].next_n else None
        self.made.append((till, self.cards[card].voucher(self.tills[till], amount, n=n)))

    @rule(data=st.data(), till=st.integers(0, TILLS - 1))
    def deposit(self, data: st.DataObject, till: int) -> None:
        items, genuine = self._items(data)
        choices = st.sampled_from([parse(Voucher, item).message.request_hash for _, item in self.made] or [bytes(32)])
        refused = data.draw(st.lists(choices, max_size=1), label="refused")
        raw = self.tills[till].batch(items, [self.tills[till].refusal(request_hash) for request_hash in refused])
        payee = self.tills[till].id
        refusals = tuple(self.model.refuse(payee, request_hash) for request_hash in refused)
        statuses = tuple(self.model.deposit(payee, item, genuine=g) for item, g in zip(items, genuine, strict=True))
        for bank, careful in zip(self.banks, (False, True), strict=True):
            answer = self._settle(bank, raw, careful)
            assert answer.voucher_statuses == statuses
            assert answer.refusal_statuses == refusals
            assert self._settle(bank, raw, careful) == answer

    def _items(self, data: st.DataObject) -> tuple[list[bytes], list[bool]]:
        if not self.made:
            return [], []
        picks = st.tuples(st.integers(0, len(self.made) - 1), st.sampled_from([True, True, True, False]))
        chosen = data.draw(st.lists(picks, max_size=6), label="vouchers")
        items, genuine = [], []
        for at, good in chosen:
            item = self.made[at][1]
            items.append(item if good else item[:-1] + bytes((item[-1] ^ 1,)))
            genuine.append(good)
        return items, genuine

    def _settle(self, bank: Bank, raw: bytes, careful: bool) -> DepositAnswer:
        if not careful:
            return bank.settle(raw)
        with mock.patch.object(service, "Plain", side_effect=NotPlain):
            return bank.settle(raw)

    @invariant()
    def books_are_the_models(self) -> None:
        reports = [bank.ledger() for bank in self.banks]
        facts: list[dict[str, Any]] = [report.facts() for report in reports]
        for bank, report, fact in zip(self.banks, reports, facts, strict=True):
            assert report.faults == ()
            assert [bank.wallet(till) for till in self.tills] == [self.model.wallets.get(t.id, 0) for t in self.tills]
            assert report.cards + report.in_flight == sum(self.model.inflow.values()) - sum(self.model.outflow.values())
            assert len(fact["settled"]) == sum(status is S.SETTLED for _, status in self.model.known.values())
        assert facts[0]["accounts"] == facts[1]["accounts"]
        assert facts[0]["evidence"] == facts[1]["evidence"]


Deposits.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
TestDeposits = Deposits.TestCase
