"""Sessions about how transfers end: Receipts, Refusals, orders, reports and grants, and the end of a card."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from life import OK, WORLD, Life, sign

from hardware import commands as c
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.instructions import Store
from hardware.pin import pin_block
from support.keys import CARD, FOREIGN_OPERATOR, MERCHANT_PURSE, OPERATOR, OPERATOR_PURSE, OTHER_CARD, TILL, Party
from support.samples import digest
from wallet_core.messages import Request, ReversalOrder, Voucher, parse
from wallet_core.messages.ending import Outcome, pack_outcomes

ALL = {"payee_classes": 0b111111, "payer_classes": 0b011111, "payee_threshold": 100_000, "pin_threshold": 100_000}
ALL_LIMITS = {**ALL, "unverified_total": 100_000}


def paid(life: Life, payee: Party, amount: int, k: int) -> bytes:
    """A voucher to `payee` out of the card's next counter."""
    request = replace(WORLD.till_request(life.select(), amount, k=k), payee=payee.id)
    return life.send(c.Pay(request.to_payload()))


def loaded(life: Life, amount: int = 50_000, n: int = 1) -> None:
    request = life.send(c.MakeRequest(OPERATOR_PURSE.id, 1, n, amount, digest("load")))
    life.send(c.Collect(*WORLD.voucher_for(request)))


def endings(life: Life) -> None:
    """PENDING → COLLECTED or REVERSED, once, in each of the ways that a purse verifies itself."""
    life.personalise(**ALL_LIMITS)
    loaded(life)
    collected, refused, ordered = (paid(life, MERCHANT_PURSE, 1_000, k) for k in (1, 2, 3))
    life.send(Acknowledge(*WORLD.receipt_for(collected, MERCHANT_PURSE)))
    life.send(Acknowledge(*WORLD.receipt_for(collected, MERCHANT_PURSE)), why="again")
    life.send(AcknowledgeRefusal(*WORLD.refusal_for(refused, MERCHANT_PURSE)), why="1,000 are back")
    life.send(AcknowledgeRefusal(*WORLD.refusal_for(refused, MERCHANT_PURSE)), why="again: not twice")
    order = WORLD.order_for(ordered)
    life.send(Reverse(order))
    life.send(Reverse(order), why="again: not twice")
    life.send(AcknowledgeRefusal(*WORLD.refusal_for(ordered, MERCHANT_PURSE)), why="the same outcome from another")
    life.send(c.ResendByRequest(parse(Voucher, refused).message.request_hash), why="reversed, and still answered")
    life.select()
    life.send(c.GetData(0xDF03), do="GET DATA DF03")
    life.send(MakeReport())
    life.send(c.GetData(0xDF02), do="GET DATA DF02")


