"""Whole sessions with a card: each command of docs/spec/apdu.md, done and refused, in the order of precedence.

Every session begins with a blank card of its own. `SESSIONS` names them with the profile of the card that they need.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from life import OK, PIN, WORLD, Life
from sessions_endings import blocked, endings, grants, refusals_given, sam_to_card
from sessions_setup import blank, channel_refusals, lengths, personalisation, pin

from hardware import commands as c
from hardware.data_objects import Tag
from hardware.ending_commands import MakeReport, Reverse, TakeGrant
from hardware.instructions import Store
from support.keys import AUTHORITY, CARD, FOREIGN_CARD, FOREIGN_OPERATOR, MERCHANT_PURSE, OPERATOR, OPERATOR_PURSE, TILL
from support.samples import digest
from wallet_core.messages import Request, Signed, parse
from wallet_core.suites import Suite, profile

CHECKED = {"payee_threshold": 0}  # every payee is verified by the card


def load(life: Life, amount: int = 50_000, n: int = 1) -> bytes:
    """REQUEST and COLLECT from the operator's purse; the Receipt."""
    question = c.MakeRequest(OPERATOR_PURSE.id, 1, n, amount, digest("load"))
    request = life.send(question)
    return life.send(c.Collect(*WORLD.voucher_for(request)))


def till_request(life: Life, amount: int, k: int = 1, **changes: Any) -> Request:
    """A till's Request for the card's next counter, after a SELECT."""
    return WORLD.till_request(life.select(), amount, k=k, **changes)


def load_and_pay(life: Life) -> None:
    """A load, a sale, the same again, and all that can be read."""
    life.personalise()
    question = c.MakeRequest(OPERATOR_PURSE.id, 1, 1, 50_000, digest("load"))
    request = life.send(question)
    life.send(question, why="the same question while it is OPEN: the same bytes")
    life.send(c.ResendOpenRequest(0))
    life.send(c.ResendOpenRequest(1), 0x6A88, "there is one")
    collect = c.Collect(*WORLD.voucher_for(request))
    receipt = life.send(collect)
    life.send(collect, why="again: the stored Receipt")
    life.send(c.ResendOpenRequest(0), 0x6A88, "it is COLLECTED")
    asked = till_request(life, 6_800)
    voucher = life.send(c.Pay(asked.to_payload()))
    life.send(c.Pay(asked.to_payload()), why="again: the stored Voucher, no second debit")
    life.power()
    life.select()
    life.send(c.Pay(asked.to_payload()), why="again after a lost answer and a new tap")
    life.send(c.ResendByRequest(asked.hash))
    life.send(c.ResendByPayee(TILL.id, 0))
    life.send(c.ResendByPayee(TILL.id, 1), 0x6A88, "one voucher to this payee")
    life.send(c.ResendByPayee(MERCHANT_PURSE.id, 0), 0x6A88, "none to that one")
    life.send(c.ResendByRequest(digest("never asked")), 0x6A88)
    for tag in Tag:
        life.send(c.GetData(tag), do=f"GET DATA {tag:04X}")
    life.send(c.GetData(0xDF05), 0x6A88, "no such object")
    if len(receipt) != 186 or len(voucher) != 270:
        raise ValueError("a signed Receipt has 186 bytes, a Voucher 270")


