"""A disk that is full, a database that is locked: 503, nothing moved, and the same bytes settle afterwards."""

from __future__ import annotations

import json
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from server.app import create_app
from support.operator_world import TOKEN, Bank, World

COSE = "application/cose"
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}
Fault = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path), busy_timeout_ms=20)
    yield made
    made.close()


@contextmanager
def disk_full(database: Path) -> Iterator[None]:
    """No file grows beyond the write-ahead log's present size (RLIMIT_FSIZE)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = database.with_name(database.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process is in the middle of a write."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


faults = pytest.mark.parametrize("fault", [disk_full, locked])


@faults
def test_every_writing_call(bank: Bank, fault: Fault) -> None:
    client = create_app(bank.settings, bank.parts).test_client()
    card, till = bank.card("a", 1_000), bank.till("t")
    begun = bank.begin(card, 400, "other")
    receipt = card.receipt(bank.pay(card, 300, "paid"))
    n = begun.n + 1  # behind the load that was paid since
    request = card.request_to(begun.payer, begun.epoch, n, 400, begun.order_hash).to_bytes()
    batch = till.batch([card.voucher(till, 10), card.voucher(till, 20)])
    calls = {
        "/v1/deposits": batch,
        "/v1/receipts": receipt,
        f"/v1/loads/{begun.load}/request": request,
    }
    before = bank.ledger()
    with fault(bank.world.database):
        for path, data in calls.items():
            refused(client, path, data)
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert bank.ledger() == before
    assert client.get("/readyz").status_code == 200
    assert client.post("/v1/deposits", data=batch, content_type=COSE).status_code == 200
    assert client.post("/v1/receipts", data=receipt, content_type=COSE).status_code == 200
    address = f"/v1/loads/{begun.load}/request"
    assert client.post(address, data=request, content_type=COSE, headers=OPERATOR).status_code == 200
    assert (bank.wallet(till), bank.shadow(card), bank.ledger().in_flight) == (30, 1_270, 400)
    assert bank.ledger().conserved


def refused(client: FlaskClient, path: str, data: bytes) -> None:
    response = client.post(path, data=data, content_type=COSE, headers=OPERATOR)
    document = json.loads(response.data)
    assert (response.status_code, document["type"]) == (503, "urn:ecny:problem:storage")
    assert "nothing was acknowledged" in document["next_step"]


@faults
def test_enrolment_and_beginning(bank: Bank, fault: Fault) -> None:
    client = create_app(bank.settings, bank.parts).test_client()
    card = bank.card("a")
    asked = {"card": card.id.hex(), "amount": 5}
    headers = {**OPERATOR, "Idempotency-Key": "k"}
    with fault(bank.world.database):
        assert client.post("/v1/loads", json=asked, headers=headers).status_code == 503
    assert client.post("/v1/loads", json=asked, headers=headers).status_code == 200


def test_the_disk_is_full_in_the_middle_of_a_large_batch(bank: Bank) -> None:
    card, till = bank.card("a", 50_000), bank.till("t")
    client = create_app(bank.settings, bank.parts).test_client()
    batch = till.batch([card.voucher(till, 1) for _ in range(200)])
    bank.parts.storage.probe()
    with disk_full(bank.world.database):
        refused(client, "/v1/deposits", batch)
    assert bank.wallet(till) == 0
    assert client.post("/v1/deposits", data=batch, content_type=COSE).status_code == 200
    assert bank.wallet(till) == 200
