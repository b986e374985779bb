"""Deposits against a dict model: cards cheat, tills repeat, refuse and mix; the fast and the careful way agree.

The model knows nothing of databases, netting or batches in flight: it is the table of docs/spec/statuses.md in Python.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.problems import Problem
from server.settlement import service
from server.settlement.fast import NotPlain
from support.operator_world import Bank, CardDouble, TillDouble, World
from wallet_core.messages import DepositAnswer, DepositStatus, RefusalStatus, Voucher, parse

CARDS, TILLS = 2, 2
S, R = DepositStatus, RefusalStatus


class Model:
    """What should be: by (payer, n) and hash each genuine voucher's payee, amount and state; what payees refused."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, int], dict[bytes, tuple[bytes, int, bytes, DepositStatus]]] = {}
        self.refused: set[tuple[bytes, bytes]] = set()
        self.inflow: dict[bytes, int] = {}
        self.revoked: set[bytes] = set()
        self.proved: set[bytes] = set()

    def credited(self, payer: bytes) -> list[tuple[int, bytes, int]]:
        """n, H(Voucher) and amount of what is settled of one card."""
        return [
            (n, voucher_hash, amount)
            for (one, n), group in self.known.items()
            for voucher_hash, (_, amount, _, status) in group.items()
            if one == payer and status is S.SETTLED
        ]

    def loss(self, payer: bytes) -> int:
        """Rivals, and what primaries are beyond the inflow (docs/spec/ledger.md)."""
        credited = self.credited(payer)
        first = {n: min(h for m, h, _ in credited if m == n) for n, _, _ in credited}
        primaries = sum(amount for n, voucher_hash, amount in credited if first[n] == voucher_hash)
        total = sum(amount for _, _, amount in credited)
        return total - primaries + max(0, primaries - self.inflow.get(payer, 0))

    def wallet(self, payee: bytes) -> int:
        return sum(
            amount
            for group in self.known.values()
            for to, amount, _, status in group.values()
            if to == payee and status is S.SETTLED
        )

    def refuse(self, payee: bytes, request_hash: bytes) -> RefusalStatus:
        settled = any(
            to == payee and asked == request_hash and status is S.SETTLED
            for group in self.known.values()
            for to, _, asked, status in group.values()
        )
        if (payee, request_hash) not in self.refused and settled:
            return R.AFTER_DEPOSIT
        self.refused.add((payee, request_hash))
        return R.RECORDED

    def deposit(self, payee: bytes, item: bytes, *, genuine: bool) -> DepositStatus:
        voucher = parse(Voucher, item).message
        group = self.known.setdefault((voucher.payer, voucher.n), {})
        if voucher.payee != payee:
            return S.WRONG_PAYEE
        if not genuine and voucher.hash not in group:
            return S.BAD_SIGNATURE
        if voucher.hash in group and group[voucher.hash][3] is S.SETTLED:
            return S.SETTLED
        if group and voucher.hash not in group:
            self.proved.add(voucher.payer)
            self.revoked.add(voucher.payer)
        spent = sum(amount for _, _, amount in self.credited(voucher.payer))
        if (payee, voucher.request_hash) in self.refused:
            status = S.REFUSED_BEFORE
        elif voucher.payer in self.proved or spent + voucher.amount <= self.inflow.get(voucher.payer, 0):
            status = S.SETTLED  # no card here comes near the review cap
        else:
            self.revoked.add(voucher.payer)
            status = S.REVIEW
        group[voucher.hash] = (payee, voucher.amount, voucher.request_hash, status)
        return status

    def reopen(self) -> None:
        """After a batch: of a proved card nothing waits."""
        for (payer, _), group in self.known.items():
            for voucher_hash, (payee, amount, asked, status) in group.items():
                if payer in self.proved and status is S.REVIEW:
                    decided = S.REFUSED_BEFORE if (payee, asked) in self.refused else S.SETTLED
                    group[voucher_hash] = (payee, amount, asked, decided)


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
        before, payer = self.cards[card].next_k, self.cards[card].id
        for bank in self.banks:
            self.cards[card].next_k = before
            if payer in self.model.revoked:
                with pytest.raises(Problem, match="revoked"):
                    bank.begin(self.cards[card], amount, f"load {self.loads}")
                continue
            voucher = bank.pay(self.cards[card], amount, f"load {self.loads}")
            if collected:
                bank.parts.loads.collected(self.cards[card].receipt(voucher), 0)
        if payer not in self.model.revoked:
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
        self.model.reopen()
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
            assert [bank.wallet(till) for till in self.tills] == [self.model.wallet(till.id) for till in self.tills]
            losses = sum(self.model.loss(card.id) for card in self.cards)
            spent = [amount for card in self.cards for _, _, amount in self.model.credited(card.id)]
            assert report.loss == losses
            assert report.cards + report.in_flight == sum(self.model.inflow.values()) - sum(spent) + losses
            assert len(fact["settled"]) == len(spent)
        assert facts[0]["accounts"] == facts[1]["accounts"]
        assert facts[0]["evidence"] == facts[1]["evidence"]


Deposits.TestCase.settings = settings(max_examples=25, stateful_step_count=15)
TestDeposits = Deposits.TestCase
