"""Fixed test keys and certificates: the same on every machine, so that golden vectors and replays hold.

Every key follows from its name; none of them protects anything. `tests/vectors/keys.json` lists them with their seeds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.keys import SoftwareKey
from wallet_core.trust import TrustStore

NOT_BEFORE = 1_735_689_600  # 2025-01-01T00:00:00Z
NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
EXPIRES = 4_102_444_800  # 2100-01-01T00:00:00Z


def seed(name: str) -> bytes:
    """The 32 secret bytes of the test key `name`."""
    return hashlib.sha256(f"ecny test key {name}".encode()).digest()


@cache
def key(name: str) -> SoftwareKey:
    """The test key `name`; the same object each time."""
    return SoftwareKey.from_secret(seed(name))


@dataclass(frozen=True)
class Party:
    """A key with its certificate."""

    name: str
    key: SoftwareKey
    certificate: Certificate

    @property
    def id(self) -> bytes:
        """Thumbprint of the key, 32 bytes."""
        return self.key.public.thumbprint


def certify(
    issuer: SoftwareKey,
    subject: SoftwareKey,
    subject_class: CertificateClass,
    *,
    not_before: int = NOT_BEFORE,
    expires: int = EXPIRES,
    test: bool = True,
    epoch: int | None = None,
) -> Certificate:
    """A signed certificate; `epoch` is 1 for a purse and 0 for others unless given."""
    return Certificate(
        issuer=issuer.public.thumbprint,
        key=subject.public,
        subject_class=subject_class,
        not_before=not_before,
        expires=expires,
        test=test,
        epoch=int(subject_class.is_purse) if epoch is None else epoch,
    ).signed_by(issuer)


def party(name: str, subject_class: CertificateClass, issuer: str, *, test: bool = True) -> Party:
    """The party `name`, certified by the key `issuer`."""
    return Party(name, key(name), certify(key(issuer), key(name), subject_class, test=test))


AUTHORITY = party("authority", CertificateClass.AUTHORITY, "authority")
OPERATOR = party("operator", CertificateClass.OPERATOR, "authority")
OPERATOR_PURSE = party("operator purse", CertificateClass.OPERATOR_PURSE, "operator")
CARD = party("card", CertificateClass.HARD_WALLET, "operator")
OTHER_CARD = party("other card", CertificateClass.HARD_WALLET, "operator")
MERCHANT_PURSE = party("merchant purse", CertificateClass.MERCHANT_PURSE, "operator")
TILL = party("till", CertificateClass.TILL, "operator")
PARTIES = (AUTHORITY, OPERATOR, OPERATOR_PURSE, CARD, OTHER_CARD, MERCHANT_PURSE, TILL)

# The same classes under an authority that nobody here trusts.
FOREIGN_AUTHORITY = party("foreign authority", CertificateClass.AUTHORITY, "foreign authority")
FOREIGN_OPERATOR = party("foreign operator", CertificateClass.OPERATOR, "foreign authority")
FOREIGN_CARD = party("foreign card", CertificateClass.HARD_WALLET, "foreign operator")
FOREIGN_PARTIES = (FOREIGN_AUTHORITY, FOREIGN_OPERATOR, FOREIGN_CARD)


def trust_store(*, production: bool = False) -> TrustStore:
    """A new store that trusts AUTHORITY and knows OPERATOR."""
    store = TrustStore(AUTHORITY.certificate, production=production)
    store.add_operator(OPERATOR.certificate)
    return store
