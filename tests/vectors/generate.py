"""Writes the golden vectors: ``python tests/vectors/generate.py [--out DIR]``. The same bytes on every machine.

Everything follows from names: keys from seeds, signatures from RFC 6979, nonces from constants. A test runs this into
another folder and compares; another one lets independent libraries read the result (README.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields, replace
from itertools import count
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import apdus  # noqa: E402
import chains  # noqa: E402
import decision_cases  # noqa: E402
import every  # noqa: E402
import frauds  # noqa: E402
import negative  # noqa: E402

from hardware.transport_keys import TEST_BATCH_KEY  # noqa: E402
from support import keys, samples  # noqa: E402
from support.samples import Sample  # noqa: E402
from wallet_core import cose  # noqa: E402
from wallet_core.audit import AuditData  # noqa: E402
from wallet_core.certificates import Certificate, CertificateClass  # noqa: E402
from wallet_core.ids import COUNTER_MAX  # noqa: E402
from wallet_core.keys import SoftwareKey  # noqa: E402
from wallet_core.messages import DepositStatus, RefusalStatus, RevocationReason, Signed, SpendMode  # noqa: E402
from wallet_core.messages.ending import (  # noqa: E402
    EntryLine,
    Outcome,
    SlotLine,
    pack_closed,
    pack_entries,
    pack_outcomes,
    pack_slots,
)
from wallet_core.money import MAX_MINOR_UNITS  # noqa: E402
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, Lifecycle  # noqa: E402

OURS = "this project, test keys only"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def shown(value: Any) -> Any:
    """Bytes as lower-case hexadecimal, numbers as numbers."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return [[shown(key), shown(value[key])] for key in sorted(value)]
    return int(value)


def key_vector(name: str, key: SoftwareKey) -> dict[str, Any]:
    return {
        "name": name,
        "seed": keys.seed(name).hex(),
        "scalar": key.to_scalar().hex(),
        "x": key.public.x.hex(),
        "y": key.public.y.hex(),
        "cose_key": key.public.cose_key.hex(),
        "thumbprint": key.public.thumbprint.hex(),
    }


def odd_key(what: str, coordinate: str) -> tuple[str, SoftwareKey]:
    """The first test key whose `coordinate` (x or y) begins with a zero byte."""
    for number in count():
        name = f"{what} {number}"
        if getattr(keys.key(name).public, coordinate)[0] == 0:
            return name, keys.key(name)
    raise RuntimeError("unreachable")


def key_vectors() -> dict[str, Any]:
    parties = (*keys.PARTIES, *keys.FOREIGN_PARTIES)
    named = [(party.name, party.key) for party in parties]
    named += [odd_key("leading zero in x", "x"), odd_key("leading zero in y", "y")]
    good = keys.CARD.key.public
    return {
        "origin": OURS,
        "keys": [key_vector(name, key) for name, key in named],
        "published": [
            {
                "origin": "RFC 9679, clause 6",
                "x": "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d",
                "y": "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c",
                "thumbprint": "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec",
            }
        ],
        "invalid": [
            {"why": "y + 1: not on the curve", "x": good.x.hex(), "y": bump(good.y).hex(), "error": "bad-signature"},
            {"why": "x + 1: not on the curve", "x": bump(good.x).hex(), "y": good.y.hex(), "error": "bad-signature"},
            {"why": "zeros", "x": bytes(32).hex(), "y": bytes(32).hex(), "error": "bad-signature"},
            {"why": "x above the field's prime", "x": "ff" * 32, "y": good.y.hex(), "error": "bad-signature"},
        ],
    }


def bump(data: bytes) -> bytes:
    return (int.from_bytes(data, "big") + 1).to_bytes(len(data), "big")


def odd_signature(what: str, start: int) -> Sample:
    """The sale's Request with the first order whose signature has a zero byte at `start` (0: r, 32: s)."""
    for number in count():
        message = replace(samples.REQUEST, order_hash=samples.digest(f"{what} {number}"))
        if Signed.sign(message, keys.TILL.key).signature[start] == 0:
            return Sample(what, "request", message, keys.TILL)
    raise RuntimeError("unreachable")


