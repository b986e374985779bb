"""The operator's desk over HTTP and on the command line: the same facts, the token, exit codes, files of proofs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from server.app import create_app
from server.installation import new_epoch
from server.keyring import load_keyring
from server.problems import Problem
from server.settings import Settings, system_clock
from support.keys import NOW, OPERATOR, certify, key
from support.operator_world import TOKEN, Bank, CardDouble, Site, World, certification_request
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cli import root
from wallet_core.errors import ConfigurationError
from wallet_core.messages import DepositStatus, RevocationList, Voucher, parse
from wallet_core.messages.revocation import MAX_LIST_SIZE

OPERATOR_CALL = {"Authorization": f"Bearer {TOKEN}"}
UNKNOWN = "00" * 32


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path))
    yield made
    made.close()


@pytest.fixture
def client(bank: Bank) -> FlaskClient:
    return create_app(bank.settings, bank.parts).test_client()


def double_spend(bank: Bank, name: str = "clone") -> CardDouble:
    card, till = bank.card(name, 1_000), bank.till(name)
    bank.settle(till.batch([card.voucher(till, 5), card.voucher(till, 6, n=1)]))
    return card


class TestOverHttp:
    def post(self, client: FlaskClient, address: str, **body: str) -> dict[str, Any]:
        answer = client.post(address, json=body, headers=OPERATOR_CALL)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    def get(self, client: FlaskClient, address: str) -> dict[str, Any]:
        answer = client.get(address, headers=OPERATOR_CALL)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json
        return found

    @pytest.mark.parametrize(
        "address", [f"/v1/cards/{UNKNOWN}/reckoning", "/v1/reviews", "/v1/frauds", "/v1/loss-bound"]
    )
    def test_reading_wants_the_token(self, client: FlaskClient, address: str) -> None:
        assert client.get(address).status_code == 401

    def test_the_list_is_open_and_signed(self, bank: Bank, client: FlaskClient) -> None:
        card = bank.card("a")
        assert self.post(client, f"/v1/cards/{card.id.hex()}/freeze") == {"status": "FROZEN"}
        answer = client.get("/v1/revocations")
        assert answer.mimetype == "application/cose"
        found = parse(RevocationList, answer.data, max_size=MAX_LIST_SIZE).verify(OPERATOR.key.public)
        assert list(found.entries) == [card.id]

    def test_a_lost_card(self, bank: Bank, client: FlaskClient) -> None:
        card, new = bank.card("a", 50_000), bank.card("b")
        base = f"/v1/cards/{card.id.hex()}"
        self.post(client, f"{base}/freeze")
        found = self.get(client, f"{base}/reckoning")
        assert found["lines"][3] == {"line": "balance", "fen": 50_000}
        assert (found["status"], found["refundable"], found["later"]) == ("FROZEN", 0, 50_000)
        assert self.post(client, f"{base}/refund", to=new.id.hex())["refunded"] == 0
        assert client.post(f"{base}/refund", json={"to": 5}, headers=OPERATOR_CALL).status_code == 400
        refused = client.post(f"/v1/cards/{UNKNOWN}/freeze", json={}, headers=OPERATOR_CALL)
        assert (refused.status_code, refused.json["code"]) == (404, "not-found")

    def test_frauds_and_reviews(self, bank: Bank, client: FlaskClient) -> None:
        card = double_spend(bank)
        (fraud,) = self.get(client, "/v1/frauds")["frauds"]
        assert (fraud["culprit"], fraud["kind"]) == (card.id.hex(), "DOUBLE_SPEND")
        own, till = key("stranger"), bank.till("u")
        stranger = CardDouble(own, certify(bank.world.operator, own, CertificateClass.HARD_WALLET), bytes(8), bytes(16))
        voucher = stranger.voucher(till, 70)
        bank.settle(till.batch([voucher], certificates=[stranger.certificate.to_bytes()]))
        (review,) = self.get(client, "/v1/reviews")["reviews"]
        assert (review["amount"], review["payee"], review["equivocating"]) == (70, till.id.hex(), False)
        assert review["voucher"] == parse(Voucher, voucher).hash.hex()
        assert self.post(client, f"/v1/reviews/{review['voucher']}/pay") == {"loss": 70}
        assert self.get(client, "/v1/reviews") == {"reviews": []}

    def test_a_replacement_and_a_succeeding_till(self, bank: Bank, client: FlaskClient) -> None:
        old, till = bank.card("old"), bank.till("old")
        request = certification_request(key("new card"), CertificateClass.HARD_WALLET, b"serial-8")
        body = {"serial": b"serial-8".hex(), "certification_request": request.hex(), "replaces": old.id.hex()}
        assert client.post("/v1/cards", json=body, headers=OPERATOR_CALL).status_code == 200
        code = bank.parts.tills.new_code(till.merchant, NOW)
        request = certification_request(key("new till"), CertificateClass.TILL, code.encode())
        body = {"code": code, "certification_request": request.hex(), "succeeds": till.id.hex()}
        assert client.post("/v1/tills", json=body).json["merchant"] == till.merchant
        assert {one.status.name for one in bank.parts.desk.standings()} == {"REPLACED"}
        again = client.post(
            "/v1/loads", json={"card": old.id.hex(), "amount": 5}, headers=OPERATOR_CALL | {"Idempotency-Key": "k"}
        )
        assert (again.status_code, again.json["code"]) == (403, "revoked")

    def test_the_bound(self, client: FlaskClient) -> None:
        found = self.get(client, "/v1/loss-bound")
        assert found["minted"] == found["operator"] + found["merchants"]
        assert len(found["lines"]) == 7


class Desk:
    """`ecny server` in one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self._runner = CliRunner()

    def run(self, *words: str, code: int = 0) -> Result:
        done = self._runner.invoke(root, ["--data", str(self.data), "server", *words])
        assert done.exit_code == code, done.output + done.stderr
        return done

    def ask(self, *words: str) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.run(*words, "--json").stdout)
        return facts


