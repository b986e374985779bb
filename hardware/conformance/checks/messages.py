"""ECNY-MSG: the encoding of messages, and signatures in all their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from hardware.commands import Collect, Pay, PayVerified, Refuse, StoreData
from hardware.conformance.bench import Bench, expect, same
from hardware.conformance.checks.pay import verified
from hardware.conformance.lab import grant_for, order_for, receipt_for, refusal_for
from hardware.conformance.requirements import APDU, CDDL, TRANSFER, Nonconformity, requirement, untestable
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, MakeReport, Reverse, TakeGrant
from hardware.instructions import Command, Store, signed_size
from wallet_core.errors import BadSignatureError, Refused
from wallet_core.keys import PublicKey
from wallet_core.messages import Receipt, Refusal, Report, Request, Signed, Voucher, parse
from wallet_core.messages.layout import FixedMessage

_ROUNDS: Final = 6  # signatures of each kind: that none of their 48 numbers has its high bit set happens once in 2^48
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # P-256, FIPS 186-5


def _messages(t: Bench) -> Iterator[tuple[type[FixedMessage], bytes]]:
    """One of each signed message that an active card makes."""
    yield Voucher, t.pay(10)
    request = t.ok(t.asking(20, t.lab.sam))
    yield Request, request
    yield Refusal, t.ok(Refuse(parse(Request, request).message.hash))
    yield Receipt, t.ok(Collect(*t.paid_by(t.lab.sam, 30)))
    yield Report, t.ok(MakeReport())


@requirement(
    "MSG-01", "Each message is a tagged COSE_Sign1 in its one deterministic encoding, of its fixed size.", CDDL, "sign1"
)
def canonical(t: Bench) -> None:
    """Voucher, Request, Receipt, Refusal and Report: size, tag, headers, payload against its template."""
    for kind, data in _messages(t):
        same(len(data), signed_size(kind), f"bytes of a {kind.__name__}")
        same(parse(kind, data).to_bytes(), data, f"encoding of a {kind.__name__}")


@requirement("MSG-02", "What a purse signs verifies with the key of its certificate.", CDDL, "sign1")
def signatures(t: Bench) -> None:
    """Six Vouchers, Requests, Refusals and Reports: 48 numbers r and s, some of them with the high bit set."""
    key = t.certificate().key
    for _ in range(_ROUNDS):
        _verify(parse(Voucher, t.pay(10)), key)
        request = parse(Request, t.ok(t.asking(20)))
        _verify(request, key)
        _verify(parse(Refusal, t.ok(Refuse(request.message.hash))), key)
        _verify(parse(Report, t.ok(MakeReport())), key)
        t.settle()


def _verify(signed: Signed[Any], key: PublicKey) -> None:
    try:
        signed.verify(key)
    except BadSignatureError as wrong:
        name = type(signed.message).__name__
        raise Nonconformity(f"the signature {signed.signature.hex()} of a {name} does not verify") from wrong


def _changed(t: Bench) -> Iterator[tuple[str, bytes, Callable[[bytes], Command]]]:
    """Every signed message that a card takes, and the command that brings it."""
    lab = t.lab
    voucher = t.pay(10)
    signed, payee, operator = verified(t.question(5), lab.sam)
    yield "Request", signed, lambda data: PayVerified(data, payee, operator)
    paid, payer, _ = t.paid_by(lab.sam, 20)
    yield "Voucher", paid, lambda data: Collect(data, payer, operator)
    yield "Receipt", receipt_for(voucher, lab.sam)[0], lambda data: Acknowledge(data, payee, operator)
    yield "Refusal", refusal_for(voucher, lab.sam)[0], lambda data: AcknowledgeRefusal(data, payee, operator)
    yield "ReversalOrder", order_for(voucher, lab.operator), Reverse
    yield "Grant", grant_for(t.report(), lab.operator), TakeGrant
    policy = lab.policy(t.certificate().subject_class, version=2**31)
    yield "Policy", lab.operator.sign(policy), lambda data: StoreData(Store.POLICY, data)


@requirement("MSG-03", "Any other encoding of an envelope is refused: 6A80.", CDDL, "sign1")
def other_envelope(t: Bench) -> None:
    """Of each message that a card takes: tag, array, both headers and the heads of payload and signature changed."""
    for name, data, command in _changed(t):
        heads = (0, 1, 2, 3, 5, 6, 7, len(data) - 66, len(data) - 65)
        for place in heads:
            changed = data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]
            response = t.do(command(changed))
            expect(response.sw == Refused.MALFORMED, f"{name} with byte {place} changed: {response.sw:04X}, not 6A80")


@requirement("MSG-04", "A certificate in any other encoding is refused: 6A80.", CDDL, "certificate")
def other_certificate(t: Bench) -> None:
    """The payer's certificate at COLLECT: alg, typ, label and head of a claim, class 6, test mark 2."""
    voucher, certificate, operator = t.paid_by(t.lab.sam, 20)
    claims = 2 + 2 + 41 + 1 + 2
    for place, value in (
        (6, 0x27),
        (44, 0x3C),
        (claims + 1, 5),
        (claims + 2, 0x1B),
        (claims + 96, 6),
        (claims + 102, 2),
    ):
        changed = certificate[:place] + bytes((value,)) + certificate[place + 1 :]
        expect(changed != certificate, "the check changes nothing")
        response = t.do(Collect(voucher, changed, operator))
        expect(response.sw == Refused.MALFORMED, f"certificate with byte {place} changed: {response.sw:04X}, not 6A80")


