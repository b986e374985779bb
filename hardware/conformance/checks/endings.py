"""ECNY-ACK, ECNY-REV: how a slot leaves PENDING, once, by an outcome that the card itself has verified."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import Pay, ResendByPayee
from hardware.conformance.bench import Bench, same
from hardware.conformance.lab import order_for, receipt_for, refusal_for
from hardware.conformance.requirements import APDU, STATUSES, TRANSFER, requirement
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, Reverse
from wallet_core.errors import Refused
from wallet_core.messages import Voucher, parse
from wallet_core.purse.state import SlotState

_CLAUSE: Final = "ACKNOWLEDGE, REVERSE, REPORT, GRANT"
_REASONS: Final = "Reasons of a purse"
_ENDINGS: Final = "Endings"
_RULES: Final = "Rules"


def _state(t: Bench, voucher: bytes) -> int:
    """State of the slot of this Voucher in a REPORT; 0 where it is free."""
    line = t.line(parse(Voucher, voucher).message.n)
    return line.state if line else 0


@requirement("ACK-01", "The payee's Receipt moves the slot from PENDING to COLLECTED, and no total.", APDU, _CLAUSE)
def receipt(t: Bench) -> None:
    """A payment to a SAM, its Receipt; slot and totals."""
    voucher = t.pay(640)
    before = t.totals()
    t.ok_plain(Acknowledge(*receipt_for(voucher, t.lab.sam)))
    same(_state(t, voucher), SlotState.COLLECTED, "state of the slot")
    same(t.totals(), before, "totals")


@requirement(
    "ACK-02", "The payee's Refusal moves the slot to REVERSED; total reversed grows by its amount.", APDU, _CLAUSE
)
def refusal(t: Bench) -> None:
    """A payment of 640 fen to a SAM, its Refusal; slot and totals."""
    voucher = t.pay(640)
    before = t.totals()
    t.ok_plain(AcknowledgeRefusal(*refusal_for(voucher, t.lab.sam)))
    same(_state(t, voucher), SlotState.REVERSED, "state of the slot")
    same(t.totals(), replace(before, total_reversed=before.total_reversed + 640), "totals")


@requirement("ACK-03", "An outcome that the slot has already is 9000 once more, whatever comes with it.", APDU, _CLAUSE)
def again(t: Bench) -> None:
    """Receipt and Refusal of two payments, each again with zeros for certificates."""
    collected, refused = t.pay(10), t.pay(20)
    told, certificate, operator = receipt_for(collected, t.lab.sam)
    denied = refusal_for(refused, t.lab.sam)[0]
    nothing = bytes(len(certificate))
    t.ok_plain(Acknowledge(told, certificate, operator))
    t.ok_plain(AcknowledgeRefusal(denied, certificate, operator))
    t.ok_plain(Acknowledge(told, nothing, nothing))
    t.ok_plain(AcknowledgeRefusal(denied, nothing, nothing))


@requirement("ACK-04", "An outcome counts once: total reversed does not grow again.", TRANSFER, _RULES)
def counts_once(t: Bench) -> None:
    """The Refusal three times, whatever it answers, once after power-up."""
    voucher = t.pay(640)
    command = AcknowledgeRefusal(*refusal_for(voucher, t.lab.sam))
    t.ok_plain(command)
    after = t.totals()
    t.do(command)
    t.tap()
    t.do(command)
    same(t.totals(), after, "totals")


@requirement("ACK-05", "The other outcome is 69F1: PENDING is left once.", APDU, _CLAUSE)
def final(t: Bench) -> None:
    """A Refusal after the Receipt, a Receipt after the Refusal."""
    collected, refused = t.pay(10), t.pay(20)
    t.ok_plain(Acknowledge(*receipt_for(collected, t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(refused, t.lab.sam)))
    t.refused(AcknowledgeRefusal(*refusal_for(collected, t.lab.sam)), Refused.OUTCOME_FINAL)
    t.refused(Acknowledge(*receipt_for(refused, t.lab.sam)), Refused.OUTCOME_FINAL)


@requirement("ACK-06", "No such slot is 6A88.", APDU, _CLAUSE)
def no_slot(t: Bench) -> None:
    """Receipt and Refusal of a payment whose slot a grant has freed."""
    voucher = t.pay(10)
    t.settle()
    t.refused(Acknowledge(*receipt_for(voucher, t.lab.sam)), Refused.NOT_FOUND)
    t.refused(AcknowledgeRefusal(*refusal_for(voucher, t.lab.sam)), Refused.NOT_FOUND)


@requirement("ACK-07", "The answer's signature is the payee's: 69EA.", APDU, _CLAUSE)
def signature(t: Bench) -> None:
    """A Receipt and a Refusal that another key has signed in the payee's name."""
    voucher = t.pay(10)
    forger = replace(t.lab.sam, key=t.lab.other_sam.key)
    t.refused(Acknowledge(*receipt_for(voucher, forger, payee=t.lab.sam.id)), Refused.SIGNATURE)
    t.refused(AcknowledgeRefusal(*refusal_for(voucher, forger, payee=t.lab.sam.id)), Refused.SIGNATURE)
    same(_state(t, voucher), SlotState.PENDING, "state of the slot")


