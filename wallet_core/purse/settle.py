"""How a transfer ends in the purse that paid, and what a purse and its operator tell each other about it.

ACKNOWLEDGE, REVERSE, REPORT and GRANT as pure decisions (docs/spec/transfer.md, *Endings*): state and message in, the
next state out, or the same object where there is nothing to do. Each outcome is verified inside the purse; an outcome
that a slot has already is no change, so every one of them may be sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.messages.ending import EntryLine, Grant, Report, ReversalOrder, SlotLine, pack_entries, pack_slots
from wallet_core.messages.transfer import Receipt, Refusal
from wallet_core.purse.state import Entry, EntryState, Lifecycle, PurseState, Slot, SlotState
from wallet_core.suites import Suite

Verify = Callable[[], None]
"""Checks certificates and signature inside the purse; raises PurseRefusal CERTIFICATE or SIGNATURE."""


def acknowledge(
    state: PurseState, message: Receipt | Refusal, *, payee_class: CertificateClass, verify: Verify
) -> PurseState:
    """PENDING → COLLECTED by the payee's Receipt, or → REVERSED by its Refusal (rule 6).

    Only a purse decides for itself: of a till, whose class has no secure element, neither is believed (CERTIFICATE).
    """
    _require_live(state)
    index, target = _said_of(state, message)
    if index is not None and state.slots[index].state is target:
        return state
    if index is not None and state.slots[index].payee != message.payee:
        raise PurseRefusal(Refused.WRONG_PURSE, "this answer is not the payee's")
    if not payee_class.is_purse:
        raise PurseRefusal(Refused.CERTIFICATE, f"a {payee_class.name} is no purse: its operator decides for it")
    verify()
    return _finish(state, index, target)


def is_acknowledged(state: PurseState, message: Receipt | Refusal) -> bool:
    """Whether the slot has this outcome already: then it is answered so, whatever certificates come with it."""
    index, target = _said_of(state, message)
    return index is not None and state.slots[index].state is target


def reverse(state: PurseState, purse_id: bytes, order: ReversalOrder, *, verify: Verify) -> PurseState:
    """PENDING → REVERSED by an order of the purse's own operator, which `verify` checks (rule 6)."""
    _require_live(state)
    if (order.payer, order.epoch) != (purse_id, state.epoch):
        raise PurseRefusal(Refused.WRONG_PURSE, "the order is for another purse or epoch")
    index = _find(state, lambda slot: slot.n == order.n and slot.voucher_hash == order.voucher_hash)
    if index is not None and state.slots[index].state is SlotState.REVERSED:
        return state
    verify()
    return _finish(state, index, SlotState.REVERSED)


def report(state: PurseState, purse_id: bytes, *, suite: Suite, policy_version: int) -> Report:
    """What this purse holds, to be signed; changes nothing."""
    _require_live(state)
    slots = sorted((slot for slot in state.slots if slot.state is not SlotState.FREE), key=lambda slot: slot.n)
    entries = sorted((one for one in state.table if one.state is not EntryState.FREE), key=lambda one: one.k)
    return Report(
        suite=suite,
        purse=purse_id,
        epoch=state.epoch,
        next_n=state.next_n,
        next_k=state.next_k,
        policy_version=policy_version,
        total_in=state.total_in,
        total_out=state.total_out,
        total_reversed=state.total_reversed,
        out_acked=state.out_acked,
        in_acked=state.in_acked,
        slots=pack_slots(SlotLine(slot.n, slot.state, slot.voucher_hash) for slot in slots),
        entries=pack_entries(_entry_line(entry) for entry in entries),
        lifecycle=state.lifecycle,
    )


def apply_grant(state: PurseState, purse_id: bytes, grant: Grant, *, policy_version: int, verify: Verify) -> PurseState:
    """The operator has seen what the purse did: limits count anew, and what is final makes room (rule 6).

    Totals become the maximum of old and new and never pass the purse's own; a slot that is PENDING without the outcome
    COLLECTED, and an entry that is OPEN, stay as they are.
    """
    _require_live(state)
    if (grant.purse, grant.epoch) != (purse_id, state.epoch):
        raise PurseRefusal(Refused.WRONG_PURSE, "the grant is for another purse or epoch")
    verify()
    if policy_version < grant.policy_version:
        raise PurseRefusal(Refused.POLICY_OLD, next_step="Store the operator's new policy first.")
    outcomes, closed = grant.slot_outcomes, grant.closed_entries
    after = replace(
        state,
        out_acked=max(state.out_acked, min(grant.out_acked, state.total_out)),
        in_acked=max(state.in_acked, min(grant.in_acked, state.total_in)),
        n_acked=max(state.n_acked, min(grant.n_acked, state.next_n)),
        slots=tuple(Slot() if _may_go(slot, outcomes.get(slot.n)) else slot for slot in state.slots),
        table=tuple(Entry() if entry.is_final and entry.k in closed else entry for entry in state.table),
    )
    return state if after == state else after


def _may_go(slot: Slot, outcome: int | None) -> bool:
    if slot.state is SlotState.PENDING:
        return outcome == SlotState.COLLECTED
    return slot.state is not SlotState.FREE and outcome == slot.state


def _entry_line(entry: Entry) -> EntryLine:
    shown = entry.voucher_hash if entry.state is EntryState.COLLECTED else entry.request_hash
    return EntryLine(entry.k, entry.state, shown)


def _require_live(state: PurseState) -> None:
    """Finishing works on a blocked purse too (rule 10)."""
    if state.lifecycle not in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        raise PurseRefusal(Refused.WRONG_STATE, "the purse has nothing to finish in this state")


def _said_of(state: PurseState, message: Receipt | Refusal) -> tuple[int | None, SlotState]:
    """Index of the slot that a payee's answer is about, and the outcome that it gives it."""
    if isinstance(message, Receipt):
        return _find(state, lambda slot: slot.voucher_hash == message.voucher_hash), SlotState.COLLECTED
    return _find(state, lambda slot: slot.request_hash == message.request_hash), SlotState.REVERSED


def _find(state: PurseState, matches: Callable[[Slot], bool]) -> int | None:
    found = (i for i, slot in enumerate(state.slots) if slot.state is not SlotState.FREE and matches(slot))
    return next(found, None)


def _finish(state: PurseState, index: int | None, target: SlotState) -> PurseState:
    """Slot `index` from PENDING to `target`, once; a reversal gives its amount back and no counter (rule 14)."""
    if index is None:
        raise PurseRefusal(Refused.NOT_FOUND, "no slot holds this voucher: it has been acknowledged, or never was")
    slot = state.slots[index]
    if slot.state is not SlotState.PENDING:
        raise PurseRefusal(Refused.OUTCOME_FINAL, f"this voucher is {slot.state.name.lower()} already")
    slots = list(state.slots)
    slots[index] = replace(slot, state=target)
    given_back = slot.amount if target is SlotState.REVERSED else 0
    return replace(state, slots=tuple(slots), total_reversed=state.total_reversed + given_back)