class TestOnTheCommandLine:
    @pytest.fixture(autouse=True)
    def _site(self, tmp_path: Path) -> None:
        self.site = Site(tmp_path)
        self.desk = Desk(tmp_path)

    def test_nobody_and_nothing(self) -> None:
        assert "everyone is ACTIVE" in self.desk.run("standing").stdout
        assert "no fraud is proved" in self.desk.run("fraud", "list").stdout
        assert "no voucher waits" in self.desk.run("review", "list").stdout
        assert self.desk.ask("fraud", "export", "--out", str(self.site.data / "proofs")) == {"files": []}

    def test_a_lost_card(self) -> None:
        with self.site.bank() as bank:
            card, new = bank.card("lost", 500), bank.card("new")
        shown = card.id.hex()
        assert self.desk.ask("card", "freeze", shown)["status"] == "FROZEN"
        printed = self.desk.run("card", "reckoning", shown).stdout
        assert "refundable now" in printed
        assert "balance" in printed
        assert "nothing is refundable now" in self.desk.run("card", "refund", shown).stdout
        assert self.desk.ask("card", "refund", shown, "--to", new.id.hex())["refunded"] == 0
        self.desk.run("card", "replace", shown, new.id.hex())
        (standing,) = self.desk.ask("standing")["standings"]
        assert (standing["id"], standing["status"]) == (shown, "REPLACED")
        assert "REPLACED" in self.desk.run("standing").stdout

    def test_wrong_arguments(self) -> None:
        self.desk.run("card", "freeze", "zz", code=2)
        self.desk.run("card", "freeze", UNKNOWN, code=9)
        self.desk.run("till", "dead", UNKNOWN, code=9)
        self.desk.run("review", "pay", UNKNOWN, code=9)
        self.desk.run("merchant", "code", "nobody", code=9)

    def test_a_dead_till_and_a_code_for_the_next_one(self) -> None:
        with self.site.bank() as bank:
            till = bank.till("t")
        assert self.desk.ask("till", "dead", till.id.hex()) == {"till": till.id.hex(), "collected": 0}
        assert len(self.desk.ask("merchant", "code", till.merchant)["code"]) == 27
        out = self.site.data / "code"
        assert self.desk.ask("merchant", "code", till.merchant, "--code-out", str(out))["code_file"] == str(out)

    def test_proofs_are_files_that_anyone_can_check(self) -> None:
        with self.site.bank() as bank:
            card = double_spend(bank)
        assert "OVERSPENT" not in self.desk.run("fraud", "list").stdout
        (file,) = self.desk.ask("fraud", "export", "--out", str(self.site.data / "proofs"))["files"]
        authority = self.site.data / "server" / "authority.cert"
        words = ["verify", file, "--trust", str(authority), "--json"]
        done = CliRunner().invoke(root, words)
        assert done.exit_code == 0, done.output + done.stderr
        assert card.id.hex() in done.stdout

    def test_a_review_is_paid(self) -> None:
        with self.site.bank() as bank:
            card, till = bank.card("minting", 100), bank.till("t")
            bank.settle(till.batch([card.voucher(till, 170)]))
        (review,) = self.desk.ask("review", "list")["reviews"]
        assert "170 fen" in self.desk.run("review", "list").stdout
        (overspent,) = self.desk.ask("fraud", "list")["overspent"]
        assert (overspent["purse"], overspent["overspent"], overspent["waiting"]) == (card.id.hex(), 70, 170)
        assert "OVERSPENT" in self.desk.run("fraud", "list").stdout
        assert self.desk.ask("review", "pay", review["voucher"])["loss"] == 70
        assert self.site.ledger().loss == 70

    def test_the_bound_follows_the_file(self) -> None:
        before = self.desk.ask("loss-bound")
        (self.site.data / "server" / "risk.json").write_text('{"review_cap": 1}')
        assert (before["operator"], self.desk.ask("loss-bound")["operator"]) == (100_000, 1)
        said = self.desk.run("loss-bound").stdout
        assert "minted at most" in said
        assert "A broken payee" in said


