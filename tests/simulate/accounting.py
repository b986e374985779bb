"""Where every fen is (invariant I1), from the witnesses themselves: flash of the cards, accounts of the ledger.

    operator's purse + loads in flight + purses + paid and not settled + claims + wallets + redeemed = issued + loss

Purses are what the memory of an honest card says. Paid and not settled are the vouchers in its slots that are PENDING
and that no till has been credited for. In flight are loads that the ledger has paid, without a Receipt there or in the
card. What a card with a broken secure element says of itself counts for nothing: it has a claim on what the ledger has
proved of it. An equation that only repeats the ledger's own arithmetic would prove nothing; this one also fails for a
debit without a voucher, a credit without a load, and a voucher that is settled twice or for another amount.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from server.ledger.accounts import AccountKind
from server.storage.protocol import Reader
from server.storage.records import VoucherState
from simulate.cards import Card
from wallet_core.messages import Request, parse
from wallet_core.purse.state import Entry, EntryState, SlotState

Reading = Callable[[], AbstractContextManager[Reader]]


@dataclass(frozen=True, slots=True)
class Sums:
    """All in fen; `difference` is 0 in a city from which nothing is lost and to which nothing is added."""

    issued: int
    loss: int
    operator_purses: int
    in_flight: int
    purses: int
    unsettled: int
    claims: int
    wallets: int
    redeemed: int

    @property
    def difference(self) -> int:
        held = self.operator_purses + self.in_flight + self.purses + self.unsettled + self.claims
        return held + self.wallets + self.redeemed - self.issued - self.loss


@dataclass(slots=True)
class _Holding:
    """What one card holds, as of the last look at its memory."""

    token: tuple[int, int] = (-1, -1)
    balance: int = 0
    pending: dict[int, tuple[bytes, int]] = field(default_factory=dict)  # n → H(Voucher), fen


class Accountant:
    """Counts one district, again and again; what has not been touched since is not read again."""

    def __init__(self, reading: Reading, operator_purse: bytes) -> None:
        """`reading` opens a snapshot of the books; `operator_purse`: id of the purse that loads."""
        self.operator_purse = operator_purse
        self._reading = reading
        self._holdings: dict[int, _Holding] = {}
        self._numbers: dict[bytes, int] = {}
        self._settled: set[tuple[bytes, int]] = set()  # a voucher that is settled stays settled
        self.collected: set[bytes] = set()
        """H(Voucher) of all that purses were ever seen to have collected."""
        self.taken: dict[bytes, int] = defaultdict(int)
        """Fen that other purses than the operator's have taken from this purse, by its id."""
        self.refunded: dict[bytes, int] = defaultdict(int)
        """Fen that it has taken from them."""
        self._takes: dict[bytes, list[tuple[bytes, int, int]]] = defaultdict(list)  # of a purse: from whom, n, fen

    def count(self, honest: Iterable[Card], broken: Iterable[bytes], frozen: Sequence[Card] = ()) -> Sums:
        """`honest`: cards whose secure element holds; `broken`: ids of the others; `frozen`: lost ones, whose holders
        have a claim now instead of the card."""
        known = list(honest)
        for card in (*known, *frozen):
            self.look(card)  # who has collected comes before who still waits
        with self._reading() as tx:
            held: dict[AccountKind, int] = dict.fromkeys(AccountKind, 0)
            owned: dict[tuple[AccountKind, str], int] = {}
            for account in tx.accounts():
                held[account.kind] += account.balance
                if account.balance:
                    owned[(account.kind, account.owner)] = account.balance
            purses = unsettled = in_flight = 0
            for card in known:
                holding = self._holding(card)
                purses += holding.balance
                unsettled += self._unsettled(tx, card.id, holding)
                if (AccountKind.LOAD_IN_FLIGHT, card.id.hex()) in owned:
                    loads = tx.pending_loads(card.id)
                    in_flight += sum(load.amount for load in loads if load.voucher_hash not in self.collected)
            claims = sum(self._in_books(tx, card) for card in frozen)
            claims += sum(
                owned.get((kind, purse.hex()), 0)
                for purse in (*broken, *(card.id for card in frozen))
                for kind in (AccountKind.LOAD_IN_FLIGHT, AccountKind.CARD)
            )
        return Sums(
            issued=-held[AccountKind.ISSUANCE],
            loss=-held[AccountKind.LOSS],
            operator_purses=held[AccountKind.OPERATOR_PURSE],
            in_flight=in_flight,
            purses=purses,
            unsettled=unsettled,
            claims=claims,
            wallets=held[AccountKind.WALLET],
            redeemed=held[AccountKind.REDEEMED],
        )

    def look(self, card: Card) -> None:
        """See what this purse has collected, before a grant lets it forget."""
        self._holding(card)

    def _holding(self, card: Card) -> _Holding:
        holding = self._holdings.setdefault(id(card), _Holding())
        token = (card.flash.session, card.flash.programmed)
        if token != holding.token:
            self._read(card, holding)
            holding.token = token
        return holding

    def _read(self, card: Card, holding: _Holding) -> None:
        state = card.state()
        holding.balance = state.balance
        holding.pending = {
            slot.n: (slot.voucher_hash, slot.amount)
            for slot in state.slots
            if slot.state is SlotState.PENDING and (card.id, slot.n) not in self._settled
        }
        for entry in state.table:
            if entry.state is EntryState.COLLECTED and entry.voucher_hash not in self.collected:
                self._take(card.id, entry)

    def _take(self, payee: bytes, entry: Entry) -> None:
        self.collected.add(entry.voucher_hash)
        asked = parse(Request, entry.request).message
        if asked.payer != self.operator_purse:
            self.taken[asked.payer] += entry.amount
            self.refunded[payee] += entry.amount
            self._takes[payee].append((asked.payer, asked.n, entry.amount))

    def _unsettled(self, tx: Reader, purse: bytes, holding: _Holding) -> int:
        for n, (voucher_hash, _) in list(holding.pending.items()):
            if voucher_hash in self.collected:
                del holding.pending[n]
                continue
            row = tx.voucher(self._number(tx, purse), 1, n)
            if row is not None and row.state is VoucherState.SETTLED and row.hash == voucher_hash:
                self._settled.add((purse, n))
                del holding.pending[n]
        return sum(amount for _, amount in holding.pending.values())

    def _in_books(self, tx: Reader, card: Card) -> int:
        """What the ledger's word on a frozen card lacks: transfers between purses of which it has not heard yet."""
        state, missing = card.state(), 0
        for slot in state.slots:
            if slot.state is SlotState.FREE:
                continue
            row = tx.voucher(self._number(tx, card.id), 1, slot.n)
            if slot.voucher_hash in self.collected:
                missing -= slot.amount * (row is None)
            elif row is not None and row.state is VoucherState.OPEN and row.hash == slot.voucher_hash:
                missing += slot.amount  # in flight to a purse, which can still collect or refuse it
        for payer, n, amount in self._takes[card.id]:  # a grant may have let it forget, before its payer was heard
            row = tx.voucher(self._number(tx, payer), 1, n)
            missing += amount * (row is None or row.state is not VoucherState.SETTLED)
        return missing

    def _number(self, tx: Reader, purse: bytes) -> int:
        if purse not in self._numbers:
            record = tx.purse(purse)
            self._numbers[purse] = record.number if record else 0
        return self._numbers[purse]
