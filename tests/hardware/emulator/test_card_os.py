"""The card OS: length, chaining, GET RESPONSE, class bytes, selection, secure channel, and errors as status words."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.atr import card_capabilities, historical_bytes
from hardware.card_like import CardTorn
from hardware.channel_opening import HostHandshake, open_channel
from hardware.commands import Collect, GenerateKeyPair, GetData, MakeRequest, Pay, Select, StoreData
from hardware.data_objects import AID, Fci, Tag
from hardware.emulator import applet
from hardware.emulator.card import ATR
from hardware.instructions import Store
from hardware.secure_channel import SecureSession, SecurityLevel, StaticKeys
from hardware.status_words import SW
from hardware.transport_keys import TEST_BATCH_KEY, transport_keys
from support.cards import LOAD, SERIAL, CardInHand, World, blank_card, make_world, personalised_card
from support.tree import ROOT
from wallet_core.errors import BadSignatureError, MismatchError, Refused

SELECT = Select(AID).to_apdu().to_bytes()
KEYS = transport_keys(TEST_BATCH_KEY, SERIAL, production=False)
HOST_CHALLENGE = bytes(8)


@pytest.fixture
def world() -> World:
    return make_world("card os")


@pytest.fixture
def hand(world: World) -> CardInHand:
    return personalised_card(world, load=LOAD)


@pytest.fixture
def blank(world: World) -> CardInHand:
    """Blank and selected."""
    hand = blank_card(world)
    hand.wallet.select()
    return hand


def send(hand: CardInHand, raw: bytes | str) -> tuple[bytes, str]:
    """Data and status word that the bytes are answered with."""
    answer = hand.card.transmit(bytes.fromhex(raw) if isinstance(raw, str) else raw)
    return answer[:-2], answer[-2:].hex().upper()


def sw(hand: CardInHand, raw: bytes | str) -> str:
    return send(hand, raw)[1]


# Power and selection


def test_the_atr_says_what_the_card_can_do(hand: CardInHand) -> None:
    assert ATR.hex(" ").upper() == "3B 8D 80 01 80 31 80 73 80 00 C0 65 45 43 4E 59 57 2D"
    assert hand.transport.atr == ATR
    assert len(historical_bytes(ATR)) == 13
    assert (card_capabilities(ATR).chaining, card_capabilities(ATR).extended) == (True, True)


def test_nothing_is_selected_after_power_up(hand: CardInHand) -> None:
    hand.connection.reset()
    for raw in (GetData(Tag.SERIAL).to_apdu().to_bytes(), "80320000", "00C0000000", "8050000008" + "00" * 8):
        assert sw(hand, raw) == "6D00"
    assert sw(hand, SELECT) == "9000"
    assert sw(hand, GetData(Tag.SERIAL).to_apdu().to_bytes()) == "9000"


def test_a_card_without_power_is_silent(hand: CardInHand) -> None:
    hand.card.power_off()
    hand.card.power_off()
    with pytest.raises(CardTorn):
        hand.card.transmit(SELECT)
    assert hand.card.signatures == 0


def test_another_aid_leaves_the_purse_selected(hand: CardInHand) -> None:
    for raw in ("00A4040007A0000000031010", "00A40400", "00A4040006F045434E5957", "00A4040008F045434E59570100"):
        assert sw(hand, raw) == "6A82"
    assert sw(hand, GetData(Tag.SERIAL).to_apdu().to_bytes()) == "9000"


@pytest.mark.parametrize(
    ("raw", "word"),
    [("00A4000002 3F00", "6A86"), ("00A40402 07" + AID.hex(), "6A86"), ("00A4040011" + "00" * 17, "6700")],
)
def test_other_ways_to_select(hand: CardInHand, raw: str, word: str) -> None:
    assert sw(hand, raw) == word


# Length and GET RESPONSE


def pay_apdu(hand: CardInHand, ne: int) -> CommandApdu:
    request = hand.world.till_request(hand.wallet.select(), 100)
    command = Pay(request.to_payload()).to_apdu()
    return CommandApdu(command.cla, command.ins, command.p1, command.p2, command.data, ne)


def test_a_short_command_answers_256_bytes_and_keeps_the_rest(hand: CardInHand) -> None:
    raw = pay_apdu(hand, 256).to_bytes()
    first, word = send(hand, raw)
    assert (len(first), word) == (256, "610E")
    rest, word = send(hand, "00C000000E")
    assert (len(rest), word) == (14, "9000")
    assert send(hand, raw) == (first, "610E"), "the stored voucher"
    assert send(hand, "00C0000005") == (rest[:5], "6109")
    assert send(hand, "00C0000000") == (rest[5:], "9000")
    assert sw(hand, "00C0000000") == "6985"


def test_an_extended_command_answers_all_at_once(hand: CardInHand) -> None:
    data, word = send(hand, pay_apdu(hand, 65_536).to_bytes())
    assert (len(data), word) == (270, "9000")


@pytest.mark.parametrize(("ne", "left"), [(0, "6100"), (1, "6100"), (14, "6100"), (15, "61FF"), (200, "6146")])
def test_ne_is_kept_to(hand: CardInHand, ne: int, left: str) -> None:
    data, word = send(hand, pay_apdu(hand, ne).to_bytes())
    assert (len(data), word) == (ne, left)


def test_any_other_command_drops_the_rest(hand: CardInHand) -> None:
    for between in (GetData(Tag.SERIAL).to_apdu().to_bytes(), "80990000", "FF000000"):
        assert sw(hand, pay_apdu(hand, 256).to_bytes()) == "610E"
        sw(hand, between)
        assert sw(hand, "00C0000000") == "6985"


def test_get_response_has_one_form(hand: CardInHand) -> None:
    sw(hand, pay_apdu(hand, 256).to_bytes())
    assert sw(hand, "00C0000100") == "6A86"
    assert sw(hand, "00C00000") == "6700"
    assert sw(hand, "00C000000100") == "6700"
    assert sw(hand, "00C0000000") == "9000", "a malformed GET RESPONSE loses nothing"


@pytest.mark.parametrize(
    "raw", ["00", "0084", "000000", "0084000000000000", "00320000020102030405", "8032000000"[:-2] + "05AA"]
)
def test_what_is_no_apdu(hand: CardInHand, raw: str) -> None:
    assert sw(hand, raw) == "6700"


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ("8032000001AA", "6700"),
        ("8030000001AA", "6700"),
        ("8036000001AA", "6700"),
        ("0020000101AA", "6700"),
        ("00CADF0201AA", "6700"),
        ("80E2040001AA", "6700"),
        ("8032020000", "6A86"),
        ("0020000008" + "00" * 8, "6A86"),
        ("8099000000", "6D00"),
        ("00B0000000", "6D00"),
        ("00CA9F7F00", "6A88"),
        ("A0A4000000", "6E00"),
        ("FF00000000", "6E00"),
        ("20CADF0400", "6E00"),
        ("01CADF0400", "6881"),
        ("40CADF0400", "6881"),
        ("8332000000", "6881"),
        ("0CCADF0400", "6882"),
        ("04CADF0400", "6882"),
        ("84E2040000", "6882"),
        ("80E2050008" + "00" * 8, "6882"),
        ("10CADF0400", "6884"),
        ("10A4040001F0", "6884"),
        ("1020000101AA", "6884"),
    ],
)
def test_errors_before_a_command_is_heard(hand: CardInHand, raw: str, word: str) -> None:
    before = hand.flash.snapshot()
    hand.wallet.select()
    assert send(hand, raw) == (b"", word)
    assert hand.flash.snapshot() == before


# Command chaining


@pytest.mark.parametrize("extended", [False, True])
def test_a_long_command_comes_whole_or_in_a_chain(world: World, extended: bool) -> None:
    hand = personalised_card(world, load=LOAD, extended=extended)
    before = hand.connection.meter.snapshot()
    request = world.till_request(hand.wallet.select(), 20_001, k=2)
    hand.wallet.verify_pin("246810")
    hand.wallet.pay_verified(*world.signed_by_till(request))
    exchanges = hand.connection.meter.since(before).exchanges
    assert exchanges == (4 if extended else 6)  # SELECT, VERIFY, PAY in one or three pieces, GET RESPONSE


def test_a_chain_of_small_pieces(world: World, hand: CardInHand) -> None:
    request = hand.wallet.request(world.operator_purse.id, 1, 2, 100, bytes(32))
    command = Collect(*world.voucher_for(request)).to_apdu()
    pieces = [command.data[at : at + 100] for at in range(0, len(command.data), 100)]
    for piece in pieces[:-1]:
        assert send(hand, CommandApdu(0x90, command.ins, 0, 0, piece).to_bytes()) == (b"", "9000")
    receipt, word = send(hand, CommandApdu(0x80, command.ins, 0, 0, pieces[-1], 256).to_bytes())
    assert (len(receipt), word) == (186, "9000")


def test_a_chain_that_another_command_breaks_is_gone(hand: CardInHand) -> None:
    payload = hand.world.till_request(hand.wallet.select(), 100).to_payload()
    piece, rest = CommandApdu(0x90, 0x32, 0, 0, payload[:70]).to_bytes(), payload[70:]
    for between in (SELECT, GetData(Tag.SERIAL).to_apdu().to_bytes(), "00C0000000", "9032010001AA"):
        assert sw(hand, piece) == "9000"
        sw(hand, between)
        assert sw(hand, CommandApdu(0x80, 0x32, 0, 0, rest, 256).to_bytes()) == "6700"
    assert sw(hand, piece) == "9000"
    hand.tap()
    assert sw(hand, CommandApdu(0x80, 0x32, 0, 0, rest, 256).to_bytes()) == "6700"


def test_bytes_that_are_no_command_neither_end_a_chain_nor_drop_a_rest(hand: CardInHand) -> None:
    """The specification leaves it to the card; a chip's applet never hears of them."""
    payload = hand.world.till_request(hand.wallet.select(), 100).to_payload()
    assert sw(hand, CommandApdu(0x90, 0x32, 0, 0, payload[:70]).to_bytes()) == "9000"
    assert sw(hand, "8032000005AA") == "6700"
    assert sw(hand, CommandApdu(0x80, 0x32, 0, 0, payload[70:], 256).to_bytes()) == "610E"
    assert sw(hand, "00") == "6700"
    assert sw(hand, "00C0000000") == "9000"


