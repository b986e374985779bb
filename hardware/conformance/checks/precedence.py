"""ECNY-PRE: where several reasons apply, the first in the table of statuses.md is the answer.

Each line of a check leaves one reason away, from the top, and keeps all below it: so every neighbour is compared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hardware.commands import Collect, Pay, PayVerified
from hardware.conformance.bench import Bench
from hardware.conformance.checks.ask import with_papers
from hardware.conformance.checks.pay import verified
from hardware.conformance.lab import grant_for, order_for, receipt_for, refusal_for, voucher_for
from hardware.conformance.requirements import STATUSES, requirement
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, Reverse, TakeGrant
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE

_REASONS: Final = "Reasons of a purse"
_TIGHT: Final[dict[str, Any]] = {
    "transfer_limit": 10,
    "offline_total": 10,
    "offline_count": 0,
    "pin_threshold": 0,
    "unverified_total": 0,
}


@requirement("PRE-01", "PAY: the first reason that applies is the answer, from 6A80 to 69EA.", STATUSES, _REASONS)
def pay_upper(t: Bench) -> None:
    """MALFORMED, WRONG_PURSE, SUITE, STALE, PAYEE_CLASS, PAYEE_UNVERIFIED, CERTIFICATE, SIGNATURE in turn."""
    lab, too_much = t.lab, t.totals().balance + 1_000
    t.policy(least_suite=23, payee_classes=0, payee_threshold=0, **_TIGHT)
    stale = t.question(too_much, n=t.totals().next_n + 1)
    elsewhere = replace(stale, payer=lab.card.id).to_payload()
    t.refused(Pay(b"\xa8" + elsewhere[1:]), Refused.MALFORMED)
    t.refused(Pay(elsewhere), Refused.WRONG_PURSE)
    t.refused(Pay(stale.to_payload()), Refused.SUITE)
    t.policy(payee_classes=1 << CertificateClass.TILL, payee_threshold=0, **_TIGHT)
    t.refused(Pay(stale.to_payload()), Refused.STALE)
    request = t.question(too_much)
    forged = replace(lab.till, key=lab.sam.key).sign(replace(request, payee=lab.till.id))
    _, sam, operator = verified(request, lab.sam)
    till = lab.till.certificate.to_bytes()
    foreign = lab.second_operator.certificate.to_bytes()
    t.refused(PayVerified(forged, sam, foreign), Refused.PAYEE_CLASS)
    t.refused(Pay(request.to_payload()), Refused.PAYEE_UNVERIFIED)
    t.refused(PayVerified(forged, till, foreign), Refused.CERTIFICATE)
    t.refused(PayVerified(forged, till, operator), Refused.SIGNATURE)


@requirement("PRE-02", "PAY: the first reason that applies is the answer, from 69E0 to 6982.", STATUSES, _REASONS)
def pay_lower(t: Bench) -> None:
    """SELF_PAYMENT, AMOUNT, TRANSFER_LIMIT, OFFLINE_TOTAL, OFFLINE_COUNT, INSUFFICIENT, PIN_REQUIRED, likewise."""
    t.pay(1)
    too_much = t.totals().balance + 1_000
    t.policy(**_TIGHT)
    itself = t.question(0)
    t.refused(Pay(replace(itself, payee=itself.payer).to_payload()), Refused.SELF_PAYMENT)
    t.refused(Pay(t.question(MAX_MINOR_UNITS).to_payload()), Refused.AMOUNT)
    left = dict(_TIGHT)
    for field, reason in (
        ("transfer_limit", Refused.TRANSFER_LIMIT),
        ("offline_total", Refused.OFFLINE_TOTAL),
        ("offline_count", Refused.OFFLINE_COUNT),
    ):
        t.refused(Pay(t.question(too_much).to_payload()), reason)
        del left[field]
        t.policy(**left)
    t.refused(Pay(t.question(too_much).to_payload()), Refused.INSUFFICIENT)
    t.refused(Pay(t.question(too_much - 1_000).to_payload()), Refused.PIN_REQUIRED)


@requirement("PRE-03", "PAY: 69E1 comes before 6A84, and that before what the policy says.", STATUSES, _REASONS)
def pay_full(t: Bench) -> None:
    """All slots taken and a policy that allows nothing: a Request at n + 1, and one at n."""
    for _ in range(SLOT_COUNT):
        t.pay(1)
    t.policy(payee_threshold=0, **_TIGHT)
    request = t.question(0)
    t.refused(Pay(replace(request, n=request.n + 1).to_payload()), Refused.STALE)
    t.refused(Pay(request.to_payload()), Refused.SLOTS_FULL)


@requirement("PRE-04", "REQUEST: the first reason that applies is the answer.", STATUSES, _REASONS)
def request(t: Bench) -> None:
    """MALFORMED, SUITE, SLOTS_FULL, PAYEE_CLASS, CERTIFICATE, SELF_PAYMENT, AMOUNT, BALANCE_LIMIT in turn."""
    lab, me = t.lab, t.me
    tills_only = {"payer_classes": 1 << CertificateClass.OPERATOR_PURSE, "balance_limit": 0}
    t.policy(least_suite=23, **tills_only)
    wrong = replace(lab.sam, operator=lab.second_operator.certificate)
    t.refused(with_papers(t.asking(2**53, lab.sam), wrong), Refused.MALFORMED)
    t.refused(with_papers(t.asking(0, lab.sam), wrong), Refused.SUITE)
    t.policy(**tills_only)
    t.refused(with_papers(t.asking(0, lab.sam, payer=me), wrong), Refused.PAYEE_CLASS)
    wrong = replace(lab.operator_purse, operator=lab.second_operator.certificate)
    t.refused(with_papers(t.asking(0, payer=me), wrong), Refused.CERTIFICATE)
    t.refused(t.asking(0, payer=me), Refused.SELF_PAYMENT)
    t.refused(t.asking(MAX_MINOR_UNITS), Refused.AMOUNT)
    t.refused(t.asking(1), Refused.BALANCE_LIMIT)
    t.policy()
    for _ in range(TABLE_SIZE):
        t.ok(t.asking(1))
    t.policy(**tills_only)
    t.refused(with_papers(t.asking(0, lab.sam), lab.sam), Refused.SLOTS_FULL)


@requirement("PRE-05", "COLLECT: the first reason that applies is the answer.", STATUSES, _REASONS)
def collect(t: Bench) -> None:
    """MALFORMED, WRONG_PURSE, CERTIFICATE, SIGNATURE, REQUEST_CLOSED, each before all below."""
    lab = t.lab
    asked = t.ok(t.asking(100, lab.sam))
    forger = replace(lab.sam, key=lab.other_sam.key)
    other = lab.second_operator.certificate.to_bytes()
    nowhere, own, operator = voucher_for(asked, forger, request_hash=bytes(32))
    elsewhere = voucher_for(asked, forger, request_hash=bytes(32), payee=lab.card.id)[0]
    t.refused(Collect(b"\xd3" + elsewhere[1:], own, other), Refused.MALFORMED)
    t.refused(Collect(elsewhere, own, other), Refused.WRONG_PURSE)
    t.refused(Collect(nowhere, own, other), Refused.CERTIFICATE)
    t.refused(Collect(nowhere, own, operator), Refused.SIGNATURE)
    t.refused(Collect(*voucher_for(asked, lab.sam, request_hash=bytes(32))), Refused.REQUEST_CLOSED)


@requirement("PRE-06", "ACKNOWLEDGE: the first reason that applies is the answer.", STATUSES, _REASONS)
def acknowledge(t: Bench) -> None:
    """MALFORMED, WRONG_PURSE, CERTIFICATE, SIGNATURE, then OUTCOME_FINAL or NOT_FOUND, each before all below."""
    lab = t.lab
    voucher = t.pay(10)
    t.ok_plain(AcknowledgeRefusal(*refusal_for(voucher, lab.sam)))
    forger = replace(lab.sam, key=lab.other_sam.key)
    other = lab.second_operator.certificate.to_bytes()
    forged, own, operator = receipt_for(voucher, forger, payee=lab.sam.id)
    elsewhere = receipt_for(voucher, forger, payee=lab.other_sam.id)[0]
    nowhere = receipt_for(voucher, forger, payee=lab.sam.id, voucher_hash=bytes(32))[0]
    t.refused(Acknowledge(b"\xd3" + elsewhere[1:], own, other), Refused.MALFORMED)
    t.refused(Acknowledge(elsewhere, own, other), Refused.WRONG_PURSE)
    t.refused(Acknowledge(forged, own, other), Refused.CERTIFICATE)
    t.refused(Acknowledge(forged, own, operator), Refused.SIGNATURE)
    t.refused(Acknowledge(*receipt_for(voucher, lab.sam)), Refused.OUTCOME_FINAL)
    t.refused(Acknowledge(nowhere, own, operator), Refused.SIGNATURE)
    t.refused(Acknowledge(*receipt_for(voucher, lab.sam, voucher_hash=bytes(32))), Refused.NOT_FOUND)


@requirement("PRE-07", "REVERSE and GRANT: the first reason that applies is the answer.", STATUSES, _REASONS)
def operators(t: Bench) -> None:
    """MALFORMED, WRONG_PURSE, SIGNATURE, then OUTCOME_FINAL, NOT_FOUND or POLICY_OLD, each before all below."""
    lab = t.lab
    voucher = t.pay(10)
    t.ok_plain(Acknowledge(*receipt_for(voucher, lab.sam)))
    elsewhere = order_for(voucher, lab.second_operator, payer=lab.card.id)
    t.refused(Reverse(b"\xd3" + elsewhere[1:]), Refused.MALFORMED)
    t.refused(Reverse(elsewhere), Refused.WRONG_PURSE)
    t.refused(Reverse(order_for(voucher, lab.second_operator)), Refused.SIGNATURE)
    t.refused(Reverse(order_for(voucher, lab.second_operator, voucher_hash=bytes(32))), Refused.SIGNATURE)
    t.refused(Reverse(order_for(voucher, lab.operator)), Refused.OUTCOME_FINAL)
    report = t.report()
    far = 2**32 - 1
    strange = grant_for(report, lab.second_operator, purse=lab.card.id, policy_version=far)
    t.refused(TakeGrant(b"\xd3" + strange[1:]), Refused.MALFORMED)
    t.refused(TakeGrant(strange), Refused.WRONG_PURSE)
    t.refused(TakeGrant(grant_for(report, lab.second_operator, policy_version=far)), Refused.SIGNATURE)
    t.refused(TakeGrant(grant_for(report, lab.operator, policy_version=far)), Refused.POLICY_OLD)