@requirement(
    "ACK-08", "The certificates of whom was paid lead to the card's authority and are the payee's: 69EB.", APDU, _CLAUSE
)
def certificate(t: Bench) -> None:
    """Another SAM's certificate, a foreign SAM that was paid, an operator that has not certified it."""
    lab = t.lab
    voucher, foreign = t.pay(10), t.pay(20, lab.foreign_sam)
    told, own, operator = receipt_for(voucher, lab.sam)
    t.refused(Acknowledge(told, lab.other_sam.certificate.to_bytes(), operator), Refused.CERTIFICATE)
    t.refused(Acknowledge(*receipt_for(foreign, lab.foreign_sam)), Refused.CERTIFICATE)
    t.refused(Acknowledge(told, own, lab.second_operator.certificate.to_bytes()), Refused.CERTIFICATE)


@requirement(
    "ACK-09", "Only a purse says itself what became of a payment: a till's answer is 69EB.", TRANSFER, _ENDINGS
)
def only_purses(t: Bench) -> None:
    """A till is paid, and signs a Receipt and a Refusal."""
    voucher = t.pay(10, t.lab.till)
    t.refused(Acknowledge(*receipt_for(voucher, t.lab.till)), Refused.CERTIFICATE)
    t.refused(AcknowledgeRefusal(*refusal_for(voucher, t.lab.till)), Refused.CERTIFICATE)


@requirement("ACK-10", "The answer of another purse than the payee is 69EC.", STATUSES, _REASONS)
def another_purse(t: Bench) -> None:
    """The other SAM signs Receipt and Refusal of what the first SAM was paid."""
    voucher = t.pay(10)
    t.refused(Acknowledge(*receipt_for(voucher, t.lab.other_sam)), Refused.WRONG_PURSE)
    t.refused(AcknowledgeRefusal(*refusal_for(voucher, t.lab.other_sam)), Refused.WRONG_PURSE)


@requirement("ACK-11", "A reversal restores value, never what bounds exposure.", TRANSFER, _RULES)
def exposure_stays(t: Bench) -> None:
    """Limits of 500 fen and two payments: after 500 are paid and refused, one fen is 69E4; after two, 69E5."""
    t.policy(offline_total=500)
    t.ok_plain(AcknowledgeRefusal(*refusal_for(t.pay(500), t.lab.sam)))
    t.refused(Pay(t.question(1).to_payload()), Refused.OFFLINE_TOTAL)
    t.policy(offline_count=1)
    t.refused(Pay(t.question(1).to_payload()), Refused.OFFLINE_COUNT)


