"""HTTP of deposits."""

from __future__ import annotations

from flask import Blueprint, Response

from server.settings import Clock
from server.settlement.service import SettlementService
from server.web import COSE, body, cose
from wallet_core.messages.deposit import MAX_BATCH_SIZE


def blueprint(settlement: SettlementService, clock: Clock) -> Blueprint:
    views = Blueprint("settlement", __name__, url_prefix="/v1")

    @views.post("/deposits")
    def deposit() -> Response:
        return cose(settlement.settle(body(COSE, MAX_BATCH_SIZE), clock()))

    return views
