"""HTTP of enrolment: cards by the operator, tills by a one-time code."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from server.enrolment.cards import SERIAL_SIZE, CardEnrolment
from server.enrolment.tills import TillEnrolment
from server.keyring import Keyring
from server.settings import Clock
from server.web import json_body, octets, operator_only
from wallet_core.ids import ID_SIZE


def blueprint(cards: CardEnrolment, tills: TillEnrolment, keyring: Keyring, clock: Clock) -> Blueprint:
    views = Blueprint("enrolment", __name__, url_prefix="/v1")
    operator = keyring.operator_certificate.to_bytes().hex()
    authority = keyring.authority_certificate.to_bytes().hex()

    @views.post("/cards")
    @operator_only
    def enrol_card() -> dict[str, Any]:
        asked = json_body({"merchant": str, "replaces": str}, serial=str, certification_request=str)
        serial = octets("serial", asked["serial"], SERIAL_SIZE)
        request = octets("certification_request", asked["certification_request"])
        replaces = octets("replaces", asked["replaces"], ID_SIZE) if "replaces" in asked else None
        card = cards.enrol(serial, request, clock(), merchant=asked.get("merchant"), replaces=replaces)
        return {
            "card": card.card.hex(),
            "certificate": card.certificate.hex(),
            "operator_certificate": operator,
            "authority_certificate": authority,
            "policy": card.policy.hex(),
            "audit_key": card.audit_key.hex(),
        }

    @views.get("/cards/<card>/certificate")
    def card_certificate(card: str) -> dict[str, Any]:
        found = cards.certificate(octets("card", card, ID_SIZE))
        return {"certificate": found.hex(), "operator_certificate": operator}

    @views.post("/tills")
    def enrol_till() -> dict[str, Any]:
        asked = json_body({"succeeds": str}, code=str, certification_request=str)
        request = octets("certification_request", asked["certification_request"])
        succeeds = octets("succeeds", asked["succeeds"], ID_SIZE) if "succeeds" in asked else None
        till = tills.enrol(asked["code"], request, clock(), succeeds=succeeds)
        return {
            "till": till.till.hex(),
            "certificate": till.certificate.hex(),
            "operator_certificate": operator,
            "authority_certificate": authority,
            "merchant": till.merchant,
            "merchant_name": till.merchant_name,
        }

    return views