def test_an_endless_chain_is_refused(hand: CardInHand) -> None:
    piece = CommandApdu(0x90, 0x32, 0, 0, bytes(1000)).to_bytes()
    assert [sw(hand, piece) for _ in range(5)] == ["9000"] * 4 + ["6700"]


# Secure channel


def wrapped(session: SecureSession, command: CommandApdu) -> bytes:
    """The command as the host sends it: with room for the R-MAC."""
    return replace(session.wrap_command(command), ne=256).to_bytes()


def wrong(keys: StaticKeys) -> StaticKeys:
    return StaticKeys(keys.enc, bytes(16), keys.version)


def test_a_host_with_other_keys_gets_no_channel(blank: CardInHand) -> None:
    with pytest.raises(BadSignatureError):
        open_channel(blank.connection.send, wrong(KEYS), HOST_CHALLENGE)
    answer = blank.connection.send(HostHandshake(KEYS, HOST_CHALLENGE).initialize_update()).data
    command, _ = HostHandshake(KEYS, HOST_CHALLENGE).external_authenticate(answer)
    forged = CommandApdu(command.cla, command.ins, command.p1, 0, command.data[:-1] + bytes((command.data[-1] ^ 1,)))
    assert sw(blank, forged.to_bytes()) == "6988"
    assert sw(blank, command.to_bytes()) == "6985", "one try for each INITIALIZE UPDATE"


