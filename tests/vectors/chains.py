"""Chains of certificates: which ones a trust store believes, at what time, and how it refuses the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from support.keys import (
    AUTHORITY,
    CARD,
    EXPIRES,
    FOREIGN_AUTHORITY,
    FOREIGN_CARD,
    FOREIGN_OPERATOR,
    NOT_BEFORE,
    NOW,
    OPERATOR,
    TILL,
    certify,
    key,
)
from wallet_core.certificates import Certificate, CertificateClass

_ANY_CLASS = tuple(CertificateClass)


def _entry(
    name: str,
    certificate: Certificate,
    error: str | None = None,
    *,
    root: Certificate = AUTHORITY.certificate,
    operators: tuple[Certificate, ...] = (OPERATOR.certificate,),
    now: int | None = NOW,
    production: bool = False,
    allowed: tuple[CertificateClass, ...] = _ANY_CLASS,
) -> dict[str, Any]:
    return {
        "name": name,
        "root": root.to_bytes().hex(),
        "operators": [operator.to_bytes().hex() for operator in operators],
        "certificate": certificate.to_bytes().hex(),
        "now": now,
        "production": production,
        "allowed": [int(one) for one in allowed],
        "error": error,
    }


def _flipped(certificate: Certificate) -> Certificate:
    last = certificate.signature[-1] ^ 1
    return replace(certificate, signature=certificate.signature[:-1] + bytes((last,)))


def _believed() -> list[dict[str, Any]]:
    production = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, test=False)
    operator = certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, test=False)
    card = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, test=False)
    return [
        _entry("card, operator, authority", CARD.certificate, allowed=(CertificateClass.HARD_WALLET,)),
        _entry("till", TILL.certificate, allowed=(CertificateClass.TILL,)),
        _entry("operator", OPERATOR.certificate),
        _entry("authority itself", AUTHORITY.certificate, operators=()),
        _entry("first second", CARD.certificate, now=NOT_BEFORE),
        _entry("last second", CARD.certificate, now=EXPIRES - 1),
        _entry("expired, but no clock", CARD.certificate, now=None),
        _entry("production keys in production", card, root=production, operators=(operator,), production=True),
    ]


def _dated() -> list[dict[str, Any]]:
    soon = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, not_before=NOW + 1)
    gone = certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, expires=NOW)
    old_operator = certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, expires=NOW)
    old_root = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, expires=NOW)
    return [
        _entry("not valid yet", soon, "expired-certificate"),
        _entry("expired", gone, "expired-certificate"),
        _entry("a second too early", CARD.certificate, "expired-certificate", now=NOT_BEFORE - 1),
        _entry("the second it expires", CARD.certificate, "expired-certificate", now=EXPIRES),
        _entry("operator expired", CARD.certificate, "expired-certificate", operators=(old_operator,)),
        _entry("authority expired", CARD.certificate, "expired-certificate", root=old_root),
    ]


def _strangers() -> list[dict[str, Any]]:
    untrusted = "untrusted-certificate"
    posing = Certificate(
        issuer=AUTHORITY.id,
        key=AUTHORITY.key.public,
        subject_class=CertificateClass.HARD_WALLET,
        not_before=NOT_BEFORE,
        expires=EXPIRES,
        test=True,
        epoch=1,
        signature=bytes(63) + b"\1",
    )
    other_root = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, expires=EXPIRES - 1)
    own = certify(CARD.key, CARD.key, CertificateClass.HARD_WALLET)
    third = certify(key("third operator"), CARD.key, CertificateClass.HARD_WALLET)
    claimed = replace(FOREIGN_CARD.certificate, issuer=OPERATOR.id)
    return [
        _entry("operator not known", CARD.certificate, untrusted, operators=()),
        _entry("foreign card", FOREIGN_CARD.certificate, untrusted),
        _entry("foreign operator", FOREIGN_OPERATOR.certificate, untrusted),
        _entry("foreign authority", FOREIGN_AUTHORITY.certificate, untrusted),
        _entry("foreign card that names our operator", claimed, untrusted),
        _entry("signed by itself", own, untrusted),
        _entry("signed by an operator without certificate", third, untrusted),
        _entry("signature with one bit flipped", _flipped(CARD.certificate), untrusted),
        _entry("authority with one bit flipped", _flipped(AUTHORITY.certificate), untrusted),
        _entry("another certificate for the authority's key", other_root, untrusted),
        _entry("a purse that claims the authority's key, unsigned", posing, untrusted),
        _entry(
            "production card under a test operator",
            certify(OPERATOR.key, CARD.key, CertificateClass.HARD_WALLET, test=False),
            untrusted,
        ),
    ]


def _classes() -> list[dict[str, Any]]:
    below_operator = certify(OPERATOR.key, key("second operator"), CertificateClass.OPERATOR)
    direct = certify(AUTHORITY.key, CARD.key, CertificateClass.HARD_WALLET)
    authority_by_operator = certify(OPERATOR.key, key("second authority"), CertificateClass.AUTHORITY)
    production_root = certify(AUTHORITY.key, AUTHORITY.key, CertificateClass.AUTHORITY, test=False)
    production_operator = certify(AUTHORITY.key, OPERATOR.key, CertificateClass.OPERATOR, test=False)
    return [
        _entry("operator certified by an operator", below_operator, "wrong-class"),
        _entry("card certified by the authority", direct, "wrong-class"),
        _entry("authority certified by an operator", authority_by_operator, "wrong-class"),
        _entry(
            "till where a purse is wanted", TILL.certificate, "wrong-class", allowed=(CertificateClass.HARD_WALLET,)
        ),
        _entry("nobody allowed", CARD.certificate, "wrong-class", allowed=()),
        _entry(
            "test card in production",
            CARD.certificate,
            "test-key-refused",
            root=production_root,
            operators=(production_operator,),
            production=True,
        ),
    ]


def vectors() -> list[dict[str, Any]]:
    return [*_believed(), *_dated(), *_strangers(), *_classes()]
