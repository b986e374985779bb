"""Ready-made acts at the desk: pay its till, load, go online, enter the PIN, pay another card. Real APDUs, one tap.

They are what a till, an operator's server and another purse would do, and end as theirs do: done, refused by the card,
or unknown because the card went. An unknown payment is finished by asking again with the same card: it is made once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hardware.data_objects import Fci
from hardware.desk.desk import Desk
from hardware.desk.problems import DeskProblem
from hardware.driver import HardWallet
from hardware.emulator.card import ATR
from hardware.emulator.issuer import published_issuer
from hardware.exchange import CardConnection
from hardware.purse_transfer import transfer
from wallet_core.errors import NoCardError, OutcomeUnknownError, PurseRefusal, Refused, TransportError
from wallet_core.messages import Report, Request, Voucher, parse
from wallet_core.purse.state import EntryState


class DeskTransport:
    """A card of the desk as a `Transport`, beside whatever else talks to it."""

    def __init__(self, desk: Desk, card_id: str, by: str = "desk") -> None:
        self._desk, self._card, self._by = desk, card_id, by

    @property
    def name(self) -> str:
        return f"desk: {self._card}"

    @property
    def atr(self) -> bytes:
        return ATR

    def transmit(self, command: bytes) -> bytes:
        try:
            return self._desk.exchange(self._card, command, self._by)
        except DeskProblem as problem:
            raise NoCardError(problem.message) from problem

    def reset(self) -> None:
        try:
            self._desk.power_cycle(self._card)
        except DeskProblem as problem:
            raise NoCardError(problem.message) from problem

    def close(self) -> None:
        """The card stays where it is."""


class Acts:
    """One act a card at a time. Every method raises DeskProblem, PurseRefusal, CardError, TransportError."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._issuer = published_issuer()
        self._open: dict[str, Request] = {}
        """The till's Request to a card whose outcome is not known yet."""
        self._loads: dict[str, Request] = {}
        """A card's Request to the operator's purse, likewise."""
        self._at_work: set[str] = set()
        self._guard = threading.Lock()

    def pay(self, card_id: str, amount: int, pin: str | None) -> dict[str, Any]:
        """The till's sale, `amount` in fen. One that was torn is finished first, whatever is asked for now."""
        with self._wallet(card_id) as wallet:
            fci = wallet.select()
            request = self._open.get(card_id)
            voucher = self._found(wallet, request) if request else None
            recovered = voucher is not None
            if request is None or (voucher is None and fci.next_n != request.n):
                request = self._issuer.till_request(fci, amount)  # what was asked before was never paid
            if voucher is None:
                voucher = self._charge(card_id, wallet, fci, request, pin)
            self._open.pop(card_id, None)
            paid = parse(Voucher, voucher).message
            return {"act": "paid", "amount": paid.amount, "n": paid.n, "recovered": recovered}

    def _charge(self, card_id: str, wallet: HardWallet, fci: Fci, request: Request, pin: str | None) -> bytes:
        if pin:
            wallet.verify_pin(pin)
        self._open[card_id] = request
        try:
            return self._issuer.pay(wallet, fci, request)
        except PurseRefusal:
            del self._open[card_id]
            raise
        except TransportError as lost:  # sent or not, a till cannot know
            raise OutcomeUnknownError(lost.message, next_step="TAP THE SAME CARD AGAIN, then pay again.") from lost

    def forget(self, card_id: str) -> None:
        """The card's memory was replaced: what the till remembers of it is void."""
        self._open.pop(card_id, None)
        self._loads.pop(card_id, None)

    @staticmethod
    def _found(wallet: HardWallet, request: Request) -> bytes | None:
        try:
            return wallet.resend(request.hash)
        except PurseRefusal as refusal:
            if refusal.reason is not Refused.NOT_FOUND:
                raise
            return None

    def load(self, card_id: str, amount: int) -> dict[str, Any]:
        """Value out of nothing: the published issuer keeps no books. A load that was torn is finished first."""
        with self._wallet(card_id) as wallet:
            fci = wallet.select()
            try:
                finished = self._finish_load(wallet, fci, self._loads.get(card_id))
                if finished is None:
                    self._loads[card_id] = self._issuer.load_request(fci, amount)
                    self._issuer.load(wallet, amount)
            except TransportError as lost:
                raise OutcomeUnknownError(lost.message, next_step="TAP THE SAME CARD AGAIN, then load again.") from lost
            del self._loads[card_id]
            return {"act": "loaded", "amount": finished or amount, "recovered": finished is not None}

    def _finish_load(self, wallet: HardWallet, fci: Fci, asked: Request | None) -> int | None:
        """Fen of the load whose answer was lost, now surely on the card; None when the card never asked for it."""
        if asked is None or fci.next_k <= asked.k:
            return None
        lines = {line.k: line for line in parse(Report, wallet.report()).message.entry_lines}
        line = lines.get(asked.k)
        if line is not None and line.hash not in (asked.hash, self._issuer.voucher(asked).hash):
            return None
        if line is not None and line.state == EntryState.OPEN:
            request = next(one for one in wallet.open_requests() if parse(Request, one).hash == asked.hash)
            self._issuer.collect(wallet, request)
        return asked.amount  # collected; an entry that is gone was final, and acknowledged by a grant

    def go_online(self, card_id: str) -> dict[str, Any]:
        """Report and grant: limits count anew, slots and final Requests are free."""
        with self._wallet(card_id) as wallet:
            wallet.select()
            wallet.grant(self._issuer.grant(wallet.report()))
            fci = wallet.select()
            return {"act": "online", "free_slots": fci.free_slots, "free_entries": fci.free_entries}

    def verify(self, card_id: str, pin: str) -> dict[str, Any]:
        with self._wallet(card_id) as wallet:
            wallet.select()
            wallet.verify_pin(pin)
            return {"act": "verified"}

    def transfer(self, payer_id: str, payee_id: str, amount: int, pin: str | None) -> dict[str, Any]:
        """From one inserted card to the other, both offline. Torn: asked again with both inserted, it is finished."""
        if payer_id == payee_id:
            raise DeskProblem("malformed", "A card does not pay itself.", next_step="Name another card.")
        with self._wallet(payer_id) as payer, self._wallet(payee_id) as payee:
            done = transfer(payer, payee, amount, ask_pin=lambda: pin)
            return {"act": "transferred", "amount": done.amount, "acknowledged": done.acknowledged}

    @contextmanager
    def _wallet(self, card_id: str) -> Iterator[HardWallet]:
        self._desk.inserted(card_id)
        with self._guard:
            if card_id in self._at_work:
                raise DeskProblem("busy", f"{card_id} is in the middle of another act.")
            self._at_work.add(card_id)
        try:
            yield HardWallet(CardConnection(DeskTransport(self._desk, card_id)))
        finally:
            with self._guard:
                self._at_work.discard(card_id)
