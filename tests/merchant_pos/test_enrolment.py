"""merchant_pos.enrolment and identity: an own key for its owner only, one code, certificates that hold, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from merchant_pos.client import HttpServer
from merchant_pos.enrolment import certification_request, enrol
from merchant_pos.identity import Identity, is_enrolled, load_identity, load_key
from merchant_pos.ports import no_step
from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_AUTHORITY,
    FOREIGN_OPERATOR,
    NOW,
    OPERATOR,
    TILL,
    certify,
    key,
)
from support.till import ProcessDied, save_identity
from support.till_http import OperatorServer, operator_server
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import (
    ConfigurationError,
    ExpiredCertificateError,
    MismatchError,
    ServerUnreachableError,
    SettlementError,
    TestKeyRefusedError,
    UntrustedCertificateError,
    WrongClassError,
)
from wallet_core.keys import SoftwareKey
from wallet_core.messages import CertificationRequest, parse

CODE = "ONE-TIME-CODE"


def entropy(size: int) -> bytes:
    return hashlib.sha512(b"entropy of this test").digest()[:size]


OWN = SoftwareKey.from_secret(entropy(48))


class Answering:
    """A server that certifies the key it is given, but for what a test changes."""

    url = "http://operator.example"

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def enrol(self, code: str, certification_request: bytes) -> Mapping[str, Any]:
        certificate = certify(key("operator"), OWN, CertificateClass.TILL)
        answer = {
            "till": OWN.public.thumbprint.hex(),
            "certificate": certificate.to_bytes().hex(),
            "operator_certificate": OPERATOR.certificate.to_bytes().hex(),
            "authority_certificate": AUTHORITY.certificate.to_bytes().hex(),
            "merchant": "m-1",
            "merchant_name": "Luohu Tea House",
            **self.changes,
        }
        return {name: value for name, value in answer.items() if value is not None}


def run(
    directory: Path,
    server: object,
    *,
    code: str = CODE,
    production: bool = False,
    pinned: Certificate | None = None,
    step: Any = no_step,
) -> Identity:
    return enrol(
        directory,
        server,  # type: ignore[arg-type]
        code,
        production=production,
        pinned_authority=pinned,
        entropy=entropy,
        now=NOW,
        step=step,
    )


def test_the_till_is_enrolled_and_stays_so(tmp_path: Path) -> None:
    made = run(tmp_path / "till", Answering(), pinned=AUTHORITY.certificate)
    loaded = load_identity(tmp_path / "till")
    assert loaded.id == made.id == OWN.public.thumbprint
    assert (loaded.certificate, loaded.operator, loaded.authority) == (made.certificate, made.operator, made.authority)
    assert (loaded.server, loaded.merchant_name) == ("http://operator.example", "Luohu Tea House")
    assert loaded.production is False


def test_the_key_is_for_its_owner_only(tmp_path: Path) -> None:
    run(tmp_path, Answering())
    assert (tmp_path / "till.key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "till.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="others may read"):
        load_identity(tmp_path)


def test_the_proof_of_possession_is_for_this_code_only() -> None:
    message = parse(CertificationRequest, certification_request(OWN, CODE)).verify(OWN.public)
    assert message.key == OWN.public
    assert message.subject_class == CertificateClass.TILL
    assert message.challenge == hashlib.sha256(CODE.encode()).digest()


def test_a_till_is_not_enrolled_twice(tmp_path: Path) -> None:
    run(tmp_path, Answering())
    with pytest.raises(ConfigurationError, match="already"):
        run(tmp_path, Answering())


def test_an_empty_code_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        run(tmp_path, Answering(), code="")
    assert not (tmp_path / "till.key").exists()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"till": CARD.id.hex()}, MismatchError),
        ({"certificate": TILL.certificate.to_bytes().hex()}, MismatchError),
        ({"certificate": None}, ServerUnreachableError),
        ({"certificate": "00"}, ServerUnreachableError),
        ({"certificate": "xx"}, ServerUnreachableError),
        ({"certificate": 7}, ServerUnreachableError),
        ({"merchant": None}, ServerUnreachableError),
        (
            {"certificate": certify(key("foreign operator"), OWN, CertificateClass.TILL).to_bytes().hex()},
            UntrustedCertificateError,
        ),
        (
            {"certificate": certify(key("operator"), OWN, CertificateClass.HARD_WALLET).to_bytes().hex()},
            WrongClassError,
        ),
        (
            {"certificate": certify(key("operator"), OWN, CertificateClass.TILL, expires=NOW).to_bytes().hex()},
            ExpiredCertificateError,
        ),
        ({"operator_certificate": FOREIGN_OPERATOR.certificate.to_bytes().hex()}, UntrustedCertificateError),
        ({"authority_certificate": OPERATOR.certificate.to_bytes().hex()}, UntrustedCertificateError),
        ({"authority_certificate": FOREIGN_AUTHORITY.certificate.to_bytes().hex()}, UntrustedCertificateError),
    ],
)
def test_an_answer_that_does_not_hold_enrols_nothing(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(tmp_path, Answering(**changes))
    assert not is_enrolled(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"till.key"}
    assert run(tmp_path, Answering()).id == OWN.public.thumbprint


def test_a_production_till_refuses_test_keys(tmp_path: Path) -> None:
    with pytest.raises(TestKeyRefusedError):
        run(tmp_path, Answering(), production=True)
    assert not is_enrolled(tmp_path)


def test_another_authority_than_the_one_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="another authority"):
        run(tmp_path, Answering(), pinned=FOREIGN_AUTHORITY.certificate)
    assert not is_enrolled(tmp_path)


# Over HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop", "after", "half", "500"])
def test_a_lost_answer_is_asked_for_again_with_the_same_key(tmp_path: Path, fault: str) -> None:
    with operator_server() as server, HttpServer(server.url) as client:
        server.faults = [fault]
        with pytest.raises(ServerUnreachableError):
            run(tmp_path, client)
        assert run(tmp_path, client).id == OWN.public.thumbprint
        assert len({body for _, _, body in server.posts}) == 1


@pytest.mark.parametrize("step", ["key-saved", "enrolled"])
def test_a_till_that_dies_while_it_enrols_goes_on_with_the_same_key(tmp_path: Path, step: str) -> None:
    def die(name: str) -> None:
        if name == step:
            raise ProcessDied(name)

    with operator_server() as server, HttpServer(server.url) as client:
        with pytest.raises(ProcessDied):
            run(tmp_path, client, step=die)
        assert not is_enrolled(tmp_path)
        before = load_key(tmp_path).public
        assert run(tmp_path, client).key.public == before


def test_a_used_code_and_a_wrong_code_are_the_servers_no(tmp_path: Path) -> None:
    with operator_server() as server, HttpServer(server.url) as client:
        with pytest.raises(SettlementError, match="not-found"):
            run(tmp_path / "a", client, code="WRONG")
        server.codes[CODE] = b"another till's request"
        with pytest.raises(SettlementError, match="code-used"):
            run(tmp_path / "a", client)
        assert not is_enrolled(tmp_path / "a")


def test_the_code_is_in_the_body_and_not_in_the_address(tmp_path: Path) -> None:
    def holds(server: OperatorServer) -> tuple[str, bool]:
        ((path, headers, body),) = server.posts
        return path + json.dumps(headers), CODE.encode() in body

    with operator_server() as server, HttpServer(server.url) as client:
        run(tmp_path, client)
        outside, inside = holds(server)
    assert inside
    assert CODE not in outside
    assert not [file for file in tmp_path.iterdir() if CODE.encode() in file.read_bytes()]


# Files --------------------------------------------------------------------------------------------------------------


def test_without_enrolment_there_is_no_till(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not enrolled"):
        load_identity(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("settings.json", b"{"),
        ("settings.json", b"[]"),
        ("settings.json", b'{"format": 2}'),
        ("settings.json", b'{"format": 1}'),
        ("till.key", b"rubbish"),
        ("till.cert", b""),
        ("till.cert", CARD.certificate.to_bytes()),
        ("operator.cert", FOREIGN_OPERATOR.certificate.to_bytes()),
        ("authority.cert", FOREIGN_AUTHORITY.certificate.to_bytes()),
        ("authority.cert", None),
        ("till.key", None),
    ],
)
def test_damaged_files_are_a_configuration_error(tmp_path: Path, file: str, content: bytes | None) -> None:
    save_identity(tmp_path, "http://operator.example")
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load_identity(tmp_path)
    assert "PRIVATE" not in caught.value.message


def test_an_expired_till_still_loads_to_settle_what_it_took(tmp_path: Path) -> None:
    identity = save_identity(tmp_path, "http://operator.example")
    assert load_identity(tmp_path).certificate == identity.certificate
    with pytest.raises(ExpiredCertificateError):
        identity.check(now=EXPIRES)
