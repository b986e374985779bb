"""ECNY-LIF: the end of a card's life. The PIN is used up, the card blocked, then terminated; for good.

Each check brings the card as far as it needs, so that one of them can run alone; there is no way back.
"""

from __future__ import annotations

from typing import Final

from hardware.apdu import CommandApdu
from hardware.commands import (
    Activate,
    Collect,
    Deactivate,
    GetData,
    Pay,
    Refuse,
    ResendByRequest,
    ResendOpenRequest,
    StoreData,
    Terminate,
    Verify,
)
from hardware.conformance.bench import Bench, expect, same, word
from hardware.conformance.lab import WRONG_PIN, grant_for, order_for, receipt_for, refusal_for, voucher_for
from hardware.conformance.requirements import APDU, STATUSES, TRANSFER, Stage, requirement
from hardware.data_objects import Tag
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.instructions import CERTIFICATE_SIZE, SIGNED_VOUCHER_SIZE, Command, Store
from hardware.status_words import SW, tries_left
from wallet_core.errors import Refused
from wallet_core.messages import Request, Voucher, parse
from wallet_core.purse.state import PIN_TRIES, Lifecycle, SlotState

_LIFE: Final = "Life cycle of a purse"
_RULES: Final = "Rules"


def prepare(t: Bench) -> None:
    """Six payments and five Requests, which the checks of this stage finish."""
    t.prepare()
    paid = t.question(9)
    t.ok(Pay(paid.to_payload()))
    t.kept = {name: t.pay(amount) for amount, name in enumerate(("pin", "receipt", "refusal", "order", "stored"), 1)}
    t.kept |= {f"ask {name}": t.ok(t.asking(50, t.lab.sam)) for name in ("pin", "collect", "refuse", "stored", "left")}
    t.kept["paid request"] = paid.to_payload()


def use_up_pin(t: Bench) -> None:
    with t.quietly():
        t.tap()
        for _ in range(PIN_TRIES):
            if not tries_left(t.verify(WRONG_PIN).sw):
                break


def block(t: Bench) -> None:
    with t.quietly():
        if t.tap() and t.fci().lifecycle is Lifecycle.ACTIVE:
            t.through_channel(Deactivate())


def terminate(t: Bench) -> None:
    with t.quietly():
        if t.tap() and t.fci().lifecycle is not Lifecycle.TERMINATED:
            t.through_channel(Terminate())


@requirement(
    "LIF-01", "When no try is left VERIFY is 6983, with the right PIN, too.", APDU, "VERIFY", stage=Stage.CLOSING
)
def pin_is_blocked(t: Bench) -> None:
    """Wrong PINs: 63C2, 63C1, 63C0; then the right one, twice: 6983."""
    t.tap()
    for left in range(PIN_TRIES - 1, -1, -1):
        word(t.verify(WRONG_PIN), 0x63C0 | left, of="VERIFY with a wrong PIN")
    word(t.verify(), Refused.PIN_BLOCKED, of="VERIFY with the right PIN")
    word(t.verify(), Refused.PIN_BLOCKED, of="VERIFY with the right PIN again")


@requirement(
    "LIF-02",
    "With a blocked PIN nothing new is paid or asked: 6983.",
    STATUSES,
    "Reasons of a purse",
    stage=Stage.CLOSING,
)
def pin_blocks_beginnings(t: Bench) -> None:
    """PAY and REQUEST of one fen."""
    use_up_pin(t)
    t.refused(Pay(t.question(1).to_payload()), Refused.PIN_BLOCKED)
    t.refused(t.asking(1), Refused.PIN_BLOCKED)


@requirement("LIF-03", "A blocked PIN still finishes and recovers.", TRANSFER, _RULES, stage=Stage.CLOSING)
def pin_blocked_finishes(t: Bench) -> None:
    """RESEND by Request, COLLECT of what was asked before, ACKNOWLEDGE."""
    use_up_pin(t)
    voucher = t.kept["pin"]
    t.ok(ResendByRequest(parse(Voucher, voucher).message.request_hash))
    t.ok(Collect(*voucher_for(t.kept["ask pin"], t.lab.sam)))
    t.ok_plain(Acknowledge(*receipt_for(voucher, t.lab.sam)))


