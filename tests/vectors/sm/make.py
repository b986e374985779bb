"""Writes the vectors of suite 2: ``python tests/vectors/sm/make.py [--out DIR]``. The same bytes on every machine.

They are in the format of the folder above, and made by its functions: the same story, in SM2, SM3 and SM4. What the
standards print is in published.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent.parent)]

import chains  # noqa: E402
import faults  # noqa: E402
import generate  # noqa: E402

from support import keys, samples, suite2  # noqa: E402
from support.samples import Sample  # noqa: E402
from wallet_core import cose, sm2  # noqa: E402
from wallet_core.audit import AuditData  # noqa: E402
from wallet_core.certificates import CertificateClass  # noqa: E402
from wallet_core.fraud import make  # noqa: E402
from wallet_core.ids import COUNTER_MAX  # noqa: E402
from wallet_core.messages import Signed  # noqa: E402
from wallet_core.money import MAX_MINOR_UNITS  # noqa: E402
from wallet_core.suites import Suite  # noqa: E402

OURS = "this project, test keys only"


def key_vectors() -> dict[str, Any]:
    parties = (*suite2.PARTIES, *suite2.FOREIGN_PARTIES)
    good = suite2.CARD.key.public
    listed = [generate.key_vector(one.name, one.key) | {"z": one.key.public.identity.hex()} for one in parties]
    return {
        "origin": OURS,
        "keys": listed,
        "invalid": [
            {"why": "y + 1: not on the curve", "x": good.x.hex(), "y": generate.bump(good.y).hex()},
            {"why": "zeros", "x": bytes(32).hex(), "y": bytes(32).hex()},
            {"why": "x above the field's prime", "x": "ff" * 32, "y": good.y.hex()},
            {
                "why": "a point of P-256",
                "x": keys.CARD.key.public.x.hex(),
                "y": keys.CARD.key.public.y.hex(),
            },
        ],
    }


def message_vectors() -> dict[str, Any]:
    extreme = replace(
        suite2.REQUEST, epoch=2**32 - 1, n=COUNTER_MAX, k=COUNTER_MAX, amount=MAX_MINOR_UNITS, order_hash=b"\xff" * 32
    )
    more = (
        Sample("request of a load", "request", suite2.LOAD_REQUEST, suite2.CARD),
        Sample("voucher of a load", "voucher", suite2.LOAD_VOUCHER, suite2.OPERATOR_PURSE),
        Sample("request at every limit", "request", extreme, suite2.TILL),
    )
    vectors = [generate.message_vector(sample) | _digest(sample) for sample in (*suite2.SAMPLES, *more)]
    again = suite2.sample("voucher")
    resigned = Signed(again.message, _second(again))
    other = generate.message_vector(again) | _digest(again)
    other |= {"name": "voucher, other signature", "same_message_as": "voucher"}
    other |= {"signature": resigned.signature.hex(), "cose": resigned.to_bytes().hex()}
    return {"origin": OURS, "vectors": [*vectors, other]}


def _signed_bytes(sample: Sample) -> bytes:
    return cose.Sign1.from_bytes(sample.signed.to_bytes(), max_size=2**20).signed_bytes


def _digest(sample: Sample) -> dict[str, str]:
    """e, what the signature covers: SM3(Z ‖ Sig_structure)."""
    return {"e": sample.signer.key.public.signed_digest(_signed_bytes(sample)).hex()}


def _second(sample: Sample) -> bytes:
    """A signature over the same with the second nonce: what a card with a random k may make."""
    key = sm2.SigningKey(sample.signer.key.to_scalar())
    e = sample.signer.key.public.signed_digest(_signed_bytes(sample))
    made = key.sign_with(next(islice(sm2.nonces(key.scalar, e), 1, None)), e)
    if made is None:
        raise RuntimeError("this nonce gives no signature")
    return made


def certificate_vectors() -> dict[str, Any]:
    parties = (*suite2.PARTIES, *suite2.FOREIGN_PARTIES)
    names = {party.id: party.name for party in parties}
    vectors = [
        generate.certificate_vector(party.name, party.certificate, names[party.certificate.issuer], party.name)
        for party in parties
    ]
    limits = keys.certify(
        suite2.OPERATOR.key,
        suite2.CARD.key,
        CertificateClass.HARD_WALLET,
        not_before=2**16,
        expires=2**32 - 1,
        epoch=COUNTER_MAX,
    )
    vectors.append(generate.certificate_vector("card at every limit", limits, "operator", "card"))
    return {"origin": OURS, "vectors": vectors}


def audit_vectors() -> dict[str, Any]:
    block = AuditData(1, samples.LOAD, samples.SALE, 0, samples.SALE)
    sealed = block.seal(samples.AUDIT_KEY, samples.AUDIT_NONCE, Suite.SM2)
    shown = {
        "name": "after a sale",
        "key": samples.AUDIT_KEY.hex(),
        "nonce": samples.AUDIT_NONCE.hex(),
        "fields": {field.name: getattr(block, field.name) for field in fields(block)},
        "sealed": sealed.hex(),
    }
    return {"origin": OURS, "vectors": [shown]}


def chain_vectors() -> dict[str, Any]:
    """A chain of suite 2, and chains in which one link is of suite 1."""
    one, two = keys, suite2
    untrusted = "untrusted-certificate"
    root, operators = two.AUTHORITY.certificate, (two.OPERATOR.certificate,)
    first = {"root": one.AUTHORITY.certificate, "operators": (one.OPERATOR.certificate,)}
    entry = chains._entry
    return {
        "origin": OURS,
        "vectors": [
            entry("card, operator, authority", two.CARD.certificate, root=root, operators=operators),
            entry("till", two.TILL.certificate, root=root, operators=operators),
            entry("card of suite 1 under suite 2", one.CARD.certificate, untrusted, root=root, operators=operators),
            entry(
                "operator of suite 1 under suite 2",
                one.CARD.certificate,
                untrusted,
                root=root,
                operators=(one.OPERATOR.certificate,),
            ),
            entry("card of suite 2 under suite 1", two.CARD.certificate, untrusted, **first),
            entry(
                "card of suite 1 that names the operator of suite 2",
                replace(one.CARD.certificate, issuer=two.OPERATOR.id),
                untrusted,
                root=root,
                operators=operators,
            ),
            entry("foreign card", two.FOREIGN_CARD.certificate, untrusted, root=root, operators=operators),
        ],
    }


def fraud_vectors() -> dict[str, Any]:
    chain = (suite2.CARD.certificate, suite2.OPERATOR.certificate)
    second = replace(suite2.VOUCHER, payee=suite2.MERCHANT_PURSE.id, k=1, amount=1)
    proof = make([Signed.sign(message, suite2.CARD.key) for message in (suite2.VOUCHER, second)], chain)
    return {
        "origin": OURS,
        "vectors": [
            {
                "name": "two vouchers",
                "root": suite2.AUTHORITY.certificate.to_bytes().hex(),
                "culprit": "card",
                "proof": proof.to_bytes().hex(),
            }
        ],
        "refused": [
            {
                "name": "of suite 1 by its own label",
                "error": "unknown-suite",
                "proof": proof.to_bytes().replace(b"\xa5\x00\x0f\x01\x02", b"\xa5\x00\x0f\x01\x01", 1).hex(),
            }
        ],
    }


def all_files() -> dict[str, dict[str, Any]]:
    return {
        "keys.json": key_vectors(),
        "messages.json": message_vectors(),
        "certificates.json": certificate_vectors(),
        "audit.json": audit_vectors(),
        "chains.json": chain_vectors(),
        "frauds.json": fraud_vectors(),
        "negative.json": {"origin": OURS, "vectors": faults.vectors()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    out: Path = parser.parse_args().out
    for name, content in all_files().items():
        text = json.dumps({"generator": "tests/vectors/sm/make.py", **content}, indent=1, ensure_ascii=False)
        (out / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
