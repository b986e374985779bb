"""ECNY-REQ: what a purse asks for, and the headroom that it reserves."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import MakeRequest, MakeRequestVerified, Refuse
from hardware.conformance.bench import Bench, same
from hardware.conformance.lab import Party
from hardware.conformance.requirements import APDU, CDDL, STATUSES, TRANSFER, requirement
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Request, parse
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import TABLE_SIZE, EntryState

_BOTH: Final = "REQUEST and COLLECT"
_REASONS: Final = "Reasons of a purse"
_RULES: Final = "Rules"


def with_papers(question: MakeRequest, payer: Party) -> MakeRequestVerified:
    """REQUEST with the payer's certificates."""
    return MakeRequestVerified(question, payer.certificate.to_bytes(), payer.operator.to_bytes())


@requirement("REQ-01", "REQUEST answers a Request of this purse at its next k, for what was asked.", APDU, _BOTH)
def what_was_asked(t: Bench) -> None:
    """REQUEST of 640 fen; every field of the answer, and the entry OPEN in a REPORT."""
    k, question = t.totals().next_k, t.asking(640)
    request = parse(Request, t.ok(question)).message
    wanted = (question.payer, question.epoch, question.n, t.me, k, 640, question.order_hash)
    found = (request.payer, request.epoch, request.n, request.payee, request.k, request.amount, request.order_hash)
    same(found, wanted, "the Request")
    same(t.entry_states(), {k: EntryState.OPEN}, "entries")


@requirement("REQ-02", "The same question while OPEN answers the same bytes.", APDU, _BOTH)
def same_question(t: Bench) -> None:
    """REQUEST three times, the third after power-up; one entry, one counter."""
    question = t.asking(640)
    first = t.ok(question)
    same(t.ok(question), first, "REQUEST again")
    t.tap()
    same(t.ok(question), first, "REQUEST after power-up")
    same(len(t.entry_states()), 1, "entries")


@requirement("REQ-03", "With certificates the same question answers the stored bytes, too.", STATUSES, _REASONS)
def same_question_with_papers(t: Bench) -> None:
    """REQUEST with the SAM's certificates twice, the second time under a policy that allows no payer."""
    question = with_papers(t.asking(640, t.lab.sam), t.lab.sam)
    first = t.ok(question)
    t.policy(payer_classes=0)
    same(t.ok(question), first, "REQUEST again")


@requirement("REQ-04", "An OPEN Request reserves headroom: balance + Σ OPEN + amount ≤ limit.", TRANSFER, _RULES)
def headroom(t: Bench) -> None:
    """A limit 1,000 fen above the balance: after 600 are asked, 401 are 69E8 and 400 are asked."""
    t.policy(balance_limit=t.totals().balance + 1_000)
    t.ok(t.asking(600))
    t.refused(t.asking(401), Refused.BALANCE_LIMIT)
    t.ok(t.asking(400))


@requirement("REQ-05", "The balance limit holds to the fen: 69E8.", CDDL, "policy")
def balance_limit(t: Bench) -> None:
    """A limit 1,000 fen above the balance: 1,001 are refused, 1,000 are asked."""
    t.policy(balance_limit=t.totals().balance + 1_000)
    t.refused(t.asking(1_001), Refused.BALANCE_LIMIT)
    t.ok(t.asking(1_000))


@requirement("REQ-06", "A full table makes no new Request: 6A84.", TRANSFER, _RULES)
def table_full(t: Bench) -> None:
    """Eight Requests; the ninth is refused; after one is refused for ever its entry still stands."""
    first = parse(Request, t.ok(t.asking(1))).message
    for _ in range(TABLE_SIZE - 1):
        t.ok(t.asking(1))
    t.refused(t.asking(1), Refused.SLOTS_FULL)
    t.ok(Refuse(first.hash))
    t.refused(t.asking(1), Refused.SLOTS_FULL)


@requirement("REQ-07", "A REQUEST to the purse itself is 69E0.", STATUSES, _REASONS)
def to_itself(t: Bench) -> None:
    """REQUEST with the card's own id as payer."""
    t.refused(_to_itself(t), Refused.SELF_PAYMENT)