@requirement("MSG-05", "A signature is two numbers of 32 bytes, whatever they begin with.", CDDL, "sign1")
def shapes_of_signatures(t: Bench) -> None:
    """Receipts whose r, then s, begins with a zero byte, and with a high bit: each moves its slot."""
    low, high, middle = range(1), range(0x80, 0x100), range(0x01, 0x80)
    anything = range(0x100)
    for first_r, first_s in ((low, anything), (anything, low), (high, high), (middle, middle)):
        voucher = t.pay(1)
        papers = next(
            found
            for found in (receipt_for(voucher, t.lab.sam, total_out=number) for number in range(100_000))
            if found[0][-64] in first_r and found[0][-32] in first_s
        )
        t.ok_plain(Acknowledge(*papers))


@requirement(
    "MSG-06", "A signature whose r or s is 0 or not below the order of the curve is none: 69EA.", CDDL, "sign1"
)
def no_signature(t: Bench) -> None:
    """A Receipt with r or s of 0, of n, and of all ones."""
    told, payee, operator = receipt_for(t.pay(1), t.lab.sam)
    for wrong in (bytes(32), _ORDER.to_bytes(32, "big"), b"\xff" * 32):
        t.refused(Acknowledge(told[:-64] + wrong + told[-32:], payee, operator), Refused.SIGNATURE)
        t.refused(Acknowledge(told[:-32] + wrong, payee, operator), Refused.SIGNATURE)


@requirement("MSG-07", "H(x) is taken over the Sig_structure, never over a signature.", TRANSFER, "Rules")
def hash_of_a_message(t: Bench) -> None:
    """One Request paid unsigned, then sent signed by its payee: the same slot, the same Voucher."""
    request = t.question(10)
    first = parse(Voucher, t.ok(Pay(request.to_payload()))).message
    signed = parse(Voucher, t.ok(PayVerified(*verified(replace(request), t.lab.sam)))).message
    same((signed.n, signed.request_hash), (first.n, first.request_hash), "n and H(Request) of the second answer")


untestable(
    "MSG-08",
    "The private key is made by the card, and no command returns it.",
    APDU,
    "STORE DATA",
    "That nothing returns it cannot be shown by asking; ECNY-ISO-11 shows that other instructions are not known.",
)
untestable(
    "MSG-09",
    "The nonce of the audit block and the challenge of the channel are unpredictable.",
    CDDL,
    "voucher-payload",
    "Unpredictability cannot be seen from samples. That challenges differ, ECNY-SCP-02 shows.",
)
