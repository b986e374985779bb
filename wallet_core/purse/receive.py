"""The payee's side of a purse: REQUEST, COLLECT and REFUSE as pure decisions over its table of Requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from wallet_core.certificates import CertificateClass
from wallet_core.errors import PurseRefusal, Refused
from wallet_core.ids import COUNTER_MAX
from wallet_core.messages.policy import Policy
from wallet_core.messages.signed import parse
from wallet_core.messages.transfer import Receipt, Refusal, Request, Voucher
from wallet_core.money import MAX_MINOR_UNITS
from wallet_core.purse.state import Entry, EntryState, Lifecycle, PurseState
from wallet_core.suites import Suite


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """Done before: answer these bytes again."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class NewRequest:
    """Sign `request`, store it in entry `entry`, commit `commit(signed)`, answer."""

    request: Request
    entry: int
    after: PurseState
    payer_class: CertificateClass | None = None

    def commit(self, signed: bytes) -> PurseState:
        fresh = Entry(
            EntryState.OPEN,
            self.request.k,
            self.request.amount,
            self.request.hash,
            signed,
            payer_class=self.payer_class,
        )
        return _with_entry(self.after, self.entry, fresh)


@dataclass(frozen=True, slots=True)
class Credit:
    """Sign `receipt`, store it in entry `entry`, commit `commit(signed)`, answer."""

    receipt: Receipt
    entry: int
    after: PurseState

    def commit(self, signed: bytes) -> PurseState:
        final = replace(
            self.after.table[self.entry],
            state=EntryState.COLLECTED,
            voucher_hash=self.receipt.voucher_hash,
            answer=signed,
        )
        return _with_entry(self.after, self.entry, final)


@dataclass(frozen=True, slots=True)
class Denial:
    """Sign `refusal`, store it in entry `entry`, commit `commit(signed)`, answer."""

    refusal: Refusal
    entry: int
    after: PurseState

    def commit(self, signed: bytes) -> PurseState:
        final = replace(self.after.table[self.entry], state=EntryState.REFUSED, answer=signed)
        return _with_entry(self.after, self.entry, final)


def request(
    state: PurseState,
    purse_id: bytes,
    policy: Policy | None,
    *,
    suite: Suite,
    payer: bytes,
    epoch: int,
    n: int,
    amount: int,
    order_hash: bytes,
    payer_class: CertificateClass | None = None,
    verify_payer: Callable[[], None] | None = None,
) -> StoredAnswer | NewRequest:
    """Decide a REQUEST to `payer` for `amount` fen at the payer's counter (epoch, n).

    `payer_class`: the class in the payer's certificate where the question came with one, which `verify_payer` then
    checks (PurseRefusal CERTIFICATE). The same question while it is open gives the stored Request, on a blocked purse
    too. Raises PurseRefusal before anything is reserved.
    """
    if state.lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        same = _same_question(state, suite, purse_id, payer, epoch, n, amount, order_hash, payer_class)
        if same is not None:
            return StoredAnswer(same.request)
    if state.lifecycle is not Lifecycle.ACTIVE or policy is None:
        raise PurseRefusal(Refused.WRONG_STATE, "the purse is not active")
    if suite < policy.least_suite:
        raise PurseRefusal(Refused.SUITE)
    entry = state.free_entry()
    if entry is None:
        raise PurseRefusal(
            Refused.SLOTS_FULL, "the table of Requests is full", next_step="Bring the card online to free its entries."
        )
    if state.next_k > COUNTER_MAX:
        raise PurseRefusal(Refused.COUNTERS_EXHAUSTED, next_step="Have the card replaced.")
    if payer_class is not None:
        if not policy.payer_classes >> payer_class & 1:
            raise PurseRefusal(Refused.PAYEE_CLASS, f"this purse may not take value from a {payer_class.name}")
        if verify_payer is not None:
            verify_payer()
    if payer == purse_id:
        raise PurseRefusal(Refused.SELF_PAYMENT)
    if amount < 1 or state.total_in + state.open_amount + amount > MAX_MINOR_UNITS:
        raise PurseRefusal(Refused.AMOUNT, "the amount is 0 or more than this purse can count")
    if state.balance + state.open_amount + amount > policy.balance_limit:
        raise PurseRefusal(Refused.BALANCE_LIMIT, f"the card would hold more than {policy.balance_limit} fen")
    if state.pin_tries == 0:
        raise PurseRefusal(Refused.PIN_BLOCKED)
    fresh = Request(
        suite=suite,
        payer=payer,
        epoch=epoch,
        n=n,
        payee=purse_id,
        k=state.next_k,
        amount=amount,
        order_hash=order_hash,
    )
    return NewRequest(fresh, entry, replace(state, next_k=state.next_k + 1), payer_class)


