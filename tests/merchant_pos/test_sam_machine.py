"""Any order of sales to two SAMs, refunds, cancellations, tears, wrong and missing purses, and process deaths, over
real emulated purses: no fen lost or made, PAID only what the payee has collected, NOT CHARGED for ever true, and from
wherever it came to rest everything can be finished.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hardware.emulator.faults import FaultPlan, Tear
from merchant_pos import phrases
from merchant_pos.sales import CANCELLED, Order
from merchant_pos.transfers import Kind, Transfer, TransferState
from merchant_pos.two_purses import Present
from support import till_steps as steps
from support.cards import CardInHand, record_of
from support.sam_till import LOADED, Reader, SamTill, card, sam
from support.till import ProcessDied
from wallet_core.errors import EcnyError
from wallet_core.purse.state import EntryState, PurseState, SlotState

PAY, REQUEST, COLLECT, REFUSE, ACKNOWLEDGE = 0x32, 0x30, 0x34, 0x36, 0x3A
# Where each purse is torn in turn; by instruction, so that it is the same for a payee that is verified.
TEARS = st.lists(
    st.builds(
        FaultPlan,
        st.sampled_from([Tear.BEFORE, Tear.AFTER_COMMIT, Tear.ANSWER]),
        ins=st.sampled_from([PAY, REQUEST, COLLECT, REFUSE, ACKNOWLEDGE]),
    ),
    max_size=2,
)
# Which purse is in the reader at each look; the last one stays. None: an empty reader.
LOOKS = st.sampled_from([(0,), (0,), (0,), (1,), (0, None), (0, None, 0), (None, 0), (0, 1), (1, 0), (0, 1, 0)])
DEATHS = st.sampled_from([""] * 2 * len(steps.TRANSFER) + [*steps.TRANSFER, "unknown", "refused"])
AMOUNTS = st.sampled_from([100, 1, 6_800, 20_001, 50_001])
REFUSED = (TransferState.ASKING, TransferState.REFUSING, TransferState.REFUSED, TransferState.DROPPED)


class Counter(RuleBasedStateMachine):
    """Two cards, two SAMs, one till. No purse is ever online, so tables and slots fill up."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="ecny-sam-"))
        self.till = SamTill(self.directory / "till.db")
        self.cards = [card(1), card(2)]
        self.sams = [sam(100), sam(101)]
        self.proofs: set[bytes] = set()
        for hand in self.sams:
            self.till.charge(self.cards[0], hand, Order(300, "order"))

    def teardown(self) -> None:
        self.all_can_be_finished()
        self.till.journal.close()
        shutil.rmtree(self.directory)

    def sold(self) -> list[int]:
        """Numbers of the paid sales."""
        rows = self.till.journal.transfers()
        return [one.k for one in rows if one.kind is Kind.SALE and one.state is TransferState.PAID]

    # What may happen ------------------------------------------------------------------------------------------------

    @rule(card=st.integers(0, 1), sam=st.integers(0, 1))
    def sell(self, card: int, sam: int) -> None:
        with self._process("", [], []):
            self.till.charge(self.cards[card], self.sams[sam], Order(200, "order"))

    @rule(amount=AMOUNTS, cards=LOOKS, sams=LOOKS, at_card=TEARS, at_sam=TEARS, death=DEATHS)
    def charge(
        self,
        amount: int,
        cards: tuple[int | None, ...],
        sams: tuple[int | None, ...],
        at_card: list[FaultPlan],
        at_sam: list[FaultPlan],
        death: str,
    ) -> None:
        with self._process(death, at_card, at_sam):
            self.till.charge(self._reader(self.cards, cards), self._reader(self.sams, sams), Order(amount, "order"))

    @rule(
        cards=LOOKS, sams=LOOKS, at_card=TEARS, at_sam=TEARS, death=DEATHS, which=st.integers(0, 5), part=st.booleans()
    )
    def refund(
        self,
        cards: tuple[int | None, ...],
        sams: tuple[int | None, ...],
        at_card: list[FaultPlan],
        at_sam: list[FaultPlan],
        death: str,
        which: int,
        part: bool,
    ) -> None:
        readers = self._reader(self.cards, cards), self._reader(self.sams, sams)
        sold = self.sold()
        with self._process(death, at_card, at_sam):
            if sold:
                k = sold[which % len(sold)]
                self.till.refund(k, *readers, 50 if part else None, any_card=which > 0)

    @rule(cards=LOOKS, sams=LOOKS, at_card=TEARS, at_sam=TEARS, death=DEATHS)
    def resume(
        self,
        cards: tuple[int | None, ...],
        sams: tuple[int | None, ...],
        at_card: list[FaultPlan],
        at_sam: list[FaultPlan],
        death: str,
    ) -> None:
        with self._process(death, at_card, at_sam):
            self.till.resume(self._reader(self.cards, cards), self._reader(self.sams, sams))

    @rule(cards=LOOKS, sams=LOOKS, death=st.sampled_from(["", "refused", "collected", "paid"]))
    def cancel(self, cards: tuple[int | None, ...], sams: tuple[int | None, ...], death: str) -> None:
        if self.till.desk.to_cancel(None) is not None:
            with self._process(death, [], []):
                self.till.cancel(self._reader(self.cards, cards), self._reader(self.sams, sams))

    @rule()
    def restart(self) -> None:
        self.till.restart()

    # What must hold -------------------------------------------------------------------------------------------------

    @invariant()
    def no_fen_is_lost_or_made(self) -> None:
        """I1: balances, and what is paid and neither collected nor given back."""
        purses = self._purses()
        collected = {
            entry.request_hash for purse in purses for entry in purse.table if entry.state is EntryState.COLLECTED
        }
        flying = sum(
            slot.amount
            for purse in purses
            for slot in purse.slots
            if slot.state is SlotState.PENDING and slot.request_hash not in collected
        )
        assert sum(purse.balance for purse in purses) + flying == 2 * LOADED

    @invariant()
    def paid_is_what_the_payee_has_collected(self) -> None:
        decided = {
            entry.request_hash: entry.state
            for purse in self._purses()
            for entry in purse.table
            if entry.state is not EntryState.FREE
        }
        for one in (one for one in self.till.journal.transfers() if one.request is not None):
            state = decided[one.asked.hash]
            if one.state is TransferState.PAID:
                assert state is EntryState.COLLECTED
            elif one.state is TransferState.REFUSED:
                assert state is EntryState.REFUSED
            elif one.state is TransferState.REFUSING and one.reason != CANCELLED:
                assert state is not EntryState.COLLECTED

    @invariant()
    def not_charged_is_true_for_ever(self) -> None:
        """What was said to be NOT CHARGED or NOT REFUNDED is paid by nobody, ever."""
        self.proofs |= {
            one.asked.hash
            for one in self.till.journal.transfers()
            if one.request is not None and one.state in REFUSED and one.reason != CANCELLED
        }
        for purse in self._purses():
            assert not self.proofs & {slot.request_hash for slot in purse.slots if slot.state is not SlotState.FREE}

    @invariant()
    def what_is_said_is_on_disk(self) -> None:
        paid = [one.kind for one in self.till.journal.transfers() if one.state is TransferState.PAID]
        for word, kind in ((phrases.PAID, Kind.SALE), (phrases.REFUNDED, Kind.REFUND)):
            said = {line for line in self.till.lines if f"{word}  " in line and phrases.NOT_REFUNDED not in line}
            assert len(said) <= paid.count(kind)

    @invariant()
    def refunds_stay_within_their_sale(self) -> None:
        rows = self.till.journal.transfers()
        for sale in (one for one in rows if one.kind is Kind.SALE and one.voucher_hash is not None):
            back = [one.amount for one in rows if one.plan.original == sale.voucher_hash and one.state not in REFUSED]
            assert sum(back) <= sale.amount

    @invariant()
    def one_at_most_is_open(self) -> None:
        assert sum(one.state.is_open for one in self.till.journal.transfers()) <= 1

    def all_can_be_finished(self) -> None:
        """I3: with its card and its SAM, each comes to an end, and then nothing is on the way any more."""
        for hand in (*self.cards, *self.sams):
            hand.plans.plans.clear()
        self.till.restart()
        for _ in range(3):
            for one in self.till.journal.transfers():
                self._finish(one)
        for payer in self.cards:
            for payee in self.sams:
                with self._process("", [], []):  # one fen each: the payers hear what their payees have decided
                    self.till.charge(payer, payee, Order(1, "the end"))
        rows = self.till.journal.transfers()
        ended = (TransferState.PAID, TransferState.REFUSED, TransferState.DROPPED, TransferState.ASKING)
        assert {one.state for one in rows} <= set(ended), [(one.k, one.state, one.reason) for one in rows]
        assert not self.till.journal.undecided() or all(
            one.state is TransferState.ASKING for one in self.till.journal.undecided()
        )
        waiting = {
            slot.request_hash for purse in self._purses() for slot in purse.slots if slot.state is SlotState.PENDING
        }
        unheard = [one for one in rows if one.request is not None and one.asked.hash in waiting]
        assert not waiting, [(one.k, one.kind, one.state, one.acknowledged) for one in unheard]
        assert sum(purse.balance for purse in self._purses()) == 2 * LOADED

    # Machinery ------------------------------------------------------------------------------------------------------

    def _finish(self, one: Transfer) -> None:
        if one.state.is_open or one.state in (TransferState.HELD, TransferState.REFUSING):
            payer, payee = self._hand(one.card), self._hand(one.sam)
            with self._process("", [], []):
                self.till.resume(payer, payee)
            with self._process("", [], []):
                self.till.desk.two.tidy(self._present(payee))
                self.till.desk.two.tidy(self._present(payer))

    def _present(self, hand: CardInHand) -> Present:
        purse = Reader(self.till.clock, [hand]).card(0)
        return Present(purse, purse.select())

    def _hand(self, purse: bytes) -> CardInHand:
        return next(hand for hand in (*self.cards, *self.sams) if hand.tap().purse_id == purse)

    def _purses(self) -> list[PurseState]:
        for hand in (*self.cards, *self.sams):
            hand.tap()
        return [record_of(hand).purse for hand in (*self.cards, *self.sams)]

    def _reader(self, hands: list[CardInHand], looks: tuple[int | None, ...]) -> Reader:
        return Reader(self.till.clock, [None if look is None else hands[look] for look in looks])

    @contextlib.contextmanager
    def _process(self, death: str, at_card: list[FaultPlan], at_sam: list[FaultPlan]) -> Iterator[None]:
        """One process of the till, which may die at a step; each purse may be torn twice in it."""
        for hands, plans in ((self.cards, at_card), (self.sams, at_sam)):
            for hand in hands:
                hand.plans.plans[:] = plans
        self.till.die_at = death
        try:
            yield
        except ProcessDied:
            self.till.restart()
        except EcnyError:
            pass
        self.till.die_at = ""
        for hand in (*self.cards, *self.sams):
            hand.plans.plans.clear()


TestSamMachine = Counter.TestCase
TestSamMachine.settings = settings(max_examples=25, stateful_step_count=12)
