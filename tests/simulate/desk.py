"""The operator's desk: cards are personalised, loaded, and brought online. Whatever is interrupted is done again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

from hardware.driver import HardWallet
from hardware.loading import Intents, load_card
from hardware.operator_client import OperatorClient
from hardware.personalisation import CardPapers
from simulate.bank import ADDRESS
from simulate.cards import Card
from simulate.chances import NO_FAULT, CardFault
from simulate.network import Wire
from simulate.streams import Streams
from wallet_core.errors import (
    CardError,
    CodecError,
    PurseRefusal,
    Refused,
    SettlementError,
    TransportError,
    VerificationError,
)

_ROUNDS: Final = 3  # of a report: orders change what the next one says
_REMEMBERED: Final = 50  # grants

FAILURES: Final = (CardError, CodecError, PurseRefusal, SettlementError, TransportError, VerificationError)
Failure = CardError | CodecError | PurseRefusal | SettlementError | TransportError | VerificationError


class Desk:
    """A desk with its own line to the server; its list of loads under way is on its disk."""

    def __init__(self, directory: Path, wire: Wire, token: str, streams: Streams) -> None:
        self.client = OperatorClient(ADDRESS, token, transport=wire)
        self.wire = wire
        self.payees: list[bytes] = []
        """Ids of everybody who is paid here."""
        self.look: Callable[[Card], None] = lambda _: None
        """Called before a grant may make a purse forget."""
        self._streams = streams
        self._keys = streams.entropy("idempotency")
        self._grants: list[bytes] = []
        directory.mkdir()
        self.intents = Intents(directory, lambda: self._keys(16).hex())

    def close(self) -> None:
        self.client.close()

    def personalise(self, card: Card, merchant: str = "") -> None:
        """`merchant`: whose purse it is, if it is a merchant's."""

        def certify(serial: bytes, request: bytes) -> CardPapers:
            return self.client.certify(serial, request, merchant=merchant)

        card.personalise(certify, self._streams.digest("challenge", card.serial.hex())[:8])

    def is_open(self, card: Card) -> bool:
        """Whether a load of this card was begun here and not finished."""
        return self.intents.open(card.id) is not None

    def load(self, card: Card, amount: int, fault: CardFault = NO_FAULT) -> Failure | None:
        """Load `amount` fen, or finish the load that is under way; what went wrong, None when all is done."""
        begun = self.intents.open(card.id)

        def work(wallet: HardWallet) -> None:
            load_card(wallet, self.client, self.intents, begun.amount if begun else amount)

        return _with(card, fault, work)

    def report(
        self, card: Card, fault: CardFault = NO_FAULT, *, show: bool = True, rng: Random | None = None
    ) -> Failure | None:
        """Bring the card online: its Report to the operator, reversal orders and grant back into it.

        `show`: the holder also shows what the slots hold: what a till has refused comes back by that.
        With `rng` a relay in the line hands in an old grant as well: of this card or of another.
        """

        self.look(card)

        def work(wallet: HardWallet) -> None:
            wallet.select()
            vouchers = self._vouchers(wallet, card) if show else ()
            for _ in range(_ROUNDS):
                answered = self.client.report(wallet.report(), vouchers=vouchers)
                if answered.policy is not None:
                    wallet.store_policy(answered.policy)
                for order in answered.orders:
                    _carry_out(wallet, order)
                wallet.grant(answered.grant)
                self._grants.append(answered.grant)
                if not answered.orders:
                    break
            if rng is not None:
                self._replay(wallet, rng)

        failure = _with(card, fault, work)
        del self._grants[:-_REMEMBERED]
        return failure

    def _vouchers(self, wallet: HardWallet, card: Card) -> tuple[bytes, ...]:
        """All that the slots hold, as the holder shows them with the PIN; without a PIN the report goes alone."""
        try:
            wallet.verify_pin(card.pin)
        except (PurseRefusal, CardError):  # blocked, or worn: what a payee may ask for needs no PIN
            return tuple(voucher for payee in self.payees for voucher in wallet.resend_to(payee))
        return wallet.vouchers()

    def _replay(self, wallet: HardWallet, rng: Random) -> None:
        """An old grant is harmless, and one of another card is none."""
        try:
            wallet.grant(rng.choice(self._grants))
        except PurseRefusal:
            return


def _with(card: Card, fault: CardFault, work: Callable[[HardWallet], None]) -> Failure | None:
    """One tap at the desk; what went wrong in it."""
    try:
        wallet = card.tap(fault)
        try:
            work(wallet)
        finally:
            wallet.close()
    except FAILURES as failure:
        return failure
    return None


def _carry_out(wallet: HardWallet, order: bytes) -> None:
    """An order whose slot has its outcome already has nothing left to do."""
    try:
        wallet.reverse(order)
    except PurseRefusal as refusal:
        if refusal.reason not in (Refused.NOT_FOUND, Refused.OUTCOME_FINAL):
            raise
