"""What the policy promises to honest parties, checked one by one at rest: names every promise that was not kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from merchant_pos.sales import Sale, SaleState
from server.storage.protocol import Reader
from simulate.accounting import Accountant
from simulate.adversaries import CrookedTill
from simulate.tills import Till
from simulate.visitors import Visitor
from wallet_core.messages import DepositStatus
from wallet_core.purse.state import PurseState, SlotState

# Why a voucher of a broken card may be turned down; honest merchants are never told anything else.
OF_BROKEN_CARDS = frozenset({DepositStatus.EQUIVOCATION, DepositStatus.REVIEW})


def broken_promises(
    visitors: Sequence[Visitor], tills: Sequence[Till], broken: set[bytes], accountant: Accountant
) -> list[str]:
    """`visitors`: the honest ones; `broken`: ids of cards with a broken secure element."""
    found: list[str] = []
    forgetful = {till.id for till in tills if till.set_back}
    for till in tills:
        if not till.replaced and not isinstance(till, CrookedTill):
            for sale in (*till.journal.sales(), *till.journal.inherited()):
                found += _of_merchant(sale, broken, forgetful)
    return found + _of_holders(visitors, tills, accountant)


def uncredited(tills: Iterable[Till]) -> int:
    """Fen that were PAID at honest tills and rejected."""
    honest = (till for till in tills if not isinstance(till, CrookedTill))
    sales = (sale for till in honest for sale in till.journal.sales())
    return sum(sale.amount for sale in sales if sale.state is SaleState.REJECTED)


def of_operator(tx: Reader, visitors: Iterable[Visitor], collected: set[bytes]) -> list[str]:
    """A load that was paid is collected by a card that goes online and can be written; a refund for a lost card is not
    more than what the card holds, in its balance and in slots without an end, and what was paid for loads that never
    reached it. `collected`: H(Voucher) of all that did."""
    found = []
    for visitor in visitors:
        if visitor.is_home and visitor.card.flash.endurance is None and tx.pending_loads(visitor.card.id):
            found.append(f"{visitor.name} has been online, and a load is not collected")
        purse = tx.purse(visitor.card.id) if visitor.frozen else None
        if purse is None:
            continue
        state, given = visitor.card.state(), sum(refund.amount for refund in tx.refunds(purse.number))
        pending = sum(slot.amount for slot in state.slots if slot.state is SlotState.PENDING)
        loads = sum(load.amount for load in tx.paid_loads(visitor.card.id) if load.voucher_hash not in collected)
        if given > state.balance + pending + loads:
            found.append(f"{visitor.name} was given back {given} fen for a card that holds {state.balance}")
    return found


def _of_merchant(sale: Sale, broken: set[bytes], forgetful: set[bytes]) -> list[str]:
    """Everything is decided, and what an honest card has paid is credited, but for what a till of `forgetful` had
    refused before its disk was set back: its own signed Refusal stands."""
    if sale.state in (SaleState.ASKED, SaleState.UNKNOWN, SaleState.PAID, SaleState.SENT):
        return [f"order {sale.order} is {sale.state} at rest"]
    if sale.state is not SaleState.REJECTED:
        return []
    status = DepositStatus(sale.status if sale.status is not None else DepositStatus.MALFORMED)
    if sale.request.payer in broken and status in OF_BROKEN_CARDS:
        return []
    if sale.request.payee in forgetful and status is DepositStatus.REFUSED_BEFORE:
        return []
    return [f"order {sale.order} is PAID and rejected as {status.name}"]


def _of_holders(visitors: Sequence[Visitor], tills: Sequence[Till], accountant: Accountant) -> list[str]:
    """A holder pays for what was PAID and for nothing else; what was given up comes back to a card that goes online.

    A dishonest till may give goods away, so there it can be less. A till that was set back has forgotten sales: of who
    was there nothing can be said from its journal.
    """
    paid: dict[bytes, list[Sale]] = defaultdict(list)
    for till in tills:
        for sale in till.journal.sales():
            if sale.state.is_paid:
                paid[sale.request.payer].append(sale)
    crooked = {till.id for till in tills if isinstance(till, CrookedTill)}
    forgetful = {till.id for till in tills if till.set_back}
    found = []
    for visitor in visitors:
        state, own = visitor.card.state(), paid[visitor.card.id]
        if visitor.visited & forgetful:
            continue
        waits = _waits(state, {sale.request.hash for sale in own}, accountant.collected)
        spent = state.total_out - state.total_reversed - waits - accountant.taken[visitor.card.id]
        most = sum(sale.amount for sale in own)
        least = sum(sale.amount for sale in own if sale.request.payee not in crooked)
        if not least <= spent <= most:
            found.append(f"{visitor.name} has paid {spent} fen for goods of {least} to {most}")
        if waits and not visitor.lost and visitor.is_home:
            found.append(f"{visitor.name} still waits for {waits} fen that were given up")
    for visitor in visitors:
        pending = [slot for slot in visitor.card.state().slots if slot.state is SlotState.PENDING]
        if visitor.is_home and any(slot.payee not in crooked for slot in pending):
            found.append(f"{visitor.name} has been online, and a payment to an honest payee has no end")
    return found


def _waits(state: PurseState, paid: set[bytes], collected: set[bytes]) -> int:
    """Fen debited for a Request that its till has given up, and not given back yet."""
    pending = (slot for slot in state.slots if slot.state is SlotState.PENDING)
    return sum(s.amount for s in pending if s.request_hash not in paid and s.voucher_hash not in collected)
