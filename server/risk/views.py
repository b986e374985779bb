"""HTTP of revocation, lost cards, dead tills, reviews and frauds."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from server.risk.desk import RiskDesk
from server.risk.facts import bound_facts, fraud_facts, reckoning_facts, review_facts
from server.risk.loss_bound import loss_bound
from server.risk.revocations import Revocations
from server.settings import Clock
from server.web import cose, json_body, octets, operator_only
from wallet_core.ids import HASH_SIZE, ID_SIZE


def blueprint(desk: RiskDesk, revocations: Revocations, clock: Clock) -> Blueprint:
    views = Blueprint("risk", __name__, url_prefix="/v1")

    @views.get("/revocations")
    def revoked() -> Response:
        return cose(revocations.signed())

    @views.post("/cards/<card>/freeze")
    @operator_only
    def freeze(card: str) -> dict[str, Any]:
        return {"status": desk.freeze(octets("card", card, ID_SIZE), clock()).name}

    @views.get("/cards/<card>/reckoning")
    @operator_only
    def reckoning(card: str) -> dict[str, Any]:
        return reckoning_facts(desk.reckoning(octets("card", card, ID_SIZE), clock()))

    @views.post("/cards/<card>/refund")
    @operator_only
    def refund(card: str) -> dict[str, Any]:
        asked = json_body({"to": str})
        destination = octets("to", asked["to"], ID_SIZE) if "to" in asked else None
        after, amount = desk.refund(octets("card", card, ID_SIZE), destination, clock())
        return {"refunded": amount, "reckoning": reckoning_facts(after)}

    @views.post("/tills/<till>/dead")
    @operator_only
    def dead(till: str) -> dict[str, Any]:
        return {"collected": desk.declare_dead(octets("till", till, ID_SIZE), clock())}

    @views.get("/reviews")
    @operator_only
    def reviews() -> dict[str, Any]:
        return {"reviews": [review_facts(one) for one in desk.reviews()]}

    @views.post("/reviews/<voucher>/pay")
    @operator_only
    def pay_review(voucher: str) -> dict[str, Any]:
        return {"loss": desk.pay_review(octets("voucher", voucher, HASH_SIZE), clock())}

    @views.get("/frauds")
    @operator_only
    def frauds() -> dict[str, Any]:
        return fraud_facts(desk.frauds(clock()))

    @views.get("/loss-bound")
    @operator_only
    def bound() -> dict[str, Any]:
        return bound_facts(loss_bound(desk.risk))

    return views
