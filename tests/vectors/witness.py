"""An independent reader of the golden vectors: python-cwt and its own cbor2, in a venv of its own, none of our code.

``.venv-witness/bin/python tests/vectors/witness.py DIR`` prints one JSON object: how many vectors it agreed with, by
kind, and each disagreement in words. It knows the messages from docs/spec/messages.cddl only: the tables below are
its own reading of that page.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cbor2
import cwt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TYPES: dict[str, tuple[int, dict[int, str]]] = {
    "Request": (1, {2: "payer", 3: "epoch", 4: "n", 5: "payee", 6: "k", 7: "amount", 8: "order_hash"}),
    "Voucher": (
        2,
        {2: "payer", 3: "epoch", 4: "n", 5: "payee", 6: "k", 7: "amount"}
        | {9: "request_hash", 10: "policy_version", 11: "audit"},
    ),
    "Receipt": (
        3,
        {5: "payee", 6: "k", 12: "voucher_hash", 13: "total_in", 14: "total_out", 15: "total_reversed"},
    ),
    "Refusal": (4, {5: "payee", 6: "k", 9: "request_hash"}),
    "ReversalOrder": (5, {2: "payer", 3: "epoch", 4: "n", 12: "voucher_hash", 20: "report_hash"}),
    "Report": (
        6,
        {2: "purse", 3: "epoch", 4: "next_n", 6: "next_k", 10: "policy_version"}
        | {13: "total_in", 14: "total_out", 15: "total_reversed", 16: "out_acked", 17: "in_acked"}
        | {18: "slots", 19: "entries", 21: "lifecycle"},
    ),
    "Grant": (
        7,
        {2: "purse", 3: "epoch", 4: "n_acked", 10: "policy_version", 16: "out_acked", 17: "in_acked"}
        | {18: "outcomes", 19: "closed", 20: "report_hash"},
    ),
    "Policy": (
        8,
        {2: "operator", 3: "version", 4: "purse_class", 5: "least_suite", 6: "mode", 7: "balance_limit"}
        | {8: "transfer_limit", 9: "offline_total", 10: "offline_count", 11: "pin_threshold"}
        | {12: "unverified_total", 13: "payee_threshold", 14: "payee_classes"}
        | {15: "payer_classes"},
    ),
    "Issuance": (9, {2: "authority", 3: "purse", 4: "serial", 5: "amount"}),
    "DepositBatch": (
        10,
        {2: "payee", 3: "number", 4: "previous", 5: "vouchers", 6: "refusals", 7: "certificates"},
    ),
    "DepositAnswer": (
        11,
        {2: "operator", 3: "payee", 4: "number", 5: "batch_hash", 6: "credited"}
        | {7: "voucher_statuses", 8: "refusal_statuses"},
    ),
    "CertificationRequest": (12, {2: "x", 3: "y", 4: "subject_class", 5: "challenge"}),
    "RevocationList": (13, {2: "operator", 3: "serial", 4: "at", 5: "entries"}),
    "Closing": (14, {2: "operator", 5: "payee", 9: "request_hash"}),
}


class Disagreement(Exception):
    """A vector says something else than this reader finds."""


def same(what: str, ours: Any, theirs: Any) -> None:
    if type(ours) is not type(theirs) or ours != theirs:
        raise Disagreement(f"{what}: {ours!r} here, {theirs!r} in the vector")


def thumbprint(x: str, y: str) -> str:
    """RFC 9679: SHA-256 of the deterministic encoding of the required members of the COSE_Key."""
    key = {1: 2, -1: 1, -2: bytes.fromhex(x), -3: bytes.fromhex(y)}
    return hashlib.sha256(cbor2.dumps(key, canonical=True)).hexdigest()


def verifier(key: dict[str, Any], *, kid: bool = False) -> Any:
    """The signer's key; with its `kid`, which the library looks up when a protected header names one."""
    members = {1: 2, 3: -7, 4: [2], -1: 1, -2: bytes.fromhex(key["x"]), -3: bytes.fromhex(key["y"])}
    return cwt.COSEKey.new(members | ({2: bytes.fromhex(key["thumbprint"])} if kid else {}))


