"""The signed revocation list: all purses and tills with which nothing new may begin.

It is made from the standings alone: the serial is the number of the last change and one, the time is that change's. So
the list has the same bytes until something changes, and nothing has to be stored for it.
"""

from __future__ import annotations

from server.storage.protocol import Storage
from server.storage.records_risk import PurseStatus
from wallet_core.keys import Signer
from wallet_core.messages import RevocationList, RevocationReason, Signed


class Revocations:
    """`since`: the time that the list has before the first change, seconds since 1970."""

    def __init__(self, storage: Storage, signer: Signer, *, since: int) -> None:
        self._storage = storage
        self._signer = signer
        self._since = since

    def signed(self) -> bytes:
        """The RevocationList as of now."""
        with self._storage.reading() as tx:
            standings = tx.standings()
        last = standings[-1] if standings else None
        message = RevocationList(
            suite=self._signer.public.suite,
            operator=self._signer.public.thumbprint,
            serial=last.change + 1 if last else 1,
            at=last.at if last else self._since,
            entries={one.id: RevocationReason(one.status) for one in standings if one.status is not PurseStatus.ACTIVE},
        )
        return Signed.sign(message, self._signer).to_bytes()
