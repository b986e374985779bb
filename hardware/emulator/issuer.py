"""A test issuer with published keys: it makes emulated cards ready to pay, so that a tool needs no server to show one.

Authority, operator, the operator's purse and a till, all from fixed words: every card that this issuer has made, on any
machine, trusts every other. What it does is what a real operator does, over the same commands: personalisation through
SCP03, a load by Request, Voucher and Receipt, a grant for a report. It keeps no books: nothing here is conserved.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from random import Random
from typing import Final

from hardware.data_objects import Fci
from hardware.driver import HardWallet
from hardware.emulator.card import EmulatedCard, Faults
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import ReadyProfile, manufacture, ready_seed, ready_serial, seeded
from hardware.exchange import CardConnection
from hardware.personalisation import CardPapers, personalise
from hardware.secure_channel import StaticKeys
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.messages import (
    CertificationRequest,
    Grant,
    Policy,
    Report,
    Request,
    Signed,
    SpendMode,
    Voucher,
    parse,
)
from wallet_core.messages.ending import Outcome, pack_closed, pack_outcomes
from wallet_core.purse.state import EntryState, SlotState
from wallet_core.suites import Suite

TEST_PIN: Final = "135246"
"""The PIN of every card of this issuer: published, as its keys are."""

NOT_BEFORE: Final = 1_735_689_600  # 2025-01-01T00:00:00Z
EXPIRES: Final = 4_102_444_800  # 2100-01-01T00:00:00Z
_SAM_ROOM: Final = 10_000_000  # fen: a till's purse is emptied at night


def _classes(*classes: CertificateClass) -> int:
    return sum(1 << one for one in classes)


@dataclass(frozen=True, slots=True)
class Party:
    """A key with its certificate."""

    key: SoftwareKey
    certificate: Certificate

    @property
    def id(self) -> bytes:
        """Thumbprint of the key, 32 bytes."""
        return self.key.public.thumbprint


class Issuer:
    """The parties, and what they sign. Take `published_issuer()`: there is only one."""

    def __init__(self) -> None:
        root, operator = self._key("authority"), self._key("operator")
        self.authority = self._party("authority", CertificateClass.AUTHORITY, root)
        self.operator = self._party("operator", CertificateClass.OPERATOR, root)
        self.purse = self._party("operator purse", CertificateClass.OPERATOR_PURSE, operator)
        self.till = self._party("till", CertificateClass.TILL, operator)

    # Papers

    def papers(self, serial: bytes, request: bytes) -> CardPapers:
        """What an operator's server answers to a card's CertificationRequest."""
        asked = parse(CertificationRequest, request).message
        subject_class = CertificateClass(asked.subject_class)
        certificate = self._certify(asked.key, subject_class, self.operator.key)
        return CardPapers(
            certificate.to_bytes(),
            self.operator.certificate.to_bytes(),
            self.authority.certificate.to_bytes(),
            Signed.sign(self.policy(subject_class), self.operator.key).to_bytes(),
            self._digest(f"audit key {serial.hex()}")[:16],
        )

    def policy(self, purse_class: CertificateClass) -> Policy:
        """The limits of a visitor's card, or a merchant's purse, in fen."""
        card, sam = CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE
        desk = (CertificateClass.OPERATOR_PURSE, CertificateClass.MERCHANT_PURSE)
        visitor = Policy(
            suite=Suite.ES256,
            operator=self.operator.id,
            version=1,
            purse_class=purse_class,
            least_suite=Suite.ES256,
            mode=SpendMode.STAGED,
            balance_limit=100_000,
            transfer_limit=50_000,
            offline_total=100_000,
            offline_count=16,
            pin_threshold=20_000,
            unverified_total=30_000,
            payee_threshold=20_000,
            payee_classes=_classes(*desk, CertificateClass.TILL),
            payer_classes=_classes(*desk),
        )
        if purse_class is not sam:
            return visitor
        return replace(
            visitor,
            mode=SpendMode.INTERMITTENT,
            balance_limit=_SAM_ROOM,
            transfer_limit=_SAM_ROOM,
            offline_total=_SAM_ROOM,
            pin_threshold=_SAM_ROOM,
            unverified_total=_SAM_ROOM,
            payee_threshold=0,
            payee_classes=_classes(card, CertificateClass.OPERATOR_PURSE),
            payer_classes=_classes(card, CertificateClass.OPERATOR_PURSE),
        )

    # Money

    def load(self, wallet: HardWallet, amount: int) -> bytes:
        """Pay `amount` fen onto the card, out of nothing; the signed Receipt."""
        asked = self.load_request(wallet.select(), amount)
        request = wallet.request(asked.payer, asked.epoch, asked.n, asked.amount, asked.order_hash)
        return self.collect(wallet, request)

    def load_request(self, fci: Fci, amount: int) -> Request:
        """What the card with this FCI will ask the operator's purse for, when it is loaded next."""
        return Request(
            suite=Suite.ES256,
            payer=self.purse.id,
            epoch=1,
            n=fci.next_k,
            payee=fci.purse_id,
            k=fci.next_k,
            amount=amount,
            order_hash=self._digest(f"load {fci.purse_id.hex()} {fci.next_k} {amount}"),
        )

    def collect(self, wallet: HardWallet, request: bytes) -> bytes:
        """The voucher that answers this signed Request of the card, into the card; the signed Receipt."""
        signed = Signed.sign(self.voucher(parse(Request, request).message), self.purse.key).to_bytes()
        return wallet.collect(signed, self.purse.certificate.to_bytes(), self.operator.certificate.to_bytes())

    def voucher(self, asked: Request) -> Voucher:
        """The operator's purse pays this Request; the same Voucher each time."""
        sealed = AuditData(asked.n, 0, 0, 0, 0).seal(self._digest("audit key of the purse")[:16], bytes(12))
        return Voucher.answering(asked, 1, sealed)

    def till_request(self, fci: Fci, amount: int) -> Request:
        """The till asks the card with this FCI for `amount` fen, at its next counter."""
        return Request(
            suite=Suite.ES256,
            payer=fci.purse_id,
            epoch=fci.epoch,
            n=fci.next_n,
            payee=self.till.id,
            k=fci.next_n,  # this till has one customer at a time, and no other memory than the card's
            amount=amount,
            order_hash=self._digest(f"order {fci.next_n} {amount}"),
        )

    def pay(self, wallet: HardWallet, fci: Fci, request: Request) -> bytes:
        """PAY to the till, verified by the card where its policy wants that; the signed Voucher."""
        if request.amount <= fci.payee_threshold:
            return wallet.pay(request.to_payload())
        signed = Signed.sign(request, self.till.key).to_bytes()
        return wallet.pay_verified(signed, self.till.certificate.to_bytes(), self.operator.certificate.to_bytes())

    def grant(self, report: bytes) -> bytes:
        """The signed Grant for this Report: everything that was paid is settled, all that is final is closed."""
        told = parse(Report, report)
        message = told.message
        outcomes = sorted((line.n, max(line.state, SlotState.COLLECTED)) for line in message.slot_lines)
        grant = Grant(
            suite=message.suite,
            purse=message.purse,
            epoch=message.epoch,
            n_acked=message.next_n,
            policy_version=message.policy_version,
            out_acked=message.total_out,
            in_acked=message.total_in,
            outcomes=pack_outcomes(Outcome(n, state) for n, state in outcomes),
            closed=pack_closed(line.k for line in message.entry_lines if line.state != EntryState.OPEN),
            report_hash=told.hash,
        )
        return Signed.sign(grant, self.operator.key).to_bytes()

    def _party(self, name: str, subject_class: CertificateClass, issuer: SoftwareKey) -> Party:
        key = self._key(name)
        return Party(key, self._certify(key.public, subject_class, issuer))

    @staticmethod
    def _certify(subject: PublicKey, subject_class: CertificateClass, issuer: SoftwareKey) -> Certificate:
        return Certificate(
            issuer=issuer.public.thumbprint,
            key=subject,
            subject_class=subject_class,
            not_before=NOT_BEFORE,
            expires=EXPIRES,
            test=True,
            epoch=int(subject_class.is_purse),
        ).signed_by(issuer)

    def _key(self, name: str) -> SoftwareKey:
        return SoftwareKey.from_secret(self._digest(f"key {name}"))

    @staticmethod
    def _digest(text: str) -> bytes:
        return hashlib.sha256(b"ecny test issuer: " + text.encode()).digest()