def refusals_of_pay(life: Life) -> None:
    """The reasons in the order of statuses.md: each Request has its fault and, where it can, the later ones too."""
    life.personalise(transfer_limit=30_000, unverified_total=12_000, offline_total=40_000, pin_threshold=10_000)
    load(life)
    good = till_request(life, 6_800)

    def refused(sw: int, why: str, **changes: Any) -> None:
        life.send(c.Pay(replace(good, **changes).to_payload()), sw, why)

    life.send(c.Pay(good.to_payload()[:-1] + b"\xff" * 2), 0x6700, "139 bytes")
    body = bytearray(good.to_payload())
    body[1] = 0x18
    life.raw("PAY", b"\x80\x32\0\0\x8a" + bytes(body) + b"\0", 0x6A80, why="not the layout of a Request")
    refused(0x69EC, "another payer, and a counter that has not come", payer=CARD.id, n=good.n + 1)
    refused(0x69EC, "another epoch", epoch=2)
    refused(0x69E1, "not the next counter, of amount 0", n=good.n + 1, amount=0)
    refused(0x69E9, "above the payee threshold, above the limit, to itself", amount=30_001, payee=good.payer)
    refused(0x69E0, "to itself, of amount 0", payee=good.payer, amount=0)
    refused(0x69E6, "amount 0", amount=0)
    refused(0x6982, "above the PIN threshold", amount=10_001)
    life.send(c.Pay(good.to_payload()), why="within every limit")
    second = till_request(life, 6_800, k=2)
    life.send(c.Pay(second.to_payload()), 0x6982, "two of 68.00 without a PIN are above the unverified total")
    life.send(c.Verify(_block(PIN)))
    life.send(c.Pay(second.to_payload()), why="with the PIN")
    life.send(c.Pay(good.to_payload()), why="the first one again: its slot answers")
    refused(0x69E1, "the same counter and another amount: nothing was charged for it", amount=6_801)


def limits(life: Life) -> None:
    """The limits that only the card can count, in their order."""
    life.personalise(transfer_limit=5_000, offline_total=6_000, offline_count=3, payee_threshold=100_000)
    load(life, 8_000)

    def ask(amount: int, sw: int = OK, why: str = "") -> None:
        k = len(life.steps)
        life.send(c.Pay(till_request(life, amount, k=k).to_payload()), sw, why)

    ask(5_001, 0x69E3, "above the limit for one transfer")
    ask(5_000)
    ask(1_001, 0x69E4, "above what may be spent before the next grant")
    ask(500)
    ask(400)
    ask(101, 0x69E4, "above the total, and the count is used up: the total comes first")
    ask(100, 0x69E5, "as many payments as are allowed")
    ask(100, 0x69E5, "and it stays so")


def spendable(life: Life) -> None:
    """Staged: a load of the operator's purse counts at once, value of another purse with the next grant."""
    classes = {"payer_classes": 0b11111, "payee_threshold": 100_000, "transfer_limit": 100_000}
    life.personalise(**classes)
    life.send(c.Pay(till_request(life, 1).to_payload()), 0x69E2, "an empty card")
    load(life, 1_000)
    request = life.send(c.MakeRequest(MERCHANT_PURSE.id, 1, 1, 500, digest("refund")))
    life.send(c.Collect(*WORLD.voucher_for(request, MERCHANT_PURSE)))
    life.send(c.Pay(till_request(life, 1_001).to_payload()), 0x69E2, "1,500 are there, 1,000 may be spent")
    life.send(c.Pay(till_request(life, 1_000).to_payload()))


def verified_payee(life: Life) -> None:
    """PAY with the signed Request and certificates: what is refused anyway costs no verification."""
    life.personalise(**CHECKED)
    load(life)
    request = till_request(life, 6_800)
    signed = Signed.sign(request, TILL.key).to_bytes()
    forged = Signed.sign(request, CARD.key).to_bytes()
    papers = (TILL.certificate.to_bytes(), OPERATOR.certificate.to_bytes())
    foreign = (FOREIGN_CARD.certificate.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes())

    def refused(sw: int, why: str, signed: bytes, payee: bytes = papers[0], operator: bytes = papers[1]) -> None:
        life.send(c.PayVerified(signed, payee, operator), sw, why)

    life.send(c.Pay(request.to_payload()), 0x69E9, "above the threshold without certificates")
    old = Signed.sign(replace(request, n=request.n + 1), CARD.key).to_bytes()
    refused(0x69E1, "stale, and the signature is nobody's: the counter comes first", old)
    refused(0x69E7, "a card: no payee of this policy, though its chain is foreign", signed, *foreign)
    refused(0x69EB, "the payee's certificate under another operator", signed, operator=foreign[1])
    refused(0x69EB, "the operator's certificate in the payee's place", signed, payee=papers[0], operator=papers[0])
    flipped = papers[0][:-1] + bytes((papers[0][-1] ^ 1,))
    refused(0x69EB, "one bit of the payee's certificate", signed, payee=flipped)
    refused(0x69EA, "a Request that another key has signed", forged)
    refused(0x69EA, "one bit of its signature", signed[:-1] + bytes((signed[-1] ^ 1,)))
    life.send(c.PayVerified(signed, *papers), why="extended length")
    life.select()
    data = signed + papers[0] + papers[1]
    for at in range(0, len(data), 255):
        last = at + 255 >= len(data)
        piece = data[at : at + 255]
        head = bytes((0x80 if last else 0x90, 0x32, 1, 0, len(piece)))
        if not last:
            life.raw("PAY, payee verified", head + piece, why="the same in pieces: CLA bit 5 on all but the last")
    answer = life.raw("PAY, payee verified", head + piece + b"\0", 0x610E, why="the last piece: the stored Voucher")
    life.steps[-1]["free"] = [[0, len(answer), "stored voucher: as before"]]
    life.raw("GET RESPONSE", bytes.fromhex("00C000000E"))
    life.steps[-1]["free"] = [[0, 14, "signature"]]


