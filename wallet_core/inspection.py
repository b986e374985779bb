"""Open any message of docs/spec/messages.cddl without being told its type, and verify it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wallet_core import codec
from wallet_core.certificates import PURSES, Certificate, CertificateClass
from wallet_core.cose import Sign1
from wallet_core.errors import BadSignatureError, MismatchError, WrongTypeError
from wallet_core.messages import (
    CertificationRequest,
    Closing,
    DepositAnswer,
    DepositBatch,
    Grant,
    Issuance,
    MessageType,
    Policy,
    Receipt,
    Refusal,
    Report,
    Request,
    ReversalOrder,
    RevocationList,
    Signed,
    Voucher,
    parse,
)
from wallet_core.messages.deposit import MAX_BATCH_SIZE
from wallet_core.messages.layout import TYPE_LABEL
from wallet_core.trust import TrustStore

_TYP_LABEL = 16

KINDS: dict[MessageType, type[Any]] = {
    kind.TYPE: kind
    for kind in (
        Request,
        Voucher,
        Receipt,
        Refusal,
        Policy,
        Issuance,
        DepositBatch,
        DepositAnswer,
        CertificationRequest,
        Report,
        Grant,
        ReversalOrder,
        Closing,
        RevocationList,
    )
}


# Which field names the signer, and which classes may sign.
_SIGNERS: dict[type[Any], tuple[str, tuple[CertificateClass, ...]]] = {
    Request: ("payee", tuple(CertificateClass)[2:]),
    Voucher: ("payer", PURSES),
    Receipt: ("payee", tuple(CertificateClass)[2:]),
    Refusal: ("payee", tuple(CertificateClass)[2:]),
    Policy: ("operator", (CertificateClass.OPERATOR,)),
    Issuance: ("authority", (CertificateClass.AUTHORITY,)),
    DepositBatch: ("payee", (CertificateClass.TILL,)),
    DepositAnswer: ("operator", (CertificateClass.OPERATOR,)),
    Report: ("purse", PURSES),
    Closing: ("operator", (CertificateClass.OPERATOR,)),
    RevocationList: ("operator", (CertificateClass.OPERATOR,)),
}

# These name the purse that they are for: its operator signs them.
_FOR_PURSE: dict[type[Any], str] = {ReversalOrder: "payer", Grant: "purse"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A parsed message: its name, its fields for people, and the thing itself."""

    name: str
    fields: dict[str, Any]
    hash: bytes
    content: Certificate | Signed[Any]


def open_message(data: bytes) -> Opened:
    """Parse one signed message or certificate; raises a CodecError. No signature is checked yet."""
    sign1 = Sign1.from_bytes(data, max_size=MAX_BATCH_SIZE)
    header = codec.decode(sign1.protected, max_size=256)
    if isinstance(header, dict) and _TYP_LABEL in header:
        certificate = Certificate.from_bytes(data)
        return Opened("Certificate", _certificate_fields(certificate), certificate.hash, certificate)
    payload = codec.decode(sign1.payload, max_size=MAX_BATCH_SIZE)
    number = payload.get(TYPE_LABEL) if isinstance(payload, dict) else None
    kind = next((k for t, k in KINDS.items() if t == number), None)
    if kind is None:
        raise WrongTypeError(f"message type {number!r} is not known here")
    signed: Signed[Any] = parse(kind, data, max_size=MAX_BATCH_SIZE)
    return Opened(kind.__name__, _message_fields(signed.message), signed.hash, signed)


def verify(opened: Opened, trust: TrustStore, signer: Certificate | None, *, now: int | None) -> None:
    """Verify signature, chain and class; `signer` is the signer's certificate where the trust store has not got it.

    Raises a VerificationError.
    """
    if isinstance(opened.content, Certificate):
        trust.verify(opened.content, now=now)
        return
    message = opened.content.message
    if isinstance(message, CertificationRequest):
        opened.content.verify(message.key)  # proof of possession: signed by the key that it carries
        return
    if type(message) in _FOR_PURSE:
        _verify_by_operator(opened.content, trust, signer, now=now)
        return
    field, classes = _SIGNERS[type(message)]
    name = getattr(message, field)
    known = [c for c in (trust.root, *trust.operators, signer) if c is not None and c.subject == name]
    if not known:
        raise MismatchError(
            f"no certificate of the signer {name.hex()[:8]} is at hand", next_step="Pass it with --signer FILE."
        )
    certificate = trust.verify(known[0], now=now, allowed=classes)
    if isinstance(message, Voucher | Report) and certificate.epoch != message.epoch:
        raise MismatchError(f"the certificate is of epoch {certificate.epoch}, the message of epoch {message.epoch}")
    opened.content.verify(certificate.key)


def _verify_by_operator(signed: Signed[Any], trust: TrustStore, signer: Certificate | None, *, now: int | None) -> None:
    """Signed by the operator of the purse that it is for: with the purse's certificate as `signer` by its issuer alone,
    else by any operator that is trusted."""
    purse: bytes = getattr(signed.message, _FOR_PURSE[type(signed.message)])
    operators = [one for one in (*trust.operators, signer) if one and one.subject_class is CertificateClass.OPERATOR]
    if signer is not None and signer.subject == purse:
        trust.verify(signer, now=now, allowed=PURSES)
        operators = [one for one in operators if one.subject == signer.issuer]
    if not operators:
        raise MismatchError("no operator's certificate is at hand", next_step="Pass it with --trust or --signer FILE.")
    for operator in operators:
        try:
            signed.verify(operator.key)
        except BadSignatureError:
            continue
        trust.verify(operator, now=now, allowed=(CertificateClass.OPERATOR,))
        return
    raise BadSignatureError("none of the operators at hand has signed it")


def _message_fields(message: Any) -> dict[str, Any]:
    return {f.name: _show(getattr(message, f.name)) for f in dataclasses.fields(message)}


def _certificate_fields(certificate: Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject.hex(),
        "issuer": certificate.issuer.hex(),
        "class": certificate.subject_class.name,
        "suite": int(certificate.suite),
        "not_before": certificate.not_before,
        "expires": certificate.expires,
        "test": certificate.test,
        "epoch": certificate.epoch,
    }


def _show(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_show(item) for item in value]
    if isinstance(value, Mapping):
        return {_show(key): _show(item) for key, item in value.items()}
    return int(value) if isinstance(value, int) else value
