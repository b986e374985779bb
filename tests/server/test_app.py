"""The HTTP interface of docs/spec/http.md: every call, every problem, and that a refusal moves nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from server.app import create_app
from server.problems import PROBLEMS, URN, Problem, problem_of
from server.web import MAX_JSON
from support.keys import NOW, key
from support.operator_world import TOKEN, Bank, World, answer_of, certification_request
from support.tree import ROOT
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    ConfigurationError,
    EcnyError,
    ExitCode,
    ExpiredCertificateError,
    MismatchError,
    PurseRefusal,
    Refused,
    StorageError,
    TruncatedError,
)
from wallet_core.messages import DepositStatus, Policy, Voucher, parse
from wallet_core.messages.deposit import MAX_BATCH_SIZE

COSE = "application/cose"
HTTP_MD = (ROOT / "docs" / "spec" / "http.md").read_text(encoding="utf-8")
SERIAL = bytes(range(8))
OPERATOR = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


@pytest.fixture
def client(bank: Bank) -> FlaskClient:
    return create_app(bank.settings, bank.parts).test_client()


def problem(response: TestResponse) -> dict[str, Any]:
    """The problem document, checked against RFC 9457 and our own table."""
    assert response.mimetype == "application/problem+json"
    document: dict[str, Any] = json.loads(response.data)
    name = document["type"].removeprefix(URN)
    assert (response.status_code, document["title"]) == PROBLEMS[name]
    assert document["status"] == response.status_code
    assert document["detail"]
    assert document["next_step"]
    assert document["code"]
    return document


def name_of(response: TestResponse) -> str:
    return str(problem(response)["type"]).removeprefix(URN)


class TestTheWholeStory:
    def test_over_http_alone(self, bank: Bank, client: FlaskClient) -> None:
        """Enrol a card and a till, load, pay, deposit: only what any client can see."""
        own = bank.world.card("visitor")
        request = certification_request(own.key, CertificateClass.HARD_WALLET, own.serial).hex()
        enrolled = client.post(
            "/v1/cards", json={"serial": own.serial.hex(), "certification_request": request}, headers=OPERATOR
        ).get_json()
        own.certificate = Certificate.from_bytes(bytes.fromhex(enrolled["certificate"]))
        own.audit_key = bytes.fromhex(enrolled["audit_key"])
        policy = parse(Policy, bytes.fromhex(enrolled["policy"]))
        operator = Certificate.from_bytes(bytes.fromhex(enrolled["operator_certificate"]))
        assert policy.verify(operator.key).balance_limit == 100_000

        begun = client.post(
            "/v1/loads", json={"card": enrolled["card"], "amount": 50_000}, headers={**OPERATOR, "Idempotency-Key": "1"}
        ).get_json()
        signed = own.request_to(
            bytes.fromhex(begun["payer"]), begun["epoch"], begun["n"], 50_000, bytes.fromhex(begun["order_hash"])
        )
        paid = client.post(
            f"/v1/loads/{begun['load']}/request", data=signed.to_bytes(), content_type=COSE, headers=OPERATOR
        ).get_json()
        pending = client.get(f"/v1/cards/{enrolled['card']}/loads").get_json()["loads"]
        assert pending == [{"load": begun["load"], "amount": 50_000, **paid}]
        payer = Certificate.from_bytes(bytes.fromhex(paid["payer_certificate"]))
        assert parse(Voucher, bytes.fromhex(paid["voucher"])).verify(payer.key).amount == 50_000
        receipt = own.receipt(bytes.fromhex(paid["voucher"]))
        assert client.post("/v1/receipts", data=receipt, content_type=COSE).get_json() == {"status": "recorded"}
        assert client.get(f"/v1/cards/{enrolled['card']}/loads").get_json() == {"loads": []}

        made, till = bank.parts.tills.add_merchant("Tea House", NOW), bank.world.till("t")
        proof = certification_request(till.key, CertificateClass.TILL, made.code.encode()).hex()
        joined = client.post("/v1/tills", json={"code": made.code, "certification_request": proof}).get_json()
        assert (joined["till"], joined["merchant"]) == (till.id.hex(), made.merchant)
        assert joined["merchant_name"] == "Tea House"
        known = client.get(f"/v1/cards/{enrolled['card']}/certificate").get_json()
        assert known == {
            "certificate": enrolled["certificate"],
            "operator_certificate": enrolled["operator_certificate"],
        }

        batch = till.batch([own.voucher(till, 6_800)])
        first = client.post("/v1/deposits", data=batch, content_type=COSE)
        assert (first.status_code, first.mimetype) == (200, COSE)
        assert answer_of(first.data, bank.world).voucher_statuses == (DepositStatus.SETTLED,)
        assert client.post("/v1/deposits", data=batch, content_type=COSE).data == first.data
        assert (bank.ledger().cards, bank.ledger().wallets) == (43_200, 6_800)

    def test_trust(self, bank: Bank, client: FlaskClient) -> None:
        trust = client.get("/v1/trust").get_json()
        assert trust == {
            "authority": bank.world.keyring.authority_certificate.to_bytes().hex(),
            "operators": [bank.world.keyring.operator_certificate.to_bytes().hex()],
            "production": False,
        }


class TestHealth:
    def test_well(self, client: FlaskClient) -> None:
        assert client.get("/healthz").get_json() == {"status": "ok"}
        assert client.get("/readyz").get_json() == {"status": "ready"}

    def test_the_database_refuses(self, bank: Bank, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse() -> None:
            raise StorageError("no space left")

        monkeypatch.setattr(bank.parts.storage, "probe", refuse)
        assert name_of(client.get("/readyz")) == "not-ready"
        assert client.get("/healthz").status_code == 200

    def test_the_operators_certificate_has_expired(self, bank: Bank) -> None:
        settings = bank.world.settings(clock=lambda: bank.world.keyring.operator_certificate.expires)
        client = create_app(settings, bank.parts).test_client()
        assert "expired" in problem(client.get("/readyz"))["detail"]

    def test_no_purse(self, tmp_path: Path) -> None:
        app = create_app(World.make(tmp_path).settings())
        assert name_of(app.test_client().get("/readyz")) == "not-ready"
        app.extensions["ecny-parts"].close()


OPERATOR_CALLS = [
    "/v1/cards",
    "/v1/loads",
    "/v1/loads/{load}/request",
    "/v1/unloads",
    "/v1/cards/{id}/freeze",
    "/v1/cards/{id}/refund",
    "/v1/tills/{id}/dead",
    "/v1/reviews/{voucher}/pay",
]


class TestTheOperatorsToken:
    @pytest.mark.parametrize("path", OPERATOR_CALLS)
    @pytest.mark.parametrize(
        "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
    )
    def test_wrong_or_missing(self, client: FlaskClient, path: str, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        response = client.post(re.sub(r"{\w+}", "00", path), json={}, headers=headers)
        assert name_of(response) == "not-authorised"
        assert response.headers["WWW-Authenticate"] == "Bearer"

    def test_the_calls_that_want_it_are_those_of_the_page(self) -> None:
        rows = re.findall(r"^\| `POST (\S+)` \|.*\| operator \|$", HTTP_MD, re.MULTILINE)
        assert rows == OPERATOR_CALLS


def body(**changes: object) -> dict[str, object]:
    return {"serial": SERIAL.hex(), "certification_request": "", **changes}


class TestBodies:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff",
            b"{}",
            b'{"serial": "00"}',
            json.dumps(body(extra=1)).encode(),
            json.dumps(body(serial=5)).encode(),
            json.dumps(body(serial="AA" * 8)).encode(),
            json.dumps(body(serial="00" * 7)).encode(),
            json.dumps(body(serial="0")).encode(),
            json.dumps(body(certification_request="zz")).encode(),
            json.dumps(body(certification_request="00")).encode(),
            b'{"serial": "%s", "serial": "%s", "certification_request": ""}' % ((SERIAL.hex().encode(),) * 2),
            b"[" * 4_000,
        ],
    )
    def test_malformed_json(self, client: FlaskClient, data: bytes) -> None:
        response = client.post("/v1/cards", data=data, content_type="application/json", headers=OPERATOR)
        assert name_of(response) == "malformed"

    @pytest.mark.parametrize("amount", ["5", 5.0, True, None, [5]])
    def test_amounts_are_whole_numbers(self, bank: Bank, client: FlaskClient, amount: object) -> None:
        card = bank.card("a")
        response = client.post(
            "/v1/loads", json={"card": card.id.hex(), "amount": amount}, headers={**OPERATOR, "Idempotency-Key": "k"}
        )
        assert name_of(response) == "malformed"

    @pytest.mark.parametrize("amount", [0, -1, 100_001, 10**30])
    def test_amounts_outside_the_limits(self, bank: Bank, client: FlaskClient, amount: int) -> None:
        card = bank.card("a")
        response = client.post(
            "/v1/loads", json={"card": card.id.hex(), "amount": amount}, headers={**OPERATOR, "Idempotency-Key": "k"}
        )
        assert name_of(response) == "limit"

    @pytest.mark.parametrize("key_header", [None, "", "a b", "x" * 256])
    def test_a_load_wants_a_key(self, bank: Bank, client: FlaskClient, key_header: str | None) -> None:
        headers = dict(OPERATOR) if key_header is None else {**OPERATOR, "Idempotency-Key": key_header}
        response = client.post("/v1/loads", json={"card": bank.card("a").id.hex(), "amount": 5}, headers=headers)
        assert name_of(response) == "malformed"

    @pytest.mark.parametrize("path", ["/v1/deposits", "/v1/receipts", "/v1/loads/x/request"])
    def test_signed_messages_have_their_media_type(self, client: FlaskClient, path: str) -> None:
        for media_type in ("application/json", "application/octet-stream", None):
            response = client.post(path, data=b"x", content_type=media_type, headers=OPERATOR)
            assert name_of(response) == "unsupported-media-type"
        assert name_of(client.post(path, data=b"x", content_type=COSE, headers=OPERATOR)) == "malformed"

    def test_json_has_its_media_type(self, client: FlaskClient) -> None:
        response = client.post("/v1/tills", data=b"{}", content_type=COSE)
        assert name_of(response) == "unsupported-media-type"

    @pytest.mark.parametrize(
        ("path", "media_type", "limit"),
        [
            ("/v1/deposits", COSE, MAX_BATCH_SIZE),
            ("/v1/receipts", COSE, 1024),
            ("/v1/loads/x/request", COSE, 1024),
            ("/v1/tills", "application/json", MAX_JSON),
        ],
    )
    def test_too_large(self, client: FlaskClient, path: str, media_type: str, limit: int) -> None:
        refused = problem(client.post(path, data=bytes(limit + 1), content_type=media_type, headers=OPERATOR))
        assert (refused["type"], refused["limit"]) == (URN + "too-large", limit)
        response = client.post(path, data=bytes(limit), content_type=media_type, headers=OPERATOR)
        assert name_of(response) == "malformed"

    @pytest.mark.parametrize(
        "path", ["/v1/cards/zz/loads", "/v1/cards/00/certificate", "/v1/cards/" + "AB" * 32 + "/loads"]
    )
    def test_an_id_in_an_address(self, client: FlaskClient, path: str) -> None:
        assert name_of(client.get(path)) == "malformed"

    def test_no_such_address_or_method(self, client: FlaskClient) -> None:
        assert name_of(client.get("/v2/deposits")) == "not-found"
        response = client.get("/v1/deposits")
        assert name_of(response) == "method-not-allowed"
        assert response.headers["Allow"] == "OPTIONS, POST"


class TestRefusals:
    def test_stale_counter_gives_the_counter(self, bank: Bank, client: FlaskClient) -> None:
        card = bank.card("a")
        begun = bank.begin(card, 500, "k")
        raw = card.request_to(begun.payer, begun.epoch, 9, 500, begun.order_hash).to_bytes()
        response = client.post(f"/v1/loads/{begun.load}/request", data=raw, content_type=COSE, headers=OPERATOR)
        refused = problem(response)
        assert (refused["code"], refused["epoch"], refused["n"]) == ("stale-counter", 1, 1)

    def test_out_of_order_gives_what_is_expected(self, bank: Bank, client: FlaskClient) -> None:
        till = bank.till("t")
        till.batch([])
        refused = problem(client.post("/v1/deposits", data=till.batch([]), content_type=COSE))
        assert refused["type"] == URN + "batch-out-of-order"
        assert (refused["expected_number"], refused["last_hash"]) == (1, "00" * 32)

    def test_the_code_names_the_error(self, bank: Bank, client: FlaskClient) -> None:
        till = bank.till("t")
        raw = till.batch([])
        refused = problem(client.post("/v1/deposits", data=raw[:-1] + bytes((raw[-1] ^ 1,)), content_type=COSE))
        assert (refused["type"], refused["code"]) == (URN + "not-verified", "bad-signature")
        refused = problem(client.post("/v1/deposits", data=raw[:-1], content_type=COSE))
        assert (refused["type"], refused["code"]) == (URN + "malformed", "truncated")

    def test_a_card_of_another_class(self, client: FlaskClient) -> None:
        raw = certification_request(key("x"), CertificateClass.OPERATOR_PURSE, SERIAL).hex()
        refused = problem(client.post("/v1/cards", json=body(certification_request=raw), headers=OPERATOR))
        assert (refused["type"], refused["code"]) == (URN + "not-verified", "wrong-class")

    def test_used_and_unknown_codes(self, bank: Bank, client: FlaskClient) -> None:
        made = bank.parts.tills.add_merchant("M", NOW)

        def enrol(name: str, code: str) -> TestResponse:
            proof = certification_request(key(name), CertificateClass.TILL, code.encode()).hex()
            return client.post("/v1/tills", json={"code": code, "certification_request": proof})

        assert enrol("a", made.code).status_code == 200
        assert enrol("a", made.code).status_code == 200
        assert name_of(enrol("b", made.code)) == "code-used"
        assert name_of(enrol("c", "unknown")) == "not-authorised"

    def test_an_empty_purse(self, tmp_path: Path) -> None:
        bank = Bank(World.make(tmp_path), issued=0)
        client = create_app(bank.settings, bank.parts).test_client()
        card = bank.card("a")
        begun = bank.begin(card, 5, "k")
        raw = card.request_to(begun.payer, 1, 1, 5, begun.order_hash).to_bytes()
        response = client.post(f"/v1/loads/{begun.load}/request", data=raw, content_type=COSE, headers=OPERATOR)
        assert name_of(response) == "purse-empty"
        bank.close()


class TestUnexpected:
    def failing(self, bank: Bank, monkeypatch: pytest.MonkeyPatch, error: Exception) -> TestResponse:
        def fail(*_: object) -> bytes:
            raise error

        monkeypatch.setattr(bank.parts.settlement, "settle", fail)
        client = create_app(bank.settings, bank.parts).test_client()
        return client.post("/v1/deposits", data=b"x", content_type=COSE)

    def test_a_fault_of_ours_is_not_described(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        response = self.failing(bank, monkeypatch, RuntimeError("secret detail"))
        assert name_of(response) == "internal-error"
        assert b"secret" not in response.data
        monkeypatch.undo()
        response = self.failing(bank, monkeypatch, PurseRefusal(Refused.AMOUNT, "secret detail"))
        assert name_of(response) == "internal-error"
        assert b"secret" not in response.data

    def test_storage(self, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
        assert name_of(self.failing(bank, monkeypatch, StorageError("disk full"))) == "storage"


def test_each_request_is_one_line_without_ids(bank: Bank, client: FlaskClient) -> None:
    card = bank.card("a")
    with structlog.testing.capture_logs() as logs:
        client.get(f"/v1/cards/{card.id.hex()}/loads", headers=OPERATOR)
        client.get("/v1/cards/zz/loads")
    lines = [entry for entry in logs if entry["event"] == "request"]
    assert [line["rule"] for line in lines] == ["/v1/cards/<card>/loads"] * 2
    assert [line["status"] for line in lines] == [200, 400]
    assert lines[1]["problem"] == "malformed"
    assert card.id.hex() not in repr(logs)
    assert TOKEN not in repr(logs)


def test_the_page_names_every_problem_with_its_status() -> None:
    listed = dict(re.findall(r"`([a-z-]+)` (\d{3})", HTTP_MD.partition("**Problems.**")[2]))
    assert {name: str(status.value) for name, (status, _) in PROBLEMS.items()} == listed


def test_the_page_names_every_call(client: FlaskClient) -> None:
    rules = {
        (
            method,
            re.sub(r"<(?:card|till)>", "{id}", rule.rule)
            .replace("<voucher>", "{voucher}")
            .replace("<load>", "{load}")
            .replace("<unload>", "{unload}"),
        )
        for rule in client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == set(re.findall(r"^\| `(GET|POST) (\S+)` \|", HTTP_MD, re.MULTILINE))


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (TruncatedError("x"), "malformed"),
        (MismatchError("x"), "not-verified"),
        (ExpiredCertificateError("x"), "not-verified"),
        (StorageError("x"), "storage"),
        (ConfigurationError("x"), "not-ready"),
        (EcnyError("x"), "internal-error"),
        (Problem("limit", "x"), "limit"),
    ],
)
def test_errors_become_problems(error: EcnyError, name: str) -> None:
    assert problem_of(error).problem == name


def test_a_problem_is_an_error_of_the_tree() -> None:
    made = Problem("limit", "too much", limit=5)
    assert (made.status, made.exit_code) == (422, ExitCode.SERVER_REFUSED)
    assert made.document()["limit"] == 5
    assert (made.message, made.document()["detail"]) == ("too much", "too much")
