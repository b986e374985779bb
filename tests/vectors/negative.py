"""Messages that must be refused: each differs from a good one in one point, and is signed again where that makes sense.

`read_as` is the message that the receiver expects; `stage` says who refuses: `parse` before a signature is looked at,
`verify` with `key`. `shape` is true where messages.cddl itself rules the message out (CDDL says nothing about
encodings, ranges inside byte strings, or signatures).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.keys import CARD, FOREIGN_CARD, OPERATOR, TILL, Party
from support.samples import (
    ANSWER,
    BATCH,
    CLOSING,
    GRANT,
    LOAD_RECEIPT,
    ORDER,
    POLICY,
    REFUSAL,
    REPORT,
    REQUEST,
    REVOCATIONS,
    VOUCHER,
)
from wallet_core import codec, cose
from wallet_core.messages import Signed

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PROTECTED = bytes.fromhex("a10126")


def envelope(
    payload: bytes,
    signer: Party = TILL,
    *,
    protected: bytes = PROTECTED,
    unprotected: bytes = b"\xa0",
    head: bytes = b"\xd2\x84",
    signature: bytes | None = None,
) -> bytes:
    """A COSE_Sign1 of exactly these parts, with a good signature unless another is given."""
    signed = signer.key.sign(cose.sig_structure(protected, payload)) if signature is None else signature
    return head + cose.bstr(protected) + unprotected + cose.bstr(payload) + cose.bstr(signed)


def entry(
    name: str,
    read_as: str,
    data: bytes,
    error: str,
    *,
    shape: bool = False,
    key: Party | None = None,
) -> dict[str, Any]:
    """One vector: `data` read as `read_as` is refused with `error`, at the signature where `key` is given."""
    stage = "parse" if key is None else "verify"
    facts = {"name": name, "read_as": read_as, "stage": stage, "error": error, "shape": shape}
    return {**facts, **({"key": key.name} if key else {}), "cose": data.hex()}


def _swap(payload: bytes, old: str, new: str) -> bytes:
    """`payload` with the one occurrence of `old` replaced (both hexadecimal)."""
    before, after = bytes.fromhex(old), bytes.fromhex(new)
    if payload.count(before) != 1:
        raise ValueError(f"{old} occurs {payload.count(before)} times")
    return payload.replace(before, after)


def _request_map() -> dict[int, Any]:
    decoded: dict[int, Any] = codec.decode(REQUEST.to_payload(), max_size=1024)
    return decoded


def _envelopes() -> list[dict[str, Any]]:
    payload = REQUEST.to_payload()
    good = envelope(payload)
    plain = cose.bstr(payload)
    chunked = b"\x5f" + cose.bstr(payload[:70]) + cose.bstr(payload[70:]) + b"\xff"
    cases: list[tuple[str, bytes, str]] = [
        ("empty", b"", "truncated"),
        ("tag only", good[:1], "truncated"),
        ("half", good[: len(good) // 2], "truncated"),
        ("last byte missing", good[:-1], "truncated"),
        ("byte after the end", good + b"\0", "oversized"),
        ("twice", good + good, "oversized"),
        ("untagged", good[1:], "not-canonical"),
        ("other tag", b"\xd1" + good[1:], "not-canonical"),
        ("tag in two bytes", b"\xd8\x12" + good[1:], "not-canonical"),
        ("array of five", b"\xd2\x85" + good[2:] + b"\xf6", "not-canonical"),
        ("array without length", b"\xd2\x9f" + good[2:] + b"\xff", "not-canonical"),
        ("payload length in two bytes", good.replace(plain[:2], b"\x59\x00" + plain[1:2], 1), "not-canonical"),
        ("payload length in eight bytes", good.replace(plain[:2], b"\x5b" + bytes(7) + plain[1:2]), "not-canonical"),
        ("payload in chunks", good.replace(plain, chunked), "not-canonical"),
        ("payload as text", good.replace(plain[:2], b"\x78" + plain[1:2], 1), "not-canonical"),
        ("payload null", good.replace(plain, b"\xf6"), "not-canonical"),
        ("unprotected header not empty", envelope(payload, unprotected=b"\xa1\x04\x41\x00"), "not-canonical"),
        ("unprotected header without length", envelope(payload, unprotected=b"\xbf\xff"), "not-canonical"),
        ("signature of 63 bytes", envelope(payload, signature=b"\1" * 63), "truncated"),
        ("signature of 65 bytes", envelope(payload, signature=b"\1" * 65), "oversized"),
        ("no signature", envelope(payload, signature=b""), "truncated"),
    ]
    shapes = {"array of five", "payload null", "signature of 63 bytes", "signature of 65 bytes", "no signature"}
    return [entry(name, "Request", data, error, shape=name in shapes) for name, data, error in cases]


def _headers() -> list[dict[str, Any]]:
    payload = REQUEST.to_payload()
    cases = {
        "protected header empty": "",
        "protected header an empty map": "a0",
        "protected header ES384": "a1013822",
        "protected header with kid": "a20126044101",
        "protected header not canonical": "a1180126",
    }
    return [
        entry(
            name,
            "Request",
            envelope(payload, protected=bytes.fromhex(header)),
            "unknown-suite",
            shape="canonical" not in name,
        )
        for name, header in cases.items()
    ]


def _payloads() -> list[dict[str, Any]]:
    """Payloads of a Request, all signed by the till: what is wrong is the encoding or the content."""
    good = REQUEST.to_payload()
    content = _request_map()
    amount = "48" + content[7].hex()
    reordered = {label: content[label] for label in (1, 0, 2, 3, 4, 5, 6, 7, 8)}
    body = b"".join(codec.encode(label) + codec.encode(value) for label, value in reordered.items())
    fields = good[1:]
    without = {label: value for label, value in content.items() if label != 8}
    encoded = {
        "payload with a byte after its end": (good + b"\0", "oversized", False),
        "payload cut": (good[:-1], "truncated", True),
        "payload empty": (b"", "truncated", True),
        "payload tagged": (b"\xd8\x3d" + good, "not-canonical", True),
        "amount a bignum": (_swap(good, amount, "c2" + amount), "not-canonical", True),
        "order hash shared": (_swap(good, "085820", "08d81c5820"), "not-canonical", True),
        "order hash nested deep": (codec.encode({**content, 8: [[[[[[]]]]]]}), "not-canonical", True),
        "payload not CBOR": (b"\xff" * len(good), "malformed", True),
        "label in two bytes": (_swap(good, "0444", "180444"), "not-canonical", False),
        "suite in two bytes": (_swap(good, "00010101", "0001011801"), "not-canonical", False),
        "length in two bytes": (_swap(good, "0748", "075808"), "not-canonical", False),
        "label twice": (b"\xaa" + fields + bytes.fromhex("0844") + bytes(4), "not-canonical", False),
        "labels not in order": (b"\xa9" + body, "not-canonical", False),
        "map without length": (b"\xbf" + fields + b"\xff", "not-canonical", False),
        "amount in chunks": (_swap(good, amount, "5f" + amount + "ff"), "not-canonical", False),
        "label that is not known": (codec.encode({**content, 9: bytes(32)}), "unknown-label", True),
        "label that is negative": (codec.encode({**content, -1: b""}), "unknown-label", True),
        "label changed": (_swap(good, "085820", "095820"), "unknown-label", True),
        "label missing": (codec.encode(without), "truncated", True),
        "payload an array": (codec.encode(list(content.values())), "wrong-type", True),
        "amount a number": (codec.encode({**content, 7: 6800}), "out-of-range", True),
        "amount a text": (codec.encode({**content, 7: "68 yuan!"}), "out-of-range", True),
        "amount of seven bytes": (codec.encode({**content, 7: bytes(7)}), "truncated", True),
        "amount of nine bytes": (codec.encode({**content, 7: bytes(9)}), "oversized", True),
        "amount above 2^53 - 1": (codec.encode({**content, 7: (2**53).to_bytes(8, "big")}), "out-of-range", False),
        "payer of 31 bytes": (codec.encode({**content, 2: bytes(31)}), "truncated", True),
        "suite that is not known": (codec.encode({**content, 1: 2}), "unknown-suite", True),
        "suite zero": (codec.encode({**content, 1: 0}), "unknown-suite", True),
        "suite a text": (codec.encode({**content, 1: "1"}), "out-of-range", True),
        "type of a voucher": (codec.encode({**content, 0: 2}), "wrong-type", True),
        "type of an order": (codec.encode({**content, 0: 5}), "wrong-type", True),
        "type that is not known": (codec.encode({**content, 0: 16}), "wrong-type", True),
        "type true": (codec.encode({**content, 0: True}), "wrong-type", True),
    }
    return [
        entry(name, "Request", envelope(payload), error, shape=shape)
        for name, (payload, error, shape) in encoded.items()
    ]


def _other_types() -> list[dict[str, Any]]:
    voucher, refusal = VOUCHER.to_payload(), REFUSAL.to_payload()
    policy: dict[int, Any] = codec.decode(POLICY.to_payload(), max_size=1024)
    answer: dict[int, Any] = codec.decode(ANSWER.to_payload(), max_size=1024)
    batch: dict[int, Any] = codec.decode(BATCH.to_payload(), max_size=4096)
    cases: list[tuple[str, str, Party, Any, str, bool]] = [
        ("voucher where a request is expected", "Request", CARD, voucher, "wrong-type", False),
        ("refusal where a voucher is expected", "Voucher", TILL, refusal, "wrong-type", False),
        ("request where a deposit batch is expected", "DepositBatch", TILL, REQUEST.to_payload(), "wrong-type", False),
        ("policy of an unknown mode", "Policy", OPERATOR, {**policy, 6: 3}, "out-of-range", True),
        ("policy of mode zero", "Policy", OPERATOR, {**policy, 6: 0}, "out-of-range", True),
        ("policy for an unknown class", "Policy", OPERATOR, {**policy, 4: 6}, "out-of-range", True),
        ("policy of least suite zero", "Policy", OPERATOR, {**policy, 5: 0}, "out-of-range", True),
        ("batch whose type is 10.0", "DepositBatch", TILL, {**batch, 0: 10.0}, "wrong-type", True),
        ("batch number zero", "DepositBatch", TILL, {**batch, 3: bytes(4)}, "out-of-range", False),
        ("batch number of three bytes", "DepositBatch", TILL, {**batch, 3: bytes(3)}, "out-of-range", True),
        ("batch with a voucher as text", "DepositBatch", TILL, {**batch, 5: ["voucher"]}, "malformed", True),
        ("batch with vouchers in a map", "DepositBatch", TILL, {**batch, 5: {0: b""}}, "malformed", True),
        ("batch with an item of 1,025 bytes", "DepositBatch", TILL, {**batch, 6: [bytes(1025)]}, "out-of-range", True),
        ("batch with one list more", "DepositBatch", TILL, {**batch, 8: []}, "unknown-label", True),
        ("batch with one list less", "DepositBatch", TILL, _without(batch, 7), "truncated", True),
        ("answer with an unknown status", "DepositAnswer", OPERATOR, {**answer, 7: b"\x0a"}, "unknown-label", False),
        (
            "answer that credits above 2^53 - 1",
            "DepositAnswer",
            OPERATOR,
            {**answer, 6: b"\xff" * 8},
            "out-of-range",
            False,
        ),
    ]
    return [_case(*case) for case in cases]


def _endings() -> list[dict[str, Any]]:
    """Report, grant, order, closing and revocation list: lengths, ranges, and one taken for another."""
    report, grant, order, closing, listed = (
        codec.decode(message.to_payload(), max_size=4096) for message in (REPORT, GRANT, ORDER, CLOSING, REVOCATIONS)
    )
    entries = listed[5]
    cases: list[tuple[str, str, Party, Any, str, bool]] = [
        ("report with a slot less", "Report", CARD, {**report, 18: report[18][37:]}, "truncated", True),
        ("report with a slot more", "Report", CARD, {**report, 18: report[18] + bytes(37)}, "oversized", True),
        ("report with an entry less", "Report", CARD, {**report, 19: report[19][37:]}, "truncated", True),
        ("report with its slots in a list", "Report", CARD, {**report, 18: [report[18]]}, "out-of-range", True),
        ("report of a life cycle that is not known", "Report", CARD, {**report, 21: 5}, "out-of-range", True),
        ("report with a total above 2^53 - 1", "Report", CARD, {**report, 15: b"\xff" * 8}, "out-of-range", False),
        ("report without its acknowledged inflow", "Report", CARD, _without(report, 17), "truncated", True),
        ("report with one label more", "Report", CARD, {**report, 20: bytes(32)}, "unknown-label", True),
        ("report of suite 2", "Report", CARD, {**report, 1: 2}, "unknown-suite", True),
        ("grant with an outcome less", "Grant", OPERATOR, {**grant, 18: grant[18][5:]}, "truncated", True),
        ("grant with an entry more", "Grant", OPERATOR, {**grant, 19: grant[19] + bytes(4)}, "oversized", True),
        (
            "grant of more than 2^53 - 1",
            "Grant",
            OPERATOR,
            {**grant, 16: (2**53).to_bytes(8, "big")},
            "out-of-range",
            False,
        ),
        ("grant that names no report", "Grant", OPERATOR, _without(grant, 20), "truncated", True),
        ("grant with the life cycle of a report", "Grant", OPERATOR, {**grant, 21: 2}, "unknown-label", True),
        ("grant whose type is a report's", "Grant", OPERATOR, {**grant, 0: 6}, "wrong-type", True),
        ("order without a voucher", "ReversalOrder", OPERATOR, _without(order, 12), "truncated", True),
        ("order that names no report", "ReversalOrder", OPERATOR, _without(order, 20), "truncated", True),
        ("order with a counter as number", "ReversalOrder", OPERATOR, {**order, 4: 1}, "out-of-range", True),
        ("order with an amount", "ReversalOrder", OPERATOR, {**order, 7: bytes(8)}, "unknown-label", True),
        ("receipt where an order is expected", "ReversalOrder", CARD, LOAD_RECEIPT.to_payload(), "wrong-type", False),
        ("report where a grant is expected", "Grant", CARD, REPORT.to_payload(), "wrong-type", False),
        ("refusal where a closing is expected", "Closing", TILL, REFUSAL.to_payload(), "wrong-type", False),
        ("closing where a refusal is expected", "Refusal", OPERATOR, CLOSING.to_payload(), "wrong-type", False),
        ("closing without an operator", "Closing", OPERATOR, _without(closing, 2), "truncated", True),
        ("closing with a counter", "Closing", OPERATOR, {**closing, 6: bytes(4)}, "unknown-label", True),
        ("list of serial zero", "RevocationList", OPERATOR, {**listed, 3: bytes(4)}, "out-of-range", False),
        ("list with a time of eight bytes", "RevocationList", OPERATOR, {**listed, 4: bytes(8)}, "out-of-range", True),
        (
            "list with an unknown reason",
            "RevocationList",
            OPERATOR,
            {**listed, 5: [[bytes(32), 5]]},
            "unknown-label",
            True,
        ),
        ("list with reason zero", "RevocationList", OPERATOR, {**listed, 5: [[bytes(32), 0]]}, "unknown-label", True),
        ("list with reason true", "RevocationList", OPERATOR, {**listed, 5: [[bytes(32), True]]}, "out-of-range", True),
        (
            "list with an id of 31 bytes",
            "RevocationList",
            OPERATOR,
            {**listed, 5: [[bytes(31), 1]]},
            "out-of-range",
            True,
        ),
        ("list with an id alone", "RevocationList", OPERATOR, {**listed, 5: [[bytes(32)]]}, "out-of-range", True),
        ("list with ids alone", "RevocationList", OPERATOR, {**listed, 5: [bytes(32)]}, "out-of-range", True),
        ("list not in order", "RevocationList", OPERATOR, {**listed, 5: entries[::-1]}, "out-of-range", False),
        ("list with an id twice", "RevocationList", OPERATOR, {**listed, 5: entries[:1] * 2}, "out-of-range", False),
        ("list as a map", "RevocationList", OPERATOR, {**listed, 5: dict(entries)}, "out-of-range", True),
        ("list without entries", "RevocationList", OPERATOR, _without(listed, 5), "truncated", True),
        ("list with one label more", "RevocationList", OPERATOR, {**listed, 6: 0}, "unknown-label", True),
    ]
    return [_case(*case) for case in cases]


def _without(content: dict[int, Any], label: int) -> dict[int, Any]:
    return {key: value for key, value in content.items() if key != label}


def _case(name: str, read_as: str, signer: Party, content: Any, error: str, shape: bool) -> dict[str, Any]:
    """A payload (a map, or its bytes), signed by `signer`."""
    payload = content if isinstance(content, bytes) else codec.encode(content)
    return entry(name, read_as, envelope(payload, signer), error, shape=shape)


def _signatures() -> list[dict[str, Any]]:
    payload = VOUCHER.to_payload()
    signed = Signed.sign(VOUCHER, CARD.key)
    r, s = signed.signature[:32], signed.signature[32:]
    n = CURVE_ORDER.to_bytes(32, "big")
    above = (CURVE_ORDER + int.from_bytes(r, "big")).to_bytes(33, "big")[-32:]
    more = replace(VOUCHER, amount=VOUCHER.amount + 1).to_payload()
    cases: dict[str, bytes] = {
        "r is zero": bytes(32) + s,
        "s is zero": r + bytes(32),
        "r is n": n + s,
        "s is n": r + n,
        "r is all ones": b"\xff" * 32 + s,
        "s is all ones": r + b"\xff" * 32,
        "r above n, cut": above + s,
        "r and s exchanged": s + r,
        "last bit flipped": signed.signature[:-1] + bytes((signed.signature[-1] ^ 1,)),
        "over the payload alone": CARD.key.sign(payload),
        "over another context": CARD.key.sign(
            cose.sig_structure(PROTECTED, payload).replace(b"Signature1", b"Signature ")
        ),
        "over other external data": CARD.key.sign(
            cose.sig_structure(PROTECTED, payload).replace(b"\x40\x58", b"\x41\0\x58")
        ),
        "by another card": FOREIGN_CARD.key.sign(cose.sig_structure(PROTECTED, payload)),
    }
    found = [
        entry(f"signature: {name}", "Voucher", envelope(payload, signature=value), "bad-signature", key=CARD)
        for name, value in cases.items()
    ]
    found.append(
        entry(
            "one fen more than was signed",
            "Voucher",
            envelope(more, signature=signed.signature),
            "bad-signature",
            key=CARD,
        )
    )
    return found


def _certificates() -> list[dict[str, Any]]:
    envelope_ = cose.Sign1.from_bytes(CARD.certificate.to_bytes(), max_size=512)
    header: dict[int, Any] = codec.decode(envelope_.protected, max_size=512)
    claims: dict[int, Any] = codec.decode(envelope_.payload, max_size=512)
    cnf = claims[8][1]

    def certificate(new_header: dict[int, Any], new_claims: Any) -> bytes:
        payload = new_claims if isinstance(new_claims, bytes) else codec.encode(new_claims)
        return envelope(payload, OPERATOR, protected=codec.encode(new_header))

    raw = envelope_.payload
    cases: list[tuple[str, dict[int, Any], Any, str, bool]] = [
        ("no typ", {k: v for k, v in header.items() if k != 16}, claims, "wrong-type", True),
        ("typ of something else", {**header, 16: 60}, claims, "wrong-type", True),
        ("algorithm ES384", {**header, 1: -35}, claims, "unknown-suite", True),
        ("kid missing", {1: -7, 16: 61}, claims, "unknown-label", True),
        ("kid of 31 bytes", {**header, 4: bytes(31)}, claims, "out-of-range", True),
        ("one header more", {**header, 3: 0}, claims, "unknown-label", True),
        ("claim missing", header, {k: v for k, v in claims.items() if k != 5}, "truncated", True),
        ("one claim more", header, {**claims, 2: "card"}, "unknown-label", True),
        ("claims an array", header, list(claims.values()), "wrong-type", True),
        ("class that is not known", header, {**claims, -70001: 6}, "unknown-label", True),
        ("test mark of 2", header, {**claims, -70002: 2}, "out-of-range", True),
        ("test mark a boolean", header, {**claims, -70002: True}, "out-of-range", True),
        ("expires before it begins", header, {**claims, 4: claims[5], 5: claims[4]}, "out-of-range", False),
        ("expires when it begins", header, {**claims, 4: claims[5]}, "out-of-range", False),
        ("begins before its fixed size", header, {**claims, 5: 65535}, "out-of-range", True),
        ("expires after 2106", header, {**claims, 4: 2**32}, "out-of-range", True),
        ("last epoch", header, {**claims, -70003: b"\xff" * 4}, "out-of-range", False),
        ("epoch of three bytes", header, {**claims, -70003: bytes(3)}, "out-of-range", True),
        ("key of another curve", header, {**claims, 8: {1: {**cnf, -1: 2}}}, "out-of-range", True),
        ("key with its private part", header, {**claims, 8: {1: {**cnf, -4: bytes(32)}}}, "out-of-range", True),
        ("compressed key", header, {**claims, 8: {1: {**cnf, -3: True}}}, "out-of-range", True),
        ("claim in more bytes", header, _swap(raw, "3a00011170", "3b0000000000011170"), "not-canonical", False),
        ("claims cut", header, raw[:-1], "truncated", True),
    ]
    found = [
        entry(f"certificate: {name}", "Certificate", certificate(new_header, new_claims), error, shape=shape)
        for name, new_header, new_claims, error, shape in cases
    ]
    good = CARD.certificate.to_bytes()
    found.append(entry("certificate: cut", "Certificate", good[:-1], "truncated"))
    found.append(entry("certificate: byte after the end", "Certificate", good + b"\0", "oversized"))
    found.append(
        entry("certificate: message in its place", "Certificate", envelope(REQUEST.to_payload()), "wrong-type")
    )
    short = envelope(raw, OPERATOR, protected=envelope_.protected, signature=bytes(63))
    found.append(entry("certificate: signature of 63 bytes", "Certificate", short, "truncated", shape=True))
    return found


def vectors() -> list[dict[str, Any]]:
    return [*_envelopes(), *_headers(), *_payloads(), *_other_types(), *_endings(), *_signatures(), *_certificates()]
