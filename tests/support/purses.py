"""Purses for tests: the pure decisions of wallet_core.purse, with a key and a state that is kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from support.keys import Party
from support.samples import AUDIT_KEY, POLICY
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.messages import Policy, Request, Signed, Voucher, parse
from wallet_core.purse import receive, spend
from wallet_core.purse.state import Lifecycle, PurseState
from wallet_core.suites import Suite

EVERY_CLASS = sum(1 << one for one in CertificateClass)
OPEN_POLICY = replace(POLICY, payee_classes=EVERY_CLASS, payee_threshold=POLICY.balance_limit)

UNLIMITED = replace(
    OPEN_POLICY,
    balance_limit=10**9,
    transfer_limit=10**9,
    offline_total=10**9,
    pin_threshold=10**9,
    unverified_total=10**9,
    payee_threshold=10**9,
)


def seal(data: AuditData) -> bytes:
    """Sealed with a nonce that follows from the counter, so that a run can be replayed."""
    return data.seal(AUDIT_KEY, data.n.to_bytes(12, "big"))


@dataclass
class Purse:
    """One active purse. Every method answers the bytes that a terminal would get, or raises PurseRefusal."""

    party: Party
    policy: Policy = OPEN_POLICY
    state: PurseState = field(default_factory=lambda: PurseState(lifecycle=Lifecycle.ACTIVE))

    @property
    def id(self) -> bytes:
        return self.party.id

    def endow(self, amount: int) -> None:
        """Issued value, all of it acknowledged: `amount` fen."""
        state = self.state
        self.state = replace(state, total_in=state.total_in + amount, in_acked=state.in_acked + amount)

    def ask(self, payer: Purse, amount: int, order_hash: bytes = bytes(32)) -> bytes:
        """REQUEST to `payer` at its next counter."""
        return self.request(payer.id, payer.state.epoch, payer.state.next_n, amount, order_hash)

    def request(self, payer: bytes, epoch: int, n: int, amount: int, order_hash: bytes = bytes(32)) -> bytes:
        decision = receive.request(
            self.state,
            self.id,
            self.policy,
            suite=Suite.ES256,
            payer=payer,
            epoch=epoch,
            n=n,
            amount=amount,
            order_hash=order_hash,
        )
        if isinstance(decision, receive.StoredAnswer):
            return decision.answer
        signed = Signed.sign(decision.request, self.party.key).to_bytes()
        self.state = decision.commit(signed)
        return signed

    def pay(self, request: bytes, *, pin_verified: bool = False, payee: Party | None = None) -> bytes:
        """PAY; `payee` where the purse verifies the payee itself."""
        signed = parse(Request, request)
        decision = spend.pay(
            self.state,
            self.id,
            self.policy,
            signed.message,
            payee_class=payee.certificate.subject_class if payee else None,
            pin_verified=pin_verified,
            seal=seal,
            verify_payee=(lambda: None) if payee else None,
        )
        if isinstance(decision, spend.Stored):
            return decision.voucher
        voucher = Signed.sign(decision.voucher, self.party.key).to_bytes()
        self.state = decision.commit(voucher)
        return voucher

    def collect(self, voucher: bytes, payer_class: CertificateClass) -> bytes:
        """COLLECT of a voucher whose certificate has this class."""
        decision = receive.collect(
            self.state,
            self.id,
            parse(Voucher, voucher).message,
            own_class=self.party.certificate.subject_class,
            payer_class=payer_class,
        )
        if isinstance(decision, receive.StoredAnswer):
            return decision.answer
        receipt = Signed.sign(decision.receipt, self.party.key).to_bytes()
        self.state = decision.commit(receipt)
        return receipt

    def refuse(self, request_hash: bytes) -> bytes:
        decision = receive.refuse(self.state, self.id, request_hash, suite=Suite.ES256)
        if isinstance(decision, receive.StoredAnswer):
            return decision.answer
        refusal = Signed.sign(decision.refusal, self.party.key).to_bytes()
        self.state = decision.commit(refusal)
        return refusal