def message_samples() -> list[Sample]:
    extreme = replace(
        samples.REQUEST, epoch=2**32 - 1, n=COUNTER_MAX, k=COUNTER_MAX, amount=MAX_MINOR_UNITS, order_hash=b"\xff" * 32
    )
    return [
        *samples.SAMPLES,
        Sample("request of a load", "request", samples.LOAD_REQUEST, keys.CARD),
        Sample("voucher of a load", "voucher", samples.LOAD_VOUCHER, keys.OPERATOR_PURSE),
        Sample("request at every limit", "request", extreme, keys.TILL),
        Sample("request for nothing", "request", replace(samples.REQUEST, amount=0, n=0, k=0, epoch=0), keys.TILL),
        odd_signature("leading zero in r", 0),
        odd_signature("leading zero in s", 32),
        Sample("refusal by a card", "refusal", replace(samples.REFUSAL, payee=keys.CARD.id), keys.CARD),
        *limit_samples(),
        Sample(
            "policy, intermittent",
            "policy",
            replace(samples.POLICY, version=2**32 - 1, mode=SpendMode.INTERMITTENT, payee_classes=2**32 - 1),
            keys.OPERATOR,
        ),
        Sample(
            "certification request of a till",
            "certification-request",
            replace(
                samples.CERTIFICATION_REQUEST,
                x=keys.TILL.key.public.x,
                y=keys.TILL.key.public.y,
                subject_class=CertificateClass.TILL,
            ),
            keys.TILL,
        ),
        Sample(
            "deposit batch, empty",
            "deposit-batch",
            replace(samples.BATCH, vouchers=(), refusals=(), certificates=()),
            keys.TILL,
        ),
        Sample(
            "deposit batch, with rubbish",
            "deposit-batch",
            replace(
                samples.BATCH,
                number=2,
                previous=Signed(samples.BATCH, b"").hash,
                vouchers=(b"", b"rubbish", *samples.BATCH.vouchers * 2),
                refusals=(b"\xff",),
            ),
            keys.TILL,
        ),
        Sample(
            "deposit answer, every status",
            "deposit-answer",
            replace(
                samples.ANSWER,
                credited=MAX_MINOR_UNITS,
                voucher_statuses=tuple(DepositStatus),
                refusal_statuses=tuple(RefusalStatus),
            ),
            keys.OPERATOR,
        ),
        *ending_samples(),
    ]


def limit_samples() -> list[Sample]:
    """The other messages of fixed length with every number at its upper end."""
    everything = {"total_in": MAX_MINOR_UNITS, "total_out": MAX_MINOR_UNITS, "total_reversed": MAX_MINOR_UNITS}
    voucher = replace(
        samples.VOUCHER, epoch=2**32 - 1, n=COUNTER_MAX, k=COUNTER_MAX, amount=MAX_MINOR_UNITS, policy_version=2**32 - 1
    )
    receipt = replace(samples.LOAD_RECEIPT, payee=keys.MERCHANT_PURSE.id, k=COUNTER_MAX, **everything)
    issuance = replace(samples.ISSUANCE, serial=COUNTER_MAX, amount=MAX_MINOR_UNITS)
    return [
        Sample("voucher at every limit", "voucher", voucher, keys.CARD),
        Sample("receipt of a merchant's purse at every limit", "receipt", receipt, keys.MERCHANT_PURSE),
        Sample("refusal at its limit", "refusal", replace(samples.REFUSAL, k=COUNTER_MAX), keys.TILL),
        Sample("issuance at every limit", "issuance", issuance, keys.AUTHORITY),
        Sample(
            "closing of the other Request", "closing", replace(samples.CLOSING, request_hash=bytes(32)), keys.OPERATOR
        ),
    ]


