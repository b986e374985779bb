"""Personalisation and life cycle on the card: own key pair, objects of STORE DATA, the one-way steps.

What is stored is verified before it is stored, against what was stored before: nothing that arrives over the channel is
believed because it came over the channel. PERSONALISE END verifies the whole once more.
"""

from __future__ import annotations

from dataclasses import replace

from hardware.commands import GenerateKeyPair, GenerateSm2KeyPair, StoreData
from hardware.emulator.vault import Vault, read_policy
from hardware.instructions import Store
from hardware.pin import check_pin_block
from wallet_core.certificates import Certificate, CertificateClass
from wallet_core.errors import BadSignatureError, PurseRefusal, Refused, VerificationError
from wallet_core.messages import CertificationRequest, Policy, Signed
from wallet_core.purse import control
from wallet_core.purse.state import Lifecycle
from wallet_core.suites import Suite
from wallet_core.trust import TrustStore

_OWN_CLASSES = (CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)


def generate_key_pair(vault: Vault, command: GenerateKeyPair | GenerateSm2KeyPair) -> bytes:
    """Make the key pair, or take the one that is there, and prove its possession over the challenge."""
    public = vault.make_key(Suite.SM2 if isinstance(command, GenerateSm2KeyPair) else Suite.ES256).public
    request = CertificationRequest(
        suite=public.suite,
        x=public.x,
        y=public.y,
        subject_class=vault.factory.subject_class,
        challenge=command.challenge,
    )
    return vault.sign(request)


def store_data(vault: Vault, command: StoreData) -> bytes:
    """Verify one object and make it the one in force, in one commit. The same bytes again change nothing."""
    if vault.memory.object(vault.record, command.target) == command.content:
        return b""
    state = vault.state
    match command.target:
        case Store.AUTHORITY_CERTIFICATE:
            _check_authority(vault, Certificate.from_bytes(command.content))
        case Store.OPERATOR_CERTIFICATE:
            _check_operator(vault, Certificate.from_bytes(command.content))
        case Store.PURSE_CERTIFICATE:
            certificate = Certificate.from_bytes(command.content)
            _check_own(vault, certificate)
            state = replace(state, epoch=certificate.epoch)
        case Store.POLICY:
            _check_policy(vault, read_policy(command.content))
        case Store.PIN:
            check_pin_block(command.content)
        case Store.AUDIT_KEY:
            pass  # any 16 bytes are a key
    record = vault.memory.write_object(replace(vault.record, purse=state), command.target, command.content)
    vault.commit(record)
    return b""


def _check_authority(vault: Vault, certificate: Certificate) -> None:
    if vault.record.has(Store.AUTHORITY_CERTIFICATE):
        raise PurseRefusal(Refused.WRONG_STATE, "the trust anchor is stored only once")
    try:
        TrustStore(certificate, production=vault.factory.production)
    except VerificationError as exc:
        raise PurseRefusal(Refused.CERTIFICATE, exc.message) from exc


def _check_operator(vault: Vault, certificate: Certificate) -> None:
    try:
        vault.trust().add_operator(certificate)
    except VerificationError as exc:
        raise PurseRefusal(Refused.CERTIFICATE, exc.message) from exc


def _check_own(vault: Vault, certificate: Certificate) -> None:
    operator = _operator(vault)
    if certificate.subject != vault.key().public.thumbprint:
        raise PurseRefusal(Refused.CERTIFICATE, "the certificate is not of this card's key")
    vault.verify_party(certificate, operator, *_OWN_CLASSES)


def _check_policy(vault: Vault, signed: Signed[Policy]) -> None:
    """A policy of the card's own operator, for its own class, whose version rises."""
    operator = _operator(vault)
    policy = signed.message
    own = vault.certificate(Store.PURSE_CERTIFICATE)
    if policy.operator != operator.subject or (own is not None and policy.purse_class != own.subject_class):
        raise PurseRefusal(Refused.WRONG_PURSE, "the policy is of another operator or for another class of purse")
    try:
        signed.verify(operator.key)
    except BadSignatureError as exc:
        raise PurseRefusal(Refused.SIGNATURE, exc.message) from exc
    if vault.policy is not None and policy.version <= vault.policy.version:
        raise PurseRefusal(Refused.WRONG_STATE, "the version of a policy only rises")


def _operator(vault: Vault) -> Certificate:
    operator = vault.certificate(Store.OPERATOR_CERTIFICATE)
    if operator is None:
        raise PurseRefusal(Refused.WRONG_STATE, "this card has no operator yet")
    return operator


def personalise_end(vault: Vault) -> bytes:
    """Blank → personalised, when everything is there and fits together."""
    if vault.state.lifecycle is Lifecycle.BLANK:
        _check_whole(vault)
    return _move(vault, Lifecycle.PERSONALISED)


def _check_whole(vault: Vault) -> None:
    own, policy = vault.certificate(Store.PURSE_CERTIFICATE), vault.policy
    if not vault.record.has_key or not vault.record.has(*Store) or own is None or policy is None:
        raise PurseRefusal(Refused.WRONG_STATE, "the key pair or an object is missing")
    operator = _operator(vault)
    try:
        vault.verify_party(own, operator, *_OWN_CLASSES)
    except PurseRefusal as exc:
        raise PurseRefusal(Refused.WRONG_STATE, "the objects do not belong together") from exc
    if policy.operator != operator.subject or policy.purse_class != own.subject_class:
        raise PurseRefusal(Refused.WRONG_STATE, "the policy does not belong to this purse")


def activate(vault: Vault) -> bytes:
    return _move(vault, Lifecycle.ACTIVE)


def deactivate(vault: Vault) -> bytes:
    return _move(vault, Lifecycle.BLOCKED)


def terminate(vault: Vault) -> bytes:
    return _move(vault, Lifecycle.TERMINATED)


def _move(vault: Vault, target: Lifecycle) -> bytes:
    """One step of the life cycle; the step that was just taken is taken again without a trace."""
    after = control.move_to(vault.state, target)
    if after is not vault.state:
        vault.commit_state(after)
    return b""
