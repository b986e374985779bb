"""What the till's commands print: facts for --json (ids and hashes in hexadecimal, amounts in fen), text for people."""

from __future__ import annotations

from typing import Any

from merchant_pos import phrases
from merchant_pos.checkout import Outcome
from merchant_pos.decisions import Result
from merchant_pos.identity import Identity
from merchant_pos.journal import Journal
from merchant_pos.sales import CANCELLED, Sale, SaleState
from merchant_pos.succession import Inherited
from merchant_pos.sync import Report
from merchant_pos.transfers import Kind, Transfer, TransferState
from merchant_pos.two_purses import TransferOutcome
from merchant_pos.upkeep import Done
from wallet_core.ids import short
from wallet_core.messages import DepositStatus, RefusalStatus, RevocationList, parse
from wallet_core.messages.revocation import MAX_LIST_SIZE
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
    if sale.state is SaleState.REJECTED and sale.status == DepositStatus.REVIEW:
        return phrases.REVIEWED
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


def transfer_shown_as(transfer: Transfer) -> str:
    if transfer.state in (TransferState.REFUSED, TransferState.REFUSING) and transfer.reason == CANCELLED:
        return phrases.CANCELLED
    return phrases.shown_as(transfer.kind.value, transfer.state.value)


def transfer_facts(transfer: Transfer) -> dict[str, Any]:
    """The same keys as `sale_facts`, and what only a transfer with the SAM has."""
    original = transfer.plan.original
    return {
        "k": transfer.k,
        "kind": transfer.kind.value,
        "state": transfer.state.value,
        "shown_as": transfer_shown_as(transfer),
        "amount": transfer.amount,
        "order": transfer.plan.order,
        "payer": transfer.payer.hex(),
        "payee": transfer.payee.hex(),
        "epoch": transfer.plan.epoch,
        "n": transfer.plan.n,
        "request_hash": transfer.asked.hash.hex() if transfer.request is not None else None,
        "voucher_hash": transfer.voucher_hash.hex() if transfer.voucher_hash is not None else None,
        "refund_of": original.hex() if original is not None else None,
        "reason": transfer.reason,
        "left": transfer.left,
        "acknowledged": transfer.acknowledged,
        "told": transfer.told.value,
        "status": transfer.verdicts,
        "asked_ms": transfer.asked_ms,
        "decided_ms": transfer.decided_ms,
    }


def outcome_facts(outcome: Outcome | TransferOutcome) -> dict[str, Any]:
    """The result's word, of a sale or of a refund, and the sale."""
    if isinstance(outcome, Outcome):
        sale = sale_facts(outcome.sale) if outcome.sale else None
        return {"result": outcome.result.value, "sale": sale}
    transfer = outcome.transfer
    word = outcome.result.value
    if transfer is not None and transfer.kind is Kind.REFUND:
        word = {Result.PAID: phrases.REFUNDED, Result.NOT_CHARGED: phrases.NOT_REFUNDED}.get(outcome.result, word)
    return {"result": word, "sale": transfer_facts(transfer) if transfer is not None else None}


def history_facts(identity: Identity, journal: Journal) -> dict[str, Any]:
    rows = {sale.k: sale_facts(sale) for sale in journal.sales()}
    rows |= {one.k: transfer_facts(one) for one in journal.transfers()}
    inherited = [sale_facts(sale) | {"till": sale.request.payee.hex()} for sale in journal.inherited()]
    return {"till": identity.id.hex(), "sales": [rows[k] for k in sorted(rows)], "inherited": inherited}


def history_text(journal: Journal) -> str:
    lines = [_line(sale, f"till {short(sale.request.payee)}  ") for sale in journal.inherited()]
    rows = {sale.k: _line(sale) for sale in journal.sales()}
    for one in journal.transfers():
        what = "refund" if one.kind is Kind.REFUND else "sale to the SAM"
        notes = dict.fromkeys(note for note in (transfer_shown_as(one), one.reason) if note)
        rows[one.k] = f"{one.k:>6}  {fen(one.amount)!s:>14}  card {short(one.card)}  {what}  {'  '.join(notes)}"
    return "\n".join((*lines, *(rows[k] for k in sorted(rows)))) or phrases.NO_SALES


def _line(sale: Sale, whose: str = "") -> str:
    status = sale_facts(sale)["status"] if sale.state is SaleState.REJECTED else None
    notes = dict.fromkeys(note for note in (shown_as(sale), status, sale.reason) if note)
    return f"{sale.k:>6}  {fen(sale.amount)!s:>14}  {whose}card {short(sale.request.payer)}  {'  '.join(notes)}"


