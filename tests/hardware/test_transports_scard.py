"""Every SCARD error at every call, without a service: which error of ours it becomes, and what is let go."""

from __future__ import annotations

import importlib
import os
import sys

import pytest

from hardware.transports import scard
from hardware.transports.pcsc import PcscTransport, Reader, check_allowed, find_reader, list_readers
from support.fake_scard import EMPTY, NO_CARD, NO_SERVICE, PRESENT, FakeScard
from wallet_core.errors import (
    ConfigurationError,
    NoCardError,
    NoReaderError,
    NoServiceError,
    OutcomeUnknownError,
    ReaderBusyError,
    TransportError,
    UsageError,
)

NAME = "Virtual PCD 00 00"
NOT_HANDED_OVER = {0x80100003, 0x8010000B, 0x8010000F, 0x80100068, 0x80100069}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeScard:
    pretended = FakeScard(readers={NAME: (PRESENT, b"\x3b\x00")})
    monkeypatch.setattr(scard, "load", lambda: pretended)
    return pretended


def test_every_error_that_pyscard_knows_is_translated() -> None:
    known = importlib.import_module("smartcard.scard")
    codes = {
        name: scard.code(getattr(known, name))
        for name in dir(known)
        if name.startswith(("SCARD_E_", "SCARD_F_", "SCARD_W_", "SCARD_P_"))
    }
    assert len(codes) > 50
    assert {name for name, value in codes.items() if value not in scard.ERRORS} == set()


@pytest.mark.parametrize("result", scard.ERRORS)
def test_words_and_both_signs(result: int) -> None:
    error, same = scard.failure(result, "reader"), scard.failure(result - (1 << 32), "reader")
    assert type(error) is type(same) is scard.ERRORS[result][0]
    assert str(error) == str(same) == f"reader: {scard.ERRORS[result][1]} (PC/SC {result:08X})"


def test_an_unknown_error_is_a_transport_error() -> None:
    assert type(scard.failure(0x80109999, "reader")) is TransportError


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (0x8010001D, NoServiceError),
        (0x8010001E, NoServiceError),
        (0x80100013, NoServiceError),
        (0x8010006A, NoServiceError),
        (0x80100009, NoReaderError),
        (0x80100017, NoReaderError),
        (0x8010002E, NoReaderError),
        (0x8010000C, NoCardError),
        (0x80100066, NoCardError),
        (0x80100067, NoCardError),
        (0x80100069, NoCardError),
        (0x8010000B, ReaderBusyError),
    ],
)
def test_the_usual_ones(result: int, kind: type[TransportError], fake: FakeScard) -> None:
    fake.fail["SCardConnect"] = [result]
    with pytest.raises(kind):
        PcscTransport(NAME)


def test_without_pyscard_the_way_to_get_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "smartcard.scard", None)
    with pytest.raises(ConfigurationError) as missing:
        list_readers()
    assert "ecny-wallet[pcsc]" in missing.value.next_step
    assert os.environ["PCSCLITE_NO_BLOCKING"] == "1"


@pytest.mark.parametrize("result", scard.ERRORS)
def test_a_connection_that_fails_holds_nothing(result: int, fake: FakeScard) -> None:
    fake.fail["SCardConnect"] = [result]
    with pytest.raises(scard.ERRORS[result][0]):
        PcscTransport(NAME)
    assert fake.names() == ["SCardEstablishContext", "SCardConnect", "SCardReleaseContext"]


def test_a_service_that_is_not_there(fake: FakeScard) -> None:
    fake.fail["SCardEstablishContext"] = [NO_SERVICE, NO_SERVICE]
    with pytest.raises(NoServiceError):
        PcscTransport(NAME)
    with pytest.raises(NoServiceError):
        list_readers()


def test_a_card_lost_right_after_it_was_connected(fake: FakeScard) -> None:
    fake.fail["SCardStatus"] = [0x80100069]
    with pytest.raises(NoCardError):
        PcscTransport(NAME)
    assert fake.names()[-2:] == ["SCardDisconnect", "SCardReleaseContext"]


