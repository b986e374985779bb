"""The operator's keys and certificates in DATA/server, and what is derived from its master secret.

Files: operator.key, purse.key, master.key and admin.token are readable by their owner only; operator.cert,
authority.cert, purse.cert and policy.cose are public. Nothing here is ever logged; `repr` shows ids only.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from server.enrolment.policy_profiles import PROFILES, policy
from wallet_core.audit import KEY_SIZE
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import read_bytes
from wallet_core.errors import CodecError, ConfigurationError, VerificationError
from wallet_core.keys import Signer, SoftwareKey
from wallet_core.messages import Policy, Signed, parse
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

OPERATOR_KEY, PURSE_KEY, MASTER_KEY, ADMIN_TOKEN = "operator.key", "purse.key", "master.key", "admin.token"
OPERATOR_CERTIFICATE, AUTHORITY_CERTIFICATE, PURSE_CERTIFICATE = "operator.cert", "authority.cert", "purse.cert"
POLICY, OPERATOR_REQUEST, DATABASE, ADDRESS = "policy.cose", "operator.request", "server.db", "address"
MASTER_SIZE = 32
OLD_PURSE_CERTIFICATES = "purse.epoch-*.cert"
_AUDIT = b"ecny-audit-key-1"
_CODE = b"ecny-enrolment-code-1"
_IDEMPOTENCY = b"ecny-idempotency-key-1"


@dataclass(frozen=True, repr=False)
class Keyring:
    """Everything that the operator signs or keeps secret with. `master`: 32 bytes; `admin_token`: text."""

    operator: Signer
    operator_certificate: Certificate
    authority_certificate: Certificate
    purse: Signer
    purse_certificate: Certificate
    policy: Signed[Policy]
    master: bytes
    admin_token: str
    old_purse_certificates: tuple[Certificate, ...] = ()

    @property
    def production(self) -> bool:
        """A production authority makes a production server: it refuses test keys, wherever they turn up."""
        return not self.authority_certificate.test

    @property
    def suite(self) -> Suite:
        """Of every key, certificate and message of this installation."""
        return self.operator.public.suite

    def trust(self) -> TrustStore:
        """A trust store that knows this operator; raises a VerificationError when the certificates do not hold."""
        store = TrustStore(self.authority_certificate, production=self.production)
        store.add_operator(self.operator_certificate)
        return store

    @property
    def purse_certificates(self) -> dict[int, Certificate]:
        """The operator purse's certificate of every epoch: what an old epoch has paid can still be collected."""
        return {one.epoch: one for one in (*self.old_purse_certificates, self.purse_certificate)}

    def audit_key(self, purse_id: bytes) -> bytes:
        """The audit key of one purse, 16 bytes: made from the master, so that none is stored."""
        return self._derive(_AUDIT, purse_id)[:KEY_SIZE]

    def policies(self) -> dict[CertificateClass, Signed[Policy]]:
        """The signed policy of each class of purse that is enrolled here; that of hard wallets is the stored one.

        The same bytes every time: the operator signs deterministically. Raises ConfigurationError.
        """
        operator = self.operator_certificate.subject
        made = {
            one: Signed.sign(policy(profile, operator, self.suite), self.operator) for one, profile in PROFILES.items()
        }
        made[CertificateClass.HARD_WALLET] = self.policy
        return made

    def code_digest(self, code: str) -> bytes:
        """What is stored of an enrolment code, 32 bytes: useless to who reads the database."""
        return self._derive(_CODE, code.encode())

    def idempotency_digest(self, key: str) -> bytes:
        """What is stored of an Idempotency-Key, 32 bytes."""
        return self._derive(_IDEMPOTENCY, key.encode())

    def is_admin(self, token: str) -> bool:
        """Constant-time comparison with the operator's token."""
        return hmac.compare_digest(hashlib.sha256(token.encode()).digest(), hashlib.sha256(self._token).digest())

    @property
    def _token(self) -> bytes:
        return self.admin_token.encode()

    def _derive(self, purpose: bytes, value: bytes) -> bytes:
        return hmac.digest(self.master, purpose + value, "sha256")

    def __repr__(self) -> str:
        return f"Keyring(operator={self.operator_certificate.subject.hex()[:8]})"


def load_keyring(directory: Path) -> Keyring:
    """Read what `ecny server install` has stored; raises ConfigurationError when it is missing or does not fit."""
    try:
        keyring = Keyring(
            operator=_key(directory / OPERATOR_KEY),
            operator_certificate=certificate_file(directory / OPERATOR_CERTIFICATE),
            authority_certificate=certificate_file(directory / AUTHORITY_CERTIFICATE),
            purse=_key(directory / PURSE_KEY),
            purse_certificate=certificate_file(directory / PURSE_CERTIFICATE),
            policy=parse(Policy, _content(directory / POLICY)),
            master=bytes.fromhex(_content(directory / MASTER_KEY).decode()),
            admin_token=_content(directory / ADMIN_TOKEN).decode().strip(),
            old_purse_certificates=tuple(
                certificate_file(one) for one in sorted(directory.glob(OLD_PURSE_CERTIFICATES))
            ),
        )
    except ValueError as exc:
        raise ConfigurationError(f"a file in {directory} is not readable text") from exc
    check_keyring(keyring)
    return keyring


def check_keyring(keyring: Keyring) -> None:
    """Keys, certificates and policy belong together; raises ConfigurationError. Dates are for `readyz` to watch."""
    try:
        trust = keyring.trust()
        trust.verify(keyring.purse_certificate, now=None, allowed=(CertificateClass.OPERATOR_PURSE,))
        keyring.policy.verify(keyring.operator_certificate.key)
    except VerificationError as exc:
        raise ConfigurationError(f"the operator's certificates do not fit together: {exc.message}") from exc
    if (
        keyring.operator.public != keyring.operator_certificate.key
        or keyring.purse.public != keyring.purse_certificate.key
    ):
        raise ConfigurationError("a key does not belong to its certificate")
    if len(keyring.master) != MASTER_SIZE or not keyring.admin_token:
        raise ConfigurationError("the master secret or the operator's token is not complete")


def certificate_file(path: Path) -> Certificate:
    """Raises ConfigurationError for a file that is missing or no certificate."""
    try:
        return Certificate.from_bytes(_content(path))
    except CodecError as exc:
        raise ConfigurationError(f"{path} is not a certificate: {exc.message}") from exc


def _key(path: Path) -> SoftwareKey:
    return SoftwareKey.from_pem(_content(path))


def _content(path: Path) -> bytes:
    return read_bytes(path, max_size=4096)
