"""SCP03 against recorded sessions of a card that is not ours, then both of our ends against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.channel_opening import CardHandshake, HostHandshake, open_channel
from hardware.secure_channel import (
    ALL_PROTECTED,
    COMMANDS_PROTECTED,
    MAX_NC,
    SecureSession,
    SecurityLevel,
    StaticKeys,
)
from wallet_core.errors import (
    BadSignatureError,
    EcnyError,
    MismatchError,
    OutOfRangeError,
    VerificationError,
    WrongTypeError,
)

# Origin: sessions with an eUICC (key set 30, the well-known test keys, i = 70) published as test data of the pySim
# project (osmocom, tests/unittests/test_globalplatform.py, classes SCP03_Test_AES128_11, _03 and _33). Data only; the
# plain commands and the plain answer are the same in all three.
VECTOR_KEYS = StaticKeys(
    bytes.fromhex("000102030405060708090a0b0c0d0e0f"), bytes.fromhex("101112131415161718191a1b1c1d1e1f"), 0x30
)
PLAIN_ANSWER = "bf3e125a1089882119900000000000000000000005"
PLAIN_COMMANDS = (
    "80e2910006bf3e035c015a00",
    "80f22002",
    "80ca006600",
    "80f220020a4f0212345c054f9f70c5",
    "80f28002024f0000",
)


@dataclass(frozen=True)
class Recorded:
    level: SecurityLevel
    initialize_update: str
    answer: str
    external_authenticate: str
    wrapped: tuple[str, ...]
    wrapped_answer: str


RECORDED = [
    Recorded(
        SecurityLevel.C_MAC | SecurityLevel.R_MAC,
        "8050300008b13e5f938fc108c400",
        "000000000000000000003003703eb51047495b249f66c484c1d2ef1948000002",
        "84821100107d5f5826a993ebc89eea24957fa0b3ce",
        (
            "84e291000ebf3e035c015a558d036518a2829700",
            "84f220020863a63f8959827fb2",
            "84ca006608a0c6a4a74166f7ce00",
            "84f22002124f0212345c054f9f70c52249b50272656536",
            "84f280020a4f00e91443f6dce6b8ed00",
        ),
        "bf3e125a1089882119900000000000000000000005971be68992dbbdfa",
    ),
    Recorded(
        COMMANDS_PROTECTED,
        "80503000088e1552d0513c60f300",
        "0000000000000000000030037030760cd2c47c1dd395065fe5ead8a9d7000001",
        "8482030010fd4721a14d9b07003c451d2f8ae6bb21",
        (
            "84e2910018ca9c00f6713d79bc8baa642bdff51c3f6a4082d3bd9ad26c00",
            "84f2200208c9811b11f1264cf1",
            "84ca006608e10ab60b3054798800",
            "84f22002184e2908bdb48b2315a55482e9e936ca122d6ecfae7d17416e",
            "84f28002180dd10a6b6193e5340b9e77d32d5a179cd710ac2773aefb2800",
        ),
        PLAIN_ANSWER,
    ),
    Recorded(
        ALL_PROTECTED,
        "8050300008fdf38259a1e0de4400",
        "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
        "84823300108c36f96bcc00724a4e13ad591d7da3f0",
        (
            "84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00",
            "84f2200208ac6a59024bed84cc",
            "84ca006608409912ad8fb7aed000",
            "84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a",
            "84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00",
        ),
        "f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b9",
    ),
]


def command(text: str) -> CommandApdu:
    return CommandApdu.from_bytes(bytes.fromhex(text))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: f"{recorded.level:02X}")
def test_our_host_sends_what_was_recorded(recorded: Recorded) -> None:
    asked = command(recorded.initialize_update)
    host = HostHandshake(VECTOR_KEYS, asked.data)
    assert host.initialize_update() == asked
    authenticate, session = host.external_authenticate(bytes.fromhex(recorded.answer), recorded.level)
    assert authenticate.to_bytes().hex() == recorded.external_authenticate

    first, *others = zip(PLAIN_COMMANDS, recorded.wrapped, strict=True)
    assert session.wrap_command(command(first[0])).to_bytes().hex() == first[1]
    answer = session.unwrap_response(ResponseApdu(bytes.fromhex(recorded.wrapped_answer), 0x9000))
    assert answer.data.hex() == PLAIN_ANSWER
    for plain, wrapped in others:
        assert session.wrap_command(command(plain)).to_bytes().hex() == wrapped


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: f"{recorded.level:02X}")
def test_our_card_understands_what_was_recorded(recorded: Recorded) -> None:
    card_challenge = bytes.fromhex(recorded.answer)[13:21]
    card = CardHandshake(VECTOR_KEYS, bytes(10))
    answer = card.initialize_update(command(recorded.initialize_update), card_challenge)
    assert answer[13:29].hex() == recorded.answer[26:58]
    session = card.external_authenticate(command(recorded.external_authenticate))
    assert session.level == recorded.level

    first, *others = zip(PLAIN_COMMANDS, recorded.wrapped, strict=True)
    assert session.unwrap_command(command(first[1])) == command(first[0])
    wrapped = session.wrap_response(ResponseApdu(bytes.fromhex(PLAIN_ANSWER), 0x9000))
    assert wrapped.data.hex() == recorded.wrapped_answer
    for plain, secured in others:
        assert session.unwrap_command(command(secured)) == command(plain)


KEYS = StaticKeys(bytes(range(16)), bytes(range(16, 32)), 1)
HOST_CHALLENGE, CARD_CHALLENGE = b"hostrand", b"cardrand"


def both_ends(
    level: SecurityLevel = COMMANDS_PROTECTED, *, host_keys: StaticKeys = KEYS, options: int = 0x60
) -> tuple[SecureSession, SecureSession]:
    card = CardHandshake(KEYS, b"0123456789", options)
    opened: list[SecureSession] = []

    def send(sent: CommandApdu) -> ResponseApdu:
        if sent.ins == 0x50:
            return ResponseApdu(card.initialize_update(sent, CARD_CHALLENGE), 0x9000)
        opened.append(card.external_authenticate(sent))
        return ResponseApdu(b"", 0x9000)

    return open_channel(send, host_keys, HOST_CHALLENGE, level), opened[0]


LEVELS = [SecurityLevel(level) for level in (0x01, 0x03, 0x11, 0x13, 0x33)]
Exchanges = list[tuple[CommandApdu, ResponseApdu]]
commands = st.builds(
    CommandApdu,
    cla=st.sampled_from([0x00, 0x80]),
    ins=st.integers(0, 255),
    p1=st.integers(0, 255),
    p2=st.integers(0, 255),
    data=st.one_of(st.binary(max_size=40), st.binary(min_size=225, max_size=260)),
    ne=st.sampled_from([0, 16, 256, 65_536]),
)
responses = st.builds(ResponseApdu, st.binary(max_size=40), st.sampled_from([0x9000, 0x6310, 0x6282]))


@given(st.sampled_from(LEVELS), st.lists(st.tuples(commands, responses), max_size=6))
def test_both_ends_understand_each_other(
    level: SecurityLevel, exchanges: list[tuple[CommandApdu, ResponseApdu]]
) -> None:
    host, card = both_ends(level)
    for sent, answered in exchanges:
        wrapped = host.wrap_command(sent)
        assert wrapped.cla & 0x04
        assert card.unwrap_command(wrapped) == sent
        assert host.unwrap_response(card.wrap_response(answered)) == answered
    assert host.is_open
    assert card.is_open


def test_the_longest_command_fits_the_extended_length() -> None:
    host, card = both_ends()
    longest = CommandApdu(0x80, 0xE2, 0, 0, bytes(MAX_NC))
    assert card.unwrap_command(host.wrap_command(longest)) == longest
    with pytest.raises(OutOfRangeError):
        host.wrap_command(replace(longest, data=bytes(MAX_NC + 1)))
    assert not host.is_open


def test_the_same_command_never_looks_the_same() -> None:
    host, _ = both_ends()
    sent = CommandApdu(0x80, 0xE2, 5, 0, b"2412345678")
    wrapped = {host.wrap_command(sent).data for _ in range(16)}
    assert len(wrapped) == 16
    assert not any(sent.data in data for data in wrapped)


@given(st.sampled_from(LEVELS), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_of_a_command_closes_the_card_s_session(level: SecurityLevel, at: int, flip: int) -> None:
    host, card = both_ends(level)
    raw = bytearray(host.wrap_command(CommandApdu(0x80, 0xE2, 5, 0, b"2412345678")).to_bytes())
    spots = [0, 1, 2, 3, *range(5, len(raw))]
    raw[spots[at % len(spots)]] ^= flip
    with pytest.raises(BadSignatureError):
        card.unwrap_command(CommandApdu.from_bytes(bytes(raw)))
    assert_closed(card)


@given(st.sampled_from([level for level in LEVELS if level & SecurityLevel.R_MAC]), st.integers(0), st.integers(1, 255))
def test_any_changed_byte_of_a_response_closes_the_host_s_session(level: SecurityLevel, at: int, flip: int) -> None:
    host, card = both_ends(level)
    card.unwrap_command(host.wrap_command(CommandApdu(0x80, 0xCA, 0, 0x66, ne=256)))
    answer = card.wrap_response(ResponseApdu(b"a balance", 0x9000))
    data = bytearray(answer.data)
    data[at % len(data)] ^= flip
    with pytest.raises(BadSignatureError):
        host.unwrap_response(ResponseApdu(bytes(data), answer.sw))
    assert_closed(host)


def assert_closed(session: SecureSession) -> None:
    assert not session.is_open
    for refused in (
        lambda: session.wrap_command(CommandApdu(0x80, 0xCA, 0, 0)),
        lambda: session.unwrap_command(CommandApdu(0x84, 0xCA, 0, 0, bytes(8))),
        lambda: session.wrap_response(ResponseApdu(b"", 0x9000)),
        lambda: session.unwrap_response(ResponseApdu(b"", 0x9000)),
    ):
        with pytest.raises(VerificationError):
            refused()


def test_commands_lost_repeated_or_out_of_order_close_the_session() -> None:
    for accepted, refused in (((), 1), ((0,), 0), ((0,), 2), ((0, 1), 0)):
        host, card = both_ends()
        sent = [host.wrap_command(CommandApdu(0x80, 0xE2, i, 0, b"data")) for i in range(3)]
        for index in accepted:
            assert card.unwrap_command(sent[index]).p1 == index
        with pytest.raises(BadSignatureError):
            card.unwrap_command(sent[refused])
        assert_closed(card)


@pytest.mark.parametrize(
    "sent",
    [
        CommandApdu(0x80, 0xE2, 0, 0, b"plain data, no secure messaging"),
        CommandApdu(0x84, 0xE2, 0, 0),
        CommandApdu(0x84, 0xE2, 0, 0, bytes(7)),
    ],
)
def test_a_command_without_a_mac_closes_the_session(sent: CommandApdu) -> None:
    _, card = both_ends()
    with pytest.raises(BadSignatureError):
        card.unwrap_command(sent)
    assert_closed(card)


@pytest.mark.parametrize("body", [b"", b"not whole blocks", bytes(16), bytes(32)])
def test_a_response_without_mac_or_padding_closes_the_session(body: bytes) -> None:
    host, card = both_ends(ALL_PROTECTED)
    card.unwrap_command(host.wrap_command(CommandApdu(0x80, 0xCA, 0, 0)))
    with pytest.raises(BadSignatureError):
        host.unwrap_response(ResponseApdu(body, 0x9000))
    assert_closed(host)


def test_an_authentic_command_that_is_not_whole_blocks_is_refused() -> None:
    # A peer with the keys that does not encrypt as the level says: the MAC is right, the padding is not.
    for data in (b"short", bytes(16)):
        host, card = both_ends()
        with pytest.raises(BadSignatureError):
            card.unwrap_command(host.add_mac(CommandApdu(0x84, 0xE2, 0, 0, data)))
        assert_closed(card)


def test_error_words_carry_no_mac_and_no_data() -> None:
    host, card = both_ends(ALL_PROTECTED)
    card.unwrap_command(host.wrap_command(CommandApdu(0x80, 0xCA, 0, 0)))
    refused = ResponseApdu(b"", 0x6985)
    assert card.wrap_response(refused) == refused
    assert host.unwrap_response(refused) == refused
    with pytest.raises(BadSignatureError):
        host.unwrap_response(ResponseApdu(b"smuggled", 0x6985))
    with pytest.raises(OutOfRangeError):
        card.wrap_response(ResponseApdu(b"leaked", 0x6985))
    assert_closed(host)
    assert_closed(card)


@pytest.mark.parametrize(
    ("host_keys", "error"),
    [
        (StaticKeys(bytes(16), KEYS.mac), BadSignatureError),
        (StaticKeys(KEYS.enc, bytes(16)), BadSignatureError),
        (StaticKeys(KEYS.enc, KEYS.mac, 2), MismatchError),
    ],
)
def test_other_keys_open_nothing(host_keys: StaticKeys, error: type[EcnyError]) -> None:
    if host_keys.enc != KEYS.enc:
        # K-ENC takes no part in the cryptograms: the first encrypted command shows the difference.
        host, card = both_ends(host_keys=host_keys)
        with pytest.raises(error):
            card.unwrap_command(host.wrap_command(CommandApdu(0x80, 0xE2, 0, 0, bytes(15))))
        return
    with pytest.raises(error):
        both_ends(host_keys=host_keys)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"p1": 0x02}, BadSignatureError),
        ({"cryptogram": bytes(8)}, BadSignatureError),
        ({"mac": bytes(8)}, BadSignatureError),
        ({"mac": bytes(7)}, OutOfRangeError),
    ],
)
def test_the_card_checks_cryptogram_level_and_order(changes: dict[str, Any], error: type[EcnyError]) -> None:
    asked, card = HostHandshake(KEYS, HOST_CHALLENGE), CardHandshake(KEYS, bytes(10))
    good, _ = asked.external_authenticate(card.initialize_update(asked.initialize_update(), CARD_CHALLENGE))
    data = changes.get("cryptogram", good.data[:8]) + changes.get("mac", good.data[8:])
    with pytest.raises(error):
        card.external_authenticate(replace(good, p1=changes.get("p1", good.p1), data=data))
    with pytest.raises(VerificationError):  # one try for one challenge
        card.external_authenticate(good)


@pytest.mark.parametrize(("level", "error"), [(0x00, OutOfRangeError), (0x02, OutOfRangeError), (0x33, MismatchError)])
def test_a_level_that_the_card_cannot_do_opens_nothing(level: int, error: type[EcnyError]) -> None:
    with pytest.raises(error):
        both_ends(SecurityLevel(level), options=0x20)
    card = CardHandshake(KEYS, bytes(10), 0x20)
    session = SecureSession(KEYS, HOST_CHALLENGE + CARD_CHALLENGE)
    card.initialize_update(HostHandshake(KEYS, HOST_CHALLENGE).initialize_update(), CARD_CHALLENGE)
    forced = session.add_mac(CommandApdu(0x84, 0x82, level, 0, session.host_cryptogram))
    with pytest.raises(error):
        card.external_authenticate(forced)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        bytes(28),
        bytes(10) + b"\x01\x02\x60" + bytes(16),  # SCP02
        bytes(10) + b"\x01\x03\x70" + bytes(16),  # says that a sequence counter follows, and none does
        bytes(10) + b"\x01\x03\x60" + bytes(19),  # a sequence counter that was not announced
    ],
)
def test_what_is_no_answer_to_initialize_update_is_refused(answer: bytes) -> None:
    with pytest.raises(WrongTypeError):
        HostHandshake(KEYS, HOST_CHALLENGE).external_authenticate(answer)


@pytest.mark.parametrize(("failing", "error"), [(0x50, MismatchError), (0x82, BadSignatureError)])
def test_a_card_that_refuses_opens_nothing(failing: int, error: type[EcnyError]) -> None:
    card = CardHandshake(KEYS, bytes(10))

    def send(sent: CommandApdu) -> ResponseApdu:
        if sent.ins == failing:
            return ResponseApdu(b"", 0x6300)
        return ResponseApdu(card.initialize_update(sent, CARD_CHALLENGE), 0x9000)

    with pytest.raises(error):
        open_channel(send, KEYS, HOST_CHALLENGE)


@pytest.mark.parametrize(
    "build",
    [
        lambda: StaticKeys(bytes(15), bytes(16)),
        lambda: StaticKeys(bytes(16), bytes(24)),
        lambda: StaticKeys(bytes(16), bytes(16), 0),
        lambda: HostHandshake(KEYS, bytes(7)),
        lambda: CardHandshake(KEYS, bytes(9)),
        lambda: CardHandshake(KEYS, bytes(10), 0x10),
        lambda: CardHandshake(KEYS, bytes(10)).initialize_update(CommandApdu(0x80, 0x50, 1, 0, bytes(9)), bytes(8)),
        lambda: CardHandshake(KEYS, bytes(10)).initialize_update(CommandApdu(0x80, 0x50, 1, 0, bytes(8)), bytes(9)),
    ],
)
def test_sizes_are_checked(build: object) -> None:
    with pytest.raises(OutOfRangeError):
        build()  # type: ignore[operator]


def test_another_key_version_or_identifier_is_a_mismatch() -> None:
    for p1, p2 in ((2, 0), (1, 1)):
        with pytest.raises(MismatchError):
            CardHandshake(KEYS, bytes(10)).initialize_update(CommandApdu(0x80, 0x50, p1, p2, bytes(8)), bytes(8))


def test_keys_are_not_shown() -> None:
    shown = repr(KEYS)
    assert shown == "StaticKeys(version=1)"
