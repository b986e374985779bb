"""An authority, an operator with its server's parts, cards and tills, all made from a seed: test money only.

Cards here are doubles without rules: a software key signs whatever the test wants, so that they can also cheat.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from server import keyring as files
from server.app import Parts
from server.enrolment.policy_profiles import DEFAULT_PROFILE, policy
from server.installation import register_purse
from server.keyring import Keyring
from server.ledger.report import LedgerReport, read_ledger
from server.load.issuance import take_in
from server.load.service import Begun
from server.settings import Settings, system_clock
from server.storage.protocol import Storage
from server.storage.sqlite import SqliteStorage
from support.keys import AUTHORITY, NOW, OPERATOR, OPERATOR_PURSE, Party, certify, key, seed
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import write_file
from wallet_core.keys import SoftwareKey
from wallet_core.messages import (
    CertificationRequest,
    DepositAnswer,
    DepositBatch,
    Issuance,
    Receipt,
    Refusal,
    Request,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_ANSWER_SIZE
from wallet_core.suites import Suite, profile

TOKEN = "operator-token-of-the-tests"


def entropy(seed: str) -> Iterator[bytes]:
    """Endless blocks of 32 bytes that look random."""
    number = 0
    while True:
        yield hashlib.sha256(f"{seed}/{number}".encode()).digest()
        number += 1


class SeededEntropy:
    """`entropy(n)`: n bytes, the same in every run."""

    def __init__(self, seed: str) -> None:
        self._blocks = entropy(seed)

    def __call__(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += next(self._blocks)
        return data[:size]


@dataclass
class CardDouble:
    """A card with value: pays anyone anything, counting as a card does, unless told to cheat."""

    key: SoftwareKey
    certificate: Certificate
    serial: bytes
    audit_key: bytes
    next_n: int = 1
    next_k: int = 1
    total_in: int = 0
    total_out: int = 0

    @property
    def id(self) -> bytes:
        return self.certificate.subject

    def voucher(
        self, till: TillDouble, amount: int, *, n: int | None = None, order: str = "", epoch: int | None = None
    ) -> bytes:
        """A signed voucher for a Request of `till`; with `n` given, under a counter that may be used already."""
        request = till.request(self, amount, n=n if n is not None else self.next_n, order=order)
        if n is None:
            self.next_n += 1
            self.total_out += amount
        audit = AuditData(request.n, self.total_in, self.total_out, 0, self.total_out)
        message = Voucher(
            suite=self.key.public.suite,
            payer=self.id,
            epoch=epoch if epoch is not None else self.certificate.epoch,
            n=request.n,
            payee=till.id,
            k=request.k,
            amount=amount,
            request_hash=request.hash,
            policy_version=1,
            audit=audit.seal(self.audit_key, hashlib.sha256(request.hash).digest()[:12], request.suite),
        )
        return Signed.sign(message, self.key).to_bytes()

    def request_to(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes) -> Signed[Request]:
        """A signed Request of this card, as REQUEST answers it."""
        message = Request(
            suite=self.key.public.suite,
            payer=payer,
            epoch=epoch,
            n=n,
            payee=self.id,
            k=self.next_k,
            amount=amount,
            order_hash=order_hash,
        )
        self.next_k += 1
        return Signed.sign(message, self.key)

    def receipt(self, voucher: bytes) -> bytes:
        """What COLLECT answers."""
        message = parse(Voucher, voucher).message
        self.total_in += message.amount
        return Signed.sign(
            Receipt(
                suite=message.suite,
                payee=self.id,
                k=message.k,
                voucher_hash=message.hash,
                total_in=self.total_in,
                total_out=self.total_out,
                total_reversed=0,
            ),
            self.key,
        ).to_bytes()


@dataclass
class TillDouble:
    """A till that has a key and counts its batches; it believes nothing and checks nothing."""

    key: SoftwareKey
    next_k: int = 1
    number: int = 0
    last_hash: bytes = bytes(32)
    merchant: str = ""

    @property
    def id(self) -> bytes:
        return self.key.public.thumbprint

    def request(self, card: CardDouble, amount: int, *, n: int, order: str = "") -> Request:
        message = Request(
            suite=self.key.public.suite,
            payer=card.id,
            epoch=card.certificate.epoch,
            n=n,
            payee=self.id,
            k=self.next_k,
            amount=amount,
            order_hash=hashlib.sha256(order.encode()).digest(),
        )
        self.next_k += 1
        return message

    def refusal(self, request_hash: bytes, k: int = 1) -> bytes:
        message = Refusal(suite=self.key.public.suite, payee=self.id, k=k, request_hash=request_hash)
        return Signed.sign(message, self.key).to_bytes()

    def batch(
        self, vouchers: Sequence[bytes], refusals: Sequence[bytes] = (), certificates: Sequence[bytes] = ()
    ) -> bytes:
        """The next batch of the chain, signed."""
        message = DepositBatch(
            suite=self.key.public.suite,
            payee=self.id,
            number=self.number + 1,
            previous=self.last_hash,
            vouchers=tuple(vouchers),
            refusals=tuple(refusals),
            certificates=tuple(certificates),
        )
        signed = Signed.sign(message, self.key)
        self.number, self.last_hash = message.number, signed.hash
        return signed.to_bytes()


@dataclass
class World:
    """Everything one operator has. `open()` gives a storage with the purse, cards and merchants in it."""

    directory: Path
    authority: SoftwareKey
    keyring: Keyring

    @classmethod
    def make(cls, directory: Path, suite: Suite = Suite.ES256) -> World:
        authority, own, purse = _parties(suite)
        operator = own.key
        keyring = Keyring(
            operator=operator,
            operator_certificate=own.certificate,
            authority_certificate=authority.certificate,
            purse=purse.key,
            purse_certificate=purse.certificate,
            policy=Signed.sign(policy(DEFAULT_PROFILE, own.id, suite), operator),
            master=hashlib.sha256(b"master").digest(),
            admin_token=TOKEN,
        )
        return cls(directory, authority.key, keyring)

    @property
    def suite(self) -> Suite:
        return self.keyring.suite

    def key(self, name: str) -> SoftwareKey:
        """The test key `name` of this world's suite."""
        return key(name) if self.suite is Suite.ES256 else SoftwareKey.from_secret(seed(name), self.suite)

    @property
    def operator(self) -> SoftwareKey:
        signer = self.keyring.operator
        if not isinstance(signer, SoftwareKey):
            raise TypeError("the operator's key of a test is a software key")
        return signer

    @property
    def database(self) -> Path:
        return self.directory / "server.db"

    def settings(self, **changes: Any) -> Settings:
        base = Settings(
            keyring=self.keyring,
            database=self.database,
            clock=lambda: NOW,
            entropy=SeededEntropy("settings"),
            workers=0,
        )
        return replace(base, **changes)

    def storage(self, busy_timeout_ms: int = 5_000) -> SqliteStorage:
        return SqliteStorage(self.database, busy_timeout_ms=busy_timeout_ms)

    def card(self, name: str, *, epoch: int = 1, issuer: SoftwareKey | None = None) -> CardDouble:
        """A certified card that the storage does not know."""
        own = self.key(f"card {name}")
        issued = certify(issuer or self.operator, own, CertificateClass.HARD_WALLET, epoch=epoch)
        serial = hashlib.sha256(name.encode()).digest()[:8]
        return CardDouble(own, issued, serial, self.keyring.audit_key(issued.subject))

    def till(self, name: str) -> TillDouble:
        """A till that the storage does not know."""
        return TillDouble(self.key(f"till {name}"))


