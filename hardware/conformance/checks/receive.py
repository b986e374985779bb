"""ECNY-REQ, ECNY-COL, ECNY-REF: the payee's side; what is asked, credited once, or refused for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import Collect, MakeRequest, MakeRequestVerified, Refuse
from hardware.conformance.bench import Bench, same
from hardware.conformance.lab import Party, voucher_for
from hardware.conformance.requirements import (
    APDU,
    CDDL,
    STATUSES,
    TRANSFER,
    NotApplicable,
    requirement,
)
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
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
    "COL-01", "COLLECT credits in one commit: total in grows by the amount, the entry is COLLECTED.", APDU, _BOTH
)
def credits_voucher(t: Bench) -> None:
    """640 fen from a SAM; totals and entries before and after."""
    papers = t.paid_by(t.lab.sam, 640)
    before = t.totals()
    t.ok(Collect(*papers))
    same(t.totals(), replace(before, total_in=before.total_in + 640), "totals")
    same(t.entry_states(), {before.next_k - 1: EntryState.COLLECTED}, "entries")


@requirement("COL-02", "The Receipt names H(Voucher), k, and the payee's totals after it.", CDDL, "receipt-payload")
def receipt(t: Bench) -> None:
    """Every field of the Receipt against the Voucher and DF02."""
    papers = t.paid_by(t.lab.sam, 640)
    found = parse(Receipt, t.ok(Collect(*papers))).message
    voucher, now = parse(Voucher, papers[0]), t.totals()
    same((found.payee, found.k, found.voucher_hash), (t.me, voucher.message.k, voucher.hash), "payee, k, H(Voucher)")
    totals = (now.total_in, now.total_out, now.total_reversed)
    same((found.total_in, found.total_out, found.total_reversed), totals, "totals")


@requirement("COL-03", "COLLECT again answers the stored Receipt, whatever certificates come with it.", APDU, _BOTH)
def same_receipt(t: Bench) -> None:
    """COLLECT three times, the second time with zeros for certificates, the third after power-up."""
    voucher, certificate, operator = t.paid_by(t.lab.sam, 640)
    first = t.ok(Collect(voucher, certificate, operator))
    nothing = bytes(len(certificate))
    same(t.ok(Collect(voucher, nothing, nothing)), first, "COLLECT again")
    t.tap()
    same(t.ok(Collect(voucher, certificate, operator)), first, "COLLECT after power-up")


@requirement("COL-04", "A Voucher credits once.", TRANSFER, _RULES)
def credits_once(t: Bench) -> None:
    """COLLECT three times, whatever it answers: total in grows once."""
    papers = t.paid_by(t.lab.sam, 640)
    t.ok(Collect(*papers))
    after = t.totals().total_in
    t.do(Collect(*papers))
    t.tap()
    t.do(Collect(*papers))
    same(t.totals().total_in, after, "total in")


@requirement("COL-05", "The same Voucher with another signature is the same message.", TRANSFER, _RULES)
def second_form(t: Bench) -> None:
    """COLLECT, then the Voucher with n − s for s: the stored Receipt, total in as before."""
    voucher, certificate, operator = t.paid_by(t.lab.sam, 640)
    first = t.ok(Collect(voucher, certificate, operator))
    mirrored = (_ORDER - int.from_bytes(voucher[-32:], "big")).to_bytes(32, "big")
    same(t.ok(Collect(voucher[:-32] + mirrored, certificate, operator)), first, "the Receipt")


_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # P-256, FIPS 186-5


@requirement("COL-06", "A Voucher whose signature is not its payer's is 69EA and credits nothing.", APDU, _BOTH)
def voucher_signature(t: Bench) -> None:
    """A Voucher that another key has signed, one with a bit of its signature changed, one with s = 0."""
    request = t.ok(t.asking(64, t.lab.sam))
    voucher, certificate, operator = voucher_for(request, t.lab.sam)
    forged = voucher_for(request, replace(t.lab.sam, key=t.lab.other_sam.key))[0]
    before = t.totals().total_in
    for wrong in (forged, voucher[:-1] + bytes((voucher[-1] ^ 1,)), voucher[:-32] + bytes(32)):
        t.refused(Collect(wrong, certificate, operator), Refused.SIGNATURE)
    same(t.totals().total_in, before, "total in")


@requirement(
    "COL-07",
    "COLLECT verifies operator certificate, then payer certificate, up to the card's authority: 69EB.",
    APDU,
    _BOTH,
)
def payer_certificates(t: Bench) -> None:
    """A foreign SAM, another SAM's certificate, an operator that has not certified it, a changed signature."""
    lab = t.lab
    voucher, certificate, operator = t.paid_by(lab.sam, 640)
    foreign = t.paid_by(lab.foreign_sam, 640)
    damaged = certificate[:-1] + bytes((certificate[-1] ^ 1,))
    t.refused(Collect(*foreign), Refused.CERTIFICATE)
    t.refused(Collect(voucher, lab.other_sam.certificate.to_bytes(), operator), Refused.CERTIFICATE)
    t.refused(Collect(voucher, certificate, lab.second_operator.certificate.to_bytes()), Refused.CERTIFICATE)
    t.refused(Collect(voucher, damaged, operator), Refused.CERTIFICATE)


