"""ECNY-SEL and ECNY-DAT: what SELECT and GET DATA tell anyone."""

from __future__ import annotations

from typing import Final

from hardware.commands import GetData, Verify
from hardware.conformance.bench import SELECT, Bench, expect, same, word
from hardware.conformance.lab import WRONG_PIN, refusal_for
from hardware.conformance.requirements import APDU, NotTried, Stage, requirement
from hardware.data_objects import AID, FCI_SIZES, FciTag, Tag
from hardware.ending_commands import AcknowledgeRefusal
from hardware.pin import pin_block
from hardware.status_words import SW, tries_left
from wallet_core.certificates import Certificate
from wallet_core.errors import Refused
from wallet_core.purse.state import PIN_TRIES, SLOT_COUNT, TABLE_SIZE

_SELECT: Final = "SELECT: file control information"
_GET_DATA: Final = "GET DATA"


@requirement(
    "SEL-01",
    "SELECT answers 6F L 84 07 AID A5 L C0 … C9: in this order, always all of them.",
    APDU,
    _SELECT,
    stage=Stage.READING,
)
def form_of_the_fci(t: Bench) -> None:
    """The answer is taken apart byte by byte; a second SELECT answers in the same form."""
    t.power()
    for _ in range(2):
        answer = word(t.raw(SELECT), SW.OK, of="SELECT")
        inner = sum(2 + size for size in FCI_SIZES.values())
        head = (
            bytes((FciTag.FCI, len(AID) + inner + 4, FciTag.AID, len(AID))) + AID + bytes((FciTag.PROPRIETARY, inner))
        )
        same(answer[: len(head)], head, "6F, 84 and A5 with their lengths")
        at = len(head)
        for tag, size in FCI_SIZES.items():
            same(answer[at : at + 2], bytes((tag, size)), f"tag and length of {tag:02X}")
            at += 2 + size
        same(len(answer), at, "bytes of the answer")


@requirement("SEL-02", "C1 is zeros while the card is blank.", APDU, _SELECT, stage=Stage.BLANK)
def blank_id(t: Bench) -> None:
    """SELECT of the blank card; C0 is 0 then."""
    t.tap()
    fci = t.fci()
    same((fci.lifecycle, fci.purse_id), (0, bytes(32)), "life cycle and purse id")


@requirement("SEL-03", "C1 is the purse's id, the thumbprint of its certified key.", APDU, _SELECT)
def purse_id(t: Bench) -> None:
    """C1 against the thumbprint of the key in GET DATA 7F21."""
    same(t.fci().purse_id, t.me, "C1")


@requirement("SEL-04", "C2 is the epoch of the purse certificate.", APDU, _SELECT)
def epoch(t: Bench) -> None:
    """C2 against the claim in GET DATA 7F21."""
    same(t.fci().epoch, t.certificate().epoch, "C2")


@requirement("SEL-05", "C3 and C4 are the next counters n and k.", APDU, _SELECT)
def counters(t: Bench) -> None:
    """A payment and a REQUEST: each moves its counter on by one and leaves the other."""
    before = t.fci()
    t.pay(100)
    same((t.fci().next_n, t.fci().next_k), (before.next_n + 1, before.next_k), "n and k after a payment")
    t.ok(t.asking(100))
    same((t.fci().next_n, t.fci().next_k), (before.next_n + 1, before.next_k + 1), "n and k after a REQUEST")


@requirement("SEL-06", "C5 is the balance, in + reversed − out.", APDU, _SELECT)
def balance(t: Bench) -> None:
    """C5 against the totals of DF02, after a load and a payment, and after another payment that was refused."""
    same(t.fci().balance, t.totals().balance, "C5")
    t.load(321)
    t.pay(123)
    same(t.fci().balance, t.totals().balance, "C5 after a load and a payment")
    t.ok_plain(AcknowledgeRefusal(*refusal_for(t.pay(55), t.lab.sam)))
    same(t.fci().balance, t.totals().balance, "C5 after a payment that was refused")


@requirement("SEL-07", "C6 is the number of free voucher slots, then of free entries of the table.", APDU, _SELECT)
def free_places(t: Bench) -> None:
    """16 and 8 when nothing is open; one less of each after a payment and a REQUEST."""
    fci = t.fci()
    same((fci.free_slots, fci.free_entries), (SLOT_COUNT, TABLE_SIZE), "C6 when nothing is open")
    t.pay(100)
    t.ok(t.asking(100))
    fci = t.fci()
    same((fci.free_slots, fci.free_entries), (SLOT_COUNT - 1, TABLE_SIZE - 1), "C6 after a payment and a REQUEST")


@requirement("SEL-08", "C7 is the number of PIN tries left.", APDU, _SELECT)
def tries(t: Bench) -> None:
    """Three, and what 63Cx says after one wrong PIN; the right PIN follows."""
    same(t.fci().pin_tries, PIN_TRIES, "C7 before")
    left = tries_left(t.do(Verify(pin_block(WRONG_PIN))).sw)
    same(t.fci().pin_tries, left, "C7 after a wrong PIN")


