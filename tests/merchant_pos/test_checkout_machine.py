"""Any order of sales, taps, lost answers, wrong cards, process deaths, cancellations and syncs: never charged twice,
never PAID without a voucher on disk, NOT CHARGED only when no card was debited, each voucher credited once.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from merchant_pos import phrases
from merchant_pos.decisions import make_request
from merchant_pos.ports import Expected
from merchant_pos.sales import CANCELLED, Order, Sale, SaleState
from merchant_pos.sync import Sync
from support.keys import CARD, MERCHANT_PURSE, OTHER_CARD
from support.till import PIN, FakeCard, FakeReader, Operator, Pins, ProcessDied, Till
from wallet_core.errors import EcnyError, PurseRefusal, Refused, ServerUnreachableError
from wallet_core.messages import Voucher, parse

# What becomes of each PAY in turn. Words and reasons without "done" come from a card that did nothing at that time.
FAULTS = st.sampled_from(
    [
        (),
        ("after",),
        ("before",),
        ("after",) * 9,
        ("before", "after"),
        ("after", Refused.WRONG_STATE, Refused.INSUFFICIENT, "after"),
        ("after", 0x6400, 0x6985, 0x6F00),
        ("before", 0x6400, Refused.INSUFFICIENT),
        ("garbled",) * 9,
        ("done 6F00", "after"),
        ("done 6F00",) * 9,
        (Refused.OFFLINE_TOTAL,),
        (0x6985,),
    ]
)
SELECT_FAULTS = st.sampled_from([(), (), ("x",), ("", "x")])
# Which card is in the reader at each look; the last one stays. None: an empty reader.
CARDS = st.sampled_from([(0,), (1,), (0, None), (1, None), (0, 1), (1, 0), (0, 1, 0), (1, 0, 1), (None,)])
AMOUNTS = st.sampled_from([100, 1, 6_800, 20_001, 50_001])
STEPS = ["card-read", "before-asked", "asked", "answered", "verified", "paid", "refused"]
DEATHS = st.sampled_from([""] * 2 * len(STEPS) + STEPS)
SYNC_STEPS = ["before-frozen", "frozen", "before-sent", "answered", "verified", "settled"]
SYNC_DEATHS = st.sampled_from([""] * len(SYNC_STEPS) + SYNC_STEPS)
PIN_ENTRY = st.sampled_from([(PIN,), (), ("0000", PIN)])
Looks = tuple[int | None, ...]
DEBITED_AT_MOST_ONCE = "one Request, one debit"


class Checkout(RuleBasedStateMachine):
    """Two cards, one till, one operator."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="ecny-till-"))
        self.till = Till(self.directory / "till.db")
        self.cards = [FakeCard(CARD), FakeCard(OTHER_CARD)]
        self.operator = Operator()
        self.proofs: set[bytes] = set()

    def teardown(self) -> None:
        self.till.journal.close()
        shutil.rmtree(self.directory)

    # What may happen ------------------------------------------------------------------------------------------------

    @rule(card=st.integers(0, 1), amount=st.integers(1, 3_000))
    def sell(self, card: int, amount: int) -> None:
        self._arm((card,), (), ())
        with self._process(""):
            self.till.checkout.charge(
                Order(amount, "order"), self._reader((card,)), Pins(), tap_seconds=1, retap_seconds=2
            )

    @rule(amount=AMOUNTS, faults=FAULTS, selects=SELECT_FAULTS, cards=CARDS, death=DEATHS, pins=PIN_ENTRY)
    def charge(
        self,
        amount: int,
        faults: tuple[str | int, ...],
        selects: tuple[str, ...],
        cards: Looks,
        death: str,
        pins: tuple[str, ...],
    ) -> None:
        self._arm(cards, faults, selects)
        with self._process(death):
            self.till.checkout.charge(
                Order(amount, "order"), self._reader(cards), Pins(*pins), tap_seconds=1, retap_seconds=2
            )

    @rule(faults=FAULTS, selects=SELECT_FAULTS, cards=CARDS, death=DEATHS, pins=PIN_ENTRY)
    def resume(
        self, faults: tuple[str | int, ...], selects: tuple[str, ...], cards: Looks, death: str, pins: tuple[str, ...]
    ) -> None:
        self._arm(cards, faults, selects)
        with self._process(death):
            self.till.checkout.resume(self._reader(cards), Pins(*pins), retap_seconds=2)

    @rule(card=st.integers(0, 1))
    def pay_elsewhere(self, card: int) -> None:
        """The same card at another till: its counter moves on."""
        self._arm((card,), (), ())
        shown = self.cards[card].select()
        request = make_request(Order(1, "elsewhere"), shown, till=MERCHANT_PURSE.id, k=1)
        with contextlib.suppress(PurseRefusal):
            self.cards[card].pay(request.to_payload())

    @precondition(lambda self: self.till.journal.open_sale() is not None)
    @rule(death=st.sampled_from(["", "refused"]))
    def cancel(self, death: str) -> None:
        with self._process(death):
            self.till.checkout.cancel()

    @rule()
    def restart(self) -> None:
        self.till.restart()

    @rule(
        death=SYNC_DEATHS,
        lost=st.sampled_from([(), ("before",), ("after",), ("half",), ("after", "half"), ("half", "before")]),
        size=st.integers(1, 3),
    )
    def sync(self, death: str, lost: tuple[str, ...], size: int) -> None:
        with self._process(death):
            Sync(
                journal=self.till.journal,
                identity=self.till.identity,
                server=_Unreliable(self.operator, lost),
                clock=self.till.clock,
                rng=random.Random(0),
                notify=self.till.lines.append,
                step=self.till.step,
            ).run(batch_size=size, attempts=2)

    # What must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def every_debit_is_one_sale_of_the_till(self) -> None:
        by_request = {sale.request.hash: sale for sale in self.till.journal.sales()}
        seen: set[bytes] = set()
        for card in self.cards:
            vouchers = [parse(Voucher, slot.voucher).message for slot in card.state.slots if slot.voucher]
            assert sum(voucher.amount for voucher in vouchers) == card.spent
            for voucher in (one for one in vouchers if one.payee == self.till.identity.id):
                assert voucher.request_hash not in seen, DEBITED_AT_MOST_ONCE
                seen.add(voucher.request_hash)
                sale = by_request[voucher.request_hash]
                assert (sale.request.payer, sale.amount) == (card.id, voucher.amount)
                if sale.state.is_paid:
                    assert sale.voucher_hash == voucher.hash
                else:
                    assert sale.state.is_open or sale.reason == CANCELLED
        for sale in by_request.values():
            if sale.state.is_paid:
                assert sale.request.hash in seen, "PAID without a debit"

    @invariant()
    def not_charged_is_true_for_ever(self) -> None:
        for sale in self.till.journal.sales():
            if sale.state is SaleState.REFUSED and sale.reason != CANCELLED:
                self.proofs.add(sale.request.hash)
        for card in self.cards:
            assert not self.proofs & {slot.request_hash for slot in card.state.slots}

    @invariant()
    def counters_are_contiguous_and_one_sale_at_most_is_open(self) -> None:
        sales = self.till.journal.sales()
        assert [sale.k for sale in sales] == list(range(1, len(sales) + 1))
        assert sum(sale.state.is_open for sale in sales) <= 1
        requests = [(sale.request.payer, sale.request.n) for sale in sales if sale.state.is_paid]
        assert len(set(requests)) == len(requests)

    @invariant()
    def what_is_said_is_on_disk(self) -> None:
        said = sum(line.startswith(phrases.PAID) for line in self.till.lines)
        assert said <= sum(sale.state.is_paid for sale in self.till.journal.sales())

    @invariant()
    def the_operator_credits_each_voucher_once(self) -> None:
        sales = self.till.journal.sales()
        hashes = {sale.voucher_hash: sale.amount for sale in sales if sale.state.is_paid}
        assert self.operator.credited.items() <= hashes.items()
        settled = {sale.voucher_hash for sale in sales if sale.state is SaleState.SETTLED}
        assert settled <= set(self.operator.credited)
        refused = {sale.refusal for sale in sales if sale.state is SaleState.REFUSED}
        assert self.operator.refused <= refused

    # Machinery ------------------------------------------------------------------------------------------------------

    def _arm(self, cards: Looks, faults: tuple[str | int, ...], selects: tuple[str, ...]) -> None:
        for card in self.cards:
            card.faults, card.select_faults = list(faults), []
        first = next((card for card in cards if card is not None), None)
        if first is not None:
            self.cards[first].select_faults = list(selects)

    def _reader(self, cards: Looks) -> FakeReader:
        return FakeReader(self.till.clock, *(None if card is None else self.cards[card] for card in cards))

    @contextlib.contextmanager
    def _process(self, death: str):  # type: ignore[no-untyped-def]
        """One process of the till: it may die at a step; nothing is sent to another card than that of the open sale."""
        before: Sale | None = self.till.journal.open_sale()
        sent = [len(card.sent) for card in self.cards]
        self.till.die_at = death
        try:
            yield
        except ProcessDied:
            self.till.restart()
        except EcnyError:
            pass
        self.till.die_at = ""
        for card, count in zip(self.cards, sent, strict=True):
            if before is not None and card.id != before.request.payer:
                assert len(card.sent) == count, "another card was sent something"


class _Unreliable:
    def __init__(self, operator: Operator, lost: tuple[str, ...]) -> None:
        self.operator = operator
        self.lost = list(lost)

    def deposit(self, body: bytes) -> bytes | Expected:
        lost = self.lost.pop(0) if self.lost else ""
        if lost == "before":
            raise ServerUnreachableError("no connection")
        answer = self.operator.deposit(body)
        if lost == "after":
            raise ServerUnreachableError("no answer in time")
        return answer[: len(answer) // 2] if lost == "half" and isinstance(answer, bytes) else answer


TestCheckoutMachine = Checkout.TestCase
TestCheckoutMachine.settings = settings(max_examples=100, stateful_step_count=20)
