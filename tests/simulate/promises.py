"""What the policy promises to honest parties, checked one by one at rest: names every promise that was not kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from merchant_pos.sales import Sale, SaleState
from simulate.cards import Card
from simulate.tills import Till
from wallet_core.messages import DepositStatus, Voucher, parse
from wallet_core.purse.state import SlotState

# Why a voucher of a broken card may be turned down; honest merchants are never told anything else.
OF_BROKEN_CARDS = frozenset({DepositStatus.EQUIVOCATION, DepositStatus.REVIEW})


def broken_promises(honest: Iterable[Card], tills: Iterable[Till], broken: set[bytes]) -> list[str]:
    """`tills`: the honest ones; `broken`: ids of cards with a broken secure element."""
    sales: dict[bytes, Sale] = {}
    found: list[str] = []
    set_back: set[bytes] = set()
    for till in tills:
        if till.set_back:
            set_back.add(till.id)
        for sale in till.journal.sales():
            sales[sale.request.hash] = sale
            if not till.replaced:
                found += _of_merchant(sale, broken)
    charged: Counter[str] = Counter()
    for card in honest:
        for slot in card.state().slots:
            if slot.state is SlotState.FREE:
                continue
            voucher = parse(Voucher, slot.voucher).message
            if (known := sales.get(slot.request_hash)) is not None:
                charged[known.order] += known.state is not SaleState.REFUSED
                if known.amount != voucher.amount:
                    found.append(f"order {known.order} was charged {voucher.amount} fen, not {known.amount}")
    found += [f"order {order} was charged {times} times" for order, times in charged.items() if times > 1]
    return found


def uncredited(tills: Iterable[Till]) -> int:
    """Fen that were PAID at these tills and rejected."""
    sales = (sale for till in tills for sale in till.journal.sales())
    return sum(sale.amount for sale in sales if sale.state is SaleState.REJECTED)


def _of_merchant(sale: Sale, broken: set[bytes]) -> list[str]:
    """Everything is decided, and what an honest card has paid is credited."""
    if sale.state in (SaleState.ASKED, SaleState.UNKNOWN, SaleState.PAID, SaleState.SENT):
        return [f"order {sale.order} is {sale.state} at rest"]
    if sale.state is not SaleState.REJECTED:
        return []
    status = DepositStatus(sale.status if sale.status is not None else DepositStatus.MALFORMED)
    if sale.request.payer in broken and status in OF_BROKEN_CARDS:
        return []
    return [f"order {sale.order} is PAID and rejected as {status.name}"]
