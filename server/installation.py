"""Making DATA/server: keys first, a request to the authority, then what follows from its certificate.

Every step can be repeated: what is there is kept, what is missing is made. Only the owner can read secret files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from server import keyring as files
from server.enrolment.certifying import FIRST_EPOCH
from server.enrolment.policy_profiles import DEFAULT_PROFILE, policy
from server.keyring import Keyring, certificate_file, load_keyring
from server.settings import Clock, Entropy
from server.storage.protocol import Storage
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import read_bytes, write_file
from wallet_core.errors import ConfigurationError, MismatchError
from wallet_core.keys import SoftwareKey
from wallet_core.messages import CertificationRequest, Signed
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

OPERATOR_CHALLENGE = b""
"""A request to the authority goes by hand and answers no code: its challenge is SHA-256 of nothing."""
_SECRET_SIZE = 48
_TOKEN_SIZE = 32


def init(directory: Path, entropy: Entropy) -> bytes:
    """Make the operator's key, master secret and token; returns the signed CertificationRequest, stored as well."""
    key = _own_key(directory / files.OPERATOR_KEY, entropy)
    _own_secret(directory / files.MASTER_KEY, entropy, files.MASTER_SIZE)
    _own_secret(directory / files.ADMIN_TOKEN, entropy, _TOKEN_SIZE)
    message = CertificationRequest(
        suite=Suite.ES256,
        x=key.public.x,
        y=key.public.y,
        subject_class=CertificateClass.OPERATOR,
        challenge=hashlib.sha256(OPERATOR_CHALLENGE).digest(),
    )
    request = Signed.sign(message, key).to_bytes()
    write_file(directory / files.OPERATOR_REQUEST, request)
    return request


def install(directory: Path, certificate: Path, authority: Path, entropy: Entropy, clock: Clock) -> Keyring:
    """Store the certificates, make the operator's purse and its policy; returns the complete keyring.

    Raises ConfigurationError before `init` or for an unreadable file, VerificationError when the chain does not hold or
    has expired, MismatchError for another operator's certificate.
    """
    if not (directory / files.OPERATOR_KEY).exists():
        raise ConfigurationError("there is no operator key here", next_step="Run `ecny server init` first.")
    key = SoftwareKey.from_pem(read_bytes(directory / files.OPERATOR_KEY))
    root, own = certificate_file(authority), certificate_file(certificate)
    trust = TrustStore(root, production=not root.test)
    trust.add_operator(own)
    trust.verify(own, now=clock())
    if own.key != key.public:
        raise MismatchError("the certificate is for another key than this server's")
    write_file(directory / files.AUTHORITY_CERTIFICATE, root.to_bytes())
    write_file(directory / files.OPERATOR_CERTIFICATE, own.to_bytes())
    _own_purse(directory, key, own, entropy)
    signed = Signed.sign(policy(DEFAULT_PROFILE, own.subject), key)
    write_file(directory / files.POLICY, signed.to_bytes())
    return load_keyring(directory)


def register_purse(storage: Storage, keyring: Keyring) -> None:
    """The operator's purse gets its row and account, once."""
    certificate = keyring.purse_certificate
    with storage.writing() as tx:
        known = tx.operator_purse()
        if known is None:
            tx.add_operator_purse(certificate.subject, certificate.epoch)
        elif known.id != certificate.subject:
            raise ConfigurationError("the database belongs to another operator's purse")


def _own_purse(directory: Path, operator: SoftwareKey, own: Certificate, entropy: Entropy) -> None:
    """Key and certificate of the purse: class operator purse, epoch 1, valid as long as the operator's."""
    purse = _own_key(directory / files.PURSE_KEY, entropy)
    made = Certificate(
        issuer=own.subject,
        key=purse.public,
        subject_class=CertificateClass.OPERATOR_PURSE,
        not_before=own.not_before,
        expires=own.expires,
        test=own.test,
        epoch=FIRST_EPOCH,
    ).signed_by(operator)
    write_file(directory / files.PURSE_CERTIFICATE, made.to_bytes())


def _own_key(path: Path, entropy: Entropy) -> SoftwareKey:
    if not path.exists():
        write_file(path, SoftwareKey.from_secret(entropy(_SECRET_SIZE)).to_pem(), secret=True)
    return SoftwareKey.from_pem(read_bytes(path))


def _own_secret(path: Path, entropy: Entropy, size: int) -> None:
    if not path.exists():
        write_file(path, entropy(size).hex().encode() + b"\n", secret=True)