def _parties(suite: Suite) -> tuple[Party, ...]:
    """Authority, operator and operator's purse."""
    if suite is Suite.ES256:
        return AUTHORITY, OPERATOR, OPERATOR_PURSE
    from support import suite2  # its samples are signed when it is imported

    return suite2.AUTHORITY, suite2.OPERATOR, suite2.OPERATOR_PURSE


def certification_request(own: SoftwareKey, subject_class: CertificateClass, challenge: bytes) -> bytes:
    message = CertificationRequest(
        suite=own.public.suite,
        x=own.public.x,
        y=own.public.y,
        subject_class=subject_class,
        challenge=profile(own.public.suite).digest(challenge),
    )
    return Signed.sign(message, own).to_bytes()


def answer_of(data: bytes, world: World) -> DepositAnswer:
    """The answer, its signature verified with the operator's key."""
    return parse(DepositAnswer, data, max_size=MAX_ANSWER_SIZE).verify(world.operator.public)


class Bank:
    """An operator's server in process: its parts, with shortcuts through its own services."""

    def __init__(
        self, world: World, *, issued: int = 100_000_000, storage: Storage | None = None, **changes: Any
    ) -> None:
        self.world = world
        self.settings = world.settings(**changes)
        self.parts = Parts.of(self.settings, storage)
        register_purse(self.parts.storage, world.keyring)
        self._issuances = 0
        if issued:
            self.issue(issued)

    def issue(self, amount: int) -> None:
        """The authority issues into the operator's purse."""
        self._issuances += 1
        message = Issuance(
            suite=self.world.suite,
            authority=self.world.authority.public.thumbprint,
            purse=self.world.keyring.purse_certificate.subject,
            serial=self._issuances,
            amount=amount,
        )
        raw = Signed.sign(message, self.world.authority).to_bytes()
        take_in(self.parts.storage, self.world.keyring.authority_certificate, raw, now=NOW)

    def card(self, name: str, loaded: int = 0) -> CardDouble:
        """An enrolled card, with `loaded` fen collected."""
        own = self.world.key(f"card {name}")
        serial = hashlib.sha256(name.encode()).digest()[:8]
        request = certification_request(own, CertificateClass.HARD_WALLET, serial)
        enrolled = self.parts.cards.enrol(serial, request, NOW)
        card = CardDouble(own, Certificate.from_bytes(enrolled.certificate), serial, enrolled.audit_key)
        for at, amount in enumerate(portions(loaded, self.world.keyring.policy.message.balance_limit)):
            self.load(card, amount, f"load {name} {at}")
        return card

    def till(self, name: str) -> TillDouble:
        """An enrolled till of a merchant of its own."""
        made = self.parts.tills.add_merchant(f"Merchant {name}", NOW)
        till = self.world.till(name)
        request = certification_request(till.key, CertificateClass.TILL, made.code.encode())
        till.merchant = self.parts.tills.enrol(made.code, request, NOW).merchant
        return till

    def begin(self, card: CardDouble, amount: int, name: str) -> Begun:
        return self.parts.loads.begin(self.world.keyring.idempotency_digest(name), card.id, amount, NOW)

    def pay(self, card: CardDouble, amount: int, name: str) -> bytes:
        """A load up to the voucher."""
        begun = self.begin(card, amount, name)
        request = card.request_to(begun.payer, begun.epoch, begun.n, amount, begun.order_hash)
        return self.parts.loads.pay(begun.load, request.to_bytes(), NOW)

    def load(self, card: CardDouble, amount: int, name: str) -> None:
        """A load with its Receipt."""
        self.parts.loads.collected(card.receipt(self.pay(card, amount, name)), NOW)

    def settle(self, batch: bytes) -> DepositAnswer:
        return answer_of(self.parts.settlement.settle(batch, NOW), self.world)

    def ledger(self) -> LedgerReport:
        with self.parts.storage.reading() as tx:
            return read_ledger(tx)

    def wallet(self, till: TillDouble) -> int:
        return next(a.balance for a in self.ledger().accounts if a.name == f"wallet/{till.merchant}")

    def shadow(self, card: CardDouble) -> int:
        shadows: dict[str, int] = self.ledger().facts()["card_shadows"]
        return shadows[card.id.hex()]

    def close(self) -> None:
        self.parts.close()


