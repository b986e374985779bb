"""What a purse decides, as vectors (purse.json): state and command in; refusal, or message and state after it.

`given` is all that a decision depends on. Certificates are not in it: `certificates` says what looking at them would
find (`good`, CERTIFICATE or SIGNATURE), because *when* they are looked at is the point here, and how is chains.json's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from support.keys import CARD
from support.purses import seal
from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.messages import Grant, Policy, Receipt, Refusal, Request, ReversalOrder, Signed, Voucher
from wallet_core.purse import control, receive, settle, spend
from wallet_core.purse.state import SLOT_COUNT, TABLE_SIZE, Entry, EntryState, Lifecycle, PurseState, Slot, SlotState
from wallet_core.suites import Suite

Json = dict[str, Any]
TYPES = {
    "request": Request,
    "voucher": Voucher,
    "receipt": Receipt,
    "refusal": Refusal,
    "order": ReversalOrder,
    "grant": Grant,
}
_NUMBERS = [field.name for field in fields(PurseState) if field.name not in ("lifecycle", "slots", "table")]


# Between the JSON and wallet_core


def _hex(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else None if value is None else int(value)


def shown(message: Any) -> Json:
    return {field.name: _hex(getattr(message, field.name)) for field in fields(message)}


def _message(kind: type[Any], told: Json) -> Any:
    values = {name: bytes.fromhex(value) if isinstance(value, str) else value for name, value in told.items()}
    return kind(**{**values, "suite": Suite(told["suite"])})


def state_shown(state: PurseState) -> Json:
    """What is not free, in the order of its place; signed bytes are left out, their hashes say which."""
    slots = [
        {name: _hex(getattr(slot, name)) for name in ("state", "n", "request_hash", "payee", "amount", "voucher_hash")}
        for slot in state.slots
        if slot.state is not SlotState.FREE
    ]
    names = ("state", "k", "amount", "request_hash", "voucher_hash", "payer_class")
    table = [
        {name: _hex(getattr(entry, name)) for name in names}
        for entry in state.table
        if entry.state is not EntryState.FREE
    ]
    numbers = {name: getattr(state, name) for name in _NUMBERS}
    return {"lifecycle": int(state.lifecycle), **numbers, "slots": slots, "table": table}


def state_read(told: Json, requests: Json) -> PurseState:
    """The inverse; an entry's signed Request is made again from `requests`, by its hash."""
    slots = [_slot(one) for one in told["slots"]]
    table = [_entry(one, requests) for one in told["table"]]
    return PurseState(
        lifecycle=Lifecycle(told["lifecycle"]),
        **{name: told[name] for name in _NUMBERS},
        slots=(*slots, *[Slot()] * (SLOT_COUNT - len(slots))),
        table=(*table, *[Entry()] * (TABLE_SIZE - len(table))),
    )


def _slot(told: Json) -> Slot:
    octets = {name: bytes.fromhex(told[name]) for name in ("request_hash", "payee", "voucher_hash")}
    voucher = b"stored %d" % told["n"]
    return Slot(state=SlotState(told["state"]), n=told["n"], amount=told["amount"], voucher=voucher, **octets)


def _entry(told: Json, requests: Json) -> Entry:
    request = requests.get(told["request_hash"])
    signed = Signed(_message(Request, request), bytes(64)).to_bytes() if request else b"stored request %d" % told["k"]
    return Entry(
        state=EntryState(told["state"]),
        k=told["k"],
        amount=told["amount"],
        request_hash=bytes.fromhex(told["request_hash"]),
        request=signed,
        voucher_hash=bytes.fromhex(told["voucher_hash"]),
        answer=b"stored answer %d" % told["k"],
        payer_class=None if told["payer_class"] is None else CertificateClass(told["payer_class"]),
    )


# One decision


def decide(command: str, before: Json, given: Json) -> Json:
    """`refused`, or what is answered and the state after it. Refusals leave the state as it was."""
    state = state_read(before, given.get("requests", {}))
    try:
        return _DECIDE[command](state, given)
    except PurseRefusal as refusal:
        return {"refused": refusal.reason.name}


def _verify(given: Json) -> Callable[[], None]:
    def look() -> None:
        if given["certificates"] != "good":
            raise PurseRefusal(Refused[given["certificates"]])

    return look


def _policy(given: Json) -> Policy:
    policy: Policy = _message(Policy, given["policy"])
    return policy


