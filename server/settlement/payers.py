"""Who pays: purses by id, with key, epoch and account; a certificate is verified once, then remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from server.storage.protocol import Storage
from wallet_core.certificates import Certificate
from wallet_core.errors import CodecError, VerificationError
from wallet_core.keys import PublicKey
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

MAX_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class Payer:
    """`number`, `card_account`: the storage's; `key`: x ‖ y, 64 bytes; a payer that is no purse has number 0.

    `identity`: what its key hashes in front of every message, Z of an SM2 key.
    """

    number: int
    key: bytes
    epoch: int
    is_purse: bool
    card_account: int
    suite: Suite = Suite.ES256
    identity: bytes = b""

    @property
    def public(self) -> PublicKey:
        half = len(self.key) // 2
        return PublicKey(self.key[:half], self.key[half:], self.suite)


class PayerDirectory:
    """Looks payers up in the storage, and learns unknown ones from certificates that lead to the authority.

    Dates are not checked: expiry never stops the finishing of a transfer (docs/spec/transfer.md, rule 10).
    """

    def __init__(self, storage: Storage, trust: TrustStore) -> None:
        self._storage = storage
        self._trust = trust
        self._known: dict[bytes, Payer] = {}

    def resolve(self, wanted: AbstractSet[bytes], certificates: Sequence[bytes], *, now: int) -> Mapping[bytes, Payer]:
        """All payers of `wanted` that can be known; who is missing has no certificate that leads to the authority."""
        found = {payer_id: payer for payer_id in wanted if (payer := self._known.get(payer_id)) is not None}
        missing = wanted - found.keys()
        if missing:
            learnt = self._stored(missing)
            learnt |= self._brought(missing - learnt.keys(), certificates, now=now)
            if len(self._known) + len(learnt) > MAX_REMEMBERED:
                self._known = {}
            self._known.update(learnt)
            found |= learnt
        return found

    def _stored(self, wanted: AbstractSet[bytes]) -> dict[bytes, Payer]:
        with self._storage.reading() as tx:
            records = tx.purses(wanted)
        found = {}
        for record in records:
            certificate = self._trusted(record.certificate)
            if certificate is not None and certificate.subject == record.id:
                found[record.id] = _payer(certificate, record.number, record.card_account)
        return found

    def _brought(self, wanted: AbstractSet[bytes], certificates: Iterable[bytes], *, now: int) -> dict[bytes, Payer]:
        """Learn purses that came with the batch. They are stored, with nothing proved to have been received yet."""
        found: dict[bytes, Payer] = {}
        if not wanted:
            return found
        for encoded in certificates:
            certificate = self._trusted(encoded, among=wanted - found.keys())
            if certificate is None:
                continue
            if not certificate.subject_class.is_purse:
                found[certificate.subject] = _payer(certificate, 0, 0)
                continue
            with self._storage.writing() as tx:
                record = tx.purse(certificate.subject) or tx.add_purse(certificate.subject, encoded, None, now=now)
            found[certificate.subject] = _payer(certificate, record.number, record.card_account)
        return found

    def _trusted(self, encoded: bytes, *, among: AbstractSet[bytes] | None = None) -> Certificate | None:
        try:
            certificate = Certificate.from_bytes(encoded)
            if among is not None and certificate.subject not in among:
                return None
            return self._trust.verify(certificate, now=None)
        except (CodecError, VerificationError):
            return None


def _payer(certificate: Certificate, number: int, card_account: int) -> Payer:
    return Payer(
        number=number,
        key=certificate.key.x + certificate.key.y,
        epoch=certificate.epoch,
        is_purse=certificate.subject_class.is_purse,
        card_account=card_account,
        suite=certificate.suite,
        identity=certificate.key.identity,
    )