def test_the_answer_to_initialize_update_is_of_this_card_and_fresh(blank: CardInHand) -> None:
    update = HostHandshake(KEYS, HOST_CHALLENGE).initialize_update()
    first, second = (blank.connection.send(update).data for _ in range(2))
    assert len(first) == 29
    assert first[:8] == SERIAL
    assert first[13:21] != second[13:21]


@pytest.mark.parametrize(
    ("raw", "word"),
    [("8050000007" + "00" * 7, "6700"), ("8050090008" + "00" * 8, "6A88"), ("8482330010" + "00" * 16, "6985")],
)
def test_errors_of_the_handshake(blank: CardInHand, raw: str, word: str) -> None:
    assert sw(blank, raw) == word


@pytest.mark.parametrize("level", [SecurityLevel(level) for level in (0x01, 0x03, 0x11, 0x13)])
def test_another_security_level_is_refused(blank: CardInHand, level: SecurityLevel) -> None:
    answer = blank.connection.send(HostHandshake(KEYS, HOST_CHALLENGE).initialize_update()).data
    command, _ = HostHandshake(KEYS, HOST_CHALLENGE).external_authenticate(answer, level)
    assert sw(blank, command.to_bytes()) == "6A86"
    assert sw(blank, "84440100") == "6882"


def test_the_level_cannot_be_lowered_on_the_way(blank: CardInHand) -> None:
    """Whoever changes P1 of a genuine EXTERNAL AUTHENTICATE gets no channel, and none is left to go on with."""
    for p1 in (0x00, 0x01, 0x03, 0x11, 0x13):
        answer = blank.connection.send(HostHandshake(KEYS, HOST_CHALLENGE).initialize_update()).data
        command, session = HostHandshake(KEYS, HOST_CHALLENGE).external_authenticate(answer)
        assert command.p1 == 0x33
        assert sw(blank, replace(command, p1=p1).to_bytes()) == "6A86"
        assert sw(blank, command.to_bytes()) == "6985", "the handshake is over"
        assert sw(blank, wrapped(session, GenerateKeyPair(bytes(32)).to_apdu())) == "6882"


