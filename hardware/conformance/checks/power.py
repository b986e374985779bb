"""ECNY-ATM: commit before answer. The power goes as soon as the answer is there; what it said must be so."""

from __future__ import annotations

from typing import Final

from hardware.apdu import CommandApdu
from hardware.commands import Collect, GetData, Pay, Refuse, StoreData
from hardware.conformance.bench import Bench, expect, same, word
from hardware.conformance.lab import grant_for, order_for, receipt_for, refusal_for
from hardware.conformance.requirements import APDU, TRANSFER, requirement, untestable
from hardware.data_objects import Tag
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, Reverse, TakeGrant
from hardware.exchange import CHAINING_BIT
from hardware.instructions import Store
from hardware.status_words import SW
from wallet_core.messages import Request, parse
from wallet_core.purse.state import EntryState, SlotState

_RULES: Final = "Rules"
_RECOVERY: Final = "Recovery"


@requirement("ATM-01", "PAY is durable before it is answered.", TRANSFER, _RULES)
def pay(t: Bench) -> None:
    """The power goes at the answer of PAY: totals show the debit, the slot is PENDING."""
    before = t.totals()
    t.ok(Pay(t.question(640).to_payload()))
    t.tap()
    after = t.totals()
    same((after.total_out, after.next_n), (before.total_out + 640, before.next_n + 1), "total out and n")
    same([(one.n, one.state) for one in t.slots() if one.state], [(before.next_n, SlotState.PENDING)], "slots")


@requirement("ATM-02", "REQUEST is durable before it is answered.", TRANSFER, _RULES)
def request(t: Bench) -> None:
    """The power goes at the answer of REQUEST: its entry is OPEN."""
    k = t.totals().next_k
    t.ok(t.asking(640))
    t.tap()
    same((t.totals().next_k, t.entry_states()), (k + 1, {k: EntryState.OPEN}), "next k and entries")


@requirement("ATM-03", "COLLECT is durable before it is answered.", TRANSFER, _RULES)
def collect(t: Bench) -> None:
    """The power goes at the answer of COLLECT: total in has grown, the entry is COLLECTED."""
    papers, before = t.paid_by(t.lab.sam, 640), t.totals()
    t.ok(Collect(*papers))
    t.tap()
    found = (t.totals().total_in, t.entry_states())
    same(found, (before.total_in + 640, {before.next_k - 1: EntryState.COLLECTED}), "total in and entries")


@requirement("ATM-04", "REFUSE is durable before it is answered.", TRANSFER, _RULES)
def refuse(t: Bench) -> None:
    """The power goes at the answer of REFUSE: the entry is REFUSED."""
    asked = parse(Request, t.ok(t.asking(640))).message
    t.ok(Refuse(asked.hash))
    t.tap()
    same(t.entry_states(), {asked.k: EntryState.REFUSED}, "entries")


@requirement("ATM-05", "ACKNOWLEDGE and REVERSE are durable before they are answered.", TRANSFER, _RULES)
def outcomes(t: Bench) -> None:
    """The power goes at the answer to Receipt, Refusal and order: each slot has its outcome."""
    wanted = []
    for payee, state in (
        (t.lab.sam, SlotState.COLLECTED),
        (t.lab.sam, SlotState.REVERSED),
        (t.lab.till, SlotState.REVERSED),
    ):
        voucher = t.pay(10, payee)
        if state is SlotState.COLLECTED:
            t.ok_plain(Acknowledge(*receipt_for(voucher, payee)))
        elif payee is t.lab.sam:
            t.ok_plain(AcknowledgeRefusal(*refusal_for(voucher, payee)))
        else:
            t.ok_plain(Reverse(order_for(voucher, t.lab.operator)))
        t.tap()
        wanted.append(int(state))
        same([line.state for line in t.report().slot_lines], wanted, "states of the slots")


@requirement("ATM-06", "GRANT is durable before it is answered.", TRANSFER, _RULES)
def grant(t: Bench) -> None:
    """The power goes at the answer of GRANT: totals are acknowledged, slots and entries free."""
    t.pay(640)
    t.load(20)
    t.ok_plain(TakeGrant(grant_for(t.report(), t.lab.operator)))
    t.tap()
    now, report = t.totals(), t.report()
    found = (now.out_acked, now.n_acked, report.slot_lines, report.entry_lines)
    same(found, (now.total_out, now.next_n, (), ()), "what is acknowledged, slots, entries")


@requirement("ATM-07", "STORE DATA of a policy is durable before it is answered.", TRANSFER, _RULES)
def policy(t: Bench) -> None:
    """The power goes at the answer: DF01 is the new policy."""
    version = t.fci().policy_version + 1
    signed = t.lab.operator.sign(t.lab.policy(t.certificate().subject_class, version=version))
    t.ok_plain(StoreData(Store.POLICY, signed))
    t.tap()
    same(t.ok(GetData(Tag.POLICY)), signed, "DF01")


@requirement(
    "ATM-08",
    "A command whose last piece did not come has done nothing, and is forgotten with the power.",
    TRANSFER,
    _RECOVERY,
)
def torn_chain(t: Bench) -> None:
    """COLLECT without its last piece, power off and on; the last piece alone is refused and nothing is credited."""
    command, before = Collect(*t.paid_by(t.lab.sam, 640)).to_apdu(), t.totals()
    cut = 255
    pieces = [command.data[at : at + cut] for at in range(0, len(command.data), cut)]
    for piece in pieces[:-1]:
        first = CommandApdu(command.cla | CHAINING_BIT, command.ins, 0, 0, piece)
        word(t.apdu(first), SW.OK, of="a piece of the chain")
    t.tap()
    last = t.apdu(CommandApdu(command.cla, command.ins, 0, 0, pieces[-1], 256))
    expect(last.sw != SW.OK and last.sw1 != 0x61, "the last piece alone was taken for the command")
    same(t.totals(), before, "totals")


@requirement("ATM-09", "Power-up keeps everything that was committed.", TRANSFER, _RULES)
def power_up(t: Bench) -> None:
    """Slots and entries in every state, three power-ups: all that can be seen stays as it was."""
    collected, refused = t.pay(10), t.pay(20)
    t.pay(30, t.lab.till)
    t.ok_plain(Acknowledge(*receipt_for(collected, t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(refused, t.lab.sam)))
    t.load(5)
    t.ok(t.asking(6))
    before = t.picture()
    for _ in range(3):
        t.tap()
        same(t.picture(), before, "what can be seen of the memory")


untestable(
    "ATM-10",
    "A cut at any cell write, and another during recovery, leaves exactly the state before or after.",
    TRANSFER,
    "Invariants",
    "A reader cannot take the power in the middle of a command; the runtimes of emulator and applet can.",
)
untestable(
    "ATM-11",
    "The object in force is never written over: each has two banks.",
    APDU,
    "STORE DATA",
    "Shown only by a cut in the middle of STORE DATA, which no reader makes; the emulator's tests do.",
)
untestable(
    "ATM-12",
    "The state of a secure element is never restored from a copy.",
    TRANSFER,
    _RULES,
    "There is no command that would restore anything; a copied chip is what the operator's fraud detection is for.",
)
