"""The invariants of docs/spec/transfer.md, on the facts of one moment.

I6 and I7 speak of one step of one device: `purses.py` and `servers.py` look at them in each step that they compute. The
second half of I3 (value can come home) and of I9 (any order) speak of many states: `endings.py` looks at them when a
search has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from explore.facts import Heard, PurseFacts, ServerFacts, SlotFact, TillFacts
from wallet_core.purse.state import EntryState, SlotState


def broken(
    purses: Sequence[tuple[PurseFacts, ...]],
    till: TillFacts,
    server: ServerFacts,
    heard: Sequence[Heard],
    outside: int,
) -> str:
    """The first invariant that does not hold, in words; empty if all do.

    `purses`: for each purse what it may be at its next power-up; all of it must be good. `outside`: fen that the books
    show on purses which take no part.
    """
    for one in product(*purses):
        for wrong in _every(one, till, server, heard, outside):
            return wrong
    return ""


def _every(
    purses: tuple[PurseFacts, ...], till: TillFacts, server: ServerFacts, heard: Sequence[Heard], outside: int
) -> Iterator[str]:
    yield from _books(server)
    for purse in purses:
        yield from _counters(purse)
        yield from _limits(purse)
        yield from _readable(purse, heard)
    yield from _till(till, server)
    yield from _outcomes(purses, server, heard)
    yield from _one_payload(heard)
    yield from _conserved(purses, server, outside)


def in_flight(purses: Sequence[PurseFacts], server: ServerFacts) -> list[SlotFact]:
    """Vouchers that are debited, not reversed, and credited to nobody yet."""
    credited = {voucher_hash for voucher_hash, _ in server.settled}
    for purse in purses:
        credited |= {entry.voucher_hash for entry in purse.entries if entry.state is EntryState.COLLECTED}
    return [
        slot
        for purse in purses
        for slot in purse.slots
        if slot.state is SlotState.PENDING and slot.voucher_hash not in credited
    ]


def _conserved(purses: Sequence[PurseFacts], server: ServerFacts, outside: int) -> Iterator[str]:
    """I1: what was issued is somewhere, once."""
    held = server.operator_purse + server.wallets + sum(purse.balance for purse in purses) + outside
    held += sum(slot.amount for slot in in_flight(purses, server))
    issued = server.issued - server.redeemed + server.loss
    if held != issued:
        yield f"I1: {issued} fen are out, {held} fen are there"


def _outcomes(purses: Sequence[PurseFacts], server: ServerFacts, heard: Sequence[Heard]) -> Iterator[str]:
    """I2: one voucher for a Request, one outcome for a voucher."""
    of_request: dict[bytes, bytes] = {}
    for said in heard:
        if said.kind == "voucher" and of_request.setdefault(said.about, said.hash) != said.hash:
            yield "I2: two vouchers for one Request"
    reversed_, credited = set[bytes](), {voucher_hash for voucher_hash, _ in server.settled}
    for purse in purses:
        requests = [slot.request_hash for slot in purse.slots]
        if len(set(requests)) != len(requests):
            yield "I2: two vouchers for one Request in a purse"
        reversed_ |= {slot.voucher_hash for slot in purse.slots if slot.state is SlotState.REVERSED}
        credited |= {entry.voucher_hash for entry in purse.entries if entry.state is EntryState.COLLECTED}
    if reversed_ & credited:
        yield "I2: a voucher is collected and reversed"
    collected = {(said.signer, said.about) for said in heard if said.kind == "receipt"}
    for said in heard:
        voucher = of_request.get(said.about) if said.kind == "refusal" else None
        if voucher is not None and (said.signer, voucher) in collected:
            yield "I2: a payee has signed Receipt and Refusal of one voucher"
        if voucher is not None and voucher in credited:
            yield "I2: a refused voucher is credited"


def _readable(purse: PurseFacts, heard: Sequence[Heard]) -> Iterator[str]:
    """I3: each debit has a readable voucher until it has a final outcome; what has left the purse is in it."""
    since = sum(slot.amount for slot in purse.slots if slot.n >= purse.n_acked)
    if purse.total_out - purse.out_acked != since:
        yield f"I3: {purse.total_out - purse.out_acked} fen paid since the last grant, vouchers for {since} fen"
    if any(not slot.readable for slot in purse.slots):
        yield "I3: a voucher in its slot is not readable"
    stored = {(slot.n, slot.voucher_hash) for slot in purse.slots}
    for said in heard:
        if said.kind != "voucher" or (said.signer, said.epoch) != (purse.purse, purse.epoch):
            continue
        if (said.number, said.hash) not in stored and said.number >= purse.n_acked:
            yield "I3: a voucher has left the purse and is not debited in it"


def _counters(purse: PurseFacts) -> Iterator[str]:
    """I4: counters without gaps, each for one payload."""
    numbers = [slot.n for slot in purse.slots]
    if len(set(numbers)) != len(numbers) or any(not 1 <= n < purse.next_n for n in numbers):
        yield "I4: the counters of the vouchers do not fit"
    if set(range(purse.n_acked, purse.next_n)) - set(numbers):
        yield "I4: a counter is used and has no voucher"
    asked = [entry.k for entry in purse.entries]
    if len(set(asked)) != len(asked) or any(not 1 <= k < purse.next_k for k in asked):
        yield "I4: the counters of the Requests do not fit"


def _limits(purse: PurseFacts) -> Iterator[str]:
    """I5: nothing below zero, nothing above the limits but by a reversal."""
    if purse.balance < 0:
        yield f"I5: a balance of {purse.balance} fen"
    if purse.balance + purse.open_amount - purse.total_reversed > purse.balance_limit:
        yield f"I5: {purse.balance + purse.open_amount} fen and a limit of {purse.balance_limit} fen"
    if purse.total_out - purse.out_acked > purse.offline_total:
        yield "I5: more paid offline than the limit"
    if purse.out_acked > purse.total_out or purse.in_acked > purse.total_in:
        yield "I5: more is acknowledged than there was"


def _one_payload(heard: Sequence[Heard]) -> Iterator[str]:
    """I8: no relay can make a fraud proof of what honest purses have said."""
    first: dict[tuple[bytes, int, int], bytes] = {}
    for said in heard:
        key = (said.signer, said.epoch, said.number)
        if said.kind == "voucher" and first.setdefault(key, said.hash) != said.hash:
            yield "I8: two vouchers with one counter"


def _till(till: TillFacts, server: ServerFacts) -> Iterator[str]:
    """I2 and I4 as the till and its operator see them."""
    if [sale.k for sale in till.sales] != list(range(1, len(till.sales) + 1)):
        yield "I4: the counters of the sales have a gap"
    settled = {voucher_hash for voucher_hash, _ in server.settled}
    for sale in till.sales:
        if sale.state == "SETTLED" and sale.voucher_hash not in settled:
            yield "I2: a sale is settled at the till and not in the books"
        if sale.state == "REFUSED" and sale.voucher_hash in settled:
            yield "I2: a refused sale is settled"


def _books(server: ServerFacts) -> Iterator[str]:
    """I9: the ledger's own recount."""
    if server.faults:
        yield f"I9: {server.faults[0]}"
