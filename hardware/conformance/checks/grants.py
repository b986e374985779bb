"""ECNY-REP and ECNY-GRA: what a purse tells its operator, and what the operator's answer does."""

from __future__ import annotations

from typing import Final

from hardware.commands import Collect, GetData, Pay, Refuse
from hardware.conformance.bench import Bench, same
from hardware.conformance.lab import grant_for, receipt_for, refusal_for
from hardware.conformance.requirements import APDU, CDDL, STATUSES, TRANSFER, requirement
from hardware.data_objects import Tag
from hardware.ending_commands import Acknowledge, AcknowledgeRefusal, TakeGrant
from wallet_core.errors import Refused
from wallet_core.messages import Policy, Request, Voucher, parse
from wallet_core.messages.ending import EntryLine, SlotLine, pack_closed
from wallet_core.purse.state import EntryState, SlotState

_CLAUSE: Final = "ACKNOWLEDGE, REVERSE, REPORT, GRANT"
_RULES: Final = "Rules"


@requirement("REP-01", "A REPORT shows totals, counters, policy version and life cycle.", CDDL, "report-payload")
def figures(t: Bench) -> None:
    """Every number of a REPORT against DF02, DF01 and the certificate."""
    t.pay(100)
    report, now, own = t.report(), t.totals(), t.certificate()
    for name in ("total_in", "total_out", "total_reversed", "out_acked", "in_acked", "next_n", "next_k"):
        same(getattr(report, name), getattr(now, name), name)
    version = parse(Policy, t.ok(GetData(Tag.POLICY))).message.version
    found = (report.purse, report.epoch, report.policy_version, report.lifecycle)
    same(found, (own.subject, own.epoch, version, 2), "purse, epoch, policy version, life cycle")