def status_facts(identity: Identity, journal: Journal) -> dict[str, Any]:
    """`green` only when nothing is open and nothing waits: a queue that is not empty is never shown as success."""
    tallies = journal.tallies()
    open_sale, open_transfer = journal.open_sale(), journal.open_transfer()
    unanswered = journal.unanswered()
    waiting = [tallies[state] for state in _WAITING]
    refusals = journal.unsent_refusals() + sum(batch.refusals for batch in unanswered)
    undecided = [one for one in journal.undecided() if one.state is not TransferState.ASKING]
    untold = len(journal.untold())
    first = sale_facts(open_sale) if open_sale is not None else None
    nothing_open = open_sale is None and open_transfer is None and not undecided
    revocations = journal.revocation_list()
    return {
        **identity_facts(identity),
        "open": first if open_transfer is None else transfer_facts(open_transfer),
        "undecided": [transfer_facts(one) for one in undecided],
        "waiting_evidence": untold,
        "waiting": {"count": sum(t.count for t in waiting), "amount": sum(t.amount for t in waiting)},
        "waiting_refusals": refusals,
        "sales": {state.value: {"count": t.count, "amount": t.amount} for state, t in tallies.items()},
        "batches_unanswered": [
            {"number": b.number, "attempts": b.attempts, "last_error": b.last_error} for b in unanswered
        ],
        "transfers": journal.transfer_tallies(),
        "revocation_list": None if revocations is None else serial_of(revocations),
        "green": nothing_open and not refusals and not untold and not any(t.count for t in waiting),
    }


def serial_of(revocations: bytes) -> int:
    """The serial of a signed RevocationList that was verified before it was kept."""
    return parse(RevocationList, revocations, max_size=MAX_LIST_SIZE).message.serial


def status_text(facts: dict[str, Any]) -> str:
    lines = [f"till {facts['till'][:8]}  {facts['merchant_name']}"]
    first = facts["open"]
    if first is not None:
        said = phrases.open_transfer(first.get("kind", "SALE"), first["k"], fen(first["amount"]))
        with_sam = " --sam READER" if "kind" in first else ""
        lines.append(f"{phrases.TAP_AGAIN}  {said}")
        lines.append(f"  → `ecny pos resume{with_sam}` with the same card, or `ecny pos cancel{with_sam}`")
    for one in facts["undecided"]:
        amount = fen(one["amount"])
        lines.append(phrases.outcome_open(one["kind"], one["k"], amount, one["reason"] or phrases.NOT_DECIDED))
    if facts["undecided"]:
        lines.append("  → `ecny pos resume --sam READER`")
    waiting = facts["waiting"]
    if waiting["count"]:
        lines.append(phrases.not_all_sent(waiting["count"], fen(waiting["amount"])))
    if facts["waiting_refusals"]:
        lines.append(phrases.refusals_waiting(facts["waiting_refusals"]))
    if facts["waiting_evidence"]:
        lines.append(phrases.evidence_waiting(facts["waiting_evidence"]))
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


def upkeep_facts(done: Done) -> dict[str, Any]:
    return {
        "told": done.told,
        "revocation_list": done.serial or None,
        "revoked": done.revoked,
        "renewed": done.renewed.expires if done.renewed is not None else None,
    }


def inherited_facts(came: Inherited | None) -> dict[str, Any]:
    return {} if came is None else {"inherited": {"sales": came.sales, "transfers": came.transfers}}


def inherited_lines(came: Inherited | None) -> list[str]:
    return [] if came is None else [phrases.inherited(came.sales, came.transfers)]


def report_text(report: Report, done: Done) -> str:
    lines = [_batches_text(report)] if report.batches or not done.told else []
    if done.told:
        lines.append(phrases.evidence_told(done.told))
    if done.renewed is not None:
        lines.append(phrases.OPERATOR_RENEWED)
    return "\n".join(lines)


def _batches_text(report: Report) -> str:
    if not report.batches:
        return phrases.NOTHING_QUEUED
    batches = "1 batch" if report.batches == 1 else f"{report.batches} batches"
    line = f"settled  {report.settled}, {fen(report.settled_amount)}, in {batches}"
    if report.refusals:
        line += f"\nrefusals told  {report.refusals}"
    return line + (f"\n{phrases.rejected(report.rejected)}" if report.rejected else "")
