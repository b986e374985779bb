"""Purses for tests: the pure decisions of wallet_core.purse, with a key and a state that is kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from support.keys import OPERATOR, Party
from support.samples import AUDIT_KEY, POLICY
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.errors import BadSignatureError, PurseRefusal, Refused
from wallet_core.messages import (
    Grant,
    Policy,
    Receipt,
    Refusal,
    Report,
    Request,
    ReversalOrder,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.ending import Outcome, pack_closed, pack_outcomes
from wallet_core.purse import receive, settle, spend
from wallet_core.purse.state import EntryState, Lifecycle, PurseState, SlotState
from wallet_core.suites import Suite

A = TypeVar("A", Receipt, Refusal)

EVERY_CLASS = sum(1 << one for one in CertificateClass)
OPEN_POLICY = replace(
    POLICY, payee_classes=EVERY_CLASS, payer_classes=EVERY_CLASS, payee_threshold=POLICY.balance_limit
)

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

    def ask(self, payer: Purse, amount: int, order_hash: bytes = bytes(32), *, verified: bool = False) -> bytes:
        """REQUEST to `payer` at its next counter; `verified`: with its certificate."""
        payer_class = payer.party.certificate.subject_class if verified else None
        return self.request(
            payer.id, payer.state.epoch, payer.state.next_n, amount, order_hash, payer_class=payer_class
        )

    def request(
        self,
        payer: bytes,
        epoch: int,
        n: int,
        amount: int,
        order_hash: bytes = bytes(32),
        *,
        payer_class: CertificateClass | None = None,
    ) -> bytes:
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
            payer_class=payer_class,
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

    # Endings

    def acknowledge(self, receipt: bytes, payee: Party) -> None:
        """ACKNOWLEDGE a Receipt that comes with the certificate of `payee`."""
        self._acknowledge(parse(Receipt, receipt), payee)

    def acknowledge_refusal(self, refusal: bytes, payee: Party) -> None:
        self._acknowledge(parse(Refusal, refusal), payee)

    def _acknowledge(self, signed: Signed[A], payee: Party) -> None:
        self.state = settle.acknowledge(
            self.state,
            signed.message,
            payee_class=payee.certificate.subject_class,
            verify=lambda: _verify(signed, payee, signed.message.payee),
        )

    def reverse(self, order: bytes) -> None:
        signed = parse(ReversalOrder, order)
        self.state = settle.reverse(
            self.state, self.id, signed.message, verify=lambda: _verify(signed, OPERATOR, OPERATOR.id)
        )

    def report(self) -> bytes:
        shown = settle.report(self.state, self.id, suite=Suite.ES256, policy_version=self.policy.version)
        return Signed.sign(shown, self.party.key).to_bytes()

    def grant(self, grant: bytes) -> None:
        signed = parse(Grant, grant)
        self.state = settle.apply_grant(
            self.state,
            self.id,
            signed.message,
            policy_version=self.policy.version,
            verify=lambda: _verify(signed, OPERATOR, OPERATOR.id),
        )


def _verify(signed: Signed[Any], party: Party, named: bytes) -> None:
    """What a purse checks with a certificate: it is the signer's, and the signature is its key's."""
    if party.id != named:
        raise PurseRefusal(Refused.CERTIFICATE)
    try:
        signed.verify(party.key.public)
    except BadSignatureError as exc:
        raise PurseRefusal(Refused.SIGNATURE) from exc


def order_for(voucher: bytes, *, by: Party = OPERATOR, **changes: Any) -> bytes:
    """A signed ReversalOrder for this voucher, some fields changed before it is signed."""
    paid = parse(Voucher, voucher).message
    order = ReversalOrder(
        suite=paid.suite,
        payer=paid.payer,
        epoch=paid.epoch,
        n=paid.n,
        voucher_hash=paid.hash,
        report_hash=bytes(32),
    )
    return Signed.sign(replace(order, **changes), by.key).to_bytes()


def grant_for(report: bytes, collected: Iterable[int] = (), *, by: Party = OPERATOR, **changes: Any) -> bytes:
    """The signed Grant of an operator that has everything in its books that `report` shows.

    `collected`: counters n whose PENDING vouchers it has seen credited. `changes`: other fields, before it is signed.
    """
    shown = parse(Report, report).message
    final = {line.n: line.state for line in shown.slot_lines if line.state != SlotState.PENDING}
    outcomes = final | dict.fromkeys(collected, int(SlotState.COLLECTED))
    grant = Grant(
        suite=shown.suite,
        purse=shown.purse,
        epoch=shown.epoch,
        n_acked=shown.next_n,
        policy_version=shown.policy_version,
        out_acked=shown.total_out,
        in_acked=shown.total_in,
        outcomes=pack_outcomes(Outcome(n, state) for n, state in sorted(outcomes.items())),
        closed=pack_closed(line.k for line in shown.entry_lines if line.state != EntryState.OPEN),
        report_hash=shown.hash,
    )
    return Signed.sign(replace(grant, **changes), by.key).to_bytes()
