"""ECNY-PIN: VERIFY and what a verification is good for."""

from __future__ import annotations

from typing import Final

from hardware.commands import Pay, Verify
from hardware.conformance.bench import Bench, expect, same, word
from hardware.conformance.lab import PIN, WRONG_PIN
from hardware.conformance.requirements import APDU, TRANSFER, requirement, untestable
from hardware.pin import pin_block
from hardware.status_words import SW, tries_left
from wallet_core.errors import Refused
from wallet_core.purse.state import PIN_TRIES

_VERIFY: Final = "VERIFY"
_RULES: Final = "Rules"


@requirement("PIN-01", "VERIFY with the right PIN is 9000.", APDU, _VERIFY)
def right_pin(t: Bench) -> None:
    """The PIN that personalisation stored, twice."""
    word(t.verify(), SW.OK, of="VERIFY")
    word(t.verify(), SW.OK, of="VERIFY again")


@requirement("PIN-02", "A wrong PIN is 63Cx: one try less, x tries left.", APDU, _VERIFY)
def wrong_pin(t: Bench) -> None:
    """One wrong PIN: 63C2."""
    word(t.verify(WRONG_PIN), 0x63C0 | (PIN_TRIES - 1), of="VERIFY with a wrong PIN")


@requirement("PIN-03", "The try is used up durably before the comparison.", APDU, _VERIFY)
def try_is_durable(t: Bench) -> None:
    """A wrong PIN, the power goes, another wrong PIN: 63C2, then 63C1."""
    first = tries_left(t.verify(WRONG_PIN).sw)
    t.tap()
    second = tries_left(t.verify(WRONG_PIN).sw)
    expect(first is not None and second == first - 1, f"{first} tries left, after power-up and another {second}")


@requirement("PIN-04", "The right PIN restores the counter, durably.", APDU, _VERIFY)
def restores(t: Bench) -> None:
    """A wrong PIN, the right one, the power goes: the next wrong PIN is 63C2 again."""
    t.verify(WRONG_PIN)
    word(t.verify(), SW.OK, of="VERIFY")
    t.tap()
    word(t.verify(WRONG_PIN), 0x63C0 | (PIN_TRIES - 1), of="VERIFY with a wrong PIN")


@requirement("PIN-05", "A block that is not of format 2 with 4 to 12 digits is 6A80 and uses up no try.", APDU, _VERIFY)
def no_pin_block(t: Bench) -> None:
    """Format 1, three digits, thirteen digits, a letter as digit, a filler that is not F; C7 is 3 after each."""
    right = pin_block(PIN)
    for block in (
        b"\x16" + right[1:],
        bytes.fromhex("23123FFFFFFFFFFF"),
        bytes.fromhex("2D12345678901234"),
        bytes.fromhex("2412A4FFFFFFFFFF"),
        right[:-1] + b"\x0f",
    ):
        t.refused(Verify(block), Refused.MALFORMED)
        same(t.fci().pin_tries, PIN_TRIES, "tries left")


@requirement("PIN-06", "One PAY per verification.", APDU, _VERIFY)
def one_pay(t: Bench) -> None:
    """Above a PIN threshold of 100 fen: VERIFY, PAY is done, the next PAY is 6982."""
    t.policy(pin_threshold=100)
    word(t.verify(), SW.OK, of="VERIFY")
    t.ok(Pay(t.question(101).to_payload()))
    t.refused(Pay(t.question(101).to_payload()), Refused.PIN_REQUIRED)


@requirement("PIN-07", "The verification ends with the power.", APDU, _VERIFY)
def ends_with_power(t: Bench) -> None:
    """VERIFY, power off and on: PAY above the threshold is 6982."""
    t.policy(pin_threshold=100)
    word(t.verify(), SW.OK, of="VERIFY")
    t.tap()
    t.refused(Pay(t.question(101).to_payload()), Refused.PIN_REQUIRED)


@requirement(
    "PIN-08", "The limit on what is paid without PIN counts from the last verified one.", "messages.cddl", "policy"
)
def counts_anew(t: Bench) -> None:
    """100 of 100 fen paid without PIN, VERIFY, power off and on: 100 more are paid."""
    word(t.verify(), SW.OK, of="VERIFY")
    t.tap()
    t.policy(unverified_total=100)
    t.ok(Pay(t.question(100).to_payload()))
    word(t.verify(), SW.OK, of="VERIFY")
    t.tap()
    t.ok(Pay(t.question(100).to_payload()))


@requirement("PIN-09", "What is paid with a verified PIN does not count as paid without.", "messages.cddl", "policy")
def verified_does_not_count(t: Bench) -> None:
    """VERIFY and a payment of 5,000 fen: the sum *unverified* of DF02 is as before the payment."""
    word(t.verify(), SW.OK, of="VERIFY")
    before = t.totals().unverified
    t.pay(5_000)
    same(t.totals().unverified, before, "unverified")


untestable(
    "PIN-10",
    "The PIN is compared in constant time.",
    APDU,
    _VERIFY,
    "A reader's timing is too coarse to tell; it is a matter for the review of the card's code.",
)
untestable(
    "PIN-11",
    "A power cut between the decrement and the comparison leaves one try less.",
    TRANSFER,
    _RULES,
    "A reader cannot take the power in the middle of a command; the runtimes of emulator and applet can, and do.",
)


@requirement("PIN-12", "Each VERIFY ends the verification before it, refused or not.", APDU, _VERIFY)
def ends_the_one_before(t: Bench) -> None:
    """The right PIN, then a wrong one; the right PIN, then no PIN block: PAY above the threshold is 6982."""
    t.policy(pin_threshold=100)
    for refused in (pin_block(WRONG_PIN), bytes(8)):
        word(t.verify(), SW.OK, of="VERIFY")
        expect(t.do(Verify(refused)).sw != SW.OK, "VERIFY was not refused")
        t.refused(Pay(t.question(101).to_payload()), Refused.PIN_REQUIRED)
