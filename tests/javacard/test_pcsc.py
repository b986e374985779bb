"""The applet through pcscd: its process attaches itself to vpcd, as `java -jar ecny-card.jar --port 35963` by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hardware.driver import HardWallet
from hardware.exchange import CardConnection
from hardware.javacard.parts import command_line
from hardware.personalisation import personalise
from hardware.readers import open_transport
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from hardware.transports.card_wait import ReaderWatch
from support.cards import LOAD, PIN, SERIAL, World, make_world
from support.pcscd import READERS, PrivatePcscd
from wallet_core.errors import OutcomeUnknownError
from wallet_core.messages import Request, Voucher, parse

pytestmark = pytest.mark.pcsc
PATIENCE_MS = 20_000
SALE = 6_800
WORLD = make_world("java pcsc")


@contextmanager
def attached(stack: PrivatePcscd) -> Iterator[subprocess.Popen[str]]:
    """The card's own process in the first slot, with its control line."""
    words = [*stack.inside, *command_line(), "--port", "35963", "--serial", SERIAL.hex(), "--control"]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait(10)


def tell(process: subprocess.Popen[str], request: dict[str, object]) -> dict[str, object]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answer: dict[str, object] = json.loads(process.stdout.readline())
    assert answer["ok"], answer
    return answer


def open_wallet() -> HardWallet:
    return HardWallet(CardConnection(open_transport(f"pcsc:{READERS[0]}", wait_ms=PATIENCE_MS)))


def prepare(wallet: HardWallet, world: World) -> None:
    personalise(
        wallet, lambda number: transport_keys(TEST_BATCH_KEY, number, production=False), bytes(8), world.papers, PIN
    )
    request = wallet.request(world.operator_purse.id, 1, 1, LOAD, world.digest("load"))
    wallet.collect(*world.voucher_for(request))


def test_personalise_load_pay_and_a_tear_through_pcscd() -> None:
    with PrivatePcscd() as stack, attached(stack) as process, ReaderWatch(READERS[0]) as watch:
        wallet = open_wallet()
        prepare(wallet, WORLD)
        first = wallet.pay(WORLD.till_request(wallet.select(), SALE).to_payload())
        assert parse(Voucher, first).message.amount == SALE
        request: Request = WORLD.till_request(wallet.select(), SALE, k=2, order="second")
        tell(process, {"tear": {"before_answer": 1}})
        with pytest.raises(OutcomeUnknownError):
            wallet.pay(request.to_payload())
        assert watch.wait_for_removal(PATIENCE_MS)
        wallet.close()
        wallet = open_wallet()
        assert wallet.select().balance == LOAD - 2 * SALE
        assert parse(Voucher, wallet.pay(request.to_payload())).message.request_hash == request.hash
        assert wallet.select().balance == LOAD - 2 * SALE
        assert tell(process, {"report": True})["allocations"] == 0
        wallet.close()
