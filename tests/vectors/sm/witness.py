"""An independent reader of the vectors of suite 2: gmssl in pure Python and another cbor2, in a venv of their own.

``.venv-witness/bin/python tests/vectors/sm/witness.py DIR`` prints one JSON object: how many vectors it agreed with, by
kind, and each disagreement in words. It shares no code with wallet_core, nor with OpenSSL: curve, hash and cipher are
gmssl's own.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cbor2
from gmssl import sm2, sm3, sm4

ALG = CURVE = -65538


class Disagreement(Exception):
    """A vector says something else than this reader finds."""


def same(what: str, ours: Any, theirs: Any) -> None:
    if ours != theirs:
        raise Disagreement(f"{what}: {ours!r} here, {theirs!r} in the vector")


def digest(data: bytes) -> str:
    return str(sm3.sm3_hash(list(data)))


def scheme(x: str, y: str, scalar: str = "") -> Any:
    made = sm2.CryptSM2(private_key=scalar, public_key="")
    made.public_key = x + y  # its constructor strips a prefix that a coordinate may begin with
    return made


def check_key(vector: dict[str, Any]) -> None:
    point = scheme("", "")._kg(int(vector["scalar"], 16), sm2.default_ecc_table["g"])
    same("point", point, vector["x"] + vector["y"])
    key = {1: 2, -1: CURVE, -2: bytes.fromhex(vector["x"]), -3: bytes.fromhex(vector["y"])}
    encoded = cbor2.dumps(key, canonical=True)
    same("COSE_Key", encoded.hex(), vector["cose_key"])
    same("thumbprint", digest(encoded), vector["thumbprint"])


def check_envelope(vector: dict[str, Any], signer: dict[str, Any]) -> tuple[dict[int, Any], Any]:
    """Header and payload; the signature verifies, Sig_structure, H and e are as written."""
    protected, unprotected, payload, signature = cbor2.loads(bytes.fromhex(vector["cose"])).value
    same("unprotected", unprotected, {})
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    same("Sig_structure", structure.hex(), vector["sig_structure"])
    same("hash", digest(structure), vector["hash"])
    made = scheme(signer["x"], signer["y"])
    if "e" in vector:
        same("e", made._sm3_z(structure), vector["e"])
    same("verifies", bool(made.verify_with_sm3(signature.hex(), structure)), True)
    header = cbor2.loads(protected)
    same("alg", header[1], ALG)
    return header, cbor2.loads(payload)


def check_message(vector: dict[str, Any], keys: dict[str, Any]) -> None:
    header, payload = check_envelope(vector, keys[vector["signer"]])
    same("header", sorted(header), [1])
    same("suite", payload[1], 2)


def check_certificate(vector: dict[str, Any], keys: dict[str, Any]) -> None:
    header, claims = check_envelope(vector, keys[vector["signer"]])
    same("kid", header[4].hex(), keys[vector["signer"]]["thumbprint"])
    key = claims[8][1]
    same("key", (key[-1], key[-2].hex(), key[-3].hex()), (CURVE, vector["fields"]["x"], vector["fields"]["y"]))


def check_refused(vector: dict[str, Any], keys: dict[str, Any]) -> None:
    """Whatever else it is, it carries no signature of this key over its own Sig_structure."""
    protected, _, payload, signature = cbor2.loads(bytes.fromhex(vector["cose"])).value
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    signer = keys[vector["key"]]
    made, order = scheme(signer["x"], signer["y"]), int(sm2.default_ecc_table["n"], 16)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if 0 < r < order and 0 < s < order:  # the library does not look
        same("verifies", bool(made.verify_with_sm3(signature.hex(), structure)), False)


def check_audit(vector: dict[str, Any]) -> None:
    cipher = sm4.CryptSM4()
    cipher.set_key(bytes.fromhex(vector["key"]), sm4.SM4_ENCRYPT)
    numbers = [vector["fields"][name] for name in ("total_in", "total_out", "total_reversed", "exposure")]
    plain = bytes.fromhex(vector["nonce"]) + vector["fields"]["n"].to_bytes(4, "big")
    plain += b"".join(number.to_bytes(8, "big") for number in numbers)
    sealed = cipher.crypt_cbc(bytes(16), plain)[: len(plain)]  # it adds a block of padding
    same("sealed", bytes(sealed).hex(), vector["sealed"])


def check_published(example: dict[str, Any]) -> None:
    made = scheme(example["x"], example["y"], example["d"])
    message = bytes.fromhex(example["message"])
    same("e", made._sm3_z(message), example["e"])
    same("signature", made.sign(bytes.fromhex(example["e"]), example["k"]), example["r"] + example["s"])


def main() -> None:
    folder = Path(sys.argv[1])
    read = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    keys = {key["name"]: key for key in read["keys.json"]["keys"]}
    by_signature = [one for one in read["negative.json"]["vectors"] if one["stage"] == "verify"]
    work: list[tuple[str, list[dict[str, Any]], Any]] = [
        ("keys", read["keys.json"]["keys"], check_key),
        ("messages", read["messages.json"]["vectors"], lambda one: check_message(one, keys)),
        ("certificates", read["certificates.json"]["vectors"], lambda one: check_certificate(one, keys)),
        ("refused signatures", by_signature, lambda one: check_refused(one, keys)),
        ("audit blocks", read["audit.json"]["vectors"], check_audit),
        ("published signatures", read["published.json"]["sm2"], check_published),
    ]
    agreed: Counter[str] = Counter()
    wrong: list[str] = []
    for kind, vectors, check in work:
        for vector in vectors:
            try:
                check(vector)
                agreed[kind] += 1
            except (Disagreement, ValueError, KeyError) as exc:
                wrong.append(f"{vector.get('name', kind)}: {exc}")
    print(json.dumps({"agreed": agreed, "wrong": wrong}))


if __name__ == "__main__":
    main()
