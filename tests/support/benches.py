"""The benches on which the contract of the transports is tried (tests/contracts/transport.py): one for each
transport.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hardware.card_like import CardTorn
from hardware.emulator.vpcd import EventKind
from hardware.transports.base import Transport
from hardware.transports.card_wait import ReaderWatch
from hardware.transports.in_process import InProcessTransport
from hardware.transports.pcsc import PcscTransport
from hardware.transports.replay import ReplayTransport
from hardware.transports.tracing import TracingTransport
from support.echo_card import EchoCard, InReader
from support.pcscd import READERS, PrivatePcscd

NOTICE_MS = 5_000


class Drawer:
    """A card in process that can be taken out."""

    def __init__(self, card: EchoCard) -> None:
        self.card = card
        self.is_in = True

    def power_on(self) -> bytes:
        if not self.is_in:
            raise CardTorn
        return self.card.power_on()

    def power_off(self) -> None:
        self.card.power_off()

    def transmit(self, command: bytes) -> bytes:
        if not self.is_in:
            raise CardTorn
        return self.card.transmit(command)


class InProcessBench:
    """A card in process, its transport wrapped or not."""

    def __init__(self, wrap: Callable[[Transport], Transport] = lambda transport: transport) -> None:
        self.card = EchoCard()
        self._drawer = Drawer(self.card)
        self.transport = wrap(InProcessTransport(self._drawer))

    def tear_next(self, *, after_work: bool) -> None:
        self.card.tear_at(1, after_work=after_work)

    def answer_next(self, answer: bytes) -> None:
        self.card.answer_with = answer

    def fail_next_power_up(self) -> None:
        self.card.tear_power_on = True

    def remove(self) -> None:
        self._drawer.is_in = False

    def put_back(self) -> None:
        self._drawer.is_in = True


class ReplayBench:
    """The record of a case that was played before. Nothing moves: it is all in the record."""

    def __init__(self, record: str) -> None:
        self.replay = ReplayTransport(io.StringIO(record))
        self.transport: Transport = self.replay

    def tear_next(self, *, after_work: bool) -> None: ...

    def answer_next(self, answer: bytes) -> None: ...

    def fail_next_power_up(self) -> None: ...

    def remove(self) -> None: ...

    def put_back(self) -> None: ...


class PcscBench:
    """A card in a virtual reader of a private pcscd."""

    def __init__(self, inside: InReader, transport: Transport, watch: ReaderWatch) -> None:
        self.card = inside.card
        self.transport = transport
        self._inside = inside
        self._watch = watch
        self._ends_with: EventKind | None = None

    def tear_next(self, *, after_work: bool) -> None:
        self.card.tear_at(1, after_work=after_work)
        self._ends_with = EventKind.TORN

    def answer_next(self, answer: bytes) -> None:
        self.card.answer_with = answer
        self._ends_with = EventKind.TORN if len(answer) < 2 else None

    def fail_next_power_up(self) -> None:
        self.card.tear_power_on = True
        self._ends_with = EventKind.TORN

    def remove(self) -> None:
        self._inside.remote.eject()
        self._ends_with = EventKind.EJECTED
        self._notice_removal()

    def put_back(self) -> None:
        if self._ends_with is not None:
            self._notice_removal()
            self._inside.remote.insert()
        self._watch.wait_for_card(NOTICE_MS)
        self._ends_with = None

    def _notice_removal(self) -> None:
        if self._ends_with is not None:
            self._inside.wait_for(self._ends_with)
            if not self._watch.wait_for_removal(NOTICE_MS):
                raise AssertionError("pcscd did not notice the removal")


@contextmanager
def pcsc_card(stack: PrivatePcscd) -> Iterator[tuple[InReader, ReaderWatch]]:
    """A card in the first virtual reader, and who looks at the reader: for many benches, as insertion takes 0.4 s."""
    with ReaderWatch(READERS[0]) as watch, InReader(EchoCard(), stack) as inside:
        watch.wait_for_card(NOTICE_MS)
        yield inside, watch


@contextmanager
def pcsc_bench(inside: InReader, watch: ReaderWatch) -> Iterator[PcscBench]:
    """The reader opened, and the card back in it afterwards."""
    bench = PcscBench(inside, PcscTransport(READERS[0]), watch)
    try:
        yield bench
    finally:
        bench.transport.close()
        bench.put_back()


def record_of(case: Callable[[InProcessBench], None]) -> str:
    """Plays a case over a traced card in process and returns its record."""
    record = io.StringIO()
    case(InProcessBench(lambda transport: TracingTransport(transport, record=record)))
    return record.getvalue()
