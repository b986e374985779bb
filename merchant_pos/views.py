"""What the till's commands print: facts for --json (ids and hashes in hexadecimal, amounts in fen), text for people."""

from __future__ import annotations

from typing import Any

from merchant_pos import phrases
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.sales import CANCELLED, Sale, SaleState
from merchant_pos.sync import Report
from wallet_core.ids import short
from wallet_core.messages import DepositStatus, RefusalStatus
from wallet_core.money import fen

_WAITING = (SaleState.PAID, SaleState.SENT)


def identity_facts(identity: Identity) -> dict[str, Any]:
    return {
        "till": identity.id.hex(),
        "merchant": identity.merchant,
        "merchant_name": identity.merchant_name,
        "server": identity.server,
        "operator": identity.operator.subject.hex(),
        "test": identity.certificate.test,
    }


def identity_text(identity: Identity) -> str:
    money = "test money" if identity.certificate.test else "production"
    return f"enrolled  till {short(identity.id)} of {identity.merchant_name} ({money})"


def shown_as(sale: Sale) -> str:
    if sale.state is SaleState.REFUSED and sale.reason == CANCELLED:
        return phrases.CANCELLED
    return phrases.SHOWN_AS[sale.state.value]


def sale_facts(sale: Sale) -> dict[str, Any]:
    request = sale.request
    status = None
    if sale.status is not None:
        status = (DepositStatus if sale.voucher is not None else RefusalStatus)(sale.status).name
    return {
        "k": sale.k,
        "state": sale.state.value,
        "shown_as": shown_as(sale),
        "amount": sale.amount,
        "order": sale.order,
        "payer": request.payer.hex(),
        "epoch": request.epoch,
        "n": request.n,
        "request_hash": request.hash.hex(),
        "voucher_hash": sale.voucher_hash.hex() if sale.voucher_hash is not None else None,
        "reason": sale.reason,
        "left": sale.left,
        "batch": sale.batch,
        "status": status,
        "asked_ms": sale.asked_ms,
        "decided_ms": sale.decided_ms,
    }


def history_text(sales: list[Sale]) -> str:
    if not sales:
        return phrases.NO_SALES
    lines = []
    for sale in sales:
        status = sale_facts(sale)["status"] if sale.state is SaleState.REJECTED else None
        notes = dict.fromkeys(note for note in (shown_as(sale), status, sale.reason) if note)
        lines.append(f"{sale.k:>6}  {fen(sale.amount)!s:>14}  card {short(sale.request.payer)}  {'  '.join(notes)}")
    return "\n".join(lines)


def status_facts(identity: Identity, journal: Journal) -> dict[str, Any]:
    """`green` only when nothing is open and nothing waits: a queue that is not empty is never shown as success."""
    tallies = journal.tallies()
    open_sale = journal.open_sale()
    unanswered = journal.unanswered()
    waiting = [tallies[state] for state in _WAITING]
    refusals = journal.unsent_refusals() + sum(batch.refusals for batch in unanswered)
    return {
        **identity_facts(identity),
        "open": sale_facts(open_sale) if open_sale is not None else None,
        "waiting": {"count": sum(t.count for t in waiting), "amount": sum(t.amount for t in waiting)},
        "waiting_refusals": refusals,
        "sales": {state.value: {"count": t.count, "amount": t.amount} for state, t in tallies.items()},
        "batches_unanswered": [
            {"number": b.number, "attempts": b.attempts, "last_error": b.last_error} for b in unanswered
        ],
        "green": open_sale is None and not refusals and not any(t.count for t in waiting),
    }


def status_text(facts: dict[str, Any]) -> str:
    lines = [f"till {facts['till'][:8]}  {facts['merchant_name']}"]
    if facts["open"] is not None:
        lines.append(f"{phrases.TAP_AGAIN}  {phrases.open_sale(facts['open']['k'], fen(facts['open']['amount']))}")
        lines.append("  → `ecny pos resume` with the same card, or `ecny pos cancel`")
    waiting = facts["waiting"]
    if waiting["count"]:
        lines.append(phrases.not_all_sent(waiting["count"], fen(waiting["amount"])))
    if facts["waiting_refusals"]:
        lines.append(phrases.refusals_waiting(facts["waiting_refusals"]))
    lines += [
        f"  batch {batch['number']}: {batch['attempts']} tries, {batch['last_error']}"
        for batch in facts["batches_unanswered"]
        if batch["last_error"]
    ]
    settled, rejected = facts["sales"]["SETTLED"], facts["sales"]["REJECTED"]
    lines.append(f"settled  {settled['count']}, {fen(settled['amount'])}")
    if rejected["count"]:
        lines.append(phrases.rejected(rejected["count"]))
    if facts["green"]:
        lines.append(phrases.GREEN)
    return "\n".join(lines)


def report_facts(report: Report) -> dict[str, Any]:
    return {
        "batches": report.batches,
        "settled": report.settled,
        "settled_amount": report.settled_amount,
        "rejected": report.rejected,
        "refusals": report.refusals,
    }


def report_text(report: Report) -> str:
    if not report.batches:
        return phrases.NOTHING_QUEUED
    batches = "1 batch" if report.batches == 1 else f"{report.batches} batches"
    line = f"settled  {report.settled}, {fen(report.settled_amount)}, in {batches}"
    if report.refusals:
        line += f"\nrefusals told  {report.refusals}"
    return line + (f"\n{phrases.rejected(report.rejected)}" if report.rejected else "")
