"""Loading a card at a desk: Request by the card, Voucher by the operator's purse, Receipt by the card.

A load that was interrupted anywhere is finished by doing it again: the idempotency key is kept on disk before the
server hears of it, REQUEST and COLLECT answer what is stored, and what the server has paid is fetched again from
`GET /v1/cards/{id}/loads`. So the amount is loaded once, however often the card or the server goes away.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wallet_core.cli import remove_file, write_file
from wallet_core.errors import (
    ConfigurationError,
    PurseRefusal,
    Refused,
    ServerUnreachableError,
    SettlementError,
    StorageError,
)
from wallet_core.messages import Request, Voucher, parse
from wallet_core.purse.state import Lifecycle

from .data_objects import Fci
from .driver import HardWallet
from .operator_client import LoadOrder, OperatorClient, PaidLoad, StaleCounterError

SETTLED: Final = "load-settled"  # paid by another Request of this card
MOVES: Final = 8  # how often the operator's purse may move on between its answer and our Request


@dataclass(frozen=True, slots=True)
class Intent:
    """A load that was begun: its idempotency key and amount (fen)."""

    key: str
    amount: int


class Intents:
    """The load under way of each card, on disk (`directory`, a file a card)."""

    def __init__(self, directory: Path, new_key: Callable[[], str]) -> None:
        self._directory = directory
        self._new_key = new_key

    def open(self, card: bytes) -> Intent | None:
        """The load of this card that was begun and not finished. Raises ConfigurationError for a damaged file."""
        try:
            found = json.loads(self._file(card).read_bytes())
            return Intent(str(found["key"]), int(found["amount"]))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StorageError(f"cannot read {self._file(card)}: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError) as exc:
            raise ConfigurationError(f"{self._file(card)} does not describe a load") from exc

    def begin(self, card: bytes, amount: int) -> Intent:
        intent = Intent(self._new_key(), amount)
        write_file(self._file(card), json.dumps({"key": intent.key, "amount": intent.amount}).encode() + b"\n")
        return intent

    def end(self, card: bytes) -> None:
        try:
            remove_file(self._file(card))
        except OSError as exc:
            raise StorageError(f"cannot remove {self._file(card)}: {exc.strerror}") from exc

    def _file(self, card: bytes) -> Path:
        return self._directory / f"{card.hex()}.json"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`before`, `after`: the card's FCI.

    `own`: whether the load that was asked for was made or finished now; if not, it was settled before, or `elsewhere`
    has one of this amount that another desk began: nobody knows whether that is the one that was meant.
    `elsewhere`: amounts (fen) of loads that other desks began and this one finished. `returned`: paid loads that the
    card had refused; its Refusal has given them back. `stuck`: those of which the card has forgotten the Request.
    """

    before: Fci
    after: Fci
    own: bool
    elsewhere: tuple[int, ...] = ()
    returned: int = 0
    stuck: int = 0


@dataclass(frozen=True, slots=True)
class _Paid:
    """Paid loads by id: `done` are collected now (fen), `returned` are given back, `stuck` are left to the operator."""

    done: dict[str, int]
    returned: frozenset[str]
    stuck: int


def load_card(wallet: HardWallet, server: OperatorClient, intents: Intents, amount: int) -> Loaded:
    """Load `amount` fen, after finishing what was interrupted; an interrupted load of the same amount *is* this load.

    One that another desk began is not: then nothing more is loaded, and `Loaded.elsewhere` says so. Raises
    PurseRefusal, CardError, TransportError, SettlementError: run it again and nothing is loaded twice.
    """
    before = wallet.select()
    if before.lifecycle is not Lifecycle.ACTIVE:
        raise PurseRefusal(
            Refused.WRONG_STATE,
            f"this card is {before.lifecycle.name.lower()}",
            next_step="Personalise the card first.",
        )
    card = before.purse_id
    paid = _finish_paid(wallet, server, card)
    others = dict(paid.done)
    begun = intents.open(card)
    own = False
    if begun is not None:
        load, own = _one_load(wallet, server, intents, card, begun, paid)
        others.pop(load, None)
        if begun.amount != amount or load in paid.returned:
            begun = None
    if begun is None:
        own = amount not in others.values()
        if own:
            _one_load(wallet, server, intents, card, intents.begin(card, amount), paid)
    after = wallet.select()  # before the intent goes: a card that is taken away now must not be loaded again
    intents.end(card)
    return Loaded(before, after, own, tuple(others.values()), len(paid.returned), paid.stuck)


