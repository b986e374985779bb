"""The payer's side: PAY and RESEND as pure decisions.

A decision changes nothing. The holder of the state signs the payload into a free slot, makes `Debit.commit` durable in
one commit, and only then answers; whatever must refuse has refused before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages.policy import Policy, SpendMode
from wallet_core.messages.transfer import Request, Voucher
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import Lifecycle, PurseState, Slot, SlotState


@dataclass(frozen=True, slots=True)
class Stored:
    """This Request has its voucher already: answer these bytes again."""

    voucher: bytes


@dataclass(frozen=True, slots=True)
class Debit:
    """Sign `voucher`, store it in slot `slot`, commit `commit(signed)`, answer the stored bytes."""

    voucher: Voucher
    slot: int
    after: PurseState

    def commit(self, signed: bytes) -> PurseState:
        """The state after the debit, with the signed bytes in their slot."""
        slots = list(self.after.slots)
        voucher = self.voucher
        slots[self.slot] = Slot(
            SlotState.PENDING, voucher.n, voucher.request_hash, voucher.payee, signed, voucher.amount, voucher.hash
        )
        return replace(self.after, slots=tuple(slots))


def pay(
    state: PurseState,
    purse_id: bytes,
    policy: Policy | None,
    request: Request,
    *,
    payee_class: CertificateClass | None,
    pin_verified: bool,
    seal: Callable[[AuditData], bytes],
    verify_payee: Callable[[], None] | None = None,
) -> Stored | Debit:
    """Decide a PAY. `payee_class` is the class in the payee's certificate where the Request came with one, else None.

    `verify_payee` then verifies certificates and Request signature; it raises PurseRefusal CERTIFICATE or SIGNATURE and
    is called only when nothing before them in the order applies. None means that the caller has verified them already.

    Raises PurseRefusal with the first reason that applies, in the order of `Refused`; a stored voucher comes before
    any gate, because policy, PIN and limits never stop the finishing of a transfer (rule 10).
    """
    finishing = state.lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED)
    if finishing and request.payer == purse_id and request.epoch == state.epoch:
        stored = _find(state, request)
        if stored is not None:
            return Stored(stored.voucher)
    if state.lifecycle is not Lifecycle.ACTIVE or policy is None:
        raise PurseRefusal(Refused.WRONG_STATE, "the purse is not active")
    if request.payer != purse_id or request.epoch != state.epoch:
        raise PurseRefusal(Refused.WRONG_PURSE, "the Request names another purse or epoch")
    if request.suite < policy.least_suite or request.suite is not policy.suite:  # a purse signs in its operator's suite
        raise PurseRefusal(Refused.SUITE, "the policy asks for another suite")
    if request.n != state.next_n:
        raise PurseRefusal(Refused.STALE, f"counter {request.n} is not the next one ({state.next_n})")
    slot = state.free_slot()
    if slot is None:
        raise PurseRefusal(Refused.SLOTS_FULL, "no free slot", next_step="Bring the card online to free its slots.")
    if state.next_n > COUNTER_MAX:
        raise PurseRefusal(Refused.COUNTERS_EXHAUSTED, next_step="Have the card replaced.")
    _check_payee(purse_id, policy, request, payee_class, verify_payee)
    _check_limits(state, policy, request.amount)
    _check_pin(state, policy, request.amount, pin_verified=pin_verified)
    return _debit(state, policy, request, slot, pin_verified=pin_verified, seal=seal)


def _find(state: PurseState, request: Request) -> Slot | None:
    """The slot that holds this very Request at this counter, whatever became of it."""
    for slot in state.slots:
        if slot.state is not SlotState.FREE and slot.n == request.n and slot.request_hash == request.hash:
            return slot
    return None


def _check_payee(
    purse_id: bytes,
    policy: Policy,
    request: Request,
    payee_class: CertificateClass | None,
    verify_payee: Callable[[], None] | None,
) -> None:
    if payee_class is not None and not policy.payee_classes >> payee_class & 1:
        raise PurseRefusal(Refused.PAYEE_CLASS, f"this purse may not pay a {payee_class.name}")
    if payee_class is None and request.amount > policy.payee_threshold:
        raise PurseRefusal(Refused.PAYEE_UNVERIFIED, next_step="Send the signed Request and the payee's certificates.")
    if payee_class is not None and verify_payee is not None:
        verify_payee()
    if request.payee == purse_id:
        raise PurseRefusal(Refused.SELF_PAYMENT)


def _check_limits(state: PurseState, policy: Policy, amount: int) -> None:
    if not amount >= 1 or state.total_out + amount > MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.AMOUNT, "the amount is 0 or more than this purse can count")
    if amount > policy.transfer_limit:
        raise PurseRefusal(Refused.TRANSFER_LIMIT, f"more than {policy.transfer_limit} fen in one payment")
    if state.exposure + amount > policy.offline_total:
        raise PurseRefusal(
            Refused.OFFLINE_TOTAL, f"more than {policy.offline_total} fen since the card was last online"
        )
    if state.payments_since_grant >= policy.offline_count:
        raise PurseRefusal(Refused.OFFLINE_COUNT, f"{policy.offline_count} payments since the card was last online")
    if amount > spendable(state, policy):
        raise PurseRefusal(Refused.INSUFFICIENT, "not enough value on the card")


def spendable(state: PurseState, policy: Policy) -> int:
    """Fen that may be spent now: the balance, or in *staged* mode what a grant has acknowledged of it."""
    if policy.mode == SpendMode.INTERMITTENT:
        return state.balance
    return max(0, min(state.balance, state.in_acked + state.total_reversed - state.total_out))


def _check_pin(state: PurseState, policy: Policy, amount: int, *, pin_verified: bool) -> None:
    if state.pin_tries == 0:
        raise PurseRefusal(
            Refused.PIN_BLOCKED, next_step="Have the card blocked and refunded; what was paid is not lost."
        )
    if pin_verified:
        return
    if amount > policy.pin_threshold or state.unverified + amount > policy.unverified_total:
        raise PurseRefusal(Refused.PIN_REQUIRED, next_step="Enter the PIN and tap again.")


def _debit(
    state: PurseState,
    policy: Policy,
    request: Request,
    slot: int,
    *,
    pin_verified: bool,
    seal: Callable[[AuditData], bytes],
) -> Debit:
    after = replace(
        state,
        next_n=state.next_n + 1,
        total_out=state.total_out + request.amount,
        unverified=state.unverified if pin_verified else state.unverified + request.amount,
    )
    audit = AuditData(request.n, after.total_in, after.total_out, after.total_reversed, after.exposure)
    voucher = Voucher.answering(request, policy.version, seal(audit))
    return Debit(voucher, slot, after)


def resend(state: PurseState, *, request_hash: bytes | None = None, payee: bytes | None = None) -> tuple[bytes, ...]:
    """Stored vouchers by H(Request), by payee id, or all, oldest first.

    Raises PurseRefusal WRONG_STATE unless active or blocked, NOT_FOUND for none.
    """
    if state.lifecycle not in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        raise PurseRefusal(Refused.WRONG_STATE, "the purse shows no vouchers in this state")
    found = sorted(
        (
            slot
            for slot in state.slots
            if slot.state is not SlotState.FREE
            and (request_hash is None or slot.request_hash == request_hash)
            and (payee is None or slot.payee == payee)
        ),
        key=lambda slot: slot.n,
    )
    if not found:
        raise PurseRefusal(Refused.NOT_FOUND, "no voucher is stored under this reference")
    return tuple(slot.voucher for slot in found)
