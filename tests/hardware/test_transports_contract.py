"""The contract of the transports over each of them: in process, traced, timed, replayed, and through pcscd and vpcd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contracts.transport import CASES

from hardware.transports.card_wait import ReaderWatch
from hardware.transports.timing import TimingTransport
from hardware.transports.tracing import TracingTransport
from support.benches import InProcessBench, ReplayBench, pcsc_bench, pcsc_card, record_of
from support.echo_card import InReader
from support.pcscd import PrivatePcscd

every_case = pytest.mark.parametrize("case", CASES)


@pytest.fixture(scope="module")
def card_in_reader() -> Iterator[tuple[InReader, ReaderWatch]]:
    with PrivatePcscd() as stack, pcsc_card(stack) as card:
        yield card


@every_case
def test_in_process(case: str) -> None:
    CASES[case](InProcessBench())


@every_case
def test_traced(case: str) -> None:
    CASES[case](InProcessBench(TracingTransport))


@every_case
def test_timed(case: str) -> None:
    CASES[case](InProcessBench(TimingTransport))


@every_case
def test_replayed(case: str) -> None:
    bench = ReplayBench(record_of(CASES[case]))
    CASES[case](bench)
    assert bench.replay.is_at_end


@pytest.mark.pcsc
@every_case
def test_through_pcscd_and_vpcd(case: str, card_in_reader: tuple[InReader, ReaderWatch]) -> None:
    with pcsc_bench(*card_in_reader) as bench:
        CASES[case](bench)
