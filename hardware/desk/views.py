"""What the desk shows of a card's state: the purse in words and fen, and the face that an e-ink card would show."""

from __future__ import annotations

from typing import Any

from hardware.emulator.vault import Vault
from wallet_core.ids import short
from wallet_core.messages import Policy
from wallet_core.messages.policy import SpendMode
from wallet_core.purse.spend import spendable
from wallet_core.purse.state import Entry, EntryState, Lifecycle, PurseState, Slot, SlotState


def state_facts(vault: Vault) -> dict[str, Any]:
    """All that the purse remembers and may be shown; amounts in fen."""
    state, policy = vault.state, vault.policy
    return {
        "lifecycle": state.lifecycle.name.lower(),
        "serial": vault.factory.serial.hex(),
        "purse": vault.purse_id.hex() if state.lifecycle is not Lifecycle.BLANK else None,
        "balance": state.balance,
        "epoch": state.epoch,
        "next_n": state.next_n,
        "next_k": state.next_k,
        "total_in": state.total_in,
        "total_out": state.total_out,
        "total_reversed": state.total_reversed,
        "out_acked": state.out_acked,
        "in_acked": state.in_acked,
        "payments_since_grant": state.payments_since_grant,
        "unverified": state.unverified,
        "pin_tries": state.pin_tries,
        "sequence": vault.memory.sequence,
        "slots": [_slot_facts(at, slot) for at, slot in enumerate(state.slots)],
        "table": [_entry_facts(at, entry) for at, entry in enumerate(state.table)],
        "policy": None if policy is None else policy_facts(policy),
        "offline": offline_facts(state, policy),
    }


def policy_facts(policy: Policy) -> dict[str, Any]:
    return {
        "version": policy.version,
        "mode": SpendMode(policy.mode).name.lower(),
        "balance_limit": policy.balance_limit,
        "transfer_limit": policy.transfer_limit,
        "offline_total": policy.offline_total,
        "offline_count": policy.offline_count,
        "pin_threshold": policy.pin_threshold,
        "unverified_total": policy.unverified_total,
        "payee_threshold": policy.payee_threshold,
    }


def offline_facts(state: PurseState, policy: Policy | None) -> dict[str, Any]:
    """Whether the purse would pay now without a network, up to how much (fen), and why not."""
    if state.lifecycle is not Lifecycle.ACTIVE or policy is None:
        return {"can": False, "up_to": 0, "why": [f"it is {state.lifecycle.name.lower()}"]}
    room = max(0, policy.offline_total - state.exposure)
    reasons = {
        "its PIN is blocked": state.pin_tries == 0,
        "no voucher slot is free": state.free_slot() is None,
        "it has made all payments that it may between two grants": state.payments_since_grant >= policy.offline_count,
        "it has paid all that it may between two grants": not room,
        "its counters have come to their end": state.counters_exhausted,
        "nothing on it may be spent": not spendable(state, policy),
    }
    why = [text for text, applies in reasons.items() if applies]
    up_to = 0 if why else min(spendable(state, policy), policy.transfer_limit, room)
    return {"can": not why, "up_to": up_to, "why": why}


def face_facts(state: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """What the display shows of this state. The last payment stays, as ink does, when its slot is given free."""
    used = [slot for slot in state["slots"] if slot["state"] != "free"]
    last = max(used, key=lambda slot: slot["n"], default=None)
    kept = before["last"] if before else None
    shown = kept if last is None else {key: last[key] for key in ("n", "amount", "state", "payee")}
    return {
        "lifecycle": state["lifecycle"],
        "name": short(bytes.fromhex(state["purse"])) if state["purse"] else None,
        "balance": state["balance"],
        "last": shown,
        "offline": state["offline"],
        "waiting": sum(slot["state"] == "pending" for slot in state["slots"]),
    }


def _slot_facts(at: int, slot: Slot) -> dict[str, Any]:
    if slot.state is SlotState.FREE:
        return {"index": at, "state": "free"}
    return {
        "index": at,
        "state": slot.state.name.lower(),
        "n": slot.n,
        "amount": slot.amount,
        "payee": slot.payee.hex(),
        "voucher_hash": slot.voucher_hash.hex(),
        "request_hash": slot.request_hash.hex(),
    }


def _entry_facts(at: int, entry: Entry) -> dict[str, Any]:
    if entry.state is EntryState.FREE:
        return {"index": at, "state": "free"}
    return {
        "index": at,
        "state": entry.state.name.lower(),
        "k": entry.k,
        "amount": entry.amount,
        "request_hash": entry.request_hash.hex(),
        "payer_class": entry.payer_class.name.lower() if entry.payer_class is not None else None,
    }