@pytest.mark.parametrize("result", scard.ERRORS)
def test_after_transmit_everything_is_unknown_unless_pcsc_lite_proves_the_opposite(
    result: int, fake: FakeScard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for platform in ("linux", "win32"):
        monkeypatch.setattr(sys, "platform", platform)
        transport = PcscTransport(NAME)
        fake.fail["SCardTransmit"] = [result]
        with pytest.raises(TransportError) as error:
            transport.transmit(bytes(5))
        proved = platform == "linux" and result in NOT_HANDED_OVER
        assert isinstance(error.value, OutcomeUnknownError) is not proved
        calls = len(fake.calls)
        with pytest.raises(NoCardError):  # and nothing more is sent
            transport.transmit(bytes(5))
        assert len(fake.calls) == calls
        transport.reset()
        assert transport.transmit(bytes(5)) == b"\x90\x00"


@pytest.mark.parametrize("answer", [b"", b"\x90", bytes(65_539)])
def test_success_without_an_answer_is_an_unknown_outcome(answer: bytes, fake: FakeScard) -> None:
    transport = PcscTransport(NAME)
    fake.answer = answer
    with pytest.raises(OutcomeUnknownError):
        transport.transmit(bytes(5))
    with pytest.raises(NoCardError):
        transport.transmit(bytes(5))


@pytest.mark.parametrize(
    ("protocol", "command", "sent"),
    [
        (1, "00A40400", "00A40400"),
        (1, "00CA000010", "00CA000010"),
        (1, "80E0000002ABCD", "80E0000002ABCD"),
        (1, "80E0000002ABCD00", "80E0000002ABCD"),
        (1, "80E00000000001AB00", "80E00000000001AB00"),
        (2, "80E0000002ABCD00", "80E0000002ABCD00"),
    ],
)
def test_t0_takes_no_le_after_data(protocol: int, command: str, sent: str, fake: FakeScard) -> None:
    fake.protocol = protocol
    PcscTransport(NAME).transmit(bytes.fromhex(command))
    assert fake.calls[-1] == ("SCardTransmit", f"T={protocol - 1}", bytes.fromhex(sent))


def test_the_card_is_held_exclusively_and_both_protocols_are_offered(fake: FakeScard) -> None:
    transport = PcscTransport(NAME)
    assert ("SCardConnect", NAME, fake.SCARD_SHARE_EXCLUSIVE, 3) in fake.calls
    assert (transport.name, transport.atr) == (NAME, b"\x3b\x00")
    transport.reset()
    assert ("SCardReconnect", fake.SCARD_UNPOWER_CARD) in fake.calls


def test_reset_begins_again_where_the_connection_is_void(fake: FakeScard) -> None:
    transport = PcscTransport(NAME)
    fake.calls.clear()
    fake.fail["SCardReconnect"] = [NO_SERVICE]
    transport.reset()
    assert fake.names() == [
        "SCardReconnect",
        "SCardDisconnect",
        "SCardReleaseContext",
        "SCardEstablishContext",
        "SCardConnect",
        "SCardStatus",
    ]
    assert transport.transmit(bytes(5)) == b"\x90\x00"


def test_reset_without_a_card_leaves_none_and_may_be_tried_again(fake: FakeScard) -> None:
    transport = PcscTransport(NAME)
    fake.fail["SCardReconnect"], fake.fail["SCardConnect"] = [NO_CARD], [NO_CARD, NO_CARD]
    for _ in range(2):
        with pytest.raises(NoCardError):
            transport.reset()
        with pytest.raises(NoCardError):
            transport.transmit(bytes(5))
    transport.reset()
    assert transport.transmit(bytes(5)) == b"\x90\x00"


def test_close_never_raises(fake: FakeScard) -> None:
    transport = PcscTransport(NAME)
    fake.fail["SCardDisconnect"], fake.fail["SCardReleaseContext"] = [NO_SERVICE], [0x80100003]
    transport.close()
    transport.close()
    assert fake.names().count("SCardReleaseContext") == 1


def test_the_list_of_readers(fake: FakeScard) -> None:
    fake.readers = {NAME: (PRESENT | 0x100, b"\x3b\x00"), "Gem 1": (EMPTY, b""), "Gem 2": (PRESENT | 0x80, b"\x3f\x11")}
    assert list_readers() == [
        Reader(NAME, has_card=True, in_use=True, atr=b"\x3b\x00"),
        Reader("Gem 1", has_card=False, in_use=False, atr=b""),
        Reader("Gem 2", has_card=True, in_use=True, atr=b"\x3f\x11"),
    ]
    assert [reader.is_virtual for reader in list_readers()] == [True, False, False]
    fake.readers = {}
    assert list_readers() == []
    fake.fail["SCardListReaders"] = [NO_SERVICE]
    with pytest.raises(NoServiceError):
        list_readers()
    assert fake.names().count("SCardEstablishContext") == fake.names().count("SCardReleaseContext")


def test_a_reader_is_found_by_part_of_its_name() -> None:
    names = [NAME, "Virtual PCD 00 01", "Gem Twin", "Gem"]
    assert find_reader("00 01", names) == "Virtual PCD 00 01"
    assert find_reader("gem t", names) == "Gem Twin"
    assert find_reader("Gem", names) == "Gem"
    with pytest.raises(NoReaderError, match="none at all"):
        find_reader("Gem", [])
    with pytest.raises(UsageError, match="Gem Twin, Gem"):
        find_reader("gem", names)


@pytest.mark.parametrize(
    ("variable", "virtual_only", "allowed"),
    [("1", None, False), ("1", False, True), ("0", None, True), ("", None, True), ("", True, False)],
)
def test_real_readers_are_refused_where_only_virtual_ones_may_be_used(
    variable: str, virtual_only: bool | None, allowed: bool, fake: FakeScard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECNY_VIRTUAL_ONLY", variable)
    check_allowed(NAME, virtual_only)
    if allowed:
        PcscTransport("Gem Twin", virtual_only=virtual_only).close()
        return
    with pytest.raises(ConfigurationError):
        PcscTransport("Gem Twin", virtual_only=virtual_only)
    assert fake.calls == []
