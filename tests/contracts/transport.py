"""What every transport must do (hardware/transports/base.py): cases to run over each of them.

A case gets a `Bench`: the transport, with an EchoCard behind it, and hands that move the card. It uses nothing else,
so it can run over PC/SC and a virtual reader, in process, traced, and against the record of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import pytest

from hardware.apdu import MAX_COMMAND, CommandApdu
from hardware.transports.base import Transport
from support.echo_card import COUNT, IS_SELECTED, SELECT, echo, echo_long
from wallet_core.errors import NoCardError, OutcomeUnknownError, OversizedError, TransportError, TruncatedError

Case = Callable[["Bench"], None]


class Bench(Protocol):
    """The transport under test and the card behind it."""

    @property
    def transport(self) -> Transport: ...

    def tear_next(self, *, after_work: bool) -> None:
        """The card loses power at its next command, before or after it has done its work."""
        ...

    def answer_next(self, answer: bytes) -> None:
        """The card answers its next command with these bytes, whatever they are."""
        ...

    def fail_next_power_up(self) -> None: ...

    def remove(self) -> None:
        """The card is taken away between two commands; returns when the reader has noticed."""
        ...

    def put_back(self) -> None:
        """The card is in the reader again; returns when the reader has noticed."""
        ...


def send(bench: Bench, command: CommandApdu) -> bytes:
    return bench.transport.transmit(command.to_bytes())


def count(bench: Bench) -> int:
    """Counts once more on the card and returns the count."""
    return int.from_bytes(send(bench, COUNT)[:4], "big")


def case_name_and_atr(bench: Bench) -> None:
    assert bench.transport.name
    assert bench.transport.atr[0] in (0x3B, 0x3F)


def case_short_and_extended_commands(bench: Bench) -> None:
    for size in (0, 1, 255, 256, 257, 1_000, 60_000):
        data = bytes(i % 251 for i in range(size))
        assert send(bench, echo(data, ne=65_536)) == data + b"\x90\x00"


def case_status_words_come_as_they_are(bench: Bench) -> None:
    assert send(bench, echo_long(b"long")) == b"\x61\x04"
    assert send(bench, CommandApdu(0x80, 0x02, 0, 0)) == b"\x6d\x00"


def case_what_is_no_command_is_not_sent(bench: Bench) -> None:
    before = count(bench)
    for control in (b"", b"\x00", b"\x04", b"\x00\xa4\x04"):
        with pytest.raises(TruncatedError):
            bench.transport.transmit(control)
    with pytest.raises(OversizedError):
        bench.transport.transmit(bytes(MAX_COMMAND + 1))
    assert count(bench) == before + 1


def case_reset_takes_the_power_away(bench: Bench) -> None:
    atr, before = bench.transport.atr, count(bench)
    send(bench, SELECT)
    assert send(bench, IS_SELECTED) == b"\x01\x90\x00"
    bench.transport.reset()
    assert send(bench, IS_SELECTED) == b"\x00\x90\x00"
    assert bench.transport.atr == atr
    assert count(bench) == before + 1


def case_torn_before_its_work(bench: Bench) -> None:
    _torn(bench, after_work=False)


def case_torn_after_its_work(bench: Bench) -> None:
    _torn(bench, after_work=True)


def _torn(bench: Bench, *, after_work: bool) -> None:
    before = count(bench)
    bench.tear_next(after_work=after_work)
    with pytest.raises(OutcomeUnknownError):
        send(bench, COUNT)
    for _ in range(2):  # and nothing more reaches the card until it is found again
        with pytest.raises(NoCardError):
            send(bench, COUNT)
    bench.put_back()
    with pytest.raises(NoCardError):
        send(bench, COUNT)
    bench.transport.reset()
    assert count(bench) == before + 1 + after_work


def case_an_answer_that_is_none(bench: Bench) -> None:
    before = count(bench)
    for answer in (b"", b"\x90"):
        bench.answer_next(answer)
        with pytest.raises(OutcomeUnknownError):
            send(bench, COUNT)
        with pytest.raises(NoCardError):
            send(bench, COUNT)
        bench.put_back()
        bench.transport.reset()
    assert count(bench) == before + 3


def case_taken_away_between_two_commands(bench: Bench) -> None:
    before = count(bench)
    bench.remove()
    # Whoever cannot be sure that nothing was sent must say so; nobody may report success.
    with pytest.raises((NoCardError, OutcomeUnknownError)):
        send(bench, COUNT)
    with pytest.raises(NoCardError):
        send(bench, COUNT)
    with pytest.raises(NoCardError):
        bench.transport.reset()
    with pytest.raises(NoCardError):
        send(bench, COUNT)
    bench.put_back()
    bench.transport.reset()
    assert count(bench) == before + 1


def case_a_card_that_fails_at_power_up(bench: Bench) -> None:
    before = count(bench)
    bench.fail_next_power_up()
    with pytest.raises(NoCardError):
        bench.transport.reset()
    with pytest.raises(NoCardError):
        send(bench, COUNT)
    bench.put_back()
    bench.transport.reset()
    assert count(bench) == before + 1


def case_closed_is_closed(bench: Bench) -> None:
    bench.transport.close()
    bench.transport.close()
    with pytest.raises(TransportError):
        send(bench, COUNT)
    with pytest.raises(TransportError):
        bench.transport.reset()


def case_closed_after_a_tear(bench: Bench) -> None:
    bench.tear_next(after_work=True)
    with pytest.raises(OutcomeUnknownError):
        send(bench, COUNT)
    bench.transport.close()
    with pytest.raises(TransportError):
        send(bench, COUNT)


CASES: Final[dict[str, Case]] = {
    name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")
}