def ending_samples() -> list[Sample]:
    """A blocked card with every slot and entry in use, what acknowledges all of it, a list with every reason."""
    slots = [SlotLine(COUNTER_MAX - i, 1 + i % 3, samples.digest(f"slot {i}")) for i in range(SLOT_COUNT)]
    entries = [EntryLine(COUNTER_MAX - i, 1 + i % 3, samples.digest(f"entry {i}")) for i in range(TABLE_SIZE)]
    full = replace(
        samples.REPORT,
        epoch=2**32 - 1,
        next_n=2**32 - 1,
        next_k=2**32 - 1,
        policy_version=2**32 - 1,
        total_in=MAX_MINOR_UNITS,
        total_out=MAX_MINOR_UNITS,
        total_reversed=MAX_MINOR_UNITS,
        out_acked=MAX_MINOR_UNITS,
        in_acked=MAX_MINOR_UNITS,
        slots=pack_slots(reversed(slots)),
        entries=pack_entries(reversed(entries)),
        lifecycle=Lifecycle.BLOCKED,
    )
    fresh = replace(full, epoch=1, next_n=1, next_k=1, slots=pack_slots([]), entries=pack_entries([]))
    nothing = {"total_in": 0, "total_out": 0, "total_reversed": 0, "out_acked": 0, "in_acked": 0, "policy_version": 0}
    grant = replace(
        samples.GRANT,
        epoch=full.epoch,
        n_acked=full.next_n,
        policy_version=full.policy_version,
        out_acked=full.out_acked,
        in_acked=full.in_acked,
        outcomes=pack_outcomes(Outcome(line.n, 2 + line.n % 2) for line in full.slot_lines),
        closed=pack_closed(line.k for line in full.entry_lines),
        report_hash=full.hash,
    )
    everyone = dict(zip(map(samples.digest, "abcd"), RevocationReason, strict=True))
    listed = replace(samples.REVOCATIONS, serial=2**32 - 1, at=2**32 - 1, entries=everyone)
    order = replace(samples.ORDER, epoch=full.epoch, n=COUNTER_MAX, report_hash=full.hash)
    return [
        Sample("report, full", "report", full, keys.CARD),
        Sample(
            "report of a merchant's purse", "report", replace(full, purse=keys.MERCHANT_PURSE.id), keys.MERCHANT_PURSE
        ),
        Sample("report, empty", "report", replace(fresh, lifecycle=Lifecycle.ACTIVE, **nothing), keys.CARD),
        Sample("grant, full", "grant", grant, keys.OPERATOR),
        Sample(
            "grant of nothing",
            "grant",
            replace(samples.GRANT, out_acked=0, in_acked=0, n_acked=1, outcomes=bytes(80), closed=bytes(32)),
            keys.OPERATOR,
        ),
        Sample("reversal order at every limit", "reversal-order", order, keys.OPERATOR),
        Sample("revocation list, every reason", "revocation-list", listed, keys.OPERATOR),
        Sample("revocation list, empty", "revocation-list", replace(listed, serial=1, at=0, entries={}), keys.OPERATOR),
    ]


def message_vector(sample: Sample) -> dict[str, Any]:
    signed = sample.signed
    envelope = cose.Sign1.from_bytes(signed.to_bytes(), max_size=2**20)
    return {
        "name": sample.name,
        "type": type(sample.message).__name__,
        "rule": sample.rule,
        "signer": sample.signer.name,
        "fields": {field.name: shown(getattr(sample.message, field.name)) for field in fields(sample.message)},
        "protected": envelope.protected.hex(),
        "payload": envelope.payload.hex(),
        "sig_structure": envelope.signed_bytes.hex(),
        "hash": envelope.hash.hex(),
        "signature": envelope.signature.hex(),
        "cose": signed.to_bytes().hex(),
    }


def resigned(vector: dict[str, Any]) -> dict[str, Any]:
    """The same message with the other valid form of its signature: (r, n - s)."""
    old = bytes.fromhex(vector["signature"])
    new = old[:32] + (ORDER - int.from_bytes(old[32:], "big")).to_bytes(32, "big")
    changed = {"name": f"{vector['name']}, other signature", "same_message_as": vector["name"], "signature": new.hex()}
    return {**vector, **changed, "cose": vector["cose"][: -len(old.hex())] + new.hex()}


def message_vectors() -> dict[str, Any]:
    vectors = [message_vector(sample) for sample in message_samples()]
    vectors += [resigned(v) for v in vectors if v["name"] in ("request", "voucher", "deposit batch", "report")]
    return {"origin": OURS, "vectors": vectors}


