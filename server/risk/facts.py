"""Reckonings, reviews, frauds, the loss bound as plain values, for HTTP and `--json`; ids and hashes in hexadecimal."""

from __future__ import annotations

from typing import Any

from server.risk.loss_bound import LossBound
from server.risk.lost import Reckoning
from server.risk.proofs import Frauds
from server.risk.reviews import Review


def reckoning_facts(reckoning: Reckoning) -> dict[str, Any]:
    return {
        "card": reckoning.card.hex(),
        "status": reckoning.status.name,
        "lines": [{"line": name, "fen": fen} for name, fen in reckoning.lines],
        "refundable": reckoning.refundable,
        "later": reckoning.later,
        "due_at": reckoning.due_at,
        "sources": reckoning.sources,
    }


def review_facts(review: Review) -> dict[str, Any]:
    return {
        "voucher": review.voucher_hash.hex(),
        "payer": review.payer.hex(),
        "epoch": review.epoch,
        "n": review.n,
        "amount": review.amount,
        "payee": review.payee.hex(),
        "equivocating": review.equivocating,
    }


def fraud_facts(frauds: Frauds) -> dict[str, Any]:
    return {
        "frauds": [
            {
                "culprit": one.culprit.hex(),
                "kind": one.kind.name,
                "what": one.what,
                "proof": one.file.hex() if one.file is not None else None,
            }
            for one in frauds.proofs
        ],
        "overspent": [
            {
                "purse": one.payer.hex(),
                "spent": one.spent,
                "received": one.received,
                "overspent": one.overspent,
                "lost": one.lost,
                "waiting": one.waiting,
            }
            for one in frauds.overspent
        ],
    }


def bound_facts(bound: LossBound) -> dict[str, Any]:
    return {
        "lines": [{"line": name, "number": number, "unit": unit} for name, number, unit in bound.lines],
        "minted": bound.minted,
        "operator": bound.operator,
        "merchants": bound.merchants,
    }
