"""Purses with the real decisions of wallet_core, enrolled at an operator in process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from server.reports.service import Answered
from support.keys import NOW, Party, key
from support.operator_world import Bank, TillDouble, certification_request
from support.purses import UNLIMITED, Purse
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.messages import Policy, Request, Signed, SpendMode, parse
from wallet_core.suites import Suite

CARD, SAM = CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE
INTERMITTENT = replace(UNLIMITED, mode=SpendMode.INTERMITTENT)
"""What a merchant's purse needs to refund from what it took."""


def enrol(
    bank: Bank,
    name: str,
    subject_class: CertificateClass = CARD,
    *,
    loaded: int = 0,
    policy: Policy | None = None,
    merchant: str | None = None,
) -> Purse:
    """A purse certified by `bank`, with `loaded` fen collected and its Receipt handed in."""
    own = key(f"purse {name}")
    own_policy = INTERMITTENT if subject_class is SAM else UNLIMITED
    serial = hashlib.sha256(name.encode()).digest()[:8]
    request = certification_request(own, subject_class, serial)
    made = bank.parts.cards.enrol(serial, request, NOW, merchant=merchant)
    purse = Purse(Party(name, own, Certificate.from_bytes(made.certificate)), policy or own_policy)
    if loaded:
        load(bank, purse, loaded, f"load {name}")
    return purse


def load(bank: Bank, purse: Purse, amount: int, name: str) -> None:
    """A load with its Receipt."""
    bank.parts.loads.collected(
        purse.collect(paid_load(bank, purse, amount, name), CertificateClass.OPERATOR_PURSE), NOW
    )


def paid_load(bank: Bank, purse: Purse, amount: int, name: str) -> bytes:
    """A load up to its voucher."""
    begun = bank.parts.loads.begin(bank.world.keyring.idempotency_digest(name), purse.id, amount, NOW)
    request = purse.request(begun.payer, begun.epoch, begun.n, amount, begun.order_hash)
    return bank.parts.loads.pay(begun.load, request, NOW)


def pays(payer: Purse, payee: Purse, amount: int) -> bytes:
    """The voucher of a payment between purses, not collected yet."""
    return payer.pay(payee.ask(payer, amount, verified=True), payee=payee.party)


def pays_till(payer: Purse, till: TillDouble, amount: int) -> tuple[bytes, bytes]:
    """A voucher for a till, and its H(Request)."""
    request = Request(
        suite=Suite.ES256,
        payer=payer.id,
        epoch=payer.state.epoch,
        n=payer.state.next_n,
        payee=till.id,
        k=till.next_k,
        amount=amount,
        order_hash=bytes(32),
    )
    till.next_k += 1
    return payer.pay(Signed.sign(request, till.key).to_bytes()), request.hash


def report(bank: Bank, purse: Purse, messages: Sequence[bytes] = (), *, taken: bool = True) -> Answered:
    """The purse's report, handed in with `messages` and its stored vouchers; `taken`: orders and grant reach it."""
    stored = [slot.voucher for slot in purse.state.slots if slot.voucher]
    answered = bank.parts.reports.report(purse.report(), [*stored, *messages], [], NOW)
    if taken:
        for order in answered.orders:
            purse.reverse(order)
        purse.grant(answered.grant)
    return answered


def evidence(bank: Bank, *messages: bytes) -> list[str]:
    return [status.value for status in bank.parts.reports.evidence(messages, [], NOW)]


def hash_of(request: bytes) -> bytes:
    return parse(Request, request).hash
