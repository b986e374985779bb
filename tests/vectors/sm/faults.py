"""Messages of suite 2 that must be refused: those that mix suites, and those that sign something else than SM2 does.

The format is that of negative.json beside; the faults that have nothing to do with a suite are there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from negative import entry, envelope

from support import keys, samples, suite2
from support.keys import Party
from support.samples import Sample
from wallet_core import codec, cose, sm2
from wallet_core.certificates import Certificate
from wallet_core.digests import sha256, sm3
from wallet_core.messages import Signed
from wallet_core.suites import Suite, profile

HEADERS = {suite: profile(suite).protected for suite in Suite}
CARD, OPERATOR = suite2.CARD, suite2.OPERATOR
VOUCHER = suite2.sample("voucher")


def vectors() -> list[dict[str, Any]]:
    found = [vector for sample in suite2.SAMPLES for vector in _of_each(sample)]
    return [*found, *_headers(), *_signatures(), *_certificates()]


def _of_each(sample: Sample) -> list[dict[str, Any]]:
    """What every type has: each part of the other suite, downgraded as a whole, signed by another or not quite."""
    kind, name = type(sample.message).__name__, sample.name
    first = next(one for one in samples.SAMPLES if one.name == name)
    payload, old = sample.message.to_payload(), first.message.to_payload()
    signed = sample.signed
    flipped = replace(signed, signature=signed.signature[:-1] + bytes((signed.signature[-1] ^ 1,)))
    es256, card = first.signer, sample.signer
    header = HEADERS[Suite.ES256]
    newer = codec.encode({**codec.decode(payload, max_size=4096), 1: 3})
    return [
        entry(
            f"{name}: header of suite 1", kind, envelope(payload, es256, protected=header), "unknown-suite", shape=True
        ),
        entry(
            f"{name}: payload of suite 1",
            kind,
            envelope(old, card, protected=HEADERS[Suite.SM2]),
            "unknown-suite",
            shape=True,
        ),
        entry(
            f"{name}: suite 3", kind, envelope(newer, card, protected=HEADERS[Suite.SM2]), "unknown-suite", shape=True
        ),
        entry(
            f"{name}: all of suite 1, where the key is of suite 2",
            kind,
            first.signed.to_bytes(),
            "bad-signature",
            key=card,
        ),
        entry(f"{name}: last bit flipped", kind, flipped.to_bytes(), "bad-signature", key=card),
        entry(f"{name}: by a stranger", kind, _signed(payload, suite2.FOREIGN_CARD), "bad-signature", key=card),
        entry(f"{name}: over H without Z", kind, _over(sample, sm3(_structure(payload))), "bad-signature", key=card),
        entry(f"{name}: cut", kind, signed.to_bytes()[:-1], "truncated"),
        entry(f"{name}: byte after the end", kind, signed.to_bytes() + b"\0", "oversized"),
    ]


def _headers() -> list[dict[str, Any]]:
    payload = VOUCHER.message.to_payload()
    cases = {
        "alg of the next number": "a1013a00010002",
        "alg in nine bytes": "a1013b0000000000010001",
        "alg and kid": "a2013a00010001044101",
        "alg a text": "a10163534d32",
        "label in two bytes": "a118013a00010001",
    }
    return [
        entry(
            f"header with {name}",
            "Voucher",
            envelope(payload, CARD, protected=bytes.fromhex(header)),
            "unknown-suite",
            shape="in" not in name.split(),
        )
        for name, header in cases.items()
    ]


def _signatures() -> list[dict[str, Any]]:
    """A voucher signed by the right scalar over something else, or with another scheme."""
    payload, signed = VOUCHER.message.to_payload(), VOUCHER.signed
    structure, public = _structure(payload), CARD.key.public
    r, s = signed.signature[:32], int.from_bytes(signed.signature[32:], "big")
    other_form = r + (sm2.ORDER - s).to_bytes(32, "big")
    same_scalar = Party("", keys.SoftwareKey.from_scalar(CARD.key.to_scalar()), CARD.certificate)
    cases = {
        "Z of another identifier": _over(
            VOUCHER, sm3(sm2.identity(public.x, public.y, b"ALICE123@YAHOO.COM") + structure)
        ),
        "Z of no identifier": _over(VOUCHER, sm3(sm2.identity(public.x, public.y, b"") + structure)),
        "Z of the operator's key": _over(VOUCHER, sm3(OPERATOR.key.public.identity + structure)),
        "Z with x and y exchanged": _over(VOUCHER, sm3(sm2.identity(public.y, public.x) + structure)),
        "SHA-256 in the place of SM3": _over(VOUCHER, sha256(public.identity + structure)),
        "H hashed once more": _over(VOUCHER, sm3(public.identity + sm3(structure))),
        "the payload alone": _over(VOUCHER, public.signed_digest(payload)),
        "the header of suite 1": _over(
            VOUCHER, public.signed_digest(cose.sig_structure(HEADERS[Suite.ES256], payload))
        ),
        "ECDSA on P-256 with the same scalar": _with(payload, same_scalar.key.sign(structure)),
        "s exchanged for n - s": _with(payload, other_form),
        "r and s exchanged": _with(payload, signed.signature[32:] + r),
        "r of zero": _with(payload, bytes(32) + signed.signature[32:]),
        "s of zero": _with(payload, r + bytes(32)),
        "r of n": _with(payload, sm2.ORDER.to_bytes(32, "big") + signed.signature[32:]),
        "s such that r + s is n": _with(payload, r + (sm2.ORDER - int.from_bytes(r, "big")).to_bytes(32, "big")),
    }
    return [
        entry(f"voucher signed: {name}", "Voucher", data, "bad-signature", key=CARD) for name, data in cases.items()
    ]


def _certificates() -> list[dict[str, Any]]:
    first, second = keys.CARD.certificate, CARD.certificate
    parts = {suite: _parts(certificate) for suite, certificate in ((Suite.ES256, first), (Suite.SM2, second))}
    mixed = {
        "key of suite 1 under a header of suite 2": (parts[Suite.SM2][0], parts[Suite.ES256][1]),
        "key of suite 2 under a header of suite 1": (parts[Suite.ES256][0], parts[Suite.SM2][1]),
    }
    found = [
        entry(
            f"certificate: {name}",
            "Certificate",
            envelope(claims, OPERATOR, protected=header),
            "unknown-suite",
            shape=True,
        )
        for name, (header, claims) in mixed.items()
    ]
    good = second.to_bytes()
    found.append(entry("certificate: cut", "Certificate", good[:-1], "truncated"))
    found.append(entry("certificate: byte after the end", "Certificate", good + b"\0", "oversized"))
    return found


def _parts(certificate: Certificate) -> tuple[bytes, bytes]:
    """Header and claims."""
    read = cose.Sign1.from_bytes(certificate.to_bytes(), max_size=512)
    return read.protected, read.payload


def _structure(payload: bytes) -> bytes:
    return cose.sig_structure(HEADERS[Suite.SM2], payload)


def _signed(payload: bytes, signer: Party) -> bytes:
    return envelope(payload, signer, protected=HEADERS[Suite.SM2])


def _with(payload: bytes, signature: bytes) -> bytes:
    return envelope(payload, protected=HEADERS[Suite.SM2], signature=signature)


def _over(sample: Sample, e: bytes) -> bytes:
    """The sample with its signer's signature over `e`, whatever that is."""
    return Signed(sample.message, sm2.SigningKey(sample.signer.key.to_scalar()).sign(e)).to_bytes()
