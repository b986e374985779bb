"""ECNY-POL: a new policy on an active card, without a channel: its signature and its rising version are enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hardware.commands import GetData, Pay, StoreData
from hardware.conformance.bench import Bench, expect, same
from hardware.conformance.requirements import APDU, CDDL, requirement
from hardware.data_objects import Tag
from hardware.instructions import Store
from wallet_core.certificates import CertificateClass
from wallet_core.errors import Refused
from wallet_core.messages import Policy, parse

_STORE: Final = "STORE DATA"


def _next(t: Bench) -> Policy:
    """The open policy under the version after the one in force."""
    now = parse(Policy, t.ok(GetData(Tag.POLICY))).message
    return t.lab.policy(t.certificate().subject_class, version=now.version + 1)


@requirement(
    "POL-01", "A policy is accepted without a secure channel once active, and is in force at once.", APDU, _STORE
)
def accepted(t: Bench) -> None:
    """A policy that lets nothing be paid: the next PAY is 69E3; then an open one, and the PAY is done."""
    closed = replace(_next(t), transfer_limit=0)
    t.ok_plain(StoreData(Store.POLICY, t.lab.operator.sign(closed)))
    t.refused(Pay(t.question(1).to_payload()), Refused.TRANSFER_LIMIT)
    t.ok_plain(StoreData(Store.POLICY, t.lab.operator.sign(_next(t))))
    t.ok(Pay(t.question(1).to_payload()))


@requirement("POL-02", "The same bytes again change nothing.", APDU, _STORE)
def again(t: Bench) -> None:
    """The policy in force once more: 9000, and all that can be seen stays."""
    signed = t.ok(GetData(Tag.POLICY))
    before = t.picture()
    t.ok_plain(StoreData(Store.POLICY, signed))
    same(t.picture(), before, "what can be seen of the memory")


@requirement("POL-03", "The version must rise: 6985.", APDU, _STORE)
def version_rises(t: Bench) -> None:
    """Another policy under the version in force, and the one before it, rightly signed."""
    older = t.policy(transfer_limit=1)
    now = t.policy(transfer_limit=2)
    for policy in (replace(now, transfer_limit=3), older, replace(now, version=0)):
        t.refused(StoreData(Store.POLICY, t.lab.operator.sign(policy)), Refused.WRONG_STATE)
    expect(parse(Policy, t.ok(GetData(Tag.POLICY))).message == now, "another policy is in force")


@requirement("POL-04", "A policy whose signature is not the operator's is 69EA.", APDU, _STORE)
def signature(t: Bench) -> None:
    """The next policy, signed by another operator in this one's name, and with a bit of its signature changed."""
    policy = _next(t)
    right = t.lab.operator.sign(policy)
    t.refused(StoreData(Store.POLICY, t.lab.second_operator.sign(policy)), Refused.SIGNATURE)
    t.refused(StoreData(Store.POLICY, right[:-1] + bytes((right[-1] ^ 1,))), Refused.SIGNATURE)


@requirement("POL-05", "A policy of another operator or for another class of purse is 69EC.", CDDL, "policy-payload")
def whose(t: Bench) -> None:
    """The next policy of another operator, and for tills."""
    policy, other = _next(t), t.lab.second_operator
    t.refused(StoreData(Store.POLICY, other.sign(replace(policy, operator=other.id))), Refused.WRONG_PURSE)
    tills = replace(policy, purse_class=CertificateClass.TILL)
    t.refused(StoreData(Store.POLICY, t.lab.operator.sign(tills)), Refused.WRONG_PURSE)


@requirement(
    "POL-06", "A policy with a mode that does not exist, or in another encoding, is 6A80.", CDDL, "policy-payload"
)
def malformed(t: Bench) -> None:
    """The next policy with mode 0, mode 3, least suite 0, and a limit of 54 bits, each rightly signed but for that."""
    signed = t.lab.operator.sign(_next(t))
    head = len(signed) - 66 - Policy.layout().size
    where = {slot.name: head + slot.start for slot in Policy.layout().slots}
    for name, value in (("mode", 0), ("mode", 3), ("least_suite", 0), ("balance_limit", 1), ("purse_class", 6)):
        place = where[name]
        t.refused(StoreData(Store.POLICY, signed[:place] + bytes((value,)) + signed[place + 1 :]), Refused.MALFORMED)


@requirement("POL-07", "Of a policy 69EC comes before 69EA, and both before 6985.", APDU, _STORE)
def order(t: Bench) -> None:
    """Another operator's, forged and old; forged and old."""
    now, other = t.policy(), t.lab.second_operator
    old = replace(now, transfer_limit=1)
    elsewhere = t.lab.operator.sign(replace(old, operator=other.id))
    t.refused(StoreData(Store.POLICY, elsewhere), Refused.WRONG_PURSE)
    t.refused(StoreData(Store.POLICY, other.sign(old)), Refused.SIGNATURE)
