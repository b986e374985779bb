"""What the invariants look at: the durable facts of each party, read with the real code and free of its bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from wallet_core.errors import EcnyError
from wallet_core.keys import PublicKey
from wallet_core.messages import Receipt, Refusal, Report, Signed, Voucher, parse
from wallet_core.purse.state import EntryState, Lifecycle, PurseState, SlotState


class SlotFact(NamedTuple):
    """A voucher slot that is not free. `readable`: its bytes are a voucher that verifies with the purse's key."""

    state: SlotState
    n: int
    amount: int
    payee: bytes
    voucher_hash: bytes
    request_hash: bytes
    readable: bool


class EntryFact(NamedTuple):
    """An entry of the table of Requests that is not free; `voucher_hash` once it is collected."""

    state: EntryState
    k: int
    amount: int
    request_hash: bytes
    voucher_hash: bytes


class PurseFacts(NamedTuple):
    """What a purse answers from now on, whatever happens to its power; amounts in fen."""

    purse: bytes
    epoch: int
    lifecycle: Lifecycle
    next_n: int
    next_k: int
    n_acked: int
    total_in: int
    total_out: int
    total_reversed: int
    out_acked: int
    in_acked: int
    slots: tuple[SlotFact, ...]
    entries: tuple[EntryFact, ...]
    balance_limit: int
    offline_total: int

    @property
    def balance(self) -> int:
        return self.total_in + self.total_reversed - self.total_out

    @property
    def open_amount(self) -> int:
        return sum(entry.amount for entry in self.entries if entry.state is EntryState.OPEN)


class SaleFact(NamedTuple):
    """A sale in the journal of a till: number, state, amount in fen, H(Request), H(Voucher) or nothing."""

    k: int
    state: str
    amount: int
    request_hash: bytes
    voucher_hash: bytes


class TillFacts(NamedTuple):
    """`transfers`: sales into the merchant's purse; `waiting`: a sale or Refusal is to be sent to the server."""

    sales: tuple[SaleFact, ...] = ()
    transfers: tuple[SaleFact, ...] = ()
    waiting: bool = False

    @property
    def open(self) -> bool:
        return any(sale.state in ("ASKED", "UNKNOWN") for sale in self.sales)


class ServerFacts(NamedTuple):
    """`faults`: what the real ledger report finds wrong; `settled`: H(Voucher) → fen credited to an account payee;
    `refused`: H(Request) of tills' Refusals; `ordered`: H(Voucher) of reversal orders; `messages`: hashes of all that
    the books have taken in; `balances`: every account, for the comparison of orders.
    """

    faults: tuple[str, ...]
    issued: int
    loss: int
    redeemed: int
    operator_purse: int
    wallets: int
    settled: tuple[tuple[bytes, int], ...]
    refused: frozenset[bytes]
    ordered: frozenset[bytes]
    messages: frozenset[bytes]
    balances: tuple[tuple[str, int], ...]


class Heard(NamedTuple):
    """A signed message that has left a purse: what anyone on the way may keep and deliver later.

    `about`: H(Request) of a voucher or Refusal, H(Voucher) of a Receipt; `collected`: each H(Voucher) that a report
    shows as collected.
    """

    kind: str
    signer: bytes
    epoch: int
    number: int
    hash: bytes
    about: bytes
    amount: int
    collected: tuple[bytes, ...] = ()


def purse_facts(state: PurseState, purse: bytes, key: PublicKey, balance_limit: int, offline_total: int) -> PurseFacts:
    """The facts of a purse that has just recovered."""
    slots = tuple(
        _slot(slot.state, slot.n, slot.voucher, key) for slot in state.slots if slot.state is not SlotState.FREE
    )
    entries = tuple(
        EntryFact(entry.state, entry.k, entry.amount, entry.request_hash, entry.voucher_hash)
        for entry in state.table
        if entry.state is not EntryState.FREE
    )
    return PurseFacts(
        purse,
        state.epoch,
        state.lifecycle,
        state.next_n,
        state.next_k,
        state.n_acked,
        state.total_in,
        state.total_out,
        state.total_reversed,
        state.out_acked,
        state.in_acked,
        tuple(sorted(slots, key=lambda slot: slot.n)),
        tuple(sorted(entries, key=lambda entry: entry.k)),
        balance_limit,
        offline_total,
    )


def _slot(state: SlotState, n: int, stored: bytes, key: PublicKey) -> SlotFact:
    voucher, readable = _voucher(stored, key)
    if voucher is None:
        return SlotFact(state, n, 0, b"", b"", b"", readable=False)
    return SlotFact(
        state, n, voucher.amount, voucher.payee, voucher.hash, voucher.request_hash, readable and voucher.n == n
    )


@lru_cache(maxsize=100_000)
def _voucher(stored: bytes, key: PublicKey) -> tuple[Voucher | None, bool]:
    try:
        signed = parse(Voucher, stored)
    except EcnyError:
        return None, False
    try:
        signed.verify(key)
    except EcnyError:
        return signed.message, False
    return signed.message, True


def _is_by(signed: Signed[Any], key: PublicKey) -> bool:
    try:
        signed.verify(key)
    except EcnyError:
        return False
    return True


_KINDS = (Voucher, Receipt, Refusal, Report)


@lru_cache(maxsize=100_000)
def heard(message: bytes, keys: frozenset[PublicKey]) -> Heard | None:
    """What a message of a transfer says that one of these purses has signed; None for anything else."""
    for kind in _KINDS:
        try:
            signed = parse(kind, message)
        except EcnyError:
            continue
        said = signed.message
        if not any(_is_by(signed, key) for key in keys):
            return None
        match said:
            case Voucher():
                return Heard("voucher", said.payer, said.epoch, said.n, said.hash, said.request_hash, said.amount)
            case Receipt():
                return Heard("receipt", said.payee, 0, said.k, said.hash, said.voucher_hash, 0)
            case Refusal():
                return Heard("refusal", said.payee, 0, said.k, said.hash, said.request_hash, 0)
            case Report():
                collected = [line.hash for line in said.entry_lines if line.state == EntryState.COLLECTED]
                return Heard("report", said.purse, said.epoch, 0, said.hash, b"", 0, tuple(collected))
    return None