@cache
def published_issuer() -> Issuer:
    """The issuer of all emulated cards that are made ready to pay."""
    return Issuer()


def make_ready(
    profile: ReadyProfile, seed: str, *, endurance: int | None = None, plans: Faults | None = None
) -> EmulatedCard:
    """The emulated card of this profile and seed: the same card, byte for byte, each time. Without power.

    `endurance`: how often a cell of its flash can be programmed; None: for ever. `plans` are heeded from
    its first use on, not while it is made.
    """
    number = ready_seed(profile, seed)
    flash = _flash(number, endurance)
    flash.restore(_made(profile, seed, endurance))
    return EmulatedCard(flash, seeded(number), plans)


@lru_cache(maxsize=64)
def _made(profile: ReadyProfile, seed: str, endurance: int | None) -> bytes:
    """The snapshot of the card as it is made; worked out once, for it is always the same."""
    number, serial = ready_seed(profile, seed), ready_serial(profile, seed)
    flash = _flash(number, endurance)
    manufacture(flash, profile.card, serial)
    if profile.personalised:
        _issue(EmulatedCard(flash, seeded(number)), serial, profile.load)
    return flash.snapshot()


def _flash(number: int, endurance: int | None) -> Flash:
    return Flash(CARD_LAYOUT.cells, rng=Random(number), endurance=endurance)  # noqa: S311  # chance that a seed replays


def _issue(card: EmulatedCard, serial: bytes, load: int) -> None:
    connection = CardConnection(InProcessTransport(card, "the issuer's desk"))
    wallet = HardWallet(connection)
    issuer = published_issuer()
    personalise(
        wallet, _keys_of, hashlib.sha256(b"ecny host challenge " + serial).digest()[:8], issuer.papers, TEST_PIN
    )
    if load:
        issuer.load(wallet, load)
    connection.close()


def _keys_of(serial: bytes) -> StaticKeys:
    return transport_keys(TEST_BATCH_KEY, serial, production=False)
