"""ECNY-PAY: one debit for one Request, and its Voucher."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import Collect, Pay, PayVerified
from hardware.conformance.bench import Bench, same, word
from hardware.conformance.lab import Papers, Party
from hardware.conformance.requirements import APDU, CDDL, STATUSES, TRANSFER, requirement, untestable
from hardware.status_words import SW
from wallet_core.audit import AuditData
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Request, SpendMode, Voucher, parse
from wallet_core.messages.layout import FixedMessage
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import SLOT_COUNT

_PAY: Final = "PAY"
_REASONS: Final = "Reasons of a purse"
_RULES: Final = "Rules"


def at(kind: type[FixedMessage], name: str) -> int:
    """Offset of a field in the payload of a message."""
    return next(slot.start for slot in kind.layout().slots if slot.name == name)


def verified(request: Request, payee: Party) -> Papers:
    """What PAY with the payee verified wants."""
    return payee.papers(replace(request, payee=payee.id))


@requirement(
    "PAY-01", "The Voucher copies labels 2 to 7 of the Request and names H(Request) and the policy.", APDU, _PAY
)
def voucher_answers_request(t: Bench) -> None:
    """A payment of 1,234 fen; every field of the Voucher against the Request and the policy in force."""
    version = t.policy().version
    request = t.question(1_234)
    voucher = parse(Voucher, t.ok(Pay(request.to_payload()))).message
    for name in ("suite", "payer", "epoch", "n", "payee", "k", "amount"):
        same(getattr(voucher, name), getattr(request, name), name)
    same(voucher.request_hash, request.hash, "H(Request)")
    same(voucher.policy_version, version, "policy version")


@requirement(
    "PAY-02", "The sealed audit block holds n, the totals after the payment, and the exposure.", CDDL, "voucher-payload"
)
def audit_block(t: Bench) -> None:
    """The block is opened with the audit key that was stored; its figures against DF02."""
    sealed = parse(Voucher, t.pay(321)).message
    found = AuditData.open(t.lab.audit_key(t.serial()), sealed.audit, sealed.n)
    now = t.totals()
    wanted = AuditData(sealed.n, now.total_in, now.total_out, now.total_reversed, now.total_out - now.out_acked)
    same(found, wanted, "audit block")


@requirement(
    "PAY-03", "One commit: total out grows by the amount, n by one, the slot is PENDING, unverified grows.", APDU, _PAY
)
def debit(t: Bench) -> None:
    """Totals and slots before and after a payment of 777 fen."""
    before = t.totals()
    t.pay(777)
    wanted = replace(
        before, total_out=before.total_out + 777, next_n=before.next_n + 1, unverified=before.unverified + 777
    )
    same(t.totals(), wanted, "totals")
    same([(one.n, int(one.state)) for one in t.slots() if one.state], [(before.next_n, 1)], "slots")


@requirement("PAY-04", "The same PAY again answers the stored Voucher, the same bytes.", APDU, _PAY)
def same_bytes(t: Bench) -> None:
    """PAY three times, the third after power-up."""
    command = Pay(t.question(250).to_payload())
    first = t.ok(command)
    same(t.ok(command), first, "PAY again")
    t.tap()
    same(t.ok(command), first, "PAY after power-up")


@requirement("PAY-05", "The same PAY again debits once.", TRANSFER, _RULES)
def debits_once(t: Bench) -> None:
    """PAY three times, whatever it answers: total out and n as after the first."""
    command = Pay(t.question(250).to_payload())
    t.ok(command)
    after = t.totals()
    t.do(command)
    t.tap()
    t.do(command)
    same(t.totals(), after, "totals")


@requirement("PAY-06", "The stored Voucher is answered whatever policy, limits and PIN say.", APDU, _PAY)
def stored_before_gates(t: Bench) -> None:
    """PAY, then a policy that allows nothing: the same PAY is 9000, in both forms."""
    request = t.question(250)
    t.ok(Pay(request.to_payload()))
    t.policy(transfer_limit=0, offline_total=0, offline_count=0, pin_threshold=0, least_suite=23, payee_classes=0)
    t.ok(Pay(request.to_payload()))
    t.ok(PayVerified(*verified(request, t.lab.sam)))


@requirement("PAY-07", "Another Request at a counter that is used is 69E1.", TRANSFER, _RULES)
def counter_is_used(t: Bench) -> None:
    """PAY, then a Request with the same n and another order hash, and one with another amount."""
    request = t.question(250)
    t.ok(Pay(request.to_payload()))
    t.refused(Pay(replace(request, order_hash=t.random(32)).to_payload()), Refused.STALE)
    t.refused(Pay(replace(request, amount=251).to_payload()), Refused.STALE)


@requirement("PAY-08", "A Request at a counter that is not the next is 69E1.", TRANSFER, _RULES)
def counter_is_to_come(t: Bench) -> None:
    """Requests at n + 1 and at 2^32 − 2."""
    request = t.question(250)
    t.refused(Pay(replace(request, n=request.n + 1).to_payload()), Refused.STALE)
    t.refused(Pay(replace(request, n=2**32 - 2).to_payload()), Refused.STALE)


@requirement("PAY-09", "A Request for another purse is 69EC.", STATUSES, _REASONS)
def another_purse(t: Bench) -> None:
    """A Request to another payer id."""
    t.refused(Pay(t.question(100, payer=t.lab.card.id).to_payload()), Refused.WRONG_PURSE)


@requirement("PAY-10", "A Request for another epoch is 69EC.", STATUSES, _REASONS)
def another_epoch(t: Bench) -> None:
    """A Request to this purse in the epoch after its own."""
    request = t.question(100)
    t.refused(Pay(replace(request, epoch=request.epoch + 1).to_payload()), Refused.WRONG_PURSE)


@requirement("PAY-11", "A Request that is not canonical is 6A80.", CDDL, "request-payload")
def malformed(t: Bench) -> None:
    """Other type, unknown suite, wrong label, another head, an amount of 54 bits: one byte changed each time."""
    payload = t.question(100).to_payload()
    amount = at(Request, "amount")
    for place, value in ((2, 2), (4, 23), (5, 12), (6, 0x59), (amount, 0x01), (amount + 1, 0x20), (0, 0xA8)):
        changed = payload[:place] + bytes((value,)) + payload[place + 1 :]
        t.refused(Pay(changed), Refused.MALFORMED)


@requirement("PAY-12", "A policy's least suite above the Request's refuses every Request: 69EE.", CDDL, "policy")
def least_suite(t: Bench) -> None:
    """A policy with least suite 23, which no purse knows."""
    t.policy(least_suite=23)
    t.refused(Pay(t.question(100).to_payload()), Refused.SUITE)


@requirement("PAY-13", "Payer and payee in one purse is 69E0.", STATUSES, _REASONS)
def self_payment(t: Bench) -> None:
    """A Request whose payee is the card."""
    t.refused(Pay(_to_itself(t)), Refused.SELF_PAYMENT)


def _to_itself(t: Bench) -> bytes:
    request = t.question(100)
    return replace(request, payee=request.payer).to_payload()


@requirement("PAY-14", "An amount of 0 is 69E6.", STATUSES, _REASONS)
def no_amount(t: Bench) -> None:
    """A Request for 0 fen; one for 1 fen is paid."""
    t.refused(Pay(t.question(0).to_payload()), Refused.AMOUNT)
    t.ok(Pay(t.question(1).to_payload()))


@requirement("PAY-15", "An amount beyond what total out can count is 69E6.", STATUSES, _REASONS)
def uncountable_amount(t: Bench) -> None:
    """2^53 − 1 fen on top of what was paid before."""
    t.pay(1)
    t.refused(Pay(t.question(MAX_MINOR_UNITS).to_payload()), Refused.AMOUNT)


@requirement("PAY-16", "The limit for one transfer holds to the fen: 69E3.", CDDL, "policy")
def transfer_limit(t: Bench) -> None:
    """A limit of 500 fen: 501 are refused, 500 are paid."""
    t.policy(transfer_limit=500)
    t.refused(Pay(t.question(501).to_payload()), Refused.TRANSFER_LIMIT)
    t.ok(Pay(t.question(500).to_payload()))


@requirement("PAY-17", "The limit on what is paid between two grants holds to the fen: 69E4.", CDDL, "policy")
def offline_total(t: Bench) -> None:
    """A limit of 500 fen: after 300 are paid 201 are refused, 200 are paid."""
    t.policy(offline_total=500)
    t.ok(Pay(t.question(300).to_payload()))
    t.refused(Pay(t.question(201).to_payload()), Refused.OFFLINE_TOTAL)
    t.ok(Pay(t.question(200).to_payload()))


@requirement("PAY-18", "The limit on the number of payments between two grants holds: 69E5.", CDDL, "policy")
def offline_count(t: Bench) -> None:
    """A limit of two: the third payment is refused."""
    t.policy(offline_count=2)
    t.ok(Pay(t.question(1).to_payload()))
    t.ok(Pay(t.question(1).to_payload()))
    t.refused(Pay(t.question(1).to_payload()), Refused.OFFLINE_COUNT)


@requirement("PAY-19", "More than what is spendable is 69E2.", STATUSES, _REASONS)
def insufficient(t: Bench) -> None:
    """One fen more than the balance is refused, the whole balance is paid."""
    balance = t.totals().balance
    t.refused(Pay(t.question(balance + 1).to_payload()), Refused.INSUFFICIENT)
    t.ok(Pay(t.question(balance).to_payload()))


@requirement("PAY-20", "A staged purse spends only inflow that a grant has acknowledged.", TRANSFER, _RULES)
def staged(t: Bench) -> None:
    """500 fen from a merchant's purse: not spendable while staged; after a grant they are."""
    balance = t.totals().balance
    t.ok(Collect(*t.paid_by(t.lab.sam, 500)))
    t.refused(Pay(t.question(balance + 1).to_payload()), Refused.INSUFFICIENT)
    t.settle()
    t.ok(Pay(t.question(balance + 500).to_payload()))


