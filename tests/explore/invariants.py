"""The invariants of docs/spec/transfer.md, on the facts of one moment.

I6 and I7 speak of one step of one device: `purses.py` and `servers.py` look at them in each step that they compute. The
second half of I3 (value can come home) and of I9 (any order) speak of many states: `endings.py` looks at them when a
search has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
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
    credited = collected(purses, server, heard)
    for purse in purses:
        yield from _counters(purse)
        yield from _limits(purse)
        yield from _readable(purse, server, heard, credited)
    yield from _till(till, server, credited)
    yield from _outcomes(purses, server, heard)
    yield from _one_payload(heard)
    yield from _conserved(purses, server, heard, outside)


def collected(purses: Sequence[PurseFacts], server: ServerFacts, heard: Sequence[Heard]) -> set[bytes]:
    """H(Voucher) of what is credited: in the books, in a purse's table, or by a purse's own word."""
    credited = {voucher_hash for voucher_hash, _ in server.settled}
    for purse in purses:
        credited |= {entry.voucher_hash for entry in purse.entries if entry.state is EntryState.COLLECTED}
    for said in heard:
        if said.kind == "receipt":
            credited.add(said.about)
        credited.update(said.collected)
    return credited


def in_flight(purses: Sequence[PurseFacts], server: ServerFacts, heard: Sequence[Heard]) -> list[SlotFact]:
    """Vouchers that are debited, not reversed, and credited to nobody yet."""
    credited = collected(purses, server, heard)
    return [
        slot
        for purse in purses
        for slot in purse.slots
        if slot.state is SlotState.PENDING and slot.voucher_hash not in credited
    ]


def _conserved(
    purses: Sequence[PurseFacts], server: ServerFacts, heard: Sequence[Heard], outside: int
) -> Iterator[str]:
    """I1: what was issued is somewhere, once."""
    held = server.operator_purse + server.wallets + sum(purse.balance for purse in purses) + outside
    held += sum(slot.amount for slot in in_flight(purses, server, heard))
    issued = server.issued - server.redeemed + server.loss
    if held != issued:
        yield f"I1: {issued} fen are out, {held} fen are there"


def _outcomes(purses: Sequence[PurseFacts], server: ServerFacts, heard: Sequence[Heard]) -> Iterator[str]:
    """I2: one voucher for a Request, one outcome for a voucher."""
    of_request: dict[bytes, bytes] = {}
    for said in heard:
        if said.kind == "voucher" and of_request.setdefault(said.about, said.hash) != said.hash:
            yield "I2: two vouchers for one Request"
    credited, returned = collected(purses, server, heard), set(server.ordered)
    for purse in purses:
        requests = [slot.request_hash for slot in purse.slots]
        if len(set(requests)) != len(requests):
            yield "I2: two vouchers for one Request in a purse"
        returned |= {slot.voucher_hash for slot in purse.slots if slot.state is SlotState.REVERSED}
    if returned & credited:
        yield "I2: a voucher is collected and reversed"
    receipts = {(said.signer, said.about) for said in heard if said.kind == "receipt"}
    for said in heard:
        voucher = of_request.get(said.about) if said.kind == "refusal" else None
        if voucher is not None and (said.signer, voucher) in receipts:
            yield "I2: a payee has signed Receipt and Refusal of one voucher"
        if voucher is not None and voucher in credited:
            yield "I2: a refused voucher is credited"


def _readable(
    purse: PurseFacts, server: ServerFacts, heard: Sequence[Heard], credited: AbstractSet[bytes]
) -> Iterator[str]:
    """I3 and I4: each counter has its one readable voucher, in its slot or, with a final outcome, known outside."""
    if any(not slot.readable for slot in purse.slots):
        yield "I3: a voucher in its slot is not readable"
    numbers = [slot.n for slot in purse.slots]
    if len(set(numbers)) != len(numbers) or any(not 1 <= n < purse.next_n for n in numbers):
        yield "I4: the counters of the vouchers do not fit"
    stored = {(slot.n, slot.voucher_hash) for slot in purse.slots}
    paid = sum(slot.amount for slot in purse.slots)
    back = sum(slot.amount for slot in purse.slots if slot.state is SlotState.REVERSED)
    gone = set[int]()
    refused = server.refused | {said.about for said in heard if said.kind == "refusal"}
    for said in heard:
        if said.kind != "voucher" or (said.signer, said.epoch) != (purse.purse, purse.epoch):
            continue
        if (said.number, said.hash) in stored:
            continue
        returned = said.hash in server.ordered or said.about in refused
        if said.number >= purse.next_n or said.number in numbers or not (returned or said.hash in credited):
            yield "I3: a voucher has left the purse, and it is neither in its slot nor ended"
        gone.add(said.number)
        paid += said.amount
        back += said.amount if returned else 0
    if set(range(1, purse.next_n)) != gone | set(numbers):
        yield "I4: a counter is used and its voucher is nowhere"
    if (paid, back) != (purse.total_out, purse.total_reversed):
        yield f"I3: {purse.total_out} fen paid and {purse.total_reversed} back, but vouchers of {paid} and {back} fen"


def _counters(purse: PurseFacts) -> Iterator[str]:
    """I4: the payee's counters."""
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


def _till(till: TillFacts, server: ServerFacts, credited: AbstractSet[bytes]) -> Iterator[str]:
    """I2 and I4 as the till and its operator see them."""
    numbers = sorted(sale.k for sale in (*till.sales, *till.transfers))
    if numbers != list(range(1, len(numbers) + 1)):
        yield "I4: the counters of the sales have a gap"
    settled = {voucher_hash for voucher_hash, _ in server.settled}
    for sale in till.sales:
        if sale.state == "SETTLED" and sale.voucher_hash not in settled:
            yield "I2: a sale is settled at the till and not in the books"
        if sale.state == "REFUSED" and sale.voucher_hash in settled:
            yield "I2: a refused sale is settled"
    for sale in till.transfers:
        if sale.state == "PAID" and sale.voucher_hash not in credited:
            yield "I2: the till says PAID, and the merchant's purse has not got it"
        if sale.state == "REFUSED" and sale.voucher_hash in credited:
            yield "I2: the till says REFUSED, and the merchant's purse has it"


def _books(server: ServerFacts) -> Iterator[str]:
    """I9: the ledger's own recount."""
    if server.faults:
        yield f"I9: {server.faults[0]}"