@requirement("ACK-12", "A voucher stays readable until a grant has acknowledged its outcome.", TRANSFER, "States")
def still_there(t: Bench) -> None:
    """After Receipt and Refusal RESEND by payee still answers both Vouchers."""
    collected, refused = t.pay(10), t.pay(20)
    t.ok_plain(Acknowledge(*receipt_for(collected, t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(refused, t.lab.sam)))
    same(t.ok(ResendByPayee(t.lab.sam.id, 0)), collected, "number 0")
    same(t.ok(ResendByPayee(t.lab.sam.id, 1)), refused, "number 1")


@requirement("REV-01", "A reversal order moves its slot from PENDING to REVERSED; total reversed grows.", APDU, _CLAUSE)
def order(t: Bench) -> None:
    """A payment of 640 fen to a till, the operator's order; slot and totals."""
    voucher = t.pay(640, t.lab.till)
    before = t.totals()
    t.ok_plain(Reverse(order_for(voucher, t.lab.operator)))
    same(_state(t, voucher), SlotState.REVERSED, "state of the slot")
    same(t.totals(), replace(before, total_reversed=before.total_reversed + 640), "totals")


@requirement("REV-02", "The order again is 9000 and gives nothing back again.", APDU, _CLAUSE)
def order_again(t: Bench) -> None:
    """The order three times, once after power-up."""
    command = Reverse(order_for(t.pay(640, t.lab.till), t.lab.operator))
    t.ok_plain(command)
    after = t.totals()
    t.ok_plain(command)
    t.tap()
    t.ok_plain(command)
    same(t.totals(), after, "totals")


@requirement("REV-03", "The order is signed by the purse's own operator: 69EA.", APDU, _CLAUSE)
def operators_signature(t: Bench) -> None:
    """An order of another operator under the same authority, and one with a bit of its signature changed."""
    voucher = t.pay(640, t.lab.till)
    right = order_for(voucher, t.lab.operator)
    t.refused(Reverse(order_for(voucher, t.lab.second_operator)), Refused.SIGNATURE)
    t.refused(Reverse(right[:-1] + bytes((right[-1] ^ 1,))), Refused.SIGNATURE)
    same(_state(t, voucher), SlotState.PENDING, "state of the slot")


@requirement("REV-04", "The order names the slot's n and H(Voucher), else 6A88.", APDU, _CLAUSE)
def which_slot(t: Bench) -> None:
    """Another H(Voucher), another n."""
    voucher = t.pay(640, t.lab.till)
    n = parse(Voucher, voucher).message.n
    t.refused(Reverse(order_for(voucher, t.lab.operator, voucher_hash=bytes(32))), Refused.NOT_FOUND)
    t.refused(Reverse(order_for(voucher, t.lab.operator, n=n + 1)), Refused.NOT_FOUND)
    same(_state(t, voucher), SlotState.PENDING, "state of the slot")


@requirement("REV-05", "An order for another purse or epoch is 69EC.", STATUSES, _REASONS)
def which_purse(t: Bench) -> None:
    """The right slot of another purse, and of the next epoch."""
    voucher = t.pay(640, t.lab.till)
    epoch = parse(Voucher, voucher).message.epoch
    t.refused(Reverse(order_for(voucher, t.lab.operator, payer=t.lab.card.id)), Refused.WRONG_PURSE)
    t.refused(Reverse(order_for(voucher, t.lab.operator, epoch=epoch + 1)), Refused.WRONG_PURSE)


@requirement("REV-06", "An order is void once a Receipt was shown: 69F1.", TRANSFER, _ENDINGS)
def receipt_was_first(t: Bench) -> None:
    """Receipt, then the order: the slot stays COLLECTED."""
    voucher = t.pay(640)
    t.ok_plain(Acknowledge(*receipt_for(voucher, t.lab.sam)))
    t.refused(Reverse(order_for(voucher, t.lab.operator)), Refused.OUTCOME_FINAL)
    same(_state(t, voucher), SlotState.COLLECTED, "state of the slot")
