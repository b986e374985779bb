"""ACKNOWLEDGE, REVERSE, REPORT and GRANT on the card: the outcome is verified here, one commit makes it last."""

from __future__ import annotations

from typing import TypeVar

from hardware.emulator.vault import Vault, check_signature
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.instructions import Store
from wallet_core.certificates import PURSES, Certificate
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.messages import Grant, Receipt, Refusal, ReversalOrder, Signed, parse
from wallet_core.messages.layout import FixedMessage
from wallet_core.purse import settle
from wallet_core.purse.state import PurseState

M = TypeVar("M", bound=FixedMessage)
A = TypeVar("A", Receipt, Refusal)


def acknowledge(vault: Vault, command: Acknowledge) -> bytes:
    signed = parse(Receipt, command.receipt)
    return _acknowledge(vault, signed, command.payee_certificate, command.operator_certificate)


def acknowledge_refusal(vault: Vault, command: AcknowledgeRefusal) -> bytes:
    signed = parse(Refusal, command.refusal)
    return _acknowledge(vault, signed, command.payee_certificate, command.operator_certificate)


def _acknowledge(vault: Vault, signed: Signed[A], payee_certificate: bytes, operator_certificate: bytes) -> bytes:
    if settle.is_acknowledged(vault.state, signed.message):
        return b""
    payee = Certificate.from_bytes(payee_certificate)
    operator = Certificate.from_bytes(operator_certificate)

    def verify() -> None:
        vault.verify_party(payee, operator, *PURSES)
        if payee.subject != signed.message.payee:
            raise PurseRefusal(Refused.CERTIFICATE, "the certificate is not the payee's")
        check_signature(signed, payee)

    return _keep(vault, settle.acknowledge(vault.state, signed.message, payee_class=payee.subject_class, verify=verify))


def reverse(vault: Vault, command: Reverse) -> bytes:
    signed = parse(ReversalOrder, command.order)
    order = signed.message
    return _keep(vault, settle.reverse(vault.state, vault.purse_id, order, verify=lambda: _by_operator(vault, signed)))


def report(vault: Vault, _: MakeReport) -> bytes:
    """Signed afresh each time: it only says what is there, so nothing has to be kept."""
    version = vault.policy.version if vault.policy else 0
    return vault.sign(settle.report(vault.state, vault.purse_id, suite=vault.suite, policy_version=version))


def grant(vault: Vault, command: TakeGrant) -> bytes:
    signed = parse(Grant, command.grant)
    after = settle.apply_grant(
        vault.state,
        vault.purse_id,
        signed.message,
        policy_version=vault.policy.version if vault.policy else 0,
        verify=lambda: _by_operator(vault, signed),
    )
    return _keep(vault, after)


def _by_operator(vault: Vault, signed: Signed[M]) -> None:
    operator = vault.certificate(Store.OPERATOR_CERTIFICATE)
    if operator is None:
        raise PurseRefusal(Refused.WRONG_STATE, "this card knows no operator yet")
    check_signature(signed, operator)


def _keep(vault: Vault, after: PurseState) -> bytes:
    """Commit what has changed; where nothing has, sending it again costs the memory nothing."""
    if after is not vault.state:
        vault.commit_state(after)
    return b""
