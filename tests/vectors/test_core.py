"""wallet_core reads the golden vectors as they are written: the committed bytes, not those it would make today."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from support.vectors import by_name, public_key, read, vectors
from wallet_core import fraud, messages
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cose import Sign1
from wallet_core.errors import CodecError, EcnyError, MismatchError, VerificationError
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.messages import Signed
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.trust import TrustStore

KEYS = read("keys.json")


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['name']}"


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def parse(kind: str, data: bytes) -> Signed[Any]:
    return messages.parse(getattr(messages, kind), data, max_size=MAX_BATCH_SIZE)


def shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return [[shown(key), shown(value[key])] for key in sorted(value)]
    return [shown(item) for item in value] if isinstance(value, tuple) else int(value)


@pytest.mark.parametrize("vector", KEYS["keys"], ids=name_of)
def test_a_key_follows_from_its_seed(vector: dict[str, Any]) -> None:
    key = SoftwareKey.from_secret(octets(vector["seed"]))
    assert key.to_scalar().hex() == vector["scalar"]
    assert SoftwareKey.from_scalar(octets(vector["scalar"])).public == key.public
    assert (key.public.x.hex(), key.public.y.hex()) == (vector["x"], vector["y"])
    assert key.public.cose_key.hex() == vector["cose_key"]
    assert key.public.thumbprint.hex() == vector["thumbprint"]


def test_the_published_thumbprint_of_rfc_9679() -> None:
    (published,) = KEYS["published"]
    key = PublicKey(octets(published["x"]), octets(published["y"]))
    assert key.thumbprint.hex() == published["thumbprint"]
    assert key.native().key_size == 256


@pytest.mark.parametrize("vector", KEYS["invalid"], ids=lambda vector: vector["why"])
def test_a_point_off_the_curve_verifies_nothing(vector: dict[str, Any]) -> None:
    signed = parse("Voucher", octets(by_name("messages.json", "voucher")["cose"]))
    with pytest.raises(VerificationError) as caught:
        signed.verify(PublicKey(octets(vector["x"]), octets(vector["y"])))
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", vectors("messages.json"), ids=name_of)
def test_a_message(vector: dict[str, Any]) -> None:
    data = octets(vector["cose"])
    signed = parse(vector["type"], data)
    message = signed.verify(public_key(vector["signer"]))
    assert {field.name: shown(getattr(message, field.name)) for field in fields(message)} == vector["fields"]
    assert signed.to_bytes() == data
    assert message.to_payload().hex() == vector["payload"]
    assert signed.hash.hex() == vector["hash"]
    assert signed.signature.hex() == vector["signature"]
    envelope = Sign1.from_bytes(data, max_size=MAX_BATCH_SIZE)
    assert envelope.protected.hex() == vector["protected"]
    assert envelope.signed_bytes.hex() == vector["sig_structure"]


@pytest.mark.parametrize("vector", vectors("certificates.json"), ids=name_of)
def test_a_certificate(vector: dict[str, Any]) -> None:
    data, claims = octets(vector["cose"]), vector["fields"]
    certificate = Certificate.from_bytes(data)
    certificate.verify_signature(public_key(vector["signer"]))
    assert certificate.subject == public_key(vector["subject"]).thumbprint
    assert certificate.issuer.hex() == claims["issuer"]
    assert (certificate.key.x.hex(), certificate.key.y.hex()) == (claims["x"], claims["y"])
    assert certificate.subject_class == claims["subject_class"]
    assert (certificate.not_before, certificate.expires) == (claims["not_before"], claims["expires"])
    assert (certificate.test, certificate.epoch) == (claims["test"], claims["epoch"])
    assert certificate.to_bytes() == data
    assert certificate.hash.hex() == vector["hash"]


@pytest.mark.parametrize(
    "vector", [v for v in vectors("messages.json") if "same_message_as" in v], ids=lambda v: v["name"]
)
def test_another_valid_signature_is_the_same_message(vector: dict[str, Any]) -> None:
    first = by_name("messages.json", vector["same_message_as"])
    assert vector["signature"] != first["signature"]
    assert vector["cose"] != first["cose"]
    assert parse(vector["type"], octets(vector["cose"])).hash == parse(first["type"], octets(first["cose"])).hash


@pytest.mark.parametrize("vector", vectors("negative.json"), ids=name_of)
def test_a_bad_message_is_refused_by_name(vector: dict[str, Any]) -> None:
    data = octets(vector["cose"])
    if vector["stage"] == "verify":
        signed = parse(vector["read_as"], data)
        with pytest.raises(VerificationError) as refused:
            signed.verify(public_key(vector["key"]))
        assert refused.value.code == vector["error"]
        return
    with pytest.raises(CodecError) as caught:
        Certificate.from_bytes(data) if vector["read_as"] == "Certificate" else parse(vector["read_as"], data)
    assert caught.value.code == vector["error"]


def believe(vector: dict[str, Any]) -> Certificate:
    store = TrustStore(Certificate.from_bytes(octets(vector["root"])), production=vector["production"])
    for operator in vector["operators"]:
        store.add_operator(Certificate.from_bytes(octets(operator)))
    certificate = Certificate.from_bytes(octets(vector["certificate"]))
    allowed = [CertificateClass(one) for one in vector["allowed"]]
    return store.verify(certificate, now=vector["now"], allowed=allowed)


@pytest.mark.parametrize("vector", [v for v in vectors("chains.json") if v["error"] is None], ids=name_of)
def test_a_chain_is_believed(vector: dict[str, Any]) -> None:
    assert believe(vector).to_bytes().hex() == vector["certificate"]


@pytest.mark.parametrize("vector", [v for v in vectors("chains.json") if v["error"] is not None], ids=name_of)
def test_a_chain_is_refused_by_name(vector: dict[str, Any]) -> None:
    with pytest.raises(EcnyError) as caught:
        believe(vector)
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", vectors("audit.json"), ids=name_of)
def test_an_audit_block(vector: dict[str, Any]) -> None:
    block = AuditData(**vector["fields"])
    key, sealed = octets(vector["key"]), octets(vector["sealed"])
    assert block.seal(key, octets(vector["nonce"])) == sealed
    assert AuditData.open(key, sealed, block.n) == block
    with pytest.raises(MismatchError):
        AuditData.open(key, sealed, block.n - 1)


def convict(vector: dict[str, Any]) -> fraud.Culprit:
    """With the authority's certificate alone."""
    root = Certificate.from_bytes(octets(by_name("frauds.json", "two vouchers")["root"]))
    return fraud.check(fraud.FraudProof.from_bytes(octets(vector["proof"])), TrustStore(root, production=False))


@pytest.mark.parametrize("vector", vectors("frauds.json"), ids=name_of)
def test_a_proof_of_fraud(vector: dict[str, Any]) -> None:
    proof = fraud.FraudProof.from_bytes(octets(vector["proof"]))
    assert proof.to_bytes().hex() == vector["proof"]
    said = [{"type": type(one.message).__name__, "hash": one.hash.hex()} for one in proof.messages]
    assert said == vector["messages"]
    assert [one.subject.hex() for one in proof.certificates] == vector["certificates"]
    culprit = convict(vector)
    assert culprit.id == public_key(vector["culprit"]).thumbprint
    assert culprit.kind == proof.kind == vector["kind"]


@pytest.mark.parametrize("vector", read("frauds.json")["refused"], ids=name_of)
def test_what_proves_no_fraud(vector: dict[str, Any]) -> None:
    if vector["stage"] == "check":
        fraud.FraudProof.from_bytes(octets(vector["proof"]))
    with pytest.raises(CodecError if vector["stage"] == "parse" else VerificationError) as caught:
        convict(vector)
    assert caught.value.code == vector["error"]