def as_field(wanted: Any, found: Any) -> Any:
    """A CBOR value written as the vectors write that field."""
    if isinstance(found, list):
        return [[item[0].hex(), item[1]] if isinstance(item, list) else item.hex() for item in found]
    if isinstance(wanted, list):  # a byte string of statuses
        return list(found)
    if isinstance(wanted, int) and isinstance(found, bytes):
        return int.from_bytes(found, "big")
    return found.hex() if isinstance(found, bytes) else found


def check_envelope(vector: dict[str, Any], verifying: Any) -> Any:
    """The signature verifies; header, payload, Sig_structure and hash are as written. Returns the decoded payload."""
    data = bytes.fromhex(vector["cose"])
    tag = cbor2.loads(data)
    same("tag", tag.tag, 18)
    protected, unprotected, payload, signature = tag.value
    same("protected", protected.hex(), vector["protected"])
    same("unprotected", unprotected, {})
    same("payload", payload.hex(), vector["payload"])
    same("signature", signature.hex(), vector["signature"])
    same("payload that verifies", cwt.COSE.new().decode(data, verifying), payload)
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    same("Sig_structure", structure.hex(), vector["sig_structure"])
    same("hash", hashlib.sha256(structure).hexdigest(), vector["hash"])
    decoded = cbor2.loads(payload)
    same("deterministic payload", cbor2.dumps(decoded, canonical=True).hex(), vector["payload"])
    return decoded


def check_message(vector: dict[str, Any], keys: dict[str, dict[str, Any]]) -> None:
    decoded = check_envelope(vector, verifier(keys[vector["signer"]]))
    number, names = TYPES[vector["type"]]
    same("type", decoded.pop(0), number)
    same("suite", decoded.pop(1), vector["fields"]["suite"])
    same("labels", sorted(decoded), sorted(names))
    for label, name in names.items():
        wanted = vector["fields"][name]
        same(name, as_field(wanted, decoded[label]), wanted)


def check_certificate(vector: dict[str, Any], keys: dict[str, dict[str, Any]]) -> None:
    issuer, fields = keys[vector["signer"]], vector["fields"]
    check_envelope(vector, verifier(issuer, kid=True))
    header = cbor2.loads(bytes.fromhex(vector["protected"]))
    same("header", header, {1: -7, 4: bytes.fromhex(issuer["thumbprint"]), 16: 61})
    same("kid", fields["issuer"], issuer["thumbprint"])
    claims = cwt.decode(
        bytes.fromhex(vector["cose"]), verifier(issuer, kid=True)
    )  # refuses what is expired or not valid yet
    same("expires", claims[4], fields["expires"])
    same("not before", claims[5], fields["not_before"])
    confirmed = claims[8][1]
    same("key type and curve", {1: confirmed[1], -1: confirmed[-1]}, {1: 2, -1: 1})
    same("x", confirmed[-2].hex(), fields["x"])
    same("y", confirmed[-3].hex(), fields["y"])
    same("class", claims[-70001], fields["subject_class"])
    same("test", claims[-70002], int(fields["test"]))
    same("epoch", int.from_bytes(claims[-70003], "big"), fields["epoch"])
    same("claims", sorted(claims), [-70003, -70002, -70001, 4, 5, 8])
    same("subject", thumbprint(fields["x"], fields["y"]), keys[vector["subject"]]["thumbprint"])


def check_audit(vector: dict[str, Any]) -> None:
    cipher = Cipher(algorithms.AES(bytes.fromhex(vector["key"])), modes.ECB()).decryptor()
    sealed, plain, before = bytes.fromhex(vector["sealed"]), b"", bytes(16)
    for at in range(0, 48, 16):  # CBC by hand
        block = sealed[at : at + 16]
        plain += bytes(a ^ b for a, b in zip(cipher.update(block), before, strict=True))
        before = block
    names = ("total_in", "total_out", "total_reversed", "exposure")
    found = {"n": int.from_bytes(plain[12:16], "big")}
    found |= {name: int.from_bytes(plain[16 + 8 * i : 24 + 8 * i], "big") for i, name in enumerate(names)}
    same("nonce", plain[:12].hex(), vector["nonce"])
    same("fields", found, vector["fields"])


def check_refused(vector: dict[str, Any], keys: dict[str, dict[str, Any]]) -> None:
    """What fails at the signature for us fails at the signature here; a parse fault is for our codec alone."""
    try:
        cwt.COSE.new().decode(bytes.fromhex(vector["cose"]), verifier(keys[vector["key"]]))
    except cwt.VerifyError:
        return
    raise Disagreement("the signature verifies here")


