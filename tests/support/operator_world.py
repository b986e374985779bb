"""An authority, an operator with its server's parts, cards and tills, all made from a seed: test money only.

Cards here are doubles without rules: a software key signs whatever the test wants, so that they can also cheat.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.keyring import Keyring
from server.settings import Settings
from server.storage.sqlite import SqliteStorage
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import SoftwareKey
from wallet_core.messages import (
    CertificationRequest,
    DepositAnswer,
    DepositBatch,
    Policy,
    Receipt,
    Refusal,
    Request,
    Signed,
    SpendMode,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_ANSWER_SIZE
from wallet_core.suites import Suite

NOW = 1_780_000_000
DAY = 86_400
TOKEN = "operator-token-of-the-tests"


def key(seed: str) -> SoftwareKey:
    return SoftwareKey.from_secret(hashlib.sha512(seed.encode()).digest())


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


def certificate(
    issuer: SoftwareKey,
    subject: SoftwareKey,
    subject_class: CertificateClass,
    *,
    epoch: int = 0,
    not_before: int = NOW - DAY,
    expires: int = NOW + 365 * DAY,
) -> Certificate:
    return Certificate(
        issuer=issuer.public.thumbprint,
        key=subject.public,
        subject_class=subject_class,
        not_before=not_before,
        expires=expires,
        test=True,
        epoch=epoch,
    ).signed_by(issuer)


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
            suite=Suite.ES256,
            payer=self.id,
            epoch=epoch if epoch is not None else self.certificate.epoch,
            n=request.n,
            payee=till.id,
            k=request.k,
            amount=amount,
            request_hash=request.hash,
            policy_version=1,
            audit=audit.seal(self.audit_key, hashlib.sha256(request.hash).digest()[:12]),
        )
        return Signed.sign(message, self.key).to_bytes()

    def request_to(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes) -> Signed[Request]:
        """A signed Request of this card, as REQUEST answers it."""
        message = Request(
            suite=Suite.ES256,
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
                suite=Suite.ES256,
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
    certificates: list[bytes] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        return self.key.public.thumbprint

    def request(self, card: CardDouble, amount: int, *, n: int, order: str = "") -> Request:
        message = Request(
            suite=Suite.ES256,
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
        message = Refusal(suite=Suite.ES256, payee=self.id, k=k, request_hash=request_hash)
        return Signed.sign(message, self.key).to_bytes()

    def batch(
        self, vouchers: Sequence[bytes], refusals: Sequence[bytes] = (), certificates: Sequence[bytes] = ()
    ) -> bytes:
        """The next batch of the chain, signed."""
        message = DepositBatch(
            suite=Suite.ES256,
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
    def make(cls, directory: Path) -> World:
        authority, operator, purse = key("authority"), key("operator"), key("operator purse")
        root = certificate(authority, authority, CertificateClass.AUTHORITY)
        policy = Policy(
            suite=Suite.ES256,
            operator=operator.public.thumbprint,
            version=1,
            purse_class=CertificateClass.HARD_WALLET,
            least_suite=1,
            mode=SpendMode.STAGED,
            balance_limit=100_000,
            transfer_limit=50_000,
            offline_total=100_000,
            offline_count=16,
            pin_threshold=20_000,
            unverified_total=30_000,
            payee_threshold=20_000,
            payee_classes=1 << CertificateClass.TILL,
        )
        keyring = Keyring(
            operator=operator,
            operator_certificate=certificate(authority, operator, CertificateClass.OPERATOR),
            authority_certificate=root,
            purse=purse,
            purse_certificate=certificate(operator, purse, CertificateClass.OPERATOR_PURSE, epoch=1),
            policy=Signed.sign(policy, operator),
            master=hashlib.sha256(b"master").digest(),
            admin_token=TOKEN,
        )
        return cls(directory, authority, keyring)

    @property
    def operator(self) -> SoftwareKey:
        signer = self.keyring.operator
        if not isinstance(signer, SoftwareKey):
            raise TypeError("the operator's key of a test is a software key")
        return signer

    @property
    def database(self) -> Path:
        return self.directory / "server.db"

    def settings(self, **changes: object) -> Settings:
        base = Settings(
            keyring=self.keyring,
            database=self.database,
            clock=lambda: NOW,
            entropy=SeededEntropy("settings"),
            workers=0,
        )
        return replace(base, **changes)  # type: ignore[arg-type]

    def storage(self, busy_timeout_ms: int = 5_000) -> SqliteStorage:
        return SqliteStorage(self.database, busy_timeout_ms=busy_timeout_ms)

    def card(self, name: str, *, epoch: int = 1, issuer: SoftwareKey | None = None) -> CardDouble:
        """A certified card that the storage does not know."""
        own = key(f"card {name}")
        issued = certificate(issuer or self.operator, own, CertificateClass.HARD_WALLET, epoch=epoch)
        serial = hashlib.sha256(name.encode()).digest()[:8]
        return CardDouble(own, issued, serial, self.keyring.audit_key(issued.subject))

    def till(self, name: str) -> TillDouble:
        """A till that the storage does not know."""
        return TillDouble(key(f"till {name}"))


def certification_request(own: SoftwareKey, subject_class: CertificateClass, challenge: bytes) -> bytes:
    message = CertificationRequest(
        suite=Suite.ES256,
        x=own.public.x,
        y=own.public.y,
        subject_class=subject_class,
        challenge=hashlib.sha256(challenge).digest(),
    )
    return Signed.sign(message, own).to_bytes()


def answer_of(data: bytes, world: World) -> DepositAnswer:
    """The answer, its signature verified with the operator's key."""
    return parse(DepositAnswer, data, max_size=MAX_ANSWER_SIZE).verify(world.operator.public)
