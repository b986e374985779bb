"""The purse applet on its simulated chip, in a reader of this process, with what a test wants to do to it.

    with java_card(make_world("some seed"), load=50_000) as hand:
        hand.process.tear_at_write(3)
        ...

Personalised and loaded by the same steps as `support.cards`; its JVM ends with the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hardware.data_objects import Fci
from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.javacard.process import JavaCardProcess
from hardware.personalisation import personalise
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from support.cards import PIN, SERIAL, World
from wallet_core.certificates import CertificateClass
from wallet_core.messages import SpendMode

SAM_CLASSES = (CertificateClass.OPERATOR_PURSE, CertificateClass.HARD_WALLET, CertificateClass.MERCHANT_PURSE)


@dataclass
class JavaInHand:
    """A Java card in an in-process reader."""

    world: World
    serial: bytes
    process: JavaCardProcess
    transport: InProcessTransport
    connection: CardConnection
    wallet: HardWallet

    def tap(self) -> Fci:
        """Power off and on, then SELECT: what a new tap does."""
        self.connection.reset()
        return self.wallet.select()

    def load(self, amount: int, n: int, order: str = "load") -> bytes:
        """REQUEST and COLLECT of a load from the operator's purse at its counter `n`; the signed Receipt."""
        purse = self.world.operator_purse
        request = self.wallet.request(purse.id, 1, n, amount, self.world.digest(order))
        return self.wallet.collect(*self.world.voucher_for(request))

    def personalise(self, **policy: Any) -> None:
        personalise(
            self.wallet,
            lambda number: transport_keys(TEST_BATCH_KEY, number, production=False),
            self.world.digest("host challenge")[:8],
            lambda number, request: self.world.papers(number, request, **policy),
            PIN,
        )


@contextmanager
def blank_java_card(world: World, serial: bytes = SERIAL, **options: Any) -> Iterator[JavaInHand]:
    """As it leaves the factory, powered, not selected; `options` go to `JavaCardProcess`."""
    with JavaCardProcess(serial=serial, seed=f"{world.seed} {serial.hex()}", **options) as process:
        transport = process.transport("test reader")
        connection = CardConnection(transport)
        try:
            yield JavaInHand(world, serial, process, transport, connection, HardWallet(connection))
        finally:
            transport.close()


@contextmanager
def java_card(world: World, serial: bytes = SERIAL, *, load: int = 0, **policy: Any) -> Iterator[JavaInHand]:
    """An active visitor's card, selected, loaded with `load` fen; `policy`: changed fields of its policy."""
    with blank_java_card(world, serial) as hand:
        hand.personalise(**policy)
        if load:
            hand.load(load, n=1)
        yield hand


@contextmanager
def java_sam(world: World, serial: bytes = b"JSAM0001", *, load: int = 0, **policy: Any) -> Iterator[JavaInHand]:
    """A merchant's SAM, with the limits of `support.cards.merchant_sam`."""
    allowed = sum(1 << one for one in SAM_CLASSES)
    defaults: dict[str, Any] = {"payee_classes": allowed, "payer_classes": allowed, "mode": SpendMode.INTERMITTENT}
    with blank_java_card(world, serial, subject_class=CertificateClass.MERCHANT_PURSE) as hand:
        hand.personalise(**{**defaults, "purse_class": CertificateClass.MERCHANT_PURSE, **policy})
        if load:
            hand.load(load, n=1)
        yield hand
