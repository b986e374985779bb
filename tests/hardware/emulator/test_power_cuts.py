"""I7: power cut at every cell of every command, in all four ways a cell can be left; and again while it recovers.

For each command: the card before it is one snapshot, taken once. Each cut starts from that snapshot, powers the card
up, interrupts one cell of the command, powers up again, and looks at the whole state: it must be exactly the state
before or the state after, the same at every later power-up, and the same command sent again must lead to the one after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

import pytest

from hardware.card_like import CardTorn
from hardware.channel_opening import open_channel
from hardware.commands import (
    Activate,
    Deactivate,
    GenerateKeyPair,
    PersonaliseEnd,
    StoreData,
    Terminate,
)
from hardware.emulator.flash import Outcome, Power
from hardware.emulator.record import CardRecord
from hardware.instructions import Command, Store
from hardware.personalisation import personalise
from hardware.pin import pin_block
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support import tally
from support.cards import LOAD, PIN, SERIAL, CardInHand, World, blank_card, make_world, personalised_card, record_of
from support.keys import Party
from wallet_core.certificates import CertificateClass
from wallet_core.errors import CardError, OutcomeUnknownError
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
from wallet_core.purse.state import Lifecycle

SALE, BIG_SALE = 6_800, 30_000
WRONG_PIN = "135790"
KEYS = transport_keys(TEST_BATCH_KEY, SERIAL, production=False)
WORLD = make_world("power cuts")

Act = Callable[[CardInHand], object]


@dataclass(frozen=True)
class Case:
    """`prepare`: from a new card to the one before the command; `ready`: after each power-up; `command`: what is cut.

    `commits`: how many it makes; the state after each is one that a cut may leave (VERIFY: the try used up, then given
    back).
    """

    name: str
    prepare: Callable[[World], CardInHand]
    command: Act
    ready: Act = lambda hand: hand.wallet.select()
    commits: int = 1


def loaded(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


def asked(world: World) -> CardInHand:
    """A second load has been requested."""
    hand = loaded(world)
    second_request(hand)
    return hand


def second_request(hand: CardInHand) -> bytes:
    return hand.wallet.request(hand.world.operator_purse.id, 1, 2, 1_000, hand.world.digest("second"))


@cache
def open_request() -> bytes:
    """The Request of `asked`: cards of one seed sign the same bytes."""
    return second_request(loaded(WORLD))


def collect(hand: CardInHand) -> bytes:
    return hand.wallet.collect(*WORLD.voucher_for(open_request()))


def refuse(hand: CardInHand) -> bytes:
    return hand.wallet.refuse(parse(Request, open_request()).hash)


def first_request(hand: CardInHand, amount: int) -> Request:
    return replace(hand.world.till_request(hand.wallet.select(), amount), n=1)


def pay(hand: CardInHand) -> bytes:
    return hand.wallet.pay(first_request(hand, SALE).to_payload())


def pay_verified(hand: CardInHand) -> bytes:
    if record_of(hand).purse.next_n == 1:
        hand.wallet.verify_pin(PIN)  # again after a tear: the verification went with the power
    return hand.wallet.pay_verified(*hand.world.signed_by_till(first_request(hand, BIG_SALE)))


def one_pin_try_less(world: World) -> CardInHand:
    hand = loaded(world)
    hand.wallet.pay(first_request(hand, SALE).to_payload())
    wrong_pin(hand)
    return hand


def wrong_pin(hand: CardInHand) -> None:
    with pytest.raises(CardError):
        hand.wallet.verify_pin(WRONG_PIN)


def channel(hand: CardInHand) -> None:
    """SELECT and an open secure channel; a terminated card opens none any more."""
    hand.connection.plain()
    if hand.wallet.select().lifecycle is not Lifecycle.TERMINATED:
        hand.connection.secure(open_channel(hand.connection.send, KEYS, bytes(8)))


def secured(command: Command) -> Act:
    def run(hand: CardInHand) -> object:
        if record_of(hand).purse.lifecycle is Lifecycle.TERMINATED:
            return b""
        return hand.wallet.run(command)

    return run


def objects(hand: CardInHand) -> dict[Store, bytes]:
    papers = hand.world.papers(SERIAL, hand.wallet.run(GenerateKeyPair(bytes(32))))
    return {
        Store.AUTHORITY_CERTIFICATE: papers.authority_certificate,
        Store.OPERATOR_CERTIFICATE: papers.operator_certificate,
        Store.PURSE_CERTIFICATE: papers.certificate,
        Store.POLICY: papers.policy,
        Store.PIN: pin_block(PIN),
        Store.AUDIT_KEY: papers.audit_key,
    }


def stored_before(target: Store | None) -> Callable[[World], CardInHand]:
    """A blank card with all objects before `target`; None: with all of them."""

    def prepare(world: World) -> CardInHand:
        hand = blank_card(world)
        channel(hand)
        for one, content in objects(hand).items():
            if one is target:
                break
            hand.wallet.run(StoreData(one, content))
        hand.connection.plain()
        return hand

    return prepare


def store(target: Store) -> Act:
    return lambda hand: hand.wallet.run(StoreData(target, objects(hand)[target]))


def personalised(world: World) -> CardInHand:
    hand = stored_before(None)(world)
    channel(hand)
    hand.wallet.run(PersonaliseEnd())
    hand.connection.plain()
    return hand


@cache
def paid_to_sam() -> tuple[Party, bytes]:
    """A SAM's key and the voucher of `paid`, for its first Request: cards of one seed sign the same bytes."""
    sam = WORLD.party("sam", CertificateClass.MERCHANT_PURSE)
    return sam, pay_sam(loaded(WORLD))


