"""HTTP of loads and unloads."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, request

from server.keyring import Keyring
from server.load.service import LoadService
from server.load.unloads import UnloadService
from server.problems import Problem
from server.settings import Clock
from server.web import COSE, MAX_MESSAGE, body, json_body, octets, operator_only
from wallet_core.ids import ID_SIZE
from wallet_core.messages import Voucher, parse

_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if _KEY.fullmatch(key) is None:
        raise Problem("malformed", "The header Idempotency-Key is missing, or not 1 to 255 visible characters.")
    return key


def blueprint(loads: LoadService, unloads: UnloadService, keyring: Keyring, clock: Clock) -> Blueprint:
    views = Blueprint("load", __name__, url_prefix="/v1")
    payers = keyring.purse_certificates

    def chain(voucher: bytes) -> dict[str, str]:
        """What COLLECT wants beside a voucher: the purse's certificate of the epoch that paid it."""
        return {
            "payer_certificate": payers[parse(Voucher, voucher).message.epoch].to_bytes().hex(),
            "operator_certificate": keyring.operator_certificate.to_bytes().hex(),
        }

    payee_chain = {
        "payee_certificate": keyring.purse_certificate.to_bytes().hex(),
        "operator_certificate": keyring.operator_certificate.to_bytes().hex(),
    }

    @views.post("/loads")
    @operator_only
    def begin() -> dict[str, Any]:
        asked = json_body(card=str, amount=int)
        card = octets("card", asked["card"], ID_SIZE)
        begun = loads.begin(keyring.idempotency_digest(_idempotency_key()), card, asked["amount"], clock())
        return {
            "load": begun.load,
            "payer": begun.payer.hex(),
            "epoch": begun.epoch,
            "n": begun.n,
            "order_hash": begun.order_hash.hex(),
        }

    @views.post("/loads/<load>/request")
    @operator_only
    def pay(load: str) -> dict[str, Any]:
        voucher = loads.pay(load, body(COSE, MAX_MESSAGE), clock())
        return {"voucher": voucher.hex(), **chain(voucher)}

    @views.get("/cards/<card>/loads")
    def pending(card: str) -> dict[str, Any]:
        paid = loads.pending(octets("card", card, ID_SIZE))
        return {
            "loads": [
                {"load": load.load, "amount": load.amount, "voucher": load.voucher.hex(), **chain(load.voucher)}
                for load in paid
            ]
        }

    @views.post("/receipts")
    def receipt() -> dict[str, Any]:
        loads.collected(body(COSE, MAX_MESSAGE), clock())
        return {"status": "recorded"}

    @views.post("/unloads")
    @operator_only
    def begin_unload() -> dict[str, Any]:
        asked = json_body(purse=str, epoch=int, n=int, amount=int)
        purse = octets("purse", asked["purse"], ID_SIZE)
        digest = keyring.idempotency_digest(_idempotency_key())
        begun = unloads.begin(digest, purse, asked["epoch"], asked["n"], asked["amount"], clock())
        return {"unload": begun.unload, "request": begun.request.hex(), **payee_chain}

    @views.post("/unloads/<unload>/voucher")
    def pay_out(unload: str) -> dict[str, Any]:
        receipt = unloads.pay_out(unload, body(COSE, MAX_MESSAGE), clock())
        return {"receipt": receipt.hex(), **payee_chain}

    return views
