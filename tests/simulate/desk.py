"""The operator's desk: cards are personalised, loaded, and brought online. Whatever is interrupted is done again."""

from __future__ import annotations

from pathlib import Path

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
    SettlementError,
    TransportError,
    VerificationError,
)

Failure = CardError | CodecError | PurseRefusal | SettlementError | TransportError | VerificationError


class Desk:
    """A desk with its own line to the server; its list of loads under way is on its disk."""

    def __init__(self, directory: Path, wire: Wire, token: str, streams: Streams) -> None:
        self.client = OperatorClient(ADDRESS, token, transport=wire)
        self.wire = wire
        self._streams = streams
        self._keys = streams.entropy("idempotency")
        directory.mkdir()
        self.intents = Intents(directory, lambda: self._keys(16).hex())

    def close(self) -> None:
        self.client.close()

    def personalise(self, card: Card) -> None:
        card.personalise(self._certify, self._streams.digest("challenge", card.serial.hex())[:8])

    def _certify(self, serial: bytes, request: bytes) -> CardPapers:
        return self.client.certify(serial, request)

    def is_open(self, card: Card) -> bool:
        """Whether a load of this card was begun here and not finished."""
        return self.intents.open(card.id) is not None

    def load(self, card: Card, amount: int, fault: CardFault = NO_FAULT) -> Failure | None:
        """Load `amount` fen, or finish the load that is under way; what went wrong, None when all is done."""
        try:
            begun = self.intents.open(card.id)
            wallet = card.tap(fault)
            try:
                load_card(wallet, self.client, self.intents, begun.amount if begun else amount)
            finally:
                wallet.close()
        except (CardError, CodecError, PurseRefusal, SettlementError, TransportError, VerificationError) as failure:
            return failure
        return None
