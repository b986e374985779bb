"""ECNY-COL and ECNY-REF: a Voucher is credited once, or its Request refused for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import Collect, Refuse
from hardware.conformance.bench import Bench, same
from hardware.conformance.checks.ask import with_papers
from hardware.conformance.lab import Party, voucher_for
from hardware.conformance.requirements import APDU, CDDL, STATUSES, TRANSFER, NotApplicable, requirement
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
from wallet_core.purse.state import EntryState

_BOTH: Final = "REQUEST and COLLECT"
_REASONS: Final = "Reasons of a purse"
_RULES: Final = "Rules"


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


@requirement(
    "COL-20", "The Voucher of another hard wallet whose Request is not in the table is 69E7, too.", APDU, _BOTH
)
def card_to_card_unknown(t: Bench) -> None:
    """A hard wallet's Voucher that names an H(Request) of nobody."""
    _for_hard_wallets(t)
    request = t.ok(t.asking(640, t.lab.card))
    t.refused(Collect(*voucher_for(request, t.lab.card, request_hash=bytes(32))), Refused.PAYEE_CLASS)


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


@requirement("COL-19", "Nobody's key is the authority's but the authority's: 69EB.", APDU, "PAY")
def authoritys_key(t: Bench) -> None:
    """The operator certifies the authority's key as a merchant's purse, and that pays."""
    lab = t.lab
    certificate = lab.certify(lab.operator, lab.authority.key, CertificateClass.MERCHANT_PURSE)
    t.refused(
        Collect(*t.paid_by(Party(lab.authority.key, certificate, lab.operator.certificate), 640)), Refused.CERTIFICATE
    )