@requirement("SEL-09", "C8 and C9 are version and payee threshold of the policy in force.", APDU, _SELECT)
def policy_figures(t: Bench) -> None:
    """A policy with a threshold of 12,345 fen is stored; C8 and C9 are its figures."""
    policy = t.policy(payee_threshold=12_345)
    fci = t.fci()
    same((fci.policy_version, fci.payee_threshold), (policy.version, 12_345), "C8 and C9")


@requirement("DAT-01", "An object that is not there yet answers 6A88.", APDU, _GET_DATA, stage=Stage.BLANK)
def not_there_yet(t: Bench) -> None:
    """GET DATA of the three certificates and the policy on a blank card."""
    t.tap()
    if t.do(GetData(Tag.AUTHORITY_CERTIFICATE)).data == t.lab.authority.certificate.to_bytes():
        raise NotTried("the card has objects from an earlier run")
    for tag in (Tag.PURSE_CERTIFICATE, Tag.OPERATOR_CERTIFICATE, Tag.AUTHORITY_CERTIFICATE, Tag.POLICY):
        t.refused(GetData(tag), Refused.NOT_FOUND)


@requirement(
    "DAT-02", "DF04 is the serial number, 8 bytes, known before personalisation.", APDU, _GET_DATA, stage=Stage.READING
)
def serial(t: Bench) -> None:
    """GET DATA DF04 after two power-ups."""
    t.tap()
    first = t.serial()
    same(len(first), 8, "bytes of the serial number")
    t.tap()
    same(t.serial(), first, "the serial number after power-up")


@requirement("DAT-03", "7F21, 7F22 and 7F23 are the certificates that were stored.", APDU, _GET_DATA)
def certificates(t: Bench) -> None:
    """The laboratory's authority and operator, byte for byte; 7F21 verifies with the operator's key."""
    same(t.ok(GetData(Tag.AUTHORITY_CERTIFICATE)), t.lab.authority.certificate.to_bytes(), "7F23")
    same(t.ok(GetData(Tag.OPERATOR_CERTIFICATE)), t.lab.operator.certificate.to_bytes(), "7F22")
    Certificate.from_bytes(t.ok(GetData(Tag.PURSE_CERTIFICATE))).verify_signature(t.lab.operator.key.public)


@requirement("DAT-04", "DF01 is the signed Policy in force.", APDU, _GET_DATA)
def signed_policy(t: Bench) -> None:
    """A policy is stored and read back, byte for byte."""
    policy = t.policy(transfer_limit=77_777)
    same(t.ok(GetData(Tag.POLICY)), t.lab.operator.sign(policy), "DF01")


@requirement("DAT-05", "DF02 is totals and counters: six of 8 bytes, four of 4.", APDU, _GET_DATA)
def totals(t: Bench) -> None:
    """64 bytes that say what a REPORT says, after a load and a payment."""
    t.load(400)
    t.pay(150)
    same(len(t.ok(GetData(Tag.TOTALS))), 64, "bytes of DF02")
    told, report = t.totals(), t.report()
    for name in ("total_in", "total_out", "total_reversed", "out_acked", "in_acked", "epoch", "next_n", "next_k"):
        same(getattr(told, name), getattr(report, name), name)


@requirement("DAT-06", "DF03 is 16 slots of state and n; no payee and no amount without a PIN.", APDU, _GET_DATA)
def slots(t: Bench) -> None:
    """80 bytes; after two payments two slots are PENDING with their counters, the others zeros."""
    first = t.totals().next_n
    t.pay(100)
    t.pay(200)
    same(len(t.ok(GetData(Tag.SLOTS))), 80, "bytes of DF03")
    used = sorted((one.n, int(one.state)) for one in t.slots() if one.state)
    same(used, [(first, 1), (first + 1, 1)], "slots that are not free")
    expect(all(not one.n for one in t.slots() if not one.state), "a free slot shows a counter")


@requirement(
    "DAT-07",
    "Terminals must not rely on the ATR; the one of a card is always the same.",
    APDU,
    "Command–response pairs of the purse",
    stage=Stage.READING,
)
def atr(t: Bench) -> None:
    """Two power-ups: the same ATR, of 2 to 33 bytes."""
    t.power()
    first = t.recorder.atr
    expect(2 <= len(first) <= 33, f"an ATR of {len(first)} bytes")
    t.power()
    same(t.recorder.atr, first, "the ATR after another power-up")


@requirement("DAT-08", "Any other tag is 6A88.", APDU, _GET_DATA, stage=Stage.READING)
def other_tags(t: Bench) -> None:
    """GET DATA of DF00, DF05, 7F24 and 0000."""
    t.tap()
    for tag in (0xDF00, 0xDF05, 0x7F24, 0x0000):
        t.refused(GetData(tag), Refused.NOT_FOUND)