@requirement("PAY-21", "An intermittent purse spends its balance.", TRANSFER, _RULES)
def intermittent(t: Bench) -> None:
    """500 fen from a merchant's purse, policy *intermittent*: balance + 500 are paid at once, one fen more is 69E2."""
    t.policy(mode=SpendMode.INTERMITTENT)
    balance = t.totals().balance
    t.ok(Collect(*t.paid_by(t.lab.sam, 500)))
    t.refused(Pay(t.question(balance + 501).to_payload()), Refused.INSUFFICIENT)
    t.ok(Pay(t.question(balance + 500).to_payload()))


@requirement("PAY-22", "A payment above the PIN threshold needs the PIN: 6982.", CDDL, "policy")
def pin_threshold(t: Bench) -> None:
    """A threshold of 400 fen: 400 are paid, 401 are refused, and paid after VERIFY."""
    t.policy(pin_threshold=400)
    t.ok(Pay(t.question(400).to_payload()))
    t.refused(Pay(t.question(401).to_payload()), Refused.PIN_REQUIRED)
    word(t.verify(), SW.OK, of="VERIFY")
    t.ok(Pay(t.question(401).to_payload()))


@requirement("PAY-23", "What is paid without PIN since the last verified one has a limit: 6982.", CDDL, "policy")
def unverified_total(t: Bench) -> None:
    """A limit of 500 fen above what is counted: 500 are paid in two parts, then one fen is refused."""
    t.policy(unverified_total=t.totals().unverified + 500)
    t.ok(Pay(t.question(200).to_payload()))
    t.ok(Pay(t.question(300).to_payload()))
    t.refused(Pay(t.question(1).to_payload()), Refused.PIN_REQUIRED)