def refusals_given(life: Life) -> None:
    """The same refused: certificate, signature, the other outcome, nothing there."""
    life.personalise(**ALL_LIMITS)
    loaded(life)
    voucher, other = (paid(life, MERCHANT_PURSE, 1_000, k) for k in (1, 2))
    till = paid(life, TILL, 1_000, 3)
    receipt, payee, operator = WORLD.receipt_for(voucher, MERCHANT_PURSE)
    refusal = WORLD.refusal_for(voucher, MERCHANT_PURSE)[0]
    foreign = FOREIGN_OPERATOR.certificate.to_bytes()

    def flip(data: bytes) -> bytes:
        return data[:-1] + bytes((data[-1] ^ 1,))

    life.send(Acknowledge(*WORLD.receipt_for(voucher, MERCHANT_PURSE, payee=CARD.id)), 0x69EC, "another payee's")
    life.send(Acknowledge(*WORLD.receipt_for(till, TILL)), 0x69EB, "a till is no purse: its operator decides")
    life.send(Acknowledge(receipt, payee, foreign), 0x69EB, "under another operator")
    life.send(Acknowledge(receipt, OTHER_CARD.certificate.to_bytes(), operator), 0x69EB, "another purse's certificate")
    life.send(Acknowledge(flip(receipt), payee, operator), 0x69EA)
    unknown = WORLD.receipt_for(voucher, MERCHANT_PURSE, voucher_hash=digest("never paid"))
    life.send(Acknowledge(*unknown), 0x6A88, "no slot holds this voucher")
    life.send(Acknowledge(flip(unknown[0]), payee, operator), 0x69EA, "and the signature is looked at before")
    life.send(AcknowledgeRefusal(flip(refusal), payee, operator), 0x69EA)
    life.send(Acknowledge(receipt, payee, operator))
    life.send(AcknowledgeRefusal(refusal, payee, operator), 0x69F1, "it is COLLECTED")
    life.send(Acknowledge(flip(receipt), flip(payee), foreign), why="COLLECTED already: whatever comes with it")
    life.send(Reverse(WORLD.order_for(voucher)), 0x69F1)
    life.send(Reverse(WORLD.order_for(other, payer=CARD.id)), 0x69EC, "another purse's order")
    life.send(Reverse(WORLD.order_for(other, epoch=2)), 0x69EC)
    life.send(Reverse(flip(WORLD.order_for(other))), 0x69EA)
    order = parse_order(other)
    life.send(Reverse(sign(order, FOREIGN_OPERATOR)), 0x69EA, "another operator's")
    life.send(Reverse(WORLD.order_for(other, n=9)), 0x6A88, "no slot at this counter")
    life.send(Reverse(WORLD.order_for(other)))
    life.send(Acknowledge(*WORLD.receipt_for(other, MERCHANT_PURSE)), 0x69F1, "it is REVERSED")


def parse_order(voucher: bytes) -> ReversalOrder:
    return parse(ReversalOrder, WORLD.order_for(voucher)).message


def grants(life: Life) -> None:
    """A report, and grants that free what has ended, old ones included."""
    life.personalise(**ALL_LIMITS)
    loaded(life)
    first, second, third = (paid(life, MERCHANT_PURSE, 1_000, k) for k in (1, 2, 3))
    life.send(AcknowledgeRefusal(*WORLD.refusal_for(second, MERCHANT_PURSE)))
    report = life.send(MakeReport())
    early = WORLD.grant_for(report)
    grant = WORLD.grant_for(report, collected=[1])
    life.send(TakeGrant(WORLD.grant_for(report, purse=CARD.id)), 0x69EC, "another purse's")
    life.send(TakeGrant(WORLD.grant_for(report, epoch=2)), 0x69EC)
    life.send(TakeGrant(grant[:-1] + bytes((grant[-1] ^ 1,))), 0x69EA)
    newer = WORLD.grant_for(report, policy_version=2)
    life.send(TakeGrant(newer), 0x69F0, "it wants a newer policy")
    life.send(TakeGrant(grant), why="slot 1, PENDING, was collected; slot 2, REVERSED, is acknowledged; slot 3 stays")
    life.send(TakeGrant(grant), why="again")
    life.send(TakeGrant(early), why="an older one: totals do not fall")
    life.send(c.GetData(0xDF03), do="GET DATA DF03")
    life.send(c.GetData(0xDF02), do="GET DATA DF02")
    life.send(Acknowledge(*WORLD.receipt_for(first, MERCHANT_PURSE)), 0x6A88, "its slot is free")
    wrong = WORLD.grant_for(report, outcomes=pack_outcomes([Outcome(3, 3)]))
    life.send(TakeGrant(wrong), why="a grant reverses nothing: slot 3 is PENDING and stays")
    life.send(c.GetData(0xDF03), do="GET DATA DF03")
    policy = WORLD.signed_policy(version=2, **ALL_LIMITS)
    life.raw("STORE DATA POLICY", bytes.fromhex("80E20400") + bytes((len(policy),)) + policy)
    life.send(TakeGrant(newer), why="now it has it")
    life.send(Reverse(WORLD.order_for(third, report)))
    life.send(MakeReport())


