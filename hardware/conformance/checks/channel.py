"""ECNY-SCP: the secure channel of personalisation, on an active card, where it can do nothing but what is done.

ACTIVATE is what goes through it here: on an active card it is 9000 and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hardware.apdu import CommandApdu, ResponseApdu
from hardware.channel_opening import HostHandshake, open_channel
from hardware.commands import Activate, GenerateKeyPair, GetData
from hardware.conformance.bench import Bench, same, word
from hardware.conformance.requirements import APDU, STATUSES, requirement
from hardware.data_objects import Tag
from hardware.ending_commands import MakeReport
from hardware.secure_channel import SecureSession, SecurityLevel
from hardware.status_words import SW
from wallet_core.errors import Refused

_COMMANDS: Final = "Commands"
_CHANNEL: Final = "The secure channel"
_REASONS: Final = "Reasons of a purse"


def _open(t: Bench) -> SecureSession:
    return open_channel(t.apdu, t.keys(), t.random(8))


def _send(t: Bench, session: SecureSession, command: CommandApdu) -> ResponseApdu:
    """One command through the channel, its answer still wrapped."""
    return t.apdu(replace(session.wrap_command(command), ne=256))


def _spoilt(t: Bench, spoil: Callable[[CommandApdu], CommandApdu]) -> None:
    """A wrapped command is spoilt: 6988; then the channel is closed, a right command is 6882."""
    session = _open(t)
    command = replace(session.wrap_command(Activate().to_apdu()), ne=256)
    word(t.apdu(spoil(command)), SW.SECURE_MESSAGING_OBJECT_WRONG, of="the spoilt command")
    after = word(t.apdu(command), SW.SECURE_MESSAGING_NOT_SUPPORTED, of="the right command after it")
    same(after, b"", "the answer's data")


@requirement("SCP-01", "INITIALIZE UPDATE answers 29 bytes of SCP03 with the right card cryptogram.", APDU, _CHANNEL)
def initialize_update(t: Bench) -> None:
    """Serial number and zeros, key version, SCP03 with i = 60, challenge, a cryptogram under the transport keys."""
    handshake = HostHandshake(t.keys(), t.random(8))
    answer = word(t.apdu(handshake.initialize_update()), SW.OK, of="INITIALIZE UPDATE")
    same(len(answer), 29, "bytes of the answer")
    same(answer[:10], t.serial() + bytes(2), "key diversification data")
    same(answer[10:13], bytes((t.keys().version, 0x03, 0x60)), "key version, protocol, i")
    handshake.external_authenticate(answer)


@requirement("SCP-02", "The card's challenge is fresh each time.", APDU, _COMMANDS)
def fresh_challenges(t: Bench) -> None:
    """Four INITIALIZE UPDATEs with one host challenge, the last after power-up: four challenges."""
    command = HostHandshake(t.keys(), bytes(8)).initialize_update()
    seen = {word(t.apdu(command), SW.OK, of="INITIALIZE UPDATE")[13:21] for _ in range(3)}
    t.tap()
    seen.add(word(t.apdu(command), SW.OK, of="INITIALIZE UPDATE")[13:21])
    same(len(seen), 4, "different challenges")


@requirement(
    "SCP-03", "EXTERNAL AUTHENTICATE with a wrong cryptogram is 6988, and there is no channel.", STATUSES, _REASONS
)
def wrong_cryptogram(t: Bench) -> None:
    """A bit of the host cryptogram, then of its MAC; the right one afterwards comes too late."""
    for place in (0, 15):
        handshake = HostHandshake(t.keys(), t.random(8))
        command, session = handshake.external_authenticate(t.apdu(handshake.initialize_update()).data)
        data = bytearray(command.data)
        data[place] ^= 1
        word(t.apdu(replace(command, data=bytes(data))), SW.SECURE_MESSAGING_OBJECT_WRONG, of="EXTERNAL AUTHENTICATE")
        late = t.apdu(command)
        word(late, Refused.WRONG_STATE, of="the right EXTERNAL AUTHENTICATE after it")
        answer = _send(t, session, Activate().to_apdu())
        word(answer, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="a command through it")


@requirement("SCP-04", "EXTERNAL AUTHENTICATE at any level but 33 is 6A86 and closes the channel.", APDU, _COMMANDS)
def other_levels(t: Bench) -> None:
    """Levels 01, 03, 11 and 13, each rightly authenticated."""
    for level in (0x01, 0x03, 0x11, 0x13):
        handshake = HostHandshake(t.keys(), t.random(8))
        answer = t.apdu(handshake.initialize_update()).data
        command, session = handshake.external_authenticate(answer, SecurityLevel(level))
        word(t.apdu(command), SW.INCORRECT_P1P2, of=f"level {level:02X}")
        after = t.apdu(session.wrap_command(Activate().to_apdu()))
        word(after, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="a command after it")


@requirement("SCP-05", "A command with CLA 84 and no channel is 6882.", APDU, _COMMANDS)
def no_channel(t: Bench) -> None:
    """ACTIVATE and TERMINATE with CLA 84 and sixteen bytes, no channel open."""
    for header in ("84440200", "84E60000"):
        word(t.raw(header + "10" + "00" * 16), SW.SECURE_MESSAGING_NOT_SUPPORTED, of=header)


@requirement("SCP-06", "A command whose C-MAC is wrong is 6988, and the channel is closed.", STATUSES, _REASONS)
def wrong_mac(t: Bench) -> None:
    """A bit of the C-MAC changed, a bit of the header changed."""
    _spoilt(t, lambda command: replace(command, data=command.data[:-1] + bytes((command.data[-1] ^ 1,))))
    _spoilt(t, lambda command: replace(command, p2=command.p2 ^ 1))


@requirement("SCP-07", "A C-MAC of fewer than eight bytes is 6988.", APDU, _COMMANDS)
def short_mac(t: Bench) -> None:
    """The first four, and the first seven bytes of the right C-MAC, and none."""
    for size in (4, 7, 0):
        _spoilt(t, lambda command, size=size: replace(command, data=command.data[:size]))  # type: ignore[misc]


@requirement("SCP-08", "A command that went through the channel cannot go through it again: 6988.", STATUSES, _REASONS)
def replayed(t: Bench) -> None:
    """The bytes of a command that was 9000, once more."""
    session = _open(t)
    command = replace(session.wrap_command(Activate().to_apdu()), ne=256)
    session.unwrap_response(_known(word(t.apdu(command), SW.OK, of="ACTIVATE")))
    word(t.apdu(command), SW.SECURE_MESSAGING_OBJECT_WRONG, of="the same bytes again")


def _known(data: bytes) -> ResponseApdu:
    return ResponseApdu(data, SW.OK)


@requirement("SCP-09", "Answers carry an R-MAC over the whole answer.", APDU, _COMMANDS)
def r_mac(t: Bench) -> None:
    """Three commands in one channel: eight bytes each, and each verifies in its turn."""
    session = _open(t)
    for _ in range(3):
        data = word(_send(t, session, Activate().to_apdu()), SW.OK, of="ACTIVATE")
        same(len(data), 8, "bytes of the answer")
        session.unwrap_response(_known(data))


@requirement("SCP-10", "Error words carry neither data nor R-MAC, and the channel stays open.", APDU, _COMMANDS)
def error_words(t: Bench) -> None:
    """GENERATE ASYMMETRIC KEY PAIR on an active card: 6985 alone; ACTIVATE after it is 9000."""
    session = _open(t)
    response = _send(t, session, GenerateKeyPair(bytes(32)).to_apdu())
    same(word(response, Refused.WRONG_STATE, of="GENERATE ASYMMETRIC KEY PAIR"), b"", "data beside the error word")
    session.unwrap_response(response)
    session.unwrap_response(_known(word(_send(t, session, Activate().to_apdu()), SW.OK, of="ACTIVATE")))


@requirement("SCP-11", "Commands of the purse are not heard through the channel: 6882.", APDU, _COMMANDS)
def purse_commands(t: Bench) -> None:
    """REPORT, wrapped."""
    session = _open(t)
    response = _send(t, session, MakeReport().to_apdu())
    word(response, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="REPORT through the channel")


@requirement("SCP-12", "Commands of personalisation are not heard without the channel: 6882.", APDU, _COMMANDS)
def plain_personalisation(t: Bench) -> None:
    """ACTIVATE, GENERATE ASYMMETRIC KEY PAIR and STORE DATA of an operator certificate, plain."""
    for header, size in (("80440200", 0), ("80460000", 32), ("80E20200", 227)):
        cla, ins, p1, p2 = bytes.fromhex(header)
        command = CommandApdu(cla, ins, p1, p2, bytes(size))
        word(t.apdu(command), SW.SECURE_MESSAGING_NOT_SUPPORTED, of=header)


@requirement("SCP-13", "The channel ends with the power.", APDU, _COMMANDS)
def ends_with_power(t: Bench) -> None:
    """A channel, power off and on, SELECT: the next command through it is 6882."""
    session = _open(t)
    t.tap()
    response = _send(t, session, Activate().to_apdu())
    word(response, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="ACTIVATE after power-up")


@requirement("SCP-14", "EXTERNAL AUTHENTICATE wants INITIALIZE UPDATE before it: 6985.", APDU, _CHANNEL)
def not_initialised(t: Bench) -> None:
    """EXTERNAL AUTHENTICATE after power-up; GET DATA still answers."""
    word(t.raw("84823300" + "10" + "00" * 16), Refused.WRONG_STATE, of="EXTERNAL AUTHENTICATE")
    t.ok(GetData(Tag.SERIAL))


@requirement("SCP-15", "P1 of INITIALIZE UPDATE is the key version or 00; another one is 6A88.", APDU, _CHANNEL)
def key_version(t: Bench) -> None:
    """P1 00 and the version of the transport keys are answered, the version after it is 6A88."""
    version = t.keys().version
    for p1, wanted in ((0, SW.OK), (version, SW.OK), (version + 1, Refused.NOT_FOUND)):
        word(t.apdu(CommandApdu(0x80, 0x50, p1, 0, t.random(8), 256)), wanted, of=f"INITIALIZE UPDATE with P1 {p1:02X}")


@requirement("SCP-16", "SELECT closes the channel.", APDU, _CHANNEL)
def select_closes(t: Bench) -> None:
    """A channel, SELECT: the next command through it is 6882."""
    session = _open(t)
    t.fci()
    response = _send(t, session, Activate().to_apdu())
    word(response, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="ACTIVATE after SELECT")


@requirement("SCP-17", "Without an Le field the R-MAC waits for GET RESPONSE: 6108.", APDU, _CHANNEL)
def without_le(t: Bench) -> None:
    """ACTIVATE through the channel without Le, then GET RESPONSE for 8 bytes, which verify."""
    session = _open(t)
    command = replace(session.wrap_command(Activate().to_apdu()), ne=0)
    word(t.apdu(command), 0x6108, of="ACTIVATE without Le")
    session.unwrap_response(_known(word(t.raw("00C0000008"), SW.OK, of="GET RESPONSE")))


@requirement(
    "SCP-18", "Of a command that is not heard through the channel P1-P2 and length come first.", APDU, _COMMANDS
)
def parameters_first(t: Bench) -> None:
    """REPORT with P1 01, REFUSE of 31 bytes, REPORT as it is, in one channel: 6A86, 6700, 6882."""
    session = _open(t)
    for command, wanted in (
        (CommandApdu(0x80, 0x3E, 1, 0, ne=256), SW.INCORRECT_P1P2),
        (CommandApdu(0x80, 0x36, 0, 0, bytes(31), 256), SW.WRONG_LENGTH),
        (MakeReport().to_apdu(), SW.SECURE_MESSAGING_NOT_SUPPORTED),
    ):
        word(_send(t, session, command), wanted, of=f"INS {command.ins:02X} through the channel")


@requirement("SCP-19", "A wrapped command of more than 1,024 bytes is 6988.", APDU, _CHANNEL)
def too_long(t: Bench) -> None:
    """STORE DATA of 1,100 bytes, rightly wrapped; the channel is closed after it."""
    session = _open(t)
    wrapped = session.wrap_command(CommandApdu(0x80, 0xE2, 2, 0, bytes(1_100), 256))
    word(t.connection.send(wrapped), SW.SECURE_MESSAGING_OBJECT_WRONG, of="the long command")
    after = _send(t, session, Activate().to_apdu())
    word(after, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="a command after it")


@requirement(
    "SCP-20", "INITIALIZE UPDATE ends the channel that was open, whatever it answers: 6700, then 6A88.", APDU, _CHANNEL
)
def initialize_ends(t: Bench) -> None:
    """Of seven bytes and an unknown version, of eight and an unknown version, and a right one; each after a channel."""
    for p1, size, wanted in ((0x7F, 7, SW.WRONG_LENGTH), (0x7F, 8, Refused.NOT_FOUND), (0, 8, SW.OK)):
        session = _open(t)
        word(t.apdu(CommandApdu(0x80, 0x50, p1, 0, bytes(size), 256)), wanted, of=f"INITIALIZE UPDATE of {size} bytes")
        after = _send(t, session, Activate().to_apdu())
        word(after, SW.SECURE_MESSAGING_NOT_SUPPORTED, of="a command through the old channel")


@requirement("SCP-21", "EXTERNAL AUTHENTICATE that nothing has begun leaves an open channel open.", APDU, _CHANNEL)
def channel_stays(t: Bench) -> None:
    """In an open channel EXTERNAL AUTHENTICATE is 6985; ACTIVATE through the channel is 9000 after it."""
    session = _open(t)
    word(t.raw("84823300" + "10" + "00" * 16), Refused.WRONG_STATE, of="EXTERNAL AUTHENTICATE")
    word(_send(t, session, Activate().to_apdu()), SW.OK, of="ACTIVATE")


@requirement(
    "SCP-22", "EXTERNAL AUTHENTICATE is 6A86, then 6700, then 6988, and each ends the one try.", APDU, _CHANNEL
)
def order_of_checks(t: Bench) -> None:
    """Level 03 with 15 bytes, level 33 with 15 bytes, level 33 with 16 zeros; 6985 after each of them."""
    for header, size, wanted in (
        ("84820300", 15, SW.INCORRECT_P1P2),
        ("84823300", 15, SW.WRONG_LENGTH),
        ("84823300", 16, SW.SECURE_MESSAGING_OBJECT_WRONG),
    ):
        word(t.apdu(CommandApdu(0x80, 0x50, 0, 0, t.random(8), 256)), SW.OK, of="INITIALIZE UPDATE")
        word(t.raw(header + f"{size:02X}" + "00" * size), wanted, of=f"{header} of {size} bytes")
        word(t.raw("8482330010" + "00" * 16), Refused.WRONG_STATE, of="another try")