def slots_full(life: Life) -> None:
    """Sixteen vouchers wait: the seventeenth is refused before anything else is looked at but its counter."""
    life.personalise()
    load(life)
    for k in range(1, 17):
        life.send(c.Pay(till_request(life, 1, k=k).to_payload()))
    life.send(c.Pay(till_request(life, 0, k=17).to_payload()), 0x6A84, "no free slot, and amount 0")


def another_suite(life: Life) -> None:
    """A policy that asks for a suite which this card does not have: nothing begins, what was begun ends."""
    life.personalise()
    question = c.MakeRequest(OPERATOR_PURSE.id, 1, 1, 50_000, digest("load"))
    request = life.send(question)
    newer = WORLD.signed_policy(version=2, least_suite=23)
    life.raw(
        "STORE DATA POLICY", bytes.fromhex("80E20400") + bytes((len(newer),)) + newer, why="no channel once active"
    )
    life.send(c.Pay(till_request(life, 0).to_payload()), 0x69EE, "and amount 0")
    life.send(question, why="the stored Request")
    life.send(replace(question, n=2), 0x69EE)
    life.send(c.Collect(*WORLD.voucher_for(request)), why="finishing is no beginning")


def requests(life: Life) -> None:
    """REQUEST, COLLECT and REFUSE refused, in their order."""
    life.personalise(payer_classes=0b100)
    me = life.select().purse_id
    good = c.MakeRequest(OPERATOR_PURSE.id, 1, 1, 60_000, digest("load"))
    life.send(replace(good, amount=2**53), 0x6A80, "an amount has 53 bits")
    life.send(replace(good, payer=me, amount=0), 0x69E0, "from itself, and amount 0")
    life.send(replace(good, amount=0), 0x69E6)
    life.send(replace(good, amount=100_001), 0x69E8, "above the balance limit")
    request = life.send(good)
    life.send(replace(good, n=2), 0x69E8, "OPEN headroom counts")
    voucher, payer, operator = WORLD.voucher_for(request)
    other = WORLD.voucher_for(request, amount=1)
    foreign = (FOREIGN_CARD.certificate.to_bytes(), FOREIGN_OPERATOR.certificate.to_bytes())
    life.send(c.Collect(voucher[:-1], payer, operator), 0x6700, "a byte less")
    elsewhere = WORLD.voucher_for(request, payee=CARD.id)
    life.send(c.Collect(*elsewhere), 0x69EC, "a voucher to another purse")
    life.send(c.Collect(voucher, *foreign), 0x69E7, "from a card, whatever its chain: its REQUEST had no certificate")
    life.send(c.Collect(voucher, payer, foreign[1]), 0x69EB, "the chain breaks")
    life.send(c.Collect(voucher[:-1] + bytes((voucher[-1] ^ 1,)), payer, operator), 0x69EA)
    life.send(c.Collect(*other), 0x69ED, "signed, but of another amount than its Request")
    life.send(c.Refuse(digest("never asked")), 0x69ED, "not a Request of this purse")
    life.send(c.Collect(voucher, payer, operator), why="now the right one")
    life.send(c.Refuse(parse(Request, request).hash), 0x69ED, "it is COLLECTED")
    second = life.send(replace(good, n=2, amount=1_000))
    refuse = c.Refuse(parse(Request, second).hash)
    life.send(refuse)
    life.send(refuse, why="again: the stored Refusal")
    life.send(c.Collect(*WORLD.voucher_for(second)), 0x69ED, "it is REFUSED")
    for n in range(3, 9):
        life.send(replace(good, n=n, amount=1_000))
    life.send(replace(good, n=9, amount=0), 0x6A84, "the table is full, and amount 0")


