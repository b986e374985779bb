"""A till of suite 2: it takes the suite of its authority, asks in it, and believes no voucher of another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hardware.operator_client import OperatorClient
from merchant_pos.client import HttpServer
from merchant_pos.decisions import Shown, check_voucher, hold_to_policy, make_request
from merchant_pos.enrolment import enrol
from merchant_pos.identity import load_identity, load_key
from merchant_pos.ports import no_step
from merchant_pos.sales import Order
from support import keys, suite2
from support.keys import NOW
from support.operator_world import Bank, World
from wallet_core.certificates import CertificateClass
from wallet_core.errors import (
    CodecError,
    MismatchError,
    PurseRefusal,
    Refused,
    ServerUnreachableError,
    UntrustedCertificateError,
)
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Signed, Voucher
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite

ORDER = Order(6_800, "two bowls of noodles")
CARD = suite2.CARD
SHOWN = Shown(CARD.id, 1, 5, Lifecycle.ACTIVE, 50_000, 20_000, 3, 3)
REQUEST = make_request(ORDER, SHOWN, till=suite2.TILL.id, k=9, suite=Suite.SM2)
POLICY = suite2.sample("policy").message


def answered(**changes: Any) -> Voucher:
    asked = {name: getattr(REQUEST, name) for name in ("payer", "epoch", "n", "payee", "k", "amount")}
    sample: Voucher = suite2.VOUCHER
    return replace(sample, **{**asked, "request_hash": REQUEST.hash, **changes})


def test_a_voucher_of_suite_2_is_taken() -> None:
    raw = Signed.sign(answered(), CARD.key).to_bytes()
    assert check_voucher(raw, REQUEST, CARD.certificate).message.suite is Suite.SM2


def test_a_voucher_of_suite_1_for_a_request_of_suite_2() -> None:
    """By whichever key: the Request says the suite."""
    weak = SoftwareKey.from_scalar(CARD.key.to_scalar())
    raw = Signed.sign(answered(suite=Suite.ES256), weak).to_bytes()
    for certificate in (CARD.certificate, keys.CARD.certificate):
        with pytest.raises(MismatchError, match="another suite"):
            check_voucher(raw, REQUEST, certificate)


def test_a_voucher_whose_header_and_suite_differ() -> None:
    raw = Signed.sign(answered(), CARD.key).to_bytes()
    mixed = raw.replace(b"\x47\xa1\x01\x3a\x00\x01\x00\x01", b"\x43\xa1\x01\x26", 1)
    with pytest.raises(CodecError):
        check_voucher(mixed, REQUEST, CARD.certificate)


def test_a_policy_that_wants_a_later_suite_than_the_till_has() -> None:
    hold_to_policy(100, POLICY, CertificateClass.TILL)
    early = replace(POLICY, suite=Suite.ES256)
    with pytest.raises(PurseRefusal) as caught:
        hold_to_policy(100, early, CertificateClass.TILL)
    assert caught.value.reason is Refused.SUITE


def test_a_card_of_suite_1_is_a_stranger() -> None:
    with pytest.raises(UntrustedCertificateError):
        suite2.trust_store().verify(keys.CARD.certificate, now=NOW)


class InProcess:
    """The operator's own enrolment, without HTTP."""

    url = "http://operator.example"

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def enrol(self, code: str, certification_request: bytes, succeeds: bytes | None = None) -> Mapping[str, Any]:
        made = self._bank.parts.tills.enrol(code, certification_request, NOW, succeeds=succeeds)
        return {
            "till": made.till.hex(),
            "certificate": made.certificate.hex(),
            "operator_certificate": suite2.OPERATOR.certificate.to_bytes().hex(),
            "authority_certificate": suite2.AUTHORITY.certificate.to_bytes().hex(),
            "merchant": made.merchant,
            "merchant_name": made.merchant_name,
        }


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(World.make(tmp_path, Suite.SM2))
    yield made
    made.close()


def enrolled(bank: Bank, directory: Path, suite: Suite) -> None:
    code = bank.parts.tills.add_merchant("Tea", NOW).code
    enrol(
        directory,
        InProcess(bank),
        code,
        production=False,
        pinned_authority=suite2.AUTHORITY.certificate,
        entropy=lambda size: hashlib.sha512(suite.name.encode()).digest()[:size],
        now=NOW,
        step=no_step,
        suite=suite,
    )


def test_it_enrols_in_the_suite_of_the_server(bank: Bank, tmp_path: Path) -> None:
    enrolled(bank, tmp_path / "till", Suite.SM2)
    identity = load_identity(tmp_path / "till")
    assert (identity.suite, identity.certificate.suite) == (Suite.SM2, Suite.SM2)
    identity.check(now=NOW)


def test_a_key_of_the_wrong_suite_is_refused_and_then_replaced(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(CodecError):
        enrolled(bank, tmp_path / "till", Suite.ES256)
    assert load_key(tmp_path / "till").public.suite is Suite.ES256
    enrolled(bank, tmp_path / "till", Suite.SM2)
    assert load_key(tmp_path / "till").public.suite is Suite.SM2


def answering(document: Mapping[str, object]) -> httpx.MockTransport:
    """A server that answers everything with `document`."""
    content = json.dumps(document).encode()
    head = {"content-type": "application/json"}
    return httpx.MockTransport(lambda _: httpx.Response(200, headers=head, stream=httpx.ByteStream(content)))


@pytest.mark.parametrize("client", [HttpServer, OperatorClient])
def test_the_suite_is_that_of_the_authority(client: type[HttpServer | OperatorClient]) -> None:
    for suite, authority in ((Suite.SM2, suite2.AUTHORITY), (Suite.ES256, keys.AUTHORITY)):
        document = {"authority": authority.certificate.to_bytes().hex(), "operators": [], "production": False}
        with client("http://operator.example", transport=answering(document)) as server:
            assert server.suite() is suite


@pytest.mark.parametrize("client", [HttpServer, OperatorClient])
@pytest.mark.parametrize("authority", [None, 7, "", "zz", "d284"])
def test_an_answer_that_names_no_suite(client: type[HttpServer | OperatorClient], authority: object) -> None:
    transport = answering({"authority": authority})
    with client("http://operator.example", transport=transport) as server, pytest.raises(ServerUnreachableError):
        server.suite()