class TestARestoredPurse:
    """The operator's purse comes back from a backup: a new certified epoch, and what the old one paid is collected."""

    @pytest.fixture(autouse=True)
    def _site(self, tmp_path: Path) -> None:
        self.site = Site(tmp_path)
        self.directory = tmp_path / "server"

    def bank(self) -> Bank:
        """The server as it starts again: with the keyring that is on disk."""
        self.site.world.keyring = load_keyring(self.directory)
        return Bank(self.site.world, issued=0, clock=system_clock)

    def epoch(self, wanted: int | None = None) -> Certificate:
        bank = self.bank()
        made = new_epoch(self.directory, bank.parts.storage, wanted)
        bank.close()
        return made

    def test_it_counts_from_one_under_a_new_certificate(self) -> None:
        bank = self.bank()
        card = bank.card("a", 100)
        paid = bank.pay(card, 200, "old epoch")
        begun = bank.begin(card, 300, "begun before")
        bank.close()
        made = self.epoch()
        assert (made.epoch, made.subject) == (2, self.site.world.keyring.purse_certificate.subject)
        bank = self.bank()
        bank.world.keyring.trust().verify(made, now=None, allowed=(CertificateClass.OPERATOR_PURSE,))
        stale = card.request_to(begun.payer, begun.epoch, begun.n, 300, begun.order_hash).to_bytes()
        with pytest.raises(Problem) as caught:
            bank.parts.loads.pay(begun.load, stale, NOW)
        assert (caught.value.problem, caught.value.members) == ("stale-counter", {"epoch": 2, "n": 1})
        fresh = card.request_to(begun.payer, 2, 1, 300, begun.order_hash).to_bytes()
        voucher = bank.parts.loads.pay(begun.load, fresh, NOW)
        assert (parse(Voucher, voucher).message.epoch, parse(Voucher, voucher).message.n) == (2, 1)
        client = create_app(bank.settings, bank.parts).test_client()
        pending = client.get(f"/v1/cards/{card.id.hex()}/loads").json["loads"]
        epochs = [Certificate.from_bytes(bytes.fromhex(one["payer_certificate"])).epoch for one in pending]
        assert epochs == [1, 2]
        for one in (paid, voucher):
            bank.parts.loads.collected(card.receipt(one), NOW)
        assert (bank.shadow(card), bank.ledger().in_flight, bank.ledger().conserved) == (600, 0, True)
        bank.close()

    def test_a_card_whose_load_the_backup_does_not_know_is_not_revoked(self) -> None:
        """It has spent more than these books know, which is not its fault: its payee waits for the operator."""
        bank = self.bank()
        card, till = bank.card("a"), bank.till("t")
        bank.close()
        backup = self.site.world.database.read_bytes()
        bank = self.bank()
        bank.load(card, 300, "after the backup")
        bank.close()
        for file in self.directory.glob(f"{self.site.world.database.name}*"):
            file.unlink()
        self.site.world.database.write_bytes(backup)
        self.epoch()
        bank = self.bank()
        voucher = card.voucher(till, 300)
        assert bank.settle(till.batch([voucher])).voucher_statuses == (DepositStatus.REVIEW,)
        assert bank.parts.desk.standings() == []
        assert [one.overspent for one in bank.parts.desk.frauds(NOW).overspent] == [300]
        assert bank.parts.desk.pay_review(parse(Voucher, voucher).hash, NOW) == 300
        assert (bank.wallet(till), bank.ledger().loss, bank.ledger().conserved) == (300, 300, True)
        bank.close()

    def test_a_server_that_was_not_restarted_pays_nothing(self) -> None:
        bank = self.bank()
        card = bank.card("a")
        begun = bank.begin(card, 300, "begun before")
        new_epoch(self.directory, bank.parts.storage)
        request = card.request_to(begun.payer, begun.epoch, begun.n, 300, begun.order_hash).to_bytes()
        with pytest.raises(ConfigurationError, match="new epoch"):
            bank.parts.loads.pay(begun.load, request, NOW)
        bank.close()

    def test_no_epoch_is_opened_twice(self) -> None:
        assert [self.epoch().epoch for _ in range(2)] == [2, 3]
        assert self.epoch(9).epoch == 9
        for wanted in (9, 4):
            with pytest.raises(ConfigurationError, match="not above 9"):
                self.epoch(wanted)
        assert sorted(load_keyring(self.directory).purse_certificates) == [1, 2, 3, 9]

    def test_interrupted_between_the_file_and_the_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bank = self.bank()
        with monkeypatch.context() as patch:
            patch.setattr("server.storage.sqlite_risk.SqliteRisk.open_epoch", _power_cut)
            with pytest.raises(KeyboardInterrupt):
                new_epoch(self.directory, bank.parts.storage)
        bank.close()
        assert self.epoch().epoch == 3

    def test_on_the_command_line(self) -> None:
        assert Desk(self.site.data).ask("purse", "new-epoch")["epoch"] == 2
        assert Settings.of_directory(self.directory).keyring.purse_certificate.epoch == 2


def _power_cut(*_: object) -> None:
    raise KeyboardInterrupt