def _finish_paid(wallet: HardWallet, server: OperatorClient, card: bytes) -> _Paid:
    """Credit what the operator has paid and the card has not receipted; what the card refuses goes back."""
    done: dict[str, int] = {}
    returned: set[str] = set()
    stuck = 0
    for paid in server.pending_loads(card):
        voucher = parse(Voucher, paid.voucher).message
        try:
            receipt = wallet.collect(paid.voucher, paid.payer_certificate, paid.operator_certificate)
        except PurseRefusal as refusal:
            if refusal.reason is not Refused.REQUEST_CLOSED:
                raise
            if _give_back(wallet, server, voucher.request_hash):
                returned.add(paid.load)
            else:
                stuck += 1  # the operator's to remedy; it must not stand in the way of other loads
            continue
        server.hand_in(receipt)
        done[paid.load] = voucher.amount
    return _Paid(done, frozenset(returned), stuck)


def _give_back(wallet: HardWallet, server: OperatorClient, request_hash: bytes) -> bool:
    """Hand in the card's Refusal, with which the operator takes its payment back; False when the card has none."""
    try:
        refusal = wallet.refuse(request_hash)
    except PurseRefusal as closed:
        if closed.reason is not Refused.REQUEST_CLOSED:
            raise
        return False
    server.evidence((refusal,), (wallet.certificate(),))
    return True


def _one_load(
    wallet: HardWallet, server: OperatorClient, intents: Intents, card: bytes, intent: Intent, known: _Paid
) -> tuple[str, bool]:
    """One load from its beginning, or from wherever it was interrupted: its id, and whether it was loaded now.

    A definite no before the server has paid, of the card or of the server, ends the intent: then no value has moved and
    no Request is open. After it the intent stays, whatever goes wrong, until `load_card` has its answer: the next run
    has to know that it is paid.
    """
    try:
        order = server.begin_load(card, intent.amount, intent.key)
        ended = order.load in known.done or order.load in known.returned
        paid = None if ended else _pay(wallet, server, order, intent.amount)
    except ServerUnreachableError:
        raise
    except (PurseRefusal, SettlementError):
        intents.end(card)
        raise
    loaded = order.load in known.done
    if paid is not None:
        server.hand_in(wallet.collect(paid.voucher, paid.payer_certificate, paid.operator_certificate))
        loaded = True
    elif not ended:
        loaded = order.load in _finish_paid(wallet, server, card).done
    return order.load, loaded


def _pay(wallet: HardWallet, server: OperatorClient, order: LoadOrder, amount: int) -> PaidLoad | None:
    """The server's payment of this load; None when it had paid an earlier Request of this card."""
    epoch, n = order.epoch, order.n
    signed = _open_request(wallet, order)
    for _ in range(MOVES):
        signed = signed or wallet.request(order.payer, epoch, n, amount, order.order_hash)
        try:
            return server.pay_load(order.load, signed)
        except ServerUnreachableError:
            raise
        except SettlementError as refused:
            # The server does not pay this Request: give its headroom back.
            wallet.refuse(parse(Request, signed).hash)
            if refused.problem == SETTLED:  # an earlier Request was paid after all
                return None
            if not isinstance(refused, StaleCounterError):
                raise
            epoch, n, signed = refused.epoch, refused.n, None
    raise SettlementError(
        "the operator's purse moved on each time", problem="stale-counter", next_step="Try again in a moment."
    )


def _open_request(wallet: HardWallet, order: LoadOrder) -> bytes | None:
    """The Request that an interrupted run made for this load: the server may have it, so it comes before any other."""
    for signed in wallet.open_requests():
        request = parse(Request, signed).message
        if (request.payer, request.order_hash) == (order.payer, order.order_hash):
            return signed
    return None
