"""ECNY-RES: the four forms of RESEND."""

from __future__ import annotations

from typing import Final

from hardware.commands import Refuse, ResendAny, ResendByPayee, ResendByRequest, ResendOpenRequest
from hardware.conformance.bench import Bench, same, word
from hardware.conformance.requirements import APDU, STATUSES, requirement
from hardware.status_words import SW
from wallet_core.errors import Refused
from wallet_core.messages import Request, Voucher, parse

_COMMANDS: Final = "Commands"


@requirement("RES-01", "RESEND by Request answers the Voucher of this H(Request).", APDU, _COMMANDS)
def by_request(t: Bench) -> None:
    """Two payments; each Voucher by its H(Request)."""
    vouchers = [t.pay(10), t.pay(20)]
    for voucher in vouchers:
        same(t.ok(ResendByRequest(parse(Voucher, voucher).message.request_hash)), voucher, "RESEND by Request")


@requirement("RES-02", "RESEND by payee answers Voucher number i of this payee, from 0, oldest first.", APDU, _COMMANDS)
def by_payee(t: Bench) -> None:
    """SAM, till, SAM are paid: the SAM's numbers 0 and 1, no number 2, the till's number 0."""
    first, tills, second = t.pay(10), t.pay(20, t.lab.till), t.pay(30)
    same(t.ok(ResendByPayee(t.lab.sam.id, 0)), first, "number 0 of the SAM")
    same(t.ok(ResendByPayee(t.lab.sam.id, 1)), second, "number 1 of the SAM")
    t.refused(ResendByPayee(t.lab.sam.id, 2), Refused.NOT_FOUND)
    same(t.ok(ResendByPayee(t.lab.till.id, 0)), tills, "number 0 of the till")


@requirement("RES-03", "RESEND any answers Voucher number i of all, after VERIFY.", APDU, _COMMANDS)
def any_voucher(t: Bench) -> None:
    """Three payments; VERIFY, then numbers 0 to 2 in their order, and no number 3."""
    vouchers = [t.pay(10), t.pay(20, t.lab.till), t.pay(30)]
    word(t.verify(), SW.OK, of="VERIFY")
    for index, voucher in enumerate(vouchers):
        same(t.ok(ResendAny(index)), voucher, f"number {index}")
    t.refused(ResendAny(3), Refused.NOT_FOUND)


@requirement("RES-04", "RESEND any without a verified PIN is 6982: who was paid is not told.", APDU, "GET DATA")
def any_wants_the_pin(t: Bench) -> None:
    """One payment, no VERIFY."""
    t.pay(10)
    t.refused(ResendAny(0), Refused.PIN_REQUIRED)


@requirement(
    "RES-05", "RESEND open Requests answers signed Request number i that is OPEN, oldest first.", APDU, _COMMANDS
)
def open_requests(t: Bench) -> None:
    """Three Requests, the second refused: numbers 0 and 1 are the first and the third, no number 2."""
    first, second, third = (t.ok(t.asking(amount)) for amount in (10, 20, 30))
    t.ok(Refuse(parse(Request, second).message.hash))
    t.tap()
    same(t.ok(ResendOpenRequest(0)), first, "number 0")
    same(t.ok(ResendOpenRequest(1)), third, "number 1")
    t.refused(ResendOpenRequest(2), Refused.NOT_FOUND)


@requirement("RES-06", "RESEND of what is not stored is 6A88.", STATUSES, "Reasons of a purse")
def nothing_stored(t: Bench) -> None:
    """No slot and no entry is taken: by Request, by payee, open Requests."""
    t.refused(ResendByRequest(bytes(32)), Refused.NOT_FOUND)
    t.refused(ResendByPayee(t.lab.sam.id, 0), Refused.NOT_FOUND)
    t.refused(ResendOpenRequest(0), Refused.NOT_FOUND)
