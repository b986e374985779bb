"""ECNY-ISO: lengths, chaining, GET RESPONSE, and what of a command is looked at first."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.apdu import CommandApdu
from hardware.commands import (
    QUESTION_SIZE,
    Collect,
    GetData,
    MakeRequest,
    MakeRequestVerified,
    Pay,
    PayVerified,
    Refuse,
    ResendAny,
    ResendByPayee,
    ResendByRequest,
    ResendOpenRequest,
    StoreData,
    Verify,
)
from hardware.conformance.bench import SELECT, Bench, expect, same, word
from hardware.conformance.lab import grant_for, order_for, receipt_for, refusal_for, voucher_for
from hardware.conformance.requirements import APDU, STATUSES, Stage, requirement, untestable
from hardware.data_objects import Tag
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.exchange import CHAINING_BIT
from hardware.instructions import CERTIFICATE_SIZE, REQUEST_SIZE, SIGNED_VOUCHER_SIZE, Command, Store
from hardware.status_words import SW
from wallet_core.errors import Refused
from wallet_core.ids import ID_SIZE
from wallet_core.messages import Voucher, parse

_TOP: Final = "Command–response pairs of the purse"
_OTHER_AID: Final = "00A4040007F045434E5957F000"
_GET_RESPONSE: Final = "00C00000"


@requirement("ISO-01", "Before the purse is selected only SELECT is known (6D00).", APDU, _TOP, stage=Stage.READING)
def only_select(t: Bench) -> None:
    """After power-up GET DATA, VERIFY without a block, PAY without data, REPORT and GET RESPONSE."""
    t.power()
    for command in ("00CADF0400", "0020000100", "8032000000", "803E000000"):
        word(t.raw(command), SW.INS_NOT_SUPPORTED, of=command[:8])


@requirement("ISO-02", "SELECT by another AID is 6A82 and changes nothing.", APDU, _TOP, stage=Stage.READING)
def another_aid(t: Bench) -> None:
    """SELECT of an AID that differs in its last byte; the purse stays selected and answers GET DATA."""
    t.tap()
    word(t.raw(_OTHER_AID), SW.FILE_NOT_FOUND, of="SELECT of another AID")
    word(t.raw("00CADF0408"), SW.OK, of="GET DATA after it")


@requirement("ISO-03", "Extended length is understood.", APDU, _TOP)
def extended_length(t: Bench) -> None:
    """GET DATA with an extended Le field, RESEND by Request with extended Lc and Le, PAY in extended form."""
    data = word(t.apdu(GetData(Tag.PURSE_CERTIFICATE).to_apdu(), extended=True), SW.OK, of="GET DATA")
    same(data, t.ok(GetData(Tag.PURSE_CERTIFICATE)), "GET DATA with an extended Le field")
    request = t.question(100)
    voucher = word(t.apdu(replace(Pay(request.to_payload()).to_apdu(), ne=65_536)), SW.OK, of="PAY")
    again = word(t.apdu(replace(ResendByRequest(request.hash).to_apdu(), ne=65_536)), SW.OK, of="RESEND")
    same(again, voucher, "RESEND with extended Lc and Le")


@requirement("ISO-04", "An answer of up to 65,536 bytes comes at once when the command was extended.", APDU, _TOP)
def whole_answer(t: Bench) -> None:
    """REPORT with an extended Le field of zeros: 1,088 bytes and 9000 in one exchange."""
    answer = word(t.raw("803E0000000000"), SW.OK, of="REPORT, extended")
    same(len(answer), 1088, "bytes of the answer")


@requirement("ISO-05", "Command chaining (CLA bit 5) is understood, in pieces of any length.", APDU, _TOP)
def chaining(t: Bench) -> None:
    """COLLECT in pieces of 255, then sent again in pieces of 1, 100 and 250 bytes; pieces are answered 9000 alone."""
    command = Collect(*t.paid_by(t.lab.sam, 700)).to_apdu()
    receipt = _in_pieces(t, command, (255, 255))
    same(_in_pieces(t, command, (1, 100, 250, 250)), receipt, "the same command in other pieces")


def _in_pieces(t: Bench, command: CommandApdu, sizes: tuple[int, ...]) -> bytes:
    at = 0
    for size in sizes:
        piece = replace(command, cla=command.cla | CHAINING_BIT, data=command.data[at : at + size], ne=0)
        same(word(t.apdu(piece), SW.OK, of="a piece of the chain"), b"", "answer to a piece of the chain")
        at += size
    return word(t.apdu(replace(command, data=command.data[at:])), SW.OK, of="the last piece")


@requirement("ISO-06", "Chaining of a command that cannot be chained is 6884.", STATUSES, "Reasons of a purse")
def no_chaining_here(t: Bench) -> None:
    """SELECT and GET DATA with CLA bit 5 set."""
    word(t.raw("10A4040007F045434E595701"), SW.CHAINING_NOT_SUPPORTED, of="SELECT in a chain")
    word(t.raw("10CADF0400"), SW.CHAINING_NOT_SUPPORTED, of="GET DATA in a chain")


@requirement("ISO-07", "To a short command a purse answers at most 256 bytes, and 61xx names the rest.", APDU, _TOP)
def short_answers(t: Bench) -> None:
    """PAY with a short Le field: 256 bytes and 610E of the 270 of a signed Voucher."""
    first = t.apdu(Pay(t.question(100).to_payload()).to_apdu(), extended=False)
    word(first, 0x6100 | (SIGNED_VOUCHER_SIZE - 256), of="PAY")
    same(len(first.data), 256, "bytes of the first part")


@requirement("ISO-08", "GET RESPONSE gives the rest of an answer, in one part or in several.", APDU, _TOP)
def get_response(t: Bench) -> None:
    """PAY short, GET RESPONSE for 14 bytes; RESEND, GET RESPONSE for 5, then for the 9 that 6109 announces."""
    request = t.question(100)
    command = Pay(request.to_payload()).to_apdu()
    first = t.apdu(command, extended=False).data
    rest = word(t.raw(_GET_RESPONSE + "0E"), SW.OK, of="GET RESPONSE")
    voucher = parse(Voucher, first + rest)
    same(voucher.message.request_hash, request.hash, "H(Request) in the Voucher that was put together")
    word(t.apdu(ResendByRequest(request.hash).to_apdu(), extended=False), 0x610E, of="RESEND")
    part = word(t.raw(_GET_RESPONSE + "05"), 0x6109, of="GET RESPONSE for 5 bytes")
    last = word(t.raw(_GET_RESPONSE + "09"), SW.OK, of="GET RESPONSE for the rest")
    same(part + last, rest, "the rest in two parts")


@requirement("ISO-09", "Any other command drops the rest of an answer.", APDU, _TOP)
def rest_is_dropped(t: Bench) -> None:
    """PAY short, GET DATA, then GET RESPONSE: no byte of the Voucher comes."""
    t.apdu(Pay(t.question(100).to_payload()).to_apdu(), extended=False)
    word(t.raw("00CADF0408"), SW.OK, of="GET DATA")
    after = t.raw(_GET_RESPONSE + "0E")
    expect(after.sw != SW.OK and after.sw1 != 0x61 and not after.data, "GET RESPONSE still gives what was dropped")


@requirement("ISO-10", "61xx says that the command was done.", APDU, _TOP)
def done_at_61xx(t: Bench) -> None:
    """PAY short, answered 610E; without GET RESPONSE the slot of its counter is PENDING."""
    request = t.question(100)
    expect(t.apdu(Pay(request.to_payload()).to_apdu(), extended=False).sw1 == 0x61, "PAY was not answered 61xx")
    same([slot.n for slot in t.slots() if slot.state], [request.n], "slots that are not free")


@requirement("ISO-11", "Of a command first CLA and INS are looked at: 6E00, 6D00.", APDU, _TOP, stage=Stage.READING)
def cla_and_ins_first(t: Bench) -> None:
    """Unknown INS under CLA 00 and 80, unknown CLA A0 and FF, each with P1-P2 and a length that fit nothing."""
    t.tap()
    for command, wanted in (
        ("00FE123401AA", SW.INS_NOT_SUPPORTED),
        ("80FE123401AA", SW.INS_NOT_SUPPORTED),
        ("A0CA123401AA", SW.CLA_NOT_SUPPORTED),
        ("E0CADF0400", SW.CLA_NOT_SUPPORTED),
    ):
        word(t.raw(command), wanted, of=command)


@requirement(
    "ISO-12", "Logical channels but the basic one are 6881.", STATUSES, "Reasons of a purse", stage=Stage.READING
)
def no_channels(t: Bench) -> None:
    """GET DATA on channel 1 and on channel 5."""
    t.tap()
    word(t.raw("01CADF0400"), SW.CHANNEL_NOT_SUPPORTED, of="GET DATA on channel 1")
    word(t.raw("41CADF0400"), SW.CHANNEL_NOT_SUPPORTED, of="GET DATA on channel 5")


@requirement("ISO-13", "Secure messaging is looked at before P1-P2, length and life cycle.", APDU, _TOP)
def messaging_before_parameters(t: Bench) -> None:
    """Plain commands of personalisation with wrong P1-P2 and wrong lengths on an active card are 6882."""
    for command in ("80460000", "8046010001AA", "80440900", "8004010101AA", "80E60001", "80E2010001AA", "80E2090001AA"):
        word(t.raw(command), SW.SECURE_MESSAGING_NOT_SUPPORTED, of=command)


@requirement("ISO-14", "P1-P2 are looked at before the length: 6A86.", APDU, _TOP)
def parameters_before_length(t: Bench) -> None:
    """Every plain command of the purse with P1-P2 that it has not, and one byte of data."""
    for header in ("00200002", "80300200", "80320200", "80340001", "80360001", "80380400", "803A0200", "803C0100"):
        word(t.raw(header + "01AA"), SW.INCORRECT_P1P2, of=header)
    for header in ("803E0001", "80400001"):
        word(t.raw(header + "01AA"), SW.INCORRECT_P1P2, of=header)


@requirement("ISO-15", "A command of another length than its own is 6700.", STATUSES, "Reasons of a purse")
def lengths(t: Bench) -> None:
    """Every plain command of the purse with a byte too few and a byte too many; an APDU shorter than its Lc says."""
    for kind, size in LENGTHS:
        for wrong in {max(0, size - 1), size + 1} - {size}:
            command = CommandApdu(kind.CLA, kind.INS, kind.P1 or 0, kind.P2 or 0, bytes(wrong))
            word(t.connection.send(command), SW.WRONG_LENGTH, of=f"{kind.NAME} with {wrong} bytes")
    word(t.raw("8036000020AABB"), SW.WRONG_LENGTH, of="32 bytes announced, 2 sent")


LENGTHS: Final = (
    *((kind, sum(kind.SIZES)) for kind in (Verify, Pay, PayVerified, Collect, Refuse, ResendByRequest)),
    *((kind, sum(kind.SIZES)) for kind in (Acknowledge, AcknowledgeRefusal, Reverse, MakeReport, TakeGrant)),
    *((MakeRequest, QUESTION_SIZE), (MakeRequestVerified, QUESTION_SIZE + 2 * CERTIFICATE_SIZE)),
    *((ResendByPayee, ID_SIZE), (ResendAny, 0), (ResendOpenRequest, 0)),
)


@requirement("ISO-16", "P1-P2 and length are looked at before the life cycle.", APDU, _TOP, stage=Stage.BLANK)
def length_before_life_cycle(t: Bench) -> None:
    """On a blank card PAY with P1 05 is 6A86, PAY of 5 bytes 6700."""
    t.tap()
    word(t.raw("80320500058000000000"), SW.INCORRECT_P1P2, of="PAY with P1 05")
    word(t.raw("80320000058000000000"), SW.WRONG_LENGTH, of="PAY of 5 bytes")


@requirement("ISO-17", "The life cycle is looked at before the reasons of a purse.", APDU, _TOP, stage=Stage.BLANK)
def life_cycle_before_reasons(t: Bench) -> None:
    """On a blank card PAY of 138 bytes that are no Request is 6985, not 6A80."""
    t.tap()
    t.refused(Pay(bytes(REQUEST_SIZE)), Refused.WRONG_STATE)


@requirement("ISO-18", "64xx and 69xx leave the memory as it was.", APDU, _TOP)
def refusals_change_nothing(t: Bench) -> None:
    """Every plain command, refused: SELECT, totals, slots, policy and REPORT are the same before and after it."""
    voucher, asked = t.pay(100), t.ok(t.asking(300))
    before = t.picture()
    for command in _refused(t, voucher, asked):
        done = t.do(command).sw == SW.OK  # that it is refused at all is what other requirements ask
        after = t.picture()
        if not done:
            same(after, before, f"what can be seen of the memory after {command.NAME}")
        before = after


def _refused(t: Bench, voucher: bytes, asked: bytes) -> tuple[Command, ...]:
    """Commands that this card refuses, each as deep in its checks as it goes."""
    lab = t.lab
    forged = replace(lab.operator_purse, key=lab.till.key)
    credited, _, operator = voucher_for(asked, lab.operator_purse)
    return (
        Pay(t.question(100, n=t.totals().next_n + 7).to_payload()),
        Pay(t.question(0).to_payload()),
        Pay(t.question(2**52).to_payload()),
        t.asking(0),
        Collect(*voucher_for(asked, forged)),
        Collect(credited, lab.till.certificate.to_bytes(), operator),
        Refuse(bytes(32)),
        ResendByRequest(bytes(32)),
        Acknowledge(*receipt_for(voucher, lab.other_sam)),
        AcknowledgeRefusal(*refusal_for(voucher, replace(lab.sam, key=lab.till.key), payee=lab.sam.id)),
        Reverse(order_for(voucher, lab.second_operator)),
        TakeGrant(grant_for(t.report(), lab.second_operator)),
        StoreData(Store.POLICY, lab.second_operator.sign(lab.policy(t.certificate().subject_class, version=2**31))),
    )


@requirement("ISO-19", "SELECT and GET DATA never need a PIN.", APDU, "GET DATA", stage=Stage.READING)
def no_pin_to_look(t: Bench) -> None:
    """After power-up SELECT, then GET DATA of totals, slots and serial number."""
    t.power()
    word(t.raw(SELECT), SW.OK, of="SELECT")
    for tag in (Tag.TOTALS, Tag.SLOTS, Tag.SERIAL):
        word(t.do(GetData(tag)), SW.OK, of=f"GET DATA {tag:04X}")


untestable(
    "ISO-20",
    "6581: a card whose memory is worn out does not do the command, and still starts and answers what is stored.",
    APDU,
    _TOP,
    "No command wears a memory out; the emulator's tests and the applet's do it with a memory of their own.",
)


@requirement(
    "ISO-21", "GET RESPONSE is 6985 where no rest waits, and 6700 without Le.", APDU, _TOP, stage=Stage.READING
)
def no_rest(t: Bench) -> None:
    """After SELECT, whose answer was whole; then SELECT with an Le field of 5, and GET RESPONSE without Le."""
    t.tap()
    word(t.raw(_GET_RESPONSE + "0E"), Refused.WRONG_STATE, of="GET RESPONSE")
    expect(t.raw(SELECT[:-1] + b"\x05").sw1 == 0x61, "SELECT with an Le field of 5 announces no rest")
    word(t.raw(_GET_RESPONSE), SW.WRONG_LENGTH, of="GET RESPONSE without Le")


@requirement("ISO-22", "A piece with another header begins a chain anew.", APDU, _TOP)
def begins_anew(t: Bench) -> None:
    """The first half of a REFUSE under P2 01, then REFUSE in two pieces: 69ED, as if nothing had been before it."""
    half = "10" + "00" * 16
    word(t.raw("90360001" + half), SW.OK, of="a piece under another header")
    word(t.raw("90360000" + half), SW.OK, of="a piece of REFUSE")
    word(t.raw("80360000" + half), Refused.REQUEST_CLOSED, of="the last piece of REFUSE")


@requirement("ISO-23", "A chain of more than 4,096 bytes in all is 6700.", APDU, _TOP)
def endless_chain(t: Bench) -> None:
    """Seventeen pieces of 255 bytes of COLLECT."""
    for _ in range(16):
        word(t.raw("90340000FF" + "00" * 255), SW.OK, of="a piece of the chain")
    word(t.raw("80340000FF" + "00" * 255), SW.WRONG_LENGTH, of="the last piece")


@requirement("ISO-24", "Of a chain only the last piece is looked at.", APDU, _TOP)
def only_the_last(t: Bench) -> None:
    """A piece with an INS that no card knows is 9000, the last piece 6D00; the same with P1-P2 that PAY has not."""
    word(t.raw("90FE000001AA"), SW.OK, of="a piece with an unknown INS")
    word(t.raw("80FE000001AA"), SW.INS_NOT_SUPPORTED, of="the last piece")
    word(t.raw("9032050001AA"), SW.OK, of="a piece with P1 05")
    word(t.raw("8032050001AA"), SW.INCORRECT_P1P2, of="the last piece")


@requirement("ISO-25", "GET RESPONSE ends a chain.", APDU, _TOP)
def response_ends_chain(t: Bench) -> None:
    """Half a REFUSE, GET RESPONSE, the other half: 6700."""
    half = "10" + "00" * 16
    word(t.raw("90360000" + half), SW.OK, of="a piece of REFUSE")
    word(t.raw(_GET_RESPONSE + "00"), Refused.WRONG_STATE, of="GET RESPONSE")
    word(t.raw("80360000" + half), SW.WRONG_LENGTH, of="the other half of REFUSE")
