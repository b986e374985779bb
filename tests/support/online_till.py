"""A shop in process with the real server: enrolled tills, a loaded card, the merchant's SAM, and a line that fails."""

from __future__ import annotations

import random
from pathlib import Path

from hardware.personalisation import personalise
from hardware.reporting import Reported
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from merchant_pos import reporting, sam_sale
from merchant_pos.checkout import Checkout, Outcome
from merchant_pos.client import HttpServer
from merchant_pos.enrolment import enrol
from merchant_pos.identity import JOURNAL_FILE, Identity
from merchant_pos.journal import Journal
from merchant_pos.ports import no_step
from merchant_pos.sales import Order
from merchant_pos.sam_desk import SamDesk
from merchant_pos.succession import Inherited, Predecessor
from merchant_pos.sync import Report, Sync
from merchant_pos.two_purses import TransferOutcome
from merchant_pos.upkeep import Done, Upkeep
from support.card_desk import URL, Desk
from support.cards import PIN, CardInHand, blank_card, make_world
from support.keys import NOW
from support.operator_world import SeededEntropy
from support.sam_till import Reader
from support.till import Pins, TestClock
from wallet_core.errors import SettlementError

SAM_SERIAL = bytes.fromhex("00000000000000AA")


class Shop:
    """One merchant with its SAM at the operator of `desk`, whose card is the customer's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "operator").mkdir()
        self.desk = Desk(directory / "operator")
        self.bank = self.desk.bank
        self.merchant, self.code = self._sign_up()
        self.card: CardInHand = self.desk.hand
        self.sam = self._sam()
        self.clock = TestClock()

    def _sign_up(self) -> tuple[str, str]:
        made = self.bank.parts.tills.add_merchant("Luohu Tea House", NOW)
        return made.merchant, made.code

    def _sam(self) -> CardInHand:
        hand = blank_card(make_world("desk"), SAM_SERIAL, profile="merchant-sam")
        personalise(
            hand.wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            lambda serial, request: self.desk.server.certify(serial, request, merchant=self.merchant),
            PIN,
        )
        return hand

    def till(self, name: str, succeeds: OnlineTill | None = None) -> OnlineTill:
        """A till of this merchant, enrolled with a code of its own."""
        return OnlineTill(self, name, self.bank.parts.tills.new_code(self.merchant, NOW), succeeds)

    @property
    def wallet(self) -> int:
        """What the merchant has at its operator, fen."""
        accounts = self.bank.ledger().accounts
        return next(one.balance for one in accounts if one.name == f"wallet/{self.merchant}")

    def close(self) -> None:
        self.desk.close()


class OnlineTill:
    """A till in its directory, over the shop's line."""

    def __init__(self, shop: Shop, name: str, code: str, succeeds: OnlineTill | None = None) -> None:
        self.shop = shop
        self.directory = shop.directory / name / "till"
        self.lines: list[str] = []
        self.inherited: Inherited | None = None
        self.identity = self._enrol(name, code, succeeds)
        self.open()

    def _enrol(self, name: str, code: str, succeeds: OnlineTill | None) -> Identity:
        predecessor = Predecessor(succeeds.directory, self.shop.clock.now_ms) if succeeds is not None else None

        def take_over(identity: Identity) -> None:
            if predecessor is None:
                return
            journal = Journal(self.directory / JOURNAL_FILE, till=identity.id, now_ms=self.shop.clock.now_ms)
            self.inherited = predecessor.hand_over(identity, journal)
            journal.close()

        with HttpServer(URL, transport=self.shop.desk.line) as server:
            identity = enrol(
                self.directory,
                server,
                code,
                production=False,
                pinned_authority=None,
                entropy=SeededEntropy(f"till {name}"),
                now=NOW,
                step=no_step,
                succeeds=predecessor.identity.id if predecessor is not None else None,
                before_enrolled=take_over,
            )
        if predecessor is not None:
            predecessor.retire(identity)
            predecessor.close()
        return identity

    def open(self) -> None:
        clock = self.shop.clock
        self.journal = Journal(self.directory / JOURNAL_FILE, till=self.identity.id, now_ms=clock.now_ms)
        wiring = {"journal": self.journal, "identity": self.identity, "clock": clock, "notify": self.lines.append}
        self.desk = SamDesk(**wiring)  # type: ignore[arg-type]
        self.checkout = Checkout(**wiring, afterwards=self.desk.afterwards)  # type: ignore[arg-type]

    def close(self) -> None:
        self.journal.close()

    def charge(self, amount: int, *, away_after: bool = False) -> Outcome:
        """Into the till itself; `away_after`: the card is gone after its first tap."""
        reader = Reader(self.shop.clock, [self.shop.card, None] if away_after else [self.shop.card])
        order = Order(amount, "order")
        return self.checkout.charge(order, reader, Pins(PIN), tap_seconds=1, retap_seconds=2)

    def charge_sam(self, amount: int) -> TransferOutcome:
        cards, sams = (Reader(self.shop.clock, [hand]) for hand in (self.shop.card, self.shop.sam))
        order = Order(amount, "order")
        return sam_sale.charge(self.desk, order, cards, sams, Pins(PIN), tap_seconds=1, retap_seconds=2)

    def sync(self) -> tuple[Report, Done]:
        with HttpServer(URL, transport=self.shop.desk.line) as server:
            deposits = Sync(
                journal=self.journal,
                identity=self.identity,
                server=server,
                clock=self.shop.clock,
                rng=random.Random(1),
                notify=self.lines.append,
            )
            upkeep = Upkeep(journal=self.journal, identity=self.identity, server=server, clock=self.shop.clock)
            return deposits.run(), upkeep.run()

    def report(self, hand: CardInHand, pin: str | None = None) -> Reported:
        hand.tap()
        with reporting.TillDesk(URL, journal=self.journal, transport=self.shop.desk.line) as desk:
            return reporting.report(hand.wallet, desk, self.identity, self.journal, pin)

    def refused_sync(self) -> SettlementError:
        """What the server says to a journal that is not the newest."""
        try:
            self.sync()
        except SettlementError as exc:
            return exc
        raise AssertionError("the server took it")
