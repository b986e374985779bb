"""Reports, evidence and unloads over HTTP, and `ecny server till close-request`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.app import create_app
from server.risk.standing import move_to
from server.storage.records_risk import PurseStatus
from support.enrolled import CARD, SAM, enrol, pays, pays_till
from support.keys import NOW, OPERATOR_PURSE, key
from support.operator_world import TOKEN, Bank, Site, World, certification_request
from wallet_core.certificates import Certificate
from wallet_core.cli import root
from wallet_core.messages import Closing, Grant, Policy, Receipt, ReversalOrder, parse

OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), issued=200_000)
    yield made
    made.close()


@pytest.fixture
def client(bank: Bank) -> FlaskClient:
    return create_app(bank.settings, bank.parts).test_client()


def name_of(response: TestResponse) -> str:
    document: dict[str, Any] = response.get_json()
    return str(document["type"]).removeprefix("urn:ecny:problem:")


def test_a_merchants_purse_is_enrolled_paid_and_unloaded(bank: Bank, client: FlaskClient) -> None:
    merchant = bank.parts.tills.add_merchant("Shop", NOW).merchant
    card, own = enrol(bank, "card", loaded=1_000), key("purse sam")
    request = certification_request(own, SAM, b"serial 1")
    body = {"serial": b"serial 1".hex(), "certification_request": request.hex(), "merchant": merchant}
    made = client.post("/v1/cards", json=body, headers=OPERATOR).get_json()
    assert Certificate.from_bytes(bytes.fromhex(made["certificate"])).subject_class is SAM
    assert parse(Policy, bytes.fromhex(made["policy"])).message.purse_class == SAM
    with bank.parts.storage.reading() as tx:
        known = tx.purse(own.public.thumbprint)
    assert known is not None
    assert known.merchant == merchant
    assert client.post("/v1/cards", json=body | {"merchant": 5}, headers=OPERATOR).status_code == 400
    assert client.post("/v1/cards", json=body | {"shop": "x"}, headers=OPERATOR).status_code == 400
    sam = enrol_again(bank, own.public.thumbprint, card, client, merchant)
    assert sam == {"name": f"wallet/{merchant}", "balance": 300}


def enrol_again(bank: Bank, sam_id: bytes, card: Any, client: FlaskClient, merchant: str) -> dict[str, Any]:
    """A purse of the same merchant takes 300 fen from the card and unloads them; the merchant's account."""
    sam = enrol(bank, "other sam", SAM, merchant=merchant)
    assert sam.id != sam_id
    voucher = pays(card, sam, 300)
    receipt = sam.collect(voucher, CARD)
    body = {"messages": [receipt.hex(), "00", voucher.hex()]}
    statuses = client.post("/v1/evidence", json=body).get_json()
    assert statuses == {"statuses": ["waiting", "malformed", "recorded"]}
    asked = {"purse": sam.id.hex(), "epoch": 1, "n": 1, "amount": 300}
    assert client.post("/v1/unloads", json=asked).status_code == 401
    assert name_of(client.post("/v1/unloads", json=asked, headers=OPERATOR)) == "malformed"  # no Idempotency-Key
    begun = client.post("/v1/unloads", json=asked, headers=OPERATOR | {"Idempotency-Key": "k"}).get_json()
    paid = sam.pay(bytes.fromhex(begun["request"]), payee=OPERATOR_PURSE)
    address = f"/v1/unloads/{begun['unload']}/voucher"
    answer = client.post(address, data=paid, content_type="application/cose").get_json()
    parse(Receipt, bytes.fromhex(answer["receipt"])).verify(OPERATOR_PURSE.key.public)
    assert answer["payee_certificate"] == begun["payee_certificate"] == OPERATOR_PURSE.certificate.to_bytes().hex()
    accounts: list[dict[str, Any]] = bank.ledger().facts()["accounts"]
    return next(account for account in accounts if account["name"] == f"wallet/{merchant}")


def test_a_report_is_answered_with_grant_orders_and_policy(bank: Bank, client: FlaskClient) -> None:
    card, till = enrol(bank, "card", loaded=1_000), bank.till("t")
    voucher, request_hash = pays_till(card, till, 300)
    bank.settle(till.batch([], [till.refusal(request_hash)]))
    answer = client.post("/v1/reports", json={"report": card.report().hex(), "vouchers": [voucher.hex()]}).get_json()
    assert set(answer) == {"grant", "orders", "policy"}
    assert answer["policy"] is None
    assert parse(Grant, bytes.fromhex(answer["grant"])).message.purse == card.id
    (order,) = answer["orders"]
    assert parse(ReversalOrder, bytes.fromhex(order)).message.payer == card.id
    full: dict[str, list[str]] = {name: [] for name in ("vouchers", "receipts", "refusals", "certificates")}
    assert client.post("/v1/reports", json={"report": card.report().hex(), **full}).get_json() == answer


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "malformed"),
        ({"report": 5}, "malformed"),
        ({"report": "zz"}, "malformed"),
        ({"report": "00"}, "malformed"),
        ({"report": "00", "vouchers": [5]}, "malformed"),
        ({"report": "00", "vouchers": "00"}, "malformed"),
        ({"report": "00", "more": []}, "malformed"),
        ({"report": "00", "receipts": ["00"] * 65}, "too-large"),
        ({"report": "00" * 200_000}, "too-large"),
    ],
)
def test_a_body_that_is_no_report(client: FlaskClient, body: dict[str, Any], problem: str) -> None:
    assert name_of(client.post("/v1/reports", json=body)) == problem


def test_too_much_evidence(client: FlaskClient) -> None:
    assert name_of(client.post("/v1/evidence", json={"messages": ["00"] * 1_001})) == "too-large"
    assert client.post("/v1/evidence", json={"messages": []}).get_json() == {"statuses": []}


def test_closing_a_request_at_the_desk(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.bank() as bank:
        till = bank.till("t")
        with bank.parts.storage.writing() as tx:
            move_to(tx, till.id, PurseStatus.DEAD, "a test", now=NOW)
    words = ["--data", str(tmp_path), "server", "till", "close-request", till.id.hex()]
    file = tmp_path / "closing.cose"
    done = CliRunner().invoke(root, [*words, "ab" * 32, "--out", str(file), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["closing"] == file.read_bytes().hex()
    closing = parse(Closing, file.read_bytes()).verify(site.world.operator.public)
    assert (closing.payee, closing.request_hash) == (till.id, b"\xab" * 32)
    assert CliRunner().invoke(root, [*words, "ab" * 32]).exit_code == 0
    assert CliRunner().invoke(root, [*words, "ab"]).exit_code == 2
