"""PAY, RESEND, REQUEST, COLLECT and REFUSE on the card: wallet_core.purse decides, this makes the decision last.

Each handler is the same four steps (docs/spec/transfer.md, rule 3): decide; sign and copy into a free place, which is
no effect yet; one commit; answer the bytes as they are stored. What must refuse has refused in the first step.
"""

from __future__ import annotations

from collections.abc import Callable

from hardware.commands import (
    Collect,
    MakeRequest,
    MakeRequestVerified,
    Pay,
    PayVerified,
    Refuse,
    ResendAny,
    ResendByPayee,
    ResendByRequest,
    ResendOpenRequest,
)
from hardware.emulator.vault import Vault, check_signature
from hardware.instructions import Store
from wallet_core.certificates import PURSES, Certificate, CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.messages import Request, Voucher, parse
from wallet_core.messages.layout import FixedMessage
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse import receive, spend
from wallet_core.purse.state import EntryState, SlotState

_PAYEES = (*PURSES, CertificateClass.TILL)


def pay(vault: Vault, command: Pay) -> bytes:
    request = Request.from_payload(command.request)
    vault.require_known(request)
    return _debit(vault, _decide_pay(vault, request))


def pay_verified(vault: Vault, command: PayVerified) -> bytes:
    """PAY whose payee this card verifies itself, at the place that statuses.md gives to CERTIFICATE and SIGNATURE."""
    signed = parse(Request, command.request)
    for slot in vault.state.slots:  # what is paid already needs no certificate, whatever comes with it
        if slot.state is not SlotState.FREE and slot.request_hash == signed.hash:
            return slot.voucher
    payee = Certificate.from_bytes(command.payee_certificate)
    operator = Certificate.from_bytes(command.operator_certificate)

    def verify() -> None:
        vault.verify_party(payee, operator, *_PAYEES)
        if payee.subject != signed.message.payee:
            raise PurseRefusal(Refused.CERTIFICATE, "the certificate is not the payee's")
        check_signature(signed, payee)

    return _debit(vault, _decide_pay(vault, signed.message, payee.subject_class, verify))


def _decide_pay(
    vault: Vault,
    request: Request,
    payee_class: CertificateClass | None = None,
    verify_payee: Callable[[], None] | None = None,
) -> spend.Stored | spend.Debit:
    return spend.pay(
        vault.state,
        vault.purse_id,
        vault.policy,
        request,
        payee_class=payee_class,
        pin_verified=vault.pin_verified,
        seal=vault.seal,
        verify_payee=verify_payee,
    )


def _debit(vault: Vault, decision: spend.Stored | spend.Debit) -> bytes:
    if isinstance(decision, spend.Stored):
        return decision.voucher
    stored = vault.memory.write_voucher(decision.slot, vault.sign(decision.voucher))
    vault.commit_state(decision.commit(stored))
    vault.pin_verified = False  # one PAY per verification (rule 13)
    return stored


def resend_by_request(vault: Vault, command: ResendByRequest) -> bytes:
    return spend.resend(vault.state, request_hash=command.request_hash)[0]


def resend_by_payee(vault: Vault, command: ResendByPayee) -> bytes:
    return _numbered(spend.resend(vault.state, payee=command.payee), command.index)


def resend_any(vault: Vault, command: ResendAny) -> bytes:
    """Every voucher, and so every payee: only the holder may list them."""
    if not vault.pin_verified:
        raise PurseRefusal(Refused.PIN_REQUIRED)
    return _numbered(spend.resend(vault.state), command.index)


def resend_open_request(vault: Vault, command: ResendOpenRequest) -> bytes:
    still_open = [entry for entry in vault.state.table if entry.state is EntryState.OPEN]
    return _numbered(tuple(entry.request for entry in sorted(still_open, key=lambda entry: entry.k)), command.index)


def _numbered(found: tuple[bytes, ...], index: int) -> bytes:
    if index >= len(found):
        raise PurseRefusal(Refused.NOT_FOUND, f"there are {len(found)}, counted from 0")
    return found[index]


def request(vault: Vault, command: MakeRequest) -> bytes:
    if command.amount > MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.MALFORMED, "an amount has at most 53 bits")
    return _ask(vault, command)


def request_verified(vault: Vault, command: MakeRequestVerified) -> bytes:
    """REQUEST with the payer's certificate: the gate of what may be paid card to card."""
    if command.question.amount > MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.MALFORMED, "an amount has at most 53 bits")
    payer = Certificate.from_bytes(command.payer_certificate)
    operator = Certificate.from_bytes(command.operator_certificate)

    def verify() -> None:
        vault.verify_party(payer, operator, *PURSES)
        if (payer.subject, payer.epoch) != (command.question.payer, command.question.epoch):
            raise PurseRefusal(Refused.CERTIFICATE, "the certificate is not the payer's, or of another epoch")

    return _ask(vault, command.question, payer.subject_class, verify)


def _ask(
    vault: Vault,
    command: MakeRequest,
    payer_class: CertificateClass | None = None,
    verify_payer: Callable[[], None] | None = None,
) -> bytes:
    decision = receive.request(
        vault.state,
        vault.purse_id,
        vault.policy,
        suite=vault.suite,
        payer=command.payer,
        epoch=command.epoch,
        n=command.n,
        amount=command.amount,
        order_hash=command.order_hash,
        payer_class=payer_class,
        verify_payer=verify_payer,
    )
    if isinstance(decision, receive.StoredAnswer):
        return decision.answer
    stored = vault.memory.write_request(decision.entry, vault.sign(decision.request), payer_class)
    vault.commit_state(decision.commit(stored))
    return stored


def collect(vault: Vault, command: Collect) -> bytes:
    """Credit a voucher that this card has verified itself, with its payer's certificate (rule 7)."""
    signed = parse(Voucher, command.voucher)
    stored = receive.collected(vault.state, signed.message)
    if stored is not None:
        return stored.answer
    payer = Certificate.from_bytes(command.payer_certificate)
    operator = Certificate.from_bytes(command.operator_certificate)

    def verify() -> None:
        vault.verify_party(payer, operator, *PURSES)
        if payer.subject != signed.message.payer or payer.epoch != signed.message.epoch:
            raise PurseRefusal(Refused.CERTIFICATE, "the certificate is not the payer's, or of another epoch")
        check_signature(signed, payer)

    own = vault.certificate(Store.PURSE_CERTIFICATE)
    if own is None:
        raise PurseRefusal(Refused.WRONG_STATE, "this card is no purse yet")
    decision = receive.collect(
        vault.state,
        vault.purse_id,
        signed.message,
        own_class=own.subject_class,
        payer_class=payer.subject_class,
        verify_payer=verify,
    )
    if isinstance(decision, receive.StoredAnswer):
        return decision.answer
    return _finish(vault, decision, decision.receipt)


def refuse(vault: Vault, command: Refuse) -> bytes:
    decision = receive.refuse(vault.state, vault.purse_id, command.request_hash, suite=vault.suite)
    if isinstance(decision, receive.StoredAnswer):
        return decision.answer
    return _finish(vault, decision, decision.refusal)


def _finish(vault: Vault, decision: receive.Credit | receive.Denial, message: FixedMessage) -> bytes:
    stored = vault.memory.write_answer(decision.entry, vault.sign(message))
    vault.commit_state(decision.commit(stored))
    return stored
