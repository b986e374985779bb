"""Closing a Request of a dead till: its operator says for it that no voucher of it will be credited (rule 7)."""

from __future__ import annotations

import structlog

from server.problems import Problem
from server.risk.standing import status_of
from server.settlement.archive import bytes_of
from server.storage.protocol import Reader, Storage
from server.storage.records import VoucherState, request_prefix
from server.storage.records_risk import PurseStatus
from wallet_core.ids import short
from wallet_core.keys import Signer
from wallet_core.messages import Closing, Signed, Voucher, parse

_log = structlog.get_logger()


class ClosingService:
    """`signer`: the operator's key."""

    def __init__(self, storage: Storage, signer: Signer) -> None:
        self._storage = storage
        self._signer = signer

    def close(self, till_id: bytes, request_hash: bytes, now: int) -> bytes:
        """The signed Closing; the same one again. From its commit on a deposit of this Request is REFUSED_BEFORE.

        Raises Problem `not-found` (till), `not-due` (it is not declared dead), `settled` (the voucher is credited:
        the sale can only be given back by a refund).
        """
        with self._storage.writing() as tx:
            till = tx.till(till_id)
            if till is None:
                raise Problem("not-found", "No till with this id is enrolled.")
            stored = tx.closing(till.number, request_hash)
            if stored is not None:
                return stored
            if status_of(tx, till_id) is not PurseStatus.DEAD:
                raise Problem(
                    "not-due",
                    "This till is not declared dead: it refuses its Requests itself.",
                    next_step="Declare it dead first: ecny server till dead",
                )
            if _is_settled(tx, till.number, request_hash):
                raise Problem("settled", "A voucher of this Request is credited.", next_step="Refund the sale instead.")
            message = Closing(
                suite=self._signer.public.suite,
                operator=self._signer.public.thumbprint,
                payee=till_id,
                request_hash=request_hash,
            )
            raw = Signed.sign(message, self._signer).to_bytes()
            tx.add_closing(till.number, request_hash, raw, now=now)
        _log.info("request closed", till=short(till_id))
        return raw


def _is_settled(tx: Reader, till: int, request_hash: bytes) -> bool:
    """By itself, by a till that has taken its place, or from a card's report."""
    for number in (till, *tx.successors(till)):
        for record in tx.vouchers_of_request(number, request_prefix(request_hash)):
            message = parse(Voucher, bytes_of(tx, record)).message
            if record.state is VoucherState.SETTLED and message.request_hash == request_hash:
                return True
    return False