def test_answers_through_the_channel_are_authenticated_and_encrypted(blank: CardInHand) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    data, word = send(blank, wrapped(session, GenerateKeyPair(bytes(32)).to_apdu()))
    assert (len(data), word) == (192 + 8, "9000")
    assert len(session.unwrap_response(ResponseApdu(data, 0x9000)).data) == 187
    data, word = send(blank, session.wrap_command(StoreData(Store.AUDIT_KEY, bytes(16)).to_apdu()).to_bytes())
    assert (data, word) == (b"", "6108"), "without Le the R-MAC waits for GET RESPONSE"
    data, word = send(blank, "00C0000008")
    assert session.unwrap_response(ResponseApdu(data, int(word, 16))) == ResponseApdu(b"", 0x9000)


def test_a_command_without_the_channel_s_mark_is_not_heard_through_it(blank: CardInHand) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    for command in (GetData(Tag.SERIAL), Select(AID)):
        assert send(blank, wrapped(session, command.to_apdu())) == (b"", "6882")


def test_a_short_external_authenticate(blank: CardInHand) -> None:
    blank.connection.send(HostHandshake(KEYS, HOST_CHALLENGE).initialize_update())
    assert sw(blank, "8482330008" + "00" * 8) == "6700"


def test_a_wrong_mac_closes_the_channel(blank: CardInHand) -> None:
    before = blank.flash.snapshot()
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    command = session.wrap_command(StoreData(Store.AUDIT_KEY, bytes(16)).to_apdu())
    forged = command.data[:-1] + bytes((command.data[-1] ^ 1,))
    assert sw(blank, CommandApdu(command.cla, command.ins, command.p1, 0, forged).to_bytes()) == "6988"
    assert sw(blank, command.to_bytes()) == "6882"
    assert blank.flash.snapshot() == before


def test_a_replayed_command_is_refused(blank: CardInHand) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    command = wrapped(session, StoreData(Store.AUDIT_KEY, bytes(16)).to_apdu())
    assert sw(blank, command) == "9000"
    assert sw(blank, command) == "6988"


@pytest.mark.parametrize("end", ["select", "update", "reset"])
def test_the_channel_ends(blank: CardInHand, end: str) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    if end == "select":
        blank.wallet.select()
    elif end == "update":
        sw(blank, HostHandshake(KEYS, bytes(range(8))).initialize_update().to_bytes())
    else:
        blank.tap()
    assert sw(blank, session.wrap_command(StoreData(Store.AUDIT_KEY, bytes(16)).to_apdu()).to_bytes()) == "6882"


def test_a_refusal_leaves_the_channel_open(blank: CardInHand) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    for command, word in (
        (StoreData(Store.PIN, bytes(8)), "6A80"),
        (StoreData(Store.PIN, bytes(7)), "6700"),
        (StoreData(Store.OPERATOR_CERTIFICATE, bytes(227)), "6A80"),
        (GenerateKeyPair(bytes(32)), "9000"),
    ):
        assert sw(blank, session.wrap_command(command.to_apdu()).to_bytes()) == word