@requirement("PAY-24", "Above the payee threshold only PAY with the payee verified is accepted: 69E9.", APDU, _PAY)
def payee_threshold(t: Bench) -> None:
    """A threshold of 300 fen: 300 are paid, 301 are refused, and paid with certificates."""
    t.policy(payee_threshold=300)
    t.ok(Pay(t.question(300).to_payload()))
    request = t.question(301)
    t.refused(Pay(request.to_payload()), Refused.PAYEE_UNVERIFIED)
    t.ok(PayVerified(*verified(request, t.lab.sam)))


@requirement("PAY-25", "A class of payee that the policy does not name is 69E7.", CDDL, "policy")
def payee_class(t: Bench) -> None:
    """A policy for tills alone: a merchant's purse is refused, a till is paid."""
    t.policy(payee_classes=1 << CertificateClass.TILL)
    t.refused(PayVerified(*verified(t.question(100), t.lab.sam)), Refused.PAYEE_CLASS)
    t.ok(PayVerified(*verified(t.question(100), t.lab.till)))


@requirement(
    "PAY-26", "PAY verifies operator certificate, then payee certificate, up to the card's authority: 69EB.", APDU, _PAY
)
def payee_certificate(t: Bench) -> None:
    """A foreign authority's SAM, another SAM's certificate, another operator's, a changed signature."""
    request, lab = t.question(100), t.lab
    signed, certificate, operator = verified(request, lab.sam)
    damaged = certificate[:-1] + bytes((certificate[-1] ^ 1,))
    for papers in (
        verified(request, lab.foreign_sam),
        (signed, lab.other_sam.certificate.to_bytes(), operator),
        (signed, certificate, lab.second_operator.certificate.to_bytes()),
        (signed, damaged, operator),
    ):
        t.refused(PayVerified(*papers), Refused.CERTIFICATE)


