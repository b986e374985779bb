"""The test keys, certificates and samples of support.keys and support.samples once more, in suite 2.

Everything is the same story: a sample is translated by putting each id, hash, key and signed item of suite 2 where
that of suite 1 stands.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from typing import Any

from support import keys, samples
from support.keys import Party, certify, seed
from support.samples import Sample
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.keys import SoftwareKey
from wallet_core.messages import Signed
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore


@cache
def key(name: str) -> SoftwareKey:
    """The test key `name` of suite 2; the same object each time."""
    return SoftwareKey.from_secret(seed(name), Suite.SM2)


def party(name: str, subject_class: CertificateClass, issuer: str) -> Party:
    return Party(name, key(name), certify(key(issuer), key(name), subject_class))


def _again(one: Party) -> Party:
    issuers = {known.id: known.name for known in (*keys.PARTIES, *keys.FOREIGN_PARTIES)}
    return party(one.name, one.certificate.subject_class, issuers[one.certificate.issuer])


PARTIES = tuple(_again(one) for one in keys.PARTIES)
AUTHORITY, OPERATOR, OPERATOR_PURSE, CARD, OTHER_CARD, MERCHANT_PURSE, TILL = PARTIES
FOREIGN_PARTIES = tuple(_again(one) for one in keys.FOREIGN_PARTIES)
FOREIGN_AUTHORITY, FOREIGN_OPERATOR, FOREIGN_CARD = FOREIGN_PARTIES
_BY_NAME = {one.name: one for one in PARTIES}

_AUDITS = {  # each with its nonce; sealed by SM4 here
    samples.LOAD_VOUCHER.audit: AuditData(1, 1_000_000, samples.LOAD, 0, samples.LOAD),
    samples.VOUCHER.audit: AuditData(1, samples.LOAD, samples.SALE, 0, samples.SALE),
}
_KNOWN: dict[bytes, bytes] = {
    **{old.id: new.id for old, new in zip(keys.PARTIES, PARTIES, strict=True)},
    **{old.key.public.x: new.key.public.x for old, new in zip(keys.PARTIES, PARTIES, strict=True)},
    **{old.key.public.y: new.key.public.y for old, new in zip(keys.PARTIES, PARTIES, strict=True)},
    **{old.certificate.to_bytes(): new.certificate.to_bytes() for old, new in zip(keys.PARTIES, PARTIES, strict=True)},
    **{sealed: block.seal(samples.AUDIT_KEY, samples.AUDIT_NONCE, Suite.SM2) for sealed, block in _AUDITS.items()},
}


def translate(message: Any, signer: Party) -> Any:
    """The same message in suite 2; its hash and its signed bytes are known to those that are translated later."""
    changed = {field.name: _translated(getattr(message, field.name)) for field in fields(message)}
    if "least_suite" in changed:
        changed["least_suite"] = Suite.SM2
    made = replace(message, **{**changed, "suite": Suite.SM2})
    _KNOWN[Signed(message, b"").hash] = Signed(made, b"").hash
    old = next(one for one in keys.PARTIES if one.name == signer.name)
    _KNOWN[Signed.sign(message, old.key).to_bytes()] = Signed.sign(made, signer.key).to_bytes()
    return made


def _translated(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_translated(item) for item in value)
    if isinstance(value, dict):
        return {_translated(name): item for name, item in value.items()}
    if not isinstance(value, bytes):
        return value
    if value in _KNOWN:
        return _KNOWN[value]
    for old, new in _KNOWN.items():  # lines of a report
        if len(old) == len(new):
            value = value.replace(old, new)
    return value


LOAD_REQUEST = translate(samples.LOAD_REQUEST, CARD)
LOAD_VOUCHER = translate(samples.LOAD_VOUCHER, OPERATOR_PURSE)
REQUEST = translate(samples.REQUEST, TILL)
VOUCHER = translate(samples.VOUCHER, CARD)
REFUSAL = translate(samples.REFUSAL, TILL)
_IN_ORDER = ("deposit batch", "report")  # others name their hashes
_MADE = {
    one.name: translate(one.message, _BY_NAME[one.signer.name])
    for one in sorted(samples.SAMPLES, key=lambda one: one.name not in _IN_ORDER)
}
SAMPLES = tuple(Sample(one.name, one.rule, _MADE[one.name], _BY_NAME[one.signer.name]) for one in samples.SAMPLES)


def sample(name: str) -> Sample:
    return next(one for one in SAMPLES if one.name == name)


def trust_store() -> TrustStore:
    """A new store that trusts AUTHORITY and knows OPERATOR, both of suite 2."""
    store = TrustStore(AUTHORITY.certificate, production=False)
    store.add_operator(OPERATOR.certificate)
    return store
