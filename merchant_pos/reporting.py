"""A purse's Report carried to its operator, and grant, orders and policy back into the purse, while a till is online.

The till only carries: the purse signs its Report and verifies all that comes back. Every step may be done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from merchant_pos.journal import Journal
from merchant_pos.ports import Granted, ReportingPurse, ReportServer, Step, no_step
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.messages import Report, Voucher, parse

MAX_ROUNDS = 3
MOST = 64  # of each kind that a report may bring along (docs/spec/http.md, *Reports*): the newest matter


@dataclass(frozen=True, slots=True)
class Reported:
    """`reversed_amount`: fen that came back to the purse; `pending`: vouchers that still wait for an outcome."""

    purse: bytes
    balance: int
    reversed_amount: int
    orders: int
    policy: bool
    pending: int


def report(
    purse: ReportingPurse, server: ReportServer, journal: Journal, payees: Sequence[bytes], step: Step = no_step
) -> Reported:
    """REPORT to the operator, then its policy, orders and grant into the purse; again once orders have changed it.

    `payees`: ids whose vouchers the purse may show without a PIN (this till, its SAM). Raises SettlementError,
    PurseRefusal, and what the exchange raises; run it again then.
    """
    orders, policy = 0, False
    shown = purse.select().purse
    first = _state(purse)
    for _ in range(MAX_ROUNDS):
        signed = purse.report()
        step("reported")
        granted = _hand_in(signed, purse, server, journal, shown, payees)
        step("granted")
        policy = _store_policy(purse, granted) or policy
        done = _carry_out(purse, granted)
        orders += done
        purse.grant(granted.grant)
        step("grant-stored")
        if not done:
            break
    last = _state(purse)
    return Reported(
        purse=shown,
        balance=last.balance,
        reversed_amount=last.total_reversed - first.total_reversed,
        orders=orders,
        policy=policy,
        pending=sum(line.state == 1 for line in last.slot_lines),
    )


def _state(purse: ReportingPurse) -> Report:
    return parse(Report, purse.report()).message


def _hand_in(
    signed: bytes,
    purse: ReportingPurse,
    server: ReportServer,
    journal: Journal,
    shown: bytes,
    payees: Sequence[bytes],
) -> Granted:
    """With the Report go the vouchers and the payees' answers that this till can give: they prove what it says."""
    own = journal.transfers("payer = ? OR payee = ?", (shown, shown))
    vouchers = {parse(Voucher, body).hash: body for payee in payees for body in purse.resend_to(payee)}
    vouchers |= {one.voucher_hash: one.voucher for one in own if one.voucher is not None and one.voucher_hash}
    parties = dict.fromkeys(party for one in own for party in (one.payer, one.payee))
    known = [journal.certificate(party) for party in parties]
    return server.report(
        signed,
        vouchers=tuple(vouchers.values())[-MOST:],
        receipts=tuple(one.receipt for one in own if one.receipt is not None)[-MOST:],
        refusals=tuple(one.refusal for one in own if one.refusal is not None)[-MOST:],
        certificates=tuple(dict.fromkeys((purse.certificate(), *(body for body in known if body is not None))))[:MOST],
    )


def _store_policy(purse: ReportingPurse, granted: Granted) -> bool:
    """Before the grant, which may want it. The same policy again is refused as not newer: it is there then."""
    if granted.policy is None:
        return False
    purse.store_policy(granted.policy)
    return True


def _carry_out(purse: ReportingPurse, granted: Granted) -> int:
    """Reversal orders; one whose slot has its outcome already has nothing left to do."""
    done = 0
    for order in granted.orders:
        try:
            purse.reverse(order)
            done += 1
        except PurseRefusal as exc:
            if exc.reason not in (Refused.NOT_FOUND, Refused.OUTCOME_FINAL):
                raise
    return done