def _class(given: Json, name: str) -> CertificateClass | None:
    return None if given[name] is None else CertificateClass(given[name])


def _after(state: PurseState, **answer: Any) -> Json:
    return {**answer, "after": state_shown(state)}


def _pay(state: PurseState, given: Json) -> Json:
    payee_class = _class(given, "payee_class")
    decision = spend.pay(
        state,
        CARD.id,
        _policy(given),
        _message(Request, given["request"]),
        payee_class=payee_class,
        pin_verified=given["pin_verified"],
        seal=seal,
        verify_payee=None if payee_class is None else _verify(given),
    )
    if isinstance(decision, spend.Stored):
        return _after(state, stored=decision.voucher.decode())
    return _after(decision.commit(b""), voucher=decision.voucher.to_payload().hex())


def _request(state: PurseState, given: Json) -> Json:
    payer_class = _class(given, "payer_class")
    decision = receive.request(
        state,
        CARD.id,
        _policy(given),
        suite=Suite.ES256,
        payer=bytes.fromhex(given["payer"]),
        epoch=given["epoch"],
        n=given["n"],
        amount=given["amount"],
        order_hash=bytes.fromhex(given["order_hash"]),
        payer_class=payer_class,
        verify_payer=None if payer_class is None else _verify(given),
    )
    if isinstance(decision, receive.StoredAnswer):
        stored = next(entry.k for entry in state.table if entry.request == decision.answer)
        return _after(state, stored=f"stored request {stored}")
    return _after(decision.commit(b""), request=decision.request.to_payload().hex())


def _collect(state: PurseState, given: Json) -> Json:
    decision = receive.collect(
        state,
        CARD.id,
        _message(Voucher, given["voucher"]),
        own_class=CertificateClass(given["own_class"]),
        payer_class=CertificateClass(given["payer_class"]),
        verify_payer=_verify(given),
    )
    if isinstance(decision, receive.StoredAnswer):
        return _after(state, stored=decision.answer.decode())
    return _after(decision.commit(b""), receipt=decision.receipt.to_payload().hex())


def _refuse(state: PurseState, given: Json) -> Json:
    decision = receive.refuse(state, CARD.id, bytes.fromhex(given["request_hash"]), suite=Suite.ES256)
    if isinstance(decision, receive.StoredAnswer):
        return _after(state, stored=decision.answer.decode())
    return _after(decision.commit(b""), refusal=decision.refusal.to_payload().hex())


def _resend(state: PurseState, given: Json) -> Json:
    payee = bytes.fromhex(given["payee"]) if given["payee"] else None
    request_hash = bytes.fromhex(given["request_hash"]) if given["request_hash"] else None
    found = spend.resend(state, request_hash=request_hash, payee=payee)
    return _after(state, stored=", ".join(one.decode() for one in found))


def _acknowledge(state: PurseState, given: Json) -> Json:
    kind = "receipt" if "receipt" in given else "refusal"
    message = _message(TYPES[kind], given[kind])
    payee_class = CertificateClass(given["payee_class"])
    return _after(settle.acknowledge(state, message, payee_class=payee_class, verify=_verify(given)))


def _reverse(state: PurseState, given: Json) -> Json:
    order = _message(ReversalOrder, given["order"])
    return _after(settle.reverse(state, CARD.id, order, verify=_verify(given)))


def _grant(state: PurseState, given: Json) -> Json:
    version = _policy(given).version
    grant = _message(Grant, given["grant"])
    return _after(settle.apply_grant(state, CARD.id, grant, policy_version=version, verify=_verify(given)))


def _report(state: PurseState, given: Json) -> Json:
    report = settle.report(state, CARD.id, suite=Suite.ES256, policy_version=_policy(given).version)
    return _after(state, report=report.to_payload().hex())


def _pin(state: PurseState, given: Json) -> Json:
    begun = control.begin_pin_check(state)
    if given["pin"] == "right":
        return _after(control.pin_verified(begun))
    return _after(begun, tries_left=begun.pin_tries)


_DECIDE: dict[str, Callable[[PurseState, Json], Json]] = {
    "PAY": _pay,
    "REQUEST": _request,
    "COLLECT": _collect,
    "REFUSE": _refuse,
    "RESEND": _resend,
    "ACKNOWLEDGE": _acknowledge,
    "REVERSE": _reverse,
    "GRANT": _grant,
    "REPORT": _report,
    "VERIFY": _pin,
}