def collect(
    state: PurseState,
    purse_id: bytes,
    voucher: Voucher,
    *,
    own_class: CertificateClass,
    payer_class: CertificateClass,
    verify_payer: Callable[[], None] | None = None,
) -> StoredAnswer | Credit:
    """Decide a COLLECT of a voucher whose signature and certificate this purse verifies itself (rule 7).

    `verify_payer` does that and raises PurseRefusal CERTIFICATE or SIGNATURE; None means that the caller has done it.
    The stored Request fixes payer, counter and amount. A load by the operator counts as acknowledged inflow at
    once. Works in ACTIVE and BLOCKED: what was requested may always be finished.

    A hard wallet takes value from another one only where REQUEST came with that card's certificate and the policy let
    it: below its payee threshold a card does not look at whom it pays, so other card-to-card payments end here
    (PAYEE_CLASS), and the Refusal that follows gives them back.
    """
    if state.lifecycle not in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        raise PurseRefusal(Refused.WRONG_STATE, "the purse cannot collect in this state")
    stored = collected(state, voucher)
    if stored is not None:
        return stored
    if voucher.payee != purse_id:
        raise PurseRefusal(Refused.WRONG_PURSE, "the voucher is made out to another payee")
    if not payer_class.is_purse:
        raise PurseRefusal(Refused.CERTIFICATE, f"a {payer_class.name} is no purse and cannot pay")
    if own_class is CertificateClass.HARD_WALLET is payer_class and not _asked_of_class(state, voucher, payer_class):
        raise PurseRefusal(Refused.PAYEE_CLASS, "a card takes value from another card only if it has asked it so")
    if verify_payer is not None:
        verify_payer()
    index, entry = _by_hash(state, voucher.request_hash)
    if entry.state is not EntryState.OPEN or not _answers(voucher, parse(Request, entry.request).message):
        raise PurseRefusal(Refused.REQUEST_CLOSED, "this Request is not open")
    acknowledged = voucher.amount if payer_class is CertificateClass.OPERATOR_PURSE else 0
    after = replace(state, total_in=state.total_in + voucher.amount, in_acked=state.in_acked + acknowledged)
    receipt = Receipt(
        suite=voucher.suite,
        payee=purse_id,
        k=voucher.k,
        voucher_hash=voucher.hash,
        total_in=after.total_in,
        total_out=after.total_out,
        total_reversed=after.total_reversed,
    )
    return Credit(receipt, index, after)


def _asked_of_class(state: PurseState, voucher: Voucher, payer_class: CertificateClass) -> bool:
    return any(
        entry.request_hash == voucher.request_hash and entry.payer_class is payer_class
        for entry in state.table
        if entry.state is not EntryState.FREE
    )


def collected(state: PurseState, voucher: Voucher) -> StoredAnswer | None:
    """The stored Receipt of a voucher that is collected: it needs no certificate, whatever comes with it."""
    if state.lifecycle in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        for entry in state.table:
            if entry.state is EntryState.COLLECTED and entry.voucher_hash == voucher.hash:
                return StoredAnswer(entry.answer)
    return None


def refuse(state: PurseState, purse_id: bytes, request_hash: bytes, *, suite: Suite) -> StoredAnswer | Denial:
    """Decide a REFUSE of an open Request; a refused one answers its stored Refusal, a collected one stays collected."""
    if state.lifecycle not in (Lifecycle.ACTIVE, Lifecycle.BLOCKED):
        raise PurseRefusal(Refused.WRONG_STATE, "the purse cannot refuse in this state")
    index, entry = _by_hash(state, request_hash)
    if entry.state is EntryState.REFUSED:
        return StoredAnswer(entry.answer)
    if entry.state is not EntryState.OPEN:
        raise PurseRefusal(Refused.REQUEST_CLOSED, "this Request is collected")
    refusal = Refusal(suite=suite, payee=purse_id, k=entry.k, request_hash=request_hash)
    return Denial(refusal, index, state)


def _answers(voucher: Voucher, request: Request) -> bool:
    """Suite and labels 2 to 7 agree: a purse cannot collect from one payer what it asked of another."""
    return (voucher.suite, voucher.payer, voucher.epoch, voucher.n, voucher.payee, voucher.k, voucher.amount) == (
        request.suite,
        request.payer,
        request.epoch,
        request.n,
        request.payee,
        request.k,
        request.amount,
    )


def _by_hash(state: PurseState, request_hash: bytes) -> tuple[int, Entry]:
    for index, entry in enumerate(state.table):
        if entry.state is not EntryState.FREE and entry.request_hash == request_hash:
            return index, entry
    raise PurseRefusal(Refused.REQUEST_CLOSED, "this Request is not in the table")


def _same_question(
    state: PurseState,
    suite: Suite,
    purse_id: bytes,
    payer: bytes,
    epoch: int,
    n: int,
    amount: int,
    order_hash: bytes,
    payer_class: CertificateClass | None,
) -> Entry | None:
    """The open Request that asks this; with a certificate only one that was asked with a certificate of that class."""
    for entry in state.table:
        if entry.state is not EntryState.OPEN or entry.amount != amount or payer_class not in (None, entry.payer_class):
            continue
        again = Request(
            suite=suite,
            payer=payer,
            epoch=epoch,
            n=n,
            payee=purse_id,
            k=entry.k,
            amount=amount,
            order_hash=order_hash,
        )
        if again.hash == entry.request_hash:
            return entry
    return None


def _with_entry(state: PurseState, index: int, entry: Entry) -> PurseState:
    table = list(state.table)
    table[index] = entry
    return replace(state, table=tuple(table))