def certificate_vector(name: str, certificate: Certificate, issuer: str, subject: str) -> dict[str, Any]:
    envelope = cose.Sign1.from_bytes(certificate.to_bytes(), max_size=512)
    return {
        "name": name,
        "type": "Certificate",
        "rule": "certificate",
        "signer": issuer,
        "subject": subject,
        "fields": {
            "issuer": certificate.issuer.hex(),
            "x": certificate.key.x.hex(),
            "y": certificate.key.y.hex(),
            "subject_class": int(certificate.subject_class),
            "not_before": certificate.not_before,
            "expires": certificate.expires,
            "test": certificate.test,
            "epoch": certificate.epoch,
        },
        "protected": envelope.protected.hex(),
        "payload": envelope.payload.hex(),
        "sig_structure": envelope.signed_bytes.hex(),
        "hash": envelope.hash.hex(),
        "signature": envelope.signature.hex(),
        "cose": certificate.to_bytes().hex(),
    }


def certificate_vectors() -> dict[str, Any]:
    names = {party.id: party.name for party in (*keys.PARTIES, *keys.FOREIGN_PARTIES)}
    vectors = [
        certificate_vector(party.name, party.certificate, names[party.certificate.issuer], party.name)
        for party in (*keys.PARTIES, *keys.FOREIGN_PARTIES)
    ]
    operator = keys.OPERATOR.key
    for what in ("x", "y"):
        name, key = odd_key(f"leading zero in {what}", what)
        certificate = keys.certify(operator, key, CertificateClass.HARD_WALLET)
        vectors.append(certificate_vector(name, certificate, "operator", name))
    production = keys.certify(operator, keys.CARD.key, CertificateClass.HARD_WALLET, test=False)
    vectors.append(certificate_vector("card, production", production, "operator", "card"))
    limits = keys.certify(
        operator, keys.CARD.key, CertificateClass.HARD_WALLET, not_before=2**16, expires=2**32 - 1, epoch=COUNTER_MAX
    )
    vectors.append(certificate_vector("card at every limit", limits, "operator", "card"))
    vectors.append(resigned(certificate_vector("card", keys.CARD.certificate, "operator", "card")))
    return {"origin": OURS, "vectors": vectors}


def audit_vectors() -> dict[str, Any]:
    blocks = {
        "after a sale": AuditData(1, samples.LOAD, samples.SALE, 0, samples.SALE),
        "every limit": AuditData(2**32 - 1, MAX_MINOR_UNITS, MAX_MINOR_UNITS, MAX_MINOR_UNITS, MAX_MINOR_UNITS),
    }
    vectors = [
        {
            "name": name,
            "key": samples.AUDIT_KEY.hex(),
            "nonce": samples.AUDIT_NONCE.hex(),
            "fields": {field.name: getattr(block, field.name) for field in fields(block)},
            "sealed": block.seal(samples.AUDIT_KEY, samples.AUDIT_NONCE).hex(),
        }
        for name, block in blocks.items()
    ]
    return {"origin": OURS, "vectors": vectors}


def all_files() -> dict[str, dict[str, Any]]:
    return {
        "keys.json": key_vectors(),
        "messages.json": message_vectors(),
        "certificates.json": certificate_vectors(),
        "audit.json": audit_vectors(),
        "frauds.json": {"origin": OURS, "vectors": frauds.good(), "refused": frauds.refused()},
        "chains.json": {"origin": OURS, "vectors": chains.vectors()},
        "apdus.json": {"origin": OURS, "batch_key": TEST_BATCH_KEY.hex(), "vectors": apdus.vectors()},
        "purse.json": {
            "origin": OURS,
            "purse": keys.CARD.id.hex(),
            "audit_key": samples.AUDIT_KEY.hex(),
            "vectors": decision_cases.vectors(),
        },
        "negative.json": {"origin": OURS, "vectors": [*negative.vectors(), *every.vectors()]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    out: Path = parser.parse_args().out
    for name, content in all_files().items():
        text = json.dumps({"generator": "tests/vectors/generate.py", **content}, indent=1, ensure_ascii=False)
        (out / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
