"""The life-cycle states that sequences begin in, each made on the emulator by the commands that lead to it.

The commands are kept: the other card gets the same ones and must answer the same, before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from differential.cast import Cast
from differential.emulated import EmulatedSide
from differential.settings import Papers
from hardware.channel_opening import open_channel
from hardware.commands import Deactivate, GenerateKeyPair, PersonaliseEnd, StoreData, Terminate
from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.instructions import Command, Store
from hardware.personalisation import personalise
from hardware.pin import pin_block
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.in_process import InProcessTransport
from support.cards import PIN
from wallet_core.certificates import CertificateClass
from wallet_core.errors import CardError
from wallet_core.messages import Request, SpendMode, parse

C = CertificateClass
LOAD = 60_000
_EVERYBODY = sum(1 << one for one in (C.OPERATOR_PURSE, C.HARD_WALLET, C.MERCHANT_PURSE, C.TILL))
CARD_TO_CARD: dict[str, object] = {
    "payer_classes": _EVERYBODY,
    "payee_classes": _EVERYBODY,
    "mode": SpendMode.INTERMITTENT,
    "offline_total": 10_000_000,
    "unverified_total": 10_000_000,
    "balance_limit": 50_000_000,
    "offline_count": 100,
}
"""Limits that a sequence does not meet, and every class allowed: what a full card, or card to card, needs."""
FEW_PAYMENTS: dict[str, object] = {**CARD_TO_CARD, "offline_count": 5, "payee_threshold": 1_000_000}
LITTLE_MONEY: dict[str, object] = {**FEW_PAYMENTS, "offline_count": 100, "offline_total": 1_500}


@dataclass(frozen=True)
class State:
    """One state of one card. `script`: the commands from the blank card to it; `answers`: the emulator's."""

    name: str
    script: tuple[bytes, ...]
    answers: tuple[bytes, ...]
    snapshot: bytes
    subject_class: C
    policy_changes: dict[str, object]

    @property
    def seed(self) -> str:
        """Of the randomness of the script."""
        return f"script of {self.name}"


class _Recorded:
    """The emulator behind a transport; keeps what goes over it."""

    def __init__(self, side: EmulatedSide) -> None:
        self._side = side
        self.sent: list[bytes] = []
        self.answers: list[bytes] = []

    def power_on(self) -> bytes:
        return b"\x3b\x80\x80\x01\x01"

    def power_off(self) -> None:
        """The card stays under power: a script is one session."""

    def transmit(self, command: bytes) -> bytes:
        answer = self._side.transmit(command)
        self.sent.append(command)
        self.answers.append(answer)
        return answer


@dataclass
class Bench:
    """A card on its way to a state."""

    cast: Cast
    wallet: HardWallet
    serial: bytes
    policy: dict[str, object]

    def secured(self, *commands: Command) -> list[bytes]:
        self.wallet.select()
        keys = transport_keys(TEST_BATCH_KEY, self.serial, production=False)
        connection = self.wallet.connection
        connection.secure(open_channel(connection.send, keys, bytes(8)))
        try:
            return [self.wallet.run(command) for command in commands]
        finally:
            connection.plain()

    def personalise(self) -> None:
        personalise(
            self.wallet,
            lambda serial: transport_keys(TEST_BATCH_KEY, serial, production=False),
            bytes(8),
            lambda serial, request: self.cast.world.papers(serial, request, **self.policy),
            PIN,
        )

    def load(self, amount: int = LOAD, n: int = 1) -> None:
        world = self.cast.world
        request = self.wallet.request(world.operator_purse.id, 1, n, amount, world.digest(f"load {n}"))
        self.wallet.collect(*world.voucher_for(request))

    def pay(self, amount: int = 100, payee: C = C.TILL) -> bytes:
        request = self.cast.world.till_request(self.wallet.select(), amount, order=f"{amount}")
        return self.wallet.pay(replace(request, payee=self.cast.of(payee).party.id).to_payload())

    def ask(self, n: int) -> bytes:
        world = self.cast.world
        return self.wallet.request(world.operator_purse.id, 1, n, 500, world.digest(f"order {n}"))


def _keyed(bench: Bench) -> None:
    bench.secured(GenerateKeyPair(bytes(32)))


