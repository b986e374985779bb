"""Command and response APDUs: every case of ISO/IEC 7816-4 clause 5.1, both lengths, and rubbish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.apdu import MAX_COMMAND, CommandApdu, ResponseApdu
from wallet_core.errors import CodecError, NotCanonicalError, OutOfRangeError, OversizedError, TruncatedError

SELECT = (0x00, 0xA4, 0x04, 0x00)

CASES = [
    ("1", CommandApdu(*SELECT), None, "00A40400"),
    ("1, extended has no form of its own", CommandApdu(*SELECT), True, "00A40400"),
    ("2S", CommandApdu(*SELECT, ne=5), None, "00A4040005"),
    ("2S, all 256", CommandApdu(*SELECT, ne=256), None, "00A4040000"),
    ("2E", CommandApdu(*SELECT, ne=5), True, "00A40400000005"),
    ("2E, needed", CommandApdu(*SELECT, ne=257), None, "00A40400000101"),
    ("2E, all 65,536", CommandApdu(*SELECT, ne=65_536), None, "00A40400000000"),
    ("3S", CommandApdu(*SELECT, b"\xf0\x01"), None, "00A4040002F001"),
    ("3E", CommandApdu(*SELECT, b"\xf0\x01"), True, "00A40400000002F001"),
    ("4S", CommandApdu(*SELECT, b"\xf0\x01", 16), None, "00A4040002F00110"),
    ("4S, all 256", CommandApdu(*SELECT, b"\xf0", 256), None, "00A4040001F000"),
    ("4E", CommandApdu(*SELECT, b"\xf0\x01", 16), True, "00A40400000002F0010010"),
    ("4E, all 65,536", CommandApdu(*SELECT, b"\xf0", 65_536), None, "00A40400000001F00000"),
    ("4E for the sake of Nc", CommandApdu(*SELECT, bytes(256), 1), None, "00A40400000100" + "00" * 256 + "0001"),
]


@pytest.mark.parametrize(("case", "command", "extended", "encoded"), CASES, ids=[case for case, *_ in CASES])
def test_every_case_has_its_bytes(case: str, command: CommandApdu, extended: bool | None, encoded: str) -> None:
    assert command.to_bytes(extended).hex().upper() == encoded
    assert CommandApdu.from_bytes(bytes.fromhex(encoded)) == command


commands = st.builds(
    CommandApdu,
    *[st.integers(0, 255)] * 4,
    data=st.one_of(st.binary(max_size=3), st.binary(min_size=254, max_size=258)),
    ne=st.one_of(st.integers(0, 3), st.integers(254, 258), st.integers(65_534, 65_536)),
)


@given(commands, st.booleans())
def test_what_is_encoded_is_decoded(command: CommandApdu, extended: bool) -> None:
    assert CommandApdu.from_bytes(command.to_bytes(extended or None)) == command


@given(st.binary(max_size=12))
def test_bytes_are_one_command_in_one_form_or_a_codec_error(raw: bytes) -> None:
    try:
        command = CommandApdu.from_bytes(raw)
    except CodecError:
        return
    assert raw in {command.to_bytes(), command.to_bytes(extended=True)}


def test_the_longest_command() -> None:
    longest = CommandApdu(*SELECT, bytes(65_535), 65_536)
    assert len(longest.to_bytes()) == MAX_COMMAND == 65_544
    assert CommandApdu.from_bytes(longest.to_bytes()) == longest


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ("", TruncatedError),
        ("00A404", TruncatedError),
        ("00A4040002F0", TruncatedError),
        ("00A404000000", TruncatedError),
        ("00A40400000002F0", TruncatedError),
        ("00A40400000001F000", TruncatedError),
        ("00A4040001F00000", OversizedError),
        ("00A40400000001F0000000", OversizedError),
        ("00A40400000000F0", NotCanonicalError),
    ],
)
def test_rubbish_is_refused(raw: str, error: type[CodecError]) -> None:
    with pytest.raises(error):
        CommandApdu.from_bytes(bytes.fromhex(raw))


@pytest.mark.parametrize(
    "build",
    [
        lambda: CommandApdu(0x100, 0, 0, 0),
        lambda: CommandApdu(0, -1, 0, 0),
        lambda: CommandApdu(0, 0, 0, 0, bytes(65_536)),
        lambda: CommandApdu(0, 0, 0, 0, ne=65_537),
        lambda: CommandApdu(0, 0, 0, 0, ne=-1),
        lambda: CommandApdu(0, 0, 0, 0, bytes(256)).to_bytes(extended=False),
        lambda: CommandApdu(0, 0, 0, 0, ne=257).to_bytes(extended=False),
        lambda: ResponseApdu(b"", 0x5FFF),
        lambda: ResponseApdu(b"", 0xA000),
        lambda: ResponseApdu(bytes(65_537), 0x9000),
    ],
)
def test_what_no_apdu_can_say_is_out_of_range(build: object) -> None:
    with pytest.raises(OutOfRangeError):
        build()  # type: ignore[operator]


def test_responses() -> None:
    response = ResponseApdu.from_bytes(bytes.fromhex("0102630C"))
    assert response == ResponseApdu(b"\1\2", 0x630C)
    assert (response.sw1, response.sw2) == (0x63, 0x0C)
    assert response.to_bytes().hex() == "0102630c"
    for raw, error in ((b"", TruncatedError), (b"\x90", TruncatedError), (bytes(65_539), OversizedError)):
        with pytest.raises(error):
            ResponseApdu.from_bytes(raw)