def sam_to_card(life: Life) -> None:
    """Value between a card and other purses: the payer's certificate at REQUEST is the gate of card to card."""
    life.personalise(**{**ALL_LIMITS, "payer_classes": 0b010100})
    me = life.select().purse_id
    paper = {party: party.certificate.to_bytes() for party in (MERCHANT_PURSE, OTHER_CARD, TILL, OPERATOR)}

    def ask(by: Party, sw: int = OK, why: str = "", **changes: Any) -> bytes:
        question = replace(c.MakeRequest(by.id, 1, 1, 500, digest("gift")), **changes)
        return life.send(c.MakeRequestVerified(question, paper[by], paper[OPERATOR]), sw, why)

    ask(TILL, 0x69E7, "a till pays nobody")
    ask(OTHER_CARD, 0x69E7, "no card, under this policy")
    ask(MERCHANT_PURSE, 0x69EB, "another one's certificate", payer=OTHER_CARD.id, amount=0)
    ask(MERCHANT_PURSE, 0x69EB, "another epoch", epoch=2)
    ask(MERCHANT_PURSE, 0x6A80, "an amount has 53 bits", amount=2**53)
    request = ask(MERCHANT_PURSE)
    ask(MERCHANT_PURSE, why="again: the same bytes")
    life.send(c.Collect(*WORLD.voucher_for(request, MERCHANT_PURSE)))
    plain = life.send(
        c.MakeRequest(OTHER_CARD.id, 1, 1, 700, digest("gift")), why="below the gate, without certificate"
    )
    life.send(c.Collect(*WORLD.voucher_for(plain, OTHER_CARD)), 0x69E7, "card to card without the gate")
    life.send(c.Refuse(parse(Request, plain).hash), why="which gives it back")
    wider = WORLD.signed_policy(version=2, **ALL_LIMITS)
    life.raw("STORE DATA POLICY", bytes.fromhex("80E20400") + bytes((len(wider),)) + wider, why="cards are allowed")
    gated = ask(OTHER_CARD, n=2)
    life.send(c.Collect(*WORLD.voucher_for(gated, OTHER_CARD)))
    if parse(Request, gated).message.payee != me:
        raise ValueError("the payee of a card's Request is the card")


def blocked(life: Life) -> None:
    """A blocked card finishes what was begun and begins nothing; a terminated one shows itself and no more."""
    life.personalise(**ALL_LIMITS)
    loaded(life)
    waiting = c.MakeRequest(OPERATOR_PURSE.id, 1, 2, 1_000, digest("load"))
    request = life.send(waiting)
    unasked = WORLD.till_request(life.select(), 1_000, k=1)
    voucher = life.send(c.Pay(unasked.to_payload()))
    life.open_channel()
    life.secured(c.Deactivate())
    life.secured(c.Deactivate(), why="again")
    life.secured(c.Activate(), 0x6985, "there is no way back")
    fci = life.select()
    life.send(c.Pay(unasked.to_payload()), why="a stored voucher")
    life.send(c.Pay(WORLD.till_request(fci, 1).to_payload()), 0x6985, "nothing new")
    life.send(c.Pay(bytes(138)), 0x6985, "whatever it is: the life cycle before the message")
    life.send(waiting, why="a stored Request")
    life.send(replace(waiting, n=3), 0x6985)
    life.send(c.Collect(*WORLD.voucher_for(request)), why="what was requested is finished")
    life.send(c.Verify(pin_block("246810")))
    life.send(c.ResendAny(0))
    life.send(MakeReport())
    policy = WORLD.signed_policy(version=2)
    life.raw("STORE DATA POLICY", bytes.fromhex("80E20400") + bytes((len(policy),)) + policy, 0x6882, why="not active")
    life.open_channel()
    life.secured(c.StoreData(Store.POLICY, policy), why="through the channel")
    life.secured(c.Terminate())
    life.secured(c.Terminate(), why="again")
    life.select()
    life.send(c.GetData(0x7F21), do="GET DATA 7F21")
    life.send(c.Pay(unasked.to_payload()), 0x6985, "nothing more is answered")
    life.send(c.ResendByRequest(parse(Voucher, voucher).message.request_hash), 0x6985)
    life.send(MakeReport(), 0x6985)
    life.send(c.Verify(pin_block("246810")), 0x6985)
    life.raw("INITIALIZE UPDATE", bytes.fromhex("8050010008") + bytes(9), 0x6985, why="for good")
