"""Who the till is: its own key, its certificates, its merchant and its server, as files in one directory.

`settings.json` is written last: a till is enrolled when it is there, and not before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import read_bytes, write_file
from wallet_core.errors import CodecError, ConfigurationError, MismatchError, VerificationError
from wallet_core.keys import SoftwareKey
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

KEY_FILE = "till.key"
SETTINGS_FILE = "settings.json"
JOURNAL_FILE = "till.db"
_CERTIFICATES = {"certificate": "till.cert", "operator": "operator.cert", "authority": "authority.cert"}
_MAX_FILE = 64 * 1024
_FORMAT = 1


@dataclass(frozen=True)
class Identity:
    """An enrolled till. `server`: base URL; `production`: test keys are refused everywhere."""

    key: SoftwareKey
    certificate: Certificate
    operator: Certificate
    authority: Certificate
    server: str
    merchant: str
    merchant_name: str
    production: bool

    @property
    def id(self) -> bytes:
        return self.key.public.thumbprint

    @property
    def suite(self) -> Suite:
        """Of the till's key, and so of everything that it signs and takes."""
        return self.key.public.suite

    def trust(self) -> TrustStore:
        """A fresh trust store with the till's own operator, the only one whose cards are accepted here yet."""
        store = TrustStore(self.authority, production=self.production)
        store.add_operator(self.operator)
        return store

    def check(self, *, now: int | None) -> None:
        """Raise a VerificationError unless key and certificates belong together and lead to the authority."""
        if self.certificate.subject != self.id:
            raise MismatchError("the certificate is not for this till's key")
        self.trust().verify(self.certificate, now=now, allowed=(CertificateClass.TILL,))

    def save(self, directory: Path) -> None:
        """Write everything but the key, which has been there since before the server was asked."""
        for name, file in _CERTIFICATES.items():
            write_file(directory / file, getattr(self, name).to_bytes())
        settings = {
            "format": _FORMAT,
            "server": self.server,
            "merchant": self.merchant,
            "merchant_name": self.merchant_name,
            "production": self.production,
        }
        write_file(directory / SETTINGS_FILE, json.dumps(settings, ensure_ascii=False, indent=2).encode() + b"\n")


def renew_operator(directory: Path, identity: Identity, renewed: Certificate) -> Identity:
    """The same till with a later certificate of its operator, which is written down; raises MismatchError for another
    operator's."""
    if renewed.subject != identity.operator.subject:
        raise MismatchError("this is another operator than the till's")
    write_file(directory / _CERTIFICATES["operator"], renewed.to_bytes())
    return replace(identity, operator=renewed)


def is_enrolled(directory: Path) -> bool:
    return (directory / SETTINGS_FILE).exists()


def save_key(directory: Path, key: SoftwareKey) -> None:
    """Write the private key for its owner only (mode 0600)."""
    write_file(directory / KEY_FILE, key.to_pem(), secret=True)


def load_key(directory: Path) -> SoftwareKey:
    """Raises ConfigurationError when the key is missing, is none, or others may read it."""
    path = directory / KEY_FILE
    pem = read_bytes(path, max_size=_MAX_FILE)
    if path.stat().st_mode & 0o077:
        raise ConfigurationError(f"others may read {path}", next_step=f"chmod 600 {path}, and ask who read it.")
    return SoftwareKey.from_pem(pem)


def load_identity(directory: Path) -> Identity:
    """The enrolled till in `directory`; raises ConfigurationError when there is none or it is damaged."""
    if not is_enrolled(directory):
        raise ConfigurationError(
            "this till is not enrolled",
            next_step="Run `ecny pos enrol --server URL --code-file F` with a code from the operator.",
        )
    try:
        settings = json.loads(read_bytes(directory / SETTINGS_FILE, max_size=_MAX_FILE))
        if settings["format"] != _FORMAT:
            raise ConfigurationError(f"settings of format {settings['format']} are not known here")
        certificates = {
            name: Certificate.from_bytes(read_bytes(directory / file, max_size=_MAX_FILE))
            for name, file in _CERTIFICATES.items()
        }
        identity = Identity(
            key=load_key(directory),
            server=str(settings["server"]),
            merchant=str(settings["merchant"]),
            merchant_name=str(settings["merchant_name"]),
            production=settings["production"] is True,
            **certificates,
        )
        identity.check(now=None)
    except (CodecError, ValueError, KeyError, TypeError) as exc:
        raise ConfigurationError(f"the till's files in {directory} are damaged: {exc}") from exc
    except VerificationError as exc:
        raise ConfigurationError(f"the till's files in {directory} do not fit together: {exc.message}") from exc
    return identity
