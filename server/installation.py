"""Making DATA/server: keys first, a request to the authority, then what follows from its certificate.

Every step can be repeated: what is there is kept, what is missing is made. Only the owner can read secret files.
"""

from __future__ import annotations

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
from wallet_core.keys import PublicKey, Signer, SoftwareKey
from wallet_core.messages import CertificationRequest, Signed
from wallet_core.suites import Suite, profile
from wallet_core.trust import TrustStore

OPERATOR_CHALLENGE = b""
"""A request to the authority goes by hand and answers no code: its challenge is the hash of nothing."""
_SECRET_SIZE = 48
_TOKEN_SIZE = 32


def init(directory: Path, entropy: Entropy, suite: Suite | None = None) -> bytes:
    """Make the operator's key, master secret and token; returns the signed CertificationRequest, stored as well.

    `suite`: of the whole installation (ES256 unless given); raises ConfigurationError when there is a key of another.
    """
    key = _own_key(directory / files.OPERATOR_KEY, entropy, suite)
    _own_secret(directory / files.MASTER_KEY, entropy, files.MASTER_SIZE)
    _own_secret(directory / files.ADMIN_TOKEN, entropy, _TOKEN_SIZE)
    message = CertificationRequest(
        suite=key.public.suite,
        x=key.public.x,
        y=key.public.y,
        subject_class=CertificateClass.OPERATOR,
        challenge=profile(key.public.suite).digest(OPERATOR_CHALLENGE),
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
    signed = Signed.sign(policy(DEFAULT_PROFILE, own.subject, own.suite), key)
    write_file(directory / files.POLICY, signed.to_bytes())
    return load_keyring(directory)


def new_epoch(directory: Path, storage: Storage, epoch: int | None = None) -> Certificate:
    """The operator's purse was restored, so its counter cannot be trusted: certify it anew and count from 1 (rule 13).

    `epoch`: another one than the next; it has to be above every epoch that the purse has used, which after an older
    backup nobody but the operator knows. The old certificates stay, so that what they paid can still be collected.
    Interrupted, it is done again, and leaves out an epoch: one that may have been used is never opened again. Raises
    ConfigurationError.
    """
    keyring = load_keyring(directory)
    with storage.reading() as tx:
        known = tx.operator_purse()
    if known is None:
        raise ConfigurationError("the operator's purse is not installed", next_step="Run `ecny server install`.")
    newest = max(known.epoch, *keyring.purse_certificates)
    wanted = epoch or newest + 1
    if wanted <= newest:
        raise ConfigurationError(f"epoch {wanted} is not above {newest}")
    before = keyring.purse_certificate
    old = files.OLD_PURSE_CERTIFICATES.replace("*", str(before.epoch))
    write_file(directory / old, before.to_bytes())
    made = _purse_certificate(keyring.operator, keyring.operator_certificate, keyring.purse.public, wanted)
    write_file(directory / files.PURSE_CERTIFICATE, made.to_bytes())
    with storage.writing() as tx:
        tx.open_epoch(wanted)
    return made


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
    """Key and certificate of the purse, in the epoch that it has, at first epoch 1."""
    purse = _own_key(directory / files.PURSE_KEY, entropy, own.suite)
    path = directory / files.PURSE_CERTIFICATE
    epoch = certificate_file(path).epoch if path.exists() else FIRST_EPOCH
    write_file(path, _purse_certificate(operator, own, purse.public, epoch).to_bytes())


def _purse_certificate(operator: Signer, own: Certificate, purse: PublicKey, epoch: int) -> Certificate:
    """Class operator purse, valid as long as the operator's own."""
    return Certificate(
        issuer=own.subject,
        key=purse,
        subject_class=CertificateClass.OPERATOR_PURSE,
        not_before=own.not_before,
        expires=own.expires,
        test=own.test,
        epoch=epoch,
    ).signed_by(operator)


def _own_key(path: Path, entropy: Entropy, suite: Suite | None) -> SoftwareKey:
    if not path.exists():
        fresh = SoftwareKey.from_secret(entropy(_SECRET_SIZE), suite or Suite.ES256)
        write_file(path, fresh.to_pem(), secret=True)
    key = SoftwareKey.from_pem(read_bytes(path))
    if suite not in (None, key.public.suite):
        raise ConfigurationError(f"{path} is a key of suite {key.public.suite.name.lower()} already")
    return key


def _own_secret(path: Path, entropy: Entropy, size: int) -> None:
    if not path.exists():
        write_file(path, entropy(size).hex().encode() + b"\n", secret=True)