def pay_sam(hand: CardInHand) -> bytes:
    sam = WORLD.party("sam", CertificateClass.MERCHANT_PURSE)
    return hand.wallet.pay(replace(first_request(hand, SALE), payee=sam.id).to_payload())


def paid(world: World) -> CardInHand:
    hand = loaded(world)
    pay_sam(hand)
    return hand


def paid_and_collected(world: World) -> CardInHand:
    """A slot COLLECTED, one REVERSED, one PENDING, and the load's final entry: all kinds that a grant looks at."""
    hand = paid(world)
    acknowledge(hand)
    for _ in range(2):
        hand.wallet.pay(world.till_request(hand.wallet.select(), 100).to_payload())
    hand.wallet.reverse(world.order_for(hand.wallet.resend_to(world.till.id)[0]))
    return hand


@cache
def granted() -> bytes:
    """The grant after `paid_and_collected`: two slots and the entry become free, the third payment stays PENDING."""
    return WORLD.grant_for(paid_and_collected(WORLD).wallet.report())


def acknowledge(hand: CardInHand) -> None:
    sam, voucher = paid_to_sam()
    hand.wallet.acknowledge(*WORLD.receipt_for(voucher, sam))


def acknowledge_refusal(hand: CardInHand) -> None:
    sam, voucher = paid_to_sam()
    hand.wallet.acknowledge_refusal(*WORLD.refusal_for(voucher, sam))


def request_verified(hand: CardInHand) -> bytes:
    """A card asks another card: the class that it has verified is kept beside the Request."""
    other = WORLD.party("other card", CertificateClass.HARD_WALLET)
    papers = other.certificate.to_bytes(), WORLD.operator.certificate.to_bytes()
    return hand.wallet.request_verified(other.id, other.certificate.epoch, 1, 1_000, bytes(32), *papers)


def takes_from_cards(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD, payer_classes=1 << CertificateClass.HARD_WALLET)


ENDINGS = [
    Case("REQUEST, payer verified", takes_from_cards, request_verified),
    Case("ACKNOWLEDGE", paid, acknowledge),
    Case("ACKNOWLEDGE refusal", paid, acknowledge_refusal),
    Case("REVERSE", paid, lambda hand: hand.wallet.reverse(WORLD.order_for(paid_to_sam()[1]))),
    Case("GRANT", paid_and_collected, lambda hand: hand.wallet.grant(granted())),
]
CASES = [
    Case("PAY", loaded, pay),
    Case("PAY, payee verified", loaded, pay_verified, commits=3),
    Case("REQUEST", loaded, second_request),
    Case("COLLECT", asked, collect),
    Case("REFUSE", asked, refuse),
    Case("VERIFY", one_pin_try_less, lambda hand: hand.wallet.verify_pin(PIN), commits=2),
    Case("policy", loaded, lambda hand: hand.wallet.store_policy(WORLD.signed_policy(version=2))),
    Case("GENERATE ASYMMETRIC KEY PAIR", blank_card, secured(GenerateKeyPair(bytes(32))), channel),
    *(Case(f"STORE DATA {target.name}", stored_before(target), store(target), channel) for target in Store),
    Case("PERSONALISE END", stored_before(None), secured(PersonaliseEnd()), channel),
    Case("ACTIVATE", personalised, secured(Activate()), channel),
    Case("DEACTIVATE", loaded, secured(Deactivate()), channel),
    Case("TERMINATE", loaded, secured(Terminate()), channel),
    *ENDINGS,
]


WHOLE = ("PAY", "COLLECT", *(case.name for case in ENDINGS))


