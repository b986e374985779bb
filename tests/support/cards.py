"""Cards in process for any test: a world of keys from a seed, and emulated cards that it personalises and loads.

    world = make_world("some seed")
    hand = personalised_card(world, load=50_000)
    voucher = hand.wallet.pay(world.till_request(hand.wallet.select(), 6_800).to_payload())

Everything follows from the seed: keys, card randomness, challenges. Personalisation is the real one (SCP03).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import pytest

from hardware.channel_opening import open_channel
from hardware.data_objects import Fci
from hardware.driver import HardWallet
from hardware.emulator.card import EmulatedCard, PlannedFaults
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.emulator.record import CardRecord
from hardware.exchange import CardConnection
from hardware.instructions import Command
from hardware.personalisation import CardPapers, personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from support.keys import Party, certify
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.keys import SoftwareKey
from wallet_core.messages import (
    CertificationRequest,
    Grant,
    Policy,
    Receipt,
    Refusal,
    Report,
    Request,
    ReversalOrder,
    Signed,
    SpendMode,
    Voucher,
    parse,
)
from wallet_core.messages.ending import Outcome, pack_closed, pack_outcomes
from wallet_core.purse.state import EntryState, SlotState
from wallet_core.suites import Suite

PIN = "246810"
SERIAL = bytes.fromhex("0123456789ABCDEF")
LOAD = 50_000  # fen
PAYEE_CLASSES = (CertificateClass.OPERATOR_PURSE, CertificateClass.MERCHANT_PURSE, CertificateClass.TILL)
PAYER_CLASSES = (CertificateClass.OPERATOR_PURSE, CertificateClass.MERCHANT_PURSE)


@dataclass(frozen=True)
class World:
    """An authority, an operator with its purse, a till, a merchant's purse key, and the test policy hk-visitor."""

    seed: str
    authority: Party
    operator: Party
    operator_purse: Party
    till: Party
    policy: Policy

    @property
    def suite(self) -> Suite:
        return self.operator.certificate.suite

    def key(self, name: str) -> SoftwareKey:
        return SoftwareKey.from_secret(self.digest(f"key {name}"), self.suite)

    def digest(self, text: str) -> bytes:
        """32 bytes that follow from the seed and `text`."""
        return hashlib.sha256(f"{self.seed}: {text}".encode()).digest()

    def party(self, name: str, subject_class: CertificateClass, **changes: Any) -> Party:
        """Another party, certified by this world's operator."""
        key = self.key(name)
        return Party(name, key, certify(self.operator.key, key, subject_class, **changes))

    def audit_key(self, serial: bytes) -> bytes:
        return self.digest(f"audit key {serial.hex()}")[:16]

    def signed_policy(self, **changes: Any) -> bytes:
        return Signed.sign(replace(self.policy, **changes), self.operator.key).to_bytes()

    def papers(self, serial: bytes, request: bytes, **policy: Any) -> CardPapers:
        """What the operator's server answers to a card's CertificationRequest."""
        asked = parse(CertificationRequest, request).message
        certificate = Certificate(
            issuer=self.operator.id,
            key=asked.key,
            subject_class=CertificateClass(asked.subject_class),
            not_before=self.operator.certificate.not_before,
            expires=self.operator.certificate.expires,
            test=True,
            epoch=1,
        ).signed_by(self.operator.key)
        return CardPapers(
            certificate.to_bytes(),
            self.operator.certificate.to_bytes(),
            self.authority.certificate.to_bytes(),
            self.signed_policy(**policy),
            self.audit_key(serial),
        )

    def till_request(self, fci: Fci, amount: int, /, *, k: int = 1, order: str = "order", **changes: Any) -> Request:
        """The till's Request to the card with this FCI, for its next counter."""
        request = Request(
            suite=self.suite,
            payer=fci.purse_id,
            epoch=fci.epoch,
            n=fci.next_n,
            payee=self.till.id,
            k=k,
            amount=amount,
            order_hash=self.digest(order),
        )
        return replace(request, **changes)

    def signed_by_till(self, request: Request) -> tuple[bytes, bytes, bytes]:
        """Signed Request, till's and operator's certificates: what PAY, payee verified, wants."""
        return self.signed_by(self.till, request)

    def signed_by(self, payee: Party, request: Request) -> tuple[bytes, bytes, bytes]:
        signed = Signed.sign(request, payee.key).to_bytes()
        return signed, payee.certificate.to_bytes(), self.operator.certificate.to_bytes()

    def voucher_for(self, request: bytes, by: Party | None = None, /, **changes: Any) -> tuple[bytes, bytes, bytes]:
        """A purse's answer to a card's signed Request: signed Voucher, payer's and operator's certificates.

        It is signed `by` the operator's purse unless given; `changes` replace fields before it is signed.
        """
        payer = by or self.operator_purse
        asked = parse(Request, request).message
        sealed = AuditData(asked.n, 0, 0, 0, 0).seal(self.audit_key(b""), bytes(12), asked.suite)
        voucher = Voucher.answering(asked, 1, sealed)
        signed = Signed.sign(replace(voucher, **changes), payer.key).to_bytes()
        return signed, payer.certificate.to_bytes(), self.operator.certificate.to_bytes()

    def receipt_for(self, voucher: bytes, by: Party, **changes: Any) -> tuple[bytes, bytes, bytes]:
        """What ACKNOWLEDGE wants, as a payee with a purse says it: Receipt, payee's, operator's certificates."""
        paid = parse(Voucher, voucher)
        receipt = Receipt(
            suite=paid.message.suite,
            payee=by.id,
            k=paid.message.k,
            voucher_hash=paid.hash,
            total_in=paid.message.amount,
            total_out=0,
            total_reversed=0,
        )
        signed = Signed.sign(replace(receipt, **changes), by.key).to_bytes()
        return signed, by.certificate.to_bytes(), self.operator.certificate.to_bytes()

    def refusal_for(self, voucher: bytes, by: Party, **changes: Any) -> tuple[bytes, bytes, bytes]:
        """Likewise a Refusal."""
        paid = parse(Voucher, voucher).message
        refusal = Refusal(suite=paid.suite, payee=by.id, k=paid.k, request_hash=paid.request_hash)
        signed = Signed.sign(replace(refusal, **changes), by.key).to_bytes()
        return signed, by.certificate.to_bytes(), self.operator.certificate.to_bytes()

    def order_for(self, voucher: bytes, report: bytes = b"", **changes: Any) -> bytes:
        """The operator's signed ReversalOrder for this voucher."""
        paid = parse(Voucher, voucher)
        order = ReversalOrder(
            suite=paid.message.suite,
            payer=paid.message.payer,
            epoch=paid.message.epoch,
            n=paid.message.n,
            voucher_hash=paid.hash,
            report_hash=parse(Report, report).hash if report else bytes(32),
        )
        return Signed.sign(replace(order, **changes), self.operator.key).to_bytes()

    def grant_for(self, report: bytes, collected: Iterable[int] = (), **changes: Any) -> bytes:
        """The operator's signed Grant: all that the report shows is in its books, and these n are collected."""
        return signed_grant(self.operator.key, report, collected, **changes)


