"""The central bank's side of a test set-up: a root key that certifies operators and issues test money.

DATA/authority holds authority.key (owner only), authority.cert, what it certified and what it issued, one file each.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.settings import DAY, Clock, Entropy
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import read_bytes, write_file
from wallet_core.errors import (
    ConfigurationError,
    MismatchError,
    StorageError,
    UnknownSuiteError,
    UsageError,
    WrongClassError,
)
from wallet_core.ids import COUNTER_MAX, check_id
from wallet_core.keys import SoftwareKey
from wallet_core.messages import CertificationRequest, Issuance, Signed, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.suites import Suite, profile

KEY_FILE, CERTIFICATE_FILE = "authority.key", "authority.cert"
CERTIFIED, ISSUED = "certified", "issued"
ROOT_LIFETIME_S = 20 * 365 * DAY
OPERATOR_LIFETIME_S = 10 * 365 * DAY
CLOCK_LEEWAY_S = 3_600
_SECRET_SIZE = 48


class Authority:
    """The authority in `directory`; raises ConfigurationError before `create`."""

    def __init__(self, directory: Path) -> None:
        if not (directory / KEY_FILE).exists():
            raise ConfigurationError("there is no authority here", next_step="Run `ecny authority init` first.")
        self._directory = directory
        self._key = SoftwareKey.from_pem(read_bytes(directory / KEY_FILE))
        self.certificate = Certificate.from_bytes(read_bytes(directory / CERTIFICATE_FILE))

    @classmethod
    def create(cls, directory: Path, entropy: Entropy, clock: Clock, suite: Suite | None = None) -> Authority:
        """Make key and self-signed certificate, both marked as test; one that is there is kept.

        `suite`: of the authority and of everything below it (ES256 unless given); raises ConfigurationError when there
        is an authority of another one.
        """
        if not (directory / KEY_FILE).exists():
            fresh = SoftwareKey.from_secret(entropy(_SECRET_SIZE), suite or Suite.ES256)
            write_file(directory / KEY_FILE, fresh.to_pem(), secret=True)
        if not (directory / CERTIFICATE_FILE).exists():
            key = SoftwareKey.from_pem(read_bytes(directory / KEY_FILE))
            now = clock()
            root = Certificate(
                issuer=key.public.thumbprint,
                key=key.public,
                subject_class=CertificateClass.AUTHORITY,
                not_before=now - CLOCK_LEEWAY_S,
                expires=now + ROOT_LIFETIME_S,
                test=True,
            ).signed_by(key)
            write_file(directory / CERTIFICATE_FILE, root.to_bytes())
        made = cls(directory)
        if suite not in (None, made.certificate.suite):
            raise ConfigurationError(f"there is an authority of suite {made.certificate.suite.name.lower()} already")
        return made

    def certify(self, raw: bytes, clock: Clock) -> Certificate:
        """An operator's certificate for its signed CertificationRequest; the same key again gets the stored one.

        Raises CodecError, UnknownSuiteError for a key of another suite than the authority's own, BadSignatureError,
        MismatchError, WrongClassError for any class but operator.
        """
        signed = parse(CertificationRequest, raw)
        if signed.message.suite is not self.certificate.suite:
            raise UnknownSuiteError(f"this authority is of suite {self.certificate.suite.name.lower()}")
        request = signed.verify(signed.message.key)
        if request.subject_class != CertificateClass.OPERATOR:
            raise WrongClassError("the authority certifies operators only")
        if request.challenge != profile(request.suite).digest(b""):
            raise MismatchError("the request answers a challenge that the authority has not made")
        path = self._directory / CERTIFIED / f"{request.key.thumbprint.hex()}.cert"
        with self._alone():
            if not path.exists():
                now = clock()
                made = Certificate(
                    issuer=self.certificate.subject,
                    key=request.key,
                    subject_class=CertificateClass.OPERATOR,
                    not_before=max(now - CLOCK_LEEWAY_S, self.certificate.not_before),
                    expires=min(now + OPERATOR_LIFETIME_S, self.certificate.expires),
                    test=True,
                ).signed_by(self._key)
                write_file(path, made.to_bytes())
            return Certificate.from_bytes(read_bytes(path))

    def issue(self, purse: bytes, amount: int) -> Signed[Issuance]:
        """Issue `amount` fen into an operator's purse: a new Issuance each time, on disk before it is given out."""
        check_id(purse)
        if not 1 <= amount <= MAX_MINOR_UNITS:
            raise UsageError(f"an issuance is of 1 to {MAX_MINOR_UNITS} fen")
        with self._alone():
            serial = 1 + max((s for s, _ in self._issued(purse)), default=0)
            if serial > COUNTER_MAX:
                raise UsageError("this purse has had as many issuances as can be counted")
            message = Issuance(
                suite=self.certificate.suite,
                authority=self.certificate.subject,
                purse=purse,
                serial=serial,
                amount=amount,
            )
            signed = Signed.sign(message, self._key)
            write_file(self._directory / ISSUED / f"{purse.hex()}-{serial:010}.cose", signed.to_bytes())
        return signed

    def issued(self) -> int:
        """Fen issued to all purses so far."""
        return sum(parse(Issuance, read_bytes(path)).message.amount for _, path in self._issued())

    def _issued(self, purse: bytes | None = None) -> Iterator[tuple[int, Path]]:
        pattern = f"{purse.hex() if purse else '*'}-*.cose"
        for path in sorted((self._directory / ISSUED).glob(pattern)):
            yield int(path.stem.rpartition("-")[2]), path

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: two issuances must not get one serial."""
        try:
            with (self._directory / KEY_FILE).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        except OSError as exc:
            raise StorageError(f"the authority's directory cannot be locked: {exc.strerror}") from exc