def _stored(bench: Bench) -> list[Command]:
    request = bench.secured(GenerateKeyPair(bytes(32)))[0]
    papers = bench.cast.world.papers(bench.serial, request, **bench.policy)
    return [
        StoreData(Store.AUTHORITY_CERTIFICATE, papers.authority_certificate),
        StoreData(Store.OPERATOR_CERTIFICATE, papers.operator_certificate),
        StoreData(Store.PURSE_CERTIFICATE, papers.certificate),
        StoreData(Store.POLICY, papers.policy),
        StoreData(Store.PIN, pin_block(PIN)),
        StoreData(Store.AUDIT_KEY, papers.audit_key),
    ]


def _half(bench: Bench) -> None:
    bench.secured(*_stored(bench)[:2])


def _complete(bench: Bench) -> None:
    bench.secured(*_stored(bench))


def _personalised(bench: Bench) -> None:
    bench.secured(*_stored(bench), PersonaliseEnd())


def _loaded(bench: Bench) -> None:
    """A little of everything: vouchers in all states, an open, a refused and a collected Request."""
    bench.personalise()
    bench.load()
    world, merchant = bench.cast.world, bench.cast.of(C.MERCHANT_PURSE).party
    bench.pay()
    bench.wallet.reverse(world.order_for(bench.pay(200, C.MERCHANT_PURSE)))
    bench.pay(300, C.MERCHANT_PURSE)
    bench.wallet.acknowledge(*world.receipt_for(bench.pay(400, C.MERCHANT_PURSE), merchant))
    bench.wallet.refuse(_hash(bench.ask(2)))
    bench.ask(3)


def _stronger(bench: Bench) -> None:
    """A later policy asks for a suite that this card does not have: it finishes what is begun, and begins nothing."""
    _loaded(bench)
    bench.wallet.store_policy(bench.cast.world.signed_policy(**{**bench.policy, "version": 2, "least_suite": 3}))


def _full(bench: Bench) -> None:
    """All slots and all entries are taken."""
    bench.personalise()
    bench.load()
    for amount in range(1, 17):
        bench.pay(amount, C.MERCHANT_PURSE if amount % 2 else C.TILL)
    for n in range(2, 9):
        bench.ask(n)


def _pin_blocked(bench: Bench) -> None:
    _loaded(bench)
    for _ in range(3):
        try:
            bench.wallet.verify_pin("000000")
        except CardError:
            continue


def _blocked(bench: Bench) -> None:
    _loaded(bench)
    bench.secured(Deactivate())


def _terminated(bench: Bench) -> None:
    _loaded(bench)
    bench.secured(Terminate())


def _hash(signed_request: bytes) -> bytes:
    return parse(Request, signed_request).hash


WAYS: dict[str, tuple[Callable[[Bench], None], dict[str, object]]] = {
    "blank": (lambda _: None, {}),
    "key made": (_keyed, {}),
    "half stored": (_half, {}),
    "all stored": (_complete, {}),
    "personalised": (_personalised, {}),
    "active, empty": (Bench.personalise, {}),
    "active, loaded": (_loaded, {}),
    "active, card to card": (_loaded, CARD_TO_CARD),
    "active, full": (_full, CARD_TO_CARD),
    "active, few payments left": (_loaded, FEW_PAYMENTS),
    "active, little may be paid": (_loaded, LITTLE_MONEY),
    "active, a stronger suite wanted": (_stronger, {}),
    "active, PIN blocked": (_pin_blocked, {}),
    "blocked": (_blocked, {}),
    "terminated": (_terminated, {}),
}


def make_state(side: EmulatedSide, cast: Cast, blank: bytes, name: str) -> State:
    """Bring a blank card to this state and take its snapshot."""
    way, changes = WAYS[name]
    policy = {**changes, "purse_class": side.subject_class}
    begun = State(name, (), (), b"", side.subject_class, policy)
    side.restore(blank, begun.seed)
    recorded = _Recorded(side)
    wallet = HardWallet(CardConnection(InProcessTransport(recorded, "emulator"), extended=False))
    way(Bench(cast, wallet, side.serial, policy))
    return replace(begun, script=tuple(recorded.sent), answers=tuple(recorded.answers), snapshot=side.snapshot())


def make_states(side: EmulatedSide, cast: Cast) -> Iterator[State]:
    """All of them, from the blank card on."""
    blank = side.snapshot()
    for name in WAYS:
        yield make_state(side, cast, blank, name)


def papers_of(state: State, cast: Cast, serial: bytes) -> Papers:
    """What the operator would give the card of this state."""
    return Papers(cast, serial, state.subject_class, state.policy_changes)