class Bench:
    """One case: its card, its snapshot, and the states that a cut may leave."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.hand = case.prepare(WORLD)
        self.before = self.power_cycle()
        self.snapshot = self.hand.flash.snapshot()
        self.start()
        begun = self.hand.flash.programmed
        self.allowed = [self.before]
        vault = self.hand.card.vault
        assert vault is not None
        commit = vault.commit

        def commit_and_note(record: CardRecord) -> None:
            commit(record)
            self.allowed.append(record)

        vault.commit = commit_and_note  # type: ignore[method-assign]
        self.answer = self.run()
        self.cells = self.hand.flash.programmed - begun
        self.after = self.power_cycle()
        assert self.allowed[-1] == self.after != self.before
        assert len(self.allowed) == 1 + case.commits

    def power_cycle(self) -> CardRecord:
        self.hand.connection.reset()
        return record_of(self.hand)

    def start(self) -> None:
        """The card before the command, powered and ready for it: the same each time, chance included."""
        self.hand.connection.plain()
        self.hand.card.power_off()
        self.hand.flash.restore(self.snapshot)
        self.hand.connection.reset()
        self.ready()

    def ready(self) -> None:
        self.case.ready(self.hand)

    def run(self) -> object:
        return self.case.command(self.hand)

    def cut(self, cell: int, outcome: Outcome) -> None:
        """Run the command with power for `cell` cells."""
        self.start()
        self.hand.flash.supply(Power(cell, outcome))
        with pytest.raises(OutcomeUnknownError):
            self.run()

    def recovered_wrong(self) -> bool:
        """What the next power-ups find: one of the allowed states, never another again; the command then completes."""
        found = self.power_cycle()
        wrong = found not in self.allowed
        wrong |= any(self.power_cycle() != found for _ in range(2))
        self.ready()
        answer = self.run()
        wrong |= found == self.after and answer != self.answer
        self.hand.connection.plain()
        return wrong | (likeness(self.power_cycle()) != likeness(self.after))


def likeness(record: CardRecord) -> object:
    """The state without what another power session draws afresh: audit nonces, signatures, the key of a new try."""
    slots = tuple((slot.state, slot.n, slot.request_hash, slot.payee) for slot in record.purse.slots)
    table = tuple((one.state, one.k, one.amount, one.request_hash, one.payer_class) for one in record.purse.table)
    return replace(record.purse, slots=(), table=()), slots, table, record.has_key, set(record.objects.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_cut_at_every_cell(case: Case) -> None:
    bench = Bench(case)
    wrong = cuts = 0
    for cell in range(bench.cells):
        for outcome in Outcome:
            bench.cut(cell, outcome)
            wrong += bench.recovered_wrong()
            cuts += 1
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts == 4 * bench.cells >= 12


def recovery_cuts(bench: Bench, torn: bytes) -> Iterator[tuple[int, Outcome]]:
    """Each cell of the recovery from `torn`, interrupted in each way; the card is then without power."""
    card, flash = bench.hand.card, bench.hand.flash
    for cell in count():
        for outcome in Outcome:
            card.power_off()
            flash.restore(torn)
            try:
                card.power_on(Power(cell, outcome))
            except CardTorn:
                yield cell, outcome
            else:
                return


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_second_cut_while_it_recovers(case: Case) -> None:
    """A cell of the command, left unstable; then each cell of the recovery, in all four ways.

    For what moves value each cell of the command, for the others those of its last commit.
    """
    bench = Bench(case)
    wrong = cuts = 0
    for cell in range(0 if case.name in WHOLE else bench.cells - 3, bench.cells):
        bench.cut(cell, Outcome.UNSTABLE)
        torn = bench.hand.flash.snapshot()
        for _ in recovery_cuts(bench, torn):
            wrong += bench.recovered_wrong()
            cuts += 1
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts >= 3 * 4 * 8


def test_a_cut_at_every_cell_of_a_whole_personalisation() -> None:
    """From blank to active, cut once at each cell; the desk runs the same command again."""
    wrong = cuts = 0
    outcomes = list(Outcome)
    for cell in count():
        hand = blank_card(WORLD)
        hand.flash.supply(Power(cell, outcomes[cell % len(outcomes)]))
        try:
            personalise(hand.wallet, lambda _: KEYS, bytes(8), WORLD.papers, PIN)
            break
        except OutcomeUnknownError:
            cuts += 1
        if hand.tap().lifecycle is not Lifecycle.ACTIVE:
            personalise(hand.wallet, lambda _: KEYS, bytes(8), WORLD.papers, PIN)
        hand.load(LOAD, n=1)
        voucher = hand.wallet.pay(WORLD.till_request(hand.wallet.select(), SALE).to_payload())
        wrong += hand.wallet.select().balance != LOAD - SALE or not voucher
    tally.record("power cuts", total=cuts, wrong=wrong)
    assert wrong == 0
    assert cuts > 40


def test_a_tear_answers_nothing_that_is_not_committed() -> None:
    """The last cell of each command is its commit: with power for all but it, there is no answer to be had."""
    for case in (*CASES[:5], *ENDINGS):
        bench = Bench(case)
        bench.cut(bench.cells - 1, Outcome.OLD)
        assert bench.power_cycle() == bench.allowed[-2], "not done, and nothing was said"
        bench.start()
        bench.hand.flash.supply(Power(bench.cells))
        assert bench.run() == bench.answer
        assert bench.power_cycle() == bench.after


def test_stored_answers_are_what_was_said() -> None:
    for case, kind in ((CASES[0], Voucher), (CASES[3], Receipt), (CASES[4], Refusal)):
        bench = Bench(case)
        answer = bench.answer
        assert isinstance(answer, bytes)
        assert parse(kind, answer).to_bytes() == answer
        bench.ready()
        programmed = bench.hand.flash.programmed
        assert bench.run() == answer
        assert bench.hand.flash.programmed == programmed
