"""The chain of processors: what goes over the transport for one command, and what an error on the way means."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.channel_opening import CardHandshake, open_channel
from hardware.exchange import CardConnection, expect, expect_selected
from hardware.secure_channel import ALL_PROTECTED, SecureSession, StaticKeys
from hardware.status_words import SW
from hardware.transports.in_process import InProcessTransport
from support.echo_card import ATR, ATR_T0, COUNT, IS_SELECTED, SELECT, EchoCard, echo, echo_long
from wallet_core.errors import (
    BadSignatureError,
    CardError,
    NoCardError,
    OutcomeUnknownError,
    TransportError,
    VerificationError,
    WrongAppletError,
)


class Script:
    """A transport that answers from a list, and keeps what it was sent. An error in the list is raised."""

    name = "script"

    def __init__(self, *answers: str | TransportError, atr: bytes = ATR_T0, advance: Callable[[], None] | None = None):
        self.atr = atr
        self.sent: list[str] = []
        self.resets = 0
        self.closed = False
        self._answers = list(answers)
        self._advance = advance

    def transmit(self, command: bytes) -> bytes:
        self.sent.append(command.hex())
        if self._advance is not None:
            self._advance()
        answer = self._answers.pop(0)
        if isinstance(answer, TransportError):
            raise answer
        return bytes.fromhex(answer)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


LONG = bytes(range(256)) + bytes(range(44))


def test_a_short_card_gets_a_long_command_in_pieces() -> None:
    script = Script("9000", "9000")
    assert CardConnection(script).send(CommandApdu(0x80, 0xE0, 1, 2, LONG, 16)).sw == SW.OK
    assert script.sent == ["90e00102ff" + LONG[:255].hex(), "80e001022d" + LONG[255:].hex() + "10"]


@pytest.mark.parametrize("size", [255, 510, 765])
def test_full_pieces_leave_no_empty_one(size: int) -> None:
    script = Script(*["9000"] * (size // 255))
    CardConnection(script).send(CommandApdu(0x80, 0xE0, 0, 0, bytes(size)))
    assert [int(sent[:2], 16) & 0x10 for sent in script.sent] == [0x10] * (size // 255 - 1) + [0]


def test_a_piece_that_is_refused_ends_the_chain() -> None:
    script = Script("6884")
    assert CardConnection(script).send(CommandApdu(0x80, 0xE0, 0, 0, LONG)).sw == 0x6884
    assert len(script.sent) == 1


def test_an_extended_card_gets_it_whole() -> None:
    script = Script("9000", atr=ATR)
    CardConnection(script).send(CommandApdu(0x80, 0xE0, 0, 0, LONG, 65_536))
    assert script.sent == ["80e0000000012c" + LONG.hex() + "0000"]


def test_the_caller_may_know_better_than_the_atr() -> None:
    for extended, pieces in ((False, 2), (True, 1)):
        script = Script("9000", "9000", atr=ATR if pieces == 2 else ATR_T0)
        CardConnection(script, extended=extended).send(CommandApdu(0x80, 0xE0, 0, 0, LONG))
        assert len(script.sent) == pieces


def test_ne_beyond_256_is_asked_of_a_short_card_as_256() -> None:
    script = Script("9000")
    CardConnection(script).send(CommandApdu(0x80, 0xCA, 0, 0, ne=65_536))
    assert script.sent == ["80ca000000"]


def test_the_rest_is_fetched() -> None:
    script = Script("01026102", "03049000")
    assert CardConnection(script).send(CommandApdu(0x80, 0x32, 0, 0, ne=256)) == ResponseApdu(b"\1\2\3\4", 0x9000)
    assert script.sent[1] == "00c0000002"


def test_the_rest_may_come_in_many_parts() -> None:
    script = Script("6100", "aa" * 256 + "6103", "bb6102", "bbbb9000")
    response = CardConnection(script).send(CommandApdu(0x00, 0xCA, 0, 0, ne=256))
    assert response == ResponseApdu(b"\xaa" * 256 + b"\xbb" * 3, 0x9000)
    assert script.sent[1:] == ["00c0000000", "00c0000003", "00c0000002"]


@pytest.mark.parametrize("sw", ["6985", "69e2", "6a88", "6d00", "6f00", "6282", "63c2", "6581", "6c02"])
@pytest.mark.parametrize("before", [("6102",), ("6103", "aa6102")])
def test_an_error_word_from_get_response_is_no_answer_of_the_command(before: tuple[str, ...], sw: str) -> None:
    """The command was done: 6985 from fetching its answer must not read as its refusal (a debit would be denied)."""
    for part in ("", "0102"):
        with pytest.raises(OutcomeUnknownError, match=f"was done.*{sw.upper()}"):
            CardConnection(Script(*before, part + sw)).send(CommandApdu(0x80, 0x32, 0, 0, ne=256))


@pytest.mark.parametrize("answers", [("6102", "009000"), ("6102", "0102039000"), ("6100", "aa" * 255 + "9000")])
def test_more_or_fewer_bytes_than_announced_are_an_unknown_outcome(answers: tuple[str, ...]) -> None:
    with pytest.raises(OutcomeUnknownError, match="announced"):
        CardConnection(Script(*answers)).send(CommandApdu(0x80, 0x32, 0, 0, ne=256))


@pytest.mark.parametrize(
    ("cla", "fetching"),
    [(0x00, "00"), (0x03, "03"), (0x0C, "00"), (0x80, "00"), (0x81, "01"), (0x84, "00"), (0x65, "45")],
)
def test_get_response_stays_on_the_logical_channel(cla: int, fetching: str) -> None:
    script = Script("6101", "009000")
    CardConnection(script).send(CommandApdu(cla, 0xCA, 0, 0, ne=256))
    assert script.sent[1] == fetching + "c0000001"


def test_a_wrong_ne_is_corrected_once() -> None:
    script = Script("6c04", "010203049000")
    assert CardConnection(script).send(CommandApdu(0x80, 0xCA, 0, 0, ne=256)).data == b"\1\2\3\4"
    assert script.sent == ["80ca000000", "80ca000004"]
    script = Script("6c04", "6c05")
    assert CardConnection(script).send(CommandApdu(0x80, 0xCA, 0, 0, ne=256)).sw == 0x6C05


def test_only_the_last_piece_is_repeated_with_the_exact_ne() -> None:
    script = Script("9000", "6c04", "010203049000")
    assert CardConnection(script).send(CommandApdu(0x80, 0xE0, 0, 0, LONG, 256)).data == b"\1\2\3\4"
    assert [sent[:2] for sent in script.sent] == ["90", "80", "80"]


@pytest.mark.parametrize("lost", [NoCardError("gone"), OutcomeUnknownError("torn"), TransportError("closed")])
def test_what_was_done_and_not_told_is_an_unknown_outcome(lost: TransportError) -> None:
    # 61xx says that the command was done; a card that then is gone leaves the caller without the voucher.
    with pytest.raises(OutcomeUnknownError):
        CardConnection(Script("6102", lost)).send(CommandApdu(0x80, 0x32, 0, 0, ne=256))


def test_a_chain_that_was_cut_did_nothing() -> None:
    with pytest.raises(NoCardError):
        CardConnection(Script("9000", NoCardError("gone"))).send(CommandApdu(0x80, 0xE0, 0, 0, LONG))
    with pytest.raises(NoCardError):
        CardConnection(Script("6c04", NoCardError("gone"))).send(CommandApdu(0x80, 0xCA, 0, 0, ne=256))


@pytest.mark.parametrize(
    "answers", [("6101", "6101"), ("6110", *["aa" * 256 + "6100"] * 256), ("1234",), ("6101", "1234")]
)
def test_an_answer_that_makes_no_sense_is_an_unknown_outcome(answers: tuple[str, ...]) -> None:
    with pytest.raises(OutcomeUnknownError):
        CardConnection(Script(*answers)).send(CommandApdu(0x80, 0x32, 0, 0, ne=256))


def test_the_meter_counts_every_byte_and_the_time() -> None:
    now = [0]

    def advance() -> None:
        now[0] += 2_000_000

    script = Script("6102", "01029000", NoCardError("gone"), advance=advance)
    connection = CardConnection(script, clock_ns=lambda: now[0])
    connection.send(CommandApdu(0x80, 0x32, 0, 0, b"abc", 256))
    meter = connection.meter.snapshot()
    assert (meter.exchanges, meter.bytes_out, meter.bytes_in, meter.time_ms) == (2, 9 + 5, 2 + 4, 4.0)
    assert meter.bytes_total == 20
    with pytest.raises(NoCardError):
        connection.send(COUNT)
    last = connection.meter.since(meter)
    assert (last.exchanges, last.bytes_out, last.bytes_in, last.time_ms) == (1, 5, 0, 2.0)


def test_through_a_card_in_process() -> None:
    card = EchoCard()
    connection = CardConnection(InProcessTransport(card))
    assert (connection.name, connection.atr) == ("in process", ATR)
    for size in (0, 1, 256, 3_000):
        assert expect(connection.send(echo_long(bytes(size), ne=65_536))) == bytes(size)
    connection.send(SELECT)
    connection.reset()
    assert expect(connection.send(IS_SELECTED)) == b"\0"
    connection.close()
    assert not card.powered


def test_expect() -> None:
    assert expect(ResponseApdu(b"data", 0x9000)) == b"data"
    assert expect(ResponseApdu(b"less", 0x6282), 0x6282) == b"less"
    with pytest.raises(CardError, match="PAY with 69E2: refused: insufficient") as refused:
        expect(ResponseApdu(b"", 0x69E2), doing="PAY")
    assert refused.value.sw == 0x69E2
    assert expect_selected(ResponseApdu(b"fci", 0x9000)) == b"fci"
    for sw in (0x6A82, 0x6999):
        with pytest.raises(WrongAppletError):
            expect_selected(ResponseApdu(b"", sw))
    with pytest.raises(CardError) as other:
        expect_selected(ResponseApdu(b"", 0x6D00))
    assert not isinstance(other.value, WrongAppletError)


class SecureEcho(EchoCard):
    """An EchoCard whose commands with CLA 84 pass a secure channel."""

    def __init__(self) -> None:
        super().__init__()
        self._handshake = CardHandshake(KEYS, bytes(10))
        self.session: SecureSession | None = None

    def _do(self, command: CommandApdu) -> ResponseApdu:
        if command.ins == 0x50:
            return ResponseApdu(self._handshake.initialize_update(command, bytes(8)), SW.OK)
        if command.ins == 0x82:
            self.session = self._handshake.external_authenticate(command)
            return ResponseApdu(b"", SW.OK)
        if command.cla & 0x04 and self.session is not None:
            return self.session.wrap_response(super()._do(self.session.unwrap_command(command)))
        return super()._do(command)


KEYS = StaticKeys(bytes(range(16)), bytes(range(16)), 1)


def secured() -> tuple[SecureEcho, CardConnection, SecureSession]:
    card = SecureEcho()
    connection = CardConnection(InProcessTransport(card))
    session = open_channel(connection.send, KEYS, bytes(8), ALL_PROTECTED)
    connection.secure(session)
    return card, connection, session


def test_commands_pass_the_secure_channel_until_it_is_dropped() -> None:
    card, connection, _ = secured()
    for size in (0, 5, 300):
        assert expect(connection.send(echo(b"s" * size, ne=65_536))) == b"s" * size
    assert card.commands[-1][0] == 0x84
    assert b"sssss" not in b"".join(card.commands)
    connection.plain()
    assert expect(connection.send(echo(b"plain"))) == b"plain"
    assert card.commands[-1][0] == 0x80


def test_a_lost_answer_closes_the_secure_channel() -> None:
    card, connection, session = secured()
    card.tear_at(1)
    with pytest.raises(OutcomeUnknownError):
        connection.send(COUNT)
    assert not session.is_open
    with pytest.raises(VerificationError):
        connection.send(COUNT)
    connection.reset()
    assert expect(connection.send(COUNT)) == (2).to_bytes(4, "big")


def test_a_forged_answer_closes_the_secure_channel() -> None:
    card, connection, session = secured()
    card.answer_with = bytes(12) + b"\x90\x00"
    with pytest.raises(BadSignatureError):
        connection.send(COUNT)
    assert not session.is_open