def _to_itself(t: Bench) -> MakeRequest:
    return replace(t.asking(100), payer=t.me)


@requirement("REQ-08", "A REQUEST for 0 fen, or for more than the purse can count, is 69E6.", STATUSES, _REASONS)
def amounts(t: Bench) -> None:
    """0 fen; 2^53 − 1 fen on top of total in."""
    t.refused(t.asking(0), Refused.AMOUNT)
    t.refused(t.asking(MAX_MINOR_UNITS), Refused.AMOUNT)


@requirement("REQ-09", "A REQUEST for an amount of more than 53 bits is 6A80.", CDDL, "fen")
def too_many_bits(t: Bench) -> None:
    """2^53 and 2^64 − 1 fen."""
    t.refused(t.asking(2**53), Refused.MALFORMED)
    t.refused(t.asking(2**64 - 1), Refused.MALFORMED)


@requirement("REQ-10", "A policy's least suite above the purse's refuses every REQUEST: 69EE.", CDDL, "policy")
def least_suite(t: Bench) -> None:
    """A policy with least suite 23."""
    t.policy(least_suite=23)
    t.refused(t.asking(100), Refused.SUITE)


@requirement("REQ-11", "With certificates the payer's class is held against the policy: 69E7.", APDU, _BOTH)
def payer_class(t: Bench) -> None:
    """A policy for the operator's purse alone: a SAM with certificates is refused, the operator's purse is asked."""
    t.policy(payer_classes=1 << CertificateClass.OPERATOR_PURSE)
    t.refused(with_papers(t.asking(100, t.lab.sam), t.lab.sam), Refused.PAYEE_CLASS)
    t.ok(with_papers(t.asking(100), t.lab.operator_purse))


@requirement("REQ-12", "The payer's certificates lead to the card's authority and are the payer's: 69EB.", APDU, _BOTH)
def payer_certificate(t: Bench) -> None:
    """A foreign SAM, another SAM's certificate, another epoch, a till, an operator that has not certified it."""
    lab = t.lab
    question = t.asking(100, lab.sam)
    t.refused(with_papers(t.asking(100, lab.foreign_sam), lab.foreign_sam), Refused.CERTIFICATE)
    t.refused(with_papers(question, lab.other_sam), Refused.CERTIFICATE)
    t.refused(with_papers(replace(question, epoch=2), lab.sam), Refused.CERTIFICATE)
    t.refused(with_papers(t.asking(100, lab.till), lab.till), Refused.CERTIFICATE)
    t.refused(with_papers(question, replace(lab.sam, operator=lab.second_operator.certificate)), Refused.CERTIFICATE)


@requirement("REQ-13", "A question whose Request is final is a new one.", APDU, _BOTH)
def new_question(t: Bench) -> None:
    """REQUEST, REFUSE, the same REQUEST: another k."""
    question = t.asking(100)
    first = parse(Request, t.ok(question)).message
    t.ok(Refuse(first.hash))
    same(parse(Request, t.ok(question)).message.k, first.k + 1, "k of the second Request")


@requirement(
    "REQ-14", "Without certificates the question is answered whatever the Request was asked with.", APDU, _BOTH
)
def asked_with_papers(t: Bench) -> None:
    """REQUEST with the SAM's certificates, then the same question without them: the same bytes."""
    question = t.asking(640, t.lab.sam)
    first = t.ok(with_papers(question, t.lab.sam))
    same(t.ok(question), first, "REQUEST without certificates")


@requirement(
    "REQ-15",
    "With certificates only a Request is answered that was asked with a certificate of that class.",
    APDU,
    _BOTH,
)
def asked_without_papers(t: Bench) -> None:
    """REQUEST without certificates, then the same question with the SAM's: another k."""
    question = t.asking(640, t.lab.sam)
    first = parse(Request, t.ok(question)).message
    second = parse(Request, t.ok(with_papers(question, t.lab.sam))).message
    same(second.k, first.k + 1, "k of the second Request")
