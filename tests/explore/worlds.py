"""What every search begins with: an operator with its books, a till, a loaded card and a merchant's purse.

All of it is made by the real code from fixed keys: personalisation over SCP03, enrolment, a load with its Receipt.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from explore.servers import MemoryStorage
from hardware.driver import HardWallet
from hardware.emulator.card import EmulatedCard
from hardware.emulator.flash import Flash
from hardware.emulator.memory import CARD_LAYOUT
from hardware.emulator.profiles import PROFILES, manufacture, seeded
from hardware.exchange import CardConnection
from hardware.personalisation import CardPapers, personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from merchant_pos.identity import Identity
from server.enrolment.certifying import Certifier, proven_key
from server.enrolment.policy_profiles import policy
from support.keys import NOW
from support.operator_world import Bank, SeededEntropy, TillDouble, World, certification_request
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Signed

PIN = "246810"
LOAD = 20_000  # fen
ISSUED = 100_000  # fen


@dataclass(frozen=True)
class Chip:
    """The memory of a personalised purse, and the seed of its randomness."""

    name: str
    memory: bytes
    seed: int
    purse: bytes
    certificate: bytes


@dataclass(frozen=True)
class Beginning:
    """`database`: the server's; `payer`, `other`: loaded cards; `sam`: the merchant's purse."""

    world: World
    database: bytes
    identity: Identity
    payer: Chip
    other: Chip
    sam: Chip

    @property
    def operator_certificate(self) -> bytes:
        return self.world.keyring.operator_certificate.to_bytes()


@cache
def beginning() -> Beginning:
    """The same one each time, in every process."""
    with tempfile.TemporaryDirectory() as directory:
        world = World.make(Path(directory))
        storage = MemoryStorage()
        bank = Bank(world, issued=ISSUED, storage=storage, entropy=SeededEntropy("explore"))
        try:
            payer = _card(bank, "payer", 11, CertificateClass.HARD_WALLET, "hk-visitor", LOAD)
            other = _card(bank, "other", 12, CertificateClass.HARD_WALLET, "hk-visitor", LOAD)
            sam = _card(bank, "sam", 13, CertificateClass.MERCHANT_PURSE, "merchant-sam", 0)
            identity = _till(bank)
            database = storage.dump()
        finally:
            bank.close()
    return Beginning(world, database, identity, payer, other, sam)


def _till(bank: Bank) -> Identity:
    made = bank.parts.tills.add_merchant("Luohu Tea House", NOW)
    till = TillDouble(SoftwareKey.from_secret(b"the till of the explorer........"))
    enrolled = bank.parts.tills.enrol(
        made.code, certification_request(till.key, CertificateClass.TILL, made.code.encode()), NOW
    )
    keyring = bank.world.keyring
    return Identity(
        key=till.key,
        certificate=Certificate.from_bytes(enrolled.certificate),
        operator=keyring.operator_certificate,
        authority=keyring.authority_certificate,
        server="http://operator.test",
        merchant=enrolled.merchant,
        merchant_name=enrolled.merchant_name,
        production=False,
    )


def _card(bank: Bank, name: str, seed: int, subject: CertificateClass, profile: str, load: int) -> Chip:
    serial = seed.to_bytes(8)
    flash = Flash(CARD_LAYOUT.cells, rng=Random(seed))
    manufacture(flash, PROFILES[profile], serial)
    card = EmulatedCard(flash, seeded(seed))
    wallet = HardWallet(CardConnection(InProcessTransport(card, name)))
    personalise(
        wallet,
        lambda number: transport_keys(TEST_BATCH_KEY, number, production=False),
        serial,
        lambda number, request: _papers(bank, number, request, subject, profile),
        PIN,
    )
    purse = wallet.select().purse_id
    if load:
        _load(bank, wallet, purse, load, name)
    certificate = wallet.certificate()
    wallet.close()
    flash.power_on()
    memory = flash.read(0, flash.size)
    flash.power_off()
    return Chip(name, memory, seed, purse, certificate)


def _papers(bank: Bank, serial: bytes, request: bytes, subject: CertificateClass, profile: str) -> CardPapers:
    keyring = bank.world.keyring
    key = proven_key(request, subject, serial)
    certifier = Certifier(keyring)
    certificate = certifier.certify(key, subject, now=NOW, lifetime_s=bank.settings.card_lifetime_s).to_bytes()
    with bank.parts.storage.writing() as tx:
        tx.add_purse(key.thumbprint, certificate, serial, now=NOW)
    limits = policy(profile, keyring.operator_certificate.subject)
    return CardPapers(
        certificate,
        keyring.operator_certificate.to_bytes(),
        keyring.authority_certificate.to_bytes(),
        Signed.sign(limits, bank.world.operator).to_bytes(),
        keyring.audit_key(key.thumbprint),
    )


def _load(bank: Bank, wallet: HardWallet, purse: bytes, amount: int, name: str) -> None:
    keyring = bank.world.keyring
    begun = bank.parts.loads.begin(keyring.idempotency_digest(name), purse, amount, NOW)
    request = wallet.request(begun.payer, begun.epoch, begun.n, amount, begun.order_hash)
    voucher = bank.parts.loads.pay(begun.load, request, NOW)
    receipt = wallet.collect(voucher, keyring.purse_certificate.to_bytes(), keyring.operator_certificate.to_bytes())
    bank.parts.loads.collected(receipt, NOW)
