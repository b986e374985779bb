"""Proofs of fraud: those that convict, and files that must not, each with one fault.

`stage` says who refuses: `parse` before anything is believed, `check` with the authority's certificate alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from support.keys import AUTHORITY, CARD, MERCHANT_PURSE, OPERATOR, OPERATOR_PURSE, OTHER_CARD, TILL, Party
from support.samples import LOAD_RECEIPT, LOAD_REQUEST, LOAD_VOUCHER, REPORT, REQUEST, VOUCHER, digest
from wallet_core import codec
from wallet_core.fraud import FraudProof, make
from wallet_core.messages import Refusal, Signed
from wallet_core.messages.ending import SlotLine, pack_slots
from wallet_core.purse.state import SlotState
from wallet_core.suites import Suite

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
CHAIN = (CARD.certificate, OPERATOR.certificate)

SECOND_REQUEST = replace(REQUEST, payee=MERCHANT_PURSE.id, k=1, amount=1, order_hash=digest("nothing much"))
SECOND = replace(VOUCHER, payee=MERCHANT_PURSE.id, k=1, amount=1, request_hash=SECOND_REQUEST.hash)
CONTRADICTING = replace(REPORT, slots=pack_slots([SlotLine(1, SlotState.COLLECTED, SECOND.hash)]))
DENIAL = Refusal(suite=Suite.ES256, payee=CARD.id, k=1, request_hash=LOAD_REQUEST.hash)


def by(party: Party, message: Any) -> Signed[Any]:
    return Signed.sign(message, party.key)


def other_form(signed: Signed[Any]) -> Signed[Any]:
    """The same message with the other valid form of its signature: (r, n - s)."""
    s = int.from_bytes(signed.signature[32:], "big")
    return replace(signed, signature=signed.signature[:32] + (CURVE_ORDER - s).to_bytes(32, "big"))


DOUBLE_SPEND = make([by(CARD, VOUCHER), by(CARD, SECOND)], CHAIN)
BY_REPORT = make([by(CARD, VOUCHER), by(CARD, CONTRADICTING)], CHAIN)
TWO_OUTCOMES = make([by(CARD, LOAD_RECEIPT), by(CARD, DENIAL), by(OPERATOR_PURSE, LOAD_VOUCHER)], CHAIN)


def proof_vector(name: str, proof: FraudProof, culprit: Party) -> dict[str, Any]:
    return {
        "name": name,
        "rule": "fraud-proof",
        "root": AUTHORITY.certificate.to_bytes().hex(),
        "kind": int(proof.kind),
        "culprit": culprit.name,
        "messages": [{"type": type(one.message).__name__, "hash": one.hash.hex()} for one in proof.messages],
        "certificates": [one.subject.hex() for one in proof.certificates],
        "proof": proof.to_bytes().hex(),
    }


def good() -> list[dict[str, Any]]:
    till = make(
        [
            by(TILL, replace(LOAD_RECEIPT, payee=TILL.id, k=7, voucher_hash=VOUCHER.hash)),
            by(TILL, replace(DENIAL, payee=TILL.id, k=7, request_hash=REQUEST.hash)),
            by(CARD, VOUCHER),
        ],
        [TILL.certificate, OPERATOR.certificate],
    )
    other = replace(DOUBLE_SPEND, messages=tuple(other_form(one) for one in DOUBLE_SPEND.messages))
    return [
        proof_vector("two vouchers", DOUBLE_SPEND, CARD),
        proof_vector("two vouchers, other signatures", other, CARD),
        proof_vector("voucher and report", BY_REPORT, CARD),
        proof_vector("receipt and refusal", TWO_OUTCOMES, CARD),
        proof_vector("receipt and refusal of a till", till, TILL),
    ]


def refused() -> list[dict[str, Any]]:
    content: dict[int, Any] = codec.decode(DOUBLE_SPEND.to_bytes(), max_size=8192)
    first, second = DOUBLE_SPEND.messages
    honest = by(CARD, REPORT)

    def changed(**labels: Any) -> bytes:
        """With other content under label2, label3, …"""
        return codec.encode({**content, **{int(name.removeprefix("label")): value for name, value in labels.items()}})

    def saying(proof: FraudProof, *messages: Signed[Any]) -> bytes:
        return replace(proof, messages=messages).to_bytes()

    receipt, denial, load = TWO_OUTCOMES.messages
    cases: Sequence[tuple[str, str, str, bool, bytes]] = (
        ("one message in two forms", "check", "mismatch", False, saying(DOUBLE_SPEND, first, other_form(first))),
        ("one message twice", "check", "mismatch", False, saying(DOUBLE_SPEND, first, first)),
        ("vouchers of two counters", "check", "mismatch", False, saying(DOUBLE_SPEND, *_sorted(first, n=2))),
        ("vouchers of two epochs", "check", "mismatch", False, saying(DOUBLE_SPEND, *_sorted(first, epoch=2))),
        ("a report that agrees", "check", "mismatch", False, saying(BY_REPORT, by(CARD, VOUCHER), honest)),
        ("receipt of another voucher", "check", "mismatch", False, _outcomes(voucher_hash=VOUCHER.hash)),
        ("refusal of another Request", "check", "mismatch", False, _outcomes(request_hash=REQUEST.hash)),
        ("signed by another card", "check", "bad-signature", False, saying(DOUBLE_SPEND, first, _forged(second))),
        ("no certificate of the culprit", "check", "mismatch", False, _certified(OPERATOR)),
        ("another card's certificate", "check", "mismatch", False, _certified(OTHER_CARD, OPERATOR)),
        ("operator's certificate missing", "check", "untrusted-certificate", False, _certified(CARD)),
        ("kind that is not known", "parse", "unknown-label", True, changed(label2=3)),
        ("kind of the other proof", "parse", "out-of-range", False, changed(label2=2)),
        ("one message alone", "parse", "out-of-range", True, changed(label3=content[3][:1])),
        ("four messages", "parse", "out-of-range", True, changed(label3=content[3] * 2)),
        ("messages not in order", "parse", "not-canonical", False, changed(label3=content[3][::-1])),
        ("report before voucher", "parse", "wrong-type", False, changed(label3=[honest.to_bytes(), first.to_bytes()])),
        ("no certificates", "parse", "out-of-range", True, changed(label4=[])),
        ("certificates not in order", "parse", "not-canonical", False, changed(label4=content[4][::-1])),
        ("certificate twice", "parse", "not-canonical", False, changed(label4=content[4][:1] * 2)),
        ("nine certificates", "parse", "out-of-range", True, changed(label4=[bytes((i,)) for i in range(9)])),
        ("one label more", "parse", "unknown-label", True, changed(label5=[])),
        ("type of a closing", "parse", "wrong-type", True, changed(label0=14)),
        ("suite that is not known", "parse", "unknown-suite", True, changed(label1=2)),
        ("cut", "parse", "truncated", True, DOUBLE_SPEND.to_bytes()[:-1]),
        ("byte after the end", "parse", "oversized", False, DOUBLE_SPEND.to_bytes() + b"\0"),
        ("a voucher in its place", "parse", "not-canonical", True, first.to_bytes()),
        ("outcomes without the voucher", "parse", "out-of-range", False, _without_voucher(receipt, denial)),
        ("outcomes in another order", "parse", "wrong-type", False, saying(TWO_OUTCOMES, denial, receipt, load)),
    )
    return [
        {"name": name, "stage": stage, "error": error, "shape": shape, "proof": data.hex()}
        for name, stage, error, shape, data in cases
    ]


def _sorted(first: Signed[Any], **changes: Any) -> list[Signed[Any]]:
    return sorted((first, by(CARD, replace(first.message, amount=2, **changes))), key=lambda one: one.hash)


def _forged(signed: Signed[Any]) -> Signed[Any]:
    return by(OTHER_CARD, signed.message)


def _outcomes(*, voucher_hash: bytes = LOAD_VOUCHER.hash, request_hash: bytes = LOAD_REQUEST.hash) -> bytes:
    receipt = by(CARD, replace(LOAD_RECEIPT, voucher_hash=voucher_hash))
    denial = by(CARD, replace(DENIAL, request_hash=request_hash))
    return replace(TWO_OUTCOMES, messages=(receipt, denial, TWO_OUTCOMES.messages[2])).to_bytes()


def _certified(*parties: Party) -> bytes:
    certificates = sorted((party.certificate for party in parties), key=lambda one: one.to_bytes())
    return replace(DOUBLE_SPEND, certificates=tuple(certificates)).to_bytes()


def _without_voucher(*messages: Signed[Any]) -> bytes:
    return replace(TWO_OUTCOMES, messages=messages).to_bytes()