def signed_grant(operator: SoftwareKey, report: bytes, collected: Iterable[int] = (), **changes: Any) -> bytes:
    """As `World.grant_for`, by any operator."""
    told = parse(Report, report)
    message = told.message
    final = {line.n: line.state for line in message.slot_lines if line.state != SlotState.PENDING}
    outcomes = {**final, **dict.fromkeys(collected, int(SlotState.COLLECTED))}
    grant = Grant(
        suite=message.suite,
        purse=message.purse,
        epoch=message.epoch,
        n_acked=message.next_n,
        policy_version=message.policy_version,
        out_acked=message.total_out,
        in_acked=message.total_in,
        outcomes=pack_outcomes(Outcome(n, state) for n, state in sorted(outcomes.items())),
        closed=pack_closed(line.k for line in message.entry_lines if line.state != EntryState.OPEN),
        report_hash=told.hash,
    )
    return Signed.sign(replace(grant, **changes), operator).to_bytes()


def make_world(seed: str = "world", suite: Suite = Suite.ES256) -> World:
    """The world of this seed and suite; the same one each time."""
    return _world(seed, suite)


@cache
def _world(seed: str, suite: Suite) -> World:
    def key(name: str) -> SoftwareKey:
        return SoftwareKey.from_secret(hashlib.sha256(f"{seed}: {name}".encode()).digest(), suite)

    def party(name: str, subject_class: CertificateClass, issuer: SoftwareKey) -> Party:
        return Party(name, key(name), certify(issuer, key(name), subject_class))

    authority = party("authority", CertificateClass.AUTHORITY, key("authority"))
    operator = party("operator", CertificateClass.OPERATOR, authority.key)
    policy = Policy(
        suite=suite,
        operator=operator.id,
        version=1,
        purse_class=CertificateClass.HARD_WALLET,
        least_suite=suite,
        mode=SpendMode.STAGED,
        balance_limit=100_000,
        transfer_limit=50_000,
        offline_total=100_000,
        offline_count=16,
        pin_threshold=20_000,
        unverified_total=30_000,
        payee_threshold=20_000,
        payee_classes=sum(1 << one for one in PAYEE_CLASSES),
        payer_classes=sum(1 << one for one in PAYER_CLASSES),
    )
    return World(
        seed,
        authority,
        operator,
        party("operator purse", CertificateClass.OPERATOR_PURSE, operator.key),
        party("till", CertificateClass.TILL, operator.key),
        policy,
    )