@requirement("REP-02", "A REPORT has a line for each slot that is not free, by n, then zeros.", CDDL, "report-payload")
def slot_lines(t: Bench) -> None:
    """Three payments, one acknowledged and one refused: states and H(Voucher) of all three."""
    vouchers = [t.pay(10), t.pay(20), t.pay(30)]
    t.ok_plain(Acknowledge(*receipt_for(vouchers[1], t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(vouchers[2], t.lab.sam)))
    paid = [parse(Voucher, voucher) for voucher in vouchers]
    states = (SlotState.PENDING, SlotState.COLLECTED, SlotState.REVERSED)
    wanted = tuple(SlotLine(one.message.n, state, one.hash) for one, state in zip(paid, states, strict=True))
    report = t.report()
    same(report.slot_lines, wanted, "lines of slots")
    same(report.slots[3 * 37 :], bytes(13 * 37), "what follows them")


@requirement("REP-03", "A REPORT has a line for each entry that is not free, by k, then zeros.", CDDL, "report-payload")
def entry_lines(t: Bench) -> None:
    """An open, a collected and a refused Request: H(Voucher) of the collected one, H(Request) of the others."""
    opened = parse(Request, t.ok(t.asking(10))).message
    papers = t.paid_by(t.lab.sam, 20)
    t.ok(Collect(*papers))
    refused = parse(Request, t.ok(t.asking(30))).message
    t.ok(Refuse(refused.hash))
    wanted = (
        EntryLine(opened.k, EntryState.OPEN, opened.hash),
        EntryLine(opened.k + 1, EntryState.COLLECTED, parse(Voucher, papers[0]).hash),
        EntryLine(opened.k + 2, EntryState.REFUSED, refused.hash),
    )
    report = t.report()
    same(report.entry_lines, wanted, "lines of entries")
    same(report.entries[3 * 37 :], bytes(5 * 37), "what follows them")


@requirement("REP-04", "REPORT commits nothing.", APDU, _CLAUSE)
def changes_nothing(t: Bench) -> None:
    """With a slot and an entry taken: what can be seen before and after two REPORTs."""
    t.pay(10)
    t.ok(t.asking(20))
    before = t.picture()
    same(t.report().hash, t.report().hash, "H of two REPORTs")
    same(t.picture(), before, "what can be seen of the memory")


@requirement("GRA-01", "A grant acknowledges: totals and n_acked become what it says.", APDU, _CLAUSE)
def acknowledges(t: Bench) -> None:
    """300 and 200 fen paid, a grant for the first 300 and its counter."""
    before = t.totals()
    t.pay(300)
    t.pay(200)
    grant = grant_for(t.report(), t.lab.operator, out_acked=before.total_out + 300, n_acked=before.next_n + 1)
    t.ok_plain(TakeGrant(grant))
    now = t.totals()
    same((now.out_acked, now.n_acked), (before.total_out + 300, before.next_n + 1), "out_acked and n_acked")
    same((now.total_out, now.total_in), (before.total_out + 500, before.total_in), "the purse's own totals")


@requirement("GRA-02", "Acknowledged totals are the maximum of old and new: an old grant is harmless.", APDU, _CLAUSE)
def old_grant(t: Bench) -> None:
    """A grant, a payment, a newer grant, then the first one again."""
    t.pay(300)
    first = grant_for(t.report(), t.lab.operator)
    t.ok_plain(TakeGrant(first))
    t.pay(200)
    t.settle()
    after = t.totals()
    t.ok_plain(TakeGrant(first))
    same(t.totals(), after, "totals")


@requirement("GRA-03", "Acknowledged totals are never more than the purse's own.", APDU, _CLAUSE)
def never_more(t: Bench) -> None:
    """A grant that acknowledges a million fen and a thousand payments too many."""
    t.pay(300)
    report = t.report()
    grant = grant_for(
        report,
        t.lab.operator,
        out_acked=report.total_out + 1_000_000,
        in_acked=report.total_in + 1_000_000,
        n_acked=report.next_n + 1_000,
    )
    t.ok_plain(TakeGrant(grant))
    now = t.totals()
    same((now.out_acked, now.in_acked, now.n_acked), (now.total_out, now.total_in, now.next_n), "what is acknowledged")


@requirement("GRA-04", "A final slot becomes free if its state is the outcome named for its n.", APDU, _CLAUSE)
def frees_final(t: Bench) -> None:
    """A collected and a reversed slot, both named rightly: both free, the policy's count begins anew."""
    collected, refused = t.pay(10), t.pay(20)
    t.ok_plain(Acknowledge(*receipt_for(collected, t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(refused, t.lab.sam)))
    t.ok_plain(TakeGrant(grant_for(t.report(), t.lab.operator)))
    same(t.report().slot_lines, (), "slots that are not free")


@requirement("GRA-05", "A final slot whose state is not the outcome named stays.", APDU, _CLAUSE)
def other_outcome(t: Bench) -> None:
    """A collected slot named as reversed, a reversed one named as collected."""
    collected, refused = t.pay(10), t.pay(20)
    t.ok_plain(Acknowledge(*receipt_for(collected, t.lab.sam)))
    t.ok_plain(AcknowledgeRefusal(*refusal_for(refused, t.lab.sam)))
    report = t.report()
    crossed = [(line.n, 5 - line.state) for line in report.slot_lines]
    t.ok_plain(TakeGrant(grant_for(report, t.lab.operator, crossed)))
    same(t.report().slot_lines, report.slot_lines, "slots")


@requirement("GRA-06", "A PENDING slot becomes free if the outcome is collected.", APDU, _CLAUSE)
def frees_pending(t: Bench) -> None:
    """Two payments, the second named as collected: the first stays PENDING."""
    first, second = (parse(Voucher, t.pay(amount)).message.n for amount in (10, 20))
    report = t.report()
    t.ok_plain(TakeGrant(grant_for(report, t.lab.operator, [(second, SlotState.COLLECTED)])))
    same([(one.n, one.state) for one in t.report().slot_lines], [(first, SlotState.PENDING)], "slots")


@requirement("GRA-07", "A PENDING slot without that outcome stays.", APDU, _CLAUSE)
def pending_stays(t: Bench) -> None:
    """Two payments: one is not named, one is named as reversed."""
    t.pay(10)
    second = parse(Voucher, t.pay(20)).message.n
    report = t.report()
    t.ok_plain(TakeGrant(grant_for(report, t.lab.operator, [(second, SlotState.REVERSED)])))
    same(t.report().slot_lines, report.slot_lines, "slots")


@requirement("GRA-08", "A final entry becomes free if its k is listed; one that is not listed stays.", APDU, _CLAUSE)
def frees_entries(t: Bench) -> None:
    """A collected and two refused Requests; the first two are listed."""
    t.ok(Collect(*t.paid_by(t.lab.sam, 10)))
    for amount in (20, 30):
        t.ok(Refuse(parse(Request, t.ok(t.asking(amount))).message.hash))
    report = t.report()
    listed = sorted(line.k for line in report.entry_lines)
    t.ok_plain(TakeGrant(grant_for(report, t.lab.operator, closed=pack_closed(listed[:2]))))
    same(t.entry_states(), {listed[2]: EntryState.REFUSED}, "entries")


@requirement("GRA-09", "An OPEN entry stays, listed or not.", APDU, _CLAUSE)
def open_stays(t: Bench) -> None:
    """An open Request whose k the grant lists."""
    request = parse(Request, t.ok(t.asking(10))).message
    t.ok_plain(TakeGrant(grant_for(t.report(), t.lab.operator, closed=pack_closed([request.k]))))
    same(t.entry_states(), {request.k: EntryState.OPEN}, "entries")


@requirement(
    "GRA-10", "A purse whose policy is older than the grant wants answers 69F0 and changes nothing.", APDU, _CLAUSE
)
def old_policy(t: Bench) -> None:
    """A grant that wants the version after the one in force; then one that wants this version."""
    t.pay(10)
    version, report, before = t.policy().version, t.report(), t.totals()
    t.refused(TakeGrant(grant_for(report, t.lab.operator, policy_version=version + 1)), Refused.POLICY_OLD)
    same((t.totals(), t.report().slot_lines), (before, report.slot_lines), "totals and slots")
    t.ok_plain(TakeGrant(grant_for(report, t.lab.operator, policy_version=version)))


@requirement("GRA-11", "A grant is signed by the purse's own operator: 69EA.", APDU, _CLAUSE)
def operators_signature(t: Bench) -> None:
    """A grant of another operator, and one with a bit of its signature changed."""
    t.pay(10)
    report = t.report()
    right = grant_for(report, t.lab.operator)
    t.refused(TakeGrant(grant_for(report, t.lab.second_operator)), Refused.SIGNATURE)
    t.refused(TakeGrant(right[:-1] + bytes((right[-1] ^ 1,))), Refused.SIGNATURE)
    same(t.report().slot_lines, report.slot_lines, "slots")


@requirement("GRA-12", "A grant for another purse or epoch is 69EC.", STATUSES, "Reasons of a purse")
def which_purse(t: Bench) -> None:
    """The grant of this report, made out to another purse and to the next epoch."""
    report = t.report()
    t.refused(TakeGrant(grant_for(report, t.lab.operator, purse=t.lab.card.id)), Refused.WRONG_PURSE)
    t.refused(TakeGrant(grant_for(report, t.lab.operator, epoch=report.epoch + 1)), Refused.WRONG_PURSE)


@requirement("GRA-13", "After a grant the limits count anew.", TRANSFER, "One kind of movement")
def counts_anew(t: Bench) -> None:
    """Limits of 500 fen and one payment are used up; after the grant 500 fen are paid."""
    t.policy(offline_total=500, offline_count=1)
    t.ok(Pay(t.question(500).to_payload()))
    t.settle()
    t.ok(Pay(t.question(500).to_payload()))


@requirement("GRA-14", "The same grant again changes nothing.", TRANSFER, "Endings")
def again(t: Bench) -> None:
    """A grant twice, between them a payment at the next counter: its slot stays PENDING."""
    t.pay(10)
    grant = grant_for(t.report(), t.lab.operator)
    t.ok_plain(TakeGrant(grant))
    t.pay(20)
    before = (t.totals(), t.report().slot_lines)
    t.ok_plain(TakeGrant(grant))
    same((t.totals(), t.report().slot_lines), before, "totals and slots")


@requirement("GRA-15", "Where a grant names two outcomes for one n, the last one counts.", APDU, _CLAUSE)
def two_outcomes(t: Bench) -> None:
    """Two collected slots: reversed, then collected; collected, then reversed: the first is freed, the second stays."""
    vouchers = [t.pay(amount) for amount in (10, 20)]
    first, second = (parse(Voucher, voucher).message.n for voucher in vouchers)
    for voucher in vouchers:
        t.ok_plain(Acknowledge(*receipt_for(voucher, t.lab.sam)))
    reversed_, collected = int(SlotState.REVERSED), int(SlotState.COLLECTED)
    outcomes = [(first, reversed_), (first, collected), (second, collected), (second, reversed_)]
    t.ok_plain(TakeGrant(grant_for(t.report(), t.lab.operator, outcomes)))
    same([line.n for line in t.report().slot_lines], [second], "slots that are not free")
