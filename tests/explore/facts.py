"""What the invariants look at: the durable facts of each party, read with the real code and free of its bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from wallet_core.errors import EcnyError
from wallet_core.keys import PublicKey
from wallet_core.messages import Receipt, Refusal, Request, Voucher, parse
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
    """`waiting`: something is to be sent to the server, or sent and not answered."""

    sales: tuple[SaleFact, ...] = ()
    waiting: bool = False

    @property
    def open(self) -> bool:
        return any(sale.state in ("ASKED", "UNKNOWN") for sale in self.sales)


class ServerFacts(NamedTuple):
    """`faults`: what the real ledger report finds wrong; `settled`: H(Voucher) → fen credited to an account payee;
    `refused`: H(Request) of Refusals in the books; `messages`: hashes of all that the books have taken in; `balances`:
    every account, for the comparison of orders."""

    faults: tuple[str, ...]
    issued: int
    loss: int
    redeemed: int
    operator_purse: int
    wallets: int
    settled: tuple[tuple[bytes, int], ...]
    refused: frozenset[bytes]
    messages: frozenset[bytes]
    balances: tuple[tuple[str, int], ...]


class Heard(NamedTuple):
    """A signed message that has left a device: what anyone on the way may keep and deliver later."""

    kind: str
    signer: bytes
    epoch: int
    number: int
    hash: bytes
    about: bytes
    amount: int


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


_KINDS = (Voucher, Receipt, Refusal, Request)


@lru_cache(maxsize=100_000)
def heard(message: bytes) -> Heard | None:
    """What a signed message of a transfer says; None for anything else."""
    for kind in _KINDS:
        try:
            said = parse(kind, message).message
        except EcnyError:
            continue
        match said:
            case Voucher():
                return Heard("voucher", said.payer, said.epoch, said.n, said.hash, said.request_hash, said.amount)
            case Receipt():
                return Heard("receipt", said.payee, 0, said.k, said.hash, said.voucher_hash, 0)
            case Refusal():
                return Heard("refusal", said.payee, 0, said.k, said.hash, said.request_hash, 0)
            case Request():
                return Heard("request", said.payee, said.epoch, said.k, said.hash, said.payer, said.amount)
    return None
