"""What `ecny card` prints about a card: facts for programs, lines for people. Amounts in fen in facts, RMB in lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import short
from wallet_core.messages import Policy, Voucher, parse
from wallet_core.messages.policy import SpendMode
from wallet_core.money import fen
from wallet_core.purse.state import Lifecycle, SlotState

from .data_objects import Fci
from .driver import HardWallet

if TYPE_CHECKING:  # the HTTP library comes with it, and a look at a card needs none
    from .loading import Loaded
    from .purse_transfer import Transferred
    from .reporting import Reported


def info_facts(wallet: HardWallet) -> dict[str, Any]:
    """Select the card and read all that it tells anyone."""
    fci = wallet.select()
    totals = wallet.totals()
    used = [slot for slot in wallet.slots() if slot.state is not SlotState.FREE]
    return {
        "reader": wallet.connection.name,
        "serial": wallet.serial().hex(),
        "purse": fci.purse_id.hex(),
        "lifecycle": fci.lifecycle.name.lower(),
        "epoch": fci.epoch,
        "next_n": fci.next_n,
        "next_k": fci.next_k,
        "balance": fci.balance,
        "total_in": totals.total_in,
        "total_out": totals.total_out,
        "total_reversed": totals.total_reversed,
        "out_acked": totals.out_acked,
        "in_acked": totals.in_acked,
        "unverified": totals.unverified,
        "free_slots": fci.free_slots,
        "free_entries": fci.free_entries,
        "pin_tries": fci.pin_tries,
        "slots": [{"n": slot.n, "state": slot.state.name.lower()} for slot in used],
        "policy": _policy_facts(wallet) if fci.policy_version else None,
    }


def _policy_facts(wallet: HardWallet) -> dict[str, Any] | None:
    try:
        policy: Policy = wallet.policy().message
    except PurseRefusal as refusal:
        if refusal.reason is not Refused.NOT_FOUND:
            raise
        return None
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


def info_text(facts: Mapping[str, Any]) -> str:
    if facts["lifecycle"] == Lifecycle.BLANK.name.lower():
        return f"blank card {facts['serial']}\n  → Personalise it with `ecny card personalise`."
    lines = [
        f"card {short(bytes.fromhex(facts['purse']))}  {facts['lifecycle']}  balance {fen(facts['balance'])}",
        f"  received {fen(facts['total_in'])}, paid {fen(facts['total_out'])}",
        f"  next payment number {facts['next_n']}, free slots {facts['free_slots']}, PIN tries {facts['pin_tries']}",
    ]
    if facts["policy"]:
        policy = facts["policy"]
        lines.append(
            f"  limits: {fen(policy['transfer_limit'])} a payment, {fen(policy['offline_total'])} and"
            f" {policy['offline_count']} payments offline, PIN above {fen(policy['pin_threshold'])}"
        )
    return "\n".join(lines)


def voucher_facts(signed: bytes, states: Mapping[int, SlotState]) -> dict[str, Any]:
    """One voucher of the card; raises CodecError when it is none."""
    parsed = parse(Voucher, signed)
    voucher = parsed.message
    return {
        "payer": voucher.payer.hex(),
        "epoch": voucher.epoch,
        "n": voucher.n,
        "payee": voucher.payee.hex(),
        "k": voucher.k,
        "amount": voucher.amount,
        "hash": parsed.hash.hex(),
        "request_hash": voucher.request_hash.hex(),
        "state": states[voucher.n].name.lower() if voucher.n in states else "unknown",
        "voucher": signed.hex(),
    }


def vouchers_text(found: list[dict[str, Any]]) -> str:
    lines = [
        f"{one['n']:>6}  {fen(one['amount'])!s:>14}  {one['state']:<9}  to {one['payee'][:8]}  {one['hash'][:8]}"
        for one in found
    ]
    return "\n".join(lines) or "no vouchers"


def load_text(done: Loaded, amount: int) -> str:
    """What a desk tells after a load: above all, what was not loaded by it."""
    lines = [f"loaded {fen(done.after.balance - done.before.balance)}, balance {fen(done.after.balance)}"]
    lines += [f"  finished a load of {fen(one)} that was begun at another desk" for one in done.elsewhere]
    if not done.own:
        why = "a load of this amount was waiting" if amount in done.elsewhere else "this load was settled before"
        lines.append(f"  {why}: nothing more was loaded. Run the command again to load {fen(amount)} more.")
    if done.returned:
        lines.append(f"  {done.returned} paid loads that this card had refused went back to the operator")
    if done.stuck:
        lines.append(f"  {done.stuck} paid loads that this card has forgotten: ask the operator")
    return "\n".join(lines)


def transfer_facts(done: Transferred, payee: Fci | None) -> dict[str, Any]:
    """`payee`: None where the card that was paid is gone already."""
    paid = done.voucher.message
    return {
        "payer": paid.payer.hex(),
        "payee": paid.payee.hex(),
        "amount": done.amount,
        "n": paid.n,
        "voucher_hash": done.voucher.hash.hex(),
        "receipt": done.receipt.hex() if done.receipt is not None else None,
        "acknowledged": done.acknowledged,
        "payee_balance": None if payee is None else payee.balance,
    }


def transfer_text(done: Transferred, payee: Fci | None) -> str:
    lines = [f"moved {fen(done.amount)} to card {short(done.voucher.message.payee)}"]
    if payee is not None:
        lines[0] += f", which holds {fen(payee.balance)}"
    if not done.acknowledged:
        lines.append("  the paying card has not heard it yet: it does when the two meet again, or online")
    return "\n".join(lines)


def report_facts(done: Reported) -> dict[str, Any]:
    after = done.after
    return {
        "purse": after.purse.hex(),
        "balance": after.balance,
        "returned": after.total_reversed - done.before.total_reversed,
        "orders": done.orders,
        "void_orders": done.void,
        "vouchers": done.vouchers,
        "pending": done.pending,
        "policy_version": after.policy_version,
        "granted": done.granted,
        "offline_total": after.total_out - after.out_acked,
    }


def report_text(done: Reported) -> str:
    facts = report_facts(done)
    lines = [
        f"card {short(done.after.purse)} is online, balance {fen(facts['balance'])}",
        f"  payments waiting for their outcome {facts['pending']}, vouchers handed in {facts['vouchers']}",
    ]
    if done.pending and not done.with_pin:
        lines.append("  what a till has refused comes back at that till, or here with --pin-file")
    if facts["returned"]:
        lines.append(f"  came back: {fen(facts['returned'])}")
    if done.void:
        lines.append(f"  {done.void} orders came too late: the value has its outcome already")
    if not done.granted:
        lines.append("  a blocked card takes no new policy, so its limits stay: the operator refunds it")
    return "\n".join(lines)