@requirement(
    "LIF-14", "What is no PIN block is 6A80 even when the PIN is blocked.", APDU, "VERIFY", stage=Stage.CLOSING
)
def no_block_when_blocked(t: Bench) -> None:
    """No try left: VERIFY of zeros, and of a right block."""
    use_up_pin(t)
    t.refused(Verify(bytes(8)), Refused.MALFORMED)
    word(t.verify(WRONG_PIN), Refused.PIN_BLOCKED, of="VERIFY")


@requirement("LIF-04", "DEACTIVATE and TERMINATE want the channel: 6882.", APDU, "STORE DATA", stage=Stage.CLOSING)
def not_plain(t: Bench) -> None:
    """Both plain; C0 is as before."""
    before = t.tap() and t.fci().lifecycle
    for header in ("80040000", "80E60000"):
        word(t.raw(header), SW.SECURE_MESSAGING_NOT_SUPPORTED, of=header)
    same(t.fci().lifecycle, before, "C0")


@requirement(
    "LIF-05", "DEACTIVATE makes an active card a blocked one; again it is 9000.", APDU, "Commands", stage=Stage.CLOSING
)
def blocked(t: Bench) -> None:
    """C0 is 3, in SELECT and REPORT; DEACTIVATE once more."""
    block(t)
    same((t.fci().lifecycle, t.report().lifecycle), (3, 3), "C0 and life cycle of a REPORT")
    t.through_channel(Deactivate())
    same(t.fci().lifecycle, 3, "C0 afterwards")


@requirement("LIF-06", "Only an active card pays and asks anew: 6985.", TRANSFER, _LIFE, stage=Stage.CLOSING)
def blocked_begins_nothing(t: Bench) -> None:
    """A new PAY and a new REQUEST on a blocked card, and PAY of rubbish."""
    block(t)
    t.refused(Pay(t.question(1).to_payload()), Refused.WRONG_STATE)
    t.refused(t.asking(1), Refused.WRONG_STATE)
    t.refused(Pay(bytes(138)), Refused.WRONG_STATE)


@requirement(
    "LIF-07", "A blocked card still answers what was paid or asked before.", TRANSFER, _LIFE, stage=Stage.CLOSING
)
def blocked_answers_stored(t: Bench) -> None:
    """RESEND by Request, RESEND open Requests, and REQUEST with the same question: the stored bytes."""
    block(t)
    voucher, request = t.kept["stored"], t.kept["ask stored"]
    same(t.ok(ResendByRequest(parse(Voucher, voucher).message.request_hash)), voucher, "RESEND by Request")
    asked = parse(Request, request).message
    again = t.asking(asked.amount, t.lab.sam, order_hash=asked.order_hash)
    same(t.ok(again), request, "REQUEST again")
    expect(bool(t.ok(ResendOpenRequest(0))), "no open Request is told")


@requirement(
    "LIF-15", "PAY sent again answers the stored Voucher on a blocked card, too.", APDU, "PAY", stage=Stage.CLOSING
)
def blocked_pays_again(t: Bench) -> None:
    """The Request of a payment from before the card was blocked: its Voucher."""
    block(t)
    payload = t.kept["paid request"]
    voucher = parse(Voucher, t.ok(Pay(payload))).message
    same(voucher.request_hash, Request.from_payload(payload).hash, "H(Request) of the Voucher")


@requirement("LIF-08", "A blocked card still collects and refuses.", TRANSFER, _LIFE, stage=Stage.CLOSING)
def blocked_finishes(t: Bench) -> None:
    """COLLECT of 50 fen that were asked before; REFUSE of another Request."""
    block(t)
    before = t.totals().total_in
    t.ok(Collect(*voucher_for(t.kept["ask collect"], t.lab.sam)))
    same(t.totals().total_in, before + 50, "total in")
    t.ok(Refuse(parse(Request, t.kept["ask refuse"]).message.hash))


