"""Who bears a voucher: the payer's shadow, or `loss`. Canonical: a function of the set of vouchers, not of their order.

For one card, V is the set of its credited vouchers, I what it is proved to have received, less what was refunded. Of
the vouchers under one counter the one with the smallest payload hash is the *primary*, the others are its rivals. Then

    loss of the card    = all rivals + what the primaries are beyond I
    shadow is charged   = all of V - loss of the card

Both follow from V and I alone, so every order of arrival ends with the same balances (I9), as long as all are credited.
A voucher is credited when the loss of its card stays within the card's limit: 0 (or the operator's allowance) for a
card in good standing, the review cap for one whose double-spending is proved.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from server.risk.settings import RiskSettings
from server.storage.protocol import Reader, Writer
from server.storage.records import PurseRecord, VoucherRecord
from server.storage.records_risk import DeficitRecord
from wallet_core.errors import StorageError

_MOVE = b"ecny-loss-moved-1"
Counter = tuple[int, int]  # epoch, n


@dataclass(frozen=True, slots=True)
class Move:
    """Fen to take from the card's shadow and from `loss`; below zero: to give back."""

    card: int
    loss: int


@dataclass(slots=True)
class _Card:
    """`headroom`: I less what is charged to the shadow. `proved`: a proof of fraud is kept. `groups` is looked up for
    those only: nobody else has rivals."""

    purse: int
    headroom: int
    lost: int
    moves: int
    proved: bool
    rivals: int = 0
    groups: defaultdict[Counter, dict[bytes, int]] | None = None
    changed: bool = False


class Losses:
    """The cards of one transaction. What it answers is to be posted by the caller, who then calls `write`.

    `paid`: numbers of purses to which a charged voucher went: their inflow has risen, which the caller follows up.
    """

    def __init__(self, tx: Writer, risk: RiskSettings) -> None:
        self._tx = tx
        self._risk = risk
        self._cards: dict[int, _Card] = {}
        self.paid: list[int] = []

    def read(self, payers: Iterable[tuple[int, int]]) -> None:
        """Look up many at once: (purse number, card account)."""
        wanted = {number: account for number, account in payers if number not in self._cards}
        headroom = self._tx.headroom(wanted.values()) if wanted else {}
        for number, account in wanted.items():
            deficit = self._tx.deficit(number)
            card = _Card(number, headroom[account], deficit.lost, deficit.moves, is_proved(self._tx, number))
            self._cards[number] = card
            if card.proved:
                self._group(card)

    def charge(
        self, payer: int, counter: Counter, voucher_hash: bytes, amount: int, *, pay_review: bool = False
    ) -> Move | None:
        """Credit this voucher, if the card's loss stays within its limit; `pay_review`: within the review cap."""
        card = self._cards[payer]
        primary = self._primary(card, counter)
        ours = amount if primary is None or voucher_hash < primary[0] else 0
        theirs = primary[1] if primary is not None and ours else 0
        loss = self._loss(card, amount, ours - theirs)
        limit = self._risk.review_cap if card.proved or pay_review else self._risk.allowance
        if loss > max(limit, card.lost):
            return None
        if card.groups is not None:
            card.groups[counter][voucher_hash] = amount
        return self._apply(card, amount, ours - theirs, loss)

    def give_back(self, record: VoucherRecord) -> Move:
        """A credited voucher that is reversed."""
        card = self._cards[record.payer]
        before = self._primary(card, (record.epoch, record.n)) or (record.hash, record.amount)
        after = None
        if card.groups is not None:
            del card.groups[(record.epoch, record.n)][record.hash]
            after = self._primary(card, (record.epoch, record.n))
        change = (after[1] if after else 0) - before[1]
        return self._apply(card, -record.amount, change, self._loss(card, -record.amount, change))

    def rebalance(self, payer: int, *, withdrawn: bool = False) -> Move:
        """After inflow was proved, or `withdrawn` by a fraud of the payer itself: `loss` bears what it should."""
        card = self._cards[payer]
        loss = self._loss(card, 0, 0)
        if loss > card.lost and not card.proved and not withdrawn:
            return Move(0, 0)
        return self._apply(card, 0, 0, loss)

    def prove(self, payer: int) -> None:
        """A proof of fraud was stored in this transaction: the limit of this card is the review cap now."""
        card = self._cards[payer]
        if not card.proved:
            card.proved = True
            self._group(card)

    def headroom(self, payer: int) -> int:
        return self._cards[payer].headroom

    def reference(self, purse: PurseRecord) -> bytes:
        """Of the next move of a loss that no voucher makes, 32 bytes."""
        card = self._cards[purse.number]
        card.moves += 1
        card.changed = True
        return hashlib.sha256(_MOVE + purse.id + card.moves.to_bytes(8, "big")).digest()

    def write(self) -> None:
        """Store what has changed."""
        for card in self._cards.values():
            if card.changed:
                self._tx.set_deficit(card.purse, DeficitRecord(card.lost, card.moves))
                card.changed = False

    def _loss(self, card: _Card, total: int, primaries: int) -> int:
        """The card's loss when its credited vouchers grow by `total` fen, its primaries among them by `primaries`."""
        return card.rivals + total - primaries + max(0, card.lost - card.rivals - card.headroom + primaries)

    def _apply(self, card: _Card, total: int, primaries: int, loss: int) -> Move:
        move = Move(total - (loss - card.lost), loss - card.lost)
        card.headroom -= move.card
        card.rivals += total - primaries
        if card.rivals < 0 or loss < 0:
            raise StorageError("a card's losses do not add up", next_step="Restore the database; report this.")
        if loss != card.lost:
            card.lost, card.changed = loss, True
        return move

    def _group(self, card: _Card) -> None:
        groups: defaultdict[Counter, dict[bytes, int]] = defaultdict(dict)
        for record in self._tx.vouchers_of_payer(card.purse):
            if record.state.charged:
                groups[(record.epoch, record.n)][record.hash] = record.amount
        card.groups = groups
        card.rivals = sum(sum(group.values()) - group[min(group)] for group in groups.values())

    @staticmethod
    def _primary(card: _Card, counter: Counter) -> tuple[bytes, int] | None:
        group = card.groups.get(counter) if card.groups is not None else None
        if not group:
            return None
        first = min(group)
        return first, group[first]


def is_proved(tx: Reader, payer: int) -> bool:
    """Whether a proof of fraud by this purse is kept."""
    if tx.is_equivocating(payer):
        return True
    purse = tx.purse_by_number(payer)
    return purse is not None and tx.has_two_outcomes(purse.id)