@dataclass
class CardInHand:
    """A card in an in-process reader, with everything that a test wants to look at."""

    world: World
    serial: bytes
    card: EmulatedCard
    plans: PlannedFaults
    transport: InProcessTransport
    connection: CardConnection
    wallet: HardWallet

    @property
    def flash(self) -> Flash:
        return self.card.flash

    def tap(self) -> Fci:
        """Power off and on, then SELECT: what a new tap does."""
        self.connection.reset()
        return self.wallet.select()

    def load(self, amount: int, n: int, order: str = "load") -> bytes:
        """REQUEST and COLLECT of a load from the operator's purse at its counter `n`; the signed Receipt."""
        purse = self.world.operator_purse
        request = self.wallet.request(purse.id, 1, n, amount, self.world.digest(order))
        return self.wallet.collect(*self.world.voucher_for(request))


def blank_card(
    world: World, serial: bytes = SERIAL, *, profile: str = "hk-visitor", extended: bool | None = None
) -> CardInHand:
    """A card as it leaves the factory, powered, not selected."""
    number = int.from_bytes(world.digest(f"card {serial.hex()}")[:8], "big")
    flash = Flash(CARD_LAYOUT.cells, rng=Random(number))
    manufacture(flash, PROFILES[profile], serial)
    return in_hand(world, serial, flash, number, extended=extended)


def in_hand(world: World, serial: bytes, flash: Flash, number: int, *, extended: bool | None = None) -> CardInHand:
    """Put the card of this flash into a reader; `number` seeds its randomness."""
    plans = PlannedFaults()
    card = EmulatedCard(flash, seeded(number), plans)
    transport = InProcessTransport(card, "test reader")
    connection = CardConnection(transport, extended=extended)
    return CardInHand(world, serial, card, plans, transport, connection, HardWallet(connection))


def personalised_card(
    world: World,
    serial: bytes = SERIAL,
    *,
    load: int = 0,
    pin: str = PIN,
    profile: str = "hk-visitor",
    extended: bool | None = None,
    **policy: Any,
) -> CardInHand:
    """An active card, selected, loaded with `load` fen by the operator; `policy`: changed fields of its policy."""
    hand = blank_card(world, serial, profile=profile, extended=extended)
    production = PROFILES[profile].production
    policy.setdefault("purse_class", PROFILES[profile].subject_class)
    personalise(
        hand.wallet,
        lambda number: transport_keys(TEST_BATCH_KEY, number, production=production),
        world.digest("host challenge")[:8],
        lambda number, request: world.papers(number, request, **policy),
        pin,
        suite=world.suite,
    )
    if load:
        hand.load(load, n=1)
    return hand


def merchant_sam(world: World, serial: bytes = b"SAM 0001", *, load: int = 0, **policy: Any) -> CardInHand:
    """A merchant's SAM: takes value from cards, pays cards back, limits as a card's but for its balance."""
    classes = (CertificateClass.OPERATOR_PURSE, CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)
    allowed = sum(1 << one for one in classes)
    defaults = {"payee_classes": allowed, "payer_classes": allowed, "mode": SpendMode.INTERMITTENT}
    return personalised_card(world, serial, load=load, profile="merchant-sam", **{**defaults, **policy})


@contextmanager
def refused(hand: CardInHand, reason: Refused) -> Iterator[None]:
    """The block ends with this refusal, and not a cell of the card was programmed."""
    before = hand.flash.snapshot()
    with pytest.raises(PurseRefusal) as caught:
        yield
    assert caught.value.reason is reason
    assert hand.flash.snapshot() == before


def secured(hand: CardInHand, command: Command) -> bytes:
    """One command through a fresh secure channel."""
    hand.wallet.select()
    keys = transport_keys(TEST_BATCH_KEY, hand.serial, production=False)
    hand.connection.secure(open_channel(hand.connection.send, keys, bytes(8)))
    try:
        return hand.wallet.run(command)
    finally:
        hand.connection.plain()


def record_of(hand: CardInHand) -> CardRecord:
    """The card's own state in RAM: what its memory said at power-up and every commit since."""
    vault = hand.card.vault
    assert vault is not None, "the card has no power"
    return vault.record


def change_state(hand: CardInHand, **changes: Any) -> None:
    """Put the card's state where no honest history leads quickly, as counters near their end."""
    vault = hand.card.vault
    assert vault is not None, "the card has no power"
    vault.commit_state(replace(vault.state, **changes))
