"""Dishonest parties: cards whose secure element is broken, and tills that sign what suits them.

They use the real code for everything that they do not cheat in, so that their messages are genuine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random
from typing import Final

from merchant_pos.journal import Contents
from merchant_pos.ports import Expected
from merchant_pos.sales import Sale
from simulate.cards import CityError
from simulate.tills import Till
from simulate.visitors import Visitor
from wallet_core.errors import CodecError, ServerUnreachableError
from wallet_core.messages import DepositAnswer, DepositBatch, Refusal, Signed, Voucher, parse
from wallet_core.messages.deposit import MAX_ANSWER_SIZE
from wallet_core.suites import Suite

MOST: Final = 200  # vouchers and refusals of a batch, before the tricks
TRICKS: Final = 0.2  # of the sales that a dishonest till hands in
MINTED: Final = (20_000, 60_000)  # fen that a minting card gives itself, from and to
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256 (FIPS 186-5)
_REMEMBERED: Final = 30


def minting(visitor: Visitor, rng: Random) -> None:
    """Make the visitor's card one whose code lets its balance go beyond what it was ever paid."""
    after = rng.randint(1, 6)

    def plan() -> None:
        nonlocal after
        if visitor.payments < after:
            return
        after += rng.randint(3, 8)
        state, extra = visitor.card.state(), rng.randint(*MINTED)
        visitor.card.rewrite(replace(state, total_in=state.total_in + extra, in_acked=state.in_acked + extra))

    visitor.honest = False
    visitor.plan = plan


def cloned(visitor: Visitor, rng: Random, copy: Callable[[Visitor], None]) -> None:
    """After some payments the card is copied, and both copies go shopping with the same counters."""
    after, done = rng.randint(0, 8), False

    def plan() -> None:
        nonlocal done
        if done or visitor.payments < after or visitor.open_at is not None or visitor.card.state().balance == 0:
            return
        done = True
        copy(visitor)

    visitor.honest = False
    visitor.plan = plan


class Trick(Enum):
    """What a dishonest till does with a sale that is PAID."""

    TWICE = "the voucher two times in one batch"
    AGAIN = "the voucher once more in the next batch"
    OTHER_SIGNATURE = "the voucher, and itself with the other valid signature"
    ALTERED = "the voucher, and another amount under its signature"
    STOLEN = "the voucher, and one of another till"
    REFUSE_TOO = "voucher and Refusal in one batch"
    REFUSE_FIRST = "the Refusal now, the voucher in the next batch"
    REFUSE_LATER = "the voucher now, its Refusal in the next batch"


@dataclass
class Hand:
    """What the next batch will carry."""

    vouchers: list[bytes] = field(default_factory=list)
    refusals: list[bytes] = field(default_factory=list)


class CrookedTill(Till):
    """Sells as any other till, and deposits as it likes. `booty`: vouchers that all dishonest tills share."""

    booty: list[bytes]
    trick_rng: Random
    broken: frozenset[bytes] | set[bytes] = frozenset()
    _later: Hand
    _waiting: bytes | None = None

    def prepare(self, rng: Random, booty: list[bytes], broken: set[bytes]) -> None:
        """`broken`: ids of broken cards; their vouchers are left alone, one fraud at a time."""
        self.trick_rng, self.booty, self.broken = rng, booty, broken
        self._later = Hand()

    def sync(self) -> bool:
        """Batches of its own making, one after the other; whether all of them are answered."""
        while True:
            if self._waiting is None:
                batch = self.journal.freeze(MOST, MOST, self._build)
                if batch is None:
                    return True
                self._waiting = batch.body
            try:
                answer = self.deposits.deposit(self._waiting)
            except ServerUnreachableError:
                return False
            if isinstance(answer, Expected):
                raise CityError("the chain of a dishonest till is broken")
            try:
                parse(DepositAnswer, answer, max_size=MAX_ANSWER_SIZE)
            except CodecError:
                return False  # half an answer
            self._waiting = None

    def _build(self, contents: Contents) -> tuple[bytes, bytes]:
        now, self._later = self._later, Hand()
        for sale in contents.refused:
            now.refusals.append(sale.refusal or b"")
        for sale in contents.paid:
            self._play(sale, now, self._later)
        payers = dict.fromkeys(sale.request.payer for sale in contents.paid)
        certificates = [self.journal.certificate(payer) for payer in payers]
        batch = DepositBatch(
            suite=Suite.ES256,
            payee=self.id,
            number=contents.number,
            previous=contents.previous,
            vouchers=tuple(now.vouchers),
            refusals=tuple(now.refusals),
            certificates=tuple(body for body in certificates if body is not None),
        )
        signed = Signed.sign(batch, self.identity.key)
        return signed.to_bytes(), signed.hash

    def _play(self, sale: Sale, now: Hand, later: Hand) -> None:
        voucher, rng = sale.voucher or b"", self.trick_rng
        honest = sale.request.payer in self.broken or rng.random() > TRICKS
        trick = None if honest else rng.choice(tuple(Trick))
        (later if trick is Trick.REFUSE_FIRST else now).vouchers.append(voucher)
        match trick:
            case Trick.TWICE:
                now.vouchers.append(voucher)
            case Trick.AGAIN:
                later.vouchers.append(voucher)
            case Trick.OTHER_SIGNATURE:
                now.vouchers.append(_other_signature(voucher))
            case Trick.ALTERED:
                now.vouchers.append(_altered(voucher))
            case Trick.STOLEN if self.booty:
                now.vouchers.append(rng.choice(self.booty))
            case Trick.REFUSE_TOO | Trick.REFUSE_FIRST:
                now.refusals.append(self._refusal(sale))
            case Trick.REFUSE_LATER:
                later.refusals.append(self._refusal(sale))
        self.booty.append(voucher)
        del self.booty[:-_REMEMBERED]

    def _refusal(self, sale: Sale) -> bytes:
        message = Refusal(suite=sale.request.suite, payee=self.id, k=sale.k, request_hash=sale.request.hash)
        return Signed.sign(message, self.identity.key).to_bytes()


def _other_signature(voucher: bytes) -> bytes:
    """The same payload with s replaced by the order of the curve less s: it verifies, too."""
    signed = parse(Voucher, voucher)
    r, s = signed.signature[:32], int.from_bytes(signed.signature[32:])
    return replace(signed, signature=r + (_ORDER - s).to_bytes(32)).to_bytes()


def _altered(voucher: bytes) -> bytes:
    signed = parse(Voucher, voucher)
    return replace(signed, message=replace(signed.message, amount=signed.message.amount + 100)).to_bytes()