def test_a_wrapped_command_may_be_chained(blank: CardInHand) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    command = session.wrap_command(StoreData(Store.AUDIT_KEY, bytes(16)).to_apdu())
    assert sw(blank, CommandApdu(0x94, command.ins, command.p1, 0, command.data[:20]).to_bytes()) == "9000"
    assert sw(blank, CommandApdu(0x84, command.ins, command.p1, 0, command.data[20:], 256).to_bytes()) == "9000"


@pytest.mark.parametrize(("size", "word"), [(1007, "6700"), (1008, "6988")])
def test_the_mac_of_a_very_long_wrapped_command_is_not_looked_at(blank: CardInHand, size: int, word: str) -> None:
    session = open_channel(blank.connection.send, KEYS, HOST_CHALLENGE)
    command = session.wrap_command(CommandApdu(0x80, 0xE2, 6, 0, bytes(size), 256))
    assert sw(blank, command.to_bytes()) == word


def test_a_terminated_card_opens_no_channel(world: World, hand: CardInHand) -> None:
    session = open_channel(hand.connection.send, KEYS, HOST_CHALLENGE)
    assert sw(hand, wrapped(session, CommandApdu(0x80, 0xE6, 0, 0))) == "9000"
    assert sw(hand, wrapped(session, CommandApdu(0x80, 0xE6, 0, 0))) == "9000", "again"
    hand.tap()
    with pytest.raises(MismatchError, match="6985"):
        open_channel(hand.connection.send, KEYS, HOST_CHALLENGE)


# Errors


def test_a_mistake_of_the_program_makes_the_card_mute_until_power_up(
    hand: CardInHand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> bytes:
        raise ZeroDivisionError("a secret")

    with monkeypatch.context() as patch:
        patch.setitem(applet.TABLE, GetData, (broken, applet.TABLE[GetData][1]))
        assert send(hand, GetData(Tag.SERIAL).to_apdu().to_bytes()) == (b"", "6F00")
    assert send(hand, SELECT) == (b"", "6F00")
    assert "ZeroDivisionError" in caplog.text
    assert "a secret" not in caplog.text
    assert Fci.from_bytes(hand.tap().to_bytes()).balance == LOAD


def test_worn_memory_is_told_and_moves_nothing(world: World, hand: CardInHand) -> None:
    hand.flash.endurance = 0
    for command in (
        Pay(world.till_request(hand.wallet.select(), 100).to_payload()),
        MakeRequest(world.till.id, 1, 1, 1, bytes(32)),
    ):
        assert send(hand, command.to_apdu().to_bytes()) == (b"", "6581")
    hand.flash.endurance = None
    fci = hand.tap()
    assert (fci.balance, fci.next_n, fci.next_k) == (LOAD, 1, 2)


def test_a_response_is_always_one(hand: CardInHand) -> None:
    """Whatever the bytes, there is an answer, and memory is as it was: no random command is a payment."""
    before = hand.flash.snapshot()
    for at in range(256):
        for raw in (
            bytes((at, 0xCA, 0, 0)),
            bytes((0x80, at, 0, 0, 0)),
            bytes((0, at, 0, 0, 1, at)),
            bytes((at,) * at),
        ):
            ResponseApdu.from_bytes(hand.card.transmit(raw))
    assert hand.flash.snapshot() == before


def test_the_words_of_the_card_are_those_of_the_specification() -> None:
    """statuses.md lists, beside the purse's reasons, exactly the words that the emulator's code can say."""
    page = (ROOT / "docs" / "spec" / "statuses.md").read_text(encoding="utf-8")
    begin = page.index("Other status words:")
    sentence = page[begin : page.index("\n## ", begin)]
    listed = {int(word, 16) for word in re.findall(r"`([0-9A-F]{4})`", sentence)}
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "hardware" / "emulator").glob("*.py")))
    said = {SW[name].value for name in re.findall(r"\bSW\.([A-Z0-9_]+)", code)}
    assert listed == said - set(Refused)
    assert {"`61xx`", "`63Cx`"} <= set(re.findall(r"`[0-9A-Cx]{4}`", sentence))
