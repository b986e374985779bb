"""The operator whose server is measured: certified and issued money by command line, cards funded, tills enrolled.

The directory is a real data directory: `ecny server run` serves it, and the services open it in process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.vouchers import LOADED, card_key, key_of
from demo.processes import Ecny
from demo.setting import Setting, certify_operator
from server.enrolment.certifying import Certifier
from server.keyring import Keyring
from server.ledger import books
from server.ledger.report import read_ledger
from server.settings import Settings
from server.storage.protocol import Storage
from server.storage.sqlite import SqliteStorage
from wallet_core.certificates import CertificateClass
from wallet_core.errors import ConfigurationError

LIFETIME_S = 365 * 86_400


@dataclass(frozen=True)
class Operation:
    """`data`: what ECNY_HOME is to its server; `certificates`: of the cards, by index; `issued`: fen."""

    data: Path
    certificates: tuple[bytes, ...]
    issued: int

    @property
    def settings(self) -> Settings:
        """As `ecny server run` has them."""
        return Settings.of_directory(self.data / "server")

    def check_books(self, credited: int) -> None:
        """Raises RuntimeError unless the books balance and the wallets hold `credited` fen, no more and no less."""
        storage = SqliteStorage(self.settings.database)
        try:
            with storage.reading() as tx:
                report = read_ledger(tx)
        finally:
            storage.close()
        if not report.conserved or report.check.total != 0:
            raise RuntimeError(f"the books do not balance: {'; '.join(report.faults)}")
        if report.wallets != credited or sum(voucher.amount for voucher in report.settled) != credited:
            raise RuntimeError(f"the wallets hold {report.wallets} fen, the vouchers were worth {credited}")
        if report.issued != self.issued or report.cards != self.issued - credited:
            raise RuntimeError(f"issued {report.issued}, cards {report.cards}, credited {credited} (fen)")


def set_up(data: Path, *, tills: int, cards: int) -> Operation:
    """A new operation in the empty directory `data`: every card loaded, every till enrolled, nothing sold."""
    issued = cards * LOADED
    certify_operator(Ecny(data, _quiet), Setting(data), issued)
    settings = Settings.of_directory(data / "server")
    storage = SqliteStorage(settings.database)
    try:
        certificates = _fund(storage, settings.keyring, cards, now=settings.clock())
        _enrol(storage, settings.keyring, tills, now=settings.clock())
    finally:
        storage.close()
    return Operation(data, tuple(certificates), issued)


def _fund(storage: Storage, keyring: Keyring, cards: int, *, now: int) -> Sequence[bytes]:
    """Certify the cards and post a load with its Receipt for each: all in one transaction, for loads are not timed."""
    certifier, made = Certifier(keyring), []
    with storage.writing() as tx:
        purse = tx.operator_purse()
        if purse is None:
            raise ConfigurationError("the operator's purse is not installed")
        for index in range(cards):
            key = card_key(index).public
            certificate = certifier.certify(key, CertificateClass.HARD_WALLET, now=now, lifetime_s=LIFETIME_S)
            card = tx.add_purse(key.thumbprint, certificate.to_bytes(), index.to_bytes(8, "big"), now=now)
            reference = hashlib.sha256(b"load" + key.thumbprint).digest()
            books.load(tx, reference, purse.account, card.flight_account, LOADED, now=now)
            books.load_collected(tx, reference, card.flight_account, card.card_account, LOADED, now=now)
            made.append(certificate.to_bytes())
    return made


def _enrol(storage: Storage, keyring: Keyring, tills: int, *, now: int) -> None:
    """A merchant for each till."""
    certifier = Certifier(keyring)
    with storage.writing() as tx:
        for index in range(tills):
            merchant, code = f"merchant-{index}", keyring.code_digest(f"code {index}")
            key = key_of(f"till {index}").public
            certificate = certifier.certify(key, CertificateClass.TILL, now=now, lifetime_s=LIFETIME_S)
            tx.add_merchant(merchant, f"Merchant {index}", now=now)
            tx.add_code(code, merchant, expires=now + LIFETIME_S)
            tx.add_till(key.thumbprint, certificate.to_bytes(), merchant, code, now=now)


def _quiet(_: str) -> None:
    """The benchmark has a table of its own to show."""