@requirement("LIF-09", "A blocked card still takes outcomes, orders and grants.", APDU, "Commands", stage=Stage.CLOSING)
def blocked_ends(t: Bench) -> None:
    """ACKNOWLEDGE of a Receipt and of a Refusal, REVERSE, REPORT, GRANT."""
    block(t)
    lab = t.lab
    t.ok_plain(Acknowledge(*receipt_for(t.kept["receipt"], lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(t.kept["refusal"], lab.sam)))
    t.ok_plain(Reverse(order_for(t.kept["order"], lab.operator)))
    numbers = {parse(Voucher, t.kept[name]).message.n for name in ("receipt", "refusal", "order")}
    states = [line.state for line in t.report().slot_lines if line.n in numbers]
    same(states, [SlotState.COLLECTED, SlotState.REVERSED, SlotState.REVERSED], "states of the slots")
    t.ok_plain(TakeGrant(grant_for(t.report(), lab.operator, [])))


@requirement(
    "LIF-10",
    "There is no way back: ACTIVATE and STORE DATA on a blocked card are 6985.",
    TRANSFER,
    _LIFE,
    stage=Stage.CLOSING,
)
def no_way_back(t: Bench) -> None:
    """ACTIVATE and STORE DATA of a PIN through the channel."""
    block(t)
    with t.channel() as send:
        for command in (Activate(), StoreData(Store.PIN, bytes.fromhex("241111FFFFFFFFFF"))):
            word(send(command), Refused.WRONG_STATE, of=command.NAME)
    same(t.fci().lifecycle, 3, "C0")


@requirement(
    "LIF-11", "TERMINATE ends any card; SELECT and GET DATA still answer.", TRANSFER, _LIFE, stage=Stage.CLOSING
)
def terminated(t: Bench) -> None:
    """C0 is 4; certificate, policy, totals, slots and serial number are told."""
    terminate(t)
    same(t.fci().lifecycle, 4, "C0")
    for tag in (Tag.PURSE_CERTIFICATE, Tag.POLICY, Tag.TOTALS, Tag.SLOTS, Tag.SERIAL):
        t.ok(GetData(tag))


@requirement("LIF-12", "A terminated card answers nothing else: 6985.", TRANSFER, _LIFE, stage=Stage.CLOSING)
def nothing_else(t: Bench) -> None:
    """VERIFY, PAY, REQUEST, COLLECT, REFUSE, RESEND, REPORT, and a stored Voucher by its Request."""
    terminate(t)
    stored = parse(Voucher, t.kept["stored"]).message.request_hash if t.kept else bytes(32)
    certificate = bytes(CERTIFICATE_SIZE)
    commands: tuple[Command, ...] = (
        Pay(bytes(138)),
        t.asking(1),
        Collect(bytes(SIGNED_VOUCHER_SIZE), certificate, certificate),
        Refuse(bytes(32)),
        ResendByRequest(stored),
        ResendOpenRequest(0),
        MakeReport(),
    )
    for command in commands:
        t.refused(command, Refused.WRONG_STATE)
    word(t.verify(), Refused.WRONG_STATE, of="VERIFY")


@requirement("LIF-13", "A terminated card opens no channel: 6985.", APDU, "Commands", stage=Stage.CLOSING)
def no_channel(t: Bench) -> None:
    """INITIALIZE UPDATE of eight bytes, and of seven."""
    terminate(t)
    word(t.apdu(CommandApdu(0x80, 0x50, 0, 0, bytes(7), 256)), Refused.WRONG_STATE, of="INITIALIZE UPDATE of 7 bytes")
    word(t.apdu(CommandApdu(0x80, 0x50, 0, 0, bytes(8), 256)), Refused.WRONG_STATE, of="INITIALIZE UPDATE")