@requirement("COL-08", "The payer's certificate is of the Voucher's epoch: 69EB.", CDDL, "certificate-claims")
def payer_epoch(t: Bench) -> None:
    """The SAM's Voucher of epoch 1 with its certificate of epoch 2."""
    voucher, _, operator = t.paid_by(t.lab.sam, 640)
    later = t.lab.variant(t.lab.sam, t.lab.operator, epoch=2)
    t.refused(Collect(voucher, later.certificate.to_bytes(), operator), Refused.CERTIFICATE)


@requirement("COL-09", "Only a purse can pay: a till's Voucher is 69EB.", STATUSES, _REASONS)
def only_purses_pay(t: Bench) -> None:
    """A Voucher signed and certified by a till."""
    t.refused(Collect(*t.paid_by(t.lab.till, 640)), Refused.CERTIFICATE)


@requirement("COL-10", "Expiry of the payer's certificate is not checked.", APDU, _BOTH)
def no_clock(t: Bench) -> None:
    """A SAM whose certificate ended in 1971 pays."""
    old = t.lab.variant(t.lab.sam, t.lab.operator, not_before=70_000, expires=40_000_000)
    t.ok(Collect(*t.paid_by(old, 640)))


@requirement("COL-11", "A Voucher whose Request is not in the table is 69ED and moves nothing.", APDU, _BOTH)
def not_in_the_table(t: Bench) -> None:
    """A Voucher that names an H(Request) of nobody."""
    request = t.ok(t.asking(640, t.lab.sam))
    before = t.totals()
    t.refused(Collect(*voucher_for(request, t.lab.sam, request_hash=bytes(32))), Refused.REQUEST_CLOSED)
    same(t.totals(), before, "totals")


@requirement(
    "COL-12", "A Voucher that differs from its Request in labels 2 to 7 is 69ED and moves nothing.", APDU, _BOTH
)
def differs(t: Bench) -> None:
    """Amount, n and k changed, and another SAM that answers what this one was asked."""
    request = t.ok(t.asking(640, t.lab.sam))
    asked = parse(Request, request).message
    before = t.totals()
    for changes in ({"amount": 641}, {"n": asked.n + 1}, {"k": asked.k + 1}):
        t.refused(Collect(*voucher_for(request, t.lab.sam, **changes)), Refused.REQUEST_CLOSED)
    other = voucher_for(request, t.lab.other_sam, payer=t.lab.other_sam.id)
    t.refused(Collect(*other), Refused.REQUEST_CLOSED)
    same(t.totals(), before, "totals")


@requirement("COL-13", "A Voucher whose Request was refused is 69ED for ever.", TRANSFER, "States")
def after_refusal(t: Bench) -> None:
    """REQUEST, REFUSE, then its Voucher."""
    papers = t.paid_by(t.lab.sam, 640)
    t.ok(Refuse(parse(Voucher, papers[0]).message.request_hash))
    t.refused(Collect(*papers), Refused.REQUEST_CLOSED)


@requirement("COL-14", "A Voucher made out to another payee is 69EC.", STATUSES, _REASONS)
def another_payee(t: Bench) -> None:
    """A Voucher for the SAM's Request, made out to the other SAM."""
    request = t.ok(t.asking(640, t.lab.sam))
    t.refused(Collect(*voucher_for(request, t.lab.sam, payee=t.lab.other_sam.id)), Refused.WRONG_PURSE)


