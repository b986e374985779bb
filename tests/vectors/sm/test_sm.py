"""The vectors of suite 2: made again to the byte, read by wallet_core, judged by the CDDL, kept apart from suite 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pycddl
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from support import cddl, samples, suite2
from support.vectors import FOLDER, read, vectors
from wallet_core import fraud, messages, sm2
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.cose import Sign1
from wallet_core.digests import sm3
from wallet_core.errors import BadSignatureError, CodecError, EcnyError, VerificationError
from wallet_core.keys import PublicKey, SoftwareKey
from wallet_core.messages import Signed
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

HERE = FOLDER / "sm"
MADE = ("audit.json", "certificates.json", "chains.json", "frauds.json", "keys.json", "messages.json", "negative.json")
RULES = {type(sample.message).__name__: sample.rule for sample in samples.SAMPLES} | {"Certificate": "certificate"}


def listed(name: str, member: str = "vectors") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(name, HERE)[member]
    return found


PUBLISHED = read("published.json", HERE)
KEYS = {
    one["name"]: PublicKey(bytes.fromhex(one["x"]), bytes.fromhex(one["y"]), Suite.SM2)
    for one in listed("keys.json", "keys")
}
NEGATIVE = listed("negative.json")
SHAPES = [vector for vector in NEGATIVE if vector["shape"]]
SIGNED = [*listed("messages.json"), *listed("certificates.json")]


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['name']}"


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


def parse(kind: str, data: bytes) -> Signed[Any]:
    return messages.parse(getattr(messages, kind), data, max_size=MAX_BATCH_SIZE)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sm")
    command = [sys.executable, str(HERE / "make.py"), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize("name", MADE)
def test_the_same_bytes(made: Path, name: str) -> None:
    assert (made / name).read_bytes() == (HERE / name).read_bytes()


def test_no_file_has_no_maker(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == sorted(MADE)
    assert sorted(path.name for path in HERE.glob("*.json")) == sorted((*MADE, "published.json"))


@pytest.mark.parametrize("example", PUBLISHED["sm2"], ids=lambda one: one["origin"])
def test_a_published_signature(example: dict[str, Any]) -> None:
    part = {name: octets(value) for name, value in example.items() if name not in ("origin", "id")}
    assert sm2.identity(part["x"], part["y"], example["id"].encode()) == part["z"]
    assert sm3(part["z"] + part["message"]) == part["e"]
    key = sm2.SigningKey(part["d"])
    assert (key.x, key.y) == (part["x"], part["y"])
    assert key.sign_with(part["k"], part["e"]) == part["r"] + part["s"]
    PublicKey(part["x"], part["y"], Suite.SM2).verify(part["r"] + part["s"], part["message"])


@pytest.mark.parametrize("example", PUBLISHED["sm3"], ids=lambda one: one["origin"])
def test_a_published_hash(example: dict[str, Any]) -> None:
    assert sm3(octets(example["message"])).hex() == example["hash"]


@pytest.mark.parametrize("example", PUBLISHED["sm4"], ids=lambda one: one["origin"])
def test_a_published_block(example: dict[str, Any]) -> None:
    encryptor = Cipher(algorithms.SM4(octets(example["key"])), modes.ECB()).encryptor()
    assert (encryptor.update(octets(example["plain"])) + encryptor.finalize()).hex() == example["cipher"]


@pytest.mark.parametrize("vector", listed("keys.json", "keys"), ids=name_of)
def test_a_key(vector: dict[str, Any]) -> None:
    key = SoftwareKey.from_secret(octets(vector["seed"]), Suite.SM2)
    assert key.to_scalar().hex() == vector["scalar"]
    assert key.public == KEYS[vector["name"]]
    assert key.public.cose_key.hex() == vector["cose_key"]
    assert key.public.thumbprint.hex() == vector["thumbprint"] == sm3(key.public.cose_key).hex()
    assert key.public.identity.hex() == vector["z"]


@pytest.mark.parametrize("vector", listed("keys.json", "invalid"), ids=lambda vector: vector["why"])
def test_a_point_off_the_curve_verifies_nothing(vector: dict[str, Any]) -> None:
    signed = suite2.sample("voucher").signed
    with pytest.raises(BadSignatureError):
        signed.verify(PublicKey(octets(vector["x"]), octets(vector["y"]), Suite.SM2))


@pytest.mark.parametrize("vector", listed("messages.json"), ids=name_of)
def test_a_message(vector: dict[str, Any]) -> None:
    data, key = octets(vector["cose"]), KEYS[vector["signer"]]
    signed = parse(vector["type"], data)
    message = signed.verify(key)
    assert message.suite is Suite.SM2
    assert (signed.to_bytes(), message.to_payload().hex()) == (data, vector["payload"])
    envelope = Sign1.from_bytes(data, max_size=MAX_BATCH_SIZE)
    assert envelope.signed_bytes.hex() == vector["sig_structure"]
    assert signed.hash.hex() == vector["hash"] == sm3(envelope.signed_bytes).hex()
    assert key.signed_digest(envelope.signed_bytes).hex() == vector["e"] != vector["hash"]


def test_another_signature_is_the_same_message() -> None:
    (other,) = (vector for vector in listed("messages.json") if "same_message_as" in vector)
    first = next(vector for vector in listed("messages.json") if vector["name"] == other["same_message_as"])
    assert first["signature"] != other["signature"]
    assert first["hash"] == other["hash"]


@pytest.mark.parametrize("vector", listed("certificates.json"), ids=name_of)
def test_a_certificate(vector: dict[str, Any]) -> None:
    certificate = Certificate.from_bytes(octets(vector["cose"]))
    certificate.verify_signature(KEYS[vector["signer"]])
    assert (certificate.suite, certificate.key) == (Suite.SM2, KEYS[vector["subject"]])
    assert certificate.to_bytes().hex() == vector["cose"]
    assert certificate.hash.hex() == vector["hash"]


@pytest.mark.parametrize("vector", NEGATIVE, ids=name_of)
def test_a_bad_message_is_refused_by_name(vector: dict[str, Any]) -> None:
    data = octets(vector["cose"])
    if vector["stage"] == "verify":
        signed = parse(vector["read_as"], data)
        with pytest.raises(VerificationError) as refused:
            signed.verify(KEYS[vector["key"]])
        assert refused.value.code == vector["error"]
        return
    with pytest.raises(CodecError) as caught:
        Certificate.from_bytes(data) if vector["read_as"] == "Certificate" else parse(vector["read_as"], data)
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", listed("chains.json"), ids=name_of)
def test_a_chain(vector: dict[str, Any]) -> None:
    def believe() -> Certificate:
        store = TrustStore(Certificate.from_bytes(octets(vector["root"])), production=False)
        for operator in vector["operators"]:
            store.add_operator(Certificate.from_bytes(octets(operator)))
        certificate = Certificate.from_bytes(octets(vector["certificate"]))
        return store.verify(
            certificate, now=vector["now"], allowed=[CertificateClass(one) for one in vector["allowed"]]
        )

    if vector["error"] is None:
        assert believe().to_bytes().hex() == vector["certificate"]
        return
    with pytest.raises(EcnyError) as caught:
        believe()
    assert caught.value.code == vector["error"]


@pytest.mark.parametrize("vector", listed("audit.json"), ids=name_of)
def test_an_audit_block(vector: dict[str, Any]) -> None:
    block, key, sealed = AuditData(**vector["fields"]), octets(vector["key"]), octets(vector["sealed"])
    assert block.seal(key, octets(vector["nonce"]), Suite.SM2) == sealed
    assert AuditData.open(key, sealed, block.n, Suite.SM2) == block


def test_proofs_of_fraud() -> None:
    (vector,) = listed("frauds.json")
    store = TrustStore(Certificate.from_bytes(octets(vector["root"])), production=False)
    proof = fraud.FraudProof.from_bytes(octets(vector["proof"]))
    assert fraud.check(proof, store).id == KEYS[vector["culprit"]].thumbprint
    (refused,) = listed("frauds.json", "refused")
    with pytest.raises(CodecError) as caught:
        fraud.FraudProof.from_bytes(octets(refused["proof"]))
    assert caught.value.code == refused["error"]


@pytest.mark.parametrize("vector", SIGNED, ids=name_of)
def test_the_cddl_covers_it(vector: dict[str, Any]) -> None:
    """With the rules of suite 2; with those of suite 1 it does not fit."""
    cddl.judge(vector["rule"], octets(vector["cose"]), suite=2)
    with pytest.raises(pycddl.ValidationError):
        cddl.judge(vector["rule"], octets(vector["cose"]))


@pytest.mark.parametrize("vector", SHAPES, ids=name_of)
def test_the_cddl_rules_it_out(vector: dict[str, Any]) -> None:
    """In both suites: a mixture fits neither."""
    for suite in Suite:
        with pytest.raises(pycddl.ValidationError):
            cddl.judge(RULES[vector["read_as"]], octets(vector["cose"]), suite)


def test_every_message_of_the_page_is_here() -> None:
    assert {vector["rule"] for vector in SIGNED} == set(cddl.messages())
    assert {vector["read_as"] for vector in NEGATIVE} == set(RULES)


def test_messages_of_suite_1_do_not_fit_suite_2() -> None:
    for vector in vectors("messages.json"):
        with pytest.raises(pycddl.ValidationError):
            cddl.judge(vector["rule"], octets(vector["cose"]), suite=2)


def test_a_suite_2_message_is_4_bytes_longer_and_a_certificate_8() -> None:
    before = {
        vector["name"]: len(vector["cose"]) // 2
        for vector in (*vectors("messages.json"), *vectors("certificates.json"))
    }
    for vector in SIGNED:
        grown = len(vector["cose"]) // 2 - before[vector["name"]] if vector["name"] in before else None
        if vector["rule"] == "certificate":
            assert grown in (8, None)
        elif vector["rule"] != "deposit-batch" and "other" not in vector["name"]:
            assert grown == 4, vector["name"]