def portions(total: int, most: int) -> list[int]:
    """`total` in parts of at most `most`."""
    whole, rest = divmod(total, most)
    return [most] * whole + ([rest] if rest else [])


class Site:
    """The same operator installed in DATA/server, for real processes: the files that `ecny server install` writes."""

    def __init__(self, data: Path, *, issued: int = 1_000_000) -> None:
        self.data = data
        self.world = World.make(data / "server")
        keyring, directory = self.world.keyring, data / "server"
        private = {
            files.OPERATOR_KEY: OPERATOR.key.to_pem(),
            files.PURSE_KEY: OPERATOR_PURSE.key.to_pem(),
            files.MASTER_KEY: keyring.master.hex().encode(),
            files.ADMIN_TOKEN: keyring.admin_token.encode(),
        }
        public = {
            files.OPERATOR_CERTIFICATE: keyring.operator_certificate.to_bytes(),
            files.AUTHORITY_CERTIFICATE: keyring.authority_certificate.to_bytes(),
            files.PURSE_CERTIFICATE: keyring.purse_certificate.to_bytes(),
            files.POLICY: keyring.policy.to_bytes(),
        }
        for name, content in (private | public).items():
            write_file(directory / name, content, secret=name in private)
        with self.bank() as bank:
            bank.issue(issued)

    @contextmanager
    def bank(self) -> Iterator[Bank]:
        """The operator's own hands on the same database, in this process and by the machine's clock."""
        made = Bank(self.world, issued=0, clock=system_clock, entropy=secrets.token_bytes)
        try:
            yield made
        finally:
            made.close()

    def ledger(self) -> LedgerReport:
        with self.bank() as bank:
            return bank.ledger()
