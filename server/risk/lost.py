"""Lost cards and destroyed purses: what is given back, when, and why not more (docs/spec/ledger.md, *A lost card*)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from server.ledger import books
from server.ledger.accounts import AccountKind, TransferKind
from server.load import outcomes
from server.problems import Problem
from server.risk import charging
from server.risk.settings import RiskSettings
from server.risk.standing import move_to, status_of
from server.settlement.archive import Archive
from server.storage.protocol import Reader, Writer
from server.storage.records import PurseRecord, VoucherState
from server.storage.records_risk import PurseStatus, RefundRecord
from wallet_core.audit import AuditData
from wallet_core.certificates import Certificate
from wallet_core.errors import MismatchError
from wallet_core.messages import Receipt, Voucher, parse
from wallet_core.purse.state import Lifecycle

_REFUND = b"ecny-lost-refund-1"
_LOST = (PurseStatus.FROZEN, PurseStatus.REPLACED)


@dataclass(frozen=True, slots=True)
class Totals:
    """The newest that any message of the card has said: of each total the largest, fen. `sources`: how many messages.

    `unable`: a report has shown it blocked or terminated; it never pays again.
    """

    total_in: int = 0
    total_out: int = 0
    total_reversed: int = 0
    out_acked: int = 0
    sources: int = 0
    unable: bool = False

    def with_(self, total_in: int, total_out: int, total_reversed: int, out_acked: int) -> Totals:
        return Totals(
            max(self.total_in, total_in),
            max(self.total_out, total_out),
            max(self.total_reversed, total_reversed),
            max(self.out_acked, out_acked),
            self.sources + 1,
            self.unable,
        )

    @property
    def balance(self) -> int:
        return self.total_in + self.total_reversed - self.total_out

    @property
    def exposure(self) -> int:
        """Paid since the last grant that the card can have."""
        return max(0, self.total_out - self.out_acked)


@dataclass(frozen=True, slots=True)
class Reckoning:
    """`lines`: name and fen, in the order of the sum. `refundable`: now; `later`: from `due_at` (s since 1970) on."""

    card: bytes
    status: PurseStatus
    lines: tuple[tuple[str, int], ...]
    refundable: int
    later: int
    due_at: int
    sources: int


def newest_totals(tx: Reader, purse: PurseRecord, audit_key: bytes) -> Totals:
    """From the audit blocks of its vouchers, its Receipts, its reports and the grants that answered them; what its
    payees have refused counts as reversed."""
    totals, paid, refused = Totals(), 0, 0
    for voucher, is_refused in _vouchers(tx, purse):
        paid += voucher.amount
        refused += voucher.amount if is_refused else 0
        try:
            audit = AuditData.open(audit_key, voucher.audit, voucher.n, voucher.suite)
        except MismatchError:
            continue  # no honest card seals so; its amount counts all the same
        acked = audit.total_out - audit.exposure
        totals = totals.with_(audit.total_in, audit.total_out, audit.total_reversed, acked)
    for raw in tx.receipts(purse.id):
        receipt = parse(Receipt, raw).message
        totals = totals.with_(receipt.total_in, receipt.total_out, receipt.total_reversed, 0)
    reported = tx.report_totals(purse.id)
    if reported is not None:
        totals = totals.with_(reported.total_in, reported.total_out, reported.total_reversed, reported.out_acked)
        totals = replace(totals, unable=reported.lifecycle >= Lifecycle.BLOCKED)
    # A lost card gets no order: what its payees have refused for good comes back here, whether the card knows or not.
    return replace(totals, total_out=max(totals.total_out, paid), total_reversed=max(totals.total_reversed, refused))


def _vouchers(tx: Reader, purse: PurseRecord) -> Iterator[tuple[Voucher, bool]]:
    """Every voucher of it that is here, once, and whether its payee has refused it; those that a report or evidence
    brought for a till too, of which there is no row until they are deposited."""
    archive, seen = Archive(tx), set()
    for record in tx.vouchers_of_payer(purse.number):
        seen.add(record.hash)
        yield parse(Voucher, archive.bytes_of(record)).message, record.state is VoucherState.REFUSED
    for brought in tx.brought_by(purse.number):
        if brought.hash not in seen:
            till = tx.till(brought.payee)
            is_refused = till is not None and brought.request_hash in tx.refused_requests(till.numbers)
            yield parse(Voucher, brought.raw).message, is_refused


def reckon(tx: Reader, purse: PurseRecord, audit_key: bytes, risk: RiskSettings, now: int) -> Reckoning:
    """What may be given back for this card, line by line. Nothing is changed."""
    totals, status = newest_totals(tx, purse, audit_key), status_of(tx, purse.id)
    due_at = Certificate.from_bytes(purse.certificate).expires + risk.grace_s
    refunded = sum(one.amount for one in tx.refunds(purse.number))
    covered = max(0, tx.headroom([purse.card_account])[purse.card_account])
    is_due, unheard = now >= due_at, _not_collected(tx, purse, totals.total_in)
    unused = 0 if totals.unable or is_due else max(0, risk.offline_total - totals.exposure)
    rest = max(0, min(totals.balance + unheard - refunded, covered))
    refundable = max(0, min(totals.balance + (unheard if is_due else 0) - unused - refunded, covered))
    if status is PurseStatus.REVOKED or (status not in _LOST and not totals.unable):
        refundable = 0
    if status is PurseStatus.REVOKED:
        rest = 0
    lines = (
        ("received, by the newest message of the card", totals.total_in),
        ("got back by reversals", totals.total_reversed),
        ("less paid", -totals.total_out),
        ("balance", totals.balance),
        ("offline limit", risk.offline_total),
        ("less paid since the last grant", -totals.exposure),
        ("less what it could still pay unseen", -unused),
        ("less refunded before", -refunded),
        ("loads not collected, due with the rest", unheard),
        ("covered by the books", covered),
        ("refundable now", refundable),
        ("the rest, after expiry and grace", rest - refundable),
    )
    return Reckoning(purse.id, status, lines, refundable, rest - refundable, due_at, totals.sources)


def _not_collected(tx: Reader, purse: PurseRecord, total_in: int) -> int:
    """Fen of loads that the card has never spoken of, less what it must have collected of them to have received
    `total_in`. The same after they were given back, so that no later sum forgets them."""
    unheard = sum(load.amount for load in outcomes.unheard(tx, purse))
    pending = sum(load.amount for load in tx.pending_loads(purse.id))
    return min(unheard, max(0, tx.proved_inflow(purse.id) + pending - total_in))


def refund(tx: Writer, purse: PurseRecord, destination: PurseRecord | None, reckoning: Reckoning, *, now: int) -> int:
    """Give back what is refundable now, fen (0: nothing is): to the holder, or for a load of `destination`.

    To the holder: value leaves the system (`redeemed`). For a replacement: into the operator's purse, which pays it as
    a load. Raises Problem `not-found` without an operator's purse.
    """
    amount = reckoning.refundable
    if amount == 0:
        return 0
    target = tx.account(AccountKind.REDEEMED).number
    if destination is not None:
        operator = tx.operator_purse()
        if operator is None:
            raise Problem("not-found", "The operator's purse is not installed.")
        target = operator.account
    if now >= reckoning.due_at:
        outcomes.given_up(tx, purse, now)
    number = tx.add_refund(purse.number, RefundRecord(amount, destination.id if destination is not None else None, now))
    reference = hashlib.sha256(_REFUND + purse.id + number.to_bytes(8, "big")).digest()
    entries = {purse.card_account: -amount, target: amount}
    books.post_what_moves(tx, TransferKind.LOST_REFUND, reference, entries, now=now)
    move_to(tx, purse.id, PurseStatus.FROZEN, "refunded", now=now)
    return amount


def charge_residual(
    tx: Writer,
    payee: PurseRecord,
    payer: PurseRecord,
    epoch: int,
    n: int,
    voucher_hash: bytes,
    cert_expires: int,
    risk: RiskSettings,
    now: int,
) -> None:
    """A voucher for a destroyed purse goes back to its payer, before an order may say so (rule 11).

    Raises Problem `not-due` unless the payee is revoked (frozen, replaced), its certificate's expiry and the grace are
    over, and what is left of its proved inflow covers the amount (else it has collected and spent this one); again: no
    change.
    """
    if status_of(tx, payee.id) is PurseStatus.ACTIVE:
        raise Problem("not-due", "The payee is not revoked.", next_step="Freeze it first: ecny server card freeze")
    if now < cert_expires + risk.grace_s:
        raise Problem("not-due", "The payee's certificate and the grace after it are not over yet.")
    record = charging.find(tx, payer.number, epoch, n, voucher_hash)
    if record is None or record.payee_purse != payee.number:
        raise Problem("not-found", "There is no such voucher to this payee.")
    if record.state is VoucherState.OPEN:
        if tx.headroom([payee.card_account])[payee.card_account] < record.amount:
            raise Problem("not-due", "The payee's residual does not cover this voucher: it has spent the value.")
        charging.give_back_residual(tx, record, risk, now)
