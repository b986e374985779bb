"""The operator's purse: a key, a certified epoch, and its row in the storage. A real one is an HSM.

It pays loads; as a payee it asks for unloads.
"""

from __future__ import annotations

from wallet_core.audit import NONCE_SIZE, AuditData
from wallet_core.certificates import Certificate
from wallet_core.keys import Signer
from wallet_core.messages import Receipt, Request, Signed, Voucher

POLICY_VERSION = 1  # of the operator's purse itself, which no signed policy limits


class OperatorPurse:
    """Makes the payload that a load commits, and signs it: after the commit, as often as it is asked for."""

    def __init__(self, signer: Signer, certificate: Certificate, audit_key: bytes) -> None:
        """`signer` signs deterministically, so that the same row always gives the same bytes (rule 3)."""
        self._signer = signer
        self._audit_key = audit_key
        self.certificate = certificate

    @property
    def id(self) -> bytes:
        return self.certificate.subject

    @property
    def epoch(self) -> int:
        return self.certificate.epoch

    def voucher(self, request: Request, total_in: int, total_out: int, nonce: bytes) -> Voucher:
        """The one voucher for `request`; totals of the purse after it, fen; `nonce`: 12 fresh random bytes."""
        audit = AuditData(request.n, total_in, total_out, 0, 0)
        sealed = audit.seal(self._audit_key, nonce[:NONCE_SIZE], request.suite)
        return Voucher.answering(request, POLICY_VERSION, sealed)

    def request(self, payer: bytes, epoch: int, n: int, k: int, amount: int, order_hash: bytes) -> Request:
        """What an unload asks of a purse, under this purse's counter `k`."""
        return Request(
            suite=self._signer.public.suite,
            payer=payer,
            epoch=epoch,
            n=n,
            payee=self.id,
            k=k,
            amount=amount,
            order_hash=order_hash,
        )

    def sign_request(self, payload: bytes) -> bytes:
        """The signed Request of a committed row."""
        return Signed.sign(Request.from_payload(payload), self._signer).to_bytes()

    def receipt(self, voucher: Voucher, total_in: int, total_out: int) -> bytes:
        """The signed Receipt for a voucher that was paid out; totals of the purse after it, fen."""
        message = Receipt(
            suite=voucher.suite,
            payee=self.id,
            k=voucher.k,
            voucher_hash=voucher.hash,
            total_in=total_in,
            total_out=total_out,
            total_reversed=0,
        )
        return Signed.sign(message, self._signer).to_bytes()

    def sign(self, payload: bytes) -> bytes:
        """The signed voucher of a committed row."""
        return Signed.sign(Voucher.from_payload(payload), self._signer).to_bytes()
