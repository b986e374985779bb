"""The work that tills bring: fresh, valid vouchers of many cards, signed before anything is timed.

Everything is built by the product's own code and is what tills really send: signed batches in a chain, with the
certificate of each payer once. Keys and amounts follow from a seed; nothing is sent twice.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Self

from bench.ceiling import Item, cores
from wallet_core.audit import KEY_SIZE, NONCE_SIZE, AuditData
from wallet_core.cose import Sign1
from wallet_core.ids import HASH_SIZE
from wallet_core.keys import SoftwareKey
from wallet_core.messages import DepositBatch, Signed, Voucher
from wallet_core.suites import Suite

LOADED = 100_000  # fen on each card
LEAST, MOST = 100, 500  # fen of a sale
EPOCH = 1
AUDIT_KEY = bytes(KEY_SIZE)
_MAX_VOUCHER = 1024


def key_of(name: str) -> SoftwareKey:
    """The benchmark's key of this name."""
    return SoftwareKey.from_secret(hashlib.sha256(f"benchmark key {name}".encode()).digest())


def card_key(index: int) -> SoftwareKey:
    return key_of(f"card {index}")


class Sale(NamedTuple):
    """What one voucher says. `card`: index; `amount`: fen."""

    card: int
    n: int
    till: bytes
    k: int
    amount: int


_cards: list[SoftwareKey] = []


def _prepare(cards: int) -> None:
    _cards[:] = [card_key(index) for index in range(cards)]


def _sign(sales: Sequence[Sale]) -> list[bytes]:
    return [_voucher(sale) for sale in sales]


def _voucher(sale: Sale) -> bytes:
    key = _cards[sale.card]
    request_hash = hashlib.sha256(b"request" + sale.till + sale.k.to_bytes(4, "big")).digest()
    message = Voucher(
        suite=Suite.ES256,
        payer=key.public.thumbprint,
        epoch=EPOCH,
        n=sale.n,
        payee=sale.till,
        k=sale.k,
        amount=sale.amount,
        request_hash=request_hash,
        policy_version=1,
        audit=AuditData(sale.n, LOADED, sale.amount, 0, sale.amount).seal(AUDIT_KEY, request_hash[:NONCE_SIZE]),
    )
    return Signed.sign(message, key).to_bytes()


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch ready to send. `amount`: fen of all its vouchers."""

    raw: bytes
    hash: bytes
    number: int
    vouchers: int
    amount: int


class Till:
    """One account payee: its key and the head of its chain."""

    def __init__(self, index: int) -> None:
        self.key = key_of(f"till {index}")
        self.id = self.key.public.thumbprint
        self.k = 0
        self._number = 0
        self._previous = bytes(HASH_SIZE)

    def seal(self, vouchers: Sequence[bytes], certificates: Sequence[bytes], amount: int) -> Batch:
        """The next batch of this till's chain."""
        self._number += 1
        message = DepositBatch(
            suite=Suite.ES256,
            payee=self.id,
            number=self._number,
            previous=self._previous,
            vouchers=tuple(vouchers),
            certificates=tuple(certificates),
        )
        signed = Signed.sign(message, self.key)
        self._previous = signed.hash
        return Batch(signed.to_bytes(), self._previous, self._number, len(vouchers), amount)


class Tills:
    """All tills and cards, and the processes that sign for them. Use as a context manager.

    `certificates`: of the cards, by index, as the operator issued them.
    """

    def __init__(self, tills: int, certificates: Sequence[bytes]) -> None:
        self.tills = [Till(index) for index in range(tills)]
        self._certificates = certificates
        self._next_n = [1] * len(certificates)
        self._random = Random("benchmark sales")
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(cores(), context, initializer=_prepare, initargs=(len(certificates),))

    def next_batches(self, batches: int, vouchers: int) -> list[list[Batch]]:
        """For each till its next `batches` batches of `vouchers` fresh vouchers each."""
        plans = [[self._sales(till, vouchers) for _ in range(batches)] for till in self.tills]
        signed = self._pool.map(_sign, [sales for plan in plans for sales in plan])
        return [
            [self._seal(till, sales, next(signed)) for sales in plan]
            for till, plan in zip(self.tills, plans, strict=True)
        ]

    def _sales(self, till: Till, count: int) -> list[Sale]:
        sales = []
        for card in self._random.choices(range(len(self._next_n)), k=count):
            till.k += 1
            sales.append(Sale(card, self._next_n[card], till.id, till.k, self._random.randint(LEAST, MOST)))
            self._next_n[card] += 1
        return sales

    def _seal(self, till: Till, sales: Sequence[Sale], vouchers: Sequence[bytes]) -> Batch:
        payers = dict.fromkeys(sale.card for sale in sales)
        certificates = [self._certificates[card] for card in payers]
        return till.seal(vouchers, certificates, sum(sale.amount for sale in sales))

    def signatures(self, count: int) -> tuple[list[bytes], list[Item]]:
        """Keys and `count` signatures for the ceiling: of vouchers like the others, that no till will send."""
        points = [_point(card_key(index)) for index in range(len(self._certificates))]
        stranger = bytes(HASH_SIZE)
        chosen = self._random.choices(range(len(points)), k=count)
        sales = [Sale(card, 1, stranger, k + 1, LEAST) for k, card in enumerate(chosen)]
        size = -(-count // (4 * cores()))
        shares = [sales[at : at + size] for at in range(0, count, size)]
        made = [voucher for share in self._pool.map(_sign, shares) for voucher in share]
        items = []
        for sale, voucher in zip(sales, made, strict=True):
            sign1 = Sign1.from_bytes(voucher, max_size=_MAX_VOUCHER)
            items.append((sale.card, sign1.signature, sign1.signed_bytes))
        return points, items

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()


def _point(key: SoftwareKey) -> bytes:
    return b"\x04" + key.public.x + key.public.y