def check_proof(vector: dict[str, Any], keys: dict[str, dict[str, Any]]) -> None:
    """Two statements of the culprit that cannot both be true, signed by a key that the authority's chain certifies."""
    culprit = keys[vector["culprit"]]
    proof = cbor2.loads(bytes.fromhex(vector["proof"]))
    same("encoding", cbor2.dumps(proof, canonical=True).hex(), vector["proof"])
    same("head", [proof[0], proof[1], proof[2], len(proof)], [15, 1, vector["kind"], 5])
    parts = [cbor2.loads(data).value for data in proof[3]]
    hashes = [hashlib.sha256(cbor2.dumps(["Signature1", one[0], b"", one[2]])).hexdigest() for one in parts]
    same("hashes", hashes, [one["hash"] for one in vector["messages"]])
    said = [cbor2.loads(one[2]) for one in parts]
    same("types", [one[0] for one in said], [TYPES[one["type"]][0] for one in vector["messages"]])
    for data in proof[3][:2]:
        cwt.COSE.new().decode(data, verifier(culprit))
    if vector["kind"] == 2:
        receipt, refusal, voucher = said
        same("payee", [one[5].hex() for one in said], [culprit["thumbprint"]] * 3)
        same("voucher", receipt[12].hex(), hashes[2])
        same("Request", refusal[9], voucher[9])
    else:
        first, second = said
        same("payer", [one[2].hex() for one in said], [culprit["thumbprint"]] * 2)
        same("epoch", first[3], second[3])
        n, other = first[4], hashes[1]
        if second[0] == TYPES["Report"][0]:
            lines = [second[18][at : at + 37] for at in range(0, 592, 37)]
            (other,) = [line[5:].hex() for line in lines if line[:4] == n]
        else:
            same("counter", second[4], n)
        same("another voucher", other != hashes[0], True)
    check_chain(proof[4], vector, culprit, keys)


def check_chain(
    certificates: list[bytes], vector: dict[str, Any], culprit: dict[str, Any], keys: dict[str, dict[str, Any]]
) -> None:
    """The culprit's certificate by the operator's key, the operator's by the authority's, that by itself."""
    chain = [
        certificates[vector["certificates"].index(keys[name]["thumbprint"])] for name in (culprit["name"], "operator")
    ]
    names = (culprit["name"], "operator", "authority")
    for data, subject, issuer in zip(
        (*chain, bytes.fromhex(vector["root"])), names, (*names[1:], "authority"), strict=True
    ):
        claims = cwt.decode(data, verifier(keys[issuer], kid=True))
        same("subject", claims[8][1][-2].hex(), keys[subject]["x"])


def read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def main(folder: Path) -> dict[str, Any]:
    agreed: Counter[str] = Counter()
    wrong: list[str] = []

    def attempt(kind: str, name: str, check: Any, *arguments: Any) -> None:
        try:
            check(*arguments)
        except Exception as error:  # noqa: BLE001  (whatever goes wrong here is a disagreement to report)
            wrong.append(f"{kind} {name}: {type(error).__name__}: {error}")
        else:
            agreed[kind] += 1

    listed = read(folder, "keys.json")
    keys = {key["name"]: key for key in listed["keys"]}
    for key in (*listed["keys"], *listed["published"]):
        attempt("thumbprints", key["x"], same, "thumbprint", thumbprint(key["x"], key["y"]), key["thumbprint"])
    for vector in read(folder, "messages.json")["vectors"]:
        attempt("messages", vector["name"], check_message, vector, keys)
    for vector in read(folder, "certificates.json")["vectors"]:
        attempt("certificates", vector["name"], check_certificate, vector, keys)
    for vector in read(folder, "audit.json")["vectors"]:
        attempt("audit blocks", vector["name"], check_audit, vector)
    for vector in read(folder, "frauds.json")["vectors"]:
        attempt("proofs", vector["name"], check_proof, vector, keys)
    for vector in read(folder, "negative.json")["vectors"]:
        if vector["stage"] == "verify":
            attempt("refused signatures", vector["name"], check_refused, vector, keys)
    return {"agreed": dict(agreed), "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
