"""The cases of purse.json: for each command one that is accepted, what makes each reason apply, and the edges."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from decisions import Json, decide, shown, state_shown

from support.keys import CARD, MERCHANT_PURSE, OPERATOR_PURSE, TILL
from support.samples import (
    GRANT,
    LOAD_RECEIPT,
    LOAD_REQUEST,
    LOAD_VOUCHER,
    ORDER,
    POLICY,
    REFUSAL,
    REQUEST,
    VOUCHER,
    digest,
)
from wallet_core.errors import Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages.ending import Outcome, pack_closed, pack_outcomes
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import Lifecycle, PurseState

Fault = Callable[[Json], None]

R = Refused
ACTIVE = state_shown(PurseState(lifecycle=Lifecycle.ACTIVE, total_in=50_000, in_acked=50_000))
POLICY_SHOWN = shown(POLICY) | {"payee_classes": 0b101111}
_PAID = {
    "state": 1,
    "n": 1,
    "request_hash": REQUEST.hash.hex(),
    "payee": TILL.id.hex(),
    "amount": REQUEST.amount,
    "voucher_hash": VOUCHER.hash.hex(),
}
_OPEN = {
    "state": 1,
    "k": 1,
    "amount": LOAD_REQUEST.amount,
    "request_hash": LOAD_REQUEST.hash.hex(),
    "voucher_hash": "",
    "payer_class": None,
}
FULL_SLOTS = [_PAID | {"n": n, "request_hash": digest(f"slot {n}").hex(), "voucher_hash": ""} for n in range(90, 106)]
FULL_TABLE = [_OPEN | {"state": 3, "k": k, "request_hash": digest(f"entry {k}").hex()} for k in range(90, 98)]
SPENT = ACTIVE | {"next_n": 2, "total_out": REQUEST.amount, "slots": [_PAID]}
ASKED = ACTIVE | {"next_k": 2, "table": [_OPEN], "total_in": 0, "in_acked": 0}
_RECEIPT = shown(LOAD_RECEIPT) | {"payee": TILL.id.hex(), "k": 7, "voucher_hash": VOUCHER.hash.hex()}
_REFUSAL = shown(REFUSAL) | {"payee": TILL.id.hex(), "k": 7, "request_hash": REQUEST.hash.hex()}
_REQUESTS = {LOAD_REQUEST.hash.hex(): shown(LOAD_REQUEST)}


def put(**changes: Any) -> Fault:
    """`state__next_n=3` puts 3 at case["state"]["next_n"]."""

    def fault(case: Json) -> None:
        for path, value in changes.items():
            *above, name = path.split("__")
            place = case
            for step in above:
                place = place[step]
            place[name] = copy.deepcopy(value)  # a later fault may change it

    return fault


def _case(before: Json, **given: Any) -> Json:
    return {"state": before, "given": {"policy": POLICY_SHOWN, "certificates": "good", **given}}


PAY_CASE = _case(ACTIVE, request=shown(REQUEST), payee_class=5, pin_verified=True)
ASK = {"payer": OPERATOR_PURSE.id.hex(), "epoch": 1, "n": 1, "amount": 1_000, "order_hash": digest("load").hex()}
REQUEST_CASE = _case(ACTIVE, **ASK, payer_class=2)
COLLECT_CASE = _case(ASKED, voucher=shown(LOAD_VOUCHER), own_class=3, payer_class=2, requests=_REQUESTS)
RECEIPT_CASE = _case(SPENT, receipt=_RECEIPT, payee_class=4)
REFUSAL_CASE = _case(SPENT, refusal=_REFUSAL, payee_class=4)
ORDER_CASE = _case(SPENT, order=shown(ORDER))
GRANT_CASE = _case(SPENT, grant=shown(GRANT))

_BAD = {  # in this order: where both are wrong, the certificate is what is found
    R.SIGNATURE: put(given__certificates="SIGNATURE"),
    R.CERTIFICATE: put(given__certificates="CERTIFICATE"),
}
PAY: dict[Refused, Fault] = {
    R.WRONG_STATE: put(state__lifecycle=3),
    R.COUNTERS_EXHAUSTED: put(
        state__next_n=COUNTER_MAX + 1, state__n_acked=COUNTER_MAX + 1, given__request__n=COUNTER_MAX + 1
    ),
    R.WRONG_PURSE: put(given__request__payer=TILL.id.hex()),
    R.SUITE: put(given__policy__least_suite=23),
    R.STALE: put(given__request__n=9),
    R.SLOTS_FULL: put(state__slots=FULL_SLOTS),
    R.PAYEE_CLASS: put(given__payee_class=4),
    **_BAD,
    R.SELF_PAYMENT: put(given__request__payee=CARD.id.hex()),
    R.AMOUNT: put(state__total_out=MAX_MINOR_UNITS, state__total_reversed=MAX_MINOR_UNITS - 1),
    R.TRANSFER_LIMIT: put(given__policy__transfer_limit=6_799),
    R.OFFLINE_TOTAL: put(given__policy__offline_total=6_799),
    R.OFFLINE_COUNT: put(given__policy__offline_count=0),
    R.INSUFFICIENT: put(state__in_acked=6_799),
    R.PIN_BLOCKED: put(state__pin_tries=0),
    R.PIN_REQUIRED: put(given__pin_verified=False, given__policy__pin_threshold=0),
}
ASKING: dict[Refused, Fault] = {
    R.WRONG_STATE: put(state__lifecycle=1),
    R.SUITE: put(given__policy__least_suite=23),
    R.SLOTS_FULL: put(state__table=FULL_TABLE),
    R.COUNTERS_EXHAUSTED: put(state__next_k=COUNTER_MAX + 1),
    R.PAYEE_CLASS: put(given__payer_class=3),
    R.CERTIFICATE: _BAD[R.CERTIFICATE],
    R.SELF_PAYMENT: put(given__payer=CARD.id.hex()),
    R.AMOUNT: put(given__amount=0),
    R.BALANCE_LIMIT: put(given__policy__balance_limit=0),
    R.PIN_BLOCKED: put(state__pin_tries=0),
}
COLLECT: dict[Refused, Fault] = {
    R.WRONG_STATE: put(state__lifecycle=4),
    R.WRONG_PURSE: put(given__voucher__payee=MERCHANT_PURSE.id.hex()),
    R.PAYEE_CLASS: put(given__payer_class=3),
    **_BAD,
    R.REQUEST_CLOSED: put(state__table=[]),
}
ENDING: dict[Refused, Fault] = {R.WRONG_STATE: put(state__lifecycle=4), **_BAD}
REVERSED = [_PAID | {"state": 3}]
COLLECTED = [_PAID | {"state": 2}]
NO_SLOT = put(state__slots=FULL_SLOTS)
WRONG_PAYEE = {name: put(**{f"given__{name}__payee": MERCHANT_PURSE.id.hex()}) for name in ("receipt", "refusal")}
BY_OPERATOR = {reason: ENDING[reason] for reason in (R.WRONG_STATE, R.SIGNATURE)}
OTHER_ORDER = put(given__order__payer=TILL.id.hex())

TABLES: tuple[tuple[str, str, Json, dict[Refused, Fault]], ...] = (
    ("PAY, payee verified", "PAY", PAY_CASE, PAY),
    (
        "PAY",
        "PAY",
        {**PAY_CASE, "given": PAY_CASE["given"] | {"payee_class": None}},
        {reason: fault for reason, fault in PAY.items() if reason not in (R.PAYEE_CLASS, R.CERTIFICATE, R.SIGNATURE)}
        | {R.PAYEE_UNVERIFIED: put(given__policy__payee_threshold=0)},
    ),
    ("REQUEST, payer verified", "REQUEST", REQUEST_CASE, ASKING),
    (
        "REQUEST",
        "REQUEST",
        {**REQUEST_CASE, "given": REQUEST_CASE["given"] | {"payer_class": None}},
        {reason: fault for reason, fault in ASKING.items() if reason not in (R.PAYEE_CLASS, R.CERTIFICATE)},
    ),
    ("COLLECT", "COLLECT", COLLECT_CASE, COLLECT),
    (
        "REFUSE",
        "REFUSE",
        _case(ASKED, request_hash=LOAD_REQUEST.hash.hex(), requests=_REQUESTS),
        {R.WRONG_STATE: put(state__lifecycle=1), R.REQUEST_CLOSED: put(state__table=[])},
    ),
    (
        "RESEND by payee",
        "RESEND",
        _case(SPENT, payee=TILL.id.hex(), request_hash=""),
        {R.WRONG_STATE: put(state__lifecycle=4), R.NOT_FOUND: put(state__slots=[])},
    ),
    (
        "ACKNOWLEDGE a Receipt",
        "ACKNOWLEDGE",
        RECEIPT_CASE,
        ENDING | {R.WRONG_PURSE: WRONG_PAYEE["receipt"], R.OUTCOME_FINAL: put(state__slots=REVERSED)},
    ),
    ("ACKNOWLEDGE a Receipt, no slot", "ACKNOWLEDGE", RECEIPT_CASE, ENDING | {R.NOT_FOUND: NO_SLOT}),
    (
        "ACKNOWLEDGE a Refusal",
        "ACKNOWLEDGE",
        REFUSAL_CASE,
        ENDING | {R.WRONG_PURSE: WRONG_PAYEE["refusal"], R.OUTCOME_FINAL: put(state__slots=COLLECTED)},
    ),
    (
        "REVERSE",
        "REVERSE",
        ORDER_CASE,
        BY_OPERATOR | {R.WRONG_PURSE: OTHER_ORDER, R.OUTCOME_FINAL: put(state__slots=COLLECTED)},
    ),
    ("REVERSE, no slot", "REVERSE", ORDER_CASE, BY_OPERATOR | {R.WRONG_PURSE: OTHER_ORDER, R.NOT_FOUND: NO_SLOT}),
    (
        "GRANT",
        "GRANT",
        GRANT_CASE,
        BY_OPERATOR | {R.WRONG_PURSE: put(given__grant__epoch=2), R.POLICY_OLD: put(given__grant__policy_version=4)},
    ),
    ("REPORT", "REPORT", _case(SPENT), {R.WRONG_STATE: put(state__lifecycle=4)}),
    (
        "VERIFY",
        "VERIFY",
        _case(ACTIVE, pin="right"),
        {R.WRONG_STATE: put(state__lifecycle=1), R.PIN_BLOCKED: put(state__pin_tries=0)},
    ),
)


def _vector(name: str, command: str, case: Json, *faults: Fault) -> Json:
    case = copy.deepcopy(case)
    for fault in faults:
        fault(case)
    found = decide(command, case["state"], case["given"])
    return {"name": name, "command": command, "before": case["state"], "given": case["given"]} | found


def _refusals() -> list[Json]:
    """Each reason alone, and each together with all that come after it: the order is that of statuses.md."""
    rank = list(Refused)
    found = []
    for name, command, case, faults in TABLES:
        found.append(_vector(f"{name}: accepted", command, case))
        ordered = sorted(faults, key=rank.index)
        for at, reason in enumerate(ordered):
            found.append(_vector(f"{name}: {reason.name}", command, case, faults[reason]))
            later = set(ordered[at:])
            if len(later) > 1:
                every = [fault for one, fault in faults.items() if one in later]
                found.append(_vector(f"{name}: {reason.name} and every later reason", command, case, *every))
            if found[-1].get("refused") != reason.name:
                raise ValueError(f"{found[-1]['name']} is {found[-1].get('refused')}")
    return found


def _edges() -> list[Json]:
    """The last fen that is allowed and the first that is not; what is stored; grants that free and that do not."""
    blocked = put(state__lifecycle=3)
    without_pin = put(given__pin_verified=False, given__payee_class=None)
    paid_again = put(state=SPENT)
    gated = put(given__payer_class=3, given__own_class=3)
    by_card = _OPEN | {"payer_class": 3}
    collected = [_OPEN | {"state": 2, "voucher_hash": LOAD_VOUCHER.hash.hex()}]
    refused = [_OPEN | {"state": 3}]
    same_question = put(
        state=ASKED,
        **{f"given__{name}": shown(LOAD_REQUEST)[name] for name in ("payer", "epoch", "n", "amount")},
        given__order_hash=LOAD_REQUEST.order_hash.hex(),
        given__requests=_REQUESTS,
        given__payer_class=None,
    )
    return [
        _vector("PAY: the whole offline total", "PAY", PAY_CASE, put(given__policy__offline_total=6_800)),
        _vector("PAY: the last of the count", "PAY", PAY_CASE, put(given__policy__offline_count=1)),
        _vector("PAY: all that may be spent", "PAY", PAY_CASE, put(state__in_acked=6_800)),
        _vector("PAY: staged, not acknowledged", "PAY", PAY_CASE, put(state__in_acked=0)),
        _vector("PAY: intermittent", "PAY", PAY_CASE, put(state__in_acked=0, given__policy__mode=2)),
        _vector(
            "PAY: what came back may be spent", "PAY", PAY_CASE, put(state__in_acked=0, state__total_reversed=6_800)
        ),
        _vector("PAY: up to the PIN threshold", "PAY", PAY_CASE, without_pin, put(given__policy__pin_threshold=6_800)),
        _vector("PAY: above the PIN threshold", "PAY", PAY_CASE, without_pin, put(given__policy__pin_threshold=6_799)),
        _vector("PAY: unverified total", "PAY", PAY_CASE, without_pin, put(state__unverified=23_200)),
        _vector("PAY: above the unverified total", "PAY", PAY_CASE, without_pin, put(state__unverified=23_201)),
        _vector("PAY: with the PIN nothing is unverified", "PAY", PAY_CASE, put(state__unverified=23_201)),
        _vector(
            "PAY: up to the payee threshold", "PAY", PAY_CASE, without_pin, put(given__policy__payee_threshold=6_800)
        ),
        _vector("PAY: again", "PAY", PAY_CASE, paid_again),
        _vector("PAY: again, blocked", "PAY", PAY_CASE, paid_again, blocked),
        _vector(
            "PAY: again, when nothing would be allowed", "PAY", PAY_CASE, paid_again, put(given__policy__least_suite=23)
        ),
        _vector("PAY: again, terminated", "PAY", PAY_CASE, paid_again, put(state__lifecycle=4)),
        _vector("PAY: again, reversed since", "PAY", PAY_CASE, paid_again, put(state__slots=REVERSED)),
        _vector("PAY: another at the same counter", "PAY", PAY_CASE, paid_again, put(given__request__amount=6_801)),
        _vector("PAY: again, its slot freed since", "PAY", PAY_CASE, paid_again, put(state__slots=[])),
        _vector(
            "PAY: the last counter",
            "PAY",
            PAY_CASE,
            put(state__next_n=COUNTER_MAX, state__n_acked=COUNTER_MAX, given__request__n=COUNTER_MAX),
        ),
        _vector("REQUEST: the whole headroom", "REQUEST", REQUEST_CASE, put(given__amount=50_000)),
        _vector("REQUEST: a fen above it", "REQUEST", REQUEST_CASE, put(given__amount=50_001)),
        _vector("REQUEST: OPEN counts", "REQUEST", REQUEST_CASE, put(state__table=[_OPEN], given__requests=_REQUESTS)),
        _vector("REQUEST: again", "REQUEST", REQUEST_CASE, same_question),
        _vector("REQUEST: again, blocked", "REQUEST", REQUEST_CASE, same_question, blocked),
        _vector("REQUEST: another amount", "REQUEST", REQUEST_CASE, same_question, put(given__amount=1)),
        _vector("COLLECT: of a card, gated", "COLLECT", COLLECT_CASE, gated, put(state__table=[by_card])),
        _vector("COLLECT: of a card, by a merchant's purse", "COLLECT", COLLECT_CASE, gated, put(given__own_class=4)),
        _vector("COLLECT: of a merchant's purse", "COLLECT", COLLECT_CASE, put(given__payer_class=4)),
        _vector("COLLECT: of a till", "COLLECT", COLLECT_CASE, put(given__payer_class=5)),
        _vector("COLLECT: another amount", "COLLECT", COLLECT_CASE, put(given__voucher__amount=1)),
        _vector("COLLECT: another counter", "COLLECT", COLLECT_CASE, put(given__voucher__n=2)),
        _vector("COLLECT: blocked", "COLLECT", COLLECT_CASE, blocked),
        _vector(
            "COLLECT: again, whatever comes with it",
            "COLLECT",
            COLLECT_CASE,
            put(state__table=collected),
            _BAD[R.SIGNATURE],
        ),
        _vector("COLLECT: refused before", "COLLECT", COLLECT_CASE, put(state__table=refused)),
        _vector("REFUSE: again", "REFUSE", TABLES[5][2], put(state__table=refused)),
        _vector("REFUSE: collected before", "REFUSE", TABLES[5][2], put(state__table=collected)),
        _vector("RESEND any", "RESEND", TABLES[6][2], put(given__payee="", state__slots=FULL_SLOTS[::-1])),
        _vector(
            "RESEND by Request", "RESEND", TABLES[6][2], put(given__payee="", given__request_hash=REQUEST.hash.hex())
        ),
        _vector("ACKNOWLEDGE: again", "ACKNOWLEDGE", RECEIPT_CASE, put(state__slots=COLLECTED), _BAD[R.CERTIFICATE]),
        _vector("ACKNOWLEDGE: a till's Receipt", "ACKNOWLEDGE", RECEIPT_CASE, put(given__payee_class=5)),
        _vector("ACKNOWLEDGE: a Refusal again", "ACKNOWLEDGE", REFUSAL_CASE, put(state__slots=REVERSED)),
        _vector("REVERSE: again", "REVERSE", ORDER_CASE, put(state__slots=REVERSED), _BAD[R.SIGNATURE]),
        _vector("VERIFY: wrong", "VERIFY", TABLES[-1][2], put(given__pin="wrong", state__unverified=5)),
        _vector("VERIFY: wrong, the last try", "VERIFY", TABLES[-1][2], put(given__pin="wrong", state__pin_tries=1)),
        _vector("VERIFY: right, the last try", "VERIFY", TABLES[-1][2], put(state__pin_tries=1, state__unverified=5)),
        *_grants(),
    ]


def _grants() -> list[Json]:
    three = [
        _PAID,
        _PAID | {"state": 2, "n": 2, "request_hash": digest("two").hex(), "voucher_hash": digest("v2").hex()},
        _PAID | {"state": 3, "n": 3, "request_hash": digest("three").hex(), "voucher_hash": digest("v3").hex()},
    ]
    entries = [
        _OPEN,
        _OPEN | {"state": 2, "k": 2, "request_hash": digest("b").hex(), "voucher_hash": digest("v").hex()},
    ]
    busy = put(
        state=SPENT | {"next_n": 4, "total_out": 20_400, "total_reversed": 6_800, "slots": three, "table": entries}
    )

    def says(*outcomes: tuple[int, int], closed: tuple[int, ...] = ()) -> Fault:
        packed = pack_outcomes(Outcome(n, state) for n, state in outcomes)
        return put(given__grant__outcomes=packed.hex(), given__grant__closed=pack_closed(closed).hex())

    return [
        _vector(
            "GRANT: everything that has ended", "GRANT", GRANT_CASE, busy, says((1, 2), (2, 2), (3, 3), closed=(2,))
        ),
        _vector("GRANT: nothing named", "GRANT", GRANT_CASE, busy, says()),
        _vector("GRANT: reverses nothing", "GRANT", GRANT_CASE, busy, says((1, 3))),
        _vector("GRANT: the other outcome", "GRANT", GRANT_CASE, busy, says((2, 3), (3, 2))),
        _vector("GRANT: an OPEN entry stays", "GRANT", GRANT_CASE, busy, says(closed=(1,))),
        _vector(
            "GRANT: of more than there is",
            "GRANT",
            GRANT_CASE,
            put(given__grant__out_acked=10**6, given__grant__in_acked=10**6, given__grant__n_acked=99),
        ),
        _vector(
            "GRANT: an old one",
            "GRANT",
            GRANT_CASE,
            put(
                state__out_acked=6_800,
                state__n_acked=2,
                given__grant__out_acked=0,
                given__grant__n_acked=1,
                given__grant__in_acked=0,
            ),
        ),
        _vector("GRANT: of a policy that it has", "GRANT", GRANT_CASE, put(given__grant__policy_version=3)),
        _vector("GRANT: blocked", "GRANT", GRANT_CASE, put(state__lifecycle=3)),
    ]


def vectors() -> list[Json]:
    return [*_refusals(), *_edges()]
