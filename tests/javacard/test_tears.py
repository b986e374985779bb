"""I7 on the chip: power cut at every persistent write of every command that moves value or the PIN, and all over again.

For each command: the card before it is one snapshot. Each cut starts from there, takes the power at the N-th write, and
looks at all that the card shows after its next power-ups: exactly what it showed before or after the command, the same
each time; the same command sent again must lead to the one after, and be answered the same however often it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count

import pytest

from hardware.data_objects import Fci
from support import tally
from support.cards import LOAD, PIN, make_world
from support.java_cards import JavaInHand, blank_java_card, java_card
from support.keys import Party
from wallet_core.certificates import CertificateClass
from wallet_core.errors import OutcomeUnknownError
from wallet_core.messages import Request, parse
from wallet_core.purse.state import Lifecycle

SALE, BIG_SALE = 6_800, 30_000
WORLD = make_world("java tears")
SAM: Party = WORLD.party("sam", CertificateClass.MERCHANT_PURSE)

Act = Callable[[JavaInHand], object]
Command = Callable[[JavaInHand], Act]


def view(hand: JavaInHand) -> tuple[object, ...]:
    """All that the card shows after a power-up, without what only a signature tells."""
    fci = hand.tap()
    wallet = hand.wallet
    asked = tuple(parse(Request, one).hash for one in wallet.open_requests())
    return (fci, wallet.totals(), wallet.slots(), asked)


def pay(hand: JavaInHand) -> Act:
    request = WORLD.till_request(hand.wallet.select(), SALE)
    return lambda again: again.wallet.pay(request.to_payload())


def pay_verified(hand: JavaInHand) -> Act:
    signed = WORLD.signed_by_till(WORLD.till_request(hand.wallet.select(), BIG_SALE))

    def run(again: JavaInHand) -> object:
        if again.wallet.select().next_n == 1:
            again.wallet.verify_pin(PIN)  # the verification went with the power
        return again.wallet.pay_verified(*signed)

    return run


def request(hand: JavaInHand) -> Act:
    return lambda again: again.wallet.request(WORLD.operator_purse.id, 1, 2, 1_000, WORLD.digest("second"))


def collect(hand: JavaInHand) -> Act:
    signed = hand.wallet.request(WORLD.operator_purse.id, 1, 2, 1_000, WORLD.digest("second"))
    voucher = WORLD.voucher_for(signed)
    return lambda again: again.wallet.collect(*voucher)


def refuse(hand: JavaInHand) -> Act:
    signed = hand.wallet.request(WORLD.operator_purse.id, 1, 2, 1_000, WORLD.digest("second"))
    return lambda again: again.wallet.refuse(parse(Request, signed).hash)


def paid_to_sam(hand: JavaInHand) -> bytes:
    return hand.wallet.pay(WORLD.till_request(hand.wallet.select(), SALE, payee=SAM.id).to_payload())


def acknowledge(hand: JavaInHand) -> Act:
    receipt = WORLD.receipt_for(paid_to_sam(hand), SAM)
    return lambda again: again.wallet.acknowledge(*receipt)


def acknowledge_refusal(hand: JavaInHand) -> Act:
    refusal = WORLD.refusal_for(paid_to_sam(hand), SAM)
    return lambda again: again.wallet.acknowledge_refusal(*refusal)


def reverse(hand: JavaInHand) -> Act:
    order = WORLD.order_for(paid_to_sam(hand))
    return lambda again: again.wallet.reverse(order)


def grant(hand: JavaInHand) -> Act:
    acknowledge(hand)(hand)
    hand.wallet.pay(WORLD.till_request(hand.wallet.select(), 100).to_payload())
    granted = WORLD.grant_for(hand.wallet.report())
    return lambda again: again.wallet.grant(granted)


def policy(hand: JavaInHand) -> Act:
    signed = WORLD.signed_policy(version=2)
    return lambda again: again.wallet.store_policy(signed)


COMMANDS: dict[str, Command] = {
    "PAY": pay,
    "PAY, payee verified": pay_verified,
    "REQUEST": request,
    "COLLECT": collect,
    "REFUSE": refuse,
    "ACKNOWLEDGE": acknowledge,
    "ACKNOWLEDGE refusal": acknowledge_refusal,
    "REVERSE": reverse,
    "GRANT": grant,
    "STORE DATA, policy": policy,
}


@pytest.fixture(scope="module")
def card() -> Iterator[JavaInHand]:
    with java_card(WORLD, load=LOAD) as hand:
        hand.process.snapshot("loaded")
        yield hand


@pytest.fixture
def loaded(card: JavaInHand) -> JavaInHand:
    card.process.restore("loaded")
    card.tap()
    return card


@dataclass
class Bench:
    """One command, its card, and what the card shows before and after."""

    hand: JavaInHand
    run: Act

    def __post_init__(self) -> None:
        self.before = view(self.hand)
        self.hand.process.snapshot("before")
        begun = self.hand.process.report().writes
        self.run(self.hand)
        self.writes = self.hand.process.report().writes - begun
        self.after = view(self.hand)
        assert self.before != self.after

    def fault_after_cut(self, n: int) -> str:
        """Runs the command with power for n - 1 writes, then again; what is wrong with what it shows, if anything."""
        self.hand.process.restore("before")
        return self.fault() if self.cut(n) else "it was not cut"

    def cut(self, n: int) -> bool:
        """Runs the command with power for n - 1 writes; False when it needed no more, as when it was done before."""
        self.hand.tap()
        self.hand.process.tear_at_write(n)
        try:
            self.run(self.hand)
        except OutcomeUnknownError:
            return True
        self.hand.process.forget_tears()
        return False

    def fault(self) -> str:
        """What is wrong with what the card shows, and with what it answers now."""
        found = view(self.hand)
        if found not in (self.before, self.after, *self.between()):
            return f"neither before nor after: {found}"
        if view(self.hand) != found:
            return "another at the next power-up"
        if self.run(self.hand) != self.run(self.hand):
            return "answered otherwise when asked again"
        return "" if view(self.hand) == self.after else f"sent again, it led elsewhere: {view(self.hand)}"

    def between(self) -> Iterator[tuple[object, ...]]:
        """What VERIFY leaves before its comparison: a try less."""
        fci, *rest = self.before
        if isinstance(fci, Fci):
            yield replace(fci, pin_tries=fci.pin_tries - 1), *rest


@pytest.mark.parametrize("name", COMMANDS)
def test_a_cut_at_every_write(loaded: JavaInHand, name: str) -> None:
    bench = Bench(loaded, COMMANDS[name](loaded))
    wrong = {n: fault for n in range(1, bench.writes + 1) if (fault := bench.fault_after_cut(n))}
    tally.record("power cuts", total=bench.writes, wrong=len(wrong))
    assert wrong == {}
    assert bench.writes >= 2, "something is written, and then it is committed"


@pytest.mark.parametrize("name", ["PAY", "COLLECT", "GRANT"])
def test_a_second_cut_when_it_is_sent_again(loaded: JavaInHand, name: str) -> None:
    """Cut at each write; the same command again, cut at its first write, in its midst and at its end."""
    bench = Bench(loaded, COMMANDS[name](loaded))
    wrong, cuts = [], 0
    for first in range(1, bench.writes + 1):
        for second in sorted({1, bench.writes // 2, bench.writes - 1, bench.writes}):
            loaded.process.restore("before")
            bench.cut(first)
            bench.cut(second)
            cuts += 1
            if fault := bench.fault():
                wrong.append((first, second, fault))
    tally.record("power cuts", total=cuts, wrong=len(wrong))
    assert wrong == []
    assert cuts >= 3 * bench.writes


def test_a_cut_in_verify_costs_a_try_at_most(loaded: JavaInHand) -> None:
    cuts = 0
    loaded.process.snapshot("pin")
    for n in count(1):
        loaded.process.restore("pin")
        loaded.tap()
        loaded.process.tear_at_write(n)
        try:
            loaded.wallet.verify_pin(PIN)
        except OutcomeUnknownError:
            cuts += 1
            assert loaded.tap().pin_tries in (2, 3)
            loaded.wallet.verify_pin(PIN)
            assert loaded.tap().pin_tries == 3
        else:
            loaded.process.forget_tears()
            break
    tally.record("power cuts", total=cuts, wrong=0)
    assert cuts >= 2


def test_a_tear_before_the_answer_is_a_command_that_was_done(loaded: JavaInHand) -> None:
    bench = Bench(loaded, pay(loaded))
    loaded.process.restore("before")
    loaded.tap()
    loaded.process.tear_before_answer()
    with pytest.raises(OutcomeUnknownError):
        bench.run(loaded)
    assert view(loaded) == bench.after
    begun = loaded.process.report().writes
    assert bench.run(loaded) == bench.run(loaded)
    assert loaded.process.report().writes == begun, "the stored answer"


def test_a_cut_at_every_write_of_a_whole_personalisation() -> None:
    """From blank to active, cut once at each write; the desk runs the same steps again."""
    cuts = wrong = 0
    with blank_java_card(WORLD, b"JCARD 02") as hand:
        hand.process.snapshot("blank")
        for n in count(1):
            hand.process.restore("blank")
            hand.connection.reset()
            hand.process.tear_at_write(n)
            try:
                hand.personalise()
                hand.process.forget_tears()
                break
            except OutcomeUnknownError:
                cuts += 1
            if hand.tap().lifecycle is not Lifecycle.ACTIVE:
                hand.personalise()
            wrong += hand.tap().lifecycle is not Lifecycle.ACTIVE
        hand.load(LOAD, n=1)
        assert hand.wallet.select().balance == LOAD
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts > 20
