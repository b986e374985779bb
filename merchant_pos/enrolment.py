"""Enrolment: the till makes its own key, proves with a one-time code whose till it is, and gets its certificate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from merchant_pos.identity import KEY_FILE, Identity, is_enrolled, load_key, save_key
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import CodecError, ConfigurationError, MismatchError, ServerUnreachableError
from wallet_core.keys import SoftwareKey
from wallet_core.messages import CertificationRequest, Signed
from wallet_core.suites import Suite, profile

_SECRET_SIZE = 48


class EnrolmentServer(Protocol):
    """`POST /v1/tills` of docs/spec/http.md."""

    @property
    def url(self) -> str: ...
    def enrol(self, code: str, certification_request: bytes, succeeds: bytes | None = None) -> Mapping[str, Any]: ...


def enrol(
    directory: Path,
    server: EnrolmentServer,
    code: str,
    *,
    production: bool,
    pinned_authority: Certificate | None,
    entropy: Callable[[int], bytes],
    now: int,
    step: Callable[[str], None],
    succeeds: bytes | None = None,
    before_enrolled: Callable[[Identity], None] = lambda _: None,
    suite: Suite = Suite.ES256,
) -> Identity:
    """Enrol the till in `directory`; a second call after a lost answer goes on with the same key.

    `succeeds`: id of the till whose vouchers this one will hand in; `before_enrolled` is given the new identity before
    it is written down, and may be given it again after a crash.

    `suite`: the server's, of which the till makes its key. `pinned_authority`: the authority's certificate where the
    merchant has it from elsewhere; otherwise the one that the server gives is believed this once. Raises
    ConfigurationError for a till that is enrolled already, SettlementError for what the server refuses,
    VerificationError when its certificates do not hold; nothing is stored then but the key.
    """
    if is_enrolled(directory):
        raise ConfigurationError(
            "this till is enrolled already",
            next_step="A new till gets a data directory of its own; keep this one until everything in it is settled.",
        )
    if not code:
        raise ConfigurationError("the enrolment code is empty")
    key = _own_key(directory, entropy, suite)
    step("key-saved")
    request = certification_request(key, code)
    answer = server.enrol(code, request) if succeeds is None else server.enrol(code, request, succeeds)
    step("enrolled")
    identity = _identity(key, server.url, answer, production=production)
    if pinned_authority is not None and identity.authority.to_bytes() != pinned_authority.to_bytes():
        raise MismatchError("the server belongs to another authority than the one that was given")
    identity.check(now=now)
    before_enrolled(identity)
    identity.save(directory)
    return identity


def certification_request(key: SoftwareKey, code: str) -> bytes:
    """Proof of possession, good for this one-time code only."""
    message = CertificationRequest(
        suite=key.public.suite,
        x=key.public.x,
        y=key.public.y,
        subject_class=CertificateClass.TILL,
        challenge=profile(key.public.suite).digest(code.encode()),
    )
    return Signed.sign(message, key).to_bytes()


def _own_key(directory: Path, entropy: Callable[[int], bytes], suite: Suite) -> SoftwareKey:
    """The key of an earlier call that got no answer, or a new one.

    Where the server is of another suite now, the earlier key is put aside, not thrown away: the server that certified
    it may only have lost its answer, and takes no other key for that code.
    """
    path = directory / KEY_FILE
    if path.exists():
        known = load_key(directory)
        if known.public.suite is suite:
            return known
        path.replace(_aside(path, known.public.suite))
    if _aside(path, suite).exists():
        _aside(path, suite).replace(path)
        return load_key(directory)
    key = SoftwareKey.from_secret(entropy(_SECRET_SIZE), suite)
    save_key(directory, key)
    return key


def _aside(path: Path, suite: Suite) -> Path:
    return path.with_name(f"{path.name}.{suite.name.lower()}")


def _identity(key: SoftwareKey, url: str, answer: Mapping[str, Any], *, production: bool) -> Identity:
    try:
        certificates = {
            name: Certificate.from_bytes(bytes.fromhex(answer[field]))
            for name, field in (
                ("certificate", "certificate"),
                ("operator", "operator_certificate"),
                ("authority", "authority_certificate"),
            )
        }
        identity = Identity(
            key=key,
            server=url,
            merchant=str(answer["merchant"]),
            merchant_name=str(answer["merchant_name"]),
            production=production,
            **certificates,
        )
        till = bytes.fromhex(answer["till"])
    except (CodecError, KeyError, ValueError, TypeError) as exc:
        raise ServerUnreachableError(
            f"the server's answer is not an enrolment: {exc}", next_step="Check the address, then enrol again."
        ) from exc
    if till != key.public.thumbprint:
        raise MismatchError("the server enrolled another key than this till's")
    return identity