@requirement(
    "COL-15",
    "A load by the operator's purse counts as acknowledged inflow at once, another does not.",
    TRANSFER,
    _RULES,
)
def acknowledged_inflow(t: Bench) -> None:
    """640 fen from the operator's purse and 350 from a SAM: in_acked grows by 640."""
    before = t.totals().in_acked
    t.ok(Collect(*t.paid_by(t.lab.operator_purse, 640)))
    t.ok(Collect(*t.paid_by(t.lab.sam, 350)))
    same(t.totals().in_acked, before + 640, "in_acked")


def _for_hard_wallets(t: Bench) -> None:
    if t.certificate().subject_class is not CertificateClass.HARD_WALLET:
        raise NotApplicable("this purse is no hard wallet")


@requirement(
    "COL-16", "A hard wallet takes value from another only where REQUEST came with its certificate: 69E7.", APDU, _BOTH
)
def card_to_card(t: Bench) -> None:
    """REQUEST without certificates, then the Voucher of another hard wallet."""
    _for_hard_wallets(t)
    t.refused(Collect(*t.paid_by(t.lab.card, 640)), Refused.PAYEE_CLASS)


@requirement("COL-17", "What REQUEST allowed card to card is finished: the class is remembered durably.", APDU, _BOTH)
def card_to_card_allowed(t: Bench) -> None:
    """REQUEST with a hard wallet's certificates, power-up, a policy that allows no payer: its Voucher is credited."""
    _for_hard_wallets(t)
    request = t.ok(with_papers(t.asking(640, t.lab.card), t.lab.card))
    t.policy(payer_classes=0)
    t.tap()
    t.ok(Collect(*voucher_for(request, t.lab.card)))


@requirement("COL-18", "Policy and limits never stop the finishing: COLLECT works whatever they say.", TRANSFER, _RULES)
def gates_are_for_beginnings(t: Bench) -> None:
    """REQUEST, then a policy that allows nothing: the Voucher is credited."""
    papers = t.paid_by(t.lab.sam, 640)
    t.policy(balance_limit=0, payer_classes=0, least_suite=23)
    t.ok(Collect(*papers))


@requirement(
    "REF-01", "REFUSE answers a Refusal of this H(Request) and k; the entry is REFUSED.", CDDL, "refusal-payload"
)
def refuses(t: Bench) -> None:
    """REQUEST and REFUSE; every field, and the entry in a REPORT."""
    request = parse(Request, t.ok(t.asking(100))).message
    found = parse(Refusal, t.ok(Refuse(request.hash))).message
    same((found.payee, found.k, found.request_hash), (t.me, request.k, request.hash), "the Refusal")
    same(t.entry_states(), {request.k: EntryState.REFUSED}, "entries")


@requirement("REF-02", "REFUSE again answers the same bytes.", APDU, "Command–response pairs of the purse")
def same_refusal(t: Bench) -> None:
    """REFUSE three times, the third after power-up."""
    request = parse(Request, t.ok(t.asking(100))).message
    first = t.ok(Refuse(request.hash))
    same(t.ok(Refuse(request.hash)), first, "REFUSE again")
    t.tap()
    same(t.ok(Refuse(request.hash)), first, "REFUSE after power-up")


@requirement("REF-03", "REFUSE frees the headroom of the Request.", TRANSFER, _RULES)
def headroom_is_free(t: Bench) -> None:
    """A limit 1,000 fen above the balance: 1,000 asked, refused, and asked of another."""
    t.policy(balance_limit=t.totals().balance + 1_000)
    t.ok(Refuse(parse(Request, t.ok(t.asking(1_000))).message.hash))
    t.ok(t.asking(1_000))


@requirement("REF-04", "REFUSE of what is not an open Request is 69ED.", STATUSES, _REASONS)
def not_open(t: Bench) -> None:
    """An H(Request) of nobody, and one whose Voucher is collected."""
    t.refused(Refuse(bytes(32)), Refused.REQUEST_CLOSED)
    papers = t.paid_by(t.lab.sam, 640)
    t.ok(Collect(*papers))
    t.refused(Refuse(parse(Voucher, papers[0]).message.request_hash), Refused.REQUEST_CLOSED)