def suite_2(life: Life) -> None:
    """A card of suite 2: its own lengths, and nothing of suite 1."""
    life.power()
    life.select()
    life.open_channel()
    asking = c.GenerateSm2KeyPair(profile(Suite.SM2).digest(life.serial))
    life.send(asking, 0x6882, "in the clear")
    request = life.secured(asking)
    life.secured(c.GenerateKeyPair(digest("challenge")), 0x6985, "its key pair is of suite 2")
    other = AUTHORITY.certificate.to_bytes()
    stored = c.StoreData(Store.AUTHORITY_CERTIFICATE, other)
    life.secured(stored, 0x6700, "a certificate of suite 1", do="STORE DATA AUTHORITY_CERTIFICATE")
    for target, content in life.certified(request).items():
        life.secured(c.StoreData(target, content), do=f"STORE DATA {target.name}")
    life.secured(c.PersonaliseEnd())
    life.secured(c.Activate())
    world = life.world
    asked = life.send(c.MakeRequest(world.operator_purse.id, 1, 1, 50_000, digest("load")))
    collect = c.Collect(*world.voucher_for(asked))
    life.send(collect)
    life.send(collect, why="again: the stored Receipt")
    sale = world.till_request(life.select(), 6_800)
    downgraded = replace(sale, suite=Suite.ES256)
    life.send(c.Pay(downgraded.to_payload()), 0x69EE, "a Request of suite 1 is below the least suite")
    voucher = life.send(c.Pay(sale.to_payload()))
    life.send(c.Pay(sale.to_payload()), why="again")
    life.send(c.ResendByRequest(sale.hash))
    report = life.send(MakeReport())
    life.send(Reverse(world.order_for(voucher, report)))
    life.send(TakeGrant(world.grant_for(report)))
    life.select()


def _block(digits: str) -> bytes:
    return bytes((0x20 | len(digits),)) + bytes.fromhex(digits.ljust(14, "f"))


@dataclass(frozen=True)
class Session:
    """`story` over a blank card of `profile`."""

    name: str
    story: Callable[[Life], None]
    profile: str = "hk-visitor"
    suite: Suite = Suite.ES256

    @property
    def serial(self) -> bytes:
        """One for each profile, so that one card, set back to its blank state, can play all of them."""
        return hashlib.sha256(f"vectors: {self.profile}".encode()).digest()[:8]


SESSIONS = (
    Session("a blank card", blank),
    Session("lengths, chaining, GET RESPONSE", lengths),
    Session("the secure channel refused", channel_refusals),
    Session("personalisation", personalisation),
    Session("load and pay", load_and_pay),
    Session("PIN", pin),
    Session("PAY refused", refusals_of_pay),
    Session("PAY: limits between two grants", limits),
    Session("PAY: what may be spent", spendable),
    Session("PAY, payee verified", verified_payee),
    Session("PAY: sixteen slots", slots_full),
    Session("a policy of another suite", another_suite),
    Session("REQUEST, COLLECT and REFUSE refused", requests),
    Session("a card and a merchant's purse", sam_to_card),
    Session("Receipt, Refusal and order", endings),
    Session("endings refused", refusals_given),
    Session("REPORT and GRANT", grants),
    Session("blocked and terminated", blocked),
    Session("a merchant's purse", load_and_pay, "merchant-sam"),
    Session("a card of suite 2", suite_2, suite=Suite.SM2),
)
