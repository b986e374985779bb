"""docs/spec/messages.cddl describes every golden message, and rules out those that are wrong in shape."""

from __future__ import annotations

from typing import Any

import cbor2
import pycddl
import pytest

from support import cddl
from support.vectors import by_name, read, vectors

POSITIVE = [*vectors("messages.json"), *vectors("certificates.json")]
# `bstr .size 8` lets a number, a tag and a text of that size through in this library; our codec does not.
UNSEEN = {
    "amount a number": "request",
    "amount a text": "request",
    "amount a bignum": "request",
    "batch with a voucher as text": "deposit-batch",
    "order with a counter as number": "reversal-order",
}
SHAPES = [vector for vector in vectors("negative.json") if vector["shape"] and vector["name"] not in UNSEEN]
RULES = {
    "Certificate": "certificate",
    "Request": "request",
    "Voucher": "voucher",
    "Receipt": "receipt",
    "Refusal": "refusal",
    "Issuance": "issuance",
    "CertificationRequest": "certification-request",
    "Policy": "policy",
    "DepositBatch": "deposit-batch",
    "DepositAnswer": "deposit-answer",
    "Report": "report",
    "Grant": "grant",
    "ReversalOrder": "reversal-order",
    "Closing": "closing",
    "RevocationList": "revocation-list",
}


def name_of(vector: dict[str, Any]) -> str:
    return f"{vector['name']}"


@pytest.mark.parametrize("vector", POSITIVE, ids=name_of)
def test_a_good_message_fits(vector: dict[str, Any]) -> None:
    cddl.judge(vector["rule"], bytes.fromhex(vector["cose"]))


@pytest.mark.parametrize("vector", POSITIVE, ids=name_of)
def test_it_fits_no_other_rule(vector: dict[str, Any]) -> None:
    payload = bytes.fromhex(vector["payload"])
    for rule in cddl.messages():
        if rule not in (vector["rule"], "certificate"):
            with pytest.raises(pycddl.ValidationError):
                cddl.schema(f"{rule}-payload").validate_cbor(payload)


@pytest.mark.parametrize("vector", SHAPES, ids=name_of)
def test_a_message_of_wrong_shape_does_not_fit(vector: dict[str, Any]) -> None:
    with pytest.raises((pycddl.ValidationError, cbor2.CBORDecodeError)):
        cddl.judge(RULES[vector["read_as"]], bytes.fromhex(vector["cose"]))


@pytest.mark.parametrize("name", sorted(UNSEEN))
def test_the_library_still_does_not_see_it(name: str) -> None:
    """When this fails, the library has become better: take the name out of UNSEEN."""
    cddl.judge(UNSEEN[name], bytes.fromhex(by_name("negative.json", name)["cose"]))


def test_every_rule_has_a_vector() -> None:
    assert {vector["rule"] for vector in POSITIVE} == set(cddl.messages())
    assert {vector["read_as"] for vector in SHAPES} == set(RULES)


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_message_has_good_and_bad_vectors(kind: str) -> None:
    """Of each message two good ones at least, one refused for each way in which all can be wrong, bad signatures."""
    assert sum(vector["type"] == kind for vector in POSITIVE) >= 2
    bad = [vector for vector in vectors("negative.json") if vector["read_as"] == kind]
    assert {vector["error"] for vector in bad if vector["stage"] == "parse"} >= {
        *("truncated", "oversized", "not-canonical", "unknown-label", "wrong-type", "unknown-suite")
    }
    # A certificate's signature is judged with its chain.
    forged = vectors("chains.json") if kind == "Certificate" else [v for v in bad if v["stage"] == "verify"]
    assert {vector["error"] for vector in forged} >= {
        "untrusted-certificate" if kind == "Certificate" else "bad-signature"
    }


@pytest.mark.parametrize("vector", vectors("frauds.json"), ids=name_of)
def test_a_proof_of_fraud_fits(vector: dict[str, Any]) -> None:
    """It, and each message and certificate in it."""
    data = bytes.fromhex(vector["proof"])
    cddl.schema(vector["rule"]).validate_cbor(data)
    content = cbor2.loads(data)
    for message, listed in zip(content[3], vector["messages"], strict=True):
        cddl.judge(RULES[listed["type"]], message)
    for certificate in content[4]:
        cddl.judge("certificate", certificate)


@pytest.mark.parametrize("vector", [v for v in read("frauds.json")["refused"] if v["shape"]], ids=name_of)
def test_a_proof_of_wrong_shape_does_not_fit(vector: dict[str, Any]) -> None:
    with pytest.raises((pycddl.ValidationError, cbor2.CBORDecodeError)):
        cddl.schema("fraud-proof").validate_cbor(bytes.fromhex(vector["proof"]))
