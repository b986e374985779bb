"""A purse at its operator's desk: REPORT to the server, then its policy, orders and grant into the purse.

The purse signs what it says and verifies what comes back, so this only carries. Every step may be done again, and so
may all of it: a grant that is repeated or overtaken changes nothing, an order whose slot has its outcome neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wallet_core.errors import PurseRefusal, Refused, UsageError
from wallet_core.messages import Policy, Report, RevocationReason, Signed, parse
from wallet_core.purse.state import EntryState, Lifecycle, SlotState

from .driver import HardWallet
from .operator_client import Answered, OperatorClient

ROUNDS: Final = 3
"""A slot that an order has reversed becomes free by the grant for the next report."""


@dataclass(frozen=True, slots=True)
class Reported:
    """`before`, `after`: the purse's own reports; `orders`: reversals carried out; `void`: those that came too late.

    `vouchers`: how many were handed in, all of them if `with_pin`; `granted`: False for a blocked purse whose policy is
    older than the grant wants: it takes none any more, and is refunded instead.
    """

    before: Report
    after: Report
    orders: int
    void: int
    vouchers: int
    with_pin: bool
    granted: bool

    @property
    def pending(self) -> int:
        """Payments that still wait for an outcome."""
        return sum(line.state == SlotState.PENDING for line in self.after.slot_lines)


def report_purse(wallet: HardWallet, server: OperatorClient, pin: str | None = None) -> Reported:
    """Bring the purse online; run it again after any error, and nothing is done twice.

    With the holder's `pin` every voucher is handed in: the operator learns what each slot is for, and gives back what
    a till has refused. Without it only vouchers to tills that it has declared dead are. Raises PurseRefusal, CardError,
    TransportError, SettlementError.
    """
    wallet.select()
    first = last = _report(wallet)
    vouchers = _vouchers(wallet, server, last.message, pin)
    orders = void = 0
    granted = True
    for _ in range(ROUNDS):
        answer = server.report(
            last.to_bytes(),
            vouchers=vouchers,
            refusals=_refusals(wallet, last.message),
            certificates=(wallet.certificate(),),
        )
        _store_policy(wallet, answer, last.message)
        reversed_now, void_now = _reverse(wallet, answer.orders)
        granted = _grant(wallet, answer.grant, last.message)
        orders, void = orders + reversed_now, void + void_now
        last = _report(wallet)
        if not reversed_now:
            break
    return Reported(first.message, last.message, orders, void, len(vouchers), pin is not None, granted)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """`request_hash`: given up now, None where nothing was open; `statuses`: of all Refusals handed in, as told."""

    request_hash: bytes | None
    statuses: tuple[str, ...]


def abandon(wallet: HardWallet, server: OperatorClient, request_hash: bytes | None = None) -> Abandoned:
    """REFUSE an open Request of this purse, for good, and hand in its Refusals: who has paid it gets the value back.

    Without `request_hash` the only one that is open. Again: the same Refusals are handed in. Raises UsageError for
    several open ones, PurseRefusal REQUEST_CLOSED for one that is collected or not known, SettlementError.
    """
    wallet.select()
    if request_hash is None:
        waiting = [line.hash for line in _report(wallet).message.entry_lines if line.state == EntryState.OPEN]
        if len(waiting) > 1:
            named = ", ".join(one.hex() for one in waiting)
            raise UsageError(f"{len(waiting)} Requests are open: {named}", next_step="Name one with --request.")
        request_hash = waiting[0] if waiting else None
    if request_hash is not None:
        wallet.refuse(request_hash)
    refusals = _refusals(wallet, _report(wallet).message)
    return Abandoned(request_hash, server.evidence(refusals, (wallet.certificate(),)) if refusals else ())


def _report(wallet: HardWallet) -> Signed[Report]:
    return parse(Report, wallet.report())


def _vouchers(wallet: HardWallet, server: OperatorClient, report: Report, pin: str | None) -> tuple[bytes, ...]:
    if not report.slot_lines:
        return ()
    if pin is not None:
        wallet.verify_pin(pin)
        return wallet.vouchers()
    dead = (one for one, reason in server.revocations().items() if reason is RevocationReason.DEAD)
    return tuple(voucher for payee in dead for voucher in wallet.resend_to(payee))


def _refusals(wallet: HardWallet, report: Report) -> tuple[bytes, ...]:
    """The purse's own, stored: REFUSE of a refused Request answers them again."""
    return tuple(wallet.refuse(line.hash) for line in report.entry_lines if line.state == EntryState.REFUSED)


def _store_policy(wallet: HardWallet, answer: Answered, report: Report) -> None:
    """Before the grant, which may want it. A blocked purse takes none any more."""
    if answer.policy is None or report.lifecycle != Lifecycle.ACTIVE:
        return
    if parse(Policy, answer.policy).message.version > report.policy_version:
        wallet.store_policy(answer.policy)


def _reverse(wallet: HardWallet, orders: tuple[bytes, ...]) -> tuple[int, int]:
    """How many slots were PENDING and are REVERSED now, and how many have another outcome, or are gone."""
    before = wallet.totals().total_reversed
    done = void = 0
    for order in orders:
        try:
            wallet.reverse(order)
        except PurseRefusal as refusal:
            if refusal.reason not in (Refused.NOT_FOUND, Refused.OUTCOME_FINAL):
                raise
            void += 1
            continue
        after = wallet.totals().total_reversed
        done, before = done + (after > before), after
    return done, void


def _grant(wallet: HardWallet, grant: bytes, report: Report) -> bool:
    try:
        wallet.grant(grant)
    except PurseRefusal as refusal:
        if refusal.reason is not Refused.POLICY_OLD or report.lifecycle != Lifecycle.BLOCKED:
            raise
        return False
    return True
