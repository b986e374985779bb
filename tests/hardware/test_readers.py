"""What a user may call a reader, and what is opened for it."""

from __future__ import annotations

import pytest

from hardware import readers
from hardware.readers import Options, open_transport, register, schemes
from hardware.transports import scard
from hardware.transports.base import Transport
from hardware.transports.card_wait import ReaderWatch
from hardware.transports.in_process import InProcessTransport
from support.echo_card import EchoCard
from support.fake_scard import EMPTY, PRESENT, FakeScard
from wallet_core.errors import ConfigurationError, NoCardError, NoReaderError, ReaderBusyError, UsageError

FIRST, SECOND = "Virtual PCD 00 00", "Virtual PCD 00 01"


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> FakeScard:
    pretended = FakeScard(
        readers={FIRST: (EMPTY, b""), "Gem Twin": (PRESENT, b"\x3b\x00"), SECOND: (PRESENT, b"\x3b\x00")}
    )
    monkeypatch.setattr(scard, "load", lambda: pretended)
    monkeypatch.setattr(readers, "_openers", dict(readers._openers))
    monkeypatch.setattr(readers, "AGAIN_MS", 1)
    monkeypatch.delenv("ECNY_VIRTUAL_ONLY")
    return pretended


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("pcsc:Gem", "Gem Twin"),
        ("Gem", "Gem Twin"),
        ("00 01", SECOND),
        ("pcsc:Virtual PCD 00 01", SECOND),
        (FIRST, FIRST),
        ("auto", "Gem Twin"),
    ],
)
def test_names(spec: str, name: str) -> None:
    assert open_transport(spec).name == name


def test_virtual_only() -> None:
    assert open_transport("auto", virtual_only=True).name == SECOND
    for spec in ("Gem", "pcsc:Gem Twin"):
        with pytest.raises(ConfigurationError):
            open_transport(spec, virtual_only=True)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("", UsageError),
        ("pcsc:", UsageError),
        ("Virtual", UsageError),
        ("none", NoReaderError),
        ("usb:1", NoReaderError),
    ],
)
def test_what_names_no_reader(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        open_transport(spec)


def test_auto_without_a_card_and_without_a_reader(service: FakeScard) -> None:
    service.readers = {FIRST: (EMPTY, b"")}
    with pytest.raises(NoCardError):
        open_transport("auto")
    service.readers = {}
    with pytest.raises(NoReaderError):
        open_transport("auto", wait_ms=10)


@pytest.mark.parametrize("spec", ["auto", FIRST])
def test_waiting_for_a_card(spec: str, service: FakeScard, monkeypatch: pytest.MonkeyPatch) -> None:
    service.readers = {FIRST: (EMPTY, b"")}
    look = service.SCardGetStatusChange

    def then_comes_a_card(context: int, timeout: int, states: list[tuple[str, int]]) -> list[object]:
        answer = look(context, timeout, states)
        if timeout:
            service.readers[FIRST] = (PRESENT, b"\x3b\x00")
        return answer

    monkeypatch.setattr(service, "SCardGetStatusChange", then_comes_a_card)
    assert open_transport(spec, wait_ms=60_000).name == FIRST


@pytest.mark.parametrize("result", [0x80100067, 0x80100066, 0x8010000C, 0x8010000B])
def test_a_card_that_cannot_be_had_yet_is_tried_again(result: int, service: FakeScard) -> None:
    # Just taken away, or held by another program for a moment: without time to wait, that is the answer.
    service.fail["SCardConnect"] = [result]
    with pytest.raises((NoCardError, ReaderBusyError)):
        open_transport(SECOND)
    service.fail["SCardConnect"] = [result, result]
    service.fail["SCardGetStatusChange"] = []
    service.readers[SECOND] = (PRESENT, b"\x3b\x00")
    assert open_transport(SECOND, wait_ms=60_000).name == SECOND
    assert service.names().count("SCardConnect") == 4


def test_a_card_that_cannot_be_had_to_the_end(service: FakeScard, monkeypatch: pytest.MonkeyPatch) -> None:
    service.fail["SCardConnect"], service.for_ever = [0x8010000B], True
    now = iter(range(0, 10**12, 400 * 10**6))
    monkeypatch.setattr("time.monotonic_ns", lambda: next(now))
    monkeypatch.setattr(ReaderWatch, "wait_for_card", lambda self, timeout_ms: b"\x3b\x00")
    monkeypatch.setattr(ReaderWatch, "wait_for_removal", lambda self, timeout_ms: False)
    with pytest.raises(ReaderBusyError):
        open_transport(SECOND, wait_ms=1_000)
    assert service.names().count("SCardConnect") == 3


def test_a_scheme_of_one_s_own() -> None:
    asked: list[tuple[str, Options]] = []

    def opener(rest: str, options: Options) -> Transport:
        asked.append((rest, options))
        return InProcessTransport(EchoCard(), name=rest)

    register("echo", opener)
    assert {"echo", "pcsc"} <= set(schemes())
    assert open_transport("echo:a:b", virtual_only=True, wait_ms=5).name == "a:b"
    assert asked == [("a:b", Options(virtual_only=True, wait_ms=5))]
    for scheme in ("", "auto", "a:b"):
        with pytest.raises(UsageError):
            register(scheme, opener)