@requirement("PAY-27", "The signature of the Request is the payee's: 69EA.", APDU, _PAY)
def payee_signature(t: Bench) -> None:
    """A Request that another key has signed, and one with a bit of its signature changed."""
    signed, certificate, operator = verified(t.question(100), t.lab.sam)
    forged = replace(t.lab.sam, key=t.lab.other_sam.key).sign(parse(Request, signed).message)
    t.refused(PayVerified(forged, certificate, operator), Refused.SIGNATURE)
    t.refused(PayVerified(signed[:-1] + bytes((signed[-1] ^ 1,)), certificate, operator), Refused.SIGNATURE)


@requirement(
    "PAY-28", "A payee's certificate that has expired is not refused: a card has no clock.", APDU, "REQUEST and COLLECT"
)
def no_clock(t: Bench) -> None:
    """A SAM whose certificate ended in 1971."""
    old = t.lab.variant(t.lab.sam, t.lab.operator, not_before=70_000, expires=40_000_000)
    t.ok(PayVerified(*verified(t.question(100), old)))


@requirement("PAY-29", "A card that meets no grant makes 16 payments; the next is 6A84.", TRANSFER, "States")
def slots_full(t: Bench) -> None:
    """Sixteen payments of one fen; the seventeenth is refused before anything moves."""
    for _ in range(SLOT_COUNT):
        t.pay(1)
    before = t.totals()
    t.refused(Pay(t.question(1).to_payload()), Refused.SLOTS_FULL)
    same(t.totals(), before, "totals after the refusal")


untestable(
    "PAY-30",
    "A counter that has reached its last value is 69EF.",
    STATUSES,
    _REASONS,
    "2^32 − 2 payments are more than a card's memory outlives; tests of the purse's decisions set the counter.",
)


@requirement("PAY-31", "A Request is well-formed whatever its counter n: 69E1, not 6A80.", CDDL, "counter")
def any_counter(t: Bench) -> None:
    """Requests at n = 0 and n = 2^32 − 1."""
    for n in (0, 2**32 - 1):
        t.refused(Pay(t.question(100, n=n).to_payload()), Refused.STALE)


untestable(
    "PAY-32",
    "What PAY refuses anyway costs no verification of certificates and signature.",
    APDU,
    _PAY,
    "Only the time that an answer takes would tell; ECNY-PRE-01 shows the order of the reasons.",
)
